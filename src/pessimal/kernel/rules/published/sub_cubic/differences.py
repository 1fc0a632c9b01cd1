r"""Row differences of a product of matrices, without multiplying it out.

For $R = M_1 \cdots M_r$, `[rows, ...] .. [..., columns]`, every function returns upper bounds of
$\max_{ij}(R_{qi} - R_{qj})$, one per row q. Proofs: `qk_path.py`.

Contents:
    max_diff — one cut of the product.
    every_cut — the least over all cuts, with or without the mean row split off.
    recursive — cut after cut, from the right.
    spectral — from the largest singular value.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import matmul
from pessimal.kernel.model.tensors import product
from pessimal.kernel.rules.published.sub_cubic.paths import spread, spread_flops

# tr((GH)^p)^(1/p), p = 2**DOUBLINGS.
DOUBLINGS = 6
Factors = Sequence[AbstractEnclosure]
Shapes = Sequence[tuple[int, int]]


def mean_row(matrix: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """The average of the rows, `[1, columns]`."""
    return (matrix.sum(0) * arith.fraction(Fraction(1, matrix.shape[0]))).reshape(1, -1)


def max_diff(left: AbstractEnclosure, widths: AbstractEnclosure) -> AbstractEnclosure:
    """|left| times the row differences of the right factor, `[inner]` to `[rows]`."""
    return product(left.absolute(), widths.reshape(-1, 1)).reshape(-1)


def one_cut(
    left: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic, *, mean: bool
) -> AbstractEnclosure:
    """Bound from one cut, both sides multiplied out."""
    widths = spread(right, 1)
    if not mean:
        return max_diff(left, widths)
    centre = mean_row(left, arith)
    return spread(product(centre, right), 1) + max_diff(left - centre, widths)


def one_cut_flops(rows: int, inner: int, columns: int, *, mean: bool) -> int:
    """Operations of `one_cut`."""
    flops = spread_flops(inner, columns) + rows * inner + matmul(rows, inner, 1)
    return flops + mean * (2 * rows * inner + matmul(1, inner, columns) + spread_flops(1, columns) + rows)


def every_cut(factors: Factors, arith: AbstractArithmetic, *, mean: bool) -> AbstractEnclosure:
    """The least bound over the cuts between any two factors."""
    lefts, rights = [factors[0]], [factors[-1]]
    for factor in factors[1:-1]:
        lefts.append(product(lefts[-1], factor))
    for factor in factors[-2:0:-1]:
        rights.append(product(factor, rights[-1]))
    bounds = [one_cut(one, two, arith, mean=mean) for one, two in zip(lefts, rights[::-1], strict=True)]
    return reduce(lambda x, y: x.minimum(y), bounds)


def every_cut_flops(shapes: Shapes, *, mean: bool) -> int:
    """Operations of `every_cut`."""
    rows, columns = shapes[0][0], shapes[-1][1]
    flops = sum(matmul(rows, a, b) for a, b in shapes[1:-1]) + sum(matmul(a, b, columns) for a, b in shapes[1:-1])
    flops += sum(one_cut_flops(rows, b, columns, mean=mean) for _, b in shapes[:-1])
    return flops + rows * (len(shapes) - 2)


def recursive(factors: Factors, arith: AbstractArithmetic, *, means: int) -> AbstractEnclosure:
    """|M_1| (|M_2| ( .. rng(M_r))); the mean row is split off at the first `means` factors."""
    if len(factors) == 1:
        return spread(factors[0], 1)
    first, rest = factors[0], factors[1:]
    inner = recursive(rest, arith, means=max(means - 1, 0))
    if not means:
        return max_diff(first, inner)
    centre = mean_row(first, arith)
    row = reduce(product, rest, centre)
    return spread(row, 1) + max_diff(first - centre, inner)


def recursive_flops(shapes: Shapes, *, means: int) -> int:
    """Operations of `recursive`."""
    (rows, inner), columns = shapes[0], shapes[-1][1]
    if len(shapes) == 1:
        return spread_flops(rows, columns)
    flops = recursive_flops(shapes[1:], means=max(means - 1, 0)) + rows * inner + matmul(rows, inner, 1)
    if not means:
        return flops
    chain = sum(matmul(1, a, b) for a, b in shapes[1:])
    return flops + 2 * rows * inner + chain + spread_flops(1, columns) + rows


def spectral(left: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """sqrt(2) times an upper bound of the largest singular value of `left @ right`, the same for every row.

    The powers are divided by a power of two near the trace, which changes nothing but the exponents.
    """
    gram = product(product(left.transpose(1, 0), left), product(right, right.transpose(1, 0)))
    n = np.arange(gram.shape[0])
    hi = float(gram[n, n].sum(0).bounds()[1])
    exponent = int(np.frexp(hi)[1]) if np.isfinite(hi) else 0
    exponent = min(max(exponent, -900), 900)

    def power(e: int) -> AbstractEnclosure:
        return arith.dyadic(np.array([1]), np.array([e]))

    matrix = gram * power(-exponent).reshape(1, 1)
    for _ in range(DOUBLINGS):
        matrix = product(matrix, matrix)
    square = matrix[n, n].sum(0).reshape(1)
    for _ in range(DOUBLINGS):
        square = square.sqrt()
    bound = (square * power(exponent) * arith.fraction(Fraction(2))).sqrt()
    return bound[np.zeros(left.shape[0], dtype=np.int64)]


def spectral_flops(rows: int, inner: int, columns: int) -> int:
    """Operations of `spectral`."""
    grams = matmul(inner, rows, inner) + matmul(inner, columns, inner) + matmul(inner, inner, inner)
    powers = inner**2 + DOUBLINGS * matmul(inner, inner, inner)
    return grams + powers + 2 * (inner - 1) + DOUBLINGS + 3
