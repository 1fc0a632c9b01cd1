r"""Exact count by branch and bound: enumerate only what position minima leave open.

Theorem. In every stratum $(q, y)$ the tokens before the last are chosen position by position. A prefix that has led the
stratum's program (`strata.py`) to a state may be completed by the paths from there. With the rival differences of
`integers.py`, rounded outward and exact in integers,

* if for every rival the prefix's upper sum plus the largest upper sum over its completions is negative, all its
  completions are right;
* if for some rival the prefix's lower sum plus the smallest lower sum over its completions is not negative, all its
  completions are wrong, and the program counts or weighs them (`weighing.py`);
* otherwise every next token is tried.

What is open after the last token is evaluated in Arb at rising precision (`undecided.py`); an exact tie counts as
wrong. Under `float32` all of it counts as wrong below and as undecided above.

*Proof.* The prefixes of one length of a stratum partition it. A completion's upper sum is at most the largest over the
paths from the prefix's state, its lower sum at least the smallest; upper sums of all rivals below zero make a sequence
right, a lower sum of at least zero makes it wrong (`integers.py`). What neither holds for is tried further, decided in
Arb, or counted as wrong, so every sequence that is not right is counted. ∎

Hint `nodes`: how many prefixes may be tried. Past that, every open completion counts as wrong, and as undecided.

Soundness: for all weights, tasks and distributions, one head without final biases; every value of the hint.
Cost: tables, extremes over completions, and about 6 operations per prefix and rival.
Source: new: position minima, rival by rival, as a search.

Contents:
    ExactInstance, ExactRule — about one question, and about all.
    count_wrong — the search, stratum by stratum.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_FLOP, OPS_PER_VISIT, Uncounted
from pessimal.kernel.counting.branches import CHUNK, Tally, search_stratum
from pessimal.kernel.counting.integers import IntegerStratum, RivalBounds
from pessimal.kernel.counting.undecided import Undecided, undecided_ops
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.model.source import ExactTables
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights

MAX_NODES = 1 << 40


@dataclass(frozen=True, eq=False)
class ExactInstance(AbstractInstance):
    """The theorem about one question.

    Attributes:
        nodes: how many prefixes may be tried.
    """

    nodes: int

    @property
    def length(self) -> Hashable:
        """How many prefixes may be tried."""
        return self.nodes

    def uncounted(self) -> Uncounted:
        """G (2 per entry), differences and extremes (6 per entry of a stratum), and 6 per prefix and rival.

        With rounding G is taken target by target: 2 more per entry and stratum.
        """
        s, question = self.architecture.shape, self.question
        strata, nodes, r = strata_of(question.task), self.nodes, s.d_vocab_out - 1
        entries = s.k * s.d_vocab * s.d_vocab_out
        tokens = int((strata.stratum_index >= 0).sum(0) @ np.array([sum(counts) for counts in strata.letter_counts]))
        work = 3 * s.d_vocab * entries + 6 * tokens * s.k * r + 6 * nodes * r
        if question.semantics != REAL:
            work += 2 * strata.stratum_count * entries
        kinds = strata.all_kinds()
        visits = min(nodes, sum(queries * min(nodes, program.visits()) for program, queries in kinds))
        # Extremes of what may follow are passed back through every program.
        visits += sum(queries * program.n_moves for program, queries in kinds)
        exactly = undecided_ops(s, question, min(nodes, question.task.total()))
        return Uncounted(
            table_numbers=s.d_vocab * entries + nodes,
            hint_numbers=1,
            flops=work,
            checker_ops=OPS_PER_FLOP * work + OPS_PER_VISIT * visits + exactly,
            # Ends of G, differences of a stratum, and the sums of the prefixes of one chunk at every position.
            n_bytes=128 * entries + 64 * min(nodes // s.d_vocab, s.k * CHUNK) * r,
            decisions=nodes,
            passes=s.d_vocab,
        )

    def run(self, weights: Weights, arith: AbstractArithmetic) -> object:
        """The tables; the rest is done in integers."""
        return ExactTables(self.question.semantics).tables(weights, arith)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """The exact weight of the wrong sequences if the prefixes suffice."""
        tally = Tally(budget_left=self.nodes)
        strata, undecided = count_wrong(weights, self.question, arith, tally, progress)
        at_least = tally.wrong + undecided.wrong - undecided.ties
        return CountBound.of(strata, decided=True, at_least=at_least)


class ExactRule(AbstractRule):
    """Exact count by branch and bound."""

    name: ClassVar[str] = "exact"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """One head, no final biases, at least two positions; every task."""
        require_separable(weights, question, one_head=True)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> ExactInstance:
        """How many prefixes may be tried."""
        hints.only({"nodes"}, set())
        return ExactInstance(architecture, question, hints.number("nodes", 0, MAX_NODES))


def count_wrong(
    weights: Weights, question: Question, arith: AbstractArithmetic, tally: Tally, progress: Progress
) -> tuple[Counter[tuple[int, int]], Undecided]:
    """Search all strata, decide what is left one by one: weight of what is not right by stratum."""
    (head,), direct = ExactTables(question.semantics).tables(weights, arith)
    weighing, undecided = weighing_of(question), Undecided(weights, question)
    strata, wrong = weighing.strata, Counter[tuple[int, int]]()
    k, d_vocab, _ = head.value.shape
    for q in range(d_vocab):
        bounds = RivalBounds(head.value + direct[q], head.weight(q).reshape(k, d_vocab, 1), question.semantics)
        for _, outputs in strata.by_program(q):
            for y in outputs.tolist():
                stratum = IntegerStratum(*bounds.of(y), q, y, strata.letter[y])
                before = tally.wrong + tally.not_certified
                if stratum.lost:
                    tally.not_certified += weighing.stratum(q, y)
                else:
                    for earlier in search_stratum(weighing, stratum, q, y, tally):
                        undecided.add(earlier, q)
                wrong[q, y] += tally.wrong + tally.not_certified - before
        progress(q + 1, d_vocab)
    wrong.update(undecided.by_stratum)
    return wrong, undecided
