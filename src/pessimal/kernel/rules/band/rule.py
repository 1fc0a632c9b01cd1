r"""The band proof: count certainly right sequences of a narrow band of tokens on a coarse grid. Max-of-K.

Theorem. Let $y \ge y_0$ and let $g_c(t)$ be a lower bound of the term of token t (`scores.py`, `values.py`) at every
position of class c. Let $b_c \le 0$ be a lower bound of $g_c(t)$ for all far tokens $t \le y - G$ and of $g_c(y)$, and
$d_c(t) = b_c - g_c(t)$ the deficit of a near token. In stratum $(q, y)$, $q < y$, call one position that holds y the
holder, of class h. If the deficits of the other positions before the last, another y having none, sum to less than

$$ D_h = g_{K-1}(q) + g_h(y) + \textstyle\sum_{i \ne \mathrm{holder}} b_{c(i)}, $$

the sequence is right. With step $s = \max_hD_h / (B - \tfrac12)$ and $n(t) = \lceil d(t)/s\rceil$, near tokens with
positive deficits, and $T_h$ the largest integer below $D_h/s$, at least $r_h$ of the $y^{K-2}$ fillings of those
positions by tokens below y are: the coefficients $0 .. T_h$ of $\prod_c(N + \sum_{near}X^{n_c(t)})^{m_c - [c=h]}$, N
far tokens and $m_c$ positions of class c. Then the stratum has at least the share
$\sum_h \tfrac{m_h}{K-1}\,r_h / y^{K-2}$ of its sequences right. *Proof.* Let J be the set of positions that hold y. Given J and
any holder $j \in J$, the others outside J are filled freely below y; a filling of all positions but j restricts to one
of them with no larger sum, so the right share is at least $r_j / y^{K-2}$, hence at least the mean over $j \in J$. By
symmetry every position has the same weight in the sum over J. For $q = y$ there is no holder, every position is filled
from 0 .. y and $D = g_{K-1}(y) + \sum_i b_{c(i)}$.

Sequences whose largest token is below $y_0$ are given up. A stratum without a positive D, or with a lost number, is
given up.

Soundness: for all weights and every value of the hints.
Cost: counted by running the rule over shapes.
Source: new; specification `short-proofs.md`, with a grid in place of the moment.
"""

from fractions import Fraction
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Cost, counted_cost, n_strata
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.rules.band.polynomials import Powers, low_sum, times
from pessimal.kernel.rules.band.scores import make_scores
from pessimal.kernel.rules.band.values import make_margins
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Hints, Progress, no_progress, require_max_of_k
from pessimal.kernel.tables import require_single_additive_head
from pessimal.spec.architecture import Architecture
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


class _Band:
    """Terms of the strata of a model."""

    def __init__(self, weights: Weights, options: BandOptions, arith: AbstractArithmetic) -> None:
        self.options, self.arith = options, arith
        self.scores = make_scores(weights, options, arith)
        self.margins = make_margins(weights, options, self.scores.place, arith)
        self.sizes = [len(members) for members in options.members]
        m, last = self.margins, len(self.sizes)
        self.low_near = m.near[:last].min(0).cumulative_min(0)
        self.low_far = None if m.far is None else m.far[:last].min(0).cumulative_min(0)
        self.heaviest = None if self.scores.far is None else self.scores.far.cumulative_max(1)

    def _margin(self, c: int, q: np.ndarray, t: np.ndarray, y: np.ndarray) -> AbstractEnclosure:
        """Lower bound of the margin over the smallest rival."""
        o, m = self.options, self.margins
        row, target = t - o.row, y - o.first
        if m.joint is not None and c < len(self.sizes):
            margin = m.joint[c, self.scores.place[q, row], y - t]
        else:
            margin = m.near[c, row, target] + m.direct_near[q, target]
        if m.far is not None and m.direct_far is not None:
            margin = margin.minimum(m.far[c, row, target] + m.direct_far[q, target])
        return margin

    def term(self, c: int, q: np.ndarray, t: np.ndarray, y: np.ndarray) -> AbstractEnclosure:
        """g_c(t), for near tokens, or any computed row if c is the last position."""
        weighted = self._margin(c, q, t, y) * self.scores.band[self.scores.place[q, t - self.options.row]]
        least = weighted * self.scores.least[c, q]
        if self.options.position_scores == "exact" and (c == len(self.sizes) or self.sizes[c] == 1):
            return least
        return least.minimum(weighted * self.scores.greatest[c, q])

    def _far_margin(self, q: np.ndarray, y: np.ndarray) -> AbstractEnclosure:
        """Lower bound of the margins of all far tokens, and of 0."""
        o, m = self.options, self.margins
        target, row = y - o.first, np.maximum(y - o.near - o.row, 0)
        near = self._with_below(self.low_near[row, target], m.below_near, y) + m.direct_near[q, target]
        if self.low_far is not None and m.direct_far is not None:
            far = self._with_below(self.low_far[row, target], m.below_far, y) + m.direct_far[q, target]
            near = near.minimum(far)
        return near.minimum(self.arith.fraction(Fraction(0)))

    def _with_below(
        self, rows: AbstractEnclosure, below: AbstractEnclosure | None, y: np.ndarray
    ) -> AbstractEnclosure:
        """The smaller of the far rows, if a target has any, and the tokens below the first row."""
        return rows if below is None else rows.minimum(below[y - self.options.first])

    def base(self, q: np.ndarray, y: np.ndarray) -> list[AbstractEnclosure]:
        """b_c of the far tokens, by class; 0 where there are none."""
        o, last = self.options, len(self.sizes)
        if self.heaviest is None:
            return [self.arith.integers(np.zeros(q.shape, dtype=np.int64)).enclose()] * last
        some = y >= o.near
        heaviest = self.heaviest[q, np.maximum(y - o.near, 0)]
        worst = (self._far_margin(q, y) * heaviest).where(some, 0)
        return [worst * self.scores.greatest[c, q] for c in range(last)]

    def last(self, q: np.ndarray, y: np.ndarray) -> AbstractEnclosure:
        """g_{K-1}(q)."""
        o, c = self.options, len(self.sizes)
        own = self.term(c, q, np.maximum(q, o.row), y)
        if not o.row or self.scores.far is None or self.margins.below_near is None:
            return own
        target = y - o.first
        margin = self.margins.below_near[target] + self.margins.direct_near[q, target]
        if self.margins.below_far is not None and self.margins.direct_far is not None:
            margin = margin.minimum(self.margins.below_far[target] + self.margins.direct_far[q, target])
        weight = self.scores.far[q, np.minimum(q, o.n_far - 1)] * self.scores.greatest[c, q]
        low = margin.minimum(self.arith.fraction(Fraction(0))) * weight
        return self.arith.stack([own, low], axis=1)[np.arange(q.size), np.where(q < o.row, 1, 0)]


def _right(band: _Band, q: Int[np.ndarray, " S"], y: Int[np.ndarray, " S"], *, holder: bool) -> AbstractEnclosure:
    """Sum over h of m_h r_h with a holder, the number of right fillings without; `[S]`."""
    o, arith, sizes = band.options, band.arith, band.sizes
    cells = o.cells
    base = band.base(q, y)
    total = band.last(q, y)
    own = [band.term(c, q, y, y) for c in range(len(sizes))] if holder else []
    base = [b.minimum(g) for b, g in zip(base, own, strict=True)] if holder else base
    for b, size in zip(base, sizes, strict=True):
        total = total + (b if size == 1 else b * arith.fraction(Fraction(size)))
    ends = [total - b + g for b, g in zip(base, own, strict=True)] if holder else [total]
    longest = ends[0]
    for end in ends[1:]:
        longest = longest.maximum(end)
    per_step = arith.fraction(Fraction(2 * cells - 1, 2)) / longest
    t = y[:, np.newaxis] - np.arange(holder, o.near)
    n_far = np.maximum(y - o.near + 1, 0)
    powers = []
    for c, b in enumerate(base):
        deficit = b.reshape(-1, 1) - band.term(c, q[:, np.newaxis], np.maximum(t, o.row), y[:, np.newaxis])
        cell = (deficit * per_step.reshape(-1, 1)).integer_above(cells)
        powers.append(Powers(arith.histogram(np.where(t >= 0, cell, cells), cells, n_far).enclose(), arith))
    right: AbstractEnclosure | None = None
    for h, end in enumerate(ends):
        degree = (end * per_step).integer_below(cells - 1)
        counts = [size - (holder and c == h) for c, size in enumerate(sizes)]
        part = _fillings(powers, counts, degree, arith)
        if holder and sizes[h] > 1:
            part = part * arith.fraction(Fraction(sizes[h]))
        right = part if right is None else right + part
    return right if right is not None else total


def _fillings(
    powers: list[Powers], counts: list[int], degree: Int[np.ndarray, " S"], arith: AbstractArithmetic
) -> AbstractEnclosure:
    """Coefficients 0 .. degree of the product of the powers, summed."""
    chosen = [(one, n) for one, n in zip(powers, counts, strict=True) if n]
    if not chosen:
        return arith.integers((degree >= 0).astype(np.int64)).enclose()
    if len(chosen) == 1:
        one, n = chosen[0]
        return low_sum(one[n - n // 2], one[n // 2] if n > 1 else None, degree)
    product = chosen[0][0][chosen[0][1]]
    for one, n in chosen[1:-1]:
        product = times(product, one[n], arith)
    one, n = chosen[-1]
    return low_sum(product, one[n], degree)


class BandRule(AbstractRule):
    """Counting in a band of tokens below each target."""

    name: ClassVar[str] = "band"

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Counted; the form of every hint is checked here."""
        s = architecture.shape
        options = BandOptions.read(hints, s)
        rows, columns = s.d_vocab - options.row, s.d_vocab_out - options.rivals_from
        pairs = min(s.d_vocab * rows, n_strata(s.d_vocab) + rows * options.near)
        classes = len(options.members)
        entries = 4 * n_strata(s.d_vocab) * (2 * options.near + (classes + 6) * options.cells)
        entries += 4 * (classes + 1) * rows * s.d_vocab_out + 4 * pairs * (s.d_head + 2)
        entries += (options.rival == "joint") * pairs * (4 * columns + 2 * options.near * (columns + 2 * classes))
        return counted_cost(
            architecture,
            lambda weights, arith: self.bound(weights, question, hints, arith, no_progress),
            dims=pairs + rows * s.d_vocab_out + s.d_vocab * columns + s.k * (s.d_vocab + columns),
            hints=s.k - 1 + 2 * s.d_model,
            entries=entries,
        )

    def require_covers(self, weights: Weights, question: Question) -> None:
        """Max-of-K, one head, additive scores, no final biases, at least two positions."""
        require_max_of_k(question.task)
        require_single_additive_head(weights)

    def bound(
        self, weights: Weights, question: Question, hints: Hints, arith: AbstractArithmetic, progress: Progress
    ) -> CountBound:
        """Given up, plus each stratum less its right sequences."""
        options = BandOptions.read(hints, weights.architecture.shape)
        k, v, first = question.task.k, question.task.d_vocab, options.first
        band = _Band(weights, options, arith)
        zero = arith.fraction(Fraction(0))
        wrong = Fraction(first**k)
        y = np.arange(first, v)
        for right, target in zip((zero - _right(band, y, y, holder=False)).upper(), y.tolist(), strict=True):
            wrong += _less((target + 1) ** (k - 1), right, 1, (target + 1) ** (k - 1))
        progress(1, 2)
        y = np.repeat(np.arange(first, v), np.arange(first, v))
        if y.size:
            q = np.concatenate([np.arange(target) for target in range(first, v)])
            for right, target in zip((zero - _right(band, q, y, holder=True)).upper(), y.tolist(), strict=True):
                size = (target + 1) ** (k - 1) - target ** (k - 1)
                wrong += _less(size, right, k - 1, target ** (k - 2))
        progress(2, 2)
        return CountBound(wrong_at_most=wrong, wrong_at_least=None, decided=False)


def _less(size: int, minus_right: Fraction | None, holders: int, fillings: int) -> Fraction:
    """Size times the share that is not right; `minus_right` is an upper bound of minus their number."""
    # SOUND: a lost number gives the stratum up; a share is at most one.
    if minus_right is None:
        return Fraction(size)
    return size * max(Fraction(0), 1 + minus_right / (holders * fillings))
