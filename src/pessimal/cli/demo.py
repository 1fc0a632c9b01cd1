"""`pessimal demo`: the main job end to end on shipped weights."""

import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pessimal import api
from pessimal.cli.terminal import VERIFIED, Watch, print_json, say
from pessimal.kernel.rules.interface import kind_of_attention
from pessimal.report.numbers import nearest
from pessimal.run_folders import recheck, record
from pessimal.runs import RunFolder, one_writer
from pessimal.runs.outputs import CERTIFICATE
from pessimal.runs.own_files import CIRCUITS, require_folder
from pessimal.spec import Weights, WeightsError
from pessimal.spec.claim import decimal_down
from pessimal.strategies import STRATEGIES, covering

MODELS = ("max4_v64_seed104", "max4_v64_seed50", "max5_v64_seed50", "max10_v64_seed50", "max20_v64_seed50")
# Enumeration and brackets are for K = 4 here; R1 at K = 20 takes some seconds and adds nothing to the story.
MIN_WIDTH = 100
LONGEST_K = {"brute-force": 4, "exact": 4, "grid-count": 4, "layer-cake": 0, "position-minima": 10}


@dataclass(frozen=True)
class Demo:
    """Prove and check shipped models with every strategy, and write a report."""

    out: Path = Path("demo-out")
    """run folder"""
    weights: Path | None = None
    """folder of the shipped weights (default: beside the package or in the current folder)"""
    json: bool = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Prove, check, draw, and print the table."""
        from pessimal.report import render

        folder = self.weights or _shipped()
        inputs = {f"the weights {stem}": folder / f"{stem}.safetensors" for stem in MODELS}
        files = {f"{stem}.{name}.cert": CERTIFICATE for stem in MODELS for name in STRATEGIES}
        files |= {f"circuits/{stem}.json": CIRCUITS for stem in MODELS}
        require_folder("--out", self.out, inputs, files)
        run = RunFolder(self.out)
        started = time.monotonic()
        with one_writer(self.out, "pessimal demo", wait=True):
            fresh = _prove_missing(run, folder)
        page = self.out / "report.html"
        again = recheck(self.out, list(inputs.values()), fresh=fresh)
        for sentence in again.differing:
            say(f"pessimal: {sentence}; the page shows what was checked")
        ledger = run.ledger()
        rows = [again.rows.get(line, row) for row, line in zip(ledger.rows, ledger.lines, strict=True)]
        console = Console()
        console.width = max(console.width, MIN_WIDTH)
        console.print(_table(rows, [line in again.rows for line in ledger.lines]))
        render(self.out, page, again.rows)
        recorded = f" ({again.recorded} only recorded)" if again.recorded else ""
        seconds = nearest(time.monotonic() - started, ".0f")
        print(f"{len(again.rows)} proofs checked{recorded} in {seconds} s; report: {page}")
        if self.json:
            print_json({"report": str(page), "results": rows})
        return VERIFIED


def _prove_missing(run: RunFolder, folder: Path) -> set[str]:
    """Prove and check what the ledger does not list; the certificates of it."""
    done = {row.get("certificate") for row in run.results()}
    made = set()
    for stem in MODELS:
        weights = api.load_weights(folder / f"{stem}.safetensors")
        for name in covering(kind_of_attention(weights.architecture)):
            certificate = f"{stem}.{name}.cert"
            if weights.architecture.shape.k <= LONGEST_K.get(name, 20) and certificate not in done:
                _prove_and_check(run, stem, weights, name)
                made.add(certificate)
    return made


def _prove_and_check(run: RunFolder, stem: str, weights: Weights, name: str) -> None:
    task, _ = api.task_of(weights)
    with Watch(f"{stem} {name}: proving") as watch:
        proof = api.prove(weights, task, STRATEGIES[name](), progress=watch)
    path = api.save_certificate(proof, run.path / f"{stem}.{name}.cert")
    begun = time.monotonic()
    with Watch(f"{stem} {name}: checking") as watch:
        verdict = api.check(path, weights, progress=watch)
    say(verdict.line())
    record(run, stem, weights, path.name, verdict, time.monotonic() - begun)


def _shipped() -> Path:
    for folder in (Path(__file__).resolve().parents[3] / "weights", Path("weights")):
        if (folder / f"{MODELS[0]}.safetensors").is_file():
            return folder
    raise WeightsError("the shipped weights are not here; name their folder with --weights")


def _table(rows: list[dict[str, Any]], checked: list[bool]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "strategy", "accuracy at least", "flops", "check (s)"):
        table.add_column(heading, no_wrap=True, justify="left" if heading in {"model", "strategy"} else "right")
    for row, now in zip(rows, checked, strict=True):
        bound = "rejected"
        if row["correct"] is not None:
            bound = decimal_down(Fraction(int(row["correct"]), int(row["total"])))
        flops = "" if row["flops"] is None else f"{row['flops']:,}"
        seconds = "" if row["seconds"] is None else nearest(row["seconds"], ".2f")
        bound += "" if now else " (recorded)"
        table.add_row(row["weights"], row["strategy"], bound, flops, seconds)
    return table
