r"""Float64 arithmetic that decides with a hair to spare, for provers.

A rule's decisions depend on rounding: what outward float64 just decides, Arb balls, whose radii have 30 bits, may leave
open. A prover therefore decides on enclosures wider than the checker's by `share` of their width and `size` of their
magnitude, so that a checker with any other careful arithmetic decides at least as much. Nothing here is trusted.

Contents:
    CautiousArithmetic — `Float64Arithmetic` whose enclosures decide less.
    CautiousEnclosure — an enclosure that decides as if it were a little wider.
    Float32CautiousEnclosure — one with more to spare, for tables of float32 executions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.arithmetic.dyadic import DyadicMatrix
from pessimal.kernel.arithmetic.float64 import Float64Enclosure
from pessimal.spec.semantics import FLOAT32, REAL

# Shares of width and of magnitude. Radii of float32 executions come out different by their squares.
SPARE = {REAL: (2.0**-20, 2.0**-40), FLOAT32: (2.0**-14, 2.0**-30)}


@dataclass(frozen=True, eq=False)
class CautiousEnclosure(Float64Enclosure):
    """Decides as if it were a little wider."""

    spare: ClassVar[tuple[float, float]] = SPARE[REAL]

    def _wider(self) -> tuple[np.ndarray, np.ndarray]:
        share, size = self.spare
        reach = (self.hi - self.lo) * share
        lower, upper = self.lo - (reach + np.abs(self.lo) * size), self.hi + (reach + np.abs(self.hi) * size)
        return np.asarray(lower), np.asarray(upper)

    def greater(self, other: Float64Enclosure) -> Bool[np.ndarray, "..."]:
        """Where the lower end is above the other's upper end with something to spare."""
        lo, hi = self._wider()[0], type(self)(other.lo, other.hi)._wider()[1]  # noqa: SLF001 - its own kind
        return np.asarray(np.isfinite(lo) & (lo > hi))

    def positive(self) -> Bool[np.ndarray, "..."]:
        """Where the lower end is above zero with something to spare."""
        lo = self._wider()[0]
        return np.asarray(np.isfinite(lo) & (lo > 0))

    def bounds(self) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """The ends, wider by what a decision has to spare."""
        return self._wider()


class Float32CautiousEnclosure(CautiousEnclosure):
    """Float64 enclosures with spare for tables of float32 executions."""

    spare: ClassVar[tuple[float, float]] = SPARE[FLOAT32]


class CautiousArithmetic(Float64Arithmetic):
    """Outward float64, and decisions with a hair to spare.

    Args:
        semantics: of the claim.
    """

    def __init__(self, semantics: str = REAL) -> None:
        self._kind = Float32CautiousEnclosure if semantics == FLOAT32 else CautiousEnclosure

    def _careful(self, enclosure: Float64Enclosure) -> CautiousEnclosure:
        return self._kind(enclosure.lo, enclosure.hi)

    def _exact(self, matrix: DyadicMatrix) -> DyadicMatrix:
        enclose = matrix.to_enclosure

        def careful(numbers: np.ndarray, exponent: int) -> CautiousEnclosure:
            enclosure = enclose(numbers, exponent)
            return self._kind(*enclosure.bounds())

        return DyadicMatrix(matrix.numbers, matrix.exponent, careful)

    def matrix(self, array: Float[np.ndarray, "..."]) -> DyadicMatrix:
        """Stored floats, whose enclosures decide with care."""
        return self._exact(super().matrix(array))

    def integers(self, array: Shaped[np.ndarray, "..."]) -> DyadicMatrix:
        """Small integers, whose enclosures decide with care."""
        return self._exact(super().integers(array))

    def dyadic(self, mantissa: Int[np.ndarray, " n"], exponent: Int[np.ndarray, " n"]) -> CautiousEnclosure:
        """Hint numbers that decide with care."""
        return self._careful(super().dyadic(mantissa, exponent))

    def stack(self, parts: Sequence[Any], axis: int = 0) -> CautiousEnclosure:
        """Careful enclosures joined along a new axis."""
        return self._careful(super().stack(parts, axis))

    def concatenate(self, parts: Sequence[Any], axis: int) -> CautiousEnclosure:
        """Careful enclosures joined along an axis."""
        return self._careful(super().concatenate(parts, axis))
