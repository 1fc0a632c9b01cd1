"""Orders of live rivals: who counts first, which earlier rival is taken off, and at which positions tokens are fixed.

Nothing here is sound, and nothing needs to be: the rule `comparisons` is, for every cover.

Contents:
    CoverSearch — the cover of one model.
    CoveredStratum, Price — its part for one stratum, and what that costs.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.counting.conditioned import ConditionedCounts, commutes
from pessimal.kernel.counting.integers import IntegerStratum
from pessimal.kernel.counting.live import LiveStrata
from pessimal.kernel.counting.ordered import BITS, Order, difference
from pessimal.search.rough import RoughCounts

# Sixteenths to try for a parent.
MULTIPLES = (16, 10, 5, 2, 27)
# Grids that rank and price; parents among the first so many; at most so many rivals of a stratum.
FINE, COARSE, PARENTS, MOST = 64, 32, 2, 255


@dataclass(frozen=True)
class Price:
    """What a stratum costs on grids, and leaves open, taken to be straight lines in the cells and in one over them.

    Attributes:
        least, lost: weight left by ever finer grids, and what one cell adds to it.
        fixed, each: additions without cells, and for each.
    """

    least: float
    lost: float
    fixed: float
    each: float


@dataclass(frozen=True)
class CoveredStratum:
    """One stratum of a cover.

    Attributes:
        positions: the two that are conditioned on.
        rivals: in their order.
        order: parents and multiples.
        price: of counting it.
    """

    positions: tuple[int, int]
    rivals: Int[np.ndarray, " live"]
    order: Order
    price: Price


class CoverSearch:
    """Finds orders stratum by stratum.

    Attributes:
        live: tables and question.
        certain: how many rivals are counted from below.
        negligible: weight below which a comparison is not worth a parent.
    """

    def __init__(self, live: LiveStrata, certain: int, negligible: int | float) -> None:
        self.live, self.certain, self.negligible = live, certain, negligible
        self._free = commutes(live.strata.recogniser)

    def stratum(self, at: tuple[int, int], live: Int[np.ndarray, " live"]) -> CoveredStratum | None:
        """The cover of one stratum; None if its numbers are lost, or there are too many rivals."""
        k = self.live.question.task.k
        stratum = self.live.integers(at, live, BITS)
        if stratum.lost or live.size > MOST:
            return None
        last = self._positions(stratum, at) if self._free else (k - 3, k - 2)
        positions = self.live.reordered(np.array(last))
        stratum.high, stratum.low = stratum.high[positions], stratum.low[positions]
        counts = self.live.fillings(at, positions, 1)
        rough = RoughCounts(counts)
        alone = self._weigh(rough, counts, -stratum.high, -stratum.high_last)
        rank = np.argsort(-alone, kind="stable")
        stratum.high, stratum.low = stratum.high[:, :, rank], stratum.low[:, :, rank]
        stratum.high_last, stratum.low_last = stratum.high_last[rank], stratum.low_last[rank]
        order = self._order(rough, counts, stratum, alone[rank])
        return CoveredStratum(last, live[rank], order, self._price(rough, counts, stratum, order))

    def _price(self, rough: RoughCounts, counts: ConditionedCounts, stratum: IntegerStratum, order: Order) -> Price:
        """From two grids."""
        terms, last = order.terms(stratum)
        kept = counts.smallest(terms) + last <= 0
        sizes = [counts.size(pair.state) for pair in counts.pairs]
        most, spent = [], []
        for cells in (COARSE, FINE):
            most.append(rough.capped(terms[:, :, kept], last[kept], cells, sizes))
            spent.append(rough.spent)
        # From below as from above.
        times = 1 + min(self.certain, kept.size) / max(int(kept.sum()), 1)
        each = times * (spent[1] - spent[0]) / (FINE - COARSE)
        # Where both grids count all, a finer one may yet count less.
        lost = max((most[0] - most[1]) * FINE * COARSE / (FINE - COARSE), most[1])
        fixed = max(times * spent[0] - each * COARSE, 0.0)
        return Price(max(most[1] - lost / FINE, 0.0), lost, fixed, max(each, 1.0))

    def _positions(self, stratum: IntegerStratum, at: tuple[int, int]) -> tuple[int, int]:
        """The two positions where the terms of all rivals together spread most."""
        alive = self.live.strata.letter[at[1]] >= 0
        terms = stratum.high[:, alive].astype(np.float64)
        spread = (terms.max(1) - terms.min(1)).sum(-1)
        i, j = sorted(np.argsort(-spread, kind="stable")[:2].tolist())
        return i, j

    @staticmethod
    def _weigh(
        rough: RoughCounts,
        counts: ConditionedCounts,
        terms: Int[np.ndarray, "k_1 d_vocab n"],
        last: Int[np.ndarray, " n"],
    ) -> Float[np.ndarray, " n"]:
        """What each comparison counts."""
        kept = np.flatnonzero(counts.smallest(terms) + last <= 0)
        weights = np.zeros(last.size)
        weights[kept] = rough.weights_of(terms[:, :, kept], last[kept], FINE)
        return weights

    def _order(
        self, rough: RoughCounts, counts: ConditionedCounts, stratum: IntegerStratum, alone: Float[np.ndarray, " live"]
    ) -> Order:
        """For every rival but the first, the parent and the multiple that leave least."""
        order = Order(np.full(alone.size, -1), np.zeros(alone.size, dtype=np.int64))
        open_ = 1 + np.flatnonzero(alone[1:] > self.negligible)
        if not open_.size:
            return order
        choices = np.array([(p, mu) for p in range(PARENTS) for mu in MULTIPLES])
        # The second rival has one earlier one alone.
        parent = np.minimum(choices[:, 0], open_[:, np.newaxis] - 1)
        multiple = np.broadcast_to(choices[:, 1], parent.shape)
        each = np.broadcast_to(open_[:, np.newaxis], parent.shape)
        terms, last = difference(stratum, each.ravel(), parent.ravel(), multiple.ravel())
        left = self._weigh(rough, counts, terms, last).reshape(parent.shape)
        best, row = left.argmin(1), np.arange(open_.size)
        better = left[row, best] < alone[open_]
        order.parent[open_] = np.where(better, parent[row, best], -1)
        order.multiple[open_] = np.where(better, multiple[row, best], 0)
        return order
