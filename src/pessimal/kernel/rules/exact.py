r"""Exact count by branch and bound: enumerate only what position minima leave open.

Theorem. In every stratum $(q, y)$ the tokens before the last are chosen position by position. A prefix that has led the
stratum's program (`strata.py`) to a state may be completed by the paths from there. With the rival differences of
`integer_stratum.py`, rounded outward and exact in integers,

* if for every rival the prefix's upper sum plus the largest upper sum over its completions is negative, all its
  completions are right;
* if for some rival the prefix's lower sum plus the smallest lower sum over its completions is not negative, all its
  completions are wrong, and there are as many as the program counts;
* otherwise every next token is tried.

What is open after the last token is evaluated in Arb at rising precision (`undecided.py`); an exact tie counts as
wrong. Under `float32` all of it counts as wrong below and as undecided above. *Proof.* The prefixes of a stratum
partition it at every depth; extremes over completions are extremes over paths.

Hint `nodes`: how many prefixes may be tried. Past that, every open completion counts as wrong, and as undecided.

Soundness: for all weights and tasks, one head without final biases; every value of the hint.
Cost: `exact_cost`: tables, extremes over completions, and about 6 operations per prefix and rival.
Source: new; specification `counting-proofs.md`, R1 and R4, as a search.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_EXP, OPS_PER_FLOP, Cost
from pessimal.kernel.heads import require_separable, separable_heads, separable_heads_flops
from pessimal.kernel.rules.integer_stratum import IntegerStratum, RivalBounds, token_sets
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Hints, Progress
from pessimal.kernel.rules.undecided import Undecided
from pessimal.kernel.strata import Letters, Program, Strata, strata_of
from pessimal.spec.architecture import Architecture
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
        wrong: certainly wrong sequences.
        open: sequences given up because no prefix was left.
    """

    left: int
    wrong: int = 0
    open: int = 0


@dataclass
class _Completions:
    """Extremes and numbers of the completions after i + 1 tokens, by state."""

    high: list[dict[int, np.ndarray]]
    low: list[dict[int, np.ndarray]]
    number: list[dict[int, int]]


def _completions(
    program: Program, stratum: IntegerStratum, tokens: dict[Letters, Int[np.ndarray, " n"]]
) -> _Completions:
    n = len(program.layers)
    back = program.reversed()

    def extremes(table: np.ndarray, extreme: np.ufunc) -> list[dict[int, np.ndarray]]:
        found = back.prefixes(
            lambda i, letters: extreme.reduce(table[n - 1 - i, tokens[letters]], axis=0), extreme, np.add
        )
        zero = {0: np.zeros(table.shape[2], dtype=np.int64)}
        return [*found[-2::-1], zero] if n > 1 else [zero]

    numbers = back.prefixes(lambda _, letters: len(tokens[letters]), int.__add__, int.__mul__)
    return _Completions(
        extremes(stratum.high, np.maximum),
        extremes(stratum.low, np.minimum),
        [*numbers[-2::-1], {0: 1}] if n > 1 else [{0: 1}],
    )


@dataclass
class _Search:
    """Depth-first search of one stratum, in chunks."""

    program: Program
    stratum: IntegerStratum
    tokens: dict[Letters, Int[np.ndarray, " n"]]
    tally: Tally
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
            self.tally.open += count * number
            return
        self.tally.left -= count
        high = (high[:, np.newaxis] + self.stratum.high[i, tokens]).reshape(count, -1)
        low = (low[:, np.newaxis] + self.stratum.low[i, tokens]).reshape(count, -1)
        right = ((high + self.completions.high[i][target]) < 0).all(1)
        wrong = ((low + self.completions.low[i][target]) >= 0).any(1) & ~right
        self.tally.wrong += int(wrong.sum()) * number
        kept = np.flatnonzero(~right & ~wrong)
        if not kept.size:
            return
        longer = np.column_stack([prefix[kept // len(tokens)], tokens[kept % len(tokens)]])
        if i == len(self.program.layers) - 1:
            self.leaves.append(longer)
        else:
            self.visit(i + 1, target, high[kept], low[kept], longer)


def search_stratum(
    strata: Strata, stratum: IntegerStratum, q: int, y: int, tally: Tally
) -> list[Int[np.ndarray, "n k_1"]]:
    """Sequences of a stratum that integers do not decide; the rest goes to the tally."""
    program = strata.program(q, y)
    tokens = token_sets(program, strata.letter[y])
    search = _Search(program, stratum, tokens, tally, _completions(program, stratum, tokens))
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
    tokens = sum(sum(strata.letter_counts[y]) for q, y in zip(*np.nonzero(strata.place >= 0), strict=True) for _ in [q])
    work = 3 * s.d_vocab * s.k * s.d_vocab * s.d_vocab_out + 6 * tokens * s.k * r + 6 * nodes * r
    if question.semantics != REAL:
        work += 2 * strata.number * s.k * s.d_vocab * s.d_vocab_out
    ops = s.n_parameters() + 1 + OPS_PER_FLOP * (flops + work - exps) + OPS_PER_EXP * exps
    held = s.k * s.d_vocab * s.d_vocab_out * 8 + 8 * s.k * CHUNK * s.d_vocab * r
    dims = s.d_vocab * s.k * s.d_vocab * s.d_vocab_out + nodes
    return Cost(flops + work, ops, dims, 64 * s.d_vocab * s.d_vocab + 8 * held)


class ExactRule(AbstractRule):
    """Branch and bound."""

    name: ClassVar[str] = "exact"

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """From shapes and the number of prefixes."""
        hints.only({"nodes"}, set())
        return exact_cost(architecture, question, hints.number("nodes", 0, MAX_NODES))

    def require_covers(self, weights: Weights, question: Question) -> None:
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
        """The exact number of wrong sequences if the prefixes suffice."""
        tally = Tally(left=hints.number("nodes", 0, MAX_NODES))
        undecided = count_wrong(weights, question, arith, tally, progress)
        wrong = tally.wrong + tally.open + undecided.wrong
        return CountBound(Fraction(wrong), tally.wrong + undecided.wrong - undecided.ties, decided=True)


def count_wrong(
    weights: Weights, question: Question, arith: AbstractArithmetic, tally: Tally, progress: Progress
) -> Undecided:
    """Search all strata; what is left is decided one by one."""
    task = question.task
    (head,), direct = separable_heads(weights, arith, question.semantics)
    strata, undecided = strata_of(task), Undecided(weights, question)
    k, d_vocab, _ = head.value.shape
    for q in range(d_vocab):
        bounds = RivalBounds(head.value + direct[q], head.weight(q).reshape(k, d_vocab, 1), question.semantics)
        for _, outputs in strata.by_program(q):
            for y in outputs.tolist():
                stratum = IntegerStratum(*bounds.of(y), q, y, strata.letter[y])
                if stratum.lost:
                    tally.open += strata.size(q, y)
                    continue
                for others in search_stratum(strata, stratum, q, y, tally):
                    undecided.add(others, q)
        progress(q + 1, d_vocab)
    return undecided
