"""How far other tokens must stay from the target: the searched gaps of the best strategy of each kind.

Contents:
    GapHistograms — the reproduction.
"""

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from pessimal import api
from pessimal.kernel.cost import n_strata
from pessimal.kernel.rules.interface import no_progress
from pessimal.report.numbers import nearest
from pessimal.reproductions.drawing import figure
from pessimal.reproductions.groups import GROUPS, best_per_model
from pessimal.reproductions.interface import AbstractReproduction, Swept
from pessimal.reproductions.tables import Table
from pessimal.spec.question import Question
from pessimal.strategies import PUBLISHED

MODELS = 16


class GapHistograms(AbstractReproduction):
    """Gaps per class of sequences."""

    name: ClassVar[str] = "gap-histograms"
    question: ClassVar[str] = "How close to the target may another token come before a proof gives the class up?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Number of classes by gap (0: given up), per group, over the first models of the sweep."""
        found: dict[str, dict[str, Any]] = {}
        paths = {path.stem: path for path in swept.checkpoints[:MODELS]}
        for group in GROUPS:
            rows = [row for row in swept.rows if row["weights"] in paths and "direct" in row and group.member(row)]
            counts: Counter[int] = Counter()
            for stem, row in best_per_model(rows, "correct").items():
                weights = api.load_weights(paths[stem])
                task, _ = api.task_of(weights, "max-of-k")
                strategy = PUBLISHED[row["strategy"]](**row["options"])
                hints = strategy.hints(weights, Question(task), no_progress)
                gaps = hints.halfwords("gap", (task.k - 1, n_strata(task.d_vocab)))
                counts.update(gaps.ravel().tolist())
            if counts:
                found[group.name] = {str(gap): counts[gap] for gap in sorted(counts)}
        return {"groups": found, "models": len(paths)}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """Share given up, and quantiles of the gaps of the rest."""
        rows = []
        for group, counts in results["groups"].items():
            total = sum(counts.values())
            kept = [(int(gap), n) for gap, n in counts.items() if gap != "0"]
            rows.append(
                (
                    group,
                    nearest(counts.get("0", 0) / total, ".3f"),
                    *(str(_quantile(kept, q)) for q in (0.25, 0.5, 0.75, 1.0)),
                )
            )
        headings = ("proof", "classes given up", "gap at 25%", "50%", "75%", "greatest")
        return {"gap-histograms": Table(f"Searched gaps, {results['models']} models", headings, tuple(rows))}

    def figures(self, results: dict[str, Any], folder: Path) -> list[Path]:
        """One step line per group."""
        path = folder / "gap-histograms.svg"
        with figure(path, "Gaps of certified classes", "gap (tokens)", "classes") as axes:
            for group, counts in results["groups"].items():
                kept = {int(gap): n for gap, n in counts.items() if gap != "0"}
                axes.step(list(kept), list(kept.values()), where="mid", label=group)
            axes.set_yscale("log")
            axes.legend(fontsize=7)
        return [path]


def _quantile(kept: list[tuple[int, int]], level: float) -> int:
    """The least gap such that a share `level` of the classes has it or a smaller one."""
    needed, seen = level * sum(n for _, n in kept), 0
    for gap, n in sorted(kept):
        seen += n
        if seen >= needed:
            return gap
    return 0
