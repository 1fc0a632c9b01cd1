"""Depth-first search over the prefixes of a stratum, in exact integers, with a tally of what may be tried.

Theorem. Every sequence of the stratum is right, or in the weight `Tally.wrong` and wrong, or in the weight
`Tally.not_certified`, or among the sequences returned.

*Proof.* By induction over the length of prefixes: the next tokens of a prefix are those of the moves from its state,
each of one move. A longer prefix is dropped if, for every rival, its upper sum plus the largest upper sum over the
paths from its new state is negative: all completions are right. It adds the weight of its completions to `wrong` if,
for some rival, its lower sum plus the smallest over those paths is not negative: all are wrong. Otherwise it is
extended, or returned if it is complete. Without budget the weight of all completions is added to `not_certified`. ∎

Contents:
    Tally — prefixes left, what was certainly wrong, what is not certified.
    search_stratum — the sequences of a stratum that integers do not decide.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from pessimal.kernel.counting.integers import IntegerStratum, longer_prefixes, token_sets
from pessimal.kernel.strata.program import Letters, Program
from pessimal.kernel.strata.weighing import AbstractWeighing

CHUNK = 1 << 9


@dataclass
class Tally:
    """Nodes tried so far, and what became of the sequences that are not right.

    Attributes:
        budget_left: prefixes that may still be tried.
        each: what one of them takes off the budget.
        wrong: weight of the certainly wrong sequences.
        not_certified: weight of the sequences given up because no prefix was left.
    """

    budget_left: int
    wrong: int = 0
    not_certified: int = 0
    each: int = 1


@dataclass
class _Search:
    """Depth-first search of one stratum, in chunks.

    Attributes:
        high, low, completions: extremes and weights of the completions after i + 1 tokens, by state.
    """

    program: Program
    stratum: IntegerStratum
    tokens: dict[Letters, Int[np.ndarray, " n"]]
    tally: Tally
    weighing: AbstractWeighing
    high: list[dict[int, np.ndarray]]
    low: list[dict[int, np.ndarray]]
    completions: list[dict[int, Any]]
    leaves: list[Int[np.ndarray, "n k_1"]] = field(default_factory=list)

    @cached_property
    def moves(self) -> list[dict[int, list[tuple[int, Letters]]]]:
        """By layer and state: next state and letters."""
        moves: list[dict[int, list[tuple[int, Letters]]]] = []
        for layer in self.program.layers:
            moves.append({})
            for (source, target), letters in layer:
                moves[-1].setdefault(source, []).append((target, letters))
        return moves

    def visit(self, i: int, state: int, high: np.ndarray, low: np.ndarray, prefix: Int[np.ndarray, "n i"]) -> None:
        """Try every next token of some prefixes that lead to one state; `high`, `low` are their sums, `[n, rivals]`."""
        for begin in range(0, len(prefix), CHUNK):
            part = slice(begin, begin + CHUNK)
            for target, letters in self.moves[i][state]:
                self._try(i, target, self.tokens[letters], high[part], low[part], prefix[part])

    def _try(
        self, i: int, target: int, tokens: np.ndarray, high: np.ndarray, low: np.ndarray, prefix: np.ndarray
    ) -> None:
        completion = self.completions[i][target]
        count = len(prefix) * len(tokens)
        if count * self.tally.each > self.tally.budget_left:
            self.tally.not_certified += self.weighing.prefixes(
                longer_prefixes(prefix, tokens, np.arange(count)), completion
            )
            return
        self.tally.budget_left -= count * self.tally.each
        high = (high[:, np.newaxis] + self.stratum.high[i, tokens]).reshape(count, -1)
        low = (low[:, np.newaxis] + self.stratum.low[i, tokens]).reshape(count, -1)
        right = ((high + self.high[i][target]) < 0).all(1)
        wrong = ((low + self.low[i][target]) >= 0).any(1) & ~right
        self.tally.wrong += self.weighing.prefixes(longer_prefixes(prefix, tokens, np.flatnonzero(wrong)), completion)
        kept = np.flatnonzero(~right & ~wrong)
        if not kept.size:
            return
        longer = longer_prefixes(prefix, tokens, kept)
        if i == len(self.program.layers) - 1:
            self.leaves.append(longer)
        else:
            self.visit(i + 1, target, high[kept], low[kept], longer)


def search_stratum(
    weighing: AbstractWeighing, stratum: IntegerStratum, q: int, y: int, tally: Tally
) -> list[Int[np.ndarray, "n k_1"]]:
    """Sequences of a stratum that integers do not decide; the rest goes to the tally."""
    program = weighing.strata.program(q, y)
    tokens = token_sets(program, weighing.strata.letter[y])

    def extremes(table: np.ndarray, extreme: np.ufunc) -> list[dict[int, np.ndarray]]:
        def of_letters(i: int, letters: Letters) -> np.ndarray:
            return np.asarray(extreme.reduce(table[i, tokens[letters]], axis=0))

        return [*program.completions(of_letters, extreme, np.add), {0: np.zeros(table.shape[2], dtype=np.int64)}]

    high, low = extremes(stratum.high, np.maximum), extremes(stratum.low, np.minimum)
    completions = weighing.completions(program, q, y)
    search = _Search(program, stratum, tokens, tally, weighing, high, low, completions)
    search.visit(0, 0, stratum.high_last[np.newaxis], stratum.low_last[np.newaxis], np.zeros((1, 0), dtype=np.int64))
    return search.leaves
