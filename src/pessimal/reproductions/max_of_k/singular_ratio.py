"""Bound against sigma_1 / sigma_2 of EQKE, one line per way of bounding the QK circuit.

Contents:
    SingularRatio — the reproduction.
    RatioRows — its numbers.
    OptionPoints, Regression — those of one QK option, and the line through them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.report.numbers import nearest
from pessimal.reproductions.drawing import figure
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError
from pessimal.reproductions.max_of_k.groups import best_proofs, certified_share
from pessimal.reproductions.max_of_k.lengths import SHADES
from pessimal.reproductions.record import Rows
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table

LEAST_MODELS = 3


@dataclass(frozen=True)
class Regression(Rows):
    """A least-squares line.

    Attributes:
        slope, intercept: the line.
        r_squared: share of the variance that it explains.
        p_value: of a slope of zero.
    """

    slope: float
    intercept: float
    r_squared: float
    p_value: float


@dataclass(frozen=True)
class OptionPoints(Rows):
    """One point per model.

    Attributes:
        models: file stems.
        ratio: sigma_1 / sigma_2 of EQKE.
        relative: certified share of the model's accuracy.
        regression: None where there are too few models.
    """

    models: tuple[str, ...]
    ratio: tuple[float, ...]
    relative: tuple[float, ...]
    regression: Regression | None


@dataclass(frozen=True)
class RatioRows(Rows):
    """By way of bounding the QK circuit."""

    options: Mapping[str, OptionPoints]


class SingularRatio(AbstractReproduction[RatioRows]):
    """Does a model whose QK circuit is closer to rank one have a tighter proof?"""

    kind = RatioRows
    name: ClassVar[str] = "singular-ratio"
    question: ClassVar[str] = "Does a QK circuit closer to rank one give a tighter proof?"

    def results(self, swept: Swept) -> RatioRows:
        """Per QK option: one point per model, and the regression line."""
        truth = swept.truth()
        ratio = {stem: values[0] / values[1] for stem, values in swept.singular_values.items() if len(values) > 1}
        found = {}
        for word in QK_PATHS:
            best = best_proofs(
                row for row in swept.rows if row.composition is not None and row.composition.attention_error == word
            )
            stems = tuple(sorted(set(best) & set(ratio)))
            x = tuple(ratio[stem] for stem in stems)
            y = tuple(certified_share(best[stem], truth) for stem in stems)
            found[word] = OptionPoints(stems, x, y, _regression(x, y))
        return RatioRows(found)

    def tables(self, results: RatioRows) -> dict[str, Table]:
        """The regressions."""
        rows = tuple(
            (
                word,
                str(len(points.ratio)),
                nearest(points.regression.slope, ".2e"),
                nearest(points.regression.intercept, ".4f"),
                nearest(points.regression.r_squared, ".3f"),
                nearest(points.regression.p_value, ".1e"),
            )
            for word, points in results.options.items()
            if points.regression is not None
        )
        headings = ("QK option", "models", "slope", "intercept", "R^2", "p")
        return {"singular-ratio": Table("Relative bound against sigma_1 / sigma_2 of EQKE", headings, rows)}

    def figures(self, results: RatioRows, folder: Path) -> list[Path]:
        """Points and lines of every option."""
        path = folder / "singular-ratio.svg"
        title = "Bound against how nearly rank one EQKE is"
        with figure(path, title, "sigma_1 / sigma_2 of EQKE", "bound / accuracy") as axes:
            for shade, (word, points) in zip(SHADES * 2, results.options.items(), strict=False):
                axes.scatter(points.ratio, points.relative, s=8, color=shade, label=word)
                fit = points.regression
                if fit is not None:
                    ends = [min(points.ratio), max(points.ratio)]
                    axes.plot(ends, [fit.intercept + fit.slope * x for x in ends], color=shade, linewidth=0.8)
            axes.legend(fontsize=6)
        return [path]


def _regression(x: Sequence[float], y: Sequence[float]) -> Regression | None:
    """The line through some points; None if they are too few.

    Raises:
        ReproductionError: SciPy is not installed.
    """
    try:
        from scipy.stats import linregress  # noqa: PLC0415 - an extra
    except ImportError:
        raise ReproductionError("the regression needs the extra `paper`: pip install 'pessimal[paper]'") from None
    if len(x) < LEAST_MODELS:
        return None
    fit = linregress(x, y)
    return Regression(float(fit.slope), float(fit.intercept), float(fit.rvalue**2), float(fit.pvalue))
