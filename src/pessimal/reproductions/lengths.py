"""Bound against length, and unexplained dimensions against length: one point per strategy, mean over models.

Contents:
    BoundVersusFlops — all strategies, the frontier, and enumeration of a part of the inputs as the baseline.
    UnexplainedDimensions — what the proofs leave as tables.
    frontier — strategies that no other beats on both axes.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

from pessimal.report.numbers import down
from pessimal.reproductions.drawing import figure
from pessimal.reproductions.groups import GROUPS, share
from pessimal.reproductions.interface import AbstractReproduction, Swept
from pessimal.reproductions.main_table import mean_down, published_length
from pessimal.reproductions.tables import Table

SHADES = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#bab0ac")
PLAIN_GROUPS = [group for group in GROUPS if "," not in group.name]


def points(swept: Swept) -> list[dict[str, Any]]:
    """One point per strategy: mean relative bound, flops, dimensions, group."""
    truth, shape = swept.truth(), (swept.config["k"], swept.config["d_vocab"])
    by_strategy = defaultdict(list)
    for row in swept.rows:
        if row["correct"] is not None:
            by_strategy[row["strategy"]].append(row)
    found = []
    for strategy, mine in by_strategy.items():
        theirs = published_length(mine[0], shape) if "direct" in mine[0] else None
        found.append(
            {
                "strategy": strategy,
                "group": next((group.name for group in PLAIN_GROUPS if group.member(mine[0])), "other"),
                "relative": mean_down(share(row, "correct", truth) for row in mine),
                "as_published_not_a_proof": mean_down(share(row, "correct_as_published", truth) for row in mine)
                if all("correct_as_published" in row for row in mine)
                else None,
                "flops": mine[0]["flops"],
                "flops_published_convention": theirs,
                "unexplained_dims": mine[0]["unexplained_dims"],
            }
        )
    return sorted(found, key=lambda one: (one["flops"], one["strategy"]))


def frontier(found: list[dict[str, Any]]) -> list[str]:
    """Strategies such that no other is at least as good on both axes and better on one."""
    kept = []
    best = -1.0
    for one in sorted(found, key=lambda p: (p["flops"], -p["relative"])):
        if one["relative"] > best:
            kept.append(one["strategy"])
            best = one["relative"]
    return kept


def _groups(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups = defaultdict(list)
    for one in found:
        groups[one["group"]].append(one)
    return groups


def _scatter(axes: Any, found: list[dict[str, Any]], key: str) -> None:
    for shade, (group, mine) in zip(SHADES * 2, _groups(found).items(), strict=False):
        axes.scatter([one["flops"] for one in mine], [one[key] for one in mine], s=18, label=group, color=shade)


class BoundVersusFlops(AbstractReproduction):
    """Tightness against length."""

    name: ClassVar[str] = "bound-versus-flops"
    question: ClassVar[str] = "How tight is a proof of a given length, and where is enumeration as good?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Points and the frontier."""
        found = points(swept)
        return {"points": found, "frontier": frontier(found)}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """The frontier."""
        kept = [one for one in results["points"] if one["strategy"] in results["frontier"]]
        rows = tuple((one["strategy"], down(one["relative"]), f"{one['flops']:,}") for one in kept)
        return {"frontier": Table("Strategies that no other beats", ("strategy", "relative bound", "flops"), rows)}

    def figures(self, results: dict[str, Any], folder: Path) -> list[Path]:
        """All points with the baseline, then the frontier alone."""
        paths = []
        for stem, only in (("bound-versus-flops", False), ("bound-versus-flops-frontier", True)):
            path = folder / f"{stem}.svg"
            kept = [one for one in results["points"] if not only or one["strategy"] in results["frontier"]]
            title = "Certified share of the accuracy against proof length"
            with figure(path, title, "flops", "bound / accuracy") as axes:
                _scatter(axes, kept, "relative")
                whole = [one["flops"] for one in results["points"] if one["strategy"] == "brute-force"]
                if whole:
                    least = min(one["flops"] for one in results["points"])
                    grid = [least * (whole[0] / least) ** (i / 60) for i in range(61)]
                    axes.plot(grid, [x / whole[0] for x in grid], "--", color="grey", label="enumerating a part")
                axes.set_xscale("log", base=2)
                axes.legend(fontsize=7)
            paths.append(path)
        return paths


class UnexplainedDimensions(AbstractReproduction):
    """What is left unexplained, against length."""

    name: ClassVar[str] = "unexplained-dimensions"
    question: ClassVar[str] = "How many numbers does a proof of a given length leave unexplained?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Points."""
        return {"points": points(swept)}

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """Every strategy."""
        rows = tuple(
            (one["strategy"], f"{one['unexplained_dims']:,}", f"{one['flops']:,}") for one in results["points"]
        )
        return {"unexplained-dimensions": Table("Unexplained dimensions", ("strategy", "dimensions", "flops"), rows)}

    def figures(self, results: dict[str, Any], folder: Path) -> list[Path]:
        """Both axes logarithmic."""
        path = folder / "unexplained-dimensions.svg"
        with figure(path, "Unexplained dimensions against proof length", "flops", "unexplained dimensions") as axes:
            _scatter(axes, results["points"], "unexplained_dims")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
            axes.legend(fontsize=7)
        return [path]
