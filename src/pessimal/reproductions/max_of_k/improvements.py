"""What each sound improvement of the published proofs buys, one at a time and together.

Contents:
    Improvements — the reproduction.
    ImprovementRows, Improved — its numbers, and those of one variant of one composition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pessimal import api
from pessimal.inputs import load_weights, task_of
from pessimal.records import float_down
from pessimal.report.numbers import down, nearest
from pessimal.reproductions.interface import AbstractReproduction
from pessimal.reproductions.record import Rows
from pessimal.reproductions.statistics import Summary, summary_of
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table
from pessimal.spec import Weights
from pessimal.strategies import PUBLISHED

MODELS = 8
COMPOSITIONS = (
    "eupu-max-diff-exact--attn-mean-query+diff--attn-err-exact-eqke+max-diff-exact",
    "eupu-max-diff-exact--attn-mean-query+diff--attn-err-max-diff",
    "eupu-mean-query+max-diff--attn-mean-query+diff--attn-err-mean+max-diff-subproduct-recursive",
)
BARE: dict[str, int | str] = {"count": "published", "gaps": "target", "points": 1, "cross": "bounded"}
BASE = "none of them"
VARIANTS: dict[str, dict[str, int | str]] = {
    BASE: {},
    "count of m - g + 1 tokens": {"count": "fixed"},
    "gaps by query": {"gaps": "query"},
    "two-point chord": {"points": 2},
    "five-point chord": {"points": 5},
    "exact cross terms": {"cross": "exact"},
    "all, two points": {"count": "fixed", "gaps": "query", "points": 2, "cross": "exact"},
    "all, five points": {"count": "fixed", "gaps": "query", "points": 5, "cross": "exact"},
}


@dataclass(frozen=True)
class Improved(Rows):
    """A variant of a composition, over models.

    Attributes:
        bound: certified accuracy.
        flops: length of the proof.
    """

    bound: Summary
    flops: int


@dataclass(frozen=True)
class ImprovementRows(Rows):
    """All variants of some compositions.

    Attributes:
        compositions: by strategy, by variant.
        models: number of models.
    """

    compositions: Mapping[str, Mapping[str, Improved]]
    models: int


class Improvements(AbstractReproduction[ImprovementRows]):
    """Options of the sub-cubic strategies, switched on one by one."""

    kind = ImprovementRows
    name: ClassVar[str] = "improvements"
    question: ClassVar[str] = "What does each improvement of the published proofs buy, and at what length?"

    def results(self, swept: Swept) -> ImprovementRows:
        """Bounds and lengths per composition and variant, over the first models of the sweep."""
        models = [load_weights(path) for path in swept.checkpoints[:MODELS]]
        found = {
            name: {variant: _improved(models, name, options) for variant, options in VARIANTS.items()}
            for name in COMPOSITIONS
        }
        return ImprovementRows(found, len(models))

    def tables(self, results: ImprovementRows) -> dict[str, Table]:
        """One row per composition and variant."""
        rows = []
        for name, variants in results.compositions.items():
            base = variants[BASE].bound.mean
            for variant, improved in variants.items():
                mean, std = improved.bound.mean, improved.bound.std
                rows.append(
                    (
                        name,
                        variant,
                        f"{down(mean)} ± {nearest(std, '.4f')}",
                        nearest(mean - base, "+.4f"),
                        f"{improved.flops:,}",
                    )
                )
        headings = ("strategy", "improvement", "bound", "gain", "flops")
        title = f"Sound improvements of the published proofs, {results.models} models"
        return {"improvements": Table(title, headings, tuple(rows))}


def _improved(models: Sequence[Weights], name: str, options: Mapping[str, int | str]) -> Improved:
    bounds, flops = [], 0
    for weights in models:
        task, _ = task_of(weights, "max-of-k")
        proof = api.prove(weights, task, PUBLISHED[name](**{**BARE, **options}))  # type: ignore[arg-type]
        bounds.append(float_down(proof.claim.value))
        flops = proof.cost.flops
    return Improved(summary_of(bounds), flops)
