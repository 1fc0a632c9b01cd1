"""Runs of modular addition as a configuration names them: files read, or trained where one is missing; bounds of each.

Keys of a run: `recipe` (pizza, clock or grokking), any field of `ModularConfig` but `checkpoints`, `checkpoints` (the
folder, from the configuration's own), and the epochs: `at`, a list, or `every`, a distance.
Keys of a strategy: `strategy`, its name, `options`, and perhaps `at`, the epochs it is tried at (default: all).

Contents:
    read_keys — a TOML file with known keys.
    ModularRun — one seed's checkpoints.
    modular_run — from a configuration.
    bound_row, bounds_at — a proof and its check; those of one checkpoint.
    bound_cell — a bound in a table.
    strategies_of, label — the strategies of a configuration.
"""

import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from pessimal import api
from pessimal.kernel.rejection import Rejected
from pessimal.report.numbers import nearest
from pessimal.reproductions.interface import ReproductionError
from pessimal.spec import Weights
from pessimal.spec.claim import decimal_down
from pessimal.spec.task import AbstractTask
from pessimal.strategies import STRATEGIES
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
            weights = api.load_weights(path)
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


def strategies_of(config: dict[str, Any]) -> list[dict[str, Any]]:
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
        found.append({"strategy": name, "options": options, "at": epochs})
    return found


def label(entry: dict[str, Any]) -> str:
    """Name and options on one line."""
    return " ".join([entry["strategy"], *(f"{key}={value}" for key, value in entry["options"].items())])


def bounds_at(
    epoch: int, weights: Weights, task: AbstractTask, strategies: list[dict[str, Any]]
) -> list[dict[str, Any] | None]:
    """A row for every strategy, None for those that are not tried at this epoch."""
    return [bound_row(weights, task, one) if one["at"] is None or epoch in one["at"] else None for one in strategies]


def bound_row(weights: Weights, task: AbstractTask, entry: dict[str, Any]) -> dict[str, Any]:
    """Bound, length and verdict of one strategy on one model; `refused` says why where there is no proof.

    The task is that of the run: files of three tokens may name it as if there were two.
    """
    begun = time.monotonic()
    row: dict[str, Any] = {"strategy": entry["strategy"], "options": entry["options"], "label": label(entry)}
    try:
        proof = api.prove(weights, task, STRATEGIES[entry["strategy"]](**entry["options"]))
    except Rejected as refusal:
        return row | {"certified": None, "flops": None, "verdict": None, "refused": refusal.detail}
    verdict = api.check(proof.data, weights)
    return row | {
        "certified": api.float_down(proof.claim.accuracy),
        "correct": str(proof.claim.correct),
        "total": str(proof.claim.total),
        "flops": proof.cost.flops,
        "certificate_bytes": len(proof.data),
        "verdict": "VERIFIED" if verdict.verified else f"REJECTED {verdict.reason}",
        "refused": None,
        "seconds": round(time.monotonic() - begun, 1),
    }


def bound_cell(row: dict[str, Any] | None) -> str:
    """Certified accuracy, rounded down, and MFLOP; a dash where nothing was tried."""
    if row is None:
        return "-"
    if row["refused"] is not None:
        return "refused"
    checked = "" if row["verdict"] == "VERIFIED" else f" {row['verdict']}"
    accuracy = decimal_down(Fraction(int(row["correct"]), int(row["total"])), 4)
    return f"{accuracy}, {nearest(row['flops'] / 1e6, '.1f')}M{checked}"
