"""Runs of modular addition as a configuration names them: files read, or trained where one is missing; bounds of each.

Keys of a run: `recipe` (pizza, clock or grokking), any field of `ModularConfig` but `checkpoints`, `checkpoints` (the
folder, from the configuration's own), and the epochs: `at`, a list, or `every`, a distance.
Keys of a strategy: `strategy`, its name, `options`, and perhaps `at`, the epochs it is tried at (default: all).

Contents:
    read_keys — a TOML file with known keys.
    ModularRun — one seed's checkpoints.
    modular_run — from a configuration.
    Attempt, strategies_of — a strategy with its options; those of a configuration.
    Checked, Refused — what becomes of an attempt on a model.
    bound_row, bounds_at — a proof and its check; those of one checkpoint.
    bound_cell — a bound in a table.
"""

import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from pessimal import api
from pessimal.inputs import load_weights
from pessimal.kernel.rejection import Rejected
from pessimal.proving import STRATEGIES
from pessimal.records import float_down
from pessimal.report.numbers import nearest
from pessimal.reproductions.interface import ReproductionError
from pessimal.reproductions.record import Rows
from pessimal.spec import Weights
from pessimal.spec.claim import decimal_down
from pessimal.spec.task import AbstractTask
from pessimal.strategies.interface import StrategyError
from pessimal.train import RECIPES, ModularConfig, TrainedModel, file_name

OWN = frozenset(field.name for field in fields(ModularConfig)) - {"checkpoints"}
RUN = OWN | {"recipe", "checkpoints", "at", "every"}


def read_keys(path: Path | None, known: frozenset[str]) -> dict[str, Any]:
    """A TOML file all of whose keys are known.

    Raises:
        ReproductionError: no file, not TOML, or another key.
    """
    if path is None:
        raise ReproductionError("this reproduction reads a configuration file of its own")
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReproductionError(f"{path.name}: {error}") from None
    if set(config) - known:
        raise ReproductionError(f"{path.name}: unknown {', '.join(sorted(set(config) - known))}")
    return config


@dataclass(frozen=True)
class ModularRun:
    """Checkpoints of one seed.

    Attributes:
        config: its recipe; `checkpoints` are the epochs before the last that are read.
        seed: which.
        folder: where the files are, and where missing ones are written.
    """

    config: ModularConfig
    seed: int
    folder: Path

    def weights(self) -> Iterator[tuple[int, Weights]]:
        """Epoch and model, in order; the whole run is trained if a file is missing.

        Raises:
            ReproductionError: a file says that it was trained on another share of the pairs.
        """
        config = self.config
        epochs = sorted({*config.checkpoints, config.epochs})
        paths = {epoch: self.folder / file_name(TrainedModel(config, self.seed, {}, 0.0, epoch)) for epoch in epochs}
        if not all(path.is_file() for path in paths.values()):
            for _ in api.train(config, [self.seed], self.folder):
                pass
        for epoch, path in paths.items():
            weights = load_weights(path)
            stated = weights.metadata.get("train_ratio")
            if stated is not None and stated != repr(config.ratio):
                raise ReproductionError(f"{path.name}: trained on a share of {stated}, not {config.ratio}")
            yield epoch, weights

    def trained(self) -> Bool[np.ndarray, "p p"]:
        """The pairs that the seed is trained on."""
        p = self.config.p
        pairs = np.zeros(p * p, dtype=bool)
        pairs[self.config.trained_on(self.seed)] = True
        return pairs.reshape(p, p)


def modular_run(record: dict[str, Any], seed: int, base: Path) -> ModularRun:
    """The run of a seed.

    Args:
        record: keys of a run; others are ignored.
        seed: which.
        base: folder that `checkpoints` is relative to.

    Raises:
        ReproductionError: unknown recipe, or a value that cannot be trained.
    """
    recipe = record.get("recipe", "pizza")
    if recipe not in RECIPES:
        raise ReproductionError(f"recipe {recipe!r} is not one of {', '.join(RECIPES)}")
    try:
        config = replace(RECIPES[recipe], **{key: record[key] for key in OWN & set(record)})
        every = int(record.get("every", config.epochs))
        if every < 1:
            raise ValueError(f"every={every} is not a number of epochs")
        kept = {int(epoch) for epoch in record.get("at", range(every, config.epochs, every))}
        config = replace(config, checkpoints=tuple(sorted(kept - {config.epochs})))
    except (TypeError, ValueError) as error:
        raise ReproductionError(str(error)) from None
    return ModularRun(config, seed, base / str(record.get("checkpoints", ".")))


@dataclass(frozen=True)
class Attempt:
    """A strategy with its options.

    Attributes:
        strategy, options: which.
        at: the epochs it is tried at, None for all.
    """

    strategy: str
    options: Mapping[str, Any]
    at: tuple[int, ...] | None = None

    @property
    def label(self) -> str:
        """Name and options on one line."""
        return " ".join([self.strategy, *(f"{key}={value}" for key, value in self.options.items())])


def strategies_of(config: dict[str, Any]) -> list[Attempt]:
    """The strategies of a configuration, with options; none by default.

    Raises:
        ReproductionError: an unknown strategy or option, or `at` is not a list of epochs.
    """
    found = []
    for entry in config.get("strategies", []):
        name, options = entry.get("strategy"), dict(entry.get("options", {}))
        if name not in STRATEGIES or set(entry) - {"strategy", "options", "at"}:
            raise ReproductionError(f"strategy {name!r} is unknown, or has keys beside strategy, options and at")
        epochs = entry.get("at")
        if epochs is not None and not (isinstance(epochs, list) and all(isinstance(one, int) for one in epochs)):
            raise ReproductionError(f"{name}: at={epochs!r} is not a list of epochs")
        try:
            STRATEGIES[name](**options)
        except (TypeError, StrategyError) as error:
            raise ReproductionError(f"{name}: {error}") from None
        found.append(Attempt(name, options, None if epochs is None else tuple(epochs)))
    return found


@dataclass(frozen=True)
class Checked(Rows):
    """A proof of one model and its check.

    Attributes:
        strategy, options, label: who made it.
        certified: proven lower bound on accuracy, rounded down.
        correct, total: the same, exact.
        flops: length of the proof.
        certificate_bytes: its size.
        verdict: VERIFIED, or why not.
        refused: nothing.
        seconds: wall time of proof and check.
    """

    strategy: str
    options: Mapping[str, Any]
    label: str
    certified: float
    correct: str
    total: str
    flops: int
    certificate_bytes: int
    verdict: str
    refused: None
    seconds: float

    @property
    def accuracy(self) -> Fraction:
        """The proven lower bound, exact."""
        return Fraction(int(self.correct), int(self.total))


@dataclass(frozen=True)
class Refused(Rows):
    """A strategy that has no proof of a model.

    Attributes:
        strategy, options, label: which.
        certified, flops, verdict: nothing.
        refused: why there is no proof.
    """

    strategy: str
    options: Mapping[str, Any]
    label: str
    certified: None
    flops: None
    verdict: None
    refused: str


Bound = Checked | Refused


def bounds_at(
    epoch: int, weights: Weights, task: AbstractTask, strategies: Sequence[Attempt]
) -> tuple[Bound | None, ...]:
    """What every strategy gives, None for those that are not tried at this epoch."""
    return tuple(bound_row(weights, task, one) if one.at is None or epoch in one.at else None for one in strategies)


def bound_row(weights: Weights, task: AbstractTask, attempt: Attempt) -> Bound:
    """Bound, length and verdict of one strategy on one model; `refused` says why where there is no proof.

    The task is that of the run: files of three tokens may name it as if there were two.
    """
    begun = time.monotonic()
    try:
        proof = api.prove(weights, task, STRATEGIES[attempt.strategy](**attempt.options))
    except Rejected as refusal:
        return Refused(
            attempt.strategy, attempt.options, attempt.label,
            certified=None, flops=None, verdict=None, refused=refusal.detail,
        )  # fmt: skip
    verdict = api.check(proof.data, weights)
    return Checked(
        attempt.strategy,
        attempt.options,
        attempt.label,
        certified=float_down(proof.claim.value),
        correct=str(proof.claim.amount),
        total=str(proof.claim.total),
        flops=proof.cost.flops,
        certificate_bytes=len(proof.data),
        verdict="VERIFIED" if verdict.verified else f"REJECTED {verdict.reason}",
        refused=None,
        seconds=round(time.monotonic() - begun, 1),
    )


def bound_cell(found: Bound | None) -> str:
    """Certified accuracy, rounded down, and MFLOP; a dash where nothing was tried."""
    if found is None:
        return "-"
    if isinstance(found, Refused):
        return "refused"
    checked = "" if found.verdict == "VERIFIED" else f" {found.verdict}"
    return f"{decimal_down(found.accuracy, 4)}, {nearest(found.flops / 1e6, '.1f')}M{checked}"
