"""The QK residual: every bound of its row differences side by side, and the test against random entries.

Contents:
    ErrorLadder — bounds from coarse to exact.
    ResampledResiduals — z-scores against products with random entries.
    LadderRows, ResampledRows — the numbers of the two.
    ResampledModel — those of one model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pessimal.analysis.qk_residual import error_ladder, resampled, residual_factors
from pessimal.inputs import load_weights
from pessimal.report.numbers import nearest, up
from pessimal.reproductions.drawing import figure
from pessimal.reproductions.interface import AbstractReproduction
from pessimal.reproductions.record import Rows
from pessimal.reproductions.statistics import Summary, summary_of
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table
from pessimal.search.sub_cubic import Workbench

# The last rung of the ladder, which is no bound.
EXACT = "exact row difference"


@dataclass(frozen=True)
class LadderRows(Rows):
    """Bounds of the largest row difference, in scores.

    Attributes:
        models: by model, by rung.
        summary: by rung, over models.
    """

    models: Mapping[str, Mapping[str, float]]
    summary: Mapping[str, Summary]


class ErrorLadder(AbstractReproduction[LadderRows]):
    """Which bound of the QK residual loses how much."""

    kind = LadderRows
    name: ClassVar[str] = "error-ladder"
    question: ClassVar[str] = "How much does each bound of the QK residual lose against its exact row difference?"

    def results(self, swept: Swept) -> LadderRows:
        """Every rung on every model."""
        ladders = {
            path.stem: error_ladder(residual_factors(Workbench(load_weights(path)))) for path in swept.checkpoints
        }
        rungs = next(iter(ladders.values()))
        return LadderRows(ladders, {rung: summary_of(ladder[rung] for ladder in ladders.values()) for rung in rungs})

    def tables(self, results: LadderRows) -> dict[str, Table]:
        """Mean and range per rung, and the ratio to the exact value."""
        exact = results.summary[EXACT].mean
        rows = tuple(
            (rung, up(s.mean, 2), up(s.min, 2), up(s.max, 2), nearest(s.mean / exact, ".1f"))
            for rung, s in results.summary.items()
        )
        headings = ("bound", "mean", "least", "greatest", "times the exact one")
        return {"error-ladder": Table("Largest row difference of the QK residual, in scores", headings, rows)}

    def figures(self, results: LadderRows, folder: Path) -> list[Path]:
        """One line of points per rung."""
        path = folder / "error-ladder.svg"
        with figure(path, "Bounds of the QK residual", "largest row difference (scores)", "") as axes:
            rungs = list(results.summary)
            for place, rung in enumerate(reversed(rungs)):
                values = [ladder[rung] for ladder in results.models.values()]
                axes.scatter(values, [place] * len(values), s=8)
            axes.set_yticks(range(len(rungs)), rungs[::-1])
            axes.set_xscale("log")
        return [path]


@dataclass(frozen=True)
class ResampledModel(Rows):
    """The largest row difference of one model.

    Attributes:
        actual: its own.
        resampled: of products with random entries.
        z: how many standard deviations the actual one lies above their mean.
    """

    actual: float
    resampled: Summary
    z: float


@dataclass(frozen=True)
class ResampledRows(Rows):
    """By model, and the z-scores of all."""

    models: Mapping[str, ResampledModel]
    z: Summary


class ResampledResiduals(AbstractReproduction[ResampledRows]):
    """Is the residual like noise?"""

    kind = ResampledRows
    name: ClassVar[str] = "resampled-residuals"
    question: ClassVar[str] = "Is the QK residual larger than one whose factors have random entries?"

    def results(self, swept: Swept) -> ResampledRows:
        """Actual value, resampled values and z-score per model."""
        found = {}
        for path in swept.checkpoints:
            one = resampled(residual_factors(Workbench(load_weights(path))))
            found[path.stem] = ResampledModel(one.actual, summary_of(one.values), one.z)
        return ResampledRows(found, summary_of(model.z for model in found.values()))

    def tables(self, results: ResampledRows) -> dict[str, Table]:
        """One row per model, and the mean."""
        rows = [
            (stem, nearest(model.actual, ".2f"), nearest(model.resampled.mean, ".2f"), nearest(model.z, "+.2f"))
            for stem, model in results.models.items()
        ]
        rows.append(("mean over models", "", "", nearest(results.z.mean, "+.2f")))
        headings = ("model", "actual", "mean of 100 resampled", "z-score")
        return {"resampled-residuals": Table("Largest row difference of the QK residual", headings, tuple(rows))}
