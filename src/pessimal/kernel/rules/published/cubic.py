r"""The published cubic proof, made sound: pure sequences and the convexity lemma.

Class $(q, y, k, n)$: query q, largest token y, $n$ of the $K-1$ other positions hold one token $k < y$, the rest y.
With one pessimal rival per path,
$c(q) = \min_{o\ne y}(D(q)_y - D(q)_o)$,
$r(t) = \min_{o\ne y}[\mathrm{EVOU}[t]_y - \mathrm{EVOU}[t]_o + \min_p(\mathrm{PVOU}[p]_y - \mathrm{PVOU}[p]_o)]$,
$h(t) = a(q,t)\,(c(q) + r(t))$, every margin times the softmax denominator is at least $\sum_i \pi_i\,h(t_i)$.

Theorem. Let $\sigma$ be the sum of $\pi_i$ over the $K-1-n$ positions that hold y, $\tau$ over the other n. If
$\sigma h(y) + \tau h(k) + \pi_{K-1}h(q) > 0$ for the smallest and the largest possible $\sigma$, for every k of a set
S, then every sequence of query q and largest token y with exactly n positions in S and $K-1-n$ holding y is right:
$\binom{K-1}{n}|S|^n$ sequences. *Proof.* $\sigma + \tau$ is fixed, so the sum is affine in $\sigma$ and positive at
every placement of the pure sequence. For a mixed sequence with the same placement
$\sum_{slots}\pi_i h(t_i) \ge \tau\min_{k\in S} h(k)$, the value of a pure sequence. For $n = 0$ the only sequence
is checked against each rival on its own.

Rewritten as $h(k) > \max(-(\sigma h(y) + \pi_{K-1}h(q))/\tau)$: one comparison per class.

Soundness: for all weights; there are no hints. Rounding outward; a lost entry certifies nothing.
Cost: `cost.cubic_cost`, about K v**3 / 3 comparisons and v**2 d products.
Source: Gross et al. 2024, cubic proof; specification `max-of-k.md`, sections 3.2 to 3.5 and lemma 5.2.
"""

from fractions import Fraction
from math import comb
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Cost, table_cost
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.requirements import require_additive_max_of_k
from pessimal.kernel.model.tables import AdditiveTables, additive_tables, additive_tables_flops
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


def _partial_sums(sorted_weights: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """Sums of the first 1 .. n entries of every row, `[rows, n]`."""
    sums = [sorted_weights[:, 0]]
    for j in range(1, sorted_weights.shape[1]):
        sums.append(sums[-1] + sorted_weights[:, j])
    return arith.stack(sums, axis=1)


class _Target:
    """Everything about one target y, over queries q <= y and tokens t <= y."""

    def __init__(self, tables: AdditiveTables, y: int) -> None:
        rivals = np.delete(np.arange(tables.direct.shape[1]), y)
        self.y = y
        position = tables.position_value[:, y].reshape(-1, 1) - tables.position_value[:, rivals]
        self.position = position.min(0)
        self.token = tables.token_value[: y + 1, y].reshape(-1, 1) - tables.token_value[: y + 1, rivals]
        self.direct = tables.direct[: y + 1, y].reshape(-1, 1) - tables.direct[: y + 1, rivals]
        weight = tables.token_weight[: y + 1, : y + 1]
        r = (self.token + self.position).min(1)
        c = self.direct.min(1)
        self.h = (r + c.reshape(-1, 1)) * weight
        self.weight = weight

    def pure_maximum(self, total: AbstractEnclosure, query: AbstractEnclosure) -> np.ndarray:
        """Whether the sequence with n = 0 is certified, rival by rival; `total`, `query` and the result are `[y+1]`."""
        y = self.y
        own = self.direct + self.position
        at_y = (own + self.token[y]) * (total * self.weight[:, y]).reshape(-1, 1)
        at_q = (own + self.token) * query.reshape(-1, 1)
        return np.asarray((at_y + at_q).positive().all(1))

    def certified_tokens(
        self, small: AbstractEnclosure, large: AbstractEnclosure, last: AbstractEnclosure
    ) -> np.ndarray:
        """How many k < y satisfy both ends, `[q, n]` for n = 1 .. K - 1.

        Args:
            small: sums of the n smallest position weights, `[y+1, K-1]`, n = 1 .. K - 1.
            large: sums of the n largest.
            last: position weight of the query slot times h(q), `[y+1]`.
        """
        y, width = self.y, small.shape[1]
        at_y = self.h[:, y].reshape(-1, 1)
        base = last.reshape(-1, 1)
        thresholds = []
        for mine, others in ((small, large), (large, small)):
            # sigma is the sum over the K-1-n positions holding y: column K-2-n of `mine`, nothing for n = K-1.
            with_y = mine[:, width - 2 :: -1] * at_y + base if width > 1 else None
            all_k = base / others[:, width - 1 :]
            parts = [] if with_y is None else [with_y / others[:, : width - 1]]
            thresholds.append([*parts, all_k])
        counts = []
        for one, two in zip(*thresholds, strict=True):
            bar = one.minimum(two)  # h(k) + bar > 0 at both ends
            passed = (self.h[:, np.newaxis, :y] + bar.reshape(*bar.shape, 1)).positive()
            counts.append(passed.sum(-1))
        return np.concatenate(counts, axis=1)


class CubicRule(AbstractRule):
    """The published cubic proof with outward rounding."""

    name: ClassVar[str] = "cubic"

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Closed form."""
        del question
        hints.only(set(), set())
        return cubic_cost(architecture)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Max-of-K, one head, additive scores, no final biases, at least two positions."""
        require_additive_max_of_k(weights, question)

    def bound(
        self,
        weights: Weights,
        question: Question,
        hints: Hints,
        arith: AbstractArithmetic,
        progress: Progress,
    ) -> CountBound:
        """Total less the certified classes."""
        task = question.task
        del hints
        k = task.k
        tables = additive_tables(weights, arith)
        ascending = tables.position_weight[:, : k - 1].sort()
        small = _partial_sums(ascending, arith)
        large = _partial_sums(ascending[:, ::-1], arith)
        slot = tables.position_weight[:, k - 1]
        strata = strata_of(task)
        wrong: dict[tuple[int, int], int] = {}
        for y in range(task.d_vocab):
            target = _Target(tables, y)
            q = np.arange(y + 1)
            pure = target.pure_maximum(small[: y + 1, k - 2], slot[: y + 1] * tables.token_weight[q, q])
            certified = pure.astype(int).tolist()
            if y > 0:
                last = slot[: y + 1] * target.h[q, q]
                counts = target.certified_tokens(small[: y + 1], large[: y + 1], last)
                for n in range(1, k):
                    # SOUND: a query below y needs a y among the others, so n = K-1 counts for q = y only.
                    for query in range(y + 1) if n < k - 1 else [y]:
                        certified[query] += comb(k - 1, n) * int(counts[query, n - 1]) ** n
            wrong |= {(query, y): strata.size(query, y) - count for query, count in enumerate(certified)}
            progress(y + 1, task.d_vocab)
        return CountBound(Fraction(sum(wrong.values())), None, decided=True, strata=wrong)


def cubic_cost(arch: Architecture) -> Cost:
    """About K v**3 / 3 comparisons and the per-path margins."""
    s = arch.shape
    v, k, r = s.d_vocab, s.k, s.d_vocab_out - 1
    n = k - 1
    flops, exps = additive_tables_flops(arch)
    flops += v * (n - 1) + 2 * v * (n - 1)  # sorting and the two running sums
    for y in range(v):
        w = y + 1
        flops += k * r + (k - 1) * r + 2 * w * r  # position, token and direct margins
        flops += 2 * w * r + w * (r - 1) * 2 - w * r + 2 * w * w  # r, c, h
        flops += 3 * w * r + 2 * w + 2 * w * r + w * r + w * r  # n = 0
        if y > 0:
            flops += w + 2 * (3 * w * (n - 1) + w) + w * n + 2 * w * n * y
    dims = 3 * v * v + 2 * k * v
    return table_cost(arch, flops, exps, dims, entries=8 * v * v * k)
