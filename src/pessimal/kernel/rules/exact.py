r"""Exact count by branch and bound: enumerate only what position minima leave open.

Theorem. In every stratum $(q, y)$ the tokens before the last are chosen position by position. A prefix that has led the
stratum's program (`strata.py`) to a state may be completed by the paths from there. With the rival differences of
`integer_stratum.py`, rounded outward and exact in integers,

* if for every rival the prefix's upper sum plus the largest upper sum over its completions is negative, all its
  completions are right;
* if for some rival the prefix's lower sum plus the smallest lower sum over its completions is not negative, all its
  completions are wrong, and the program counts or weighs them (`weighing.py`);
* otherwise every next token is tried.

What is open after the last token is evaluated in Arb at rising precision (`undecided.py`); an exact tie counts as
wrong. Under `float32` all of it counts as wrong below and as undecided above. *Proof.* The prefixes of a stratum
partition it at every depth; extremes over completions are extremes over paths.

Hint `nodes`: how many prefixes may be tried. Past that, every open completion counts as wrong, and as undecided.

Soundness: for all weights, tasks and distributions, one head without final biases; every value of the hint.
Cost: `exact_cost`: tables, extremes over completions, and about 6 operations per prefix and rival.
Source: new; specification `counting-proofs.md`, R1 and R4, as a search.
"""

from collections import Counter
from fractions import Fraction
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_EXP, OPS_PER_FLOP, OPS_PER_VISIT, Cost, table_entries
from pessimal.kernel.counting.branches import CHUNK, Tally, search_stratum
from pessimal.kernel.counting.integers import IntegerStratum, RivalBounds
from pessimal.kernel.counting.undecided import Undecided, undecided_ops
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.heads import separable_heads, separable_heads_flops
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighed, weighing_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights

MAX_NODES = 1 << 40


def exact_cost(arch: Architecture, question: Question, nodes: int) -> Cost:
    """Tables, G (2 per entry), differences and extremes (6 per entry of a stratum), and 6 per prefix and rival.

    With rounding G is taken target by target: 2 more per entry and stratum.
    """
    s, task = arch.shape, question.task
    strata = strata_of(task)
    r = s.d_vocab_out - 1
    flops, exps = separable_heads_flops(arch, question.semantics)
    tokens = int((strata.place >= 0).sum(0) @ np.array([sum(counts) for counts in strata.letter_counts]))
    work = 3 * s.d_vocab * s.k * s.d_vocab * s.d_vocab_out + 6 * tokens * s.k * r + 6 * nodes * r
    if question.semantics != REAL:
        work += 2 * strata.number * s.k * s.d_vocab * s.d_vocab_out
    kinds = strata.all_kinds()
    visits = min(nodes, sum(queries * min(nodes, program.visits()) for program, queries in kinds))
    # Extremes of what may follow are passed back through every program.
    visits += sum(queries * program.n_moves for program, queries in kinds)
    ops = OPS_PER_VISIT * visits + s.n_parameters() + 1 + OPS_PER_FLOP * (flops + work - exps) + OPS_PER_EXP * exps
    held = s.k * s.d_vocab * s.d_vocab_out * 8 + 8 * s.k * CHUNK * s.d_vocab * r
    dims = s.d_vocab * s.k * s.d_vocab * s.d_vocab_out + nodes
    return Cost(flops + work, ops, dims, 64 * table_entries(arch) + 8 * held)


class ExactRule(AbstractRule):
    """Branch and bound."""

    name: ClassVar[str] = "exact"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """From shapes and the number of prefixes."""
        hints.only({"nodes"}, set())
        nodes = hints.number("nodes", 0, MAX_NODES)
        cost = exact_cost(architecture, question, nodes)
        cost = cost.checked(undecided_ops(architecture.shape, question, min(nodes, question.task.total())))
        return weighed(cost, question, decisions=nodes, passes=question.task.d_vocab)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """One head, no final biases, at least two positions; every task."""
        require_separable(weights, question, one_head=True)

    def bound(
        self,
        weights: Weights,
        question: Question,
        hints: Hints,
        arith: AbstractArithmetic,
        progress: Progress,
    ) -> CountBound:
        """The exact weight of the wrong sequences if the prefixes suffice."""
        tally = Tally(left=hints.number("nodes", 0, MAX_NODES))
        strata, undecided = count_wrong(weights, question, arith, tally, progress)
        at_least = tally.wrong + undecided.wrong - undecided.ties
        return CountBound(Fraction(strata.total()), at_least, decided=True, strata=strata)


def count_wrong(
    weights: Weights, question: Question, arith: AbstractArithmetic, tally: Tally, progress: Progress
) -> tuple[Counter[tuple[int, int]], Undecided]:
    """Search all strata, decide what is left one by one: weight of what is not right by stratum."""
    (head,), direct = separable_heads(weights, arith, question.semantics)
    weighing, undecided = weighing_of(question), Undecided(weights, question)
    strata, wrong = weighing.strata, Counter[tuple[int, int]]()
    k, d_vocab, _ = head.value.shape
    for q in range(d_vocab):
        bounds = RivalBounds(head.value + direct[q], head.weight(q).reshape(k, d_vocab, 1), question.semantics)
        for _, outputs in strata.by_program(q):
            for y in outputs.tolist():
                stratum = IntegerStratum(*bounds.of(y), q, y, strata.letter[y])
                before = tally.wrong + tally.open
                if stratum.lost:
                    tally.open += weighing.stratum(q, y)
                else:
                    for others in search_stratum(weighing, stratum, q, y, tally):
                        undecided.add(others, q)
                wrong[q, y] += tally.wrong + tally.open - before
        progress(q + 1, d_vocab)
    wrong.update(undecided.by_stratum)
    return wrong, undecided
