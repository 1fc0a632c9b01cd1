"""How far other tokens must stay from the target: the searched gaps of the best strategy of each kind.

Contents:
    GapHistograms — the reproduction.
    GapRows — its numbers.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pessimal.inputs import load_weights, task_of
from pessimal.kernel.cost import n_strata
from pessimal.kernel.rules.interface import no_progress
from pessimal.report.numbers import nearest
from pessimal.reproductions.drawing import figure
from pessimal.reproductions.interface import AbstractReproduction
from pessimal.reproductions.max_of_k.groups import GROUPS, best_proofs
from pessimal.reproductions.record import Rows
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table
from pessimal.spec.question import Question
from pessimal.strategies import PUBLISHED

MODELS = 16


# The gap of a class that no proof certifies.
GIVEN_UP = 0


@dataclass(frozen=True)
class GapRows(Rows):
    """Searched gaps.

    Attributes:
        groups: by row of the published tables, number of classes by gap; those given up under 0.
        models: number of models.
    """

    groups: Mapping[str, Mapping[int, int]]
    models: int


class GapHistograms(AbstractReproduction[GapRows]):
    """Gaps per class of sequences."""

    kind = GapRows
    name: ClassVar[str] = "gap-histograms"
    question: ClassVar[str] = "How close to the target may another token come before a proof gives the class up?"

    def results(self, swept: Swept) -> GapRows:
        """Number of classes by gap (0: given up), per group, over the first models of the sweep."""
        found: dict[str, dict[int, int]] = {}
        paths = {path.stem: path for path in swept.checkpoints[:MODELS]}
        published = [row for row in swept.rows if row.weights in paths and row.composition is not None]
        for group in GROUPS:
            counts: Counter[int] = Counter()
            for stem, row in best_proofs(row for row in published if group.member(row)).items():
                weights = load_weights(paths[stem])
                task, _ = task_of(weights, "max-of-k")
                strategy = PUBLISHED[row.strategy](**row.options)
                hints = strategy.hints(weights, Question(task), no_progress)
                gaps = hints.halfwords("gap", (task.k - 1, n_strata(task.d_vocab)))
                counts.update(gaps.ravel().tolist())
            if counts:
                found[group.name] = dict(sorted(counts.items()))
        return GapRows(found, len(paths))

    def tables(self, results: GapRows) -> dict[str, Table]:
        """Share given up, and quantiles of the gaps of the rest."""
        rows = []
        for group, counts in results.groups.items():
            kept = _kept(counts)
            rows.append(
                (
                    group,
                    nearest(counts.get(GIVEN_UP, 0) / sum(counts.values()), ".3f"),
                    *(str(_quantile(kept, q)) for q in (0.25, 0.5, 0.75, 1.0)),
                )
            )
        headings = ("proof", "classes given up", "gap at 25%", "50%", "75%", "greatest")
        return {"gap-histograms": Table(f"Searched gaps, {results.models} models", headings, tuple(rows))}

    def figures(self, results: GapRows, folder: Path) -> list[Path]:
        """One step line per group."""
        path = folder / "gap-histograms.svg"
        with figure(path, "Gaps of certified classes", "gap (tokens)", "classes") as axes:
            for group, counts in results.groups.items():
                kept = _kept(counts)
                axes.step(list(kept), list(kept.values()), where="mid", label=group)
            axes.set_yscale("log")
            axes.legend(fontsize=7)
        return [path]


def _kept(counts: Mapping[int, int]) -> dict[int, int]:
    """The classes that are not given up."""
    return {gap: n for gap, n in counts.items() if gap != GIVEN_UP}


def _quantile(kept: Mapping[int, int], level: float) -> int:
    """The least gap such that a share `level` of the classes has it or a smaller one."""
    needed, seen = level * sum(kept.values()), 0
    for gap, n in sorted(kept.items()):
        seen += n
        if seen >= needed:
            return gap
    return 0
