r"""The band proof: count certainly right sequences of a narrow band of tokens on a coarse grid. Max-of-K.

Theorem. Let $y \ge y_0$ and let $g_c(t)$ be a lower bound of the term of token t (`scores.py`, `values.py`) at every
position of class c. Let $b_c \le 0$ be a lower bound of $g_c(t)$ for all far tokens $t \le y - G$ and of $g_c(y)$, and
$d_c(t) = b_c - g_c(t)$ the deficit of a near token. In stratum $(q, y)$, $q < y$, call one position that holds y the
holder, of class h. If the deficits of the other positions before the last, another y having none, sum to less than

$$ D_h = g_{K-1}(q) + g_h(y) + \textstyle\sum_{i \ne \mathrm{holder}} b_{c(i)}, $$

the sequence is right. With step $s_h = D_h / (B - \tfrac12)$ and $n(t) = \lceil d(t)/s_h\rceil$, near tokens with
positive deficits, at least $r_h$ of the $y^{K-2}$ fillings of those positions by tokens below y are: the sum of the
coefficients $0 .. B - 1$ of $\prod_c(N + \sum_{near}X^{n_c(t)})^{m_c - [c=h]}$, N far tokens and $m_c$ positions of
class c. Then at least this share of the stratum is right:

$$ \sum_h \frac{N_h}{(y+1)^{K-1} - y^{K-1}}\,\frac{r_h}{y^{K-2}}, \qquad
N_h = y^{m_{<h}}\,\bigl((y+1)^{m_h} - y^{m_h}\bigr)\,(y+1)^{m_{>h}}, $$

$m_{<h}$ positions in the classes before h. *Proof.* Let J be the set of positions that hold y and h the first class
that has one of them, j. Given J, the positions outside J are filled freely below y; such a filling is a filling of all
positions but j restricted to fewer, with no larger sum, so the share that is right is at least $r_h / y^{K-2}$. There
are $N_h$ sequences whose first class is h. The numbering of the classes is a hint: the bound is best if those that
attend most come first. For $q = y$ there is no holder, every position is filled from 0 .. y and
$D = g_{K-1}(y) + \sum_i b_{c(i)}$.

The rivals of a target are split into problems (`values.py`); the shares that are not right add up. Sequences whose
largest token is below $y_0$ are given up. A holder without a positive D counts for nothing; a stratum with a lost
number is given up.

Soundness: for all weights and every value of the hints.
Cost: counted by running the rule over shapes.
Source: new; specification `short-proofs.md`, with a grid in place of the moment.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Cost, counted_cost, n_strata
from pessimal.kernel.counting.polynomials import Powers, low_sum, times
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.requirements import require_additive_max_of_k
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.rules.band.parts import make_parts
from pessimal.kernel.rules.band.scores import make_scores
from pessimal.kernel.rules.band.values import Problem, make_margins
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress, no_progress
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

    def unseen(self, q: np.ndarray, y: np.ndarray) -> AbstractEnclosure | None:
        """g_{K-1}(q) of the queries below the first row, over all rivals; None if there are none."""
        o, m = self.options, self.margins
        if m.below is None or self.scores.unseen is None:
            return None
        target = y - o.first
        margin = self._below(q, y, [m.below[target], None if m.below_far is None else m.below_far[target]])
        return margin * (self.scores.unseen[np.minimum(q, o.row - 1)] * self.scores.greatest[len(self.sizes), q])


def _smallest(parts: list[AbstractEnclosure]) -> AbstractEnclosure:
    total = parts[0]
    for part in parts[1:]:
        total = total.minimum(part)
    return total


@dataclass(frozen=True)
class _Strata:
    """Strata (q, y), all with q < y or all with q = y, and what every problem needs of them.

    Attributes:
        q, y: last token and target, `[S]`.
        holder: q < y.
        base: b_c over all rivals, by class.
        weights, own, last: least and greatest weights of the near tokens, of y and of the last token, by class.
        unseen: g_{K-1}(q) of the queries below the first row, or None.
    """

    band: _Band
    q: Int[np.ndarray, " S"]
    y: Int[np.ndarray, " S"]
    holder: bool
    base: list[AbstractEnclosure]
    weights: list[list[AbstractEnclosure]]
    own: list[list[AbstractEnclosure]]
    last: list[AbstractEnclosure]
    unseen: AbstractEnclosure | None

    @staticmethod
    def make(band: _Band, q: Int[np.ndarray, " S"], y: Int[np.ndarray, " S"], *, holder: bool) -> "_Strata":
        """Bounds that do not depend on the rival."""
        o, n = band.options, len(band.sizes)
        t = np.maximum(y[:, np.newaxis] - np.arange(holder, o.near), o.row)
        return _Strata(
            band,
            q,
            y,
            holder,
            base=band.base(q, y),
            weights=[band.weights(c, q[:, np.newaxis], t) for c in range(n)],
            own=[band.weights(c, q, y) for c in range(n)] if holder else [],
            last=band.weights(n, q, np.maximum(q, o.row)),
            unseen=band.unseen(q, y),
        )

    def among(self, kept: Int[np.ndarray, " n"]) -> "_Strata":
        """Some of them."""
        return replace(
            self,
            q=self.q[kept],
            y=self.y[kept],
            base=[one[kept] for one in self.base],
            weights=[[end[kept] for end in ends] for ends in self.weights],
            own=[[end[kept] for end in ends] for ends in self.own],
            last=[end[kept] for end in self.last],
            unseen=None if self.unseen is None else self.unseen[kept],
        )

    def right(self, one: Problem) -> AbstractEnclosure:
        """Lower bound of the share of sequences that are right against these rivals, `[S]`."""
        band, arith, sizes = self.band, self.band.arith, self.band.sizes
        own = [band.term(one, c, (self.q, self.y, self.y), w) for c, w in enumerate(self.own)]
        base = [b.minimum(g) for b, g in zip(self.base, own, strict=True)] if self.holder else self.base
        total = self._last(one)
        for b, size in zip(base, sizes, strict=True):
            total = total + (b if size == 1 else b * arith.fraction(Fraction(size)))
        ends = [total - b + g for b, g in zip(base, own, strict=True)] if self.holder else [total]
        t, deficits = self._deficits(one, base)
        cells, right = band.options.cells, []
        for h, end in enumerate(ends):
            per_step = arith.fraction(Fraction(2 * cells - 1, 2)) / end
            # SOUND: a holder without a positive D has no step, and no degree.
            degree = (end * per_step).integer_below(cells - 1)
            counts = [size - (self.holder and c == h) for c, size in enumerate(sizes)]
            powers = [(self._tokens(t, deficit, per_step), n) for deficit, n in zip(deficits, counts, strict=True) if n]
            right.append(_fillings(powers, degree, arith) * self._share(h))
        return reduce(lambda a, b: a + b, right)

    def _last(self, one: Problem) -> AbstractEnclosure:
        """g_{K-1}(q)."""
        row = self.band.options.row
        own = self.band.term(one, len(self.band.sizes), (self.q, np.maximum(self.q, row), self.y), self.last)
        if self.unseen is None:
            return own
        return self.band.arith.stack([own, self.unseen], axis=1)[np.arange(self.q.size), np.where(self.q < row, 1, 0)]

    def _deficits(
        self, one: Problem, base: list[AbstractEnclosure]
    ) -> tuple[Int[np.ndarray, "S near"], list[AbstractEnclosure]]:
        """Near tokens, negative where there is none, and d_c of each by class."""
        o = self.band.options
        t = self.y[:, np.newaxis] - np.arange(self.holder, o.near)
        near = (self.q[:, np.newaxis], np.maximum(t, o.row), self.y[:, np.newaxis])
        return t, [b.reshape(-1, 1) - self.band.term(one, c, near, self.weights[c]) for c, b in enumerate(base)]

    def _tokens(
        self, t: Int[np.ndarray, "S near"], deficit: AbstractEnclosure, per_step: AbstractEnclosure
    ) -> AbstractEnclosure:
        """Polynomial of the tokens at a position."""
        cells = self.band.options.cells
        cell = (deficit * per_step.reshape(-1, 1)).integer_above(cells)
        n_far = np.maximum(self.y - self.band.options.near + 1, 0)
        return self.band.arith.histogram(np.where(t >= 0, cell, cells), cells, n_far).enclose()

    def _share(self, h: int) -> AbstractEnclosure:
        """Share of a stratum that one filling stands for when the first class that holds y is h, `[S]`."""
        sizes, k_1 = self.band.sizes, sum(self.band.sizes)
        before, after = sum(sizes[:h]), sum(sizes[h + 1 :])
        shares = {}
        for y in np.unique(self.y).tolist():
            if self.holder:
                first = y**before * ((y + 1) ** sizes[h] - y ** sizes[h]) * (y + 1) ** after
                shares[y] = Fraction(first, ((y + 1) ** k_1 - y**k_1) * y ** (k_1 - 1))
            else:
                shares[y] = Fraction(1, (y + 1) ** k_1)
        table = self.band.arith.stack([self.band.arith.fraction(one) for one in shares.values()])
        return table[np.searchsorted(list(shares), self.y)]


def _fillings(
    chosen: list[tuple[AbstractEnclosure, int]], degree: Int[np.ndarray, " S"], arith: AbstractArithmetic
) -> AbstractEnclosure:
    """Coefficients 0 .. degree of a product of polynomials to some powers, summed."""
    if not chosen:
        return arith.integers((degree >= 0).astype(np.int64)).enclose()
    powers = [(Powers(one, arith), n) for one, n in chosen]
    one, n = powers[-1]
    if len(powers) == 1:
        return low_sum(one[n - n // 2], one[n // 2] if n > 1 else None, degree)
    product = powers[0][0][powers[0][1]]
    for other, count in powers[1:-1]:
        product = times(product, other[count], arith)
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
        # W_Q W_K^T as it is, exact and enclosed.
        entries = 8 * s.d_model**2 + 4 * n_strata(s.d_vocab) * (2 * options.near + (classes + 6) * options.cells)
        entries += 4 * (classes + 1) * rows * s.d_vocab_out + 4 * pairs * (s.d_head + 2)
        entries += (options.rival == "joint") * pairs * (4 * columns + 2 * options.near * (columns + 2 * classes))
        return counted_cost(
            architecture,
            lambda weights, arith: self.bound(weights, question, hints, arith, no_progress),
            dims=pairs + rows * s.d_vocab_out + s.d_vocab * columns + s.k * (s.d_vocab + columns),
            hints=s.k - 1 + 2 * s.d_model,
            entries=entries,
        )

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Max-of-K, one head, additive scores, no final biases, at least two positions."""
        require_additive_max_of_k(weights, question)

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
        wrong |= self._wrong(_Strata.make(band, y, y, holder=False), k)
        progress(1, 2)
        y = np.repeat(np.arange(first, v), np.arange(first, v))
        if y.size:
            q = np.concatenate([np.arange(target) for target in range(first, v)])
            wrong |= self._wrong(_Strata.make(band, q, y, holder=True), k)
        progress(2, 2)
        total = Fraction(sum(wrong.values()))
        return CountBound(wrong_at_most=total, wrong_at_least=None, decided=False, strata=wrong)

    @staticmethod
    def _wrong(strata: _Strata, k: int) -> dict[tuple[int, int], Fraction | int]:
        """By stratum, min(size, the sum over problems of the size times the share that is not right)."""
        zero = strata.band.arith.fraction(Fraction(0))
        share: list[Fraction | None] = [Fraction(0)] * strata.y.size
        for one in strata.band.margins.problems:
            kept = np.flatnonzero(one.exists[strata.y - strata.band.options.first])
            if not kept.size:
                continue
            for i, minus_right in zip(kept.tolist(), (zero - strata.among(kept).right(one)).upper(), strict=True):
                so_far = share[i]
                # SOUND: a lost number gives the stratum up.
                if so_far is not None:
                    share[i] = None if minus_right is None else so_far + max(Fraction(0), 1 + minus_right)
        wrong: dict[tuple[int, int], Fraction | int] = {}
        for q, y, part in zip(strata.q.tolist(), strata.y.tolist(), share, strict=True):
            wrong[q, y] = _size(q, y, k) * (Fraction(1) if part is None else min(Fraction(1), part))
        return wrong
