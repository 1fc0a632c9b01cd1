r"""Something simpler in the place of a table, and how far the table is from it.

Theorem. Let X be a table, S numbers of the same shape, and of every row r perhaps one column kept. With $m_r$ the
largest and $R_r$ the range of $X - S$ over the other columns of the row, and $b_r$ any number, every entry of
$X_r - m_r - b_r$ lies in $S_{rc} - b_r + [-R_r, 0]$, or is $X_{rc} - m_r - b_r$ where c is kept.

*Proof.* $X_{rc} - m_r - S_{rc} \in [-R_r, 0]$ for every c that is not kept, by the choice of $m_r$ and $R_r$. ∎

So whatever S is, these are enclosures of X with every row shifted by a number of its own; nothing about S is trusted.
Here $b_r$ is such that no upper end is positive, so that exponentials of scores do not overflow.

Contents:
    StandIn — S, the kept columns, and how many numbers are free in it.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import matmul

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix


@dataclass(frozen=True, eq=False)
class StandIn:
    """What stands for a table of some shape.

    Attributes:
        free: how many numbers it takes to say it, one for each row's range among them.
        factors: S is their product: none for zero, one, or two.
        kept: of each row the column that is kept, -1 for none, `[R]`; None if no row has one.
        exact: the table stands for itself, and the rest is not used.
    """

    free: int
    factors: tuple[Float[np.ndarray, "_ _"], ...] = ()
    kept: Int[np.ndarray, " R"] | None = None
    exact: bool = False

    def enclosed(self, table: AbstractMatrix, arith: AbstractArithmetic) -> AbstractEnclosure:
        """The table with every row shifted, no upper end above zero. Cost: S, and some seven operations per entry."""
        if self.exact:
            return table.below_maximum().enclose()
        n_rows, n_columns = table.shape
        factors = [arith.matrix(factor) for factor in self.factors]
        numbers = reduce(matmul, factors or [arith.integers(np.zeros(table.shape, dtype=np.int64))])
        kept = np.full(n_rows, -1) if self.kept is None else self.kept
        rows, columns = np.arange(n_rows)[:, np.newaxis], _columns_but(kept, n_columns)
        apart = table - numbers
        below = apart[rows, columns].below_maximum()
        flat = numbers.below_maximum()
        # Where no column is kept, some entry that is not positive.
        own = (apart - (apart[rows, columns[:, :1]] - below[:, :1]) + flat)[rows, np.maximum(kept, 0)[:, np.newaxis]]
        own = own.beside(arith.integers(np.zeros(own.shape, dtype=np.int64))).below_maximum()
        half = below.enclose().min(1).reshape(-1, 1) * Fraction(-1, 2)
        near = ((flat + own[:, 1:]).enclose() - half).widened(half)
        is_kept = kept[:, np.newaxis] == np.arange(n_columns)
        return near.where(~is_kept, 0) + own[:, :1].enclose().where(is_kept, 0)


def _columns_but(kept: Int[np.ndarray, " R"], n_columns: int) -> Int[np.ndarray, "R _"]:
    """Of every row all columns but the kept one; another one twice where rows differ in how many they keep."""
    every = np.tile(np.arange(n_columns), (len(kept), 1))
    beside = np.where(kept == 0, min(1, n_columns - 1), 0)[:, np.newaxis]
    return np.where(every == kept[:, np.newaxis], beside, every)
