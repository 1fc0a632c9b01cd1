"""A program: the layered automaton of the tokens before the last of a stratum, and sums over its paths.

Contents:
    Program — layers of moves; a move is a set of letters.
    left_over, make_program — the program of one start state and one last letter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import DEAD, Recogniser

Value = TypeVar("Value")


Letters = frozenset[int]


Moves = tuple[tuple[tuple[int, int], Letters], ...]


@dataclass(frozen=True)
class Program:
    """The tokens before the last: `layers[i]` maps (state, next state) to the letters that lead there.

    The only state before the first token and the only one after the last is 0; every move lies on a path between them.

    Attributes:
        layers: K - 1 of them; none if K = 1.
        unlayered: makes `loop` and `ends`, which few rules need.
        empty: no sequence belongs to the stratum.
    """

    layers: tuple[Moves, ...]
    unlayered: Callable[[], tuple[Moves, frozenset[int]]] = lambda: ((), frozenset())
    empty: bool = False

    @cached_property
    def _unlayered(self) -> tuple[Moves, frozenset[int]]:
        return self.unlayered()

    @property
    def loop(self) -> Moves:
        """The same automaton without layers, from state 0 to a state of `ends`: for factors equal at all positions."""
        return self._unlayered[0]

    @property
    def ends(self) -> frozenset[int]:
        """Where `loop` may end."""
        return self._unlayered[1]

    def run(
        self,
        factor: Callable[[int, Letters], Value],
        add: Callable[[Value, Value], Value],
        multiply: Callable[[Value, Value], Value],
    ) -> Value:
        """Sum over paths of the product of their factors, position by position; needs at least one layer.

        Args:
            factor: position and letters to the sum over the tokens with these letters.
            add: sum of two values.
            multiply: product of a value over the positions so far and a factor.
        """
        return self.prefixes(factor, add, multiply)[-1][0]

    def prefixes(
        self,
        factor: Callable[[int, Letters], Value],
        add: Callable[[Value, Value], Value],
        multiply: Callable[[Value, Value], Value],
    ) -> list[dict[int, Value]]:
        """Per position, the sum over the paths that lead to each state after it."""
        states: list[dict[int, Value]] = []
        for i, layer in enumerate(self.layers):
            after: dict[int, Value] = {}
            for (source, target), letters in layer:
                term = factor(i, letters)
                if i > 0:
                    term = multiply(states[-1][source], term)
                after[target] = add(after[target], term) if target in after else term
            states.append(after)
        return states

    @property
    def n_moves(self) -> int:
        """Moves of all layers."""
        return sum(map(len, self.layers))

    def visits(self) -> int:
        """Paths from the start to anywhere: how often a search that takes one path at a time stands at a state."""
        found, paths = 0, {0: 1}
        for layer in self.layers:
            after: dict[int, int] = {}
            for (source, target), _ in layer:
                after[target] = after.get(target, 0) + paths.get(source, 0)
            paths = after
            found += sum(paths.values())
        return found

    def reversed(self) -> "Program":
        """The same paths from the last position to the first."""
        return Program(
            tuple(
                tuple(((target, source), letters) for (source, target), letters in layer)
                for layer in reversed(self.layers)
            )
        )

    def power(
        self,
        factor: Callable[[Letters], Value],
        add: Callable[[Value, Value], Value],
        multiply: Callable[[Value, Value], Value],
    ) -> Value:
        """`run` for factors that are the same at every position, by repeated squaring; needs at least one layer."""

        def product(
            left: dict[tuple[int, int], Value], right: dict[tuple[int, int], Value]
        ) -> dict[tuple[int, int], Value]:
            out: dict[tuple[int, int], Value] = {}
            for (a, b), x in left.items():
                for (c, d), y in right.items():
                    if b == c:
                        term = multiply(x, y)
                        out[a, d] = add(out[a, d], term) if (a, d) in out else term
            return out

        square: dict[tuple[int, int], Value] = {move: factor(letters) for move, letters in self.loop}
        row: dict[tuple[int, int], Value] | None = None
        n = len(self.layers)
        while n:
            if n & 1:
                row = {m: x for m, x in square.items() if m[0] == 0} if row is None else product(row, square)
            n >>= 1
            if n:
                square = product(square, square)
        found = [x for (_, end), x in (row or {}).items() if end in self.ends]
        total = found[0]
        for one in found[1:]:
            total = add(total, one)
        return total


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
    moves, accepts = recogniser.with_dead
    if block[0][start] == DEAD:
        return NO_PROGRAM
    names = {int(block[0][start]): 0}
    layers = []
    for here, ahead in pairwise(block):
        layer, names = _layer(moves, here, ahead, names, letters)
        layers.append(layer)
    return Program(tuple(layers), lambda: _loop(moves, accepts[moves[:, last]], start, letters))


def _representatives(block: np.ndarray) -> dict[int, int]:
    """The first state of every block."""
    names, states = np.unique(block, return_index=True)
    return dict(zip(names.tolist(), states.tolist(), strict=True))


def _layer(
    moves: np.ndarray, block: np.ndarray, ahead: np.ndarray, names: dict[int, int], letters: Sequence[int]
) -> tuple[Moves, dict[int, int]]:
    """Moves from the named blocks to those ahead, and the names of these."""
    found: dict[tuple[int, int], set[int]] = {}
    after: dict[int, int] = {}
    state_of = _representatives(block)
    for name, source in names.items():
        state = state_of[name]
        for letter in letters:
            to = int(ahead[moves[state, letter]])
            if to != DEAD:
                found.setdefault((source, after.setdefault(to, len(after))), set()).add(letter)
    return tuple((move, frozenset(some)) for move, some in found.items()), after


def _loop(moves: np.ndarray, accepted: np.ndarray, start: int, letters: Sequence[int]) -> tuple[Moves, frozenset[int]]:
    """Minimal automaton of the sequences of any length after which a state of `accepted` is reached."""
    block = accepted.astype(np.int64)
    while True:
        signature = np.column_stack([block, block[moves[:, letters]]])
        refined = np.unique(signature, axis=0, return_inverse=True)[1].reshape(-1)
        if refined.max() == block.max():
            break
        block = refined
    dead = int(block[DEAD])  # the last state of `moves`
    names = {int(block[start]): 0}
    found: dict[tuple[int, int], set[int]] = {}
    state_of = _representatives(block)
    for name in (pending := [int(block[start])]):
        state = state_of[name]
        for letter in letters:
            to = int(block[moves[state, letter]])
            if to == dead:
                continue
            if to not in names:
                names[to] = len(names)
                pending.append(to)
            found.setdefault((names[name], names[to]), set()).add(letter)
    ends = frozenset(number for name, number in names.items() if accepted[block == name].all())
    return tuple((move, frozenset(some)) for move, some in found.items()), ends
