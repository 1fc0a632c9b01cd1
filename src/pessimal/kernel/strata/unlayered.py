"""A program without its layers: for factors that are the same at every position.

Contents:
    unlayered — the same automaton from state 0 to a state where it may end.
    power — sums over paths by repeated squaring.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce

import numpy as np

from pessimal.kernel.strata.program import Letters, Moves, Operation, Program, Source, Value, representatives
from pessimal.spec.machine import DEAD


@lru_cache(maxsize=1 << 12)
def unlayered(source: Source) -> tuple[Moves, frozenset[int]]:
    """Moves, and where they may end."""
    moves, accepts = source.recogniser.with_dead
    return _loop(moves, accepts[moves[:, source.last]], source.start, source.letters)


def power(
    program: Program, factor: Callable[[Letters], Value], add: Operation[Value], multiply: Operation[Value]
) -> Value:
    """`Program.run` for factors that are the same at every position, by repeated squaring; at least one layer."""
    if program.source is None:
        raise ValueError("the program was not made from an automaton")
    loop, ends = unlayered(program.source)

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

    square: dict[tuple[int, int], Value] = {move: factor(letters) for move, letters in loop}
    row: dict[tuple[int, int], Value] | None = None
    n = len(program.layers)
    while n:
        if n & 1:
            row = {m: x for m, x in square.items() if m[0] == 0} if row is None else product(row, square)
        n >>= 1
        if n:
            square = product(square, square)
    return reduce(add, (x for (_, end), x in (row or {}).items() if end in ends))


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
    letters_of: dict[tuple[int, int], set[int]] = {}
    state_of = representatives(block)
    for name in (pending := [int(block[start])]):
        state = state_of[name]
        for letter in letters:
            to = int(block[moves[state, letter]])
            if to == dead:
                continue
            if to not in names:
                names[to] = len(names)
                pending.append(to)
            letters_of.setdefault((names[name], names[to]), set()).add(letter)
    ends = frozenset(number for name, number in names.items() if accepted[block == name].all())
    return tuple((move, frozenset(chosen)) for move, chosen in letters_of.items()), ends
