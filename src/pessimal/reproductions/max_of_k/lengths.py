"""Bound against length, and unexplained dimensions against length: one point per strategy, mean over models.

Contents:
    BoundVersusFlops — all strategies, the frontier, and enumeration of a part of the inputs as the baseline.
    UnexplainedDimensions — what the proofs leave as tables.
    Point, points — a strategy; all of a sweep.
    PointRows, FrontierRows — the numbers of the two.
    frontier — strategies that no other beats on both axes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pessimal.report.numbers import down
from pessimal.reproductions.drawing import figure
from pessimal.reproductions.interface import AbstractReproduction
from pessimal.reproductions.max_of_k.groups import GROUPS, certified_share, share
from pessimal.reproductions.max_of_k.main_table import published_length
from pessimal.reproductions.record import Rows
from pessimal.reproductions.statistics import mean_down
from pessimal.reproductions.swept import ProvedRow, Swept
from pessimal.reproductions.tables import Table

SHADES = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#bab0ac")
PLAIN_GROUPS = [group for group in GROUPS if "," not in group.name]


@dataclass(frozen=True)
class Point(Rows):
    """A strategy, mean over models.

    Attributes:
        strategy: its name.
        group: the row of the published tables it belongs to, or `other`.
        relative: certified share of the models' accuracy.
        as_published_not_a_proof: the share that the published verifier would claim, None where it was not computed.
        flops: length of the proof.
        flops_published_convention: that in the published convention, None for strategies that were not published so.
        unexplained_dims: free real parameters left as a table.
    """

    strategy: str
    group: str
    relative: float
    as_published_not_a_proof: float | None
    flops: int
    flops_published_convention: int | None
    unexplained_dims: int


@dataclass(frozen=True)
class PointRows(Rows):
    """All strategies, shortest proof first."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class FrontierRows(PointRows):
    """All strategies, and the names of those that no other beats."""

    frontier: tuple[str, ...]

    def kept(self) -> list[Point]:
        """The points of the frontier."""
        return [point for point in self.points if point.strategy in self.frontier]


def points(swept: Swept) -> tuple[Point, ...]:
    """One point per strategy: mean relative bound, flops, dimensions, group."""
    by_strategy: dict[str, list[ProvedRow]] = defaultdict(list)
    for row in swept.proved:
        by_strategy[row.strategy].append(row)
    found = [_point(strategy, rows, swept) for strategy, rows in by_strategy.items()]
    return tuple(sorted(found, key=lambda point: (point.flops, point.strategy)))


def _point(strategy: str, rows: Sequence[ProvedRow], swept: Swept) -> Point:
    truth, first = swept.truth(), rows[0]
    claimed = [share(row.as_published, row, truth) for row in rows if row.as_published is not None]
    return Point(
        strategy=strategy,
        group=next((group.name for group in PLAIN_GROUPS if group.member(first)), "other"),
        relative=mean_down(certified_share(row, truth) for row in rows),
        as_published_not_a_proof=mean_down(claimed) if len(claimed) == len(rows) else None,
        flops=first.flops,
        flops_published_convention=None
        if first.composition is None
        else published_length(first.composition, swept.shape),
        unexplained_dims=first.unexplained_dims,
    )


def frontier(found: Iterable[Point]) -> tuple[str, ...]:
    """Strategies such that no other is at least as good on both axes and better on one."""
    kept = []
    best = -1.0
    for point in sorted(found, key=lambda point: (point.flops, -point.relative)):
        if point.relative > best:
            kept.append(point.strategy)
            best = point.relative
    return tuple(kept)


def _scatter(axes: Any, found: Iterable[Point], height: Callable[[Point], float]) -> None:
    """A colour per group."""
    groups: dict[str, list[Point]] = defaultdict(list)
    for point in found:
        groups[point.group].append(point)
    for shade, (group, mine) in zip(SHADES * 2, groups.items(), strict=False):
        axes.scatter([point.flops for point in mine], list(map(height, mine)), s=18, label=group, color=shade)


class BoundVersusFlops(AbstractReproduction[FrontierRows]):
    """Tightness against length."""

    kind = FrontierRows
    name: ClassVar[str] = "bound-versus-flops"
    question: ClassVar[str] = "How tight is a proof of a given length, and where is enumeration as good?"

    def results(self, swept: Swept) -> FrontierRows:
        """Points and the frontier."""
        found = points(swept)
        return FrontierRows(found, frontier(found))

    def tables(self, results: FrontierRows) -> dict[str, Table]:
        """The frontier."""
        rows = tuple((point.strategy, down(point.relative), f"{point.flops:,}") for point in results.kept())
        return {"frontier": Table("Strategies that no other beats", ("strategy", "relative bound", "flops"), rows)}

    def figures(self, results: FrontierRows, folder: Path) -> list[Path]:
        """All points with the baseline, then the frontier alone."""
        paths = []
        for stem, drawn in (("bound-versus-flops", results.points), ("bound-versus-flops-frontier", results.kept())):
            path = folder / f"{stem}.svg"
            title = "Certified share of the accuracy against proof length"
            with figure(path, title, "flops", "bound / accuracy") as axes:
                _scatter(axes, drawn, lambda point: point.relative)
                whole = [point.flops for point in results.points if point.strategy == "brute-force"]
                if whole:
                    least = min(point.flops for point in results.points)
                    grid = [least * (whole[0] / least) ** (i / 60) for i in range(61)]
                    axes.plot(grid, [x / whole[0] for x in grid], "--", color="grey", label="enumerating a part")
                axes.set_xscale("log", base=2)
                axes.legend(fontsize=7)
            paths.append(path)
        return paths


class UnexplainedDimensions(AbstractReproduction[PointRows]):
    """What is left unexplained, against length."""

    kind = PointRows
    name: ClassVar[str] = "unexplained-dimensions"
    question: ClassVar[str] = "How many numbers does a proof of a given length leave unexplained?"

    def results(self, swept: Swept) -> PointRows:
        """Points."""
        return PointRows(points(swept))

    def tables(self, results: PointRows) -> dict[str, Table]:
        """Every strategy."""
        rows = tuple((point.strategy, f"{point.unexplained_dims:,}", f"{point.flops:,}") for point in results.points)
        return {"unexplained-dimensions": Table("Unexplained dimensions", ("strategy", "dimensions", "flops"), rows)}

    def figures(self, results: PointRows, folder: Path) -> list[Path]:
        """Both axes logarithmic."""
        path = folder / "unexplained-dimensions.svg"
        with figure(path, "Unexplained dimensions against proof length", "flops", "unexplained dimensions") as axes:
            _scatter(axes, results.points, lambda point: point.unexplained_dims)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
            axes.legend(fontsize=7)
        return [path]
