"""Every task, several heads and LayerNorms: train (or read) one model each, prove, check, tabulate.

Contents:
    Tasks — the reproduction; its configuration lists models and strategies.
    TaskRows, TaskRow — its numbers, and those of one model.
"""

import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from pessimal import api
from pessimal.analysis import sampled_accuracy
from pessimal.inputs import load_weights, task_of
from pessimal.kernel.rejection import Rejected
from pessimal.proving import STRATEGIES
from pessimal.records import float_down
from pessimal.report.numbers import down, nearest
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError
from pessimal.reproductions.record import Rows
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table
from pessimal.spec import TASKS, Weights
from pessimal.train import TrainConfig, TrainedModel, file_name

TOP = {"checkpoints", "shipped", "samples", "models"}
MODEL = {"seed", "strategy", "options", *(field.name for field in fields(TrainConfig))}


@dataclass(frozen=True)
class TaskRow(Rows):
    """One model: sampled, proved, checked.

    Attributes:
        model: file stem.
        training: its training configuration, as far as it was stated.
        weights_sha256: digest of the weights.
        sampled_accuracy: an estimate.
        strategy, options: of the proof.
        certified: proven lower bound on accuracy, rounded down.
        correct, total: the same, exact.
        flops: length of the proof.
        certificate_bytes: its size.
        verdict: VERIFIED, or why not.
        prove_seconds, check_seconds: wall time.
    """

    model: str
    training: Mapping[str, Any]
    weights_sha256: str
    sampled_accuracy: float
    strategy: str
    options: Mapping[str, Any]
    certified: float
    correct: str
    total: str
    flops: int
    certificate_bytes: int
    verdict: str
    prove_seconds: float
    check_seconds: float


@dataclass(frozen=True)
class TaskRows(Rows):
    """All models, in the order of the configuration."""

    models: tuple[TaskRow, ...]


class Tasks(AbstractReproduction[TaskRows]):
    """One model per task and architecture."""

    kind = TaskRows
    name: ClassVar[str] = "tasks"
    question: ClassVar[str] = "Are other tasks, several heads and LayerNorms certified as well as the maximum?"
    needs_sweep: ClassVar[bool] = False
    configs: ClassVar[Path] = Path("experiments") / "tasks"
    sweep: ClassVar[str] = "config"

    def results(self, swept: Swept) -> TaskRows:
        """Sampled accuracy, bound, length and size for every model of the configuration."""
        if swept.path is None:
            raise ReproductionError("tasks reads a configuration file of its own")
        try:
            config = tomllib.loads(swept.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ReproductionError(f"{swept.path.name}: {error}") from None
        entries = config.get("models")
        if set(config) - TOP or not isinstance(entries, list):
            raise ReproductionError(f"{swept.path.name}: the keys are {', '.join(sorted(TOP))}; models is a list")
        folders = [swept.path.parent / str(config.get(key, ".")) for key in ("shipped", "checkpoints")]
        samples = int(config.get("samples", 20_000))
        return TaskRows(tuple(_row(_entry(entry), folders, samples) for entry in entries))

    def tables(self, results: TaskRows) -> dict[str, Table]:
        """One row per model."""
        headings = ("model", "sampled accuracy", "certified", "strategy", "flops", "certificate bytes", "checked")
        rows = tuple(
            (
                row.model,
                nearest(row.sampled_accuracy, ".5f"),
                down(row.certified, 6),
                " ".join([row.strategy, *(f"{key}={value}" for key, value in row.options.items())]),
                f"{row.flops:,}",
                f"{row.certificate_bytes:,}",
                row.verdict,
            )
            for row in results.models
        )
        return {"tasks": Table("One model per task and architecture", headings, rows)}


@dataclass(frozen=True)
class _Entry:
    """A model of the configuration.

    Attributes:
        training: keys of its training configuration, and perhaps `seed`.
        strategy, options: of its proof.
    """

    training: dict[str, Any]
    strategy: str
    options: dict[str, Any]

    @property
    def trained(self) -> TrainedModel:
        """Names the file."""
        seed = int(self.training.get("seed", 0))
        return TrainedModel(TrainConfig(**{k: v for k, v in self.training.items() if k != "seed"}), seed, {}, 0.0)


def _entry(entry: dict[str, Any]) -> _Entry:
    """An entry with a known task and strategy.

    Raises:
        ReproductionError: it has others, or keys that nobody reads.
    """
    if set(entry) - MODEL or entry.get("strategy") not in STRATEGIES or entry.get("task") not in TASKS:
        raise ReproductionError(f"a model has a known task and strategy, and keys among {', '.join(sorted(MODEL))}")
    training = dict(entry)
    strategy, options = training.pop("strategy"), training.pop("options", {})
    return _Entry(training, strategy, dict(options))


def _row(entry: _Entry, folders: list[Path], samples: int) -> TaskRow:
    """Prove and check one model."""
    path, weights = _model(entry.trained, folders)
    strategy = STRATEGIES[entry.strategy](**entry.options)
    task, _ = task_of(weights)
    sampled = sampled_accuracy(weights, task, samples)
    begun = time.monotonic()
    try:
        proof = api.prove(weights, task, strategy)
    except Rejected as refusal:
        raise ReproductionError(f"{path.stem}: {entry.strategy} refuses: {refusal.detail}") from None
    middle = time.monotonic()
    verdict = api.check(proof.data, weights)
    return TaskRow(
        model=path.stem,
        training=entry.training,
        weights_sha256=weights.sha256,
        sampled_accuracy=sampled,
        strategy=entry.strategy,
        options=entry.options,
        certified=float_down(proof.claim.value),
        correct=str(proof.claim.amount),
        total=str(proof.claim.total),
        flops=proof.cost.flops,
        certificate_bytes=len(proof.data),
        verdict="VERIFIED" if verdict.verified else f"REJECTED {verdict.reason}",
        prove_seconds=round(middle - begun, 1),
        check_seconds=round(time.monotonic() - middle, 1),
    )


def _model(trained: TrainedModel, folders: list[Path]) -> tuple[Path, Weights]:
    """A model: from the first folder that has it, else trained into the last."""
    name = file_name(trained)
    for folder in folders:
        if (folder / name).is_file():
            return folder / name, load_weights(folder / name)
    (path,) = api.train(trained.config, [trained.seed], folders[-1])
    return path, load_weights(path)
