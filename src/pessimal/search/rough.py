"""Counts as in `kernel/counting/conditioned.py`, in floats, of many comparisons of one stratum at once.

They rank comparisons, and tell what more cells would change; nothing rests on them.

Contents:
    RoughCounts — of one stratum.
"""

import math
from collections.abc import Iterator, Sequence
from operator import add, mul

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.counting.conditioned import FLOPS_PER_DEGREE, FLOPS_PER_LOOK, FLOPS_PER_SUM, ConditionedCounts
from pessimal.kernel.strata.program import Letters

BLOCK = 1 << 22
Terms = Int[np.ndarray, "k_1 d_vocab n"]
Last = Int[np.ndarray, " n"]


class RoughCounts:
    """Fillings of the positions before those that are conditioned on, counted with products of Fourier transforms.

    Attributes:
        looks: sums that are looked up for a comparison.
        spent: operations that the comparisons counted last take in the rule.
    """

    def __init__(self, counts: ConditionedCounts) -> None:
        self._before, self._endings, self._tokens = counts.before, counts.endings, counts.tokens
        self._alive, self._n_terms = counts.alive, counts.n_terms
        self._weights = None if counts.weights is None else np.array(counts.weights, dtype=np.float64)
        self.looks = sum(math.prod(end.shape) for end in self._endings)
        self.spent = 0.0

    def weights_of(self, terms: Terms, last: Last, cells: int) -> Float[np.ndarray, " n"]:
        """About the weight of the fillings with a sum of at most zero, by comparison."""
        blocks = self._in_blocks(terms, last, cells)
        parts = [sum(part.reshape(len(part), -1).sum(1) for part in endings) for endings in blocks]
        return np.concatenate([np.zeros(0), *parts])

    def capped(self, terms: Terms, last: Last, cells: int, sizes: Sequence[int]) -> float:
        """The same of all comparisons together, but for given tokens no more than the fillings before them."""
        totals = [np.zeros(end.shape) for end in self._endings]
        for endings in self._in_blocks(terms, last, cells):
            totals = [total + part.sum(0) for total, part in zip(totals, endings, strict=True)]
        return sum(float(np.minimum(total, size).sum()) for total, size in zip(totals, sizes, strict=True))

    def _in_blocks(self, terms: Terms, last: Last, cells: int) -> Iterator[list[Float[np.ndarray, "n ..."]]]:
        self.spent = 0.0
        step = max(1, BLOCK // self.looks)
        for begin in range(0, last.size, step):
            yield self._by_ending(terms[:, :, begin : begin + step], last[begin : begin + step], cells)

    def _by_ending(self, terms: Terms, last: Last, cells: int) -> list[Float[np.ndarray, "n ..."]]:
        """By ending and comparison."""
        terms, n = terms.astype(np.float64), len(self._before.layers)
        least = terms[:, self._alive].min(1)
        most = -last - least[n:].sum(0)
        reach = most - least[:n].sum(0)
        # Four leading bits, as in the rule.
        mantissa, exponent = np.frexp(np.maximum(np.ceil(reach / cells), 1.0))
        step = np.ldexp(np.ceil(mantissa * 16), exponent - 4)
        offset = self._offsets(terms[:n][:, self._alive], least[:n] + reach, step)
        degrees = np.floor((terms[:n] - offset[:, np.newaxis]) / step)
        lowest = degrees[:, self._alive].min(1)
        # Offsets leave up to one degree more for every position.
        cells += n
        degrees = np.minimum(degrees - lowest[:, np.newaxis], cells + 1).astype(np.int64)
        shift = lowest.sum(0) + offset.sum(0) / step
        reached = self._states(degrees, cells)
        found = []
        for end in self._endings:
            left = np.broadcast_to(-last, last.shape)
            for i, tokens in enumerate(end.tokens, n):
                left = left[..., np.newaxis, :] - terms[i, tokens]
            at = np.clip(np.floor(left / step - shift), -1, cells).astype(np.int64) + 1
            found.append(np.moveaxis(reached[end.state][at, np.arange(last.size)], -1, 0))
        self.spent += last.size * float(FLOPS_PER_LOOK * self.looks + FLOPS_PER_DEGREE * n * self._n_terms)
        self.spent += last.size * float(FLOPS_PER_SUM * (cells + 2) * len(reached))
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
            counted = np.bincount(at.ravel(), weights, n * (cells + 2)).reshape(n, cells + 2)[:, : cells + 1]
            if i:
                self.spent += (cells + 1) * float(np.minimum(counted, 2 if self._weights is None else 1).sum())
            return np.fft.rfft(counted, size, axis=1)

        last = self._before.prefixes(factor, add, mul)[-1]
        sums = {}
        for state, transform in last.items():
            counted = np.maximum(np.fft.irfft(transform, size, axis=1)[:, : cells + 1], 0.0)
            sums[state] = np.concatenate([np.zeros((1, n)), counted.cumsum(1).T])
        return sums
