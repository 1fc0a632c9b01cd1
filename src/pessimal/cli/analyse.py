"""`pessimal analyse`: the circuits of a model, or the evidence of modular addition, for the report."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from pessimal.cli.fields import Switch
from pessimal.cli.files import inputs_of
from pessimal.cli.model_flags import ModelFlags, read_model
from pessimal.cli.tables import table
from pessimal.cli.terminal import VERIFIED, print_json
from pessimal.report.results import Number, short
from pessimal.run_folders import analyse
from pessimal.runs.inputs import stem_of
from pessimal.runs.own_files import CIRCUITS, require_folder

NEURONS = {
    "live": "live neurons",
    "frequency_agreement": "read and write the same frequency",
    "fve_input": "of the input tables' variance: one wave each (FVE)",
    "fve_output": "of the output map's variance: one wave each (FVE)",
    "phase_left_right": "|phi_L - phi_R|, radians",
    "amplitude_ratio": "r_R / r_L",
    "offset_over_amplitude": "|mean pre-activation| / r",
    "phase_doubling": "|psi - 2 phi|, radians",
    "second_is_double": "second frequency is twice the first",
    "second_amplitude": "second amplitude / first",
    "second_of_rest": "of the remaining variance: second frequency",
}
LOGITS = {
    "fve_clock": "clock form (FVE)",
    "fve_pizza": "pizza form (FVE)",
    "ideal_margin": "margin of the clock form",
    "residual": "largest residual against it",
    "true_margin": "smallest margin",
    "distance_irrelevance": "distance irrelevance",
}
FREQUENCY = {
    "k": "k",
    "output_share": "share of\noutput",
    "cluster": "in\ncluster",
    "clock_coefficient": "C_k\nclock",
    "pizza_coefficient": "C_k\npizza",
    "q_clock": "Q\nclock",
    "q_pizza": "Q\npizza",
}
QUADRATURE = {
    "neurons": "\nneurons",
    "sup_error_phi": "error,\npsi = 2 phi",
    "sup_error": "\nerror",
    "box_abs": "box\n|x|/2",
    "box_identity": "box\nx/2",
    "angle": "box\nangles",
    "moment_20": "moments\nM = 20",
    "moment_100": "moments\nM = 100",
}


@dataclass(frozen=True)
class Analyse:
    """Write the circuits of a model (EQKE, EQKP, EVOU, PVOU, EU) into a run folder.

    Of a model of modular addition, print and write the evidence: waves, phases, quadrature errors, forms of the logits.
    """

    weights: tyro.conf.Positional[Path]
    """safetensors file"""
    out: Path
    """run folder"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""
    model: ModelFlags = field(default_factory=ModelFlags)

    def run(self) -> int:
        """Write them."""
        stem = stem_of(self.weights)
        require_folder("--out", self.out, inputs_of(self), {f"circuits/{stem}.json": CIRCUITS})
        path = analyse(read_model(self.weights, self.model), self.out, stem)
        record = json.loads(path.read_bytes())
        numbers = {name: value for name, value in record.items() if name != "drawn"}
        modular = "key_frequencies" in record
        if modular:
            _print(numbers)
        print(path)
        if self.json:
            print_json({"circuits": str(path), **({"evidence": numbers} if modular else {})})
        return VERIFIED


def _print(record: dict[str, Any]) -> None:
    """The evidence as two tables."""
    rows = [
        (f"{record['correct']} / {record['inputs']}", "inputs right"),
        (f"{record['correct_without_skip']} / {record['inputs']}", "right by the MLP's neurons alone"),
        (f"{record['clustered']} / {record['sizes']['d_mlp']}", "neurons in the cluster of a frequency"),
    ]
    groups = [(record["neurons"] or {}, NEURONS), (record["logits"], LOGITS)]
    groups += [(record, {"gradient_symmetricity": "gradient symmetricity", "circularity": "circularity of W_E"})]
    for numbers, words in groups:
        rows += [(_text(numbers[name], name), meaning) for name, meaning in words.items() if name in numbers]
    width = max(len(number) for number, _ in rows)
    print("\n".join(f"{number:>{width}}  {meaning}" for number, meaning in rows))
    print("\nBy key frequency; errors and bounds over the signal 2/3, so that 1 is vacuous:")
    drawn = [row for row in record["frequencies"] if row["q_clock"] is not None]
    headings = FREQUENCY | (QUADRATURE if record["neurons"] else {})
    found = []
    for row in drawn:
        values = {**row, **(row["quadrature"] or {})}
        found.append([_text(values.get(name), name) for name in headings])
    print(table(list(headings.values()), found, right=range(len(headings))))
    left_out = len(record["frequencies"]) - len(drawn)
    if left_out:
        print(f"and {left_out} key frequencies with less output energy, in the file")


def _text(value: Number | None, name: str) -> str:
    """A number as in the record, or a dash; upper bounds are rounded up."""
    return short(value, name) if value is not None else "-"
