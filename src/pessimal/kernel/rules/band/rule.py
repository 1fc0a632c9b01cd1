r"""The band proof: count certainly right sequences of a narrow band of tokens on a coarse grid. Max-of-K.

Counted are fillings of the positions before the last by tokens near the target whose deficits stay below what the
target leaves room for. Hints say which targets, how many near tokens, how fine a grid, which positions are treated
alike. What is lost: far tokens are all as bad as the worst, deficits are rounded up, rivals are added up.

Theorem. Let $y \ge y_0$ and let $g_c(t)$ be a lower bound of the term of token t (`scores.py`, `margins.py`) at every
position of class c. Let $b_c \le 0$ be a lower bound of $g_c(t)$ for all far tokens $t \le y - G$ and of $g_c(y)$, and
$d_c(t) = b_c - g_c(t)$ the deficit of a near token. In stratum $(q, y)$, $q < y$, call one position that holds y the
holder, of class h. If the deficits of the other positions before the last, another y having none, sum to less than

$$ D_h = g_{K-1}(q) + g_h(y) + \textstyle\sum_{i \ne \mathrm{holder}} b_{c(i)}, $$

the sequence is right. With any step $s_h > 0$ and $n(t) = \lceil d(t)/s_h\rceil$, near tokens with positive deficits,
at least $r_h$ of the $y^{K-2}$ fillings of those positions by tokens below y are: the sum of the coefficients
$0 .. B_h$, $B_h < B$ and $B_hs_h < D_h$, of $\prod_c(N + \sum_{near}X^{n_c(t)})^{m_c - [c=h]}$, N far tokens and
$m_c$ positions of class c. Then at least this share of the stratum is right:

$$ \sum_h \frac{N_h}{(y+1)^{K-1} - y^{K-1}}\,\frac{r_h}{y^{K-2}}, \qquad
N_h = y^{m_{<h}}\,\bigl((y+1)^{m_h} - y^{m_h}\bigr)\,(y+1)^{m_{>h}}, $$

$m_{<h}$ positions in the classes before h. For $q = y$ there is no holder, every position is filled from 0 .. y,
$D = g_{K-1}(y) + \sum_i b_{c(i)}$, and the share is that of the right fillings among all.

*Proof.* Let j be the holder. The term of any other position before the last is at least $b_c$ less its deficit: by the
choice of $b_c$ for a far token and for y, by definition for a near one, whose deficit counts as 0 if it is negative. So
the sum of all terms is at least $D_h$ less the deficits, which proves the first claim. A filling whose n(t) sum to at
most $B_h$ has deficits of at most $B_hs_h < D_h$, and the coefficient of $X^n$ in the product counts the fillings
with sum n. Let J be the set of positions that hold y, h the first class that has one of them, and j one of these. Given
J, the positions outside J are filled freely below y; such a filling is a filling of all positions but j restricted to
fewer, each equally often, with no larger sum, so the share that is right is at least $r_h / y^{K-2}$. There are $N_h$
sequences whose first class is h, and $(y+1)^{K-1} - y^{K-1}$ in all. ∎

Either every class of holders has a step of its own, $s_h = D_h / (B - \tfrac12)$ and $B_h = B - 1$, or all share that
of the class with the r-th largest room $D_h$ (r a hint): then the product without the holder is one of the classes
before its own, one of those after it and a power of its own, and the first two serve all classes. B may depend on the
target. Far tokens are bounded by their least margin times their greatest weight, for all rivals at once, or by the
least over far tokens of margin times weight of the token, times the greatest weight of a position, for each group.

The numbering of the classes is a hint: the bound is best if those that attend most come first. The rivals of a target
are split into groups (`margins.py`); a wrong sequence is wrong against some group, so the shares that are not right add
up. Sequences whose largest token is below $y_0$ are given up. A holder without a positive D counts for nothing; a
stratum with a lost number is given up.

| symbol | name in the code | shape |
|---|---|---|
| $g_c(t)$ | `term`, `last_term` for $g_{K-1}(q)$ | strata, or strata by near tokens |
| $b_c$ | `base_of_far_tokens`, `base_of_each_far_token` | by class, strata |
| $d_c(t)$ | `deficits` | by class, strata by near tokens |
| $D_h$ | `room_left_by_first_holder` | by class, strata |
| $1/s_h$ | `cells_per_unit` | strata |
| $N + \sum X^{n_c(t)}$ | `polynomial` | strata by cells |
| $r_h$ | `right_fillings`, `right_fillings_with_one_step` | strata |
| $N_h / (((y+1)^{K-1} - y^{K-1})\,y^{K-2})$ | `share_of_first_class` | strata |

Soundness: for all weights and every value of the hints.
Cost: counted by running the rule over shapes.
Source: new.

Contents:
    BandInstance, BandRule — about one question, and about all.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from itertools import accumulate
from operator import add
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Uncounted, n_strata
from pessimal.kernel.counting.polynomials import Powers, low_sum, times
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.requirements import require_additive_max_of_k
from pessimal.kernel.rules.band.centred_rows import make_centred_rows, smallest
from pessimal.kernel.rules.band.margins import RivalGroup, make_margins
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.rules.band.scores import make_scores
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.spec.architecture import Architecture
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


class _BandTerms:
    """Lower bounds of the terms of a model's strata."""

    def __init__(self, weights: Weights, options: BandOptions, arith: AbstractArithmetic) -> None:
        self.options, self.arith = options, arith
        # By class, whether there is a holder, and target.
        self.shares: dict[tuple[int, bool, int], AbstractEnclosure] = {}
        rows = make_centred_rows(weights, arith)
        self.scores = make_scores(weights, rows, options, arith)
        self.near_pairs = options.near_pairs
        self.margins = make_margins(weights, rows, options, self.near_pairs, arith)
        self.sizes = [len(members) for members in options.members]
        far = [group.far for group in self.margins.groups if group.far is not None]
        self._low = self._lowest_so_far([group.near for group in self.margins.groups])
        self._low_far = self._lowest_so_far(far) if far else None

    def _lowest_so_far(self, tables: list[AbstractEnclosure]) -> AbstractEnclosure:
        """Least X + Y over all groups, all classes before the last position and all rows so far, `[rows, targets]`."""
        return smallest([table[: len(self.sizes)].min(0) for table in tables]).cumulative_min(0)

    def weights(self, c: int, q: np.ndarray, t: np.ndarray) -> list[AbstractEnclosure]:
        """Least and greatest weight of near tokens at positions of class c; one number where they are the same."""
        token = self.scores.band[self.scores.pair_index[q, t - self.options.first_row]]
        pinned = c == len(self.sizes) or self.sizes[c] == 1
        ends = [self.scores.least] if pinned and self.options.position_scores == "exact" else None
        return [token * end[c, q] for end in ends or [self.scores.least, self.scores.greatest]]

    def term(
        self, group: RivalGroup, c: int, at: tuple[np.ndarray, np.ndarray, np.ndarray], ends: list[AbstractEnclosure]
    ) -> AbstractEnclosure:
        """g_c(t) at (q, t, y), from its least and greatest weight."""
        q, t, y = at
        row, target = t - self.options.first_row, y - self.options.first
        if group.joint is not None and c < len(self.sizes):
            margin = group.joint[c, self.near_pairs[q, row], y - t]
        else:
            margin = group.near[c, row, target] + group.direct_near[q, target]
        if group.far is not None and group.direct_far is not None:
            margin = margin.minimum(group.far[c, row, target] + group.direct_far[q, target])
        return smallest([margin * weight for weight in ends])

    def _least_margin(self, q: np.ndarray, y: np.ndarray, rows: list[AbstractEnclosure | None]) -> AbstractEnclosure:
        """The smallest of 0 and of lower bounds of X + Y over near and far rivals, D added."""
        target, m = y - self.options.first, self.margins
        margins = [self.arith.fraction(Fraction(0))]
        for row, direct in zip(rows, [m.lowest, m.groups[0].direct_far], strict=True):
            if row is not None and direct is not None:
                margins.append(row + direct[q, target])
        return smallest(margins)

    def base_of_far_tokens(self, q: np.ndarray, y: np.ndarray) -> list[AbstractEnclosure]:
        """b_c over all rivals, by class; 0 where no token is far."""
        o, m, classes = self.options, self.margins, range(len(self.sizes))
        if self.scores.greatest_far_weight is None:
            return [self.arith.integers(np.zeros(q.shape, dtype=np.int64)).enclose() for _ in classes]
        target, row = y - o.first, np.maximum(y - o.near - o.first_row, 0)
        rows = []
        for low, below in ((self._low, m.below), (self._low_far, m.below_far)):
            least = None if low is None else low[row, target]
            rows.append(least if least is None or below is None else least.minimum(below[target]))
        weight = self.scores.greatest_far_weight[q, np.maximum(y - o.first_far, 0)]
        worst = (self._least_margin(q, y, rows) * weight).where(y >= o.near, 0)
        return [worst * self.scores.greatest[c, q] for c in classes]

    def base_of_each_far_token(self, group: RivalGroup, q: np.ndarray, y: np.ndarray) -> list[AbstractEnclosure]:
        """b_c over these rivals, by class: the least term, or 0, with the values of the worst class of positions."""
        n_far, classes = self.options.n_far, range(len(self.sizes))
        if not n_far:
            return [self.arith.integers(np.zeros(q.shape, dtype=np.int64)).enclose() for _ in classes]
        margin = self._far_margins(group.near, group.direct_near)
        if group.far is not None and group.direct_far is not None:
            margin = margin.minimum(self._far_margins(group.far, group.direct_far))
        weight = self.scores.band[self.scores.pair_index[:, :n_far, np.newaxis]]
        least = (margin * weight).cumulative_min(1)
        worst = least[q, np.maximum(y - self.options.near, 0), y - self.options.first].where(y >= self.options.near, 0)
        worst = worst.minimum(self.arith.fraction(Fraction(0)))
        return [worst * self.scores.greatest[c, q] for c in classes]

    def _far_margins(self, values: AbstractEnclosure, direct: AbstractEnclosure) -> AbstractEnclosure:
        """Least margins over the positions before the last, `[d_vocab, n_far, targets]`."""
        low = values[: len(self.sizes), : self.options.n_far].min(0)
        return low + direct.reshape(direct.shape[0], 1, direct.shape[1])

    def last_below_rows(self, q: np.ndarray, y: np.ndarray) -> AbstractEnclosure | None:
        """g_{K-1}(q) of the queries below the first row, over all rivals; None if there are none."""
        o, m = self.options, self.margins
        if m.below is None or self.scores.below_rows is None:
            return None
        target = y - o.first
        margin = self._least_margin(q, y, [m.below[target], None if m.below_far is None else m.below_far[target]])
        weight = self.scores.below_rows[np.minimum(q, o.first_row - 1)]
        return margin * (weight * self.scores.greatest[len(self.sizes), q])


@dataclass(frozen=True)
class _StrataBatch:
    """Strata (q, y), all with q < y or all with q = y, and what every group of rivals needs of them.

    Attributes:
        terms: lower bounds of the terms.
        q, y: last token and target, `[S]`.
        holder: q < y.
        base: b_c over all rivals, by class.
        near_weights, target_weights, last_weights: least and greatest weights of the near tokens, of y, by class, and
            of the last token.
        last_below_rows: g_{K-1}(q) of the queries below the first row, or None.
    """

    terms: _BandTerms
    q: Int[np.ndarray, " S"]
    y: Int[np.ndarray, " S"]
    holder: bool
    base: list[AbstractEnclosure]
    near_weights: list[list[AbstractEnclosure]]
    target_weights: list[list[AbstractEnclosure]]
    last_weights: list[AbstractEnclosure]
    last_below_rows: AbstractEnclosure | None

    @staticmethod
    def make(terms: _BandTerms, q: Int[np.ndarray, " S"], y: Int[np.ndarray, " S"], *, holder: bool) -> "_StrataBatch":
        """Bounds that do not depend on the rival."""
        o, n = terms.options, len(terms.sizes)
        t = np.maximum(y[:, np.newaxis] - np.arange(holder, o.near), o.first_row)
        return _StrataBatch(
            terms,
            q,
            y,
            holder,
            base=terms.base_of_far_tokens(q, y) if o.far == "worst" else [],
            near_weights=[terms.weights(c, q[:, np.newaxis], t) for c in range(n)],
            target_weights=[terms.weights(c, q, y) for c in range(n)] if holder else [],
            last_weights=terms.weights(n, q, np.maximum(q, o.first_row)),
            last_below_rows=terms.last_below_rows(q, y),
        )

    def among(self, kept: Int[np.ndarray, " n"]) -> "_StrataBatch":
        """Some of the strata."""
        return replace(
            self,
            q=self.q[kept],
            y=self.y[kept],
            base=[b[kept] for b in self.base],
            near_weights=[[end[kept] for end in ends] for ends in self.near_weights],
            target_weights=[[end[kept] for end in ends] for ends in self.target_weights],
            last_weights=[end[kept] for end in self.last_weights],
            last_below_rows=None if self.last_below_rows is None else self.last_below_rows[kept],
        )

    def right_share(self, group: RivalGroup) -> AbstractEnclosure:
        """Lower bound of the share of sequences that are right against these rivals, `[S]`."""
        of_target = [self.terms.term(group, c, (self.q, self.y, self.y), w) for c, w in enumerate(self.target_weights)]
        base = self.base or self.terms.base_of_each_far_token(group, self.q, self.y)
        if self.holder:
            base = [b.minimum(g) for b, g in zip(base, of_target, strict=True)]
        rooms = self.room_left_by_first_holder(group, base, of_target)
        deficits = self.deficits(group, base)
        if self.holder and self.terms.options.common_step is not None:
            fillings = self.right_fillings_with_one_step(rooms, deficits)
        else:
            fillings = [self.right_fillings(h, room, deficits) for h, room in enumerate(rooms)]
        return reduce(add, [r * self.share_of_first_class(h) for h, r in enumerate(fillings)])

    def room_left_by_first_holder(
        self, group: RivalGroup, base: list[AbstractEnclosure], of_target: list[AbstractEnclosure]
    ) -> list[AbstractEnclosure]:
        """D_h by the holder's class h; the only D where there is no holder. `of_target` are the g_h(y)."""
        total = self.last_term(group)
        for b, size in zip(base, self.terms.sizes, strict=True):
            total = total + (b if size == 1 else b * size)
        return [total - b + g for b, g in zip(base, of_target, strict=True)] if self.holder else [total]

    def last_term(self, group: RivalGroup) -> AbstractEnclosure:
        """The term g_{K-1}(q) of the last token."""
        row, last = self.terms.options.first_row, len(self.terms.sizes)
        term = self.terms.term(group, last, (self.q, np.maximum(self.q, row), self.y), self.last_weights)
        if self.last_below_rows is None:
            return term
        both = self.terms.arith.stack([term, self.last_below_rows], axis=1)
        return both[np.arange(self.q.size), np.where(self.q < row, 1, 0)]

    @property
    def near_tokens(self) -> Int[np.ndarray, "S near"]:
        """The near tokens below y, or up to y without a holder; negative where there is none."""
        return self.y[:, np.newaxis] - np.arange(self.holder, self.terms.options.near)

    def deficits(self, group: RivalGroup, base: list[AbstractEnclosure]) -> list[AbstractEnclosure]:
        """d_c of the near tokens, by class."""
        tokens = np.maximum(self.near_tokens, self.terms.options.first_row)
        at = (self.q[:, np.newaxis], tokens, self.y[:, np.newaxis])
        return [b.reshape(-1, 1) - self.terms.term(group, c, at, self.near_weights[c]) for c, b in enumerate(base)]

    def cells_per_unit(self, room: AbstractEnclosure) -> AbstractEnclosure:
        """1 / s_h = (B - 1/2) / D_h."""
        return Fraction(2 * self.terms.options.cells - 1, 2) / room

    def right_fillings(self, h: int, room: AbstractEnclosure, deficits: list[AbstractEnclosure]) -> AbstractEnclosure:
        """Lower bound of r_h, the fillings that are right when h is the holder's class."""
        per_unit = self.cells_per_unit(room)
        # SOUND: a holder without a positive D has no step, and no degree.
        degree = (room * per_unit).integer_below(self.terms.options.cells - 1)
        counts = [size - (self.holder and c == h) for c, size in enumerate(self.terms.sizes)]
        arith = self.terms.arith
        powers = [(Powers(self.polynomial(d, per_unit), arith), n) for d, n in zip(deficits, counts, strict=True) if n]
        return _low_coefficients(powers, degree, arith)

    def right_fillings_with_one_step(
        self, rooms: list[AbstractEnclosure], deficits: list[AbstractEnclosure]
    ) -> list[AbstractEnclosure]:
        """Lower bounds of all r_h: what stands before a class and what stands after it is multiplied once for all."""
        arith, sizes = self.terms.arith, self.terms.sizes
        rank = min(self.terms.options.common_step or 0, len(rooms) - 1)
        per_unit = self.cells_per_unit(arith.stack(rooms, axis=1).sort()[:, len(rooms) - 1 - rank])
        powers = [Powers(self.polynomial(d, per_unit), arith) for d in deficits]
        whole = [power[n] for power, n in zip(powers, sizes, strict=True)]
        before = list(accumulate(whole[:-1], lambda a, b: times(a, b, arith)))
        after = list(accumulate(whole[:0:-1], lambda a, b: times(a, b, arith)))[::-1]
        found = []
        for h, room in enumerate(rooms):
            # SOUND: without a positive D there is no degree, and without a step none at all.
            degree = (room * per_unit).integer_below(self.terms.options.cells - 1)
            factors = [(Powers(product, arith), 1) for product in before[h - 1 : h]]
            factors += [(powers[h], sizes[h] - 1)] if sizes[h] > 1 else []
            factors += [(Powers(product, arith), 1) for product in after[h : h + 1]]
            found.append(_low_coefficients(factors, degree, arith))
        return found

    def polynomial(self, deficit: AbstractEnclosure, per_unit: AbstractEnclosure) -> AbstractEnclosure:
        """N + sum of X^n(t) over the near tokens, for a position whose deficits these are."""
        o = self.terms.options
        cell = (deficit * per_unit.reshape(-1, 1)).integer_above(self.terms.options.cells)
        n_far = np.maximum(self.y - o.near + 1, 0)
        return self.terms.arith.histogram(
            np.where(self.near_tokens >= 0, cell, self.terms.options.cells), self.terms.options.cells, n_far
        ).enclose()

    def share_of_first_class(self, h: int) -> AbstractEnclosure:
        """N_h as a share of the stratum, over y^{K-2}; without a holder, one over the size of the stratum."""
        sizes, k_1 = self.terms.sizes, sum(self.terms.sizes)
        before, after = sum(sizes[:h]), sum(sizes[h + 1 :])
        known, targets = self.terms.shares, np.unique(self.y).tolist()
        for y in targets:
            # Integers of K times the bits of a token: once for all groups of rivals.
            if (h, self.holder, y) in known:
                continue
            share = Fraction(1, (y + 1) ** k_1)
            if self.holder:
                first = y**before * ((y + 1) ** sizes[h] - y ** sizes[h]) * (y + 1) ** after
                share = Fraction(first, ((y + 1) ** k_1 - y**k_1) * y ** (k_1 - 1))
            known[h, self.holder, y] = self.terms.arith.fraction(share)
        table = self.terms.arith.stack([known[h, self.holder, y] for y in targets])
        return table[np.searchsorted(targets, self.y)]


def _low_coefficients(
    powers: list[tuple[Powers, int]], degree: Int[np.ndarray, " S"], arith: AbstractArithmetic
) -> AbstractEnclosure:
    """Coefficients 0 .. degree of a product of polynomials to some powers, summed."""
    if not powers:
        return arith.integers((degree >= 0).astype(np.int64)).enclose()
    last, n = powers[-1]
    if len(powers) == 1:
        return low_sum(last[n - n // 2], last[n // 2] if n > 1 else None, degree)
    product = powers[0][0][powers[0][1]]
    for middle, count in powers[1:-1]:
        product = times(product, middle[count], arith)
    return low_sum(product, last[n], degree)


def _size(q: int, y: int, k: int) -> int:
    """Number of sequences with largest token y and last token q, q <= y."""
    upto, below = (y + 1) ** (k - 1), y ** (k - 1)
    return int(upto - below if q < y else upto)


@dataclass(frozen=True, eq=False)
class BandInstance(AbstractInstance):
    """The theorem about one question.

    Attributes:
        options: what the proof looks at.
    """

    options: BandOptions

    @property
    def length(self) -> Hashable:
        """All options but the directions."""
        return self.options.numbers

    def uncounted(self) -> Uncounted:
        """The numbers of the tables and of the hints."""
        s, options = self.architecture.shape, self.options
        rows, columns = s.d_vocab - options.first_row, s.d_vocab_out - options.rivals_from
        pairs = s.d_vocab * rows
        if options.far == "worst":
            pairs = min(pairs, n_strata(s.d_vocab) + rows * options.near)
        tables = pairs + rows * s.d_vocab_out + s.d_vocab * columns + s.k * (s.d_vocab + columns)
        return Uncounted(tables, s.k - 1 + 2 * s.d_model)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """Strata given up, plus each other stratum less its right sequences."""
        k, v, first = self.question.task.k, self.question.task.d_vocab, self.options.first
        terms = _BandTerms(weights, self.options, arith)
        wrong: dict[tuple[int, int], Fraction | int] = {
            (q, y): _size(q, y, k) for y in range(first) for q in range(y + 1)
        }
        y = np.arange(first, v)
        wrong |= self._wrong(_StrataBatch.make(terms, y, y, holder=False), k)
        progress(1, 2)
        y = np.repeat(np.arange(first, v), np.arange(first, v))
        if y.size:
            q = np.concatenate([np.arange(target) for target in range(first, v)])
            wrong |= self._wrong(_StrataBatch.make(terms, q, y, holder=True), k)
        progress(2, 2)
        return CountBound.of(wrong, decided=False)

    @staticmethod
    def _wrong(batch: _StrataBatch, k: int) -> dict[tuple[int, int], Fraction | int]:
        """By stratum, min(size, the sum over groups of rivals of the size times the share that is not right)."""
        share: list[Fraction | None] = [Fraction(0)] * batch.y.size
        for group in batch.terms.margins.groups:
            kept = np.flatnonzero(group.exists[batch.y - batch.terms.options.first])
            if not kept.size:
                continue
            minus_right = (-batch.among(kept).right_share(group)).upper()
            for i, minus_share in zip(kept.tolist(), minus_right, strict=True):
                so_far = share[i]
                # SOUND: a lost number gives the stratum up.
                if so_far is not None:
                    share[i] = None if minus_share is None else so_far + max(Fraction(0), 1 + minus_share)
        wrong: dict[tuple[int, int], Fraction | int] = {}
        for q, y, part in zip(batch.q.tolist(), batch.y.tolist(), share, strict=True):
            wrong[q, y] = _size(q, y, k) * (Fraction(1) if part is None else min(Fraction(1), part))
        return wrong


class BandRule(AbstractRule):
    """Counting in a band of tokens below each target."""

    name: ClassVar[str] = "band"

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Max-of-K, one head, additive scores, no final biases, at least two positions."""
        require_additive_max_of_k(weights, question)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> BandInstance:
        """Read the options, the classes of positions and the two directions."""
        return BandInstance(architecture, question, BandOptions.read(hints, architecture.shape))
