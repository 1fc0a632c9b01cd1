r"""Cosines and sines of the multiples of $2\pi/n$, from integers.

All numbers are integers in units of $2^{-120}$. Machin: $\pi = 16\arctan\tfrac15 - 4\arctan\tfrac1{239}$, each
arctangent by its alternating series; every quotient is rounded by less than two units, a series of at most 27 terms
is cut below one, so $\pi$ is known within $20\cdot 55 < 2^{11}$ units and every angle, at most $2\pi$, within
$2^{12} + 1$; sine and cosine change no faster. Taylor: a term is the one before times $x/j$, rounded by less than one
unit; an error is carried into the later terms multiplied by no more than $e^{2\pi} < 2^{10}$ in all, and there are
fewer than 70 terms before they fall below one unit. Together every result is within $2^{18}$ units, $2^{-102}$, of the
true value, and its nearest multiple of $2^{-52}$ within one such multiple (`docs/rounding.md#the-circle`).

Contents:
    circle — the table, as enclosures.
    pi — as an enclosure.
    circle_integers — cosines and sines in units of 2**-52, within one unit.
"""

from fractions import Fraction
from functools import lru_cache

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure

BITS = 120
UNIT_BITS = 52


def _arctangent_of_inverse(m: int) -> int:
    """arctan(1/m), m >= 2."""
    term, total, square, j = (1 << BITS) // m, 0, m * m, 1
    while term:
        total += term // j if j % 4 == 1 else -(term // j)
        term, j = term // square, j + 2
    return total


def _pi() -> int:
    return 16 * _arctangent_of_inverse(5) - 4 * _arctangent_of_inverse(239)


def pi(arith: AbstractArithmetic) -> AbstractEnclosure:
    """The number pi, shape ()."""
    error = arith.fraction(Fraction(1, 1 << (BITS - 11)))
    return arith.fraction(Fraction(_pi(), 1 << BITS)).widened(error)


def _cosine_and_sine(angle: int) -> tuple[int, int]:
    """Cosine and sine of an angle from 0 to 2 pi."""
    sums, term, j = [0, 0], 1 << BITS, 0
    while term:
        sums[j % 2] += term if j % 4 < 2 else -term
        j += 1
        term = (term * angle >> BITS) // j
    return sums[0], sums[1]


@lru_cache(maxsize=8)
def circle_integers(n: int) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Multiples of 2**-52 within one of cos(2 pi j / n) and of sin(2 pi j / n), j = 0 .. n - 1."""
    cos_and_sin = [_cosine_and_sine(2 * _pi() * j // n) for j in range(n)]
    half = 1 << (BITS - UNIT_BITS - 1)
    nearest = np.array([[(x + half) >> (BITS - UNIT_BITS) for x in pair] for pair in cos_and_sin], dtype=np.int64)
    return nearest[:, 0], nearest[:, 1]


def circle(n: int, arith: AbstractArithmetic) -> tuple[AbstractEnclosure, AbstractEnclosure]:
    """Cosines and sines of 2 pi j / n, `[n]` each."""
    exponent = np.full(n, -UNIT_BITS)
    unit = arith.dyadic(np.ones(n, dtype=np.int64), exponent)
    cos, sin = (arith.dyadic(one, exponent).widened(unit) for one in circle_integers(n))
    return cos, sin
