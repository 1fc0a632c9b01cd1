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
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_EXP, OPS_PER_FLOP, Cost, table_entries
from pessimal.kernel.counting.integers import IntegerStratum, RivalBounds, token_sets
from pessimal.kernel.counting.undecided import Undecided, undecided_ops
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.heads import require_separable, separable_heads, separable_heads_flops
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress
from pessimal.kernel.strata.strata import Letters, Program, strata_of
from pessimal.kernel.strata.weighing import AbstractWeighing, weighed, weighing_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights

MAX_NODES = 1 << 40
CHUNK = 1 << 9


@dataclass
class Tally:
    """Nodes tried so far, and what became of the sequences that are not right.

    Attributes:
        left: prefixes that may still be tried.
        wrong: weight of the certainly wrong sequences.
        open: weight of the sequences given up because no prefix was left.
    """

    left: int
    wrong: int = 0
    open: int = 0


@dataclass
class _Completions:
    """Extremes and weights of the completions after i + 1 tokens, by state."""

    high: list[dict[int, np.ndarray]]
    low: list[dict[int, np.ndarray]]
    number: list[dict[int, Any]]


def _completions(
    program: Program,
    stratum: IntegerStratum,
    tokens: dict[Letters, Int[np.ndarray, " n"]],
    weight: list[dict[int, Any]],
) -> _Completions:
    n = len(program.layers)
    back = program.reversed()

    def extremes(table: np.ndarray, extreme: np.ufunc) -> list[dict[int, np.ndarray]]:
        found = back.prefixes(
            lambda i, letters: extreme.reduce(table[n - 1 - i, tokens[letters]], axis=0), extreme, np.add
        )
        zero = {0: np.zeros(table.shape[2], dtype=np.int64)}
        return [*found[-2::-1], zero] if n > 1 else [zero]

    return _Completions(extremes(stratum.high, np.maximum), extremes(stratum.low, np.minimum), weight)


@dataclass
class _Search:
    """Depth-first search of one stratum, in chunks."""

    program: Program
    stratum: IntegerStratum
    tokens: dict[Letters, Int[np.ndarray, " n"]]
    tally: Tally
    weighing: AbstractWeighing
    completions: _Completions
    leaves: list[Int[np.ndarray, "n k_1"]] = field(default_factory=list)

    def visit(self, i: int, state: int, high: np.ndarray, low: np.ndarray, prefix: Int[np.ndarray, "n i"]) -> None:
        """Try every next token of some prefixes that lead to one state; `high`, `low` are their sums, `[n, rivals]`."""
        for begin in range(0, len(prefix), CHUNK):
            part = slice(begin, begin + CHUNK)
            for (source, target), letters in self.program.layers[i]:
                if source == state:
                    self._try(i, target, self.tokens[letters], high[part], low[part], prefix[part])

    def _try(
        self, i: int, target: int, tokens: np.ndarray, high: np.ndarray, low: np.ndarray, prefix: np.ndarray
    ) -> None:
        number = self.completions.number[i][target]
        count = len(prefix) * len(tokens)
        if count > self.tally.left:
            self.tally.open += self.weighing.prefixes(_longer(prefix, tokens, np.arange(count)), number)
            return
        self.tally.left -= count
        high = (high[:, np.newaxis] + self.stratum.high[i, tokens]).reshape(count, -1)
        low = (low[:, np.newaxis] + self.stratum.low[i, tokens]).reshape(count, -1)
        right = ((high + self.completions.high[i][target]) < 0).all(1)
        wrong = ((low + self.completions.low[i][target]) >= 0).any(1) & ~right
        self.tally.wrong += self.weighing.prefixes(_longer(prefix, tokens, np.flatnonzero(wrong)), number)
        kept = np.flatnonzero(~right & ~wrong)
        if not kept.size:
            return
        longer = _longer(prefix, tokens, kept)
        if i == len(self.program.layers) - 1:
            self.leaves.append(longer)
        else:
            self.visit(i + 1, target, high[kept], low[kept], longer)


def _longer(prefix: np.ndarray, tokens: np.ndarray, chosen: Int[np.ndarray, " m"]) -> Int[np.ndarray, "m i_1"]:
    """Some of the prefixes with one more token, numbered prefix by prefix."""
    return np.column_stack([prefix[chosen // len(tokens)], tokens[chosen % len(tokens)]])


def search_stratum(
    weighing: AbstractWeighing, stratum: IntegerStratum, q: int, y: int, tally: Tally
) -> list[Int[np.ndarray, "n k_1"]]:
    """Sequences of a stratum that integers do not decide; the rest goes to the tally."""
    program = weighing.strata.program(q, y)
    tokens = token_sets(program, weighing.strata.letter[y])
    after = weighing.completions(program, q, y)
    search = _Search(program, stratum, tokens, tally, weighing, _completions(program, stratum, tokens, after))
    search.visit(0, 0, stratum.high_last[np.newaxis], stratum.low_last[np.newaxis], np.zeros((1, 0), dtype=np.int64))
    return search.leaves


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
    ops = s.n_parameters() + 1 + OPS_PER_FLOP * (flops + work - exps) + OPS_PER_EXP * exps
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
