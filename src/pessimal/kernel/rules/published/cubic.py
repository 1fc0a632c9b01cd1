r"""The published cubic proof, made sound: pure sequences and the convexity lemma.

Class $(q, y, k, n)$: query q, largest token y, $n$ of the $K-1$ other positions hold one token $k < y$, the rest y.
With one pessimal rival per path,
$c(q) = \min_{o\ne y}(D(q)_y - D(q)_o)$,
$r(t) = \min_{o\ne y}[\mathrm{EVOU}[t]_y - \mathrm{EVOU}[t]_o + \min_p(\mathrm{PVOU}[p]_y - \mathrm{PVOU}[p]_o)]$,
$h(t) = a(q,t)\,(c(q) + r(t))$, every margin times the softmax denominator is at least $\sum_i \pi_i\,h(t_i)$.

Theorem. Let $\sigma$ be the sum of $\pi_i$ over the $K-1-n$ positions that hold y, $\tau$ over the other n. If
$\sigma h(y) + \tau h(k) + \pi_{K-1}h(q) > 0$ for the smallest and the largest possible $\sigma$, for every k of a set
S, then every sequence of query q and largest token y with exactly n positions in S and $K-1-n$ holding y is right:
$\binom{K-1}{n}|S|^n$ sequences.

*Proof.* $\sigma + \tau$ is fixed, so the sum is affine in $\sigma$ and positive at every placement of the pure
sequence. For a mixed sequence with the same placement $\sum_{slots}\pi_i h(t_i) \ge \tau\min_{k\in S} h(k)$, the value
of a pure sequence. For $n = 0$ the only sequence is checked against each rival on its own. ∎

Rewritten as $h(k) > \max(-(\sigma h(y) + \pi_{K-1}h(q))/\tau)$: one comparison per class.

Soundness: for all weights; there are no hints. Rounding outward; a lost entry certifies nothing.
Cost: counted over shapes, about K v**3 / 3 comparisons and v**2 d products.
Source: Gross et al. 2024, cubic proof.

Contents:
    CubicInstance, CubicRule — about one question, and about all.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from math import comb
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import OPS_PER_FLOP, Uncounted
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.heads import separable_numbers
from pessimal.kernel.model.requirements import require_additive_max_of_k
from pessimal.kernel.model.tables import AdditiveTables, additive_tables
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


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
        at_any = self.direct + self.position
        at_y = (at_any + self.token[y]) * (total * self.weight[:, y]).reshape(-1, 1)
        at_q = (at_any + self.token) * query.reshape(-1, 1)
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
        for of_target, of_lower in ((small, large), (large, small)):
            # sigma is the sum over the K-1-n positions holding y: column K-2-n of `of_target`, nothing for n = K-1.
            with_y = of_target[:, width - 2 :: -1] * at_y + base if width > 1 else None
            all_k = base / of_lower[:, width - 1 :]
            parts = [] if with_y is None else [with_y / of_lower[:, : width - 1]]
            thresholds.append([*parts, all_k])
        counts = []
        for first, second in zip(*thresholds, strict=True):
            bar = first.minimum(second)  # h(k) + bar > 0 at both ends
            passed = (self.h[:, np.newaxis, :y] + bar.reshape(*bar.shape, 1)).positive()
            counts.append(passed.sum(-1))
        return np.concatenate(counts, axis=1)


@dataclass(frozen=True, eq=False)
class CubicInstance(AbstractInstance):
    """The theorem about one question."""

    @property
    def length(self) -> Hashable:
        """Nothing: shapes say it all."""
        return ()

    def uncounted(self) -> Uncounted:
        """The numbers of the tables, and sums of integers of thousands of bits where there are."""
        s, bits = self.architecture.shape, self.question.total().bit_length()
        ops = OPS_PER_FLOP * s.d_vocab**2 * s.k * (bits // 1024)
        return Uncounted(separable_numbers(self.architecture), checker_ops=ops)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """Total less the certified classes."""
        task = self.question.task
        k = task.k
        tables = additive_tables(weights, arith)
        ascending = tables.position_weight[:, : k - 1].sort()
        # Sums of the 1 .. K - 1 smallest and largest.
        small, large = ascending.cumulative_sum(1), ascending[:, ::-1].cumulative_sum(1)
        slot = tables.position_weight[:, k - 1]
        strata, choices = strata_of(task), [comb(k - 1, n) for n in range(k)]
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
                    # SOUND: a query below y needs a y among the earlier tokens, so n = K-1 counts for q = y only.
                    for query in range(y + 1) if n < k - 1 else [y]:
                        certified[query] += choices[n] * int(counts[query, n - 1]) ** n
            wrong |= {(query, y): strata.size(query, y) - count for query, count in enumerate(certified)}
            progress(y + 1, task.d_vocab)
        return CountBound.of(wrong, decided=True)


class CubicRule(AbstractRule):
    """The published cubic proof with outward rounding."""

    name: ClassVar[str] = "cubic"

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Max-of-K, one head, additive scores, no final biases, at least two positions."""
        require_additive_max_of_k(weights, question)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> CubicInstance:
        """Refuse every hint: there are none."""
        hints.only(set(), set())
        return CubicInstance(architecture, question)
