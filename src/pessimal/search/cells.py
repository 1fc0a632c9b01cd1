r"""How many cells each stratum of a cover gets, and which strata are not worth counting.

With $\lambda$ the weight that one more operation must save, a stratum is counted on that grid, and in that way, which
saves most beyond $\lambda$ times what it costs, beside giving it up; not at all if none saves anything so. No other
choice leaves less open for what this one costs, or less.

Contents:
    priced — ways to count strata.
    Prices — of all of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.counting.pruning import LiveStratum
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.search.orders import CoveredStratum, CoverSearch

# A part of the gap that is not looked at.
SMALL = 16
# Between a cell for everything and none for anything.
CHEAPEST, DEAREST, HALVINGS = -80.0, 60.0, 50

# Number of a stratum, a way to count it, its share of all inputs, operations for its terms.
Priced = tuple[int, CoveredStratum, float, float]
Some = Int[np.ndarray, " _"]
# Ways that are taken, of a stratum one at most, and which of their grids.
Taken = tuple[Some, Some]


@dataclass(frozen=True)
class Prices:
    """As `orders.Price`, by stratum; weights as shares of all inputs.

    Attributes:
        rows: numbers of the strata, rising; as often as there are ways to count one.
        parts: the ways.
        size: weight of the stratum, `[n]`.
        entries: operations for its terms, `[n]`.
        cells, left, spent: as in `Price`, `[n, C]`.
    """

    rows: Sequence[int]
    parts: Sequence[CoveredStratum]
    size: Float[np.ndarray, " n"]
    entries: Float[np.ndarray, " n"]
    cells: Int[np.ndarray, "n C"]
    left: Float[np.ndarray, "n C"]
    spent: Float[np.ndarray, "n C"]

    @classmethod
    def of(cls, priced: Sequence[Priced], total: int) -> "Prices":
        """Of ways to count strata, for so many inputs."""
        found = sorted(priced, key=lambda one: one[0])
        prices = [part.price for _, part, _, _ in found]
        return cls(
            [row for row, _, _, _ in found],
            [part for _, part, _, _ in found],
            np.array([share for _, _, share, _ in found]),
            np.array([entries for _, _, _, entries in found]),
            np.array([price.cells for price in prices] or np.zeros((0, 1)), dtype=np.int64),
            np.array([price.left / total for price in prices] or np.zeros((0, 1))),
            np.array([price.spent for price in prices] or np.zeros((0, 1))),
        )

    def chosen(self, gap: int | float, flops: int | float) -> tuple[list[tuple[int, CoveredStratum, int]], int]:
        """Strata with their numbers and cells such that grids leave open `gap`; or within `flops`.

        Also the operations for their terms.
        """
        if not self.parts:
            return [], 0
        affordable = _turn(lambda price: self._flops(*self._ways(price)) > flops)[1]
        enough = _turn(lambda price: self._open(*self._ways(price)) < gap)[0]
        ways, grids = self._ways(max(affordable, enough))
        cells = self.cells[ways, grids].tolist()
        found = [(self.rows[at], self.parts[at], n) for at, n in zip(ways.tolist(), cells, strict=True)]
        return found, int(self.entries[ways].sum())

    def _ways(self, price: float) -> Taken:
        """Where an operation costs so much weight."""
        every = np.arange(len(self.size))
        saved = self.size[:, np.newaxis] - self.left - price * (self.entries[:, np.newaxis] + self.spent)
        grid = saved.argmax(1)
        order = np.lexsort((saved[every, grid], self._stratum))
        ways = order[np.diff(self._stratum[order], append=len(order)) > 0]
        ways = ways[saved[ways, grid[ways]] > 0]
        return ways, grid[ways]

    def _flops(self, ways: Some, grids: Some) -> float:
        return float((self.entries[ways] + self.spent[ways, grids]).sum())

    def _open(self, ways: Some, grids: Some) -> float:
        """What the finest grids, the best ways and all strata would not leave open."""
        left = self.size.copy()
        left[ways] = self.left[ways, grids]
        first = np.flatnonzero(np.diff(self._stratum, prepend=-1))
        return float((np.minimum.reduceat(left, first) - np.minimum.reduceat(self.left.min(1), first)).sum())

    @cached_property
    def _stratum(self) -> Some:
        """Of every way, which stratum it counts: 0, 1, .."""
        return np.cumsum(np.diff(self.rows, prepend=self.rows[:1]) > 0)


def priced(
    search: CoverSearch, live: Sequence[LiveStratum], gap: int | float, per_entry: int, progress: Progress
) -> Iterator[Priced]:
    """Ways to count strata with live rivals, the largest first; a small part of what may be left open is left out."""
    question, strata = search.live.question, search.live.strata
    total, weighing = question.total(), weighing_of(question)
    size = np.array([weighing.stratum(*at) / total for at, _ in live])
    order = np.argsort(size, kind="stable")
    chosen = order[np.cumsum(size[order]) > gap / SMALL].tolist()
    for done, place in enumerate(reversed(chosen)):
        at, rivals = live[place]
        row = int(strata.stratum_index[at])
        for part in search.stratum(at, rivals):
            if np.isfinite(part.price.left).all():
                entries = float(per_entry * search.live.entries(at[1], part.rivals if part.rivals.size else None))
                yield row, part, float(size[place]), entries
        progress(done + 1, len(chosen))


def _turn(cheap: Callable[[float], bool]) -> tuple[float, float]:
    """The last price that is cheap, and the first that is not."""
    low, high = CHEAPEST, DEAREST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if cheap(2.0**middle) else (low, middle)
    return 2.0**low, 2.0**high
