r"""The right token's path, bounded between the ends of its attention: factor B of the published strategies.

For target m let $G_m(\alpha) = \max_{x \ne m}(L_x + \alpha R_x)$ with $L_x$ what does not depend on attention and
$R_x = \mathrm{EVOU}[m,x] - \mathrm{EVOU}[m,m]$; it is convex in $\alpha$.

Theorem (every class). $G_m(\alpha) \le \max_j(c_{mj} + s_{mj}\alpha)$ for the lines of the class and every $\alpha$ of
the class's range.

*Proof.* `Drop`, $\alpha \ge 0$: $L_x \le \max L$, $\alpha R_x \le \alpha\max R$.
`SignAware`, all $\alpha$, any anchor p: $G(\alpha) \le G(p) + \max_x(\alpha - p)R_x$, which is
$(\alpha - p)\max R$ above the anchor and $(\alpha - p)\min R$ below it; the larger of the two lines is right on both
sides. (The published formula uses max R on both.)
`Chord`, between the first and the last point: a convex function lies below its chords, and each chord line is one of
the lines. ∎

Contents:
    AbstractAveraging — a way to bound G.
    Drop, SignAware, Chord — the three ways.
    DROP, MEAN, AVERAGINGS — the published words.
    Lines — upper bounds of G as lines.
    read_n_points, read_averaging — by the published word, with its points.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected

DROP = "drop_average_query_per_output_logit_reasoning"
MEAN = "mean_query+diff"
AVERAGINGS = (DROP, MEAN)
MAX_POINTS = 64
# Points are multiples of 2**-POINT_BITS.
POINT_BITS = 15


@dataclass(frozen=True)
class Lines:
    """Upper bounds of G_m: the largest of J lines, where attention lies in a range.

    Attributes:
        intercept: c, `[d_vocab, J]`, in logits.
        slope: s, `[d_vocab, J]`, in logits.
        ends: least and greatest attention the lines hold for, two arrays `[d_vocab]`; None if they always hold.
        all_of_it: whether those are 0 and 1, between which attention always lies, two masks `[d_vocab]`.
    """

    intercept: AbstractEnclosure
    slope: AbstractEnclosure
    ends: tuple[AbstractEnclosure, AbstractEnclosure] | None = None
    all_of_it: tuple[np.ndarray, np.ndarray] | None = None

    def hold_at(self, alpha: AbstractEnclosure, m: np.ndarray) -> Bool[np.ndarray, " pairs"]:
        """Where the attention of a class with target m is certainly within the range, `[pairs]`."""
        if self.ends is None or self.all_of_it is None:
            return np.ones(m.size, dtype=bool)
        low, high = self.ends
        from_zero, to_one = self.all_of_it
        return np.asarray((from_zero[m] | alpha.greater(low[m])) & (to_one[m] | high[m].greater(alpha)))


@dataclass(frozen=True, eq=False)
class AbstractAveraging(ABC):
    """A way to bound G.

    Attributes:
        name: as the certificate names it.
        points: hinted for every target, multiples of `2**-POINT_BITS`, increasing, `[d_vocab, n_points]`.
    """

    name: ClassVar[str]
    points: Int[np.ndarray, "v n"]

    @property
    def n_points(self) -> int:
        """Hinted points per target."""
        return int(self.points.shape[1])

    @abstractmethod
    def lines(self, fixed: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic) -> Lines:
        """Lines above G for `fixed` = L and `right` = R, `[d_vocab, rivals]`."""


class Drop(AbstractAveraging):
    """One line through the worst of both. Soundness: module docstring. Cost: O(v^2). Source: Gross et al. 2024."""

    name: ClassVar[str] = DROP

    def lines(self, fixed: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic) -> Lines:
        """The line of the largest L and the largest R."""
        del arith
        v = fixed.shape[0]
        return Lines(fixed.max(1).reshape(v, 1), right.max(1).reshape(v, 1))


class _AtPoints(AbstractAveraging):
    """Ways that look at G at hinted attentions."""

    name: ClassVar[str] = MEAN

    def values(
        self, fixed: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic
    ) -> tuple[list[AbstractEnclosure], list[AbstractEnclosure]]:
        """Points as numbers, and G there; a list of `[d_vocab]` each."""
        v = self.points.shape[0]
        exponent = np.full(v, -POINT_BITS, dtype=np.int64)
        numbers = [arith.dyadic(self.points[:, j].copy(), exponent) for j in range(self.n_points)]
        return numbers, [(fixed + right * p.reshape(v, 1)).max(1) for p in numbers]


class SignAware(_AtPoints):
    """Mean+diff around one hinted anchor. Soundness: module docstring. Cost: O(v^2). Source: Gross et al., repaired."""

    def lines(self, fixed: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic) -> Lines:
        """The two lines through the anchor."""
        numbers, values = self.values(fixed, right, arith)
        slopes = [right.max(1), right.min(1)]
        intercepts = [values[0] - slope * numbers[0] for slope in slopes]
        return Lines(arith.stack(intercepts, axis=1), arith.stack(slopes, axis=1))


class Chord(_AtPoints):
    """Chords between hinted points. Soundness: module docstring. Cost: O(v^2 T). Source: new."""

    def lines(self, fixed: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic) -> Lines:
        """One line per pair of neighbouring points."""
        numbers, values = self.values(fixed, right, arith)
        slopes = [(values[j + 1] - values[j]) / (numbers[j + 1] - numbers[j]) for j in range(self.n_points - 1)]
        intercepts = [value - slope * p for value, slope, p in zip(values, slopes, numbers, strict=False)]
        return Lines(
            intercept=arith.stack(intercepts, axis=1),
            slope=arith.stack(slopes, axis=1),
            ends=(numbers[0], numbers[-1]),
            all_of_it=(self.points[:, 0] == 0, self.points[:, -1] == 2**POINT_BITS),
        )


def read_n_points(hints: Hints) -> int:
    """How many points per target the options name: none for `DROP`."""
    drop = hints.word("attention", AVERAGINGS) == DROP
    return hints.number("points", 0 if drop else 1, 0 if drop else MAX_POINTS)


def read_averaging(hints: Hints, d_vocab: int, n_points: int) -> AbstractAveraging:
    """The way that the options name, with its points."""
    if not n_points:
        return Drop(np.zeros((d_vocab, 0), dtype=np.int64))
    points = hints.halfwords("points", (d_vocab, n_points))
    if points.max() > 2**POINT_BITS or (np.diff(points, axis=1) <= 0).any():
        raise Rejected(Reason.BAD_HINT, "array points must increase along each row and stay at or below 1")
    return SignAware(points) if n_points == 1 else Chord(points)
