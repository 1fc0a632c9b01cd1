"""Counts as in `kernel/counting/conditioned.py`, in floats, of many comparisons of one stratum at once.

They rank comparisons, and tell what more cells would change; nothing rests on them.

Contents:
    RoughCounts — of one stratum.
"""

from collections.abc import Iterator, Sequence
from operator import add, mul

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.counting.conditioned import ConditionedCounts
from pessimal.kernel.strata.program import Letters

BLOCK = 1 << 22
Terms = Int[np.ndarray, "k_1 d_vocab n"]
Last = Int[np.ndarray, " n"]


class RoughCounts:
    """Fillings of the positions before the last two, counted with products of Fourier transforms.

    Attributes:
        spent: additions that the comparisons counted last take in the rule.
    """

    def __init__(self, counts: ConditionedCounts) -> None:
        self._before, self._pairs, self._tokens = counts.before, counts.pairs, counts.tokens
        self._alive = counts.alive
        self._weights = None if counts.weights is None else np.array(counts.weights, dtype=np.float64)
        self._looked_up = 4 * sum(pair.first.size * pair.second.size for pair in self._pairs)
        self.spent = 0.0

    def weights_of(self, terms: Terms, last: Last, cells: int) -> Float[np.ndarray, " n"]:
        """About the weight of the fillings with a sum of at most zero, by comparison."""
        parts = [sum(part.sum((1, 2)) for part in pairs) for pairs in self._in_blocks(terms, last, cells)]
        return np.concatenate([np.zeros(0), *parts])

    def capped(self, terms: Terms, last: Last, cells: int, sizes: Sequence[int]) -> float:
        """The same of all comparisons together, for no pair of tokens more than the size of its state's fillings."""
        totals = [np.zeros((pair.first.size, pair.second.size)) for pair in self._pairs]
        for pairs in self._in_blocks(terms, last, cells):
            totals = [total + part.sum(0) for total, part in zip(totals, pairs, strict=True)]
        return sum(float(np.minimum(total, size).sum()) for total, size in zip(totals, sizes, strict=True))

    def _in_blocks(self, terms: Terms, last: Last, cells: int) -> Iterator[list[Float[np.ndarray, "n A B"]]]:
        self.spent = 0.0
        step = max(1, 4 * BLOCK // self._looked_up)
        for begin in range(0, last.size, step):
            yield self._by_pair(terms[:, :, begin : begin + step], last[begin : begin + step], cells)

    def _by_pair(self, terms: Terms, last: Last, cells: int) -> list[Float[np.ndarray, "n A B"]]:
        """By pair of moves and comparison."""
        terms = terms.astype(np.float64)
        least = terms[:, self._alive].min(1)
        most = -last - least[-2:].sum(0)
        reach = most - least[:-2].sum(0)
        step = np.maximum(reach / cells, 1.0)
        offset = self._offsets(terms[:-2][:, self._alive], least[:-2] + reach, step)
        degrees = np.floor((terms[:-2] - offset[:, np.newaxis]) / step)
        lowest = degrees[:, self._alive].min(1)
        degrees = np.minimum(degrees - lowest[:, np.newaxis], cells + 1).astype(np.int64)
        shift = lowest.sum(0) + offset.sum(0) / step
        reached = self._states(degrees, cells)
        found = []
        for pair in self._pairs:
            left = (-last - terms[-2, pair.first][:, np.newaxis] - terms[-1, pair.second]) / step - shift
            at = np.clip(np.floor(left), -1, cells).astype(np.int64) + 1
            found.append(np.moveaxis(reached[pair.state][at, np.arange(at.shape[2])], 2, 0))
        self.spent += float((cells + 1) * (degrees[1:] <= cells).sum() + self._looked_up * last.size)
        return found

    @staticmethod
    def _offsets(
        terms: Float[np.ndarray, "k_3 m n"], most: Float[np.ndarray, "k_3 n"], step: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "k_3 n"]:
        """As in the rule."""
        near = terms <= most[:, np.newaxis]
        remainders = np.sort(np.where(near, terms % step, step), axis=1)
        lost = step * np.arange(terms.shape[1])[:, np.newaxis] - near.sum(1)[:, np.newaxis] * remainders
        return np.take_along_axis(remainders, lost.argmin(1)[:, np.newaxis], 1)[:, 0]

    def _states(self, degrees: Int[np.ndarray, "k_3 d_vocab n"], cells: int) -> dict[int, Float[np.ndarray, "c n"]]:
        """By state, the weights of the fillings with a degree below 0, 1, .. cells + 1, added up."""
        n_positions, _, n = degrees.shape
        if not n_positions:
            return {0: np.concatenate([np.zeros((1, n)), np.ones((cells + 1, n))])}
        # Of degrees above the cells every factor holds none, so nothing wraps around.
        size = 1 << (n_positions * cells).bit_length()

        def factor(i: int, letters: Letters) -> np.ndarray:
            tokens = self._tokens[letters]
            at = degrees[i, tokens] + (cells + 2) * np.arange(n)
            own = np.ones(tokens.size) if self._weights is None else self._weights[i, tokens]
            weights = np.broadcast_to(own[:, np.newaxis], at.shape).ravel()
            counted = np.bincount(at.ravel(), weights, n * (cells + 2)).reshape(n, cells + 2)
            return np.fft.rfft(counted[:, : cells + 1], size, axis=1)

        last = self._before.prefixes(factor, add, mul)[-1]
        sums = {}
        for state, transform in last.items():
            counted = np.maximum(np.fft.irfft(transform, size, axis=1)[:, : cells + 1], 0.0)
            sums[state] = np.concatenate([np.zeros((1, n)), counted.cumsum(1).T])
        return sums
