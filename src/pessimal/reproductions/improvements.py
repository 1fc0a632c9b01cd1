"""What each sound improvement of the published proofs buys, one at a time and together.

Contents:
    Improvements — the reproduction.
"""

from typing import Any, ClassVar

from pessimal import api
from pessimal.report.numbers import down, nearest
from pessimal.reproductions.interface import AbstractReproduction, Swept
from pessimal.reproductions.main_table import summary
from pessimal.reproductions.tables import Table
from pessimal.strategies import PUBLISHED

MODELS = 8
COMPOSITIONS = (
    "eupu-max-diff-exact--attn-mean-query+diff--attn-err-exact-eqke+max-diff-exact",
    "eupu-max-diff-exact--attn-mean-query+diff--attn-err-max-diff",
    "eupu-mean-query+max-diff--attn-mean-query+diff--attn-err-mean+max-diff-subproduct-recursive",
)
BARE: dict[str, int | str] = {"count": "published", "gaps": "target", "points": 1, "cross": "bounded"}
VARIANTS: dict[str, dict[str, int | str]] = {
    "none of them": {},
    "count of m - g + 1 tokens": {"count": "fixed"},
    "gaps by query": {"gaps": "query"},
    "two-point chord": {"points": 2},
    "five-point chord": {"points": 5},
    "exact cross terms": {"cross": "exact"},
    "all, two points": {"count": "fixed", "gaps": "query", "points": 2, "cross": "exact"},
    "all, five points": {"count": "fixed", "gaps": "query", "points": 5, "cross": "exact"},
}


class Improvements(AbstractReproduction):
    """Options of the sub-cubic strategies, switched on one by one."""

    name: ClassVar[str] = "improvements"
    question: ClassVar[str] = "What does each improvement of the published proofs buy, and at what length?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Bounds and lengths per composition and variant, over the first models of the sweep."""
        found: dict[str, dict[str, Any]] = {name: {} for name in COMPOSITIONS}
        models = [api.load_weights(path) for path in swept.checkpoints[:MODELS]]
        for name in COMPOSITIONS:
            for variant, options in VARIANTS.items():
                bounds, flops = [], 0
                for weights in models:
                    task, _ = api.task_of(weights, "max-of-k")
                    proof = api.prove(weights, task, PUBLISHED[name](**{**BARE, **options}))  # type: ignore[arg-type]
                    bounds.append(api.float_down(proof.claim.accuracy))
                    flops = proof.cost.flops
                found[name][variant] = {"bound": summary(bounds), "flops": flops}
        return {"compositions": found, "models": len(models)}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """One row per composition and variant."""
        rows = []
        for name, variants in results["compositions"].items():
            base = variants["none of them"]["bound"]["mean"]
            for variant, one in variants.items():
                mean, std = one["bound"]["mean"], one["bound"]["std"]
                rows.append(
                    (
                        name,
                        variant,
                        f"{down(mean)} ± {nearest(std, '.4f')}",
                        nearest(mean - base, "+.4f"),
                        f"{one['flops']:,}",
                    )
                )
        headings = ("strategy", "improvement", "bound", "gain", "flops")
        title = f"Sound improvements of the published proofs, {results['models']} models"
        return {"improvements": Table(title, headings, tuple(rows))}
