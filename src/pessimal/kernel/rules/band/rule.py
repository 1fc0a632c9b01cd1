r"""The band proof: count certainly right sequences of a narrow band of tokens on a coarse grid. Max-of-K.

Theorem. Let $y \ge y_0$ and let $g_c(t)$ be a lower bound of the term of token t (`scores.py`, `values.py`) at every
position of class c. Let $b_c \le 0$ be a lower bound of $g_c(t)$ for all far tokens $t \le y - G$ and of $g_c(y)$, and
$d_c(t) = b_c - g_c(t)$ the deficit of a near token. In stratum $(q, y)$, $q < y$, call one position that holds y the
holder, of class h. If the deficits of the other positions before the last, another y having none, sum to less than

$$ D_h = g_{K-1}(q) + g_h(y) + \textstyle\sum_{i \ne \mathrm{holder}} b_{c(i)}, $$

the sequence is right. With step $s = \max_hD_h / (B - \tfrac12)$ and $n(t) = \lceil d(t)/s\rceil$, near tokens with
positive deficits, and $T_h$ the largest integer below $D_h/s$, at least $r_h$ of the $y^{K-2}$ fillings of those
positions by tokens below y are: the sum of the coefficients $0 .. T_h$ of
$\prod_c(N + \sum_{near}X^{n_c(t)})^{m_c - [c=h]}$, N far tokens and $m_c$ positions of class c. Then the stratum has at
least the share $\sum_h \tfrac{m_h}{K-1}\,r_h / y^{K-2}$ of its sequences right. *Proof.* Let J be the set of positions
that hold y. Given J and any holder $j \in J$, the others outside J are filled freely below y; a filling of all
positions but j restricts to one of them with no larger sum, so the right share is at least $r_j / y^{K-2}$, hence at
least the mean over $j \in J$. By symmetry every position has the same weight in the sum over J. For $q = y$ there is no
holder, every position is filled from 0 .. y and $D = g_{K-1}(y) + \sum_i b_{c(i)}$.

The rivals of a target are split into problems (`values.py`); the shares that are not right add up. Sequences whose
largest token is below $y_0$ are given up. A stratum without a positive D, or with a lost number, is
given up.

Soundness: for all weights and every value of the hints.
Cost: counted by running the rule over shapes.
Source: new; specification `short-proofs.md`, with a grid in place of the moment.
"""

from fractions import Fraction
from functools import reduce
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Cost, counted_cost, n_strata
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.rules.band.parts import make_parts
from pessimal.kernel.rules.band.polynomials import Powers, low_sum, times
from pessimal.kernel.rules.band.scores import make_scores
from pessimal.kernel.rules.band.values import Problem, make_margins
from pessimal.kernel.rules.interface import (
    AbstractRule,
    CountBound,
    Hints,
    Progress,
    no_progress,
    require_max_of_k,
    require_real,
    require_weighs,
)
from pessimal.kernel.tables import require_single_additive_head
from pessimal.spec.architecture import Architecture
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


class _Band:
    """Terms of the strata of a model."""

    def __init__(self, weights: Weights, options: BandOptions, arith: AbstractArithmetic) -> None:
        self.options, self.arith = options, arith
        parts = make_parts(weights, arith)
        self.scores = make_scores(weights, parts, options, arith)
        self.margins = make_margins(weights, parts, options, self.scores.place, arith)
        self.sizes = [len(members) for members in options.members]
        last = len(self.sizes)
        self._low, self._low_far = (
            None if not tables else _smallest([one[:last].min(0) for one in tables]).cumulative_min(0)
            for tables in (
                [one.near for one in self.margins.problems],
                [one.far for one in self.margins.problems if one.far is not None],
            )
        )

    def weights(self, c: int, q: np.ndarray, t: np.ndarray) -> list[AbstractEnclosure]:
        """Least and greatest weight of near tokens at positions of class c; one number where they are the same."""
        token = self.scores.band[self.scores.place[q, t - self.options.row]]
        pinned = c == len(self.sizes) or self.sizes[c] == 1
        ends = [self.scores.least] if pinned and self.options.position_scores == "exact" else None
        return [token * end[c, q] for end in ends or [self.scores.least, self.scores.greatest]]

    def term(
        self, one: Problem, c: int, places: tuple[np.ndarray, np.ndarray, np.ndarray], weights: list[AbstractEnclosure]
    ) -> AbstractEnclosure:
        """g_c(t) at (q, t, y)."""
        q, t, y = places
        row, target = t - self.options.row, y - self.options.first
        if one.joint is not None and c < len(self.sizes):
            margin = one.joint[c, self.scores.place[q, row], y - t]
        else:
            margin = one.near[c, row, target] + one.direct_near[q, target]
        if one.far is not None and one.direct_far is not None:
            margin = margin.minimum(one.far[c, row, target] + one.direct_far[q, target])
        return _smallest([margin * weight for weight in weights])

    def _below(self, q: np.ndarray, y: np.ndarray, rows: list[AbstractEnclosure | None]) -> AbstractEnclosure:
        """The smallest of 0 and of lower bounds of X + Y over near and far rivals, D added."""
        target, m = y - self.options.first, self.margins
        directs = [m.lowest, m.problems[0].direct_far]
        found = [
            row + direct[q, target]
            for row, direct in zip(rows, directs, strict=True)
            if row is not None and direct is not None
        ]
        return _smallest([self.arith.fraction(Fraction(0)), *found])

    def base(self, q: np.ndarray, y: np.ndarray) -> list[AbstractEnclosure]:
        """b_c of the far tokens over all rivals, by class; 0 where there are none."""
        o, m, last = self.options, self.margins, len(self.sizes)
        if self.scores.heaviest is None:
            return [self.arith.integers(np.zeros(q.shape, dtype=np.int64)).enclose()] * last
        target, row = y - o.first, np.maximum(y - o.near - o.row, 0)
        rows = []
        for low, below in ((self._low, m.below), (self._low_far, m.below_far)):
            some = None if low is None else low[row, target]
            rows.append(some if some is None or below is None else some.minimum(below[target]))
        heaviest = self.scores.heaviest[q, np.maximum(y - o.first_far, 0)]
        worst = (self._below(q, y, rows) * heaviest).where(y >= o.near, 0)
        return [worst * self.scores.greatest[c, q] for c in range(last)]

    def last(self, one: Problem, q: np.ndarray, y: np.ndarray) -> AbstractEnclosure:
        """g_{K-1}(q)."""
        o, c, m = self.options, len(self.sizes), self.margins
        token = np.maximum(q, o.row)
        own = self.term(one, c, (q, token, y), self.weights(c, q, token))
        if m.below is None or self.scores.unseen is None:
            return own
        target = y - o.first
        margin = self._below(q, y, [m.below[target], None if m.below_far is None else m.below_far[target]])
        low = margin * (self.scores.unseen[np.minimum(q, o.row - 1)] * self.scores.greatest[c, q])
        return self.arith.stack([own, low], axis=1)[np.arange(q.size), np.where(q < o.row, 1, 0)]


def _smallest(parts: list[AbstractEnclosure]) -> AbstractEnclosure:
    total = parts[0]
    for part in parts[1:]:
        total = total.minimum(part)
    return total


class _Strata:
    """Strata (q, y), all with q < y or all with q = y."""

    def __init__(self, band: _Band, q: Int[np.ndarray, " S"], y: Int[np.ndarray, " S"], *, holder: bool) -> None:
        self.band, self.q, self.y, self.holder = band, q, y, holder
        o = band.options
        self.base, classes = band.base(q, y), range(len(band.sizes))
        self.t = y[:, np.newaxis] - np.arange(holder, o.near)
        self.near = (q[:, np.newaxis], np.maximum(self.t, o.row), y[:, np.newaxis])
        self.weights = [band.weights(c, *self.near[:2]) for c in classes]
        self.own = [band.weights(c, q, y) for c in classes] if holder else []

    def right(self, one: Problem) -> AbstractEnclosure:
        """Sum over h of m_h r_h with a holder, the number of right fillings without; `[S]`."""
        band, arith, sizes = self.band, self.band.arith, self.band.sizes
        own = [band.term(one, c, (self.q, self.y, self.y), w) for c, w in enumerate(self.own)]
        base = [b.minimum(g) for b, g in zip(self.base, own, strict=True)] if self.holder else self.base
        total = band.last(one, self.q, self.y)
        for b, size in zip(base, sizes, strict=True):
            total = total + (b if size == 1 else b * arith.fraction(Fraction(size)))
        ends = [total - b + g for b, g in zip(base, own, strict=True)] if self.holder else [total]
        longest = ends[0]
        for end in ends[1:]:
            longest = longest.maximum(end)
        per_step = arith.fraction(Fraction(2 * band.options.cells - 1, 2)) / longest
        powers = self._powers(one, base, per_step)
        right: list[AbstractEnclosure] = []
        for h, end in enumerate(ends):
            degree = (end * per_step).integer_below(band.options.cells - 1)
            counts = [size - (self.holder and c == h) for c, size in enumerate(sizes)]
            part = _fillings(powers, counts, degree, arith)
            right.append(part * arith.fraction(Fraction(sizes[h])) if self.holder and sizes[h] > 1 else part)
        return reduce(lambda a, b: a + b, right)

    def _powers(self, one: Problem, base: list[AbstractEnclosure], per_step: AbstractEnclosure) -> list[Powers]:
        """Polynomials of the tokens at a position of each class."""
        cells, arith = self.band.options.cells, self.band.arith
        n_far = np.maximum(self.y - self.band.options.near + 1, 0)
        powers = []
        for c, b in enumerate(base):
            deficit = b.reshape(-1, 1) - self.band.term(one, c, self.near, self.weights[c])
            cell = (deficit * per_step.reshape(-1, 1)).integer_above(cells)
            counts = arith.histogram(np.where(self.t >= 0, cell, cells), cells, n_far)
            powers.append(Powers(counts.enclose(), arith))
        return powers


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


def _size(q: int, y: int, k: int) -> int:
    """Number of sequences with largest token y and last token q, q <= y."""
    upto, below = (y + 1) ** (k - 1), y ** (k - 1)
    return int(upto - below if q < y else upto)


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
        require_real(question)
        require_weighs(self, question)
        require_single_additive_head(weights)

    def bound(
        self, weights: Weights, question: Question, hints: Hints, arith: AbstractArithmetic, progress: Progress
    ) -> CountBound:
        """Given up, plus each stratum less its right sequences."""
        options = BandOptions.read(hints, weights.architecture.shape)
        k, v, first = question.task.k, question.task.d_vocab, options.first
        band = _Band(weights, options, arith)
        wrong: dict[tuple[int, int], Fraction | int] = {
            (q, y): _size(q, y, k) for y in range(first) for q in range(y + 1)
        }
        y = np.arange(first, v)
        wrong |= self._wrong(_Strata(band, y, y, holder=False), k)
        progress(1, 2)
        y = np.repeat(np.arange(first, v), np.arange(first, v))
        if y.size:
            q = np.concatenate([np.arange(target) for target in range(first, v)])
            wrong |= self._wrong(_Strata(band, q, y, holder=True), k)
        progress(2, 2)
        total = Fraction(sum(wrong.values()))
        return CountBound(wrong_at_most=total, wrong_at_least=None, decided=False, strata=wrong)

    @staticmethod
    def _wrong(strata: _Strata, k: int) -> dict[tuple[int, int], Fraction | int]:
        """By stratum, min(size, the sum over problems of the size times the share that is not right)."""
        zero = strata.band.arith.fraction(Fraction(0))
        share: list[Fraction | None] = [Fraction(0)] * strata.y.size
        scales = {y: (k - 1) * y ** max(k - 2, 0) if strata.holder else (y + 1) ** (k - 1) for y in strata.y.tolist()}
        for one in strata.band.margins.problems:
            exists = one.exists[strata.y - strata.band.options.first].tolist()
            for i, minus_right in enumerate((zero - strata.right(one)).upper()):
                so_far = share[i]
                # SOUND: a lost number gives the stratum up.
                if so_far is not None and exists[i]:
                    lost = minus_right is None
                    share[i] = None if lost else so_far + max(Fraction(0), 1 + minus_right / scales[int(strata.y[i])])
        wrong: dict[tuple[int, int], Fraction | int] = {}
        for q, y, part in zip(strata.q.tolist(), strata.y.tolist(), share, strict=True):
            wrong[q, y] = _size(q, y, k) * (Fraction(1) if part is None else min(Fraction(1), part))
        return wrong
