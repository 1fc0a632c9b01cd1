"""Bounds of models that answer alike but were trained for different lengths.

Contents:
    TrainingLength — the reproduction; its configuration names seeds, epochs and strategies.
    TrainingLengthRows, Trained — its numbers, and those of one checkpoint.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pessimal.reproductions.drawing import figure
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError
from pessimal.reproductions.modular.modular_runs import (
    RUN,
    Attempt,
    Bound,
    bound_cell,
    bound_row,
    modular_run,
    read_keys,
    strategies_of,
)
from pessimal.reproductions.record import Rows
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table

BRUTE = Attempt("brute-force", {})


@dataclass(frozen=True)
class Trained(Rows):
    """Bounds of one checkpoint.

    Attributes:
        seed, epoch: which.
        weights_sha256: digest of the weights.
        exact: by brute force.
        bounds: by every strategy, in the order of the configuration.
    """

    seed: int
    epoch: int
    weights_sha256: str
    exact: Bound
    bounds: tuple[Bound, ...]

    @property
    def all_bounds(self) -> tuple[Bound, ...]:
        """Brute force and the strategies."""
        return self.exact, *self.bounds


@dataclass(frozen=True)
class TrainingLengthRows(Rows):
    """All checkpoints.

    Attributes:
        configuration: the keys of the configuration file.
        models: seed by seed, in order of epoch.
    """

    configuration: Mapping[str, Any]
    models: tuple[Trained, ...]


class TrainingLength(AbstractReproduction[TrainingLengthRows]):
    """Exact accuracy, bounds and lengths by epoch."""

    kind = TrainingLengthRows
    name: ClassVar[str] = "training-length"
    question: ClassVar[str] = "Of models that are equally right, is the one trained longer easier to certify?"
    needs_sweep: ClassVar[bool] = False
    configs: ClassVar[Path] = Path("experiments") / "training-length"
    sweep: ClassVar[str] = "config"
    keys: ClassVar[frozenset[str]] = RUN | {"seeds", "strategies"}

    def results(self, swept: Swept) -> TrainingLengthRows:
        """Brute force and every strategy of the configuration, on every checkpoint of every seed."""
        config = read_keys(swept.path, self.keys)
        strategies = strategies_of(config)
        seeds = config.get("seeds", [0])
        if not strategies or not isinstance(seeds, list):
            raise ReproductionError("training-length needs a list of seeds and at least one strategy")
        if any(entry.at is not None for entry in strategies):
            raise ReproductionError("training-length tries every strategy at every epoch: leave at out of strategies")
        models = []
        for seed in seeds:
            run = modular_run(config, int(seed), swept.folder or Path())
            for epoch, weights in run.weights():
                exact, *bounds = (bound_row(weights, run.config.spec_task, entry) for entry in [BRUTE, *strategies])
                models.append(Trained(int(seed), epoch, weights.sha256, exact, tuple(bounds)))
        return TrainingLengthRows(config, tuple(models))

    def tables(self, results: TrainingLengthRows) -> dict[str, Table]:
        """One row per model: certified accuracy and length by strategy."""
        headings = ("seed, epoch", "exact accuracy, flops", *(bound.label for bound in results.models[0].bounds))
        rows = tuple(
            (f"{model.seed}, {model.epoch:,}", *map(bound_cell, model.all_bounds))
            for model in sorted(results.models, key=lambda model: (model.epoch, model.seed))
        )
        return {"training-length": Table("Certified accuracy and MFLOP by epoch of training", headings, rows)}

    def figures(self, results: TrainingLengthRows, folder: Path) -> list[Path]:
        """Certified accuracy, and length, against epochs; one line per seed and strategy."""
        path = folder / "training-length-certified.svg"
        with figure(path, "Certified accuracy and training length", "epochs", "certified accuracy") as axes:
            _lines(axes, results.models, lambda bound: bound.certified)
        paths = [path, folder / "training-length-flops.svg"]
        with figure(paths[1], "Flops and training length", "epochs", "flops") as axes:
            _lines(axes, results.models, lambda bound: bound.flops)
            axes.set_yscale("log")
        return paths


def _lines(axes: Any, models: Sequence[Trained], value: Callable[[Bound], float | None]) -> None:
    """A colour per strategy, brute force first, on a logarithmic axis of epochs."""
    seeds = sorted({model.seed for model in models})
    for place, first in enumerate(models[0].all_bounds):
        for seed in seeds:
            mine = sorted((model for model in models if model.seed == seed), key=lambda model: model.epoch)
            drawn = [(model.epoch, y) for model in mine if (y := value(model.all_bounds[place])) is not None]
            axes.plot(
                [epoch for epoch, _ in drawn],
                [y for _, y in drawn],
                color=f"C{place}",
                marker="o",
                markersize=3,
                linewidth=1,
                label=first.label if seed == seeds[0] else None,
            )
    axes.set_xscale("log")
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
