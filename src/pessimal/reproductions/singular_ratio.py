"""Bound against sigma_1 / sigma_2 of EQKE, one line per way of bounding the QK circuit.

Contents:
    SingularRatio — the reproduction.
"""

from pathlib import Path
from typing import Any, ClassVar

from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.report.numbers import nearest
from pessimal.reproductions.drawing import figure
from pessimal.reproductions.groups import best_per_model, share
from pessimal.reproductions.interface import AbstractReproduction, ReproductionError, Swept
from pessimal.reproductions.lengths import SHADES
from pessimal.reproductions.tables import Table

LEAST_MODELS = 3


class SingularRatio(AbstractReproduction):
    """Does a model whose QK circuit is closer to rank one have a tighter proof?"""

    name: ClassVar[str] = "singular-ratio"
    question: ClassVar[str] = "Does a QK circuit closer to rank one give a tighter proof?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Per QK option: one point per model, and the regression line."""
        try:
            from scipy.stats import linregress  # noqa: PLC0415 - an extra
        except ImportError:
            raise ReproductionError("the regression needs the extra `paper`: pip install 'pessimal[paper]'") from None
        truth = swept.truth()
        ratio = {}
        for stem, model in swept.models.items():
            values = model["eqke_singular_values"]
            if len(values) > 1:
                ratio[stem] = values[0] / values[1]
        found = {}
        for word in QK_PATHS:
            best = best_per_model([row for row in swept.rows if row.get("attention_error") == word], "correct")
            stems = sorted(set(best) & set(ratio))
            x = [ratio[stem] for stem in stems]
            y = [share(best[stem], "correct", truth) for stem in stems]
            one: dict[str, Any] = {"models": stems, "ratio": x, "relative": y, "regression": None}
            if len(stems) >= LEAST_MODELS:
                fit = linregress(x, y)
                one["regression"] = {
                    "slope": float(fit.slope),
                    "intercept": float(fit.intercept),
                    "r_squared": float(fit.rvalue**2),
                    "p_value": float(fit.pvalue),
                }
            found[word] = one
        return {"options": found}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """The regressions."""
        rows = []
        for word, one in results["options"].items():
            fit = one["regression"]
            if fit is not None:
                line = (nearest(fit["slope"], ".2e"), nearest(fit["intercept"], ".4f"))
                rows.append(
                    (
                        word,
                        str(len(one["ratio"])),
                        *line,
                        nearest(fit["r_squared"], ".3f"),
                        nearest(fit["p_value"], ".1e"),
                    )
                )
        headings = ("QK option", "models", "slope", "intercept", "R^2", "p")
        return {"singular-ratio": Table("Relative bound against sigma_1 / sigma_2 of EQKE", headings, tuple(rows))}

    def figures(self, results: dict[str, Any], folder: Path) -> list[Path]:
        """Points and lines of every option."""
        path = folder / "singular-ratio.svg"
        title = "Bound against how nearly rank one EQKE is"
        with figure(path, title, "sigma_1 / sigma_2 of EQKE", "bound / accuracy") as axes:
            for shade, (word, one) in zip(SHADES * 2, results["options"].items(), strict=False):
                axes.scatter(one["ratio"], one["relative"], s=8, color=shade, label=word)
                fit = one["regression"]
                if fit is not None:
                    ends = [min(one["ratio"]), max(one["ratio"])]
                    axes.plot(ends, [fit["intercept"] + fit["slope"] * x for x in ends], color=shade, linewidth=0.8)
            axes.legend(fontsize=6)
        return [path]
