r"""What scores and values both start from: rows less their means.

Any vector may stand in for a mean, as long as the same one is used throughout; its rounding costs nothing.

Contents:
    CentredRows, make_centred_rows — tokens and positions less their means, and the means.
    norms — Euclidean length of every row.
    smallest — the least of some enclosures, entry by entry.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class CentredRows:
    r"""Rows less their means, and the means.

    Attributes:
        tokens, mean_token: of W_E, `[d_vocab, d_model]` and `[d_model]`. The queries x_q = W_E[q] + W_pos[K-1] less
            their mean are the same rows: $e_q = \hat E_q$.
        lengths: of `tokens`, `[d_vocab]`.
        positions, mean_position: of the first K rows of W_pos, `[k, d_model]` and `[d_model]`.
        mean_query: of x_q, `[d_model]`.
    """

    tokens: AbstractEnclosure
    mean_token: AbstractEnclosure
    lengths: AbstractEnclosure
    positions: AbstractEnclosure
    mean_position: AbstractEnclosure
    mean_query: AbstractEnclosure


def make_centred_rows(weights: Weights, arith: AbstractArithmetic) -> CentredRows:
    """The centred rows of a model."""
    k = weights.architecture.shape.k
    positions = arith.matrix(weights["W_pos"][:k]).enclose()
    tokens, mean_token = _centred(arith.matrix(weights["W_E"]).enclose())
    hats, mean_position = _centred(positions)
    return CentredRows(tokens, mean_token, norms(tokens), hats, mean_position, mean_token + positions[k - 1])


def _centred(rows: AbstractEnclosure) -> tuple[AbstractEnclosure, AbstractEnclosure]:
    mean = rows.sum(0) * Fraction(1, rows.shape[0])
    return rows - mean, mean


def norms(rows: AbstractEnclosure) -> AbstractEnclosure:
    """Length of every row; a sum of squares is not negative, whatever its enclosure says."""
    return (rows * rows).sum(1).absolute().sqrt()


def smallest(bounds: list[AbstractEnclosure]) -> AbstractEnclosure:
    """Entrywise minimum of at least one enclosure."""
    return reduce(lambda a, b: a.minimum(b), bounds)
