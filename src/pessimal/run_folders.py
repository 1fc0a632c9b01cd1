"""Work that leaves its results in a run folder, one writer at a time: see `runs`.

Contents:
    frontier — the best bound at each length; `frontier_name` is where it keeps a certificate.
    analyse — the circuits of a model, or its evidence, for the report.
    circuits_of — the same without a run folder.
    collect — check every certificate of a folder into its ledger.
    recheck — check again what a ledger lists, where certificate and weights lie beside it.
    record — one verdict into a ledger.
    Rechecked — what checking again found.
    pending_certificates — certificates of a folder that its ledger does not list.
    is_about — whether a certificate names these weights.
    frontier_name — where a frontier keeps the certificate of a model within a budget.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pessimal.analysis import circuit_record, evidence
from pessimal.api import check, read_certificate, save_certificate
from pessimal.inputs import load_weights
from pessimal.kernel.check import Limits
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.kernel.verdict import NotVerified, Verdict
from pessimal.proving import BUDGETS, Frontier
from pessimal.records import result_row
from pessimal.runs import RunFolder, RunFolderError, one_writer
from pessimal.runs.ledger import Ledger
from pessimal.runs.notices import notice, notice_once
from pessimal.runs.outputs import CERTIFICATE
from pessimal.runs.own_files import CIRCUITS, OWN, require_own_files
from pessimal.runs.rows import other_question
from pessimal.spec import AbstractTask, Weights, WeightsError
from pessimal.spec.distribution import usual_distribution
from pessimal.spec.question import Question
from pessimal.spec.tasks import ModularAddition, ModularAdditionEquals

# Operations that a report spends on checking again: a minute or two.
RECHECK_OPS = 1 << 34
CERTIFICATES = "certificates"
# In messages, where the caller names no flag.
FOLDER = "run folder"


@dataclass(frozen=True)
class Rechecked:
    """What checking again found.

    Attributes:
        rows: by ledger line, the row as the checker gives it now, with nothing else that the ledger says but the time
            of the check; a line that is not here is only recorded.
        differing: a sentence for every row that says something else than its certificate.
        recorded: how many rows were not checked again.
        without_weights: names of weights whose certificates lie there, but no file they are about.
    """

    rows: dict[int, dict[str, Any]]
    differing: tuple[str, ...]
    recorded: int
    without_weights: tuple[str, ...] = ()

    @property
    def rejected(self) -> int:
        """How many rows were checked again and rejected."""
        return sum(row["verdict"] != "VERIFIED" for row in self.rows.values())


def collect(
    folder: Path | str,
    weights_files: Sequence[Path] = (),
    on_result: Callable[[str, Verdict], None] | None = None,
) -> int:
    """Check every certificate of a folder that its ledger does not list yet; returns how many.

    Args:
        folder: holds `*.cert` files, and weights unless given.
        weights_files: models the certificates may be about, matched by digest.
        on_result: called with the file name and verdict of each.

    Raises:
        OutputError: something in the folder would be lost.
        WeightsError: a certificate's weights are not among the files.
    """
    run = RunFolder(Path(folder))
    if not pending_certificates(run):
        return 0
    require_own_files(FOLDER, run.path, {f"the weights file {path.name}": path for path in weights_files})
    with one_writer(run.path, "pessimal report", wait=True):
        # Again, now that nobody else writes.
        pending = pending_certificates(run)
        if not pending:
            return 0
        models = {path: load_weights(path) for path in weights_files} | dict(_readable(run))
        if not models:
            raise WeightsError(f"{run.path.name}: no weights to check {pending[0].name} against")
        for path in pending:
            data = read_certificate(path)
            about = [f for f, w in models.items() if is_about(data, w)] or list(models)[:1]
            started = time.monotonic()
            verdict = check(data, models[about[0]])
            record(run, about[0].stem, models[about[0]], path.name, verdict, time.monotonic() - started)
            if on_result is not None:
                on_result(path.name, verdict)
    return len(pending)


def pending_certificates(run: RunFolder) -> list[Path]:
    """Certificates of a folder that its ledger does not list."""
    listed = {row.get("certificate") for row in run.results()}
    return [path for path in _files(run.path, "*.cert") if path.name not in listed]


def _files(folder: Path, pattern: str) -> list[Path]:
    """Files of a folder; nothing that could be a pipe or a device."""
    return [path for path in sorted(folder.glob(pattern)) if path.is_file()]


def is_about(certificate: bytes, weights: Weights) -> bool:
    """Whether a certificate names these weights: a guess, as the checker decides."""
    return weights.sha256.encode() in certificate[: 1 << 16]


def frontier_name(stem: str, budget: int) -> str:
    """Where a frontier keeps the certificate of a model within a budget."""
    return f"{stem}.{budget}.cert"


def frontier(
    weights: Weights,
    task: AbstractTask,
    out: Path | str,
    stem: str,
    budgets: Sequence[int] = BUDGETS,
    *,
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Prove the best bound within each budget into a run folder; returns the rows that no shorter proof matches.

    What the folder holds already is not proved again, but checked again: a ledger is only text. Budgets that allow no
    proof are told.

    Raises:
        OutputError: something in the folder would be lost.
        Rejected: no budget allows a proof, and the folder holds none.
    """
    run, search = RunFolder(Path(out)), Frontier(weights, task)
    refused: dict[int, Rejected] = {}
    made: set[str] = set()
    budgets = sorted(set(budgets))
    names = [frontier_name(stem, budget) for budget in budgets]
    require_own_files(FOLDER, run.path, {}, {**OWN, **dict.fromkeys(names, CERTIFICATE)})
    with one_writer(run.path, "pessimal frontier", wait=True):
        listed = _frontier_certificates(run, weights, task, stem)
        for done, budget in enumerate(budgets, 1):
            name = frontier_name(stem, budget)
            if name not in listed:
                started = time.monotonic()
                try:
                    proof = search.within(budget)
                    path = save_certificate(proof, run.path / name)
                    verdict = check(path, weights)
                    record(run, stem, weights, name, verdict, time.monotonic() - started)
                    made.add(name)
                except Rejected as refusal:
                    refused[budget] = refusal
            progress(done, len(budgets))
    if refused:
        notice(f"no proof within {', '.join(map(str, refused))} flops: {next(iter(refused.values())).detail}")
    mine = _checked_rows(run, weights, Question(task, usual_distribution(task)).sha256, made)
    kept: list[dict[str, Any]] = []
    for row in sorted(mine, key=lambda one: (one["flops"], -int(one["correct"]))):
        if not kept or int(row["correct"]) > int(kept[-1]["correct"]):
            kept.append(row)
    if not kept and refused:
        raise next(iter(refused.values()))
    return kept


def _checked_rows(run: RunFolder, weights: Weights, question: str, made: Collection[str]) -> list[dict[str, Any]]:
    """A ledger's proofs about a question as the checker sees them now; tells what differs and what is left out."""
    ledger = run.ledger()
    again = _recheck(run, ledger, [(None, weights)], made, RECHECK_OPS)
    for sentence in again.differing:
        notice(f"{sentence}; the table shows what was checked")
    about = [
        line
        for row, line in zip(ledger.rows, ledger.lines, strict=True)
        if row["weights_sha256"] == weights.sha256 and line not in again.rows and row["verdict"] == "VERIFIED"
    ]
    if about:
        lines = f"{'lines' if len(about) > 1 else 'line'} {', '.join(map(str, about))}"
        notice(f"left out: {run.LEDGER} {lines}, which could not be checked again (no certificate here, or too long)")
    return [row for row in again.rows.values() if row["verdict"] == "VERIFIED" and row["question_sha256"] == question]


def _frontier_certificates(run: RunFolder, weights: Weights, task: AbstractTask, stem: str) -> set[str | None]:
    """Certificates that a ledger lists and that are there.

    Raises:
        RunFolderError: those of this name are about other weights or another task.
    """
    ledger = run.ledger()
    for row, line in zip(ledger.rows, ledger.lines, strict=True):
        if row["weights"] == stem and row["weights_sha256"] != weights.sha256:
            raise RunFolderError(
                f"{run.LEDGER} line {line} is about weights {row['weights_sha256'][:12]} named {stem}, and these are"
                f" {weights.sha256[:12]}; choose another folder"
            )
        if row["weights"] == stem and other_question(row, task.name, task.record()):
            raise RunFolderError(
                f"{run.LEDGER} line {line} is about {stem} and another task than this {task.name}; choose another"
                " folder"
            )
    # One that is gone is proved again.
    return {row.get("certificate") for row in ledger.rows if _beside(run, row) is not None}


def analyse(weights: Weights, out: Path | str, stem: str) -> Path:
    """Write the circuits of a model into a run folder, for its report; of modular addition the evidence.

    Raises:
        OutputError: something in the folder would be lost.
        ModularError: the file states modular addition, and the model is none that can be analysed.
    """
    run = RunFolder(Path(out))
    require_own_files(FOLDER, run.path, {}, {**OWN, f"{run.CIRCUITS}/{stem}.json": CIRCUITS})
    record = circuits_of(weights)
    with one_writer(run.path, "pessimal analyse", wait=True):
        path = run.write_circuits(stem, record)
        run.write_provenance()
    return path


def circuits_of(weights: Weights) -> dict[str, Any]:
    """What `analyse` writes: `analysis.evidence` if the file states modular addition, else `analysis.circuit_record`.

    Raises:
        ModularError: see `analyse`.
    """
    return evidence(weights) if _adds(weights) else circuit_record(weights)


def _adds(weights: Weights) -> bool:
    """Whether the file states modular addition."""
    return weights.metadata.get("task", "").replace("_", "-") in {ModularAddition.name, ModularAdditionEquals.name}


def recheck(
    folder: Path | str,
    weights_files: Sequence[Path] = (),
    *,
    fresh: Collection[str] = (),
    max_ops: int = RECHECK_OPS,
) -> Rechecked:
    """Check again the rows of a ledger whose certificate and weights lie beside it: a ledger is only text.

    Args:
        folder: the run folder.
        weights_files: more models that certificates may be about, matched by digest.
        fresh: names of certificates that this process has just checked into the ledger.
        max_ops: predicted operations to spend, in the order of the ledger; what does not fit stays recorded.

    Raises:
        RunFolderError: the ledger is malformed.
        WeightsError: one of `weights_files` is no model.
    """
    run = RunFolder(Path(folder))
    ledger = run.ledger()
    models = _models_beside(run, weights_files) if any(_beside(run, row) for row in ledger.rows) else []
    return _recheck(run, ledger, models, fresh, max_ops)


def _recheck(
    run: RunFolder, ledger: Ledger, models: Sequence[tuple[str | None, Weights]], fresh: Collection[str], max_ops: int
) -> Rechecked:
    """`recheck` against models with the names of their files, None for any name."""
    found: dict[int, dict[str, Any]] = {}
    differing = []
    lacking: dict[str, None] = {}
    for row, line in zip(ledger.rows, ledger.lines, strict=True):
        path = _beside(run, row)
        if path is None:
            continue
        if row["certificate"] in fresh:
            found[line] = row
            continue
        data = read_certificate(path)
        about = [(stem, one) for stem, one in models if is_about(data, one)]
        if not about:
            lacking[row["weights"]] = None
            continue
        # Weights may lie there under more than one name.
        stem, weights = next((pair for pair in about if pair[0] in (None, row["weights"])), about[0])
        verdict = check(data, weights, limits=Limits(max_ops=min(max_ops, Limits().max_ops)))
        if isinstance(verdict, NotVerified) and verdict.reason is Reason.RESOURCES:
            continue
        max_ops -= 0 if verdict.cost is None else verdict.cost.checker_ops
        found[line] = _as_checked(row, stem, weights, verdict)
        different = [key for key, value in found[line].items() if key in row and row[key] != value]
        if different:
            words = ", ".join(f"{key} is {row[key]} there and {found[line][key]} here" for key in different[:2])
            more = f", and {len(different) - 2} more differ" if len(different) > 2 else ""
            differing.append(f"{run.LEDGER} line {line} is not what {row['certificate']} gives: {words}{more}"[:400])
    return Rechecked(found, tuple(differing), len(ledger.rows) - len(found), tuple(lacking))


def _as_checked(row: Mapping[str, Any], stem: str | None, weights: Weights, verdict: Verdict) -> dict[str, Any]:
    """A row with what the checker gives and the names of the files: what nobody can check is left out."""
    now = result_row(weights, verdict, seconds=0.0)
    # Times are nobody's claim: the page stays the same for the same files.
    return {**now, "seconds": row["seconds"], "certificate": row["certificate"], "weights": stem or row["weights"]}


def _beside(run: RunFolder, row: dict[str, Any]) -> Path | None:
    """The certificate of a row, if it is in the folder. The name comes from a ledger: it never leads elsewhere."""
    name = row.get("certificate")
    if name is None:
        return None
    *above, last = name.split("/")
    if above not in ([], [CERTIFICATES]) or last in {"", ".", ".."} or "\0" in last or "\\" in last:
        return None
    path = run.path.joinpath(*above, last)
    return path if path.is_file() and not path.is_symlink() else None


def _models_beside(run: RunFolder, weights_files: Sequence[Path]) -> list[tuple[str | None, Weights]]:
    """Models that certificates of a folder may be about, with the names of their files."""
    models: list[tuple[str | None, Weights]] = [(path.stem, load_weights(path)) for path in weights_files]
    return models + [(path.stem, weights) for path, weights in _readable(run)]


def _readable(run: RunFolder) -> Iterator[tuple[Path, Weights]]:
    """The models of a folder; what cannot be read is told and passed over."""
    for path in _files(run.path, "*.safetensors"):
        try:
            yield path, load_weights(path)
        except WeightsError as error:
            notice_once(f"not used: {error}", path.resolve())


def record(run: RunFolder, stem: str, weights: Weights, certificate: str, verdict: Verdict, seconds: float) -> None:
    """Append a verdict to a run's ledger; before it the model's circuits if they are not there yet.

    Whatever lists the certificate as done later finds the rest there too. The evidence of modular addition takes
    seconds and can be refused: `analyse` writes it.
    """
    if stem not in run.circuit_stems() and not _adds(weights):
        run.write_circuits(stem, circuit_record(weights))
    run.write_provenance()
    run.append({**result_row(weights, verdict, seconds=seconds), "certificate": certificate, "weights": stem})
