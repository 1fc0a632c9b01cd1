r"""Sums of smallest terms: what is certainly right, move by move.

Theorem. A sequence that takes a move which `open_moves` calls closed has a positive sum of terms against every rival.

*Proof.* Each term is at least its minimum over the letters of its move, so the sum is at least the least, over the
paths through the move, of the sums of such minima and the tail: the least sum up to the move's source, the move, the
least sum from its target on (`Program.prefixes` and `Program.completions` with minimum for sum and sum for product). A
move is closed where that is certainly positive for all rivals. ∎

Contents:
    smaller — the smaller of two enclosures.
    letter_minima — smallest margins of the tokens with each letter.
    open_moves — the moves of a program that may be part of a wrong sequence, query by query.
"""

from operator import add

import numpy as np
from jaxtyping import Bool

from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.strata.program import Letters, LetterSums, Move, Program


def smaller(a: AbstractEnclosure, b: AbstractEnclosure) -> AbstractEnclosure:
    """The entrywise smaller of two enclosures."""
    return a.minimum(b)


def letter_minima(terms: AbstractEnclosure, letter: np.ndarray) -> LetterSums[AbstractEnclosure]:
    """Minima over the tokens of a set of letters, `[K-1, Q, rivals]`.

    Args:
        terms: g of Q queries, `[K-1, Q, tokens, rivals]`.
        letter: those of the same tokens.
    """
    return LetterSums(lambda kind: terms[:, :, np.flatnonzero(letter == kind)].min(2), smaller)


def open_moves(
    program: Program, least: LetterSums[AbstractEnclosure], tail: AbstractEnclosure
) -> list[list[tuple[Bool[np.ndarray, " Q"], Move]]]:
    """By layer, the moves of a program, and for which queries a sequence that takes them may be wrong.

    Args:
        program: that of all the strata.
        least: minima of the terms of the tokens before the last.
        tail: g_{K-1}(q), `[Q, rivals]`.
    """
    n = len(program.layers)

    def forward_factor(i: int, letters: Letters) -> AbstractEnclosure:
        return least(letters)[0] + tail if i == 0 else least(letters)[i]

    forward = program.prefixes(forward_factor, smaller, add)
    backward = program.completions(lambda i, letters: least(letters)[i], smaller, add)
    layers = []
    for i, layer in enumerate(program.layers):
        moves = []
        for (source, target), letters in layer:
            through = forward_factor(0, letters) if i == 0 else forward[i - 1][source] + least(letters)[i]
            if i < n - 1:
                through = through + backward[i][target]
            moves.append((np.asarray(~through.positive().all(1)), ((source, target), letters)))
        layers.append(moves)
    return layers
