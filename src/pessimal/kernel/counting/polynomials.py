"""Products of many polynomials at once, cut off at a common degree.

A polynomial is the last axis of an enclosure `[S, B]`: coefficients of X**0 .. X**(B-1). Higher powers are dropped.

Theorem. The results enclose the coefficients below X**B of products of the enclosed polynomials, and their sums up to a
degree below B.

*Proof.* Coefficient i of a product is the sum of a_j b_(i-j), j = 0 .. i, and needs none beyond i of either factor, so
products of cut polynomials are right below the cut. In a square the summands j and i - j are equal. The coefficients
0 .. n of a product add up to the sum of a_j times the sum of b_0 .. b_(n-j), j = 0 .. n. ∎

Contents:
    times — product.
    square — product with itself; half the operations.
    Powers — powers of one polynomial, each computed once.
    low_sum — sum of the coefficients of a product up to a degree of its own for each.
"""

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure


def times(a: AbstractEnclosure, b: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """Product. Cost: B**2 per polynomial."""
    cells = a.shape[1]
    rows = [a[:, : i + 1] * b[:, i::-1] for i in range(cells)]
    return arith.stack([row.sum(1) for row in rows], axis=1)


def square(a: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """A * a: coefficient i is 2 (a_0 a_i + a_1 a_{i-1} + ..) with the middle term once. Cost: about B**2 / 2."""
    double = a + a
    sums = []
    for i in range(a.shape[1]):
        half = (i + 1) // 2
        total = (double[:, :half] * a[:, i : i - half : -1]).sum(1) if half else None
        if i % 2 == 0:
            middle = a[:, i // 2] * a[:, i // 2]
            total = middle if total is None else total + middle
        sums.append(total)
    return arith.stack(sums, axis=1)


class Powers:
    """Powers of one polynomial, by squaring and multiplying."""

    def __init__(self, base: AbstractEnclosure, arith: AbstractArithmetic) -> None:
        self._known, self._arith = {1: base}, arith

    def __getitem__(self, n: int) -> AbstractEnclosure:
        """The n-th power, n >= 1."""
        if n not in self._known:
            self._known[n] = times(self[n - 1], self[1], self._arith) if n % 2 else square(self[n // 2], self._arith)
        return self._known[n]


def low_sum(a: AbstractEnclosure, b: AbstractEnclosure | None, degree: Int[np.ndarray, " S"]) -> AbstractEnclosure:
    """Sum of the coefficients 0 .. degree of a * b (of a, without b), degree < B; 0 if it is negative.

    Cost: 3B per pair.
    """
    left = degree[:, np.newaxis] - np.arange(a.shape[1])
    if b is not None:
        a = a * b.cumulative_sum(1)[np.arange(degree.size)[:, np.newaxis], np.maximum(left, 0)]
    return a.where(left >= 0, 0).sum(1)
