"""Float64 without enclosures: what a rule would find if nothing were rounded. For search only: no bound.

A rule run over these numbers costs a fraction of its outward-rounded form and differs from it in the last digits.

Contents:
    Plain — an array as matrix and enclosure at once.
    PlainArithmetic — makes them.
    rounded — arrays for hints, with few bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix, Shape

Some = TypeVar("Some", bound="Plain")


@dataclass(frozen=True, eq=False)
class Plain(AbstractMatrix, AbstractEnclosure):
    """A float64 array."""

    array: np.ndarray

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """Shape of the array."""
        return self.array.shape

    def _new(self: Some, array: Any) -> Some:
        return type(self)(np.asarray(array))

    def __getitem__(self: Some, key: Any) -> Some:
        """NumPy indexing."""
        return self._new(self.array[key])

    def reshape(self: Some, *shape: int) -> Some:
        """The same entries in another shape."""
        return self._new(self.array.reshape(shape))

    def transpose(self: Some, *axes: int) -> Some:
        """Axes in another order."""
        return self._new(self.array.transpose(axes or None))

    def enclose(self: Some) -> Some:
        """The same."""
        return self

    def __add__(self: Some, other: Some) -> Some:
        """Entrywise sum."""
        return self._new(self.array + other.array)

    def __sub__(self: Some, other: Some) -> Some:
        """Entrywise difference."""
        return self._new(self.array - other.array)

    def __mul__(self: Some, other: Some) -> Some:
        """Entrywise product."""
        return self._new(self.array * other.array)

    def __truediv__(self: Some, other: Some) -> Some:
        """Entrywise quotient; NaN where the divisor is not positive."""
        return self._new(self.array / np.where(other.array > 0, other.array, np.nan))

    def __matmul__(self: Some, other: Some) -> Some:
        """Matrix product."""
        return self._new(self.array @ other.array)

    def absolute(self: Some) -> Some:
        """Entrywise absolute value."""
        return self._new(np.abs(self.array))

    def widened(self: Some, radius: Some) -> Some:
        """The entries themselves: nothing is rounded here."""
        return self._new(self.array + 0 * radius.array)

    def maximum(self: Some, other: Some) -> Some:
        """Entrywise larger."""
        return self._new(np.maximum(self.array, other.array))

    def minimum(self: Some, other: Some) -> Some:
        """Entrywise smaller."""
        return self._new(np.minimum(self.array, other.array))

    def scale_rows(self: Some, other: Some) -> Some:
        """Rows times entries of a vector."""
        return self._new(self.array * other.array[:, np.newaxis])

    def below_maximum(self: Some) -> Some:
        """Rows less their maximum."""
        return self._new(self.array - self.array.max(-1, keepdims=True))

    def beside(self: Some, other: Some) -> Some:
        """Columns appended."""
        return self._new(np.concatenate([self.array, other.array], axis=-1))

    def is_constant(self) -> bool:
        """Whether all entries are equal."""
        return bool((self.array == self.array.flat[0]).all())

    def exp(self: Some) -> Some:
        """Entrywise exponential."""
        return self._new(np.exp(self.array))

    def sqrt(self: Some) -> Some:
        """Entrywise square root."""
        return self._new(np.sqrt(self.array))

    def sum(self: Some, axis: int) -> Some:
        """Sum along an axis."""
        return self._new(self.array.sum(axis))

    def max(self: Some, axis: int) -> Some:
        """Largest along an axis."""
        return self._new(self.array.max(axis))

    def min(self: Some, axis: int) -> Some:
        """Smallest along an axis."""
        return self._new(self.array.min(axis))

    def cumulative_max(self: Some, axis: int) -> Some:
        """Running maximum."""
        return self._new(np.maximum.accumulate(self.array, axis))

    def cumulative_min(self: Some, axis: int) -> Some:
        """Running minimum."""
        return self._new(np.minimum.accumulate(self.array, axis))

    def cumulative_sum(self: Some, axis: int) -> Some:
        """Running sum."""
        return self._new(self.array.cumsum(axis))

    def sort(self: Some) -> Some:
        """Order statistics."""
        return self._new(np.sort(self.array, -1))

    def where(self: Some, mask: Bool[np.ndarray, "..."], otherwise: int) -> Some:
        """Entries where the mask holds, an integer elsewhere."""
        return self._new(np.where(mask, self.array, float(otherwise)))

    def greater(self: Some, other: Some) -> Bool[np.ndarray, "..."]:
        """Entrywise comparison."""
        return np.asarray(self.array > other.array)

    def positive(self) -> Bool[np.ndarray, "..."]:
        """Entrywise sign."""
        return np.asarray(self.array > 0)

    def bounds(self) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """The array twice."""
        return self.array, self.array

    def upper(self) -> list[Fraction | None]:
        """The numbers as fractions."""
        return [Fraction(x) if np.isfinite(x) else None for x in self.array.tolist()]


class PlainArithmetic(AbstractArithmetic):
    """Makes `Plain` arrays."""

    name: ClassVar[str] = "plain"

    def matrix(self, array: Float[np.ndarray, "..."]) -> Plain:
        """As float64."""
        return Plain(np.asarray(array, dtype=np.float64))

    def integers(self, array: Int[np.ndarray, "..."]) -> Plain:
        """As float64."""
        return Plain(array.astype(np.float64))

    def fraction(self, value: Fraction) -> Plain:
        """The nearest float64."""
        return Plain(np.array(float(value)))

    def dyadic(self, mantissa: Int[np.ndarray, " n"], exponent: Int[np.ndarray, " n"]) -> Plain:
        """M * 2**e."""
        return Plain(np.ldexp(mantissa.astype(np.float64), exponent))

    def stack(self, parts: Sequence[Plain], axis: int = 0) -> Plain:
        """Joined along a new axis."""
        return Plain(np.stack([part.array for part in parts], axis))

    def concatenate(self, parts: Sequence[Plain], axis: int) -> Plain:
        """Joined along an axis."""
        return Plain(np.concatenate([part.array for part in parts], axis))


def rounded(array: Float[np.ndarray, "a b"], bits: int) -> Float[np.ndarray, "a b"]:
    """Multiples of one power of two, so many bits for the largest entry."""
    unit = 2.0 ** (np.frexp(np.abs(array).max())[1] - bits) if array.any() else 1.0
    return np.asarray(np.rint(array / unit) * unit)
