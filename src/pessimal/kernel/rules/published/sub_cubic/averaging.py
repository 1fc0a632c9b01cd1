r"""The right token's path, bounded between the ends of its attention: factor B of the published strategies.

For target m let $G_m(\alpha) = \max_{x \ne m}(L_x + \alpha R_x)$ with $L_x$ what does not depend on attention and
$R_x = \mathrm{EVOU}[m,x] - \mathrm{EVOU}[m,m]$; it is convex in $\alpha$.

Theorem (every class). $G_m(\alpha) \le \max_j(c_{mj} + s_{mj}\alpha)$ for the lines of the class and every $\alpha$ of
the class's range. *Proof.*
`Drop`, $\alpha \ge 0$: $L_x \le \max L$, $\alpha R_x \le \alpha\max R$.
`SignAware`, all $\alpha$, any anchor p: $G(\alpha) \le G(p) + \max_x(\alpha - p)R_x$, which is
$(\alpha - p)\max R$ above the anchor and $(\alpha - p)\min R$ below it; the larger of the two lines is right on both
sides. (The published formula uses max R on both.)
`Chord`, between the first and the last point: a convex function lies below its chords, and each chord line is one of
the lines.

Contents:
    AbstractAveraging — the interface.
    Drop, SignAware, Chord — the three ways.
    make_averaging — by the published word and the number of points.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

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

    def hold_at(self, alpha: AbstractEnclosure, m: np.ndarray) -> Bool[np.ndarray, " cells"]:
        """Where the attention of a class with target m is certainly within the range, `[cells]`."""
        if self.ends is None or self.all_of_it is None:
            return np.ones(m.size, dtype=bool)
        low, high = self.ends
        from_zero, to_one = self.all_of_it
        return np.asarray((from_zero[m] | alpha.greater(low[m])) & (to_one[m] | high[m].greater(alpha)))


class AbstractAveraging(ABC):
    """A way to bound G."""

    n_points: int

    @abstractmethod
    def lines(
        self, fixed: AbstractEnclosure, right: AbstractEnclosure, hints: Hints, arith: AbstractArithmetic
    ) -> Lines:
        """Lines above G for `fixed` = L and `right` = R, `[d_vocab, rivals]`."""

    @abstractmethod
    def n_lines(self) -> int:
        """J."""

    @abstractmethod
    def flops(self, v: int, r: int) -> int:
        """Operations of `lines`."""


class Drop(AbstractAveraging):
    """One line through the worst of both. Soundness: module docstring. Cost: O(v^2). Source: Gross et al. 2024."""

    n_points = 0

    def lines(
        self, fixed: AbstractEnclosure, right: AbstractEnclosure, hints: Hints, arith: AbstractArithmetic
    ) -> Lines:
        """The line of the largest L and the largest R."""
        del hints, arith
        v = fixed.shape[0]
        return Lines(fixed.max(1).reshape(v, 1), right.max(1).reshape(v, 1))

    def n_lines(self) -> int:
        """One."""
        return 1

    def flops(self, v: int, r: int) -> int:
        """Operations of `lines`."""
        return 2 * v * (r - 1)


def _points(hints: Hints, v: int, n: int) -> np.ndarray:
    """Hinted attentions, in units of 2**-POINT_BITS, strictly increasing in every row, `[d_vocab, n]`."""
    points = hints.halfwords("points", (v, n))
    if points.max() > 2**POINT_BITS or (np.diff(points, axis=1) <= 0).any():
        raise Rejected(Reason.BAD_HINT, "array points must increase along each row and stay at or below 1")
    return points


def _values(
    points: np.ndarray, fixed: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic
) -> tuple[list[AbstractEnclosure], list[AbstractEnclosure]]:
    """Points as numbers, and G there; a list of `[d_vocab]` each."""
    v = points.shape[0]
    exponent = np.full(v, -POINT_BITS, dtype=np.int64)
    numbers = [arith.dyadic(points[:, j].copy(), exponent) for j in range(points.shape[1])]
    return numbers, [(fixed + right * p.reshape(v, 1)).max(1) for p in numbers]


class SignAware(AbstractAveraging):
    """Mean+diff around one hinted anchor. Soundness: module docstring. Cost: O(v^2). Source: Gross et al., repaired."""

    n_points = 1

    def lines(
        self, fixed: AbstractEnclosure, right: AbstractEnclosure, hints: Hints, arith: AbstractArithmetic
    ) -> Lines:
        """The two lines through the anchor."""
        numbers, values = _values(_points(hints, fixed.shape[0], 1), fixed, right, arith)
        slopes = [right.max(1), right.min(1)]
        intercepts = [values[0] - slope * numbers[0] for slope in slopes]
        return Lines(arith.stack(intercepts, axis=1), arith.stack(slopes, axis=1))

    def n_lines(self) -> int:
        """Two."""
        return 2

    def flops(self, v: int, r: int) -> int:
        """Operations of `lines`."""
        return v * (3 * r - 1) + 2 * v * (r - 1) + 4 * v


@dataclass(frozen=True)
class Chord(AbstractAveraging):
    """Chords between hinted points. Soundness: module docstring. Cost: O(v^2 T). Source: new (specification, 4.6)."""

    n_points: int

    def lines(
        self, fixed: AbstractEnclosure, right: AbstractEnclosure, hints: Hints, arith: AbstractArithmetic
    ) -> Lines:
        """One line per pair of neighbouring points."""
        points = _points(hints, fixed.shape[0], self.n_points)
        numbers, values = _values(points, fixed, right, arith)
        slopes = [(values[j + 1] - values[j]) / (numbers[j + 1] - numbers[j]) for j in range(self.n_points - 1)]
        intercepts = [value - slope * p for value, slope, p in zip(values, slopes, numbers, strict=False)]
        return Lines(
            intercept=arith.stack(intercepts, axis=1),
            slope=arith.stack(slopes, axis=1),
            ends=(numbers[0], numbers[-1]),
            all_of_it=(points[:, 0] == 0, points[:, -1] == 2**POINT_BITS),
        )

    def n_lines(self) -> int:
        """T - 1."""
        return self.n_points - 1

    def flops(self, v: int, r: int) -> int:
        """Operations of `lines`."""
        return self.n_points * v * (3 * r - 1) + (self.n_points - 1) * 5 * v


def make_averaging(hints: Hints) -> AbstractAveraging:
    """The way that the options name."""
    if hints.word("attention", AVERAGINGS) == DROP:
        hints.number("points", 0, 0)
        return Drop()
    n = hints.number("points", 1, MAX_POINTS)
    return SignAware() if n == 1 else Chord(n)
