"""The Python interface: what the command line does, under the same names; run folders are in `run_folders`.

Contents:
    load_weights — a safetensors file to `Weights`.
    load_distribution — how often every input occurs, from a JSON or TOML file.
    task_of — the task a file says it was trained for.
    read_machine — a task of one's own.
    prove, within, save_certificate, check — the main job.
    write_strata — the bounds by stratum as a table.
    result_row — a proof or verdict as the JSON object of the command line.
    info — what a weights file holds.
    train — models from seeds.
"""

import json
import math
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pessimal.analysis import sampled_accuracy
from pessimal.kernel.certificate import MAX_HEADER_BYTES
from pessimal.kernel.check import Asked, Limits
from pessimal.kernel.check import check as kernel_check
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.kernel.verdict import NotVerified, Verdict, Verified
from pessimal.runs import write_atomic
from pessimal.runs.inputs import STDIN, TooLargeError, read_at_most, read_text, read_whole, shown
from pessimal.runs.notices import notice
from pessimal.runs.training import TrainingLog
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
from pessimal.spec.claim import ACCURACY, LOSS, MEAN_PROBABILITY
from pessimal.spec.distribution import PREFIX, distribution_from, usual_distribution
from pessimal.spec.semantics import assumptions as semantics_assumptions
from pessimal.spec.tasks import CustomTask, task_from_record
from pessimal.strategies import BUDGETS, Proof, prove, within

if TYPE_CHECKING:
    from pessimal.train import ModularConfig, TrainConfig

__all__ = [
    "BUDGETS",
    "check",
    "info",
    "load_distribution",
    "load_weights",
    "prove",
    "read_certificate",
    "read_machine",
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
CLAIM_FIELDS = (
    "correct", "total", "claim", "accuracy_lower_bound", "mean_probability_lower_bound", "loss_upper_bound",
    "accuracy_upper_bound", "worst_stratum",
)  # fmt: skip
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
    with _naming(path, WeightsError):
        return read_weights(read_whole(path, MAX_WEIGHT_BYTES), overrides)


@contextmanager
def _naming(path: Path, kind: type[ValueError]) -> Iterator[None]:
    """Errors of reading a file, or of this kind, as one sentence of this kind that names the file."""
    try:
        yield
    except OSError as error:
        raise kind(f"{shown(path)}: {error.strerror or 'cannot be read'}") from None
    except (TooLargeError, kind) as error:
        raise kind(f"{shown(path)}: {error}") from None


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
        with _naming(path, DistributionError):
            text = read_text(path)
        record = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except DistributionError:
        raise
    except (ValueError, RecursionError):
        raise DistributionError(f"{shown(path)} is not a JSON or TOML file") from None
    fields = dict(record) if isinstance(record, dict) else {}
    name = fields.pop("name", None)
    arrays = {f"{PREFIX}{key}": value for key, value in fields.items()}
    with _naming(path, DistributionError):
        return distribution_from({"name": name}, arrays)


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
    with _naming(path, TaskError):
        try:
            record = json.loads(read_text(path))
        except TooLargeError:
            raise
        except (ValueError, RecursionError):
            raise TaskError("not a JSON file") from None
        task = task_from_record({"name": CustomTask.name, **record} if isinstance(record, dict) else record)
        if not isinstance(task, CustomTask):
            raise TaskError(f"the name of a machine is {CustomTask.name!r}")
        if weights is not None:
            task.require_fits(weights.architecture)
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
        data = read_certificate(Path(certificate), limits)
    return kernel_check(data, weights, arithmetic=arithmetic, limits=limits, asked=asked, progress=progress)


def read_certificate(path: Path, limits: Limits | None = None) -> bytes:
    """The bytes of a certificate, at most one more than may be checked.

    Raises:
        OSError: it cannot be read.
    """
    return read_at_most(path, (limits or Limits()).max_bytes + 1, _may_be_certificate)


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
    if not isinstance(verdict, Verified) or not verdict.strata:
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
    question, certificate, cost = verdict.question, verdict.certificate, verdict.cost
    distribution = None if question is None else question.distribution
    claimed = _claim_fields(verdict) if isinstance(verdict, Verified) else {}
    assumed = semantics_assumptions(verdict.claim.semantics) if isinstance(verdict, Verified) else ()
    return {
        "verdict": "VERIFIED" if isinstance(verdict, Verified) else "REJECTED",
        "reason": None if isinstance(verdict, Verified) else str(verdict.reason),
        **dict.fromkeys(CLAIM_FIELDS),
        **claimed,
        "assumptions": [*map(str, weights.architecture.assumed), *assumptions, *assumed],
        "question_sha256": None if question is None else question.sha256,
        "task": None if question is None else question.task.name,
        "task_record": None if question is None else question.task.record(),
        "semantics": None if question is None else question.semantics,
        "distribution": None if distribution is None else distribution.name,
        "distribution_sha256": distribution.sha256 if distribution is not None and distribution.arrays() else None,
        "strategy": None if certificate is None else certificate.strategy,
        "rule": None if certificate is None else certificate.rule,
        "flops": None if cost is None else cost.flops,
        "checker_ops": None if cost is None else cost.checker_ops,
        "certificate_bytes": verdict.n_bytes,
        "unexplained_dims": None if cost is None else cost.unexplained_dims,
        "seconds": round(seconds, 3),
        "weights_sha256": weights.sha256,
    }


def _claim_fields(verdict: Verified) -> dict[str, Any]:
    """`CLAIM_FIELDS` of a verified claim."""
    claim, at_most, worst = verdict.claim, verdict.correct_at_most, verdict.worst_stratum
    down = float_down(claim.accuracy) if claim.quantity != LOSS else None
    stratum = None if worst is None else (worst.q, worst.y, str(worst.total), str(worst.wrong_at_most))
    return {
        "correct": str(claim.correct),
        "total": str(claim.total),
        "claim": claim.kind,
        "accuracy_lower_bound": down if claim.quantity == ACCURACY else None,
        "mean_probability_lower_bound": down if claim.quantity == MEAN_PROBABILITY else None,
        "loss_upper_bound": -float_down(-claim.accuracy) if claim.quantity == LOSS else None,
        "accuracy_upper_bound": None if at_most is None else -float_down(-Fraction(at_most, claim.total)),
        "worst_stratum": None if stratum is None else dict(zip(STRATA_COLUMNS, stratum, strict=True)),
    }


def refused_row(weights: Weights, refusal: Rejected, *, strategy: str, seconds: float) -> dict[str, Any]:
    """The same object for a proof that was refused before there was a certificate."""
    row = result_row(weights, NotVerified(refusal.reason, refusal.detail), seconds=seconds)
    return {**row, "strategy": strategy}


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
    """Train one model per seed and yield each file: first those that are there, then each as it is written.

    Run again to resume: files that the same configuration wrote are kept. Needs torch (extra `train`).

    Raises:
        RunFolderError: a file is in the way that was trained otherwise, or nothing says how.
    """
    from pessimal.train import ModularConfig, save_models, train_in_stacks, train_modular
    from pessimal.train.save import file_digest, files_of, training_record

    log = TrainingLog(Path(out))
    there: list[Path] = []
    left = []
    for seed in seeds:
        asked = files_of(config, seed)
        found = [path for name, record in asked.items() if (path := log.finished(name, record)) is not None]
        if len(found) < len(asked):
            left.append(seed)
        else:
            there += found
    if there:
        notice(f"{len(there)} files are there already, trained as asked; they are kept")
    yield from there
    if not left:
        return
    train = train_modular if isinstance(config, ModularConfig) else train_in_stacks
    for models in train(config, left, on_step):
        for model in models:
            # The note first: a file without one is nobody's.
            log.note(*file_digest(model), training_record(model))
            yield from save_models([model], Path(out))
