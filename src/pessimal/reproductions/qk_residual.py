"""The QK residual: every bound of its row differences side by side, and the test against random entries.

Contents:
    ErrorLadder — bounds from coarse to exact.
    ResampledResiduals — z-scores against products with random entries.
"""

from pathlib import Path
from typing import Any, ClassVar

from pessimal import api
from pessimal.analysis.qk_residual import error_ladder, resampled, residual_factors
from pessimal.report.numbers import nearest, up
from pessimal.reproductions.drawing import figure
from pessimal.reproductions.interface import AbstractReproduction, Swept
from pessimal.reproductions.main_table import summary
from pessimal.reproductions.tables import Table
from pessimal.strategies.sub_cubic import Workbench


class ErrorLadder(AbstractReproduction):
    """Which bound of the QK residual loses how much."""

    name: ClassVar[str] = "error-ladder"
    question: ClassVar[str] = "How much does each bound of the QK residual lose against its exact row difference?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Every rung on every model."""
        ladders = {
            path.stem: error_ladder(residual_factors(Workbench(api.load_weights(path)))) for path in swept.checkpoints
        }
        rungs = list(next(iter(ladders.values())))
        over = {rung: summary([one[rung] for one in ladders.values()]) for rung in rungs}
        return {"models": ladders, "summary": over}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """Mean and range per rung, and the ratio to the exact value."""
        exact = results["summary"]["exact row difference"]["mean"]
        rows = tuple(
            (rung, up(s["mean"], 2), up(s["min"], 2), up(s["max"], 2), nearest(s["mean"] / exact, ".1f"))
            for rung, s in results["summary"].items()
        )
        headings = ("bound", "mean", "least", "greatest", "times the exact one")
        return {"error-ladder": Table("Largest row difference of the QK residual, in scores", headings, rows)}

    def figures(self, results: dict[str, Any], folder: Path) -> list[Path]:
        """One line of points per rung."""
        path = folder / "error-ladder.svg"
        with figure(path, "Bounds of the QK residual", "largest row difference (scores)", "") as axes:
            rungs = list(results["summary"])
            for place, rung in enumerate(reversed(rungs)):
                values = [one[rung] for one in results["models"].values()]
                axes.scatter(values, [place] * len(values), s=8)
            axes.set_yticks(range(len(rungs)), rungs[::-1])
            axes.set_xscale("log")
        return [path]


class ResampledResiduals(AbstractReproduction):
    """Is the residual like noise?"""

    name: ClassVar[str] = "resampled-residuals"
    question: ClassVar[str] = "Is the QK residual larger than one whose factors have random entries?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Actual value, resampled values and z-score per model."""
        found = {}
        for path in swept.checkpoints:
            one = resampled(residual_factors(Workbench(api.load_weights(path))))
            found[path.stem] = {"actual": one.actual, "resampled": summary(one.values), "z": one.z}
        return {"models": found, "z": summary([one["z"] for one in found.values()])}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """One row per model, and the mean."""
        rows = [
            (stem, nearest(one["actual"], ".2f"), nearest(one["resampled"]["mean"], ".2f"), nearest(one["z"], "+.2f"))
            for stem, one in results["models"].items()
        ]
        rows.append(("mean over models", "", "", nearest(results["z"]["mean"], "+.2f")))
        headings = ("model", "actual", "mean of 100 resampled", "z-score")
        return {"resampled-residuals": Table("Largest row difference of the QK residual", headings, tuple(rows))}
