r"""Row differences of a product of matrices, without multiplying it out.

For $R = M_1 \cdots M_r$, `[rows, ...] .. [..., columns]`, every function returns upper bounds of
$\max_{ij}(R_{qi} - R_{qj})$, one per row q. Proofs: `qk_path.py`.

Contents:
    max_diff — one cut of the product.
    mean_row, one_cut — the mean of all rows, and one cut with or without it.
    every_cut — the least over all cuts, with or without the mean row split off.
    recursive — cut after cut, from the right.
    multiplied_out — the product's own.
    spectral — from the largest singular value.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from operator import matmul

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.rules.published.sub_cubic.paths import spread

# tr((GH)^p)^(1/p), p = 2**DOUBLINGS.
DOUBLINGS = 6
Factors = Sequence[AbstractEnclosure]


def mean_row(matrix: AbstractEnclosure) -> AbstractEnclosure:
    """The average of the rows, `[1, columns]`."""
    return (matrix.sum(0) * Fraction(1, matrix.shape[0])).reshape(1, -1)


def max_diff(left: AbstractEnclosure, widths: AbstractEnclosure) -> AbstractEnclosure:
    """|left| times the row differences of the right factor, `[inner]` to `[rows]`."""
    return (left.absolute() @ widths.reshape(-1, 1)).reshape(-1)


def one_cut(left: AbstractEnclosure, right: AbstractEnclosure, *, mean: bool) -> AbstractEnclosure:
    """Bound from one cut, both sides multiplied out."""
    widths = spread(right, 1)
    if not mean:
        return max_diff(left, widths)
    centre = mean_row(left)
    return spread(centre @ right, 1) + max_diff(left - centre, widths)


def every_cut(factors: Factors, *, mean: bool) -> AbstractEnclosure:
    """The least bound over the cuts between any two factors."""
    lefts, rights = [factors[0]], [factors[-1]]
    for factor in factors[1:-1]:
        lefts.append(lefts[-1] @ factor)
    for factor in factors[-2:0:-1]:
        rights.append(factor @ rights[-1])
    bounds = [one_cut(left, right, mean=mean) for left, right in zip(lefts, rights[::-1], strict=True)]
    return reduce(lambda x, y: x.minimum(y), bounds)


def recursive(factors: Factors, *, means: int) -> AbstractEnclosure:
    """|M_1| (|M_2| ( .. rng(M_r))); the mean row is split off at the first `means` factors."""
    if len(factors) == 1:
        return spread(factors[0], 1)
    first, rest = factors[0], factors[1:]
    inner = recursive(rest, means=max(means - 1, 0))
    if not means:
        return max_diff(first, inner)
    centre = mean_row(first)
    row = reduce(matmul, rest, centre)
    return spread(row, 1) + max_diff(first - centre, inner)


def multiplied_out(factors: Factors) -> AbstractEnclosure:
    """The row differences of the product itself, multiplied out."""
    return spread(reduce(matmul, factors), 1)


def spectral(factors: Factors) -> AbstractEnclosure:
    """sqrt(2) times an upper bound of the largest singular value of a product of two, the same for every row.

    The powers are divided by a power of two near the trace, which changes nothing but the exponents.
    """
    left, right = factors
    gram = left.T @ left @ (right @ right.T)
    n = np.arange(gram.shape[0])
    hi = float(gram[n, n].sum(0).bounds()[1])
    exponent = int(np.frexp(hi)[1]) if np.isfinite(hi) else 0
    exponent = min(max(exponent, -900), 900)
    matrix = gram * Fraction(2) ** -exponent
    for _ in range(DOUBLINGS):
        matrix = matrix @ matrix
    square = matrix[n, n].sum(0).reshape(1)
    for _ in range(DOUBLINGS):
        square = square.sqrt()
    bound = (square * Fraction(2) ** exponent * 2).sqrt()
    return bound[np.zeros(left.shape[0], dtype=np.int64)]
