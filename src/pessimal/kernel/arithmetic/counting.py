"""Shapes without numbers: runs a rule and counts its operations.

The convention is ADR-0002: elementwise operations count 1 per output entry, reductions n - 1, scans n - 1, sorting
n - 1 per row, a matrix product ac(2b - 1), exp and sqrt 1. Indexing, reshaping, stacking and everything known from
shapes alone is free. The closed forms of `cost.py` are tested against this count.

Contents:
    Counted — a shape that counts what is done to it; matrix and enclosure at once.
    CountingArithmetic — makes them and holds the total.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix, Shape
from pessimal.kernel.rejection import Reason, Rejected

Some = TypeVar("Some", bound="Counted")


# Shapes that are made while a rule is counted: some seconds. The longest certificates of this tree make 10,000.
MAX_SHAPES = 1 << 17


@dataclass
class Tally:
    """Operations so far, how many of them were exponentials, and how many shapes were made."""

    flops: int = 0
    exps: int = 0
    shapes: int = 0


@dataclass(frozen=True, eq=False)
class Counted(AbstractMatrix, AbstractEnclosure):
    """A shape; every operation adds its cost to `tally`."""

    shape: Shape
    tally: Tally

    def _new(self: Some, shape: Shape, flops: int = 0) -> Some:
        self.tally.flops += flops
        self.tally.shapes += 1
        if self.tally.shapes > MAX_SHAPES:
            raise Rejected(Reason.RESOURCES, f"counting the rule's operations takes more than {MAX_SHAPES} steps")
        return type(self)(shape, self.tally)

    def _dummy(self) -> np.ndarray:
        return np.broadcast_to(np.int8(0), self.shape)

    def _entrywise(self: Some, other: Some) -> Some:
        shape = np.broadcast_shapes(self.shape, other.shape)
        return self._new(shape, prod(shape))

    def _reduced(self: Some, axis: int) -> Some:
        n = self.shape[axis]
        shape = tuple(np.delete(self.shape, axis).tolist())
        return self._new(shape, prod(shape) * max(n - 1, 0))

    def _scanned(self: Some, axis: int) -> Some:
        n = self.shape[axis]
        return self._new(self.shape, prod(self.shape) // n * (n - 1) if n else 0)

    def __getitem__(self: Some, key: Any) -> Some:
        """Free."""
        return self._new(self._dummy()[key].shape)

    def reshape(self: Some, *shape: int) -> Some:
        """Free."""
        return self._new(self._dummy().reshape(shape).shape)

    def transpose(self: Some, *axes: int) -> Some:
        """Free."""
        return self._new(self._dummy().transpose(*axes).shape)

    def enclose(self: Some) -> Some:
        """Free: a change of representation."""
        return self

    def __add__(self: Some, other: Some) -> Some:
        """1 per entry."""
        return self._entrywise(other)

    def __sub__(self: Some, other: Some) -> Some:
        """1 per entry."""
        return self._entrywise(other)

    def __mul__(self: Some, other: Some) -> Some:
        """1 per entry."""
        return self._entrywise(other)

    def __truediv__(self: Some, other: Some) -> Some:
        """1 per entry."""
        return self._entrywise(other)

    def absolute(self: Some) -> Some:
        """1 per entry."""
        return self._new(self.shape, prod(self.shape))

    def widened(self: Some, radius: Some) -> Some:
        """2 per entry: a sum and a difference."""
        return self._entrywise(radius)._entrywise(radius)  # noqa: SLF001

    def maximum(self: Some, other: Some) -> Some:
        """1 per entry."""
        return self._entrywise(other)

    def minimum(self: Some, other: Some) -> Some:
        """1 per entry."""
        return self._entrywise(other)

    def __matmul__(self: Some, other: Some) -> Some:
        """ac(2b - 1)."""
        (a, b), (_, c) = self.shape, other.shape
        return self._new((a, c), a * c * (2 * b - 1))

    def scale_rows(self: Some, other: Some) -> Some:
        """1 per entry."""
        return self._new(self.shape, prod(self.shape) + 0 * len(other.shape))

    def below_maximum(self: Some) -> Some:
        """A reduction and a subtraction per row."""
        rows, n = prod(self.shape[:-1]), self.shape[-1]
        return self._new(self.shape, rows * (2 * n - 1))

    def beside(self: Some, other: Some) -> Some:
        """Free."""
        return self._new((*self.shape[:-1], self.shape[-1] + other.shape[-1]))

    def is_constant(self) -> bool:
        """N - 1 comparisons."""
        self._new(self.shape, prod(self.shape) - 1)
        return True

    def exp(self: Some) -> Some:
        """1 per entry."""
        self.tally.exps += prod(self.shape)
        return self._new(self.shape, prod(self.shape))

    def sqrt(self: Some) -> Some:
        """1 per entry."""
        return self._new(self.shape, prod(self.shape))

    def sum(self: Some, axis: int) -> Some:
        """N - 1 per output."""
        return self._reduced(axis)

    def max(self: Some, axis: int) -> Some:
        """N - 1 per output."""
        return self._reduced(axis)

    def min(self: Some, axis: int) -> Some:
        """N - 1 per output."""
        return self._reduced(axis)

    def cumulative_max(self: Some, axis: int) -> Some:
        """N - 1 per row."""
        return self._scanned(axis)

    def cumulative_min(self: Some, axis: int) -> Some:
        """N - 1 per row."""
        return self._scanned(axis)

    def cumulative_sum(self: Some, axis: int) -> Some:
        """N - 1 per row."""
        return self._scanned(axis)

    def sort(self: Some) -> Some:
        """N - 1 per row: the cost of checking an order."""
        return self._scanned(-1)

    def where(self: Some, mask: Bool[np.ndarray, "..."], otherwise: int) -> Some:
        """Free: the mask is known from shapes."""
        return self._new(np.broadcast_shapes(self.shape, mask.shape), 0 * otherwise)

    def sum_where(self: Some, mask: Bool[np.ndarray, "..."]) -> Some:
        """The number of entries summed, less one, per output: zeros known from shapes are not added."""
        shape = np.broadcast_shapes(self.shape, mask.shape)
        per_row = np.maximum(mask.sum(-1, dtype=np.int64) - 1, 0)
        return self._new(shape[:-1], int(per_row.sum()) * (prod(shape[:-1]) // max(per_row.size, 1)))

    def greater(self: Some, other: Some) -> Bool[np.ndarray, "..."]:
        """1 per entry."""
        return np.zeros(self._entrywise(other).shape, dtype=bool)

    def positive(self) -> Bool[np.ndarray, "..."]:
        """1 per entry."""
        return np.zeros(self._new(self.shape, prod(self.shape)).shape, dtype=bool)

    def integer_above(self, most: int) -> Int[np.ndarray, "..."]:
        """1 per entry."""
        self._new(self.shape, prod(self.shape))
        return super().integer_above(most)

    def integer_below(self, most: int) -> Int[np.ndarray, "..."]:
        """1 per entry."""
        self._new(self.shape, prod(self.shape))
        return super().integer_below(most)

    def bounds(self) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """Free, and without content."""
        return np.full(self.shape, np.nan), np.full(self.shape, np.nan)

    def upper(self) -> list[Fraction | None]:
        """Free, and without content."""
        return [None] * self.shape[0]


@dataclass
class CountingArithmetic(AbstractArithmetic):
    """Makes `Counted` shapes that share one tally."""

    name: ClassVar[str] = "counting"
    block: ClassVar[int] = 1 << 23
    tally: Tally = field(default_factory=Tally)

    def matrix(self, array: Float[np.ndarray, "..."]) -> Counted:
        """Free: reading."""
        return Counted(array.shape, self.tally)

    def integers(self, array: Int[np.ndarray, "..."]) -> Counted:
        """Free."""
        return Counted(array.shape, self.tally)

    def fraction(self, value: Fraction) -> Counted:
        """Free."""
        del value
        return Counted((), self.tally)

    def dyadic(self, mantissa: Int[np.ndarray, " n"], exponent: Int[np.ndarray, " n"]) -> Counted:
        """Free: a hint."""
        del exponent
        return Counted(mantissa.shape, self.tally)

    def histogram(self, cells: Int[np.ndarray, "S n"], width: int, zeros: Int[np.ndarray, " S"]) -> Counted:
        """1 per entry, and per row for the zeros."""
        self.tally.flops += cells.size + zeros.size
        return Counted((cells.shape[0], width), self.tally)

    def stack(self, parts: Sequence[Counted], axis: int = 0) -> Counted:
        """Free."""
        return Counted(np.stack([p._dummy() for p in parts], axis).shape, self.tally)  # noqa: SLF001

    def concatenate(self, parts: Sequence[Counted], axis: int) -> Counted:
        """Free."""
        return Counted(np.concatenate([p._dummy() for p in parts], axis).shape, self.tally)  # noqa: SLF001
