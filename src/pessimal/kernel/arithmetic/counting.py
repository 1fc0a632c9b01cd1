"""Shapes without numbers: runs a rule and counts its operations.

The convention is ADR-0002: elementwise operations count 1 per output entry, reductions n - 1, scans n - 1, sorting
n - 1 per row, a matrix product ac(2b - 1), exp and sqrt 1. Indexing, reshaping, stacking and everything known from
shapes alone is free. Memory is that of the numbers that are alive at once, as long as the same names hold them.

Contents:
    Tally — what was done so far.
    Counted — a shape that counts what is done to it; matrix and enclosure at once.
    CountingArithmetic — makes them and holds the total.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix, Shape
from pessimal.kernel.rejection import Reason, Rejected

Some = TypeVar("Some", bound="Counted")
# Entries without memory: arrays of them are indexed for the shape alone.
_NOTHING = np.zeros((), dtype="V0")


# Shapes that are made while a rule is counted: some seconds. Position minima of 20 positions make 270,000.
MAX_SHAPES = 1 << 19
# Memory beyond which a rule is not even counted.
MAX_BYTES = 1 << 34
# Bytes of a number: an integer of Python and the place that names it, or two float64 ends.
EXACT_BYTES, ENCLOSED_BYTES = 64, 16
# Bytes that an operation holds meanwhile for every number: sums before they are rounded, all products of two ends.
SUM_SCRATCH, PRODUCT_SCRATCH, EXP_SCRATCH, ENCLOSING_SCRATCH = 24, 56, 72, 96


@dataclass
class Tally:
    """What was done so far.

    Attributes:
        flops: operations.
        exps: how many of them were exponentials.
        shapes: how many shapes were made.
        held: bytes that the numbers now alive would take.
        peak: the most they took, with what the operations hold meanwhile.
    """

    flops: int = 0
    exps: int = 0
    shapes: int = 0
    held: int = 0
    peak: int = 0

    def made(self, n_bytes: int, scratch: int) -> int:
        """Enter an array of so many bytes, and `scratch` more while it is made; returns the bytes."""
        self.shapes += 1
        self.held += n_bytes
        self.peak = max(self.peak, self.held + scratch)
        if self.shapes > MAX_SHAPES:
            raise Rejected(Reason.RESOURCES, f"counting the rule's operations takes more than {MAX_SHAPES} steps")
        if self.peak > MAX_BYTES:
            raise Rejected(Reason.RESOURCES, f"the rule would hold more than {MAX_BYTES} bytes at once")
        return n_bytes


class Counted(AbstractEnclosure, AbstractMatrix):
    """A shape; every operation adds its cost to the tally, and its numbers for as long as the shape lives.

    Attributes:
        shape: of the array.
        tally: shared by all.
        exact: whether the numbers are exact integers.
    """

    def __init__(
        self, shape: Shape, tally: Tally, *, exact: bool = False, view_of: "Counted | None" = None, scratch: int = 0
    ) -> None:
        """`view_of`: the shape whose memory this one shares; `scratch`: bytes held while this one is made."""
        self.shape, self.tally, self.exact, self._of, self._bytes = shape, tally, exact, view_of, 0
        if view_of is None:
            self._bytes = tally.made(prod(shape) * (EXACT_BYTES if exact else ENCLOSED_BYTES), scratch)

    def __del__(self) -> None:
        """What nothing holds any more takes no memory."""
        self.tally.held -= self._bytes

    def _new(self: Some, shape: Shape, flops: int = 0, scratch: int = 0) -> Some:
        self.tally.flops += flops
        return type(self)(shape, self.tally, exact=self.exact, scratch=scratch)

    def _view(self: Some, shape: Shape) -> Some:
        return type(self)(shape, self.tally, exact=self.exact, view_of=self)

    def _dummy(self) -> np.ndarray:
        """An array of this shape whose entries take no memory, however it is indexed."""
        return np.broadcast_to(_NOTHING, self.shape)

    def _entrywise(self: Some, other: Some, scratch: int = 0) -> Some:
        shape = self.shape if self.shape == other.shape else np.broadcast_shapes(self.shape, other.shape)
        return self._new(shape, prod(shape), scratch * prod(shape))

    def _reduced(self: Some, axis: int, scratch: int = 0) -> Some:
        n, axis = self.shape[axis], axis % len(self.shape)
        shape = self.shape[:axis] + self.shape[axis + 1 :]
        return self._new(shape, prod(shape) * max(n - 1, 0), scratch * prod(self.shape))

    def __getitem__(self: Some, key: Any) -> Some:
        shape = self._dummy()[key].shape
        copied = any(isinstance(part, np.ndarray | list) for part in (key if isinstance(key, tuple) else (key,)))
        return self._new(shape) if copied else self._view(shape)

    def reshape(self: Some, *shape: int) -> Some:
        return self._view(self._dummy().reshape(shape).shape)

    def transpose(self: Some, *axes: int) -> Some:
        axes = axes or tuple(range(len(self.shape)))[::-1]
        return self._view(tuple(self.shape[axis] for axis in axes))

    def enclose(self: Some) -> Some:
        """Free: a change of representation."""
        return type(self)(self.shape, self.tally, scratch=ENCLOSING_SCRATCH * prod(self.shape))

    def number(self: Some, value: Fraction) -> Some:
        del value
        return type(self)((), self.tally)

    def plus(self: Some, other: Some) -> Some:
        return self._entrywise(other, SUM_SCRATCH)

    minus = plus

    def times(self: Some, other: Some) -> Some:
        return self._entrywise(other, PRODUCT_SCRATCH)

    over = times

    def maximum(self: Some, other: Some) -> Some:
        return self._entrywise(other)

    minimum = maximum

    def absolute(self: Some) -> Some:
        return self._new(self.shape, prod(self.shape))

    def widened(self: Some, radius: Some) -> Some:
        """Counts 2 per entry: a sum and a difference."""
        return self._entrywise(radius)._entrywise(radius)  # noqa: SLF001

    def __matmul__(self: Some, other: Some) -> Some:
        (a, b), (_, c) = self.shape, other.shape
        return self._new((a, c), a * c * (2 * b - 1))

    def scale_rows(self: Some, other: Some) -> Some:
        return self._new(self.shape, prod(self.shape) + 0 * len(other.shape))

    def below_maximum(self: Some) -> Some:
        """Counts a reduction and a subtraction per row."""
        rows, n = prod(self.shape[:-1]), self.shape[-1]
        return self._new(self.shape, rows * (2 * n - 1))

    def beside(self: Some, other: Some) -> Some:
        return self._new((*self.shape[:-1], self.shape[-1] + other.shape[-1]))

    def is_constant(self) -> bool:
        """Counts N - 1 comparisons."""
        self.tally.flops += prod(self.shape) - 1
        return True

    def exp(self: Some) -> Some:
        self.tally.exps += prod(self.shape)
        return self._new(self.shape, prod(self.shape), EXP_SCRATCH * prod(self.shape))

    def sqrt(self: Some) -> Some:
        return self._new(self.shape, prod(self.shape), SUM_SCRATCH * prod(self.shape))

    def sum(self: Some, axis: int) -> Some:
        return self._reduced(axis, SUM_SCRATCH)

    def max(self: Some, axis: int) -> Some:
        return self._reduced(axis)

    min = max  # noqa: A003 - the method above

    def cumulative_max(self: Some, axis: int) -> Some:
        n = self.shape[axis]
        return self._new(self.shape, prod(self.shape) // n * (n - 1) if n else 0)

    cumulative_min = cumulative_sum = cumulative_max

    def sort(self: Some) -> Some:
        """Counts N - 1 per row: the cost of checking an order."""
        return self.cumulative_max(-1)

    def where(self: Some, mask: Bool[np.ndarray, "..."], otherwise: int) -> Some:
        """Free: the mask is known from shapes."""
        return self._new(np.broadcast_shapes(self.shape, mask.shape), 0 * otherwise)

    def sum_where(self: Some, mask: Bool[np.ndarray, "..."]) -> Some:
        """Counts the entries summed, less one, per output: zeros known from shapes are not added."""
        shape = np.broadcast_shapes(self.shape, mask.shape)
        per_row = np.maximum(mask.sum(-1, dtype=np.int64) - 1, 0)
        flops = int(per_row.sum()) * (prod(shape[:-1]) // max(per_row.size, 1))
        return self._new(shape[:-1], flops, (ENCLOSED_BYTES + SUM_SCRATCH) * prod(shape))

    def greater(self: Some, other: Some) -> Bool[np.ndarray, "..."]:
        shape = np.broadcast_shapes(self.shape, other.shape)
        self.tally.flops += prod(shape)
        return np.broadcast_to(np.False_, shape)

    def positive(self) -> Bool[np.ndarray, "..."]:
        self.tally.flops += prod(self.shape)
        return np.broadcast_to(np.False_, self.shape)

    def integer_above(self, most: int) -> Int[np.ndarray, "..."]:
        self.tally.flops += prod(self.shape)
        return np.broadcast_to(np.int64(most), self.shape)

    def integer_below(self, most: int) -> Int[np.ndarray, "..."]:
        del most
        self.tally.flops += prod(self.shape)
        return np.broadcast_to(np.int64(-1), self.shape)

    def bounds(self) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """Shapes have no values: free, and without content."""
        nothing = np.broadcast_to(np.float64(np.nan), self.shape)
        return nothing, nothing

    def upper(self) -> list[Fraction | None]:
        """Shapes have no values: free, and without content."""
        return [None] * self.shape[0]


@dataclass
class CountingArithmetic(AbstractArithmetic):
    """Makes `Counted` shapes that share one tally."""

    name: ClassVar[str] = "counting"
    # Fewer and larger shapes are counted faster.
    cached: ClassVar[int] = 2 * AbstractArithmetic.cached
    tally: Tally = field(default_factory=Tally)

    def matrix(self, array: Float[np.ndarray, "..."]) -> Counted:
        return Counted(array.shape, self.tally, exact=True)

    def integers(self, array: Shaped[np.ndarray, "..."]) -> Counted:
        return Counted(array.shape, self.tally, exact=True)

    def dyadic(self, mantissa: Int[np.ndarray, " n"], exponent: Int[np.ndarray, " n"]) -> Counted:
        del exponent
        return Counted(mantissa.shape, self.tally)

    def histogram(self, cells: Int[np.ndarray, "S n"], width: int, zeros: Int[np.ndarray, " S"]) -> Counted:
        """Counts 1 per entry, and per row for the zeros."""
        self.tally.flops += cells.size + zeros.size
        return Counted((cells.shape[0], width), self.tally, exact=True)

    def stack(self, parts: Sequence[Counted], axis: int = 0) -> Counted:
        return Counted(np.stack([p._dummy() for p in parts], axis).shape, self.tally)  # noqa: SLF001

    def concatenate(self, parts: Sequence[Counted], axis: int) -> Counted:
        return Counted(np.concatenate([p._dummy() for p in parts], axis).shape, self.tally)  # noqa: SLF001

    @contextmanager
    def repeated(self, times: int) -> Iterator[None]:
        """Operations as many times as they are to stand for; memory once."""
        flops, exps = self.tally.flops, self.tally.exps
        yield
        self.tally.flops += (times - 1) * (self.tally.flops - flops)
        self.tally.exps += (times - 1) * (self.tally.exps - exps)
