"""A program: the layered automaton of the tokens before the last of a stratum, and sums over its paths.

Contents:
    Operation — of two values, a sum or a product.
    Letters, Move, Moves — a set of letters; two states joined by one; the moves of a layer.
    Program — layers of moves; a move is a set of letters.
    LetterSums — sums over the tokens of a set of letters, from those of each letter.
    Source — what a program was made from.
    NO_PROGRAM — that of a stratum without a sequence.
    left_over, make_program, representatives — the program of one start state and one last letter.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import DEAD, Recogniser

Value = TypeVar("Value")
Operation = Callable[[Value, Value], Value]

Letters = frozenset[int]
Move = tuple[tuple[int, int], Letters]
Moves = tuple[Move, ...]


class LetterSums(Generic[Value]):
    """The sum over the tokens with some letters, from the sums of single letters; each is computed once."""

    def __init__(self, of_letter: Callable[[int], Value], add: Operation[Value]) -> None:
        """`of_letter`: the sum over the tokens with one letter; `add`: that of two disjoint sets of tokens."""
        self._of_letter, self._add = of_letter, add
        self._known: dict[Letters, Value] = {}

    def __call__(self, letters: Letters) -> Value:
        """The sum over all tokens with one of the letters."""
        if letters not in self._known:
            first, *rest = sorted(letters)
            if rest:
                self._known[letters] = reduce(self._add, (self(frozenset({letter})) for letter in (first, *rest)))
            else:
                self._known[letters] = self._of_letter(first)
        return self._known[letters]


@dataclass(frozen=True, eq=False)
class Source:
    """What a program was made from: an automaton, its start state, the last letter, and the letters before it."""

    recogniser: Recogniser
    start: int
    last: int
    letters: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """The tokens before the last: `layers[i]` maps (state, next state) to the letters that lead there.

    The only state before the first token and the only one after the last is 0; every move lies on a path between them.

    Attributes:
        layers: K - 1 of them; none if K = 1.
        source: what it was made from.
        empty: no sequence belongs to the stratum.
    """

    layers: tuple[Moves, ...]
    source: "Source | None" = None
    empty: bool = False

    def run(self, factor: Callable[[int, Letters], Value], add: Operation[Value], multiply: Operation[Value]) -> Value:
        """Sum over paths of the product of their factors, position by position; needs at least one layer.

        Args:
            factor: position and letters to the sum over the tokens with these letters.
            add: sum of two values.
            multiply: product of a value over the positions so far and a factor.
        """
        return deque(self._passed(factor, add, multiply), maxlen=1).pop()[0]

    def prefixes(
        self, factor: Callable[[int, Letters], Value], add: Operation[Value], multiply: Operation[Value]
    ) -> list[dict[int, Value]]:
        """Per position, the sum over the paths to each state after it; moves that no path reaches are left out."""
        return list(self._passed(factor, add, multiply))

    def _passed(
        self, factor: Callable[[int, Letters], Value], add: Operation[Value], multiply: Operation[Value]
    ) -> Iterator[dict[int, Value]]:
        states: dict[int, Value] = {}
        for i, layer in enumerate(self.layers):
            after: dict[int, Value] = {}
            for (source, target), letters in layer:
                if i > 0 and source not in states:
                    continue
                term = factor(i, letters)
                if i > 0:
                    term = multiply(states[source], term)
                after[target] = add(after[target], term) if target in after else term
            states = after
            yield states

    def completions(
        self, factor: Callable[[int, Letters], Value], add: Operation[Value], multiply: Operation[Value]
    ) -> list[dict[int, Value]]:
        """Per position but the last, the sum over the paths from each state after it to the end."""
        last = len(self.layers) - 1
        return self.reversed().prefixes(lambda i, letters: factor(last - i, letters), add, multiply)[-2::-1]

    @property
    def n_moves(self) -> int:
        """How many moves all layers have together."""
        return sum(map(len, self.layers))

    def visits(self) -> int:
        """Paths from the start to anywhere: how often a search that takes one path at a time stands at a state."""
        count, paths = 0, {0: 1}
        for layer in self.layers:
            after: dict[int, int] = {}
            for (source, target), _ in layer:
                after[target] = after.get(target, 0) + paths.get(source, 0)
            paths = after
            count += sum(paths.values())
        return count

    def reversed(self) -> "Program":
        """The program of the same paths from the last position to the first."""
        return Program(
            tuple(
                tuple(((target, source), letters) for (source, target), letters in layer)
                for layer in reversed(self.layers)
            )
        )


NO_PROGRAM = Program((), empty=True)


def left_over(recogniser: Recogniser, last: int, n: int, letters: Sequence[int]) -> list[Int[np.ndarray, " n_states"]]:
    """By tokens read, 0 .. n, and state: what is left of n tokens and the last letter, as a number, or `DEAD`.

    States with one number accept the same rest; `DEAD` ones accept none.
    """
    moves, accepts = recogniser.with_dead
    block = [np.where(accepts[moves[:, last]], 0, DEAD)]
    for _ in range(n):
        ahead = block[-1][moves[:, letters]]
        number = np.unique(ahead, axis=0, return_inverse=True)[1].reshape(-1)
        block.append(np.where((ahead != DEAD).any(1), number, DEAD))
    return block[::-1]


def make_program(
    recogniser: Recogniser, start: int, last: int, letters: Sequence[int], block: list[np.ndarray]
) -> Program:
    """Minimal layered automaton of tokens with these letters after which the last letter is accepted from `start`.

    `block`: of `left_over`, for these letters and as many tokens as there are layers.
    """
    moves, _ = recogniser.with_dead
    if block[0][start] == DEAD:
        return NO_PROGRAM
    names = {int(block[0][start]): 0}
    layers = []
    for here, ahead in pairwise(block):
        layer, names = _layer(moves, here, ahead, names, letters)
        layers.append(layer)
    return Program(tuple(layers), Source(recogniser, start, last, tuple(letters)))


def representatives(block: np.ndarray) -> dict[int, int]:
    """The first state of every block."""
    names, states = np.unique(block, return_index=True)
    return dict(zip(names.tolist(), states.tolist(), strict=True))


def _layer(
    moves: np.ndarray, block: np.ndarray, ahead: np.ndarray, names: dict[int, int], letters: Sequence[int]
) -> tuple[Moves, dict[int, int]]:
    """Moves from the named blocks to those ahead, and the names of these."""
    letters_of: dict[tuple[int, int], set[int]] = {}
    after: dict[int, int] = {}
    state_of = representatives(block)
    for name, source in names.items():
        state = state_of[name]
        for letter in letters:
            to = int(ahead[moves[state, letter]])
            if to != DEAD:
                letters_of.setdefault((source, after.setdefault(to, len(after))), set()).add(letter)
    return tuple((move, frozenset(chosen)) for move, chosen in letters_of.items()), after
