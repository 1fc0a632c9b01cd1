"""Percentiles over models of every strategy's bound.

Contents:
    Percentiles — the reproduction.
"""

from collections import defaultdict
from typing import Any, ClassVar

import numpy as np

from pessimal.report.numbers import down
from pessimal.reproductions.interface import AbstractReproduction, Swept
from pessimal.reproductions.tables import Table

LEVELS = (0, 10, 25, 50, 75, 90, 100)


class Percentiles(AbstractReproduction):
    """How much the bound of each strategy varies between models."""

    name: ClassVar[str] = "percentiles"
    question: ClassVar[str] = "How much does each strategy's bound vary between seeds?"

    def results(self, swept: Swept) -> dict[str, Any]:
        """Percentiles of the bound per strategy."""
        values = defaultdict(list)
        for row in swept.rows:
            if row["correct"] is not None:
                values[row["strategy"]].append(int(row["correct"]) / int(row["total"]))
        return {
            "levels": list(LEVELS),
            "strategies": {name: np.percentile(mine, LEVELS).tolist() for name, mine in sorted(values.items())},
        }

    def tables(self, results: dict[str, Any]) -> dict[str, Table]:
        """One row per strategy."""
        headings = ("strategy", *(f"{level}%" for level in results["levels"]))
        rows = tuple((name, *(down(x) for x in mine)) for name, mine in results["strategies"].items())
        return {"percentiles": Table("Percentiles of the certified accuracy over models", headings, rows)}
