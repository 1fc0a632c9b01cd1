"""What a rule may ask of its numbers.

A rule is written once against these three classes. `AbstractMatrix` holds exact numbers; `AbstractEnclosure` holds an
array of unknown reals, each with a lower and an upper bound. Every operation keeps the bounds valid. An entry whose
bounds are lost (NaN, infinity) stays lost: no later operation makes a decision about it.

Contents:
    AbstractMatrix — exact arrays: + - @ and row shifts.
    AbstractEnclosure — enclosed arrays: + - * / @ with each other and with rationals, exp, sums, extremes, decisions.
    AbstractArithmetic — where both come from.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

SomeMatrix = TypeVar("SomeMatrix", bound="AbstractMatrix")
SomeEnclosure = TypeVar("SomeEnclosure", bound="AbstractEnclosure")
Shape = tuple[int, ...]
# A constant of a formula.
Rational = int | Fraction


class AbstractMatrix(ABC):
    """An array of exact numbers n * 2**e with one common e."""

    shape: Shape

    @abstractmethod
    def __getitem__(self: SomeMatrix, key: Any) -> SomeMatrix:
        """Entries by an index or a slice, as NumPy takes them."""

    @abstractmethod
    def __add__(self: SomeMatrix, other: SomeMatrix) -> SomeMatrix:
        """Entrywise sum of two arrays, broadcasting."""

    @abstractmethod
    def __sub__(self: SomeMatrix, other: SomeMatrix) -> SomeMatrix:
        """Entrywise difference of two arrays, broadcasting."""

    @abstractmethod
    def __matmul__(self: SomeMatrix, other: SomeMatrix) -> SomeMatrix:
        """Product of two matrices (2-D)."""

    @abstractmethod
    def scale_rows(self: SomeMatrix, other: SomeMatrix) -> SomeMatrix:
        """Multiply row r by entry r of the vector `other`."""

    @abstractmethod
    def transpose(self: SomeMatrix) -> SomeMatrix:
        """The transpose of a matrix of numbers."""

    @abstractmethod
    def below_maximum(self: SomeMatrix) -> SomeMatrix:
        """Subtract from every row its largest entry."""

    @abstractmethod
    def beside(self: SomeMatrix, other: SomeMatrix) -> SomeMatrix:
        """Columns of `other` appended on the right."""

    @abstractmethod
    def is_constant(self) -> bool:
        """Whether all entries are equal (decided exactly; True for shape-only numbers)."""

    @abstractmethod
    def enclose(self) -> "AbstractEnclosure":
        """The same numbers as enclosures."""


class AbstractEnclosure(ABC):
    """An array of reals, each between a lower and an upper bound."""

    shape: Shape

    @abstractmethod
    def __getitem__(self: SomeEnclosure, key: Any) -> SomeEnclosure:
        """Entries by an index or a slice, as NumPy takes them."""

    @abstractmethod
    def reshape(self: SomeEnclosure, *shape: int) -> SomeEnclosure:
        """The same entries in another shape."""

    @abstractmethod
    def transpose(self: SomeEnclosure, *axes: int) -> SomeEnclosure:
        """Axes in another order."""

    @property
    def T(self: SomeEnclosure) -> SomeEnclosure:  # noqa: N802 - as NumPy writes it
        """The transpose of a matrix."""
        return self.transpose(1, 0)

    @abstractmethod
    def number(self: SomeEnclosure, value: Fraction) -> SomeEnclosure:
        """One rational in the same arithmetic, shape ()."""

    def _operand(self: SomeEnclosure, other: SomeEnclosure | Rational) -> SomeEnclosure:
        return self.number(Fraction(other)) if isinstance(other, int | Fraction) else other

    @abstractmethod
    def plus(self: SomeEnclosure, other: SomeEnclosure) -> SomeEnclosure:
        """Entrywise sum of two arrays, broadcasting."""

    @abstractmethod
    def minus(self: SomeEnclosure, other: SomeEnclosure) -> SomeEnclosure:
        """Entrywise difference of two arrays, broadcasting."""

    @abstractmethod
    def times(self: SomeEnclosure, other: SomeEnclosure) -> SomeEnclosure:
        """Entrywise product of two arrays, broadcasting."""

    @abstractmethod
    def over(self: SomeEnclosure, other: SomeEnclosure) -> SomeEnclosure:
        """Entrywise quotient by a positive number; lost where the divisor may be zero or negative."""

    def __add__(self: SomeEnclosure, other: SomeEnclosure | Rational) -> SomeEnclosure:
        """The sum, as `plus`, also with a rational."""
        return self.plus(self._operand(other))

    def __radd__(self: SomeEnclosure, other: Rational) -> SomeEnclosure:
        """A rational plus this."""
        return self.number(Fraction(other)).plus(self)

    def __sub__(self: SomeEnclosure, other: SomeEnclosure | Rational) -> SomeEnclosure:
        """The difference, as `minus`, also with a rational."""
        return self.minus(self._operand(other))

    def __rsub__(self: SomeEnclosure, other: Rational) -> SomeEnclosure:
        """A rational minus this."""
        return self.number(Fraction(other)).minus(self)

    def __neg__(self: SomeEnclosure) -> SomeEnclosure:
        """The entries with the opposite sign: zero minus this."""
        return 0 - self

    def __mul__(self: SomeEnclosure, other: SomeEnclosure | Rational) -> SomeEnclosure:
        """The product, as `times`, also with a rational."""
        return self.times(self._operand(other))

    def __truediv__(self: SomeEnclosure, other: SomeEnclosure | Rational) -> SomeEnclosure:
        """The quotient, as `over`, also with a rational."""
        return self.over(self._operand(other))

    def __rtruediv__(self: SomeEnclosure, other: Rational) -> SomeEnclosure:
        """A rational over this."""
        return self.number(Fraction(other)).over(self)

    def __matmul__(self: SomeEnclosure, other: SomeEnclosure) -> SomeEnclosure:
        """Product of two matrices (2-D), one column of the left times one row of the right at a time."""
        total = self[:, :1] * other[:1]
        for j in range(1, self.shape[1]):
            total = total + self[:, j : j + 1] * other[j : j + 1]
        return total

    @abstractmethod
    def exp(self: SomeEnclosure) -> SomeEnclosure:
        """The exponential of every entry."""

    @abstractmethod
    def sqrt(self: SomeEnclosure) -> SomeEnclosure:
        """Entrywise square root; lost where the argument may be negative."""

    @abstractmethod
    def absolute(self: SomeEnclosure) -> SomeEnclosure:
        """The absolute value of every entry."""

    @abstractmethod
    def widened(self: SomeEnclosure, radius: SomeEnclosure) -> SomeEnclosure:
        """Every real within the upper end of `radius` of an entry, broadcasting; lost where that end is negative."""

    @abstractmethod
    def maximum(self: SomeEnclosure, other: SomeEnclosure) -> SomeEnclosure:
        """Entrywise larger of two numbers, broadcasting."""

    @abstractmethod
    def minimum(self: SomeEnclosure, other: SomeEnclosure) -> SomeEnclosure:
        """Entrywise smaller of two numbers, broadcasting."""

    @abstractmethod
    def sum(self: SomeEnclosure, axis: int) -> SomeEnclosure:
        """Sum along an axis."""

    @abstractmethod
    def max(self: SomeEnclosure, axis: int) -> SomeEnclosure:
        """Largest along an axis."""

    @abstractmethod
    def min(self: SomeEnclosure, axis: int) -> SomeEnclosure:
        """Smallest along an axis."""

    @abstractmethod
    def cumulative_max(self: SomeEnclosure, axis: int) -> SomeEnclosure:
        """Running maximum along an axis."""

    @abstractmethod
    def cumulative_min(self: SomeEnclosure, axis: int) -> SomeEnclosure:
        """Running minimum along an axis."""

    @abstractmethod
    def cumulative_sum(self: SomeEnclosure, axis: int) -> SomeEnclosure:
        """Running sum along an axis."""

    @abstractmethod
    def sort(self: SomeEnclosure) -> SomeEnclosure:
        """Order statistics along the last axis, ascending."""

    @abstractmethod
    def where(self: SomeEnclosure, mask: Bool[np.ndarray, "..."], otherwise: int) -> SomeEnclosure:
        """Entries where `mask` (known from shapes alone) holds, the integer `otherwise` elsewhere."""

    def sum_where(self: SomeEnclosure, mask: Bool[np.ndarray, "..."]) -> SomeEnclosure:
        """Sum along the last axis of the entries where `mask` (known from shapes alone) holds."""
        return self.where(mask, 0).sum(-1)

    @abstractmethod
    def greater(self: SomeEnclosure, other: SomeEnclosure) -> Bool[np.ndarray, "..."]:
        """Where self > other is certain, broadcasting."""

    @abstractmethod
    def positive(self) -> Bool[np.ndarray, "..."]:
        """Where self > 0 is certain."""

    def integer_above(self, most: int) -> Int[np.ndarray, "..."]:
        """The smallest integer 0 .. most that is certainly no smaller; `most` where there is none."""
        hi = self.bounds()[1]
        known = np.isfinite(hi) & (hi <= most)
        return np.where(known, np.ceil(np.maximum(np.where(known, hi, 0.0), 0.0)), most).astype(np.int64)

    def integer_below(self, most: int) -> Int[np.ndarray, "..."]:
        """The largest integer -1 .. most that is certainly strictly smaller; -1 where there is none."""
        lo = self.bounds()[0]
        known = np.isfinite(lo) & (lo > 0)
        return np.where(known, np.ceil(np.minimum(np.where(known, lo, 0.0), most + 1)) - 1, -1).astype(np.int64)

    @abstractmethod
    def bounds(self) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """Float64 lower and upper bounds; NaN or infinite where lost."""

    @abstractmethod
    def upper(self) -> list[Fraction | None]:
        """Exact upper bounds of a 1-D array; None where lost."""


class AbstractArithmetic(ABC):
    """A way to carry out the operations of a rule.

    Attributes:
        name: how it is asked for.
        block: entries that a rule should work on at once; a matter of memory and speed.
        cached: entries that stay in a cache; a matter of speed.
    """

    name: ClassVar[str]
    block: ClassVar[int] = 1 << 19
    cached: ClassVar[int] = 1 << 15

    @abstractmethod
    def matrix(self, array: Float[np.ndarray, "..."]) -> AbstractMatrix:
        """A matrix of stored floats, exactly."""

    @abstractmethod
    def integers(self, array: Shaped[np.ndarray, "..."]) -> AbstractMatrix:
        """Integers known from shapes alone, exactly: int64, or objects that are integers of Python."""

    def fraction(self, value: Fraction) -> AbstractEnclosure:
        """One rational, as an array of shape ()."""
        return self.integers(np.zeros((), dtype=np.int64)).enclose().number(value)

    @abstractmethod
    def dyadic(self, mantissa: Int[np.ndarray, " n"], exponent: Int[np.ndarray, " n"]) -> AbstractEnclosure:
        """Hint numbers m * 2**e with |m| <= 2**53 and |e| <= 1000."""

    @abstractmethod
    def stack(self, parts: Sequence[Any], axis: int = 0) -> AbstractEnclosure:
        """Enclosures of equal shape joined along a new axis."""

    @abstractmethod
    def concatenate(self, parts: Sequence[Any], axis: int) -> AbstractEnclosure:
        """Enclosures joined along an axis that they have."""

    def histogram(self, cells: Int[np.ndarray, "S n"], width: int, zeros: Int[np.ndarray, " S"]) -> AbstractMatrix:
        """How many entries of every row are 0, 1, .. width - 1, `[S, width]`; larger ones are left out.

        `zeros`: further entries that are 0.
        """
        rows = np.broadcast_to(np.arange(cells.shape[0])[:, np.newaxis], cells.shape)
        counts = np.zeros((cells.shape[0], width + 1), dtype=np.int64)
        np.add.at(counts, (rows, np.minimum(cells, width)), 1)
        counts[:, 0] += zeros
        return self.integers(counts[:, :width])

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within this context the arithmetic works at its own precision and raises no floating-point warnings."""
        with np.errstate(all="ignore"):
            yield

    @contextmanager
    def repeated(self, times: int) -> Iterator[None]:
        """What is done within this context stands for as many times the same; a matter of counting alone."""
        del times
        yield
