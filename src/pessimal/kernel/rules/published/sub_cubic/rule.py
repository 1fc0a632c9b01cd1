r"""The sub-cubic proofs: direct path x attention averaging x QK error, with hinted gaps.

Theorem. Class (q, m, n): query q <= m, largest token m, n positions that hold other tokens (the last one among them
if q < m), all of them at most m - g for the hinted gap g >= 1. For a sequence of the class and a rival x != m,

$$ \mathrm{logit}_x - \mathrm{logit}_m \le b_q + L_x + \alpha R_x + (1 - \alpha)\,w,\quad
L_x = \mu_x - \mu_m + \max_i(\mathrm{PVOU}[i,x] - \mathrm{PVOU}[i,m]),\quad
w = \max_{k \le m-g}\mathrm{rng}(\mathrm{EVOU}[k]), $$

with $\alpha$ the attention to m. The right side is largest over x at $b_q + G_m(\alpha) + (1-\alpha)w$, convex in
$\alpha$, hence at most its value at one of the two ends of attention (attention.py), with G bounded by lines
(averaging.py), $\mu, b$ by direct_path.py and the ends by qk_path.py. If that is negative, every sequence of the class
is right: $\binom{K-1}{j} c^j$ of them, j = n less one if q < m, for the c = m - g + 1 tokens 0 .. m - g. *Proof.* The
positions' part is a convex combination of its values, the other tokens' part is $(1-\alpha)$ times a convex combination
of $\mathrm{EVOU}[k,x] - \mathrm{EVOU}[k,m] \le \mathrm{rng}(\mathrm{EVOU}[k])$. Classes are disjoint. n = 0 is
$\alpha = 1$, q = m.

Options: `count` = fixed (c as above) or published (c = m - g); `gaps` = query (w from the class's own gap) or target
(w from the smallest gap of the same m and n, as published); `cross` = exact or bounded (splits.py).

Soundness: for all weights and every value of the hints; a lost number certifies nothing.
Cost: `SubCubicRule.cost`, O(v^2 K) besides the parts.
Source: Gross et al. 2024; specification `max-of-k.md`, sections 4 to 6 and 8.
"""

from fractions import Fraction
from math import comb
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import OPS_PER_EXP, OPS_PER_FLOP, Cost, n_strata
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.requirements import require_additive_max_of_k
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress
from pessimal.kernel.rules.published.sub_cubic.attention import Cells, attention_flops, cells_flops, odds, odds_flops
from pessimal.kernel.rules.published.sub_cubic.averaging import Lines, make_averaging
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS, AbstractDirectPath, DirectBound
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, model_paths, paths_flops, spread, spread_flops
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS, AbstractQKPath
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
    own = paths.position_value[:, m].reshape(positions, v, 1)
    fixed = (paths.position_value[:, rivals] - own).max(0)
    if direct.anchor is not None:
        fixed = fixed + (direct.anchor[rivals] - direct.anchor[m].reshape(v, 1))
    return fixed, right


def target_tables_flops(arch: Architecture, *, anchored: bool) -> int:
    """Operations of `target_tables`."""
    v, k, r = arch.shape.d_vocab, arch.shape.k, arch.shape.d_vocab_out - 1
    return v * r * (2 * k + 2 * anchored)


def class_bound(
    lines: Lines, ends: tuple[AbstractEnclosure, AbstractEnclosure], width: AbstractEnclosure, m: np.ndarray
) -> AbstractEnclosure:
    """The larger, over the two ends, of max_j(c_j + s_j alpha) + (1 - alpha) w, `[cells]`."""
    bounds = []
    for alpha in ends:
        each = lines.intercept[m] + lines.slope[m] * alpha.reshape(-1, 1)
        bounds.append(each.max(1) + (width - width * alpha))
    return bounds[0].maximum(bounds[1])


def sequences(k: int, n: int, tokens: np.ndarray, same: np.ndarray) -> np.ndarray:
    """C(K-1, j) c**j of every class, Python integers; `tokens` = c, `same` = (q == m)."""
    found = np.zeros(tokens.shape, dtype=object)
    for is_same in (True, False):
        j = n if is_same else n - 1
        values, place = np.unique(tokens[same == is_same], return_inverse=True)
        counts = np.array([comb(k - 1, j) * c**j for c in values.tolist()], dtype=object)
        found[same == is_same] = counts[place.reshape(-1)]
    return found


class SubCubicRule(AbstractRule):
    """The published sub-cubic proofs, made sound."""

    name: ClassVar[str] = "sub-cubic"

    def _parts(self, hints: Hints) -> tuple[AbstractDirectPath, AbstractQKPath, str]:
        direct = DIRECT_PATHS[hints.word("direct", tuple(DIRECT_PATHS))]
        error = QK_PATHS[hints.word("attention_error", tuple(QK_PATHS))]
        return direct, error, hints.word("cross", CROSS)

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Closed form; the form of every hint is checked here."""
        del question
        s = architecture.shape
        direct, error, cross = self._parts(hints)
        averaging = make_averaging(hints)
        hints.word("count", COUNTS)
        hints.word("gaps", GAPS)
        floats = {**direct.arrays(s), **error.arrays(s)}
        points = {"points"} if averaging.n_points else set()
        hints.only({"direct", "attention", "attention_error", "cross", "count", "gaps", "points"},
                   {"gap", *floats, *points})  # fmt: skip
        for name, shape in floats.items():
            hints.floats(name, shape)
        v, k, r = s.d_vocab, s.k, s.d_vocab_out - 1
        hints.halfwords("gap", (k - 1, n_strata(v)))
        n_hints = sum(int(np.prod(shape)) for shape in floats.values()) + (k - 1) * n_strata(v) + averaging.n_points * v
        anchored = direct.name in {"mean_query+max_diff", "svd_query+max_diff"}
        inexact = error.name != "exact_EQKE+max_diff_exact"
        scaled = architecture.attn_scale != "1"
        flops = paths_flops(architecture) + direct.flops(s) + error.flops(architecture, cross)
        flops += odds_flops(v, k, scaled=scaled) + cells_flops(v) + target_tables_flops(architecture, anchored=anchored)
        flops += averaging.flops(v, r) + spread_flops(v, s.d_vocab_out) + v - 1
        flops += v * r + v * (r - 1) + 2 * v  # n = 0
        j = averaging.n_lines()
        cell = 2 * (3 * j - 1 + 3) + 3 + 4 * (averaging.n_points > 1)
        flops += (k - 1) * (attention_flops(v, error=inexact, scaled=scaled) + cell * n_strata(v))
        exps = v * (k - 1) + 2 * (k - 1) * n_strata(v)
        ops = s.n_parameters() + n_hints + OPS_PER_FLOP * (flops - exps) + OPS_PER_EXP * exps
        dims = direct.unexplained_dims(s) + error.unexplained_dims(s) + v + v * v
        entries = 24 * v * max(v, s.d_vocab_out) + 4 * k * v * s.d_vocab_out + 8 * s.n_parameters()
        entries += n_strata(v) * (12 + 6 * j)
        return Cost(flops, ops, dims, 64 * entries)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Max-of-K, one head, additive scores, no final biases, at least two positions."""
        require_additive_max_of_k(weights, question)

    def bound(
        self, weights: Weights, question: Question, hints: Hints, arith: AbstractArithmetic, progress: Progress
    ) -> CountBound:
        """Total less the certified classes."""
        task = question.task
        k, v = task.k, task.d_vocab
        direct_path, error, cross = self._parts(hints)
        averaging = make_averaging(hints)
        gap = hints.halfwords("gap", (k - 1, n_strata(v)))
        paths = model_paths(weights, arith)
        direct = direct_path.bound(paths, hints, arith)
        cells = Cells.of(error.bound(paths, hints, arith, cross), paths.scale)
        rho = odds(paths, arith)
        fixed, right = target_tables(paths, direct)
        lines = averaging.lines(fixed, right, hints, arith)
        widest = spread(paths.value, 1).cumulative_max(0)
        zero = arith.fraction(Fraction(0))
        same = cells.q == cells.m
        certified = np.zeros(same.size, dtype=object)
        pure = zero.greater((fixed + right).max(1) + direct.slack[np.arange(v)])
        certified[same] = pure.astype(int).tolist()
        slack = direct.slack[cells.q]
        for n in range(1, k):
            highest, allowed = _highest_tokens(gap[n - 1], cells, same)
            ends = cells.attention(highest, rho[n - 1], arith)
            width_at = highest if hints.options["gaps"] == "query" else _highest_of_target(highest, allowed, cells.m)
            bound = class_bound(lines, ends, widest[width_at], cells.m) + slack
            good = allowed & lines.hold_at(ends[0], cells.m) & lines.hold_at(ends[1], cells.m) & zero.greater(bound)
            tokens = highest + (1 if hints.options["count"] == "fixed" else 0)
            certified[good] += sequences(k, n, tokens[good], same[good])
            progress(n, k - 1)
        strata = strata_of(task)
        wrong: dict[tuple[int, int], int] = {}
        for q, m, count in zip(cells.q.tolist(), cells.m.tolist(), certified.tolist(), strict=True):
            wrong[q, m] = strata.size(q, m) - count
        return CountBound(Fraction(sum(wrong.values())), None, decided=True, strata=wrong)


def _highest_tokens(gap: np.ndarray, cells: Cells, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tokens m - g (0 where the class is given up), and where it is not: 1 <= g <= m, and q <= m - g if q < m."""
    highest = cells.m - gap
    # SOUND: the query is one of the other tokens when it is below the target, so it must obey the gap too.
    allowed = (gap >= 1) & (highest >= 0) & (same | (cells.q <= highest))
    return np.where(allowed, highest, 0), allowed


def _highest_of_target(highest: np.ndarray, allowed: np.ndarray, m: np.ndarray) -> np.ndarray:
    """The highest token that any class with the same target allows."""
    most = np.zeros(int(m.max()) + 1, dtype=np.int64)
    np.maximum.at(most, m[allowed], highest[allowed])
    return np.asarray(most[m])
