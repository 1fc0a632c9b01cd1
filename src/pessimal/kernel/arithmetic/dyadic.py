"""Exact matrices: integers times a power of two.

Every stored float is n * 2**e, so sums and products of weights are exact in integers (no rounding anywhere). The base
class keeps an object array of integers with one common exponent; the two subclasses differ in the integers they use:
Python's own for the float64 arithmetic, FLINT's for the Arb arithmetic.

Contents:
    object_array — entries to an object array.
    split_floats — float array to integers and a common exponent.
    DyadicMatrix — the exact matrix over Python integers.
    exact_matrix — a matrix that is only compared, never enclosed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from pessimal.kernel.arithmetic.interface import AbstractEnclosure, AbstractMatrix, Shape

SomeDyadic = TypeVar("SomeDyadic", bound="DyadicMatrix")


def object_array(items: Iterable[Any], shape: Shape) -> np.ndarray:
    """An object array from its entries in row order."""
    listed = list(items)
    out = np.empty(len(listed), dtype=object)
    out[:] = listed
    return out.reshape(shape)


def split_floats(array: Float[np.ndarray, "..."]) -> tuple[np.ndarray, int]:
    """Integers n and one exponent e with `array == n * 2**e`, exactly.

    Raises:
        ValueError: if an entry is NaN or infinite.
    """
    if not np.isfinite(array).all():
        raise ValueError("a NaN or an infinity has no exact integer form")
    bits = 24 if array.dtype == np.float32 else 53
    fraction, exponent = np.frexp(array.astype(np.float64))
    mantissa = np.ldexp(fraction, bits).astype(np.int64)
    exponent = exponent.astype(np.int64) - bits
    used = exponent[mantissa != 0]
    common = int(used.min()) if used.size else 0
    shift = np.where(mantissa != 0, exponent - common, 0)
    pairs = zip(mantissa.ravel().tolist(), shift.ravel().tolist(), strict=True)
    return object_array((m << s for m, s in pairs), array.shape), common


@dataclass(frozen=True, eq=False)
class DyadicMatrix(AbstractMatrix):
    """The numbers `numbers * 2**exponent`.

    Attributes:
        numbers: object array of integers.
        exponent: common binary exponent.
        to_enclosure: how the owning arithmetic encloses such numbers.
    """

    numbers: np.ndarray
    exponent: int
    to_enclosure: Callable[[np.ndarray, int], AbstractEnclosure]

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """Shape of the array."""
        return self.numbers.shape

    def _like(self: SomeDyadic, numbers: Any, exponent: int) -> SomeDyadic:
        return type(self)(numbers, exponent, self.to_enclosure)

    def _aligned(self: SomeDyadic, other: SomeDyadic) -> tuple[np.ndarray, np.ndarray, int]:
        low = min(self.exponent, other.exponent)
        return self.numbers * 2 ** (self.exponent - low), other.numbers * 2 ** (other.exponent - low), low

    def __getitem__(self: SomeDyadic, key: Any) -> SomeDyadic:
        """Entries by an index or a slice, as NumPy takes them."""
        return self._like(self.numbers[key], self.exponent)

    def __add__(self: SomeDyadic, other: SomeDyadic) -> SomeDyadic:
        """Entrywise sum of two matrices, exact."""
        left, right, exponent = self._aligned(other)
        return self._like(left + right, exponent)

    def __sub__(self: SomeDyadic, other: SomeDyadic) -> SomeDyadic:
        """Entrywise difference of two matrices, exact."""
        left, right, exponent = self._aligned(other)
        return self._like(left - right, exponent)

    def __matmul__(self: SomeDyadic, other: SomeDyadic) -> SomeDyadic:
        """Product of two matrices, exact."""
        return self._like(self.multiply(self.numbers, other.numbers), self.exponent + other.exponent)

    @staticmethod
    def multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Product of two 2-D integer arrays; NumPy's object loop over Python integers."""
        return np.asarray(left @ right)

    def scale_rows(self: SomeDyadic, other: SomeDyadic) -> SomeDyadic:
        """Row r times entry r of a vector, exact."""
        return self._like(self.numbers * other.numbers[:, np.newaxis], self.exponent + other.exponent)

    def transpose(self: SomeDyadic) -> SomeDyadic:
        """The transpose of the matrix."""
        return self._like(self.numbers.T, self.exponent)

    def below_maximum(self: SomeDyadic) -> SomeDyadic:
        """Every row less its largest entry, exact; all entries are <= 0."""
        return self._like(self.numbers - self.numbers.max(axis=-1, keepdims=True), self.exponent)

    def beside(self: SomeDyadic, other: SomeDyadic) -> SomeDyadic:
        """Columns of `other` appended on the right."""
        left, right, exponent = self._aligned(other)
        return self._like(np.concatenate([left, right], axis=-1), exponent)

    def is_constant(self) -> bool:
        """Whether all entries are equal."""
        return bool((self.numbers == self.numbers.flat[0]).all())

    def enclose(self) -> AbstractEnclosure:
        """The same numbers as enclosures."""
        return self.to_enclosure(self.numbers, self.exponent)


def exact_matrix(array: Float[np.ndarray, "..."]) -> DyadicMatrix:
    """Stored floats, exactly, for decisions in integers."""

    def enclose(numbers: np.ndarray, exponent: int) -> AbstractEnclosure:
        raise NotImplementedError(f"no arithmetic encloses {numbers.shape} numbers at exponent {exponent}")

    return DyadicMatrix(*split_floats(array), enclose)
