r"""Which rivals a margin is taken against.

For right output $y$ and rival $o$ the term of position $i$ is $w_i(q,t)\,m$, where for one head
$m = (D(q)_y - D(q)_o) + (V_i(t)_y - V_i(t)_o)$. Every class below gives lower bounds of the value part and of the
direct part; with several heads the value part is one per head (`builder.py` says what becomes of the direct part).

* `every`: each $o \ne y$ on its own; the rule adds up the wrong counts, at about d_vocab_out times the cost.
* `plain`: $m \ge dD(q,y) + dV_i(t,y)$, each the margin over its own largest rival. Valid for one pessimal rival,
  because $e^s > 0$ and every true rival has a larger margin at every term.
* `centred`: the mean row $\bar D$ moves from $D$ to $V$ first, which leaves $D + V$ unchanged.
* `joint`: the largest rival of $D(q) + V_i(t)$ taken jointly; about $d_{vocab}^3$ more, the tightest of the three.
  One head only.

Proofs: `docs/separable-margin.md#fewer-terms`.

Contents:
    RIVALS — the names of the four ways.
    AbstractRivals — margins by query and output.
    SeparateRivals — margins of values and of the direct path by themselves.
    JointRival — values and direct path together.
    make_rivals, n_groups — the rivals of a name, and how many groups a stratum has.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.terms.others import exclusive_max

RIVALS = ("plain", "centred", "joint", "every")


class AbstractRivals(ABC):
    """Margins by query and output, R groups of rivals per stratum, I positions (one if they are pooled)."""

    @abstractmethod
    def value_margins(self, head: int, q: int) -> AbstractEnclosure:
        """Value margins of the tokens before the last, `[R, I, t, y]` over all t, y."""

    @abstractmethod
    def last(self, head: int, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure:
        """Value margin of the query token at the last position, `[R, Y]`."""

    @abstractmethod
    def direct(self, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure | None:
        """Direct margin, `[R, Y]`; None if it is part of the value margins."""


class SeparateRivals(AbstractRivals):
    """Margins of values and of the direct path by themselves, the same for every query."""

    def __init__(self, margins: Sequence[AbstractEnclosure], direct: AbstractEnclosure, *, pooled: bool) -> None:
        """`margins`: of values by head, `[R, k, t, y]`; `direct`: `[R, q, y]`."""
        self._last = [margin[:, -1] for margin in margins]
        self._earlier = [_pooled(margin[:, :-1]) if pooled else margin[:, :-1] for margin in margins]
        self._direct = direct

    def value_margins(self, head: int, q: int) -> AbstractEnclosure:
        """Value margins, the same for every query."""
        del q
        return self._earlier[head]

    def last(self, head: int, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure:
        """Value margin of the query token itself."""
        return self._last[head][:, q, outputs]

    def direct(self, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure | None:
        """Margin of the direct path."""
        return self._direct[:, q, outputs]


def _pooled(margin: AbstractEnclosure) -> AbstractEnclosure:
    """The smallest margin over positions, `[R, 1, t, y]`."""
    least = margin.min(1)
    return least.reshape(least.shape[0], 1, *least.shape[1:])


@dataclass(frozen=True, eq=False)
class JointRival(AbstractRivals):
    """`joint`: the pessimal rival of D(q) + V_i(t), query by query.

    Attributes:
        value: V_i(t), `[k, d_vocab, d_vocab_out]`.
        ahead: D, `[d_vocab, d_vocab_out]`.
        n_outputs: right outputs are 0 .. n_outputs - 1.
        arith: the arithmetic.
        pooled: positions before the last share their smallest margin.
    """

    value: AbstractEnclosure
    ahead: AbstractEnclosure
    n_outputs: int
    arith: AbstractArithmetic
    pooled: bool

    def value_margins(self, head: int, q: int) -> AbstractEnclosure:
        """Joint margins of every token for this query."""
        del head
        margin = _margins(self.value[:-1] + self.ahead[q], self.n_outputs, self.arith)
        return _pooled(margin) if self.pooled else margin

    def last(self, head: int, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure:
        """Joint margin of the query token."""
        del head
        return _margins(self.value[-1, q] + self.ahead[q], self.n_outputs, self.arith)[:, outputs]

    def direct(self, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure | None:
        """None: the direct path is part of the value margins."""
        del q, outputs
        return None


def _margins(logits: AbstractEnclosure, n_outputs: int, arith: AbstractArithmetic) -> AbstractEnclosure:
    """Every right output's logit less the largest other, after an axis for the one group of rivals."""
    return (logits - exclusive_max(logits, arith))[np.newaxis, ..., :n_outputs]


def n_groups(name: str, d_vocab_out: int) -> int:
    """R: groups of rivals per stratum."""
    return d_vocab_out - 1 if name == "every" else 1


def make_rivals(
    name: str,
    values: Sequence[AbstractEnclosure],
    direct: AbstractEnclosure,
    n_outputs: int,
    arith: AbstractArithmetic,
    *,
    pooled: bool,
) -> AbstractRivals:
    """The class for a name of `RIVALS`.

    Args:
        name: one of `RIVALS`.
        values: V_i(t) of every head, `[k, d_vocab, d_vocab_out]`.
        direct: D, `[d_vocab, d_vocab_out]`.
        n_outputs: right outputs are 0 .. n_outputs - 1.
        arith: the arithmetic.
        pooled: positions before the last share their smallest margin.
    """
    if name == "joint":
        if len(values) > 1:
            raise Rejected(Reason.BAD_HINT, "rival=joint covers one head")
        return JointRival(values[0], direct, n_outputs, arith, pooled=pooled)
    if name == "every":
        # The r-th rival of y is r or r + 1 past y.
        y, r = np.arange(n_outputs), np.arange(values[0].shape[2] - 1)[:, np.newaxis]
        rival = np.where(r < y, r, r + 1)
        margins = [(value[:, :, np.newaxis, y] - value[:, :, rival]).transpose(2, 0, 1, 3) for value in values]
        ahead = (direct[:, np.newaxis, y] - direct[:, rival]).transpose(1, 0, 2)
        return SeparateRivals(margins, ahead, pooled=pooled)
    first, *rest = values
    if name == "centred":
        mean = direct.sum(0) * Fraction(1, direct.shape[0])
        first, direct = first + mean, direct - mean
    margins = [_margins(value, n_outputs, arith) for value in (first, *rest)]
    return SeparateRivals(margins, _margins(direct, n_outputs, arith), pooled=pooled)
