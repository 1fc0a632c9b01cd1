r"""Float64 endpoints, rounded outward: the default arithmetic.

Every operation is done in round-to-nearest and its result moved outward by at least one unit in the last place:
for the rounded value $x$ of an exact $t$, $|x - t| \le \tfrac12\mathrm{ulp}(x)$, and
`x + (|x| * 2**-52 + 2**-1074)` is a float64 no smaller than $x + \mathrm{ulp}(x)$, subnormal numbers included (the
product is at least one ulp for normal $x$; the constant is one ulp for subnormal $x$; rounding is monotone). An
overflow gives an infinity or NaN at that end, which no decision accepts. Sums are trees of such additions, so no
property of NumPy's summation order is used, and no BLAS routine is called. Proofs, operation by operation:
`docs/rounding.md`.

Contents:
    Float64Enclosure — arrays `lo`, `hi`.
    Float64Arithmetic — Python integers for exact products, `Float64Enclosure` for the rest.
    up, down — one step outward.
    enclose_integers — exact numbers to enclosures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from pessimal.kernel.arithmetic.dyadic import DyadicMatrix, object_array, split_floats
from pessimal.kernel.arithmetic.exponential import exp_enclosure
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, Shape

Some = TypeVar("Some", bound="Float64Enclosure")
# NumPy turns arrays of shape () into scalars on the way.
Floats = Float[np.ndarray, "..."] | np.float64
ULP = 2.0**-52
TINY = 2.0**-1074


def up(x: Floats) -> Float[np.ndarray, "..."]:
    """A float64 above every real that rounds to x."""
    return np.asarray(x + (np.abs(x) * ULP + TINY))  # ROUND: upwards


def down(x: Floats) -> Float[np.ndarray, "..."]:
    """A float64 below every real that rounds to x."""
    return np.asarray(x - (np.abs(x) * ULP + TINY))  # ROUND: downwards


def enclose_integers(numbers: np.ndarray, exponent: int) -> "Float64Enclosure":
    """Bounds of `numbers * 2**exponent`: the leading 53 bits of each integer, then one step outward."""
    flat = numbers.ravel().tolist()
    if max(map(abs, flat), default=0) >> 53 == 0:
        whole = np.ldexp(np.array(flat, dtype=np.float64), min(max(exponent, -(10**6)), 10**6))
        return Float64Enclosure(down(whole).reshape(numbers.shape), up(whole).reshape(numbers.shape))
    cut = [max(n.bit_length() - 53, 0) for n in flat]
    floor = np.array([n >> c for n, c in zip(flat, cut, strict=True)], dtype=np.float64)
    ceiling = np.array([-(-n >> c) for n, c in zip(flat, cut, strict=True)], dtype=np.float64)
    shift = np.clip(np.array(cut, dtype=np.int64) + exponent, -(10**6), 10**6)
    lo, hi = down(np.ldexp(floor, shift)), up(np.ldexp(ceiling, shift))
    return Float64Enclosure(lo.reshape(numbers.shape), hi.reshape(numbers.shape))


@dataclass(frozen=True, eq=False)
class Float64Enclosure(AbstractEnclosure):
    """Reals between `lo` and `hi`, two float64 arrays of one shape."""

    lo: np.ndarray
    hi: np.ndarray

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """Shape of the array."""
        return self.lo.shape

    def _both(self: Some, lo: Any, hi: Any) -> Some:
        return type(self)(np.asarray(lo), np.asarray(hi))

    def __getitem__(self: Some, key: Any) -> Some:
        return self._both(self.lo[key], self.hi[key])

    def reshape(self: Some, *shape: int) -> Some:
        return self._both(self.lo.reshape(shape), self.hi.reshape(shape))

    def transpose(self: Some, *axes: int) -> Some:
        return self._both(self.lo.transpose(axes), self.hi.transpose(axes))

    def number(self: Some, value: Fraction) -> Some:
        """Between two neighbouring floats; Python's integer division is correctly rounded."""
        try:
            nearest = np.array(value.numerator / value.denominator)
        except OverflowError:
            return self._both(-np.inf, np.inf)
        return self._both(down(nearest), up(nearest))

    def plus(self: Some, other: Some) -> Some:
        return self._both(down(self.lo + other.lo), up(self.hi + other.hi))

    def minus(self: Some, other: Some) -> Some:
        return self._both(down(self.lo - other.hi), up(self.hi - other.lo))

    def times(self: Some, other: Some) -> Some:
        """Entrywise product: the extremes over the four products of endpoints."""
        a, b = self.lo * other.lo, self.lo * other.hi
        c, d = self.hi * other.lo, self.hi * other.hi
        lo = np.minimum(np.minimum(a, b), np.minimum(c, d))
        hi = np.maximum(np.maximum(a, b), np.maximum(c, d))
        return self._both(down(lo), up(hi))

    def over(self: Some, other: Some) -> Some:
        sure = other.lo > 0
        lo_divisor, hi_divisor = np.where(sure, other.lo, np.nan), np.where(sure, other.hi, np.nan)
        a, b = self.lo / lo_divisor, self.lo / hi_divisor
        c, d = self.hi / lo_divisor, self.hi / hi_divisor
        return self._both(down(np.minimum(a, b)), up(np.maximum(c, d)))

    def exp(self: Some) -> Some:
        """Entrywise exponential; monotone, so each end on its own."""
        return self._both(exp_enclosure(self.lo)[0], exp_enclosure(self.hi)[1])

    def sqrt(self: Some) -> Some:
        """Entrywise square root (IEEE: correctly rounded)."""
        lo, hi = np.sqrt(self.lo), np.sqrt(self.hi)
        return self._both(np.maximum(down(lo), 0.0), up(hi))

    def absolute(self: Some) -> Some:
        """Entrywise absolute value; exact, so nothing is widened."""
        lo = np.maximum(np.maximum(self.lo, -self.hi), 0.0)
        return self._both(lo, np.maximum(-self.lo, self.hi))

    def widened(self: Some, radius: Some) -> Some:
        """Both ends moved outward by the upper end of the radius."""
        reach = np.where(radius.hi >= 0, radius.hi, np.nan)
        return self._both(down(self.lo - reach), up(self.hi + reach))

    def maximum(self: Some, other: Some) -> Some:
        return self._both(np.maximum(self.lo, other.lo), np.maximum(self.hi, other.hi))

    def minimum(self: Some, other: Some) -> Some:
        return self._both(np.minimum(self.lo, other.lo), np.minimum(self.hi, other.hi))

    def sum(self: Some, axis: int) -> Some:
        """Sum along an axis, as a balanced tree of outward additions."""
        lo, hi = np.moveaxis(self.lo, axis, 0), np.moveaxis(self.hi, axis, 0)
        if lo.shape[0] == 0:
            return self._both(np.zeros(lo.shape[1:]), np.zeros(lo.shape[1:]))
        while (n := lo.shape[0]) > 1:
            half = n // 2
            sums_lo = down(lo[:half] + lo[half : 2 * half])
            sums_hi = up(hi[:half] + hi[half : 2 * half])
            lo = np.concatenate([sums_lo, lo[2 * half :]])
            hi = np.concatenate([sums_hi, hi[2 * half :]])
        return self._both(lo[0], hi[0])

    def max(self: Some, axis: int) -> Some:
        return self._both(self.lo.max(axis), self.hi.max(axis))

    def min(self: Some, axis: int) -> Some:
        return self._both(self.lo.min(axis), self.hi.min(axis))

    def cumulative_max(self: Some, axis: int) -> Some:
        return self._both(np.maximum.accumulate(self.lo, axis), np.maximum.accumulate(self.hi, axis))

    def cumulative_min(self: Some, axis: int) -> Some:
        return self._both(np.minimum.accumulate(self.lo, axis), np.minimum.accumulate(self.hi, axis))

    def cumulative_sum(self: Some, axis: int) -> Some:
        """Running sum, one outward addition after the other."""
        lo, hi = np.moveaxis(self.lo, axis, 0).copy(), np.moveaxis(self.hi, axis, 0).copy()
        for i in range(1, lo.shape[0]):
            lo[i], hi[i] = down(lo[i - 1] + lo[i]), up(hi[i - 1] + hi[i])
        return self._both(np.moveaxis(lo, 0, axis), np.moveaxis(hi, 0, axis))

    def sort(self: Some) -> Some:
        """Order statistics: the i-th smallest lies between the i-th smallest bounds; a lost row stays lost."""
        lost = np.isnan(self.lo).any(-1, keepdims=True) | np.isnan(self.hi).any(-1, keepdims=True)
        lo, hi = np.sort(self.lo, -1), np.sort(self.hi, -1)
        return self._both(np.where(lost, np.nan, lo), np.where(lost, np.nan, hi))

    def where(self: Some, mask: Bool[np.ndarray, "..."], otherwise: int) -> Some:
        return self._both(np.where(mask, self.lo, float(otherwise)), np.where(mask, self.hi, float(otherwise)))

    def greater(self: Some, other: Some) -> Bool[np.ndarray, "..."]:
        """Where the lower end is strictly above the other's upper end; false where lost."""
        return np.asarray(np.isfinite(self.lo) & (self.lo > other.hi))

    def positive(self) -> Bool[np.ndarray, "..."]:
        """Where the lower end is strictly positive; false where lost."""
        return np.asarray(np.isfinite(self.lo) & (self.lo > 0))

    def bounds(self) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        return self.lo, self.hi

    def upper(self) -> list[Fraction | None]:
        return [Fraction(x) if np.isfinite(x) else None for x in self.hi.tolist()]


class Float64Arithmetic(AbstractArithmetic):
    """Exact products in Python integers, everything else in outward float64."""

    name: ClassVar[str] = "float64"

    def matrix(self, array: Float[np.ndarray, "..."]) -> DyadicMatrix:
        return DyadicMatrix(*split_floats(array), enclose_integers)

    def integers(self, array: Shaped[np.ndarray, "..."]) -> DyadicMatrix:
        return DyadicMatrix(object_array(array.ravel().tolist(), array.shape), 0, enclose_integers)

    def dyadic(self, mantissa: Int[np.ndarray, " n"], exponent: Int[np.ndarray, " n"]) -> Float64Enclosure:
        """M * 2**e, widened by one step (ldexp may round to a subnormal)."""
        nearest = np.ldexp(mantissa.astype(np.float64), exponent)
        return Float64Enclosure(down(nearest), up(nearest))

    def stack(self, parts: Sequence[Float64Enclosure], axis: int = 0) -> Float64Enclosure:
        """Enclosures joined along a new axis."""
        return Float64Enclosure(np.stack([p.lo for p in parts], axis), np.stack([p.hi for p in parts], axis))

    def concatenate(self, parts: Sequence[Float64Enclosure], axis: int) -> Float64Enclosure:
        return Float64Enclosure(
            np.concatenate([p.lo for p in parts], axis), np.concatenate([p.hi for p in parts], axis)
        )
