"""Sums of smallest terms: what is certainly right, move by move.

Contents:
    LetterMinima — smallest margins of the tokens with each letter.
    uncertified — the moves of a program that some path leaves open.
"""

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.strata.program import Letters, Moves, Program
from pessimal.kernel.strata.weighing import AbstractWeighing


class LetterMinima:
    """Minima over the tokens of a set of letters, `[K-1, rivals]`, each computed once."""

    def __init__(self, terms: AbstractEnclosure, letter: np.ndarray) -> None:
        """`terms` are g, `[K-1, tokens, rivals]`; `letter` those of the same tokens."""
        self._terms = terms
        self._letter = letter
        self._known: dict[Letters, AbstractEnclosure] = {}

    def __call__(self, letters: Letters) -> AbstractEnclosure:
        """Minimum over all tokens with one of the letters."""
        if letters not in self._known:
            first, *rest = sorted(letters)
            if rest:
                least = self(frozenset({first}))
                for letter in rest:
                    least = least.minimum(self(frozenset({letter})))
            else:
                least = self._terms[:, np.flatnonzero(self._letter == first)].min(1)
            self._known[letters] = least
        return self._known[letters]


def uncertified(weighing: AbstractWeighing, q: int, y: int, least: LetterMinima, tail: AbstractEnclosure) -> int:
    """Weight of the sequences of stratum (q, y) none of whose moves is certified.

    Args:
        weighing: the question's.
        q: last token.
        y: right output.
        least: minima of the terms of the tokens before the last.
        tail: g_{K-1}(q), `[rivals]`.
    """
    program = weighing.strata.program(q, y)
    n = len(program.layers)

    def forward_factor(i: int, letters: Letters) -> AbstractEnclosure:
        return least(letters)[0] + tail if i == 0 else least(letters)[i]

    def plus(a: AbstractEnclosure, b: AbstractEnclosure) -> AbstractEnclosure:
        return a + b

    def smaller(a: AbstractEnclosure, b: AbstractEnclosure) -> AbstractEnclosure:
        return a.minimum(b)

    forward = program.prefixes(forward_factor, smaller, plus)
    backward = program.reversed().prefixes(lambda i, letters: least(letters)[n - 1 - i], smaller, plus)
    left: list[Moves] = []
    for i, layer in enumerate(program.layers):
        open_moves = []
        for (source, target), letters in layer:
            through = forward_factor(0, letters) if i == 0 else forward[i - 1][source] + least(letters)[i]
            if i < n - 1:
                through = through + backward[n - 2 - i][target]
            if not through.positive().all():
                open_moves.append(((source, target), letters))
        left.append(tuple(open_moves))
    return weighing.paths(left, q, y)


def program_flops(program: Program) -> int:
    """Operations per rival of `uncertified`, the minima over single letters apart."""
    sets = {letters for layer in program.layers for _, letters in layer}
    n = len(program.layers)
    flops = sum(n * (len(letters) - 1) for letters in sets)

    def passes(one: Program, extra: int) -> int:
        moves = [len(layer) for layer in one.layers]
        states = [len({target for (_, target), _ in layer}) for layer in one.layers]
        return sum(m - s for m, s in zip(moves, states, strict=True)) + sum(moves[1:]) + extra * moves[0]

    moves = [len(layer) for layer in program.layers]
    flops += passes(program, 1) + passes(program.reversed(), 0)
    return flops + sum(moves) + sum(moves[:-1]) + sum(moves)
