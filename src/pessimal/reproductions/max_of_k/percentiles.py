"""Percentiles over models of every strategy's bound.

Contents:
    Percentiles — the reproduction.
    PercentileRows — its numbers.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pessimal.report.numbers import down
from pessimal.reproductions.interface import AbstractReproduction
from pessimal.reproductions.record import Rows
from pessimal.reproductions.swept import Swept
from pessimal.reproductions.tables import Table

LEVELS = (0, 10, 25, 50, 75, 90, 100)


@dataclass(frozen=True)
class PercentileRows(Rows):
    """Percentiles of the certified accuracy over models.

    Attributes:
        levels: which, in percent.
        strategies: by strategy, one per level.
    """

    levels: tuple[int, ...]
    strategies: Mapping[str, tuple[float, ...]]


class Percentiles(AbstractReproduction[PercentileRows]):
    """How much the bound of each strategy varies between models."""

    kind = PercentileRows
    name: ClassVar[str] = "percentiles"
    question: ClassVar[str] = "How much does each strategy's bound vary between seeds?"

    def results(self, swept: Swept) -> PercentileRows:
        """Percentiles of the bound per strategy."""
        values: dict[str, list[float]] = defaultdict(list)
        for row in swept.proved:
            values[row.strategy].append(row.correct / row.total)
        return PercentileRows(
            levels=LEVELS,
            strategies={name: tuple(np.percentile(mine, LEVELS).tolist()) for name, mine in sorted(values.items())},
        )

    def tables(self, results: PercentileRows) -> dict[str, Table]:
        """One row per strategy."""
        headings = ("strategy", *(f"{level}%" for level in results.levels))
        rows = tuple((name, *map(down, mine)) for name, mine in results.strategies.items())
        return {"percentiles": Table("Percentiles of the certified accuracy over models", headings, rows)}
