r"""How many cells each stratum of a cover gets, and which strata are not worth counting.

With $a_s$ what one cell adds to the weight left open and $e_s$ what a cell costs, $\sum_s a_s/c_s$ is least for a given
cost $\sum_s e_s c_s$ if $c_s = \sqrt{a_s/(\lambda e_s)}$; $\lambda$ is the weight that one more addition must save. A
stratum is counted if that saves $\lambda$ times what it costs, beside giving it up.

Contents:
    Prices — of all strata of a cover.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.counting.pruning import LiveStratum
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.search.orders import CoveredStratum, CoverSearch

FEWEST = 6
# A part of the gap that is not looked at.
SMALL = 16
# Between a cell for everything and none for anything.
CHEAPEST, DEAREST, HALVINGS = -80.0, 60.0, 50


@dataclass(frozen=True)
class Prices:
    """As `orders.Price`, by stratum; weights as shares of all inputs.

    Attributes:
        rows: numbers of the strata, rising.
        parts: what was found for them.
        size: weight of the stratum.
        entries: operations for its terms.
        least, lost, fixed, each: as in `Price`.
    """

    rows: Sequence[int]
    parts: Sequence[CoveredStratum]
    size: Float[np.ndarray, " n"]
    entries: Float[np.ndarray, " n"]
    least: Float[np.ndarray, " n"]
    lost: Float[np.ndarray, " n"]
    fixed: Float[np.ndarray, " n"]
    each: Float[np.ndarray, " n"]

    @classmethod
    def of(
        cls, search: CoverSearch, live: Sequence[LiveStratum], gap: int | float, per_entry: int, progress: Progress
    ) -> "Prices":
        """Of strata with live rivals; those that make up a small part of what may be left open are left out."""
        question, strata = search.live.question, search.live.strata
        total, weighing = question.total(), weighing_of(question)
        size = np.array([weighing.stratum(*at) / total for at, _ in live])
        order = np.argsort(size, kind="stable")
        chosen = order[np.cumsum(size[order]) > gap / SMALL].tolist()
        found: list[tuple[int, CoveredStratum, float, float]] = []
        for done, place in enumerate(chosen):
            at, rivals = live[place]
            part = search.stratum(at, rivals)
            if part is not None and np.isfinite(part.price.lost):
                entries = float(per_entry * search.live.entries(at[1], rivals))
                found.append((int(strata.stratum_index[at]), part, float(size[place]), entries))
            progress(done + 1, len(chosen))
        found.sort(key=lambda one: one[0])
        parts, prices = [part for _, part, _, _ in found], [part.price for _, part, _, _ in found]
        return cls(
            [row for row, _, _, _ in found],
            parts,
            np.array([share for _, _, share, _ in found]),
            np.array([entries for _, _, _, entries in found]),
            np.array([price.least / total for price in prices]),
            np.array([price.lost / total for price in prices]),
            np.array([price.fixed for price in prices]),
            np.array([price.each for price in prices]),
        )

    def chosen(
        self, gap: int | float, flops: int | float, most: int
    ) -> tuple[list[tuple[int, CoveredStratum, int]], int]:
        """Strata with their numbers and cells, at most so many, such that grids leave open `gap`; or within `flops`.

        Also the operations for their terms.
        """
        low, high = CHEAPEST, DEAREST
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            cells = self._cells(2.0**middle, most)
            if self._flops(cells) > flops or self._open(cells) < gap:
                low = middle
            else:
                high = middle
        cells = self._cells(2.0**high, most)
        kept = np.flatnonzero(cells).tolist()
        return [(self.rows[at], self.parts[at], int(cells[at])) for at in kept], int(self.entries[kept].sum())

    def _cells(self, price: float, most: int) -> Int[np.ndarray, " n"]:
        """Of every stratum, 0 if it is not counted, where an addition costs so much weight."""
        best = np.clip(np.ceil(np.sqrt(self.lost / (price * self.each))), min(FEWEST, most), most)
        saved = self.size - self.least - self.lost / best
        worth = saved > price * (self.entries + self.fixed + self.each * best)
        return np.where(worth, best, 0).astype(np.int64)

    def _flops(self, cells: Int[np.ndarray, " n"]) -> float:
        return float(((self.entries + self.fixed + self.each * cells) * (cells > 0)).sum())

    def _open(self, cells: Int[np.ndarray, " n"]) -> float:
        """What finer grids and all strata would not leave open."""
        return float(np.where(cells > 0, self.lost / np.maximum(cells, 1), self.size - self.least).sum())
