r"""Logits of many sequences at once, in integers.

A model without LayerNorm is, for one sequence, $\mathrm{logits} = \mathrm{ReLU}(x)\,G + s$ with pre-activations $x$,
the output map $G = W_{out}W_U$ and the skip $s$, what passes the MLP by; without an MLP the logits are $s$. Where $x$
and $s$ come from depends on the attention (`folded.py`, `attended.py`); they are enclosed in float64. The hidden layer
and G are rounded outward to integers of 24 bits, whose sums are exact, so their order does not matter.

Contents:
    AbstractSums — enclosures of pre-activations and skip by sequence.
    ends — enclosures as float64.
    fixed_point — enclosures as integers, rounded outward.
    Logits — enclosed in integers; which sequences are certainly right or wrong.
"""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Bool, Float, Int

from pessimal.kernel.arithmetic.float64 import Float64Enclosure
from pessimal.kernel.arithmetic.interface import AbstractEnclosure

# 2**12 neurons times two numbers of 24 bits, and the skip, stay within 62 bits.
BITS = 24
MAX_NEURONS = 1 << 12
# Sequences at once: their pre-activations stay in a processor's cache.
BLOCK = 64


class AbstractSums(ABC):
    """What a sequence brings to the neurons, and past them.

    Attributes:
        out: G, `[d_mlp, d_vocab_out]`, or None without an MLP.
    """

    out: AbstractEnclosure | None

    @abstractmethod
    def reaches(self) -> tuple[float, float]:
        """About the largest pre-activation, 0 without an MLP, and the largest skip; not finite if a table is lost."""

    @abstractmethod
    def sums(self, tokens: Int[np.ndarray, "n k"]) -> tuple[Float64Enclosure | None, Float64Enclosure]:
        """Pre-activations `[n, d_mlp]`, or None, and skip `[n, d_vocab_out]` of every sequence."""


def ends(enclosure: AbstractEnclosure) -> Float64Enclosure:
    """An enclosure of any arithmetic with float64 ends."""
    return Float64Enclosure(*enclosure.bounds())


def fixed_point(
    lo: Float[np.ndarray, "..."], hi: Float[np.ndarray, "..."], exponent: int
) -> tuple[Int[np.ndarray, "..."], Int[np.ndarray, "..."]]:
    """Integers n, m with `n * 2**exponent <= lo` and `hi <= m * 2**exponent`, entry by entry."""
    # SOUND: multiplying by a power of two is exact but for underflow, and then the sign still counts.
    low = np.minimum(np.floor(np.ldexp(lo, -exponent)), np.where(lo < 0, -1.0, np.inf))
    high = np.maximum(np.ceil(np.ldexp(hi, -exponent)), np.where(hi > 0, 1.0, -np.inf))
    return low.astype(np.int64), high.astype(np.int64)


class Logits:
    """Logits of sequences in integers, at a common scale.

    Attributes:
        exponent: the logits are the integers times `2**exponent`.
        lost: a table is not finite, so nothing is decided.
    """

    def __init__(self, source: AbstractSums) -> None:
        self.source = source
        pre, skip = source.reaches()
        out = None if source.out is None else source.out.bounds()
        # SOUND: a lost number decides nothing.
        self.lost = not np.isfinite([2 * pre, 2 * skip, *(np.abs(bound).max() for bound in out or ())]).all()
        if self.lost:
            return
        self._widths = _exponent(2 * pre), _exponent(2 * skip)
        self._hidden = self._widths[0] - BITS
        scale = _exponent(*(np.abs(bound).max() for bound in out)) - BITS if out else 0
        # The skip may be larger than what the MLP writes.
        self.exponent = max(self._hidden + scale, self._widths[1] - 60) if out else self._widths[1] - 60
        self._shift = self.exponent - self._hidden - scale
        if out:
            low, high = fixed_point(*out, scale)
            self._out = [np.maximum(low, 0), np.minimum(low, 0), np.maximum(high, 0), np.minimum(high, 0)]

    def __call__(self, tokens: Int[np.ndarray, "n k"]) -> tuple[Int[np.ndarray, "n o"], Int[np.ndarray, "n o"]]:
        """Lower and upper bounds of the logits of every sequence, all at the same scale."""
        return self._integers(*self.source.sums(tokens))

    def _integers(
        self, pre: Float64Enclosure | None, skip: Float64Enclosure
    ) -> tuple[Int[np.ndarray, "n o"], Int[np.ndarray, "n o"]]:
        lo, hi = fixed_point(*skip.bounds(), self.exponent)
        if pre is None:
            return lo, hi
        low, high = fixed_point(*pre.bounds(), self._hidden)
        # The hidden values are not negative.
        low, high = np.maximum(low, 0), np.maximum(high, 0)
        up, down, up_high, down_high = self._out
        lower, upper = low @ up + high @ down, high @ up_high + low @ down_high
        return lo + (lower >> self._shift), hi + -((-upper) >> self._shift)

    def _within(self, pre: Float64Enclosure | None, skip: Float64Enclosure) -> Bool[np.ndarray, " n"]:
        """Which sequences have numbers that are not lost, and small enough for the integers."""
        fits = np.ones(skip.shape[0], dtype=bool)
        for numbers, width in zip((pre, skip), self._widths, strict=True):
            if numbers is not None:
                size = numbers.absolute().hi
                fits &= (np.isfinite(size) & (size <= np.ldexp(1.0, width))).all(1)
        return fits

    def verdicts(
        self, tokens: Int[np.ndarray, "n k"], target: Int[np.ndarray, " n"]
    ) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Which sequences are certainly right, and which certainly wrong or tied."""
        right, wrong = np.zeros(len(tokens), dtype=bool), np.zeros(len(tokens), dtype=bool)
        for begin in range(0, 0 if self.lost else len(tokens), BLOCK):
            block = slice(begin, begin + BLOCK)
            right[block], wrong[block] = self._decided(tokens[block], target[block])
        return right, wrong

    def _decided(
        self, tokens: Int[np.ndarray, "n k"], target: Int[np.ndarray, " n"]
    ) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        pre, skip = self.source.sums(tokens)
        fits = self._within(pre, skip)
        # SOUND: what does not fit becomes zero before it becomes an integer, and decides nothing.
        mask = fits[:, np.newaxis]
        lo, hi = self._integers(None if pre is None else pre.where(mask, 0), skip.where(mask, 0))
        rows = np.arange(len(tokens))
        is_target = target[:, np.newaxis] == np.arange(lo.shape[1])
        right = (is_target | (lo[rows, target][:, np.newaxis] > hi)).all(1)
        wrong = (~is_target & (lo >= hi[rows, target][:, np.newaxis])).any(1)
        return right & fits, wrong & fits


def _exponent(*sizes: float) -> int:
    """An e with 2 * size < 2**e for all sizes."""
    return int(np.frexp(max(float(size) for size in sizes))[1]) + 1
