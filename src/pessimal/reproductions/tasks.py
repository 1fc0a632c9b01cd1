"""Every task, several heads and LayerNorms: train (or read) one model each, prove, check, tabulate.

Contents:
    Tasks — the reproduction; its configuration lists models and strategies.
"""

import time
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

from pessimal import api
from pessimal.kernel.rejection import Rejected
from pessimal.report.numbers import down, nearest
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError, Swept
from pessimal.reproductions.tables import Table
from pessimal.spec import TASKS, Weights
from pessimal.strategies import STRATEGIES
from pessimal.train import TrainConfig, TrainedModel, file_name

TOP = {"checkpoints", "shipped", "samples", "models"}
MODEL = {"seed", "strategy", "options", *(field.name for field in fields(TrainConfig))}


class Tasks(AbstractReproduction):
    """One model per task and architecture."""

    name: ClassVar[str] = "tasks"
    question: ClassVar[str] = "Are other tasks, several heads and LayerNorms certified as well as the maximum?"
    needs_sweep: ClassVar[bool] = False
    configs: ClassVar[Path] = Path("experiments") / "tasks"
    sweep: ClassVar[str] = "config"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Sampled accuracy, bound, length and size for every model of the configuration."""
        if swept.path is None:
            raise ReproductionError("tasks reads a configuration file of its own")
        try:
            config = tomllib.loads(swept.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ReproductionError(f"{swept.path.name}: {error}") from None
        if set(config) - TOP or not isinstance(config.get("models"), list):
            raise ReproductionError(f"{swept.path.name}: the keys are {', '.join(sorted(TOP))}; models is a list")
        folders = [swept.path.parent / str(config.get(key, ".")) for key in ("shipped", "checkpoints")]
        return {"models": [_row(entry, folders, int(config.get("samples", 20_000))) for entry in config["models"]]}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """One row per model."""
        headings = ("model", "sampled accuracy", "certified", "strategy", "flops", "certificate bytes", "checked")
        rows = tuple(
            (
                row["model"],
                nearest(row["sampled_accuracy"], ".5f"),
                down(row["certified"], 6),
                " ".join([row["strategy"], *(f"{key}={value}" for key, value in row["options"].items())]),
                f"{row['flops']:,}",
                f"{row['certificate_bytes']:,}",
                row["verdict"],
            )
            for row in results["models"]
        )
        return {"tasks": Table("One model per task and architecture", headings, rows)}


def _row(entry: dict[str, Any], folders: list[Path], samples: int) -> dict[str, Any]:
    """Prove and check one model."""
    if set(entry) - MODEL or entry.get("strategy") not in STRATEGIES or entry.get("task") not in TASKS:
        raise ReproductionError(f"a model has a known task and strategy, and keys among {', '.join(sorted(MODEL))}")
    path, weights = _model(entry, folders)
    options = dict(entry.get("options", {}))
    strategy = STRATEGIES[entry["strategy"]](**options)
    task, _ = api.task_of(weights)
    row = {
        "model": path.stem,
        "training": {key: entry[key] for key in entry if key not in {"strategy", "options"}},
        "weights_sha256": weights.sha256,
        "sampled_accuracy": api.info(weights, samples=samples)["sampled_accuracy"],
        "strategy": entry["strategy"],
        "options": options,
    }
    begun = time.monotonic()
    try:
        proof = api.prove(weights, task, strategy)
    except Rejected as refusal:
        raise ReproductionError(f"{path.stem}: {entry['strategy']} refuses: {refusal.detail}") from None
    middle = time.monotonic()
    verdict = api.check(proof.data, weights)
    return row | {
        "certified": api.float_down(proof.claim.accuracy),
        "correct": str(proof.claim.correct),
        "total": str(proof.claim.total),
        "flops": proof.cost.flops,
        "certificate_bytes": len(proof.data),
        "verdict": "VERIFIED" if verdict.verified else f"REJECTED {verdict.reason}",
        "prove_seconds": round(middle - begun, 1),
        "check_seconds": round(time.monotonic() - middle, 1),
    }


def _model(entry: dict[str, Any], folders: list[Path]) -> tuple[Path, Weights]:
    """The model of an entry: from the first folder that has it, else trained into the last."""
    seed = int(entry.get("seed", 0))
    config = TrainConfig(**{key: entry[key] for key in entry if key not in {"seed", "strategy", "options"}})
    name = file_name(TrainedModel(config, seed, {}, 0.0))
    for folder in folders:
        if (folder / name).is_file():
            return folder / name, api.load_weights(folder / name)
    (path,) = api.train(config, [seed], folders[-1])
    return path, api.load_weights(path)
