"""Orders of live rivals: who counts first, which earlier rival is taken off, and at which positions tokens are fixed.

Nothing here is sound, and nothing needs to be: the rule `comparisons` is, for every cover.

Contents:
    CoverSearch — the cover of one model.
    CoveredStratum, Price — its part for one stratum, and what that costs.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.counting.conditioned import FLOPS_PER_LOOK, MAX_LOOKED_UP, ConditionedCounts, Grid, commutes
from pessimal.kernel.counting.integers import IntegerStratum
from pessimal.kernel.counting.live import LiveStrata, Rivals
from pessimal.kernel.counting.ordered import ALL_AT_ONCE, BITS, Order, difference
from pessimal.search.rough import RoughCounts

# Sixteenths to try for a parent.
MULTIPLES = (16, 10, 5, 2, 27)
# Grids that are counted for a price, the finest of which ranks too; finer ones, some of which are counted if need be.
GRIDS, FINER = (6, 10, 16, 32, 64), tuple(round(64 * 2 ** (i / 2)) for i in range(1, 17))
FINE, FULL = GRIDS[-1], (256, 1024)
# Parents are among the first so many; at most so many rivals of a stratum; positions where much is left open.
PARENTS, MOST, MORE = 4, 255, 3
NOBODY = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Price:
    """What a stratum costs on grids, and leaves open.

    Attributes:
        cells: rising, `[C]`.
        left: weight that is certified neither as right nor, where rivals are counted from below, as wrong, `[C]`.
        spent: operations, without those for terms, `[C]`.
    """

    cells: Int[np.ndarray, " C"]
    left: Float[np.ndarray, " C"]
    spent: Float[np.ndarray, " C"]


@dataclass(frozen=True)
class CoveredStratum:
    """One stratum of a cover.

    Attributes:
        positions: those that are conditioned on, one to three.
        rivals: in their order; none if all are counted at once.
        order: parents and multiples.
        price: of counting it.
    """

    positions: tuple[int, ...]
    rivals: Int[np.ndarray, " live"]
    order: Order
    price: Price


class CoverSearch:
    """Finds orders stratum by stratum.

    Attributes:
        live: tables and question.
        certain: how many rivals are counted from below.
        negligible: weight below which a comparison is not worth a parent.
        wide: weight above which what a stratum leaves open is worth another position.
    """

    def __init__(
        self, live: LiveStrata, most: int, certain: int, negligible: int | float, wide: int | float, *, pruned: bool
    ) -> None:
        self.live, self.most, self.certain, self.pruned = live, most, certain, pruned
        self.negligible, self.wide = negligible, wide
        self._free = commutes(live.strata.recogniser)

    def stratum(self, at: tuple[int, int], live: Int[np.ndarray, " live"]) -> list[CoveredStratum]:
        """What a cover may do in one stratum; nothing if its numbers are lost."""
        # All at once say nothing from below.
        found = [] if self.pruned and self.certain else [self._at_once(at)]
        if self.pruned and live.size <= MOST:
            found.append(self._ordered(at, live))
        return [part for part in found if part is not None]

    def _at_once(self, at: tuple[int, int]) -> CoveredStratum | None:
        """All rivals in one comparison: short, and a token is as good as against the best rival of its own."""
        stratum = self.live.integers(at, None, BITS)
        if stratum.lost:
            return None
        last = self._positions(stratum, at, 1)
        rough, counts = self._conditioned(stratum, at, None, last)
        return CoveredStratum(last, NOBODY, Order(NOBODY, NOBODY), self._price(rough, counts, stratum, ALL_AT_ONCE))

    def _ordered(self, at: tuple[int, int], live: Int[np.ndarray, " live"]) -> CoveredStratum | None:
        """Rival by rival."""
        stratum = self.live.integers(at, live, BITS)
        if stratum.lost:
            return None
        last, more = (self._positions(stratum, at, n) for n in (2, MORE))
        rough, counts = self._conditioned(stratum, at, live, last)
        alone = self._weigh(rough, counts, -stratum.high, -stratum.high_last)
        rank = np.argsort(-alone, kind="stable")
        stratum.high, stratum.low = stratum.high[:, :, rank], stratum.low[:, :, rank]
        stratum.high_last, stratum.low_last = stratum.high_last[rank], stratum.low_last[rank]
        order = self._order(rough, counts, stratum, alone[rank])
        price = self._price(rough, counts, stratum, order, self.certain)
        if self.certain:
            found = price.left[-1]
            # What even the finest grid counts is taken to be certainly wrong.
            price = replace(price, left=price.left - found)
            if found > self.wide:
                last = more
                looked_up = RoughCounts(self._counts(at, live, last)).looks - rough.looks
                price = replace(price, spent=price.spent + FLOPS_PER_LOOK * looked_up * (live.size + self.certain))
        return CoveredStratum(last, live[rank], order, price)

    def _conditioned(
        self, stratum: IntegerStratum, at: tuple[int, int], rivals: Rivals, last: tuple[int, ...]
    ) -> tuple[RoughCounts, ConditionedCounts]:
        """Counts with these positions at the end, and the stratum's integers so."""
        positions = self.live.reordered(np.array(last))
        stratum.high, stratum.low = stratum.high[positions], stratum.low[positions]
        counts = self._counts(at, rivals, last)
        return RoughCounts(counts), counts

    def _counts(self, at: tuple[int, int], rivals: Rivals, last: tuple[int, ...]) -> ConditionedCounts:
        return self.live.fillings(at, rivals, self.live.reordered(np.array(last)), Grid(1, len(last)))

    def _price(
        self, rough: RoughCounts, counts: ConditionedCounts, stratum: IntegerStratum, order: Order, certain: int = 0
    ) -> Price:
        """Counted on some grids; on finer ones what is lost falls as one over the cells; `certain` from below too."""
        terms, last = order.terms(stratum)
        kept = counts.smallest(terms) + last <= 0
        sizes = [counts.size(end.state) for end in counts.endings]
        size = sum(own * math.prod(end.shape) for own, end in zip(sizes, counts.endings, strict=True))
        counted: list[int] = []
        known: list[tuple[float, float]] = []
        for n in [n for n in (*GRIDS, *FULL) if n <= self.most] or [self.most]:
            # Grids that fine where coarser ones count nearly all.
            if n not in FULL or known[-1][0] > size / 2:
                counted.append(n)
                known.append((rough.capped(terms[:, :, kept], last[kept], n, sizes), rough.spent))
        cells = np.array([n for n in (*GRIDS, *FINER) if n <= self.most] or counted)
        left, spent = _between(cells, np.array(counted), *np.array(known).T)
        times = 1 + min(certain, kept.size) / max(int(kept.sum()), 1)
        return Price(cells, left, times * spent)

    def _positions(self, stratum: IntegerStratum, at: tuple[int, int], n: int) -> tuple[int, ...]:
        """The positions where the terms of all rivals together spread most; the last ones if none may change places."""
        k_1, v = self.live.question.task.k - 1, self.live.question.task.d_vocab
        while v**n > MAX_LOOKED_UP:
            n -= 1
        if not self._free:
            return tuple(range(k_1 - n, k_1))
        alive = self.live.strata.letter[at[1]] >= 0
        terms = stratum.high[:, alive].astype(np.float64)
        spread = (terms.max(1) - terms.min(1)).sum(-1)
        return tuple(sorted(np.argsort(-spread, kind="stable")[:n].tolist()))

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


def _between(
    cells: Int[np.ndarray, " C"],
    counted: Int[np.ndarray, " m"],
    left: Float[np.ndarray, " m"],
    spent: Float[np.ndarray, " m"],
) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """What grids leave open and cost: straight lines, in one over the cells and in the cells, and so beyond."""
    all_left, all_spent = np.interp(-1 / cells, -1 / counted, left), np.interp(cells, counted, spent)
    if len(counted) > 1:
        coarse, fine = counted[-2:].tolist()
        # Where both grids count all, a finer one may yet count less.
        lost = max((left[-2] - left[-1]) * fine * coarse / (fine - coarse), left[-1])
        beyond = cells > fine
        all_left[beyond] = max(left[-1] - lost / fine, 0.0) + lost / cells[beyond]
        all_spent[beyond] += (spent[-1] - spent[-2]) / (fine - coarse) * (cells[beyond] - fine)
    return all_left, all_spent
