"""`pessimal demo`: the main job end to end on shipped weights."""

import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pessimal import api
from pessimal.analysis.constructed import veto_model
from pessimal.cli.fields import Folder, Switch
from pessimal.cli.tables import table
from pessimal.cli.terminal import VERIFIED, Watch, print_json, say
from pessimal.conversion.safetensors_file import write_safetensors
from pessimal.inputs import load_weights, task_of
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules.interface import kind_of_attention
from pessimal.proving import STRATEGIES, covering
from pessimal.report.numbers import nearest
from pessimal.run_folders import recheck, record
from pessimal.runs import RunFolder, one_writer, write_atomic
from pessimal.runs.outputs import CERTIFICATE, HEAD, Kind
from pessimal.runs.own_files import CIRCUITS, require_folder
from pessimal.spec import Weights, WeightsError, read_weights
from pessimal.spec.claim import decimal_down

MODELS = ("max4_v64_seed104", "max4_v64_seed50", "max5_v64_seed50", "max10_v64_seed50", "max20_v64_seed50")
# Takes the maximum by vetoes, and is right on every input.
CONSTRUCTED, CONSTRUCTED_SIZES = "veto_k3_v16", (3, 16)
WITHOUT_MODELS = (
    "no trained models are installed, so this shows one that is constructed to take the maximum of three tokens;"
    " `pessimal train max-of-k --out weights` trains some, and `pessimal demo --weights weights` shows them"
)
# Enumeration and brackets are for K = 4 here; position minima at K = 20 takes seconds and adds nothing to the story.
LONGEST_K = {"brute-force": 4, "exact": 4, "grid-count": 4, "layer-cake": 0, "layer-count": 0, "position-minima": 10}


@dataclass(frozen=True)
class Demo:
    """Prove and check a few models with every strategy, and write a report."""

    out: Path = Path("demo-out")
    """run folder"""
    weights: Folder = None
    """folder with models (default: the shipped ones beside the package or in the current folder; where there are none,
    a small model that is constructed to be right)"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Prove, check, draw, and print the table."""
        from pessimal.report import render

        folder = self.weights or _shipped()
        models = {CONSTRUCTED: self.out / f"{CONSTRUCTED}.safetensors"} if folder is None else _models(folder)
        files = {f"{stem}.{name}.cert": CERTIFICATE for stem in models for name in STRATEGIES}
        files |= {f"circuits/{stem}.json": CIRCUITS for stem in models}
        if folder is None:
            files |= {f"{CONSTRUCTED}.safetensors": Kind("the constructed model", lambda head: head == _veto()[:HEAD])}
            require_folder("--out", self.out, {}, files)
            say(f"pessimal: {WITHOUT_MODELS}")
        else:
            require_folder("--out", self.out, {f"the weights {stem}": path for stem, path in models.items()}, files)
        run = RunFolder(self.out)
        started = time.monotonic()
        with one_writer(self.out, "pessimal demo", wait=True):
            if folder is None:
                write_atomic(models[CONSTRUCTED], _veto())
            fresh = _prove_missing(run, models)
        page = self.out / "report.html"
        again = recheck(self.out, [] if folder is None else list(models.values()), fresh=fresh)
        for sentence in again.differing:
            say(f"pessimal: {sentence}; the page shows what was checked")
        ledger = run.ledger()
        rows = [again.rows.get(line, row) for row, line in zip(ledger.rows, ledger.lines, strict=True)]
        print(_table(rows, [line in again.rows for line in ledger.lines]))
        render(self.out, page, again.rows)
        recorded = f" ({again.recorded} only recorded)" if again.recorded else ""
        seconds = nearest(time.monotonic() - started, ".0f")
        print(f"{len(again.rows)} proofs checked{recorded} in {seconds} s; report: {page}")
        if self.json:
            print_json({"report": str(page), "results": rows})
        return VERIFIED


def _models(folder: Path) -> dict[str, Path]:
    """The models of a folder: the shipped ones, or if there are none, all."""
    if not folder.is_dir():
        raise WeightsError(f"{folder} {'is no folder' if folder.exists() else 'does not exist'}")
    there = {path.stem: path for path in sorted(folder.glob("*.safetensors")) if path.is_file()}
    if not there:
        raise WeightsError(f"{folder} holds no safetensors files")
    return {stem: there[stem] for stem in MODELS if stem in there} or there


def _veto() -> bytes:
    """The constructed model, always the same bytes: the library that writes it orders its metadata by chance."""
    weights = read_weights(veto_model(*CONSTRUCTED_SIZES))
    return write_safetensors(dict(weights.tensors), dict(sorted(weights.metadata.items())))


def _prove_missing(run: RunFolder, models: dict[str, Path]) -> set[str]:
    """Prove and check what the ledger does not list; the certificates of it."""
    done = {row.get("certificate") for row in run.results()}
    made = set()
    for stem, path in models.items():
        weights = load_weights(path)
        for name in covering(kind_of_attention(weights.architecture)):
            certificate = f"{stem}.{name}.cert"
            if weights.architecture.shape.k <= LONGEST_K.get(name, 20) and certificate not in done:
                try:
                    _prove_and_check(run, stem, weights, name)
                    made.add(certificate)
                except Rejected as refusal:
                    say(f"pessimal: {stem}: {name} refuses: {refusal.detail}")
    return made


def _prove_and_check(run: RunFolder, stem: str, weights: Weights, name: str) -> None:
    task, _ = task_of(weights)
    with Watch(f"{stem} {name}: proving") as watch:
        proof = api.prove(weights, task, STRATEGIES[name](), progress=watch)
    path = api.save_certificate(proof, run.path / f"{stem}.{name}.cert")
    begun = time.monotonic()
    with Watch(f"{stem} {name}: checking") as watch:
        verdict = api.check(path, weights, progress=watch)
    say(verdict.line())
    record(run, stem, weights, path.name, verdict, time.monotonic() - begun)


def _shipped() -> Path | None:
    """The folder of the shipped models, where there is one: an installed package has none."""
    for folder in (Path(__file__).resolve().parents[3] / "weights", Path("weights")):
        if (folder / f"{MODELS[0]}.safetensors").is_file():
            return folder
    return None


def _table(rows: list[dict[str, Any]], checked: list[bool]) -> str:
    """The proofs, one on a line."""
    lines = []
    for row, now in zip(rows, checked, strict=True):
        bound = "rejected"
        if row["correct"] is not None:
            bound = decimal_down(Fraction(int(row["correct"]), int(row["total"])))
        flops = "" if row["flops"] is None else f"{row['flops']:,}"
        seconds = "" if row["seconds"] is None else nearest(row["seconds"], ".2f")
        bound += "" if now else " (recorded)"
        lines.append((row["weights"], row["strategy"], bound, flops, seconds))
    return table(("model", "strategy", "accuracy at least", "flops", "check (s)"), lines, right=(2, 3, 4))
