"""The Python interface: everything the command line does, under the same names.

Contents:
    load_weights — a safetensors file to `Weights`.
    load_distribution — how often every input occurs, from a JSON or TOML file.
    task_of — the task a file says it was trained for.
    read_machine — a task of one's own.
    prove, within, save_certificate, check — the main job.
    frontier — the best bound at each length, into a run folder.
    write_strata — the bounds by stratum as a table.
    result_row — a proof or verdict as the JSON object of the command line.
    info — what a weights file holds.
    train — models from seeds.
    analyse — the circuits of a model, or its evidence, for the report.
    circuits_of — the same without a run folder.
    collect — check every certificate of a folder into its ledger.
"""

import json
import math
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pessimal.analysis import circuit_record, evidence, sampled_accuracy
from pessimal.kernel.certificate import MAX_HEADER_BYTES
from pessimal.kernel.check import Asked, Limits, Verdict
from pessimal.kernel.check import check as kernel_check
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.runs import RunFolder, write_atomic
from pessimal.runs.inputs import STDIN, TooLargeError, read_at_most, read_text, read_whole, shown
from pessimal.spec import (
    TASKS,
    AbstractDistribution,
    AbstractTask,
    DistributionError,
    MaxOfK,
    Overrides,
    TaskError,
    Uniform,
    Weights,
    WeightsError,
    read_weights,
)
from pessimal.spec.claim import ACCURACY, LOSS, MEAN_PROBABILITY, AccuracyClaim
from pessimal.spec.distribution import PREFIX, distribution_from, usual_distribution
from pessimal.spec.semantics import assumptions as semantics_assumptions
from pessimal.spec.tasks import CustomTask, ModularAddition, ModularAdditionEquals, task_from_record
from pessimal.strategies import BUDGETS, Frontier, Proof, prove, within

if TYPE_CHECKING:
    from pessimal.train import ModularConfig, TrainConfig

__all__ = [
    "BUDGETS",
    "analyse",
    "check",
    "circuits_of",
    "collect",
    "frontier",
    "info",
    "load_distribution",
    "load_weights",
    "prove",
    "read_machine",
    "record",
    "refused_row",
    "result_row",
    "save_certificate",
    "strata_bytes",
    "task_of",
    "train",
    "within",
    "write_strata",
]

MAX_WEIGHT_BYTES = 1 << 30
STRATA_COLUMNS = ("q", "y", "total", "wrong_at_most")


def load_weights(path: Path | str, overrides: Overrides | None = None) -> Weights:
    """Read a model.

    Args:
        path: a safetensors file with short or TransformerLens names; `-` is standard input.
        overrides: architecture values that the file does not state, or that win over it.

    Raises:
        WeightsError: one sentence naming the file and the tensor.
    """
    path = Path(path)
    try:
        return read_weights(read_whole(path, MAX_WEIGHT_BYTES), overrides)
    except OSError as error:
        raise WeightsError(f"{shown(path)}: {error.strerror or 'cannot be read'}") from None
    except (TooLargeError, WeightsError) as error:
        raise WeightsError(f"{shown(path)}: {error}") from None


def load_distribution(path: Path | str) -> AbstractDistribution:
    """Read a distribution: the word `uniform`, or a file, in JSON, or in TOML if the name ends so; whole numbers only.

    `{"name": "product", "weights": [[..], ..]}`, `{"name": "markov", "initial": [..], "transition": [[..], ..]}` or
    `{"name": "uniform"}`.

    Raises:
        DistributionError: one sentence naming the file.
    """
    if str(path) == Uniform.name:
        return Uniform()
    path = Path(path)
    try:
        text = read_text(path)
        record = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise DistributionError(f"{shown(path)}: {error.strerror or 'cannot be read'}") from None
    except TooLargeError as error:
        raise DistributionError(f"{shown(path)}: {error}") from None
    except (ValueError, RecursionError):
        raise DistributionError(f"{shown(path)} is not a JSON or TOML file") from None
    fields = dict(record) if isinstance(record, dict) else {}
    name = fields.pop("name", None)
    arrays = {f"{PREFIX}{key}": value for key, value in fields.items()}
    try:
        return distribution_from({"name": name}, arrays)
    except DistributionError as error:
        raise DistributionError(f"{shown(path)}: {error}") from None


def task_of(weights: Weights, name: str | None = None) -> tuple[AbstractTask, list[str]]:
    """The task to prove, and what had to be assumed to name it.

    Args:
        weights: the model; its metadata may name the task.
        name: the task's name, its own parameters after it as in `contains-token:token=3` (in the metadata they are
            `task_token` and the like), or the path of a JSON file that describes a machine; wins over the metadata.

    Raises:
        TaskError: unknown task, a parameter that nobody states, or a task that does not fit.
    """
    if name is not None and is_file_name(name):
        return read_machine(Path(name), weights), []
    stated = name or weights.metadata.get("task")
    assumed = [] if stated else [f"task={MaxOfK.name} (not stated in the file)"]
    known, _, words = (stated or MaxOfK.name).partition(":")
    known = known.replace("_", "-")
    if known not in TASKS:
        raise TaskError(f"unknown task {known[:40]!r}; known: {', '.join(sorted(TASKS))}")
    shape = weights.architecture.shape
    task = TASKS[known](k=shape.k, d_vocab=shape.d_vocab, **_own_parameters(known, words, weights))
    task.require_fits(weights.architecture)
    return task, assumed


def is_file_name(task: str) -> bool:
    """Whether the word for a task is that of a file: it ends in `.json`, has a slash, or is `-`."""
    return task.endswith(".json") or "/" in task or task == STDIN


def _own_parameters(known: str, words: str, weights: Weights) -> dict[str, int]:
    """Parameters of a task beside its sizes: NAME=VALUE,.. after its name, or `task_NAME` of the metadata."""
    names = [field.name for field in fields(TASKS[known]) if field.name not in {"k", "d_vocab"}]
    given = dict(word.partition("=")[::2] for word in words.split(",") if word)
    unknown = sorted(given.keys() - set(names))
    if unknown:
        raise TaskError(f"task {known} has no parameter {unknown[0][:40]!r}; it has {', '.join(names) or 'none'}")
    own = {}
    for name in names:
        text = given.get(name, weights.metadata.get(f"task_{name}"))
        if text is None:
            raise TaskError(f"task {known} needs {name}; state it as {known}:{name}=0")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise TaskError(f"task {known}: {name}={text[:20]!r} is not a number")
        own[name] = int(text)
    return own


def read_machine(path: Path, weights: Weights | None = None) -> CustomTask:
    """A task from a JSON file with the keys `k`, `d_vocab`, `start`, `moves`, `outputs` (docs/custom-task.md).

    Raises:
        TaskError: not such a file, or a machine that does not fit the model.
    """
    try:
        record = json.loads(read_text(path))
    except OSError as error:
        raise TaskError(f"{shown(path)}: {error.strerror or 'cannot be read'}") from None
    except TooLargeError as error:
        raise TaskError(f"{shown(path)}: {error}") from None
    except (ValueError, RecursionError):
        raise TaskError(f"{shown(path)}: not a JSON file") from None
    try:
        task = task_from_record({"name": CustomTask.name, **record} if isinstance(record, dict) else record)
        if not isinstance(task, CustomTask):
            raise TaskError(f"the name of a machine is {CustomTask.name!r}")
        if weights is not None:
            task.require_fits(weights.architecture)
    except TaskError as error:
        raise TaskError(f"{shown(path)}: {error}") from None
    return task


def save_certificate(proof: Proof, path: Path | str) -> Path:
    """Write a certificate in one step: an interrupt leaves the old file or none, never a part.

    Devices and pipes are written into, and links followed; see `runs.outputs`.
    """
    path = Path(path)
    write_atomic(path, proof.data)
    return path


def check(
    certificate: Proof | bytes | Path | str,
    weights: Weights,
    *,
    arithmetic: str = "float64",
    limits: Limits | None = None,
    asked: Asked | None = None,
    progress: Progress = no_progress,
) -> Verdict:
    """Check a certificate: bytes, a path, or a `Proof`, whose bytes are decoded like any other's.

    Args:
        certificate: what to check.
        weights: the model.
        arithmetic: `float64`, or `arb` as a second opinion.
        limits: what the check may cost.
        asked: the question that the certificate has to answer; without it, any question.
        progress: called with (done, total).

    Raises:
        OSError: the path cannot be read. Nothing the bytes hold raises.
    """
    limits = limits or Limits()
    if isinstance(certificate, Proof):
        data = certificate.data
    elif isinstance(certificate, bytes):
        data = certificate
    else:
        data = read_at_most(Path(certificate), limits.max_bytes + 1, _may_be_certificate)
    return kernel_check(data, weights, arithmetic=arithmetic, limits=limits, asked=asked, progress=progress)


def _may_be_certificate(head: bytes) -> bool:
    """Whether a file may be a certificate by its first bytes; an endless device is not read to the limit."""
    return int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES and head[8:9] in {b"{", b""}


def write_strata(verdict: Verdict, path: Path | str) -> Path:
    """Write the bound of every stratum: last token, right output, weight of its sequences, at most how much is wrong.

    A CSV file with a line per stratum, or a JSON list if the name ends so; numbers are whole, in strings in JSON.

    Raises:
        ValueError: the certificate was rejected, or its rule gives no bounds by stratum.
    """
    path = Path(path)
    write_atomic(path, strata_bytes(verdict, as_json=path.suffix == ".json"))
    return path


def strata_bytes(verdict: Verdict, *, as_json: bool) -> bytes:
    """What `write_strata` writes; raises likewise."""
    if not verdict.strata:
        raise ValueError("there are no bounds by stratum to write")
    rows = [(one.q, one.y, str(one.total), str(one.wrong_at_most)) for one in verdict.strata]
    if as_json:
        text = json.dumps([dict(zip(STRATA_COLUMNS, row, strict=True)) for row in rows], indent=0)
    else:
        text = "\n".join(",".join(map(str, row)) for row in [STRATA_COLUMNS, *rows])
    return f"{text}\n".encode()


def result_row(
    weights: Weights, verdict: Verdict, *, seconds: float, assumptions: Sequence[str] = ()
) -> dict[str, Any]:
    """The JSON object of `pessimal prove` and `pessimal check`."""
    claim, certificate, cost = verdict.claim, verdict.certificate, verdict.cost
    at_most = verdict.correct_at_most
    distribution = Uniform() if verdict.question is None else verdict.question.distribution
    worst = verdict.worst_stratum
    quantity = None if claim is None else claim.quantity
    claimed = () if claim is None else semantics_assumptions(claim.semantics)
    return {
        "verdict": "VERIFIED" if verdict.verified else "REJECTED",
        "reason": None if verdict.reason is None else str(verdict.reason),
        "correct": None if claim is None else str(claim.correct),
        "total": None if claim is None else str(claim.total),
        "claim": None if claim is None else claim.kind,
        "accuracy_lower_bound": None if claim is None or claim.quantity != ACCURACY else float_down(claim.accuracy),
        "mean_probability_lower_bound": float_down(claim.accuracy) if quantity == MEAN_PROBABILITY and claim else None,
        "loss_upper_bound": -float_down(-claim.accuracy) if quantity == LOSS and claim else None,
        "accuracy_upper_bound": None
        if claim is None or at_most is None
        else -float_down(-Fraction(at_most, claim.total)),
        "semantics": AccuracyClaim.semantics if claim is None else claim.semantics,
        "assumptions": [*map(str, weights.architecture.assumed), *assumptions, *claimed],
        "question_sha256": None if verdict.question is None else verdict.question.sha256,
        "task": None if verdict.task is None else verdict.task.name,
        "task_record": None if verdict.task is None else verdict.task.record(),
        "distribution": distribution.name,
        "distribution_sha256": distribution.sha256 if distribution.arrays() else None,
        "worst_stratum": None
        if worst is None
        else dict(zip(STRATA_COLUMNS, (worst.q, worst.y, str(worst.total), str(worst.wrong_at_most)), strict=True)),
        "strategy": None if certificate is None else certificate.strategy,
        "rule": None if certificate is None else certificate.rule,
        "flops": None if cost is None else cost.flops,
        "checker_ops": None if cost is None else cost.checker_ops,
        "certificate_bytes": verdict.n_bytes,
        "unexplained_dims": None if cost is None else cost.unexplained_dims,
        "seconds": round(seconds, 3),
        "weights_sha256": weights.sha256,
    }


def refused_row(weights: Weights, refusal: Rejected, *, strategy: str, seconds: float) -> dict[str, Any]:
    """The same object for a proof that was refused before there was a certificate."""
    verdict = Verdict(None, refusal.reason, refusal.detail, weights.sha256, 0, weights.architecture.assumed)
    return {**result_row(weights, verdict, seconds=seconds), "strategy": strategy}


def _is_accuracy(row: dict[str, Any], distribution: AbstractDistribution) -> bool:
    """Whether a row is a verified accuracy under a distribution, so that two of them compare."""
    digest = distribution.sha256 if distribution.arrays() else None
    alike = row["distribution"] == distribution.name and row.get("distribution_sha256") == digest
    return alike and row["accuracy_lower_bound"] is not None and row["verdict"] == "VERIFIED"


def float_down(value: Fraction) -> float:
    """The largest float64 not above a fraction."""
    nearest = value.numerator / value.denominator
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


def info(weights: Weights, *, task: str | None = None, samples: int = 20_000) -> dict[str, Any]:
    """What a weights file holds: sizes, architecture, digest, accuracy on random inputs (an estimate)."""
    asked, assumed = task_of(weights, task)
    distribution = usual_distribution(asked)
    return {
        "weights_sha256": weights.sha256,
        "architecture": weights.architecture.record(),
        "parameters": sum(int(array.size) for array in weights.tensors.values()),
        "tensors": {name: [*array.shape, array.dtype.name] for name, array in sorted(weights.tensors.items())},
        "metadata": dict(weights.metadata),
        "task": asked.name,
        "total": str(distribution.total(asked)),
        "distribution": distribution.name,
        "assumptions": [*map(str, weights.architecture.assumed), *assumed],
        "sampled_accuracy": sampled_accuracy(weights, asked, samples),
        "samples": samples,
    }


def train(
    config: "TrainConfig | ModularConfig",
    seeds: Sequence[int],
    out: Path | str,
    on_step: Callable[[int, int, float], None] | None = None,
) -> Iterator[Path]:
    """Train one model per seed and yield each file as it is written. Needs torch (extra `train`)."""
    from pessimal.train import ModularConfig, save_models, train_in_stacks, train_modular

    train = train_modular if isinstance(config, ModularConfig) else train_in_stacks
    for models in train(config, list(seeds), on_step):
        yield from save_models(models, Path(out))


def analyse(weights: Weights, out: Path | str, stem: str) -> Path:
    """Write the circuits of a model into a run folder, for its report; of modular addition the evidence.

    Raises:
        ModularError: the file states modular addition, and the model is none that can be analysed.
    """
    run = RunFolder(Path(out))
    path = run.write_circuits(stem, circuits_of(weights))
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
        WeightsError: a certificate's weights are not among the files.
    """
    run = RunFolder(Path(folder))
    listed = {row.get("certificate") for row in run.results()}
    pending = [path for path in sorted(Path(folder).glob("*.cert")) if path.name not in listed]
    if not pending:
        return 0
    models = {path: load_weights(path) for path in [*weights_files, *sorted(Path(folder).glob("*.safetensors"))]}
    if not models:
        raise WeightsError(f"{Path(folder).name}: no weights to check {pending[0].name} against")
    for path in pending:
        data = path.read_bytes()
        about = [f for f, w in models.items() if w.sha256.encode() in data[: 1 << 16]] or list(models)[:1]
        started = time.monotonic()
        verdict = check(data, models[about[0]])
        record(run, about[0].stem, models[about[0]], path.name, verdict, time.monotonic() - started)
        if on_result is not None:
            on_result(path.name, verdict)
    return len(pending)


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

    What the folder holds already is not proved again.

    Raises:
        Rejected: no budget allows a proof.
    """
    run, search = RunFolder(Path(out)), Frontier(weights, task)
    refusal: Rejected | None = None
    for done, budget in enumerate(sorted(set(budgets))):
        name = f"{stem}.{budget}.cert"
        if all(row.get("certificate") != name for row in run.results()):
            started = time.monotonic()
            try:
                proof = search.within(budget)
            except Rejected as refused:
                refusal = refused
                continue
            path = save_certificate(proof, run.path / name)
            verdict = check(path, weights)
            record(run, stem, weights, name, verdict, time.monotonic() - started)
        progress(done + 1, len(budgets))
    usual = usual_distribution(task)
    mine = [row for row in run.results() if row["weights_sha256"] == weights.sha256 and _is_accuracy(row, usual)]
    kept: list[dict[str, Any]] = []
    for row in sorted(mine, key=lambda one: (one["flops"], -int(one["correct"]))):
        if not kept or int(row["correct"]) > int(kept[-1]["correct"]):
            kept.append(row)
    if not kept and refusal is not None:
        raise refusal
    return kept


def record(run: RunFolder, stem: str, weights: Weights, certificate: str, verdict: Verdict, seconds: float) -> None:
    """Append a verdict to a run's ledger, and the model's circuits if they are not there yet.

    The evidence of modular addition takes seconds and can be refused: `analyse` writes it.
    """
    run.append({**result_row(weights, verdict, seconds=seconds), "certificate": certificate, "weights": stem})
    if stem not in run.circuit_stems() and not _adds(weights):
        run.write_circuits(stem, circuit_record(weights))
    run.write_provenance()
