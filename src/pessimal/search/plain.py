"""Float64 without enclosures: what a rule would find if nothing were rounded. For search only: no bound.

A rule run over these numbers costs a fraction of its outward-rounded form and differs from it in the last digits.

Contents:
    Plain — an array as matrix and enclosure at once.
    PlainArithmetic — makes them.
    rounded — arrays for hints, with few bits.
    nearest_float — a rational that may be out of range.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix, Shape

Some = TypeVar("Some", bound="Plain")


def nearest_float(value: Fraction) -> float:
    """The float64 nearest to a rational; infinite where it is out of range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@dataclass(frozen=True, eq=False)
class Plain(AbstractEnclosure, AbstractMatrix):
    """A float64 array that a rule takes for a matrix or an enclosure."""

    array: np.ndarray

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """Shape of the array."""
        return self.array.shape

    def _new(self: Some, array: Any) -> Some:
        return type(self)(np.asarray(array))

    def __getitem__(self: Some, key: Any) -> Some:
        return self._new(self.array[key])

    def reshape(self: Some, *shape: int) -> Some:
        return self._new(self.array.reshape(shape))

    def transpose(self: Some, *axes: int) -> Some:
        return self._new(self.array.transpose(axes or None))

    def enclose(self: Some) -> Some:
        return self

    def number(self: Some, value: Fraction) -> Some:
        return self._new(nearest_float(value))

    def plus(self: Some, other: Some) -> Some:
        return self._new(self.array + other.array)

    def minus(self: Some, other: Some) -> Some:
        return self._new(self.array - other.array)

    def times(self: Some, other: Some) -> Some:
        return self._new(self.array * other.array)

    def over(self: Some, other: Some) -> Some:
        """Entrywise quotient; NaN where the divisor is not positive."""
        return self._new(self.array / np.where(other.array > 0, other.array, np.nan))

    def __matmul__(self: Some, other: Some) -> Some:
        return self._new(self.array @ other.array)

    def absolute(self: Some) -> Some:
        return self._new(np.abs(self.array))

    def widened(self: Some, radius: Some) -> Some:
        """The entries themselves: nothing is rounded here."""
        return self._new(self.array + 0 * radius.array)

    def maximum(self: Some, other: Some) -> Some:
        return self._new(np.maximum(self.array, other.array))

    def minimum(self: Some, other: Some) -> Some:
        return self._new(np.minimum(self.array, other.array))

    def scale_rows(self: Some, other: Some) -> Some:
        """Rows times entries of a vector."""
        return self._new(self.array * other.array[:, np.newaxis])

    def below_maximum(self: Some) -> Some:
        """Rows less their maximum."""
        return self._new(self.array - self.array.max(-1, keepdims=True))

    def beside(self: Some, other: Some) -> Some:
        return self._new(np.concatenate([self.array, other.array], axis=-1))

    def is_constant(self) -> bool:
        """Whether all entries are equal."""
        return bool((self.array == self.array.flat[0]).all())

    def exp(self: Some) -> Some:
        return self._new(np.exp(self.array))

    def sqrt(self: Some) -> Some:
        return self._new(np.sqrt(self.array))

    def sum(self: Some, axis: int) -> Some:
        return self._new(self.array.sum(axis))

    def max(self: Some, axis: int) -> Some:
        return self._new(self.array.max(axis))

    def min(self: Some, axis: int) -> Some:
        return self._new(self.array.min(axis))

    def cumulative_max(self: Some, axis: int) -> Some:
        return self._new(np.maximum.accumulate(self.array, axis))

    def cumulative_min(self: Some, axis: int) -> Some:
        return self._new(np.minimum.accumulate(self.array, axis))

    def cumulative_sum(self: Some, axis: int) -> Some:
        return self._new(self.array.cumsum(axis))

    def sort(self: Some) -> Some:
        return self._new(np.sort(self.array, -1))

    def where(self: Some, mask: Bool[np.ndarray, "..."], otherwise: int) -> Some:
        return self._new(np.where(mask, self.array, float(otherwise)))

    def greater(self: Some, other: Some) -> Bool[np.ndarray, "..."]:
        return np.asarray(self.array > other.array)

    def positive(self) -> Bool[np.ndarray, "..."]:
        return np.asarray(self.array > 0)

    def bounds(self) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        return self.array, self.array

    def upper(self) -> list[Fraction | None]:
        """The numbers as fractions."""
        return [Fraction(x) if np.isfinite(x) else None for x in self.array.tolist()]


class PlainArithmetic(AbstractArithmetic):
    """Arithmetic of `Plain` arrays, without rounding outward."""

    name: ClassVar[str] = "plain"

    def matrix(self, array: Float[np.ndarray, "..."]) -> Plain:
        return Plain(np.asarray(array, dtype=np.float64))

    def integers(self, array: Shaped[np.ndarray, "..."]) -> Plain:
        return Plain(array.astype(np.float64))

    def dyadic(self, mantissa: Int[np.ndarray, " n"], exponent: Int[np.ndarray, " n"]) -> Plain:
        return Plain(np.ldexp(mantissa.astype(np.float64), exponent))

    def stack(self, parts: Sequence[Plain], axis: int = 0) -> Plain:
        """Arrays joined along a new axis."""
        return Plain(np.stack([part.array for part in parts], axis))

    def concatenate(self, parts: Sequence[Plain], axis: int) -> Plain:
        """Arrays joined along an axis that they have."""
        return Plain(np.concatenate([part.array for part in parts], axis))


def rounded(array: Float[np.ndarray, "a b"], bits: int) -> Float[np.ndarray, "a b"]:
    """Multiples of one power of two, so many bits for the largest entry."""
    unit = 2.0 ** (np.frexp(np.abs(array).max())[1] - bits) if array.any() else 1.0
    return np.asarray(np.rint(array / unit) * unit)
