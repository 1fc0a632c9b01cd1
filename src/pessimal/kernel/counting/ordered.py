r"""Rivals in an order: each counts what no earlier one has, for all tokens at a few positions.

Theorem. Let $m_o$ be the separable margins of a stratum's target over rivals $o_1, o_2, \ldots$ in any order, and
$\mu_j \ge 0$ a multiple of one *earlier* rival p(j), or 0. Of any set of sequences at most
$\sum_j \#\{m_{o_j} - \mu_j m_{p(j)} \le 0\}$ are wrong, and where $\mu_j > 0$ even with $<$; and at most
$\#\{m \le 0\}$ if m is no larger than any $m_o$. So of the sequences with given tokens at some positions at most
the smaller of that and of their weight is wrong, and at least $\#\{m_o \le 0\}$ of any one rival.

*Proof.* Let $o_j$ be the first rival of a wrong sequence with $m_{o_j} \le 0$. Earlier ones have $m > 0$, so
$m_{o_j} - \mu_j m_{p(j)} \le 0$, and $< 0$ if $\mu_j > 0$: the sequence is counted at j. A wrong one has
$m \le m_o \le 0$. Tokens at given positions partition the stratum. ∎

Multiples are in sixteenths. A difference is bounded below by the lower end of $m_{o_j}$ and the upper end of the
parent's, in the integers of `integers.py`.

Contents:
    Order, difference — the rivals that are counted, with parents and multiples; their terms.
    ALL_AT_ONCE — the order of one comparison with all rivals.
    bracket — bounds of the weight of the wrong sequences of one stratum.
    SIXTEENTHS, BITS — the unit of multiples, and the size of integers that leaves room for them.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.counting.conditioned import ConditionedCounts
from pessimal.kernel.counting.integers import BITS as INTEGER_BITS
from pessimal.kernel.counting.integers import IntegerStratum

Some = Int[np.ndarray, " n"]
SIXTEENTHS = 16
# 16 and 255 parts of two differences stay below what one may be.
BITS = INTEGER_BITS - 9


@dataclass(frozen=True)
class Order:
    """Rivals of one stratum as they stand in the columns of its integers.

    Attributes:
        parent: which earlier rival is taken off, -1 for none, `[live]`.
        multiple: how many sixteenths of it, `[live]`.
    """

    parent: Int[np.ndarray, " live"]
    multiple: Int[np.ndarray, " live"]

    def terms(self, stratum: IntegerStratum) -> tuple[Int[np.ndarray, "k_1 d_vocab live"], Int[np.ndarray, " live"]]:
        """Lower ends of the terms of every comparison, and of the query's."""
        less = np.flatnonzero((self.parent >= 0) & (self.multiple > 0))
        terms, last = -stratum.high, -stratum.high_last
        terms[:, :, less], last[less] = difference(stratum, less, self.parent[less], self.multiple[less])
        return terms, last


ALL_AT_ONCE = Order(np.array([-1]), np.array([0]))


def difference(
    stratum: IntegerStratum,
    rival: Int[np.ndarray, " n"],
    parent: Int[np.ndarray, " n"],
    multiple: Int[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, "k_1 d_vocab n"], Int[np.ndarray, " n"]]:
    """Lower ends of 16 times the terms of rivals less positive multiples of their parents', and of the query's."""
    terms = multiple * stratum.low[:, :, parent] - SIXTEENTHS * stratum.high[:, :, rival]
    # A sum that has to be negative, in integers: at most -1.
    return terms, multiple * stratum.low_last[parent] - SIXTEENTHS * stratum.high_last[rival] + 1


def bracket(
    counts: ConditionedCounts,
    stratum: IntegerStratum,
    order: Order,
    certain: int,
    weights: list[AbstractEnclosure] | None,
) -> tuple[Fraction | None, Fraction]:
    """Bounds of the weight of the wrong sequences, the query's weight apart: at most (None if lost), at least.

    Args:
        counts: fillings of the stratum.
        stratum: integers of the rivals in their order, positions as `counts` has them.
        order: parents, each of which comes earlier, and multiples, 0 to 255.
        certain: how many rivals are counted from below.
        weights: by ending, of its tokens; None if all weigh one.
    """
    totals, surely = counts.nothing(), counts.nothing()
    terms, last = order.terms(stratum)
    for j in np.flatnonzero(counts.smallest(terms) + last <= 0).tolist():
        found = counts.fillings(terms[:, :, j], int(last[j]), floor=True)
        totals = [total + part for total, part in zip(totals, found, strict=True)]
    for j in range(min(certain, len(order.parent))):
        found = counts.fillings(-stratum.low[:, :, j], -int(stratum.low_last[j]), floor=False)
        surely = [so_far.maximum(part) for so_far, part in zip(surely, found, strict=True)]
    sizes = [total.number(Fraction(counts.size(end.state))) for total, end in zip(totals, counts.endings, strict=True)]
    capped = [total.minimum(size) for total, size in zip(totals, sizes, strict=True)]
    return _weight(capped, weights, 1), max(_weight(surely, weights, 0) or Fraction(0), Fraction(0))


def _weight(parts: list[AbstractEnclosure], weights: list[AbstractEnclosure] | None, end: int) -> Fraction | None:
    """The upper or lower end of the weight of all endings; None if it is lost."""
    weighed = parts if weights is None else [part * weight for part, weight in zip(parts, weights, strict=True)]
    bound = float(reduce(add, (part.reshape(-1).sum(0) for part in weighed)).bounds()[end])
    return Fraction(bound) if np.isfinite(bound) else None
