"""Depth-first search over the prefixes of a stratum, in exact integers, with a tally of what may be tried.

Contents:
    Tally — prefixes left, what was certainly wrong, what stayed open.
    search_stratum — the sequences of a stratum that integers do not decide.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from pessimal.kernel.counting.integers import IntegerStratum, token_sets
from pessimal.kernel.strata.program import Letters, Program
from pessimal.kernel.strata.weighing import AbstractWeighing

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

    @cached_property
    def moves(self) -> list[dict[int, list[tuple[int, Letters]]]]:
        """By layer and state: next state and letters."""
        found: list[dict[int, list[tuple[int, Letters]]]] = []
        for layer in self.program.layers:
            found.append({})
            for (source, target), letters in layer:
                found[-1].setdefault(source, []).append((target, letters))
        return found

    def visit(self, i: int, state: int, high: np.ndarray, low: np.ndarray, prefix: Int[np.ndarray, "n i"]) -> None:
        """Try every next token of some prefixes that lead to one state; `high`, `low` are their sums, `[n, rivals]`."""
        for begin in range(0, len(prefix), CHUNK):
            part = slice(begin, begin + CHUNK)
            for target, letters in self.moves[i][state]:
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
