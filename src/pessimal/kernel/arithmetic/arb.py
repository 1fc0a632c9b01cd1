"""FLINT integers and Arb balls: an independent second opinion.

Exact products are FLINT integer matrices; every enclosure is an Arb ball at 128 bits, whose inclusion principle
(the result ball contains the function's value on every point of the argument balls) replaces our own rounding.
Shares no rounding code with the float64 arithmetic; slower, so it re-checks rather than checks.

Contents:
    FlintMatrix — exact matrices over FLINT integers.
    ArbEnclosure — an object array of balls.
    ArbArithmetic — matrices and enclosures together, at a stated precision.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, TypeVar

import flint
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from pessimal.kernel.arithmetic.dyadic import DyadicMatrix, object_array, split_floats
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, Shape

PRECISION = 128
RANGE = 4096
# Radii of balls have 30.
RADIUS_BITS = 28

Some = TypeVar("Some", bound="ArbEnclosure")
_exp = np.frompyfunc(lambda x: x.exp(), 1, 1)
_sqrt = np.frompyfunc(lambda x: x.sqrt() if x >= 0 else flint.arb("nan"), 1, 1)
_divide = np.frompyfunc(lambda x, y: x / y if y > 0 else flint.arb("nan"), 2, 1)
_maximum = np.frompyfunc(lambda x, y: x.max(y), 2, 1)
_minimum = np.frompyfunc(lambda x, y: x.min(y), 2, 1)
_greater = np.frompyfunc(lambda x, y: bool(x > y) and x.is_finite(), 2, 1)
_lower_end = np.frompyfunc(lambda x: x.lower(), 1, 1)
_upper_end = np.frompyfunc(lambda x: x.upper(), 1, 1)
_radius = np.frompyfunc(lambda r: r.upper() if r.upper() >= 0 else flint.arb("nan"), 1, 1)
_hull = np.frompyfunc(lambda x, y: x.union(y), 2, 1)
_float = np.frompyfunc(float, 1, 1)


def _size(ball: Any) -> Any:
    """The absolute value of a ball; one around zero gives [0, 2 r], centre and radius equal to the last bit."""
    if not ball.is_finite() or not ball.contains(0):
        return abs(ball)
    mantissa, exponent = abs(ball).upper().man_exp()
    cut = max(int(mantissa).bit_length() - RADIUS_BITS, 0)
    half = flint.arb((-(-mantissa >> cut), int(exponent) + cut - 1))  # ROUND: upwards
    ball = flint.arb(half, half)
    # The radius was rounded up; the centre follows it, which few bits make exact.
    return ball + (ball.rad() - half)


_absolute = np.frompyfunc(_size, 1, 1)


class FlintMatrix(DyadicMatrix):
    """Exact matrices whose integers are FLINT's and whose products are FLINT's."""

    @staticmethod
    def multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Product of two 2-D integer arrays by `fmpz_mat`."""
        product = flint.fmpz_mat(left.tolist()) * flint.fmpz_mat(right.tolist())
        return object_array(product.entries(), (left.shape[0], right.shape[1]))


def _to_balls(numbers: np.ndarray, exponent: int) -> "ArbEnclosure":
    balls = (flint.arb((flint.fmpz(n), exponent)) for n in numbers.ravel())
    return ArbEnclosure(object_array(balls, numbers.shape))


@dataclass(frozen=True, eq=False)
class ArbEnclosure(AbstractEnclosure):
    """An object array of Arb balls."""

    balls: np.ndarray

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """Shape of the array."""
        return self.balls.shape

    def _like(self: Some, balls: Any) -> Some:
        return type(self)(np.asarray(balls, dtype=object))

    def __getitem__(self: Some, key: Any) -> Some:
        return self._like(self.balls[key])

    def reshape(self: Some, *shape: int) -> Some:
        return self._like(self.balls.reshape(shape))

    def transpose(self: Some, *axes: int) -> Some:
        return self._like(self.balls.transpose(axes))

    def number(self: Some, value: Fraction) -> Some:
        return self._like(flint.arb(flint.fmpq(value.numerator, value.denominator)))

    def plus(self: Some, other: Some) -> Some:
        return self._like(self.balls + other.balls)

    def minus(self: Some, other: Some) -> Some:
        return self._like(self.balls - other.balls)

    def times(self: Some, other: Some) -> Some:
        return self._like(self.balls * other.balls)

    def over(self: Some, other: Some) -> Some:
        return self._like(_divide(self.balls, other.balls))

    def exp(self: Some) -> Some:
        return self._like(_exp(self.balls))

    def sqrt(self: Some) -> Some:
        return self._like(_sqrt(self.balls))

    def absolute(self: Some) -> Some:
        """Entrywise absolute value; no ball reaches below zero, so that its square root is not lost."""
        return self._like(_absolute(self.balls))

    def widened(self: Some, radius: Some) -> Some:
        """The hull of both ends."""
        reach = _radius(radius.balls)
        return self._like(_hull(self.balls - reach, self.balls + reach))

    def maximum(self: Some, other: Some) -> Some:
        return self._like(_maximum(self.balls, other.balls))

    def minimum(self: Some, other: Some) -> Some:
        return self._like(_minimum(self.balls, other.balls))

    def sum(self: Some, axis: int) -> Some:
        if self.shape[axis] == 0:
            zeros = np.full(np.delete(self.shape, axis), flint.arb(0), dtype=object)
            return self._like(zeros)
        return self._like(np.add.reduce(self.balls, axis))

    def max(self: Some, axis: int) -> Some:
        return self._like(_maximum.reduce(self.balls, axis))

    def min(self: Some, axis: int) -> Some:
        return self._like(_minimum.reduce(self.balls, axis))

    def cumulative_max(self: Some, axis: int) -> Some:
        return self._like(_maximum.accumulate(self.balls, axis))

    def cumulative_min(self: Some, axis: int) -> Some:
        return self._like(_minimum.accumulate(self.balls, axis))

    def cumulative_sum(self: Some, axis: int) -> Some:
        return self._like(np.add.accumulate(self.balls, axis))

    def sort(self: Some) -> Some:
        """Order statistics: lower ends sorted and upper ends sorted, joined; a lost row stays lost."""
        rows = self.balls.reshape(-1, self.shape[-1])
        out = np.empty(rows.shape, dtype=object)
        for r, row in enumerate(rows):
            if all(ball.is_finite() for ball in row):
                lo, hi = sorted(_lower_end(row)), sorted(_upper_end(row))
                out[r] = _hull(np.array(lo, dtype=object), np.array(hi, dtype=object))
            else:
                out[r] = [flint.arb("nan")] * len(row)
        return self._like(out.reshape(self.shape))

    def where(self: Some, mask: Bool[np.ndarray, "..."], otherwise: int) -> Some:
        return self._like(np.where(mask, self.balls, np.array(flint.arb(otherwise), dtype=object)))

    def greater(self: Some, other: Some) -> Bool[np.ndarray, "..."]:
        """Where Arb is certain of the sign or order."""
        return np.asarray(_greater(self.balls, other.balls)).astype(bool)

    def positive(self) -> Bool[np.ndarray, "..."]:
        """Where Arb is certain of the sign or order."""
        return np.asarray(_greater(self.balls, flint.arb(0))).astype(bool)

    def bounds(self) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """Ends as float64, moved outward by one float after the conversion (which rounds to nearest)."""
        lo = np.asarray(_float(_lower_end(self.balls))).astype(np.float64)
        hi = np.asarray(_float(_upper_end(self.balls))).astype(np.float64)
        return np.asarray(np.nextafter(lo, -np.inf)), np.asarray(np.nextafter(hi, np.inf))  # ROUND: outwards

    def upper(self) -> list[Fraction | None]:
        """Exact upper ends; lost beyond 2**RANGE, and raised to 2**-RANGE when nearer to zero than that."""
        return [_rational(ball.upper()) for ball in self.balls]


def _rational(end: Any) -> Fraction | None:
    # Arb's exponents have no limit; a fraction with an exponent of 2**50 would fill the memory.
    if not abs(end) < flint.arb((1, RANGE)):
        return None
    if 0 < abs(end) < flint.arb((1, -RANGE)):
        return Fraction(1, 2**RANGE)  # ROUND: upwards
    mantissa, exponent = end.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


class ArbArithmetic(AbstractArithmetic):
    """FLINT integers for exact products, Arb balls for everything else."""

    name: ClassVar[str] = "arb"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Set FLINT's working precision for the duration; it is global, so it is never relied on outside."""
        with np.errstate(all="ignore"), flint.ctx.workprec(PRECISION):
            yield

    def matrix(self, array: Float[np.ndarray, "..."]) -> FlintMatrix:
        numbers, exponent = split_floats(array)
        return self._flint(numbers.ravel().tolist(), numbers.shape, exponent)

    def integers(self, array: Shaped[np.ndarray, "..."]) -> FlintMatrix:
        return self._flint(array.ravel().tolist(), array.shape, 0)

    @staticmethod
    def _flint(flat: list[int], shape: Shape, exponent: int) -> FlintMatrix:
        return FlintMatrix(object_array((flint.fmpz(n) for n in flat), shape), exponent, _to_balls)

    def dyadic(self, mantissa: Int[np.ndarray, " n"], exponent: Int[np.ndarray, " n"]) -> ArbEnclosure:
        """Hint numbers m * 2**e, exactly."""
        pairs = zip(mantissa.tolist(), exponent.tolist(), strict=True)
        return ArbEnclosure(object_array((flint.arb((flint.fmpz(m), e)) for m, e in pairs), mantissa.shape))

    def stack(self, parts: Sequence[ArbEnclosure], axis: int = 0) -> ArbEnclosure:
        """Enclosures joined along a new axis."""
        return ArbEnclosure(np.stack([p.balls for p in parts], axis))

    def concatenate(self, parts: Sequence[ArbEnclosure], axis: int) -> ArbEnclosure:
        return ArbEnclosure(np.concatenate([p.balls for p in parts], axis))
