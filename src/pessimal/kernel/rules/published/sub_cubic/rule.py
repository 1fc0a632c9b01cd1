r"""The sub-cubic proofs: direct path x attention averaging x QK error, with hinted gaps.

Theorem. Class (q, m, n): query q <= m, largest token m, n positions that hold other tokens (the last one among them
if q < m), all of them at most m - g for the hinted gap g >= 1. For a sequence of the class and a rival x != m,

$$ \mathrm{logit}_x - \mathrm{logit}_m \le b_q + L_x + \alpha R_x + (1 - \alpha)\,w,\quad
L_x = \mu_x - \mu_m + \max_i(\mathrm{PVOU}[i,x] - \mathrm{PVOU}[i,m]),\quad
w = \max_{k \le m-g}\mathrm{rng}(\mathrm{EVOU}[k]), $$

with $\alpha$ the attention to m. The right side is largest over x at $b_q + G_m(\alpha) + (1-\alpha)w$, convex in
$\alpha$, hence at most its value at one of the two ends of attention (attention.py), with G bounded by lines
(averaging.py), $\mu, b$ by direct_path.py and the ends by qk_path.py. If that is negative, every sequence of the class
is right: $\binom{K-1}{j} c^j$ of them, j = n less one if q < m, for the c = m - g + 1 tokens 0 .. m - g.

*Proof.* The positions' part is a convex combination of its values, the other tokens' part is $(1-\alpha)$ times a
convex combination of $\mathrm{EVOU}[k,x] - \mathrm{EVOU}[k,m] \le \mathrm{rng}(\mathrm{EVOU}[k])$, and the direct path
is bounded by $b_q + \mu_x - \mu_m$. Classes are disjoint. n = 0 is $\alpha = 1$, q = m. ∎

Options: `count` = fixed (c as above) or published (c = m - g); `gaps` = query (w from the class's own gap) or target
(w from the smallest gap of the same m and n, as published); `cross` = exact or bounded (splits.py).

Soundness: for all weights and every value of the hints; a lost number certifies nothing.
Cost: counted over shapes, O(v^2 K) besides the parts.
Source: Gross et al. 2024.

Contents:
    SubCubicInstance, SubCubicRule — about one question, and about all.
    target_tables, class_bound, sequences — L and R, the bound of every class, and how many sequences it has.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from math import comb, prod
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Uncounted, n_strata
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.requirements import require_additive_max_of_k
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.rules.published.sub_cubic.attention import Pairs, odds
from pessimal.kernel.rules.published.sub_cubic.averaging import (
    AbstractAveraging,
    Lines,
    read_averaging,
    read_n_points,
)
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS, DirectBound, DirectPath
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, model_paths, spread
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS, QKPath
from pessimal.kernel.rules.published.sub_cubic.splits import CROSS
from pessimal.kernel.strata.strata import strata_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights

COUNTS = ("fixed", "published")
GAPS = ("query", "target")


def target_tables(paths: Paths, direct: DirectBound) -> tuple[AbstractEnclosure, AbstractEnclosure]:
    """L and R of every target m over its rivals, `[d_vocab, d_vocab_out - 1]`, in logits."""
    v, o = paths.value.shape
    m = np.arange(v)
    rivals = np.array([[x for x in range(o) if x != y] for y in m])
    right = paths.value[m[:, np.newaxis], rivals] - paths.value[m, m].reshape(v, 1)
    positions = paths.position_value.shape[0]
    of_target = paths.position_value[:, m].reshape(positions, v, 1)
    fixed = (paths.position_value[:, rivals] - of_target).max(0)
    if direct.anchor is not None:
        fixed = fixed + (direct.anchor[rivals] - direct.anchor[m].reshape(v, 1))
    return fixed, right


def class_bound(
    lines: Lines, ends: tuple[AbstractEnclosure, AbstractEnclosure], width: AbstractEnclosure, m: np.ndarray
) -> AbstractEnclosure:
    """The larger, over the two ends, of max_j(c_j + s_j alpha) + (1 - alpha) w, `[pairs]`."""
    bounds = []
    for alpha in ends:
        each = lines.intercept[m] + lines.slope[m] * alpha.reshape(-1, 1)
        bounds.append(each.max(1) + (width - width * alpha))
    return bounds[0].maximum(bounds[1])


def sequences(k: int, n: int, tokens: np.ndarray, same: np.ndarray) -> np.ndarray:
    """C(K-1, j) c**j of every class, Python integers; `tokens` = c, `same` = (q == m)."""
    counts_of_classes = np.zeros(tokens.shape, dtype=object)
    for is_same in (True, False):
        j = n if is_same else n - 1
        values, index = np.unique(tokens[same == is_same], return_inverse=True)
        choices = comb(k - 1, j)
        counts = np.array([choices * c**j for c in values.tolist()], dtype=object)
        counts_of_classes[same == is_same] = counts[index.reshape(-1)]
    return counts_of_classes


@dataclass(frozen=True, eq=False)
class SubCubicInstance(AbstractInstance):
    """The theorem about one question.

    Attributes:
        direct, error, averaging: how the direct path, the QK circuit and the averages are bounded.
        cross: how the cross terms of a split are.
        count: which tokens a class counts, one of `COUNTS`.
        gaps: whose gap bounds the spread of the values, one of `GAPS`.
        gap: g of every class, `[k - 1, pairs q <= m]`.
        hints: the directions of the parts.
    """

    direct: DirectPath
    error: QKPath
    averaging: AbstractAveraging
    cross: str
    count: str
    gaps: str
    gap: Int[np.ndarray, "n pairs"]
    hints: Hints

    @property
    def length(self) -> Hashable:
        """Which parts are composed, and how many points."""
        return self.direct.name, self.error.name, self.averaging.name, self.averaging.n_points, self.cross, self.gaps

    def uncounted(self) -> Uncounted:
        """The numbers of the tables and of the hints."""
        s = self.architecture.shape
        floats = {**self.direct.arrays(s), **self.error.arrays(s)}.values()
        n_hints = sum(map(prod, floats)) + self.gap.size + self.averaging.n_points * s.d_vocab
        tables = self.direct.tables(s) + self.error.tables(s) + s.d_vocab + s.d_vocab**2
        return Uncounted(tables, n_hints)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """Total less the certified classes."""
        task, hints = self.question.task, self.hints
        k, v = task.k, task.d_vocab
        paths = model_paths(weights, arith)
        direct = self.direct.bound(paths, hints, arith)
        pairs = Pairs.of(self.error.bound(paths, hints, arith, self.cross), paths.scale)
        rho = odds(paths, arith)
        fixed, right = target_tables(paths, direct)
        lines = self.averaging.lines(fixed, right, arith)
        widest = spread(paths.value, 1).cumulative_max(0)
        zero = arith.fraction(Fraction(0))
        same = pairs.q == pairs.m
        certified = np.zeros(same.size, dtype=object)
        pure = zero.greater((fixed + right).max(1) + direct.slack[np.arange(v)])
        certified[same] = pure.astype(int).tolist()
        slack = direct.slack[pairs.q]
        for n in range(1, k):
            highest, allowed = _highest_tokens(self.gap[n - 1], pairs, same)
            ends = pairs.attention(highest, rho[n - 1])
            width_at = highest if self.gaps == "query" else _highest_of_target(highest, allowed, pairs.m)
            bound = class_bound(lines, ends, widest[width_at], pairs.m) + slack
            good = allowed & lines.hold_at(ends[0], pairs.m) & lines.hold_at(ends[1], pairs.m) & zero.greater(bound)
            tokens = highest + (1 if self.count == "fixed" else 0)
            certified[good] += sequences(k, n, tokens[good], same[good])
            progress(n, k - 1)
        strata = strata_of(task)
        wrong: dict[tuple[int, int], int] = {}
        for q, m, count in zip(pairs.q.tolist(), pairs.m.tolist(), certified.tolist(), strict=True):
            wrong[q, m] = strata.size(q, m) - count
        return CountBound.of(wrong, decided=True)


class SubCubicRule(AbstractRule):
    """The published sub-cubic proofs, made sound."""

    name: ClassVar[str] = "sub-cubic"

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Max-of-K, one head, additive scores, no final biases, at least two positions."""
        require_additive_max_of_k(weights, question)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> SubCubicInstance:
        """The parts, gaps, and the directions that the parts ask for."""
        s = architecture.shape
        direct = DIRECT_PATHS[hints.word("direct", tuple(DIRECT_PATHS))]
        error = QK_PATHS[hints.word("attention_error", tuple(QK_PATHS))]
        words = {"cross": CROSS, "count": COUNTS, "gaps": GAPS}
        cross, count, gaps = (hints.word(name, allowed) for name, allowed in words.items())
        n_points = read_n_points(hints)
        floats = {**direct.arrays(s), **error.arrays(s)}
        hints.only(
            {"direct", "attention", "attention_error", "points", *words},
            {"gap", *floats, *(["points"] if n_points else [])},
        )
        for name, shape in floats.items():
            hints.floats(name, shape)
        gap = hints.halfwords("gap", (s.k - 1, n_strata(s.d_vocab)))
        averaging = read_averaging(hints, s.d_vocab, n_points)
        return SubCubicInstance(architecture, question, direct, error, averaging, cross, count, gaps, gap, hints)


def _highest_tokens(gap: np.ndarray, pairs: Pairs, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tokens m - g (0 where the class is given up), and where it is not: 1 <= g <= m, and q <= m - g if q < m."""
    highest = pairs.m - gap
    # SOUND: the query is one of the other tokens when it is below the target, so it must obey the gap too.
    allowed = (gap >= 1) & (highest >= 0) & (same | (pairs.q <= highest))
    return np.where(allowed, highest, 0), allowed


def _highest_of_target(highest: np.ndarray, allowed: np.ndarray, m: np.ndarray) -> np.ndarray:
    """The highest token that any class with the same target allows."""
    most = np.zeros(int(m.max()) + 1, dtype=np.int64)
    np.maximum.at(most, m[allowed], highest[allowed])
    return np.asarray(most[m])
