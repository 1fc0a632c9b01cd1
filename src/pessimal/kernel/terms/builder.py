r"""Terms of the separable margin, stratum by stratum: what exponential moments and grids sum over.

Theorem. For one head, a sequence of stratum $(q, y)$ is wrong against $o$ exactly if $\sum_i g_i(t_i) \le 0$, with
$g_i(t) = w_i(q,t)\,[(D(q)_y - D(q)_o) + (V_i(t)_y - V_i(t)_o)]$. The terms below are lower bounds of g for all rivals
of a group.

*Proof.* `model/tables.py` gives the logits as $D(q)_o + \sum_i w_i(q,t_i)\,V_i(t_i)_o / Z$ with
$Z = \sum_i w_i(q,t_i) > 0$. Times Z, the direct part is $\sum_i w_i(q,t_i)\,D(q)_o$, so
$Z\,(\mathrm{logit}_y - \mathrm{logit}_o) = \sum_i g_i(t_i)$, which has the sign of the margin. ∎

Proofs of what follows: `docs/separable-margin.md#several-heads`, `docs/separable-margin.md#fewer-terms`.

Several heads. With $N_h / Z_h$ the margin of head h and any thresholds with $D_y - D_o + \sum_h c_h \ge 0$, a
wrong sequence has $N_h \le c_h Z_h$ for some h, otherwise its margin would exceed zero. $N_h - c_h Z_h$ is separable
again, with $-c_h$ in place of the direct margin. Thresholds of all heads but the last are hints; the last one is
$c_H = -(D_y - D_o) - \sum_{h<H} c_h$, so for one head nothing changes. Wrong sequences are summed over heads.

Far tokens: hint `near` = G, Max-of-K only. For $t \le y - G$, $g_i(t) \ge \min(0, m)\,w$ with m the smallest margin
and w the largest weight over those tokens and all positions: one term, times their number.

Pessimal position: $m = \min_i m_i$, $g(t) = \min(w_{lo}m, w_{hi}m)$ with $w_{lo}, w_{hi}$ the extremes over
positions: a lower bound of every $g_i(t)$, so all positions share one term.

Contents:
    TermBuilder, stratum_terms, all_terms — the terms of all strata, query by query.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import reduce

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.model.source import ExactTables, Tables
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.near import near_tokens
from pessimal.kernel.terms.options import TermOptions
from pessimal.kernel.terms.rivals import AbstractRivals, make_rivals
from pessimal.kernel.terms.stratum import StratumTerms
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


class TermBuilder:
    """Tables of a model, and the terms of one query at a time."""

    def __init__(
        self,
        weights: Weights,
        question: Question,
        options: TermOptions,
        arith: AbstractArithmetic,
        tables: Tables | None = None,
    ) -> None:
        """`tables`: of the model, if they are at hand."""
        task = question.task
        self.heads, self.direct = tables or ExactTables(question.semantics).tables(weights, arith)
        self.strata, self.task, self.options, self.arith = strata_of(task), task, options, arith
        values = [head.value for head in self.heads]
        self.rivals: AbstractRivals = make_rivals(
            options.rival, values, self.direct, task.n_outputs, arith, pooled=options.pooled
        )
        self._near = near_tokens(self.strata, options.near)
        self._greatest_far_weight: tuple[tuple[int, int], AbstractEnclosure] | None = None
        self._lowest: dict[int, AbstractEnclosure] = {}  # by head; by query too where margins depend on it

    def terms(self, h: int, q: int, level: AbstractEnclosure | None = None) -> Iterator[StratumTerms]:
        """Terms of one head and query, program by program; `level`, shape (1, 1), is taken off the direct margin."""
        n = self.task.k - 1
        if self.options.rival == "joint":
            self._lowest.clear()
        head, margin = self.heads[h], self.rivals.value_margins(h, q)
        # Least and greatest weights where positions share their terms, else one for each.
        weights = head.extreme_weights(q, n) if self.options.pooled else (head.weight(q)[:n],)
        for program, every in self.strata.by_program(q):
            outputs = every[every >= self.options.least]
            if not outputs.size:
                continue
            tokens, letter, n_far = (part[outputs] for part in self._near)
            width = max(1, int((letter != DEAD).sum(1).max()))
            tokens, letter = tokens[:, :width], letter[:, :width]
            rows, columns = np.nonzero(letter != DEAD)
            pair = np.zeros(letter.shape, dtype=np.int64)
            pair[rows, columns] = np.arange(rows.size)
            t, y = tokens[rows, columns], outputs[rows]
            stratum_index = self.strata.stratum_index[q, outputs]
            direct = self._direct(h, q, outputs, stratum_index)
            if level is not None and h == len(self.heads) - 1:
                direct = -level if direct is None else direct - level
                direct = direct[:, np.zeros(outputs.size, dtype=np.int64)] if direct.shape[1] == 1 else direct
            band = margin[:, :, t, y]
            if direct is not None:
                band = band + direct[:, rows].reshape(-1, 1, rows.size)
            g = reduce(lambda low, high: low.minimum(high), (band * weight[..., t] for weight in weights))
            last = self.rivals.last(h, q, outputs)
            last = last if direct is None else last + direct
            yield StratumTerms(
                query=np.full(outputs.size, q),
                outputs=outputs,
                stratum_index=stratum_index,
                program=program,
                near=g,
                token=t,
                pair=pair,
                letter=letter,
                far=self._far(margin, direct, h, q, outputs),
                n_far=n_far,
                last=last * head.last_weight(q),
            )

    def _direct(self, h: int, q: int, outputs: np.ndarray, stratum_index: np.ndarray) -> AbstractEnclosure | None:
        """What stands for the direct margin of head h: -c_h for all heads but the last."""
        thresholds = self.options.thresholds[:, :, stratum_index]
        if h < len(self.heads) - 1:
            return (-thresholds[h]).enclosed(self.arith)
        total = self.rivals.direct(q, outputs)
        for earlier_head in range(len(self.heads) - 1):
            if total is not None:
                total = total + thresholds[earlier_head].enclosed(self.arith)
        return total

    def _far(
        self, margin: AbstractEnclosure, direct: AbstractEnclosure | None, h: int, q: int, outputs: np.ndarray
    ) -> AbstractEnclosure:
        """The worst far term of each stratum; Max-of-K, whose far tokens are 0 .. y - G."""
        n_far = self._near[2][outputs]
        if not n_far.any():
            return self.arith.integers(np.zeros((self.options.n_groups, outputs.size), dtype=np.int64)).enclose()
        if h not in self._lowest:
            self._lowest[h] = margin.min(1).cumulative_min(1)
        last = np.maximum(n_far - 1, 0)
        far = self._lowest[h][:, last, outputs]
        far = far if direct is None else far + direct
        if self._greatest_far_weight is None or self._greatest_far_weight[0] != (h, q):
            greatest = self.heads[h].greatest_weight(q, self.task.k - 1)
            self._greatest_far_weight = ((h, q), greatest.cumulative_max(0))
        return far.minimum(far.number(Fraction(0))) * self._greatest_far_weight[1][last]


def stratum_terms(
    weights: Weights, question: Question, options: TermOptions, arith: AbstractArithmetic, tables: Tables | None = None
) -> Iterator[tuple[int, StratumTerms]]:
    """Heads and terms of all strata, query by query, head by head, program by program."""
    yield from all_terms(TermBuilder(weights, question, options, arith, tables))


def all_terms(
    builder: TermBuilder, level: AbstractEnclosure | None = None, *, queries: Iterable[int] | None = None
) -> Iterator[tuple[int, StratumTerms]]:
    """Heads and terms of all strata, or of some queries, from tables that are there.

    Args:
        builder: has the tables.
        level: taken off every margin, shape (1, 1).
        queries: last tokens to look at; a rule looks at all of them.
    """
    for q in range(builder.task.d_vocab) if queries is None else queries:
        for h in range(len(builder.heads)):
            for terms in builder.terms(h, q, level):
                yield h, terms
