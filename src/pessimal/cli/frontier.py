"""`pessimal frontier`: the best bound at each length."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import tyro

from pessimal.cli.fields import Switch, Text, Words
from pessimal.cli.files import inputs_of, require_one_stdin
from pessimal.cli.model_flags import ModelFlags, read_model, read_task
from pessimal.cli.tables import table
from pessimal.cli.terminal import VERIFIED, Watch, print_json, say
from pessimal.proving import BUDGETS
from pessimal.proving.words import read_budget
from pessimal.run_folders import frontier, frontier_name
from pessimal.runs.inputs import stem_of
from pessimal.runs.outputs import CERTIFICATE
from pessimal.runs.own_files import CIRCUITS, require_folder
from pessimal.spec.claim import decimal_down


@dataclass(frozen=True)
class Frontier:
    """Prove the best bound within each budget; run again to resume. The folder feeds `pessimal report`."""

    weights: tyro.conf.Positional[Path]
    """safetensors file of the model"""
    out: Path
    """run folder: certificates and the ledger of their checks"""
    budgets: Words = ()
    """budgets in flops, such as 2^20 (default: 2^18 to 2^26 in steps of the square root of two)"""
    task: Text = None
    """task name (default: what the file states)"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""
    model: ModelFlags = field(default_factory=ModelFlags)

    def run(self) -> int:
        """Prove what is missing, print the proofs that no shorter one matches."""
        budgets = tuple(read_budget(word) for word in self.budgets) or BUDGETS
        require_one_stdin(self)
        stem = stem_of(self.weights)
        files = {frontier_name(stem, budget): CERTIFICATE for budget in budgets}
        require_folder("--out", self.out, inputs_of(self), {**files, f"circuits/{stem}.json": CIRCUITS})
        weights = read_model(self.weights, self.model)
        task, assumed = read_task(weights, self.task)
        for line in assumed:
            say(f"pessimal: assumed {line}")
        with Watch("proving", "budgets") as watch:
            rows = frontier(weights, task, self.out, stem, budgets, progress=watch)
        lines = []
        for row in rows:
            bound = decimal_down(Fraction(int(row["correct"]), int(row["total"])))
            size = str(row["certificate_bytes"])
            lines.append((str(row["flops"]), bound, row["strategy"], size, row["certificate"]))
        print(table(("flops", "accuracy >=", "strategy", "bytes", "certificate"), lines, right=(0, 3)))
        if self.json:
            print_json({"frontier": rows})
        return VERIFIED
