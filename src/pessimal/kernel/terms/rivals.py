r"""Which rivals a margin is taken against.

For right output $y$ and rival $o$ the term of position $i$ is $w_i(q,t)\,m$, where for one head
$m = (D(q)_y - D(q)_o) + (V_i(t)_y - V_i(t)_o)$. Every class below gives lower bounds of the value part and of the
direct part; with several heads the value part is one per head (`terms.py` says what becomes of the direct part).

* `every` (R4): each $o \ne y$ on its own; the rule adds up the wrong counts. Cost ~ d_vocab_out times the others.
* `plain` (R5): $m \ge dD(q,y) + dV_i(t,y)$, each the margin over its own largest rival. Valid for one pessimal rival,
  because $e^s > 0$ and every true rival has a larger margin at every term.
* `centred` (R5): the mean row $\bar D$ moves from $D$ to $V$ first, which leaves $D + V$ unchanged.
* `joint` (R5): the largest rival of $D(q) + V_i(t)$ taken jointly; about $d_{vocab}^3$ more, the tightest of the three.
  One head only.

Contents:
    RIVALS — the names.
    AbstractRivals — the interface.
    EveryRival, PessimalRival, JointRival — the three ways.
    exclusive_max — the largest of the other entries, or of those outside a window.
    make_rivals, n_problems — by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.rejection import Reason, Rejected

RIVALS = ("plain", "centred", "joint", "every")


# Stands for the logit of a rival that does not exist; if a logit is below it, a margin only becomes smaller.
LOWEST = -(2**62)


def exclusive_max(x: AbstractEnclosure, arith: AbstractArithmetic, below: int = 0, above: int = 0) -> AbstractEnclosure:
    """Entry o of the result is the largest entry of the last axis before o - below or after o + above, or `LOWEST`.

    Cost: 3n - 2 per row of length n >= 2.
    """
    n = x.shape[-1]
    forward = x.cumulative_max(-1)
    backward = x[..., ::-1].cumulative_max(-1)[..., ::-1]
    both = arith.stack([forward, backward])
    o = np.arange(n)
    first, last = o - below - 1, o + above + 1
    none_before, none_after = first < 0, last >= n
    first, last = np.maximum(first, 0), np.minimum(last, n - 1)
    before = both[np.where(none_before, 1, 0), ..., np.where(none_before, last, first)]
    after = both[np.where(none_after, 0, 1), ..., np.where(none_after, first, last)]
    axes = (*range(1, len(x.shape)), 0)
    return before.maximum(after).transpose(*axes).where(~(none_before & none_after), LOWEST)


class AbstractRivals(ABC):
    """Margins by query and output, R problems per stratum, I positions (one if they are pooled)."""

    n_problems: int

    @abstractmethod
    def others(self, head: int, q: int) -> AbstractEnclosure:
        """Value margins of the tokens before the last, `[R, I, t, y]` over all t, y."""

    @abstractmethod
    def last(self, head: int, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure:
        """Value margin of the query token at the last position, `[R, Y]`."""

    @abstractmethod
    def direct(self, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure | None:
        """Direct margin, `[R, Y]`; None if it is part of the value margins."""


class EveryRival(AbstractRivals):
    """R4: the rivals one by one, r-th rival of y being r or r + 1 past y."""

    def __init__(
        self, values: Sequence[AbstractEnclosure], direct: AbstractEnclosure, n_outputs: int, *, pooled: bool
    ) -> None:
        self.n_problems = values[0].shape[2] - 1
        y = np.arange(n_outputs)
        r = np.arange(self.n_problems)[:, np.newaxis]
        rival = np.where(r < y, r, r + 1)
        self._others, self._last = [], []
        for value in values:
            margin = (value[:, :, np.newaxis, y] - value[:, :, rival]).transpose(2, 0, 1, 3)  # [R, k, t, y]
            self._last.append(margin[:, -1])
            others = margin[:, :-1]
            self._others.append(others.min(1).reshape(-1, 1, *others.shape[2:]) if pooled else others)
        self._direct = (direct[:, np.newaxis, y] - direct[:, rival]).transpose(1, 0, 2)  # [R, q, y]

    def others(self, head: int, q: int) -> AbstractEnclosure:
        """The same for every query."""
        del q
        return self._others[head]

    def last(self, head: int, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure:
        """Of the query token itself."""
        return self._last[head][:, q, outputs]

    def direct(self, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure | None:
        """D(q)_y - D(q)_o."""
        return self._direct[:, q, outputs]


class PessimalRival(AbstractRivals):
    """R5, plain or centred: one pessimal rival, direct path and values apart."""

    n_problems = 1

    def __init__(
        self,
        values: Sequence[AbstractEnclosure],
        direct: AbstractEnclosure,
        n_outputs: int,
        arith: AbstractArithmetic,
        *,
        centred: bool,
        pooled: bool,
    ) -> None:
        values = list(values)
        if centred:
            mean = direct.sum(0) * arith.fraction(Fraction(1, direct.shape[0]))
            direct = direct - mean
            values[0] = values[0] + mean
        self._others, self._last = [], []
        for value in values:
            margin = (value - exclusive_max(value, arith))[..., :n_outputs]
            self._last.append(margin[-1])
            others = margin[:-1].min(0).reshape(1, *margin.shape[1:]) if pooled else margin[:-1]
            self._others.append(others.reshape(1, *others.shape))
        self._direct = (direct - exclusive_max(direct, arith))[:, :n_outputs]

    def others(self, head: int, q: int) -> AbstractEnclosure:
        """The same for every query."""
        del q
        return self._others[head]

    def last(self, head: int, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure:
        """Of the query token itself."""
        return self._last[head][q, outputs].reshape(1, -1)

    def direct(self, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure | None:
        """Margin of D(q), less its mean row if centred."""
        return self._direct[q, outputs].reshape(1, -1)


class JointRival(AbstractRivals):
    """R5 joint: the pessimal rival of D(q) + V_i(t), query by query."""

    n_problems = 1

    def __init__(
        self,
        value: AbstractEnclosure,
        direct: AbstractEnclosure,
        n_outputs: int,
        arith: AbstractArithmetic,
        *,
        pooled: bool,
    ) -> None:
        self._value, self._direct, self._arith = value, direct, arith
        self._n_outputs, self._pooled = n_outputs, pooled

    def others(self, head: int, q: int) -> AbstractEnclosure:
        """Joint margins of every token for this query."""
        del head
        logits = self._value[:-1] + self._direct[q]
        margin = (logits - exclusive_max(logits, self._arith))[..., : self._n_outputs]
        pooled = margin.min(0).reshape(1, *margin.shape[1:]) if self._pooled else margin
        return pooled.reshape(1, *pooled.shape)

    def last(self, head: int, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure:
        """Joint margin of the query token."""
        del head
        logits = (self._value[-1, q] + self._direct[q]).reshape(1, -1)
        return (logits - exclusive_max(logits, self._arith))[:, outputs]

    def direct(self, q: int, outputs: Int[np.ndarray, " Y"]) -> AbstractEnclosure | None:
        """Part of the margins."""
        del q, outputs
        return None


def n_problems(name: str, d_vocab_out: int) -> int:
    """R: problems per stratum."""
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
        name: which.
        values: V_i(t) of every head, `[k, d_vocab, d_vocab_out]`.
        direct: D, `[d_vocab, d_vocab_out]`.
        n_outputs: right outputs are 0 .. n_outputs - 1.
        arith: the arithmetic.
        pooled: positions before the last share their smallest margin.
    """
    if name == "every":
        return EveryRival(values, direct, n_outputs, pooled=pooled)
    if name == "joint":
        if len(values) > 1:
            raise Rejected(Reason.BAD_HINT, "rival=joint covers one head")
        return JointRival(values[0], direct, n_outputs, arith, pooled=pooled)
    return PessimalRival(values, direct, n_outputs, arith, centred=name == "centred", pooled=pooled)
