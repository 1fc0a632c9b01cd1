r"""Which rivals a margin is taken against.

For target $y$ and rival $o$ the term of position $i$ is $w_i(q,t)\,m$, $m = (D(q)_y - D(q)_o) + (V_i(t)_y - V_i(t)_o)$.
Every class below gives lower bounds of $m$ for the tokens near the target, the far tokens and the query token.

* `every` (R4): each $o \ne y$ on its own; the rule adds up the wrong counts. Cost ~ d_vocab_out times the others.
* `plain` (R5): $m \ge dD(q,y) + dV_i(t,y)$, each the margin over its own largest rival. Valid for one pessimal rival,
  because $e^s > 0$ and every true rival has a larger margin at every term.
* `centred` (R5): the mean row $\bar D$ moves from $D$ to $V$ first, which leaves $D + V$ unchanged.
* `joint` (R5): the largest rival of $D(q) + V_i(t)$ taken jointly; about $d_{vocab}^3$ more, the tightest of the three.

Contents:
    RIVALS — the names.
    AbstractRivals — the interface.
    EveryRival, PessimalRival, JointRival — the three ways.
    exclusive_max — the largest of the other entries.
"""

from abc import ABC, abstractmethod
from fractions import Fraction

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.tables import AdditiveTables

RIVALS = ("plain", "centred", "joint", "every")


def exclusive_max(x: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """Entry o of the result is the largest of the other entries of the last axis (length n >= 2).

    Cost: 3n - 2 per row.
    """
    n = x.shape[-1]
    forward = x.cumulative_max(-1)
    backward = x[..., ::-1].cumulative_max(-1)[..., ::-1]
    both = arith.stack([forward, backward])
    o = np.arange(n)
    first, last = o == 0, o == n - 1
    before = both[np.where(first, 1, 0), ..., np.where(first, 1, o - 1)]
    after = both[np.where(last, 0, 1), ..., np.where(last, n - 2, o + 1)]
    axes = (*range(1, len(x.shape)), 0)
    return before.maximum(after).transpose(*axes)


class AbstractRivals(ABC):
    """Margins by query; y runs over q .. d_vocab - 1 (Y of them), R problems per stratum, I positions."""

    @abstractmethod
    def at_query(self, q: int) -> tuple[AbstractEnclosure, AbstractEnclosure | None]:
        """Margins `[R, I, t, y]` over all t, y, and what to add for this query, `[R, Y]` or None."""

    @abstractmethod
    def at_last(self, q: int) -> AbstractEnclosure:
        """Margins of the query token at the last position, `[R, Y]`."""


def position_values(tables: AdditiveTables, extra: AbstractEnclosure | None) -> AbstractEnclosure:
    """V_i(t) for every position, `[k, d_vocab, d_vocab_out]`, optionally plus one row `extra`."""
    token = tables.token_value if extra is None else tables.token_value + extra
    k, n_out = tables.position_value.shape
    return token.reshape(1, *token.shape) + tables.position_value.reshape(k, 1, n_out)


class EveryRival(AbstractRivals):
    """R4: the rivals one by one, r-th rival of y being r or r + 1 past y."""

    def __init__(self, tables: AdditiveTables, *, pessimal_position: bool) -> None:
        d_vocab, n_out = tables.direct.shape
        y = np.arange(d_vocab)
        r = np.arange(n_out - 1)[:, np.newaxis]
        rival = np.where(r < y, r, r + 1)
        value = position_values(tables, None)
        margin = value[:, :, np.newaxis, y] - value[:, :, rival]  # [k, t, R, y]
        margin = margin.transpose(2, 0, 1, 3)
        self.last = margin[:, -1]
        others = margin[:, :-1]
        self.others = others.min(1).reshape(n_out - 1, 1, d_vocab, d_vocab) if pessimal_position else others
        direct = tables.direct
        self.direct = (direct[:, np.newaxis, y] - direct[:, rival]).transpose(1, 0, 2)  # [R, q, y]

    def at_query(self, q: int) -> tuple[AbstractEnclosure, AbstractEnclosure | None]:
        """The same token margins for every query, plus the direct margin."""
        return self.others, self.direct[:, q, q:]

    def at_last(self, q: int) -> AbstractEnclosure:
        """Direct margin plus the query token's own."""
        return self.direct[:, q, q:] + self.last[:, q, q:]


class PessimalRival(AbstractRivals):
    """R5, plain or centred: one pessimal rival, direct path and values apart."""

    def __init__(
        self, tables: AdditiveTables, arith: AbstractArithmetic, *, centred: bool, pessimal_position: bool
    ) -> None:
        d_vocab = tables.direct.shape[0]
        direct, mean = tables.direct, None
        if centred:
            mean = direct.sum(0) * arith.fraction(Fraction(1, d_vocab))
            direct = direct - mean
        value = position_values(tables, mean)
        margin = (value - exclusive_max(value, arith))[..., :d_vocab]
        self.last = margin[-1]
        others = margin[:-1]
        pooled = others.min(0).reshape(1, d_vocab, d_vocab) if pessimal_position else others
        self.others = pooled.reshape(1, *pooled.shape)
        self.direct = (direct - exclusive_max(direct, arith))[:, :d_vocab]

    def at_query(self, q: int) -> tuple[AbstractEnclosure, AbstractEnclosure | None]:
        """The same token margins for every query, plus the direct margin."""
        return self.others, self.direct[q, q:].reshape(1, -1)

    def at_last(self, q: int) -> AbstractEnclosure:
        """Direct margin plus the query token's own."""
        return (self.direct[q, q:] + self.last[q, q:]).reshape(1, -1)


class JointRival(AbstractRivals):
    """R5 joint: the pessimal rival of D(q) + V_i(t), query by query."""

    def __init__(self, tables: AdditiveTables, arith: AbstractArithmetic, *, pessimal_position: bool) -> None:
        self.value = position_values(tables, None)
        self.direct = tables.direct
        self.arith = arith
        self.pessimal_position = pessimal_position

    def at_query(self, q: int) -> tuple[AbstractEnclosure, AbstractEnclosure | None]:
        """Joint margins of every token for this query; nothing to add."""
        d_vocab = self.direct.shape[0]
        logits = self.value[:-1] + self.direct[q]
        margin = (logits - exclusive_max(logits, self.arith))[..., :d_vocab]
        pooled = margin.min(0).reshape(1, d_vocab, d_vocab) if self.pessimal_position else margin
        return pooled.reshape(1, *pooled.shape), None

    def at_last(self, q: int) -> AbstractEnclosure:
        """Joint margin of the query token."""
        d_vocab = self.direct.shape[0]
        logits = (self.value[-1, q] + self.direct[q]).reshape(1, -1)
        return (logits - exclusive_max(logits, self.arith))[:, q:d_vocab]


def make_rivals(
    name: str, tables: AdditiveTables, arith: AbstractArithmetic, *, pessimal_position: bool
) -> AbstractRivals:
    """The class for a name of `RIVALS`."""
    if name == "every":
        return EveryRival(tables, pessimal_position=pessimal_position)
    if name == "joint":
        return JointRival(tables, arith, pessimal_position=pessimal_position)
    return PessimalRival(tables, arith, centred=name == "centred", pessimal_position=pessimal_position)
