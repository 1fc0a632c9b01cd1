"""Tensors of a model as exact matrices, and what every table is made with.

Contents:
    present, optional — tensors of one head.
    plus, plus_exact — a matrix or an enclosure plus a bias that may be absent.
    plus_attention_biases — rows plus what attention adds whatever it attends to.
    side_by_side — columns of one matrix after those of another.
    times_both — rows times two matrices from the shorter side.
    attention_scale, exp_scaled — the factor on scores, and exponentials of scaled scores.
    centred_rows, centring, read_out, bias_of_logits, has_final_bias — the unembedding, a final LayerNorm folded in.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import reduce
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from pessimal.kernel.arithmetic.dyadic import exact_matrix
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.cost import matmul
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.architecture import LAYER_NORM
from pessimal.spec.weights import Weights

Some = TypeVar("Some", AbstractMatrix, AbstractEnclosure)


def optional(weights: Weights, name: str, arith: AbstractArithmetic, head: int = 0) -> AbstractMatrix | None:
    """A tensor of one head as one row, exact, or None if the model has none."""
    array = weights.get(name, head)
    return None if array is None else arith.matrix(array[np.newaxis])


def plus(left: Some, right: Some | None) -> Some:
    """A sum whose second summand may be absent."""
    return left if right is None else left + right


def plus_exact(left: AbstractEnclosure, right: AbstractMatrix | None) -> AbstractEnclosure:
    """A sum of an enclosure and an exact matrix that may be absent."""
    return left if right is None else left + right.enclose()


def plus_attention_biases(rows: AbstractMatrix, weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """Rows plus b_O and b_V W_O of every head, a constant because attention sums to one."""
    total = plus(rows, optional(weights, "b_O", arith))
    for head in range(weights.architecture.shape.n_heads):
        b_v = optional(weights, "b_V", arith, head)
        if b_v is not None:
            total = total + b_v @ arith.matrix(present(weights, "W_O", head))
    return total


def side_by_side(parts: Sequence[AbstractMatrix]) -> AbstractMatrix:
    """The columns of all parts, in order."""
    return reduce(lambda left, right: left.beside(right), parts)


def times_both(n: int, first: AbstractMatrix, second: AbstractMatrix) -> Callable[[AbstractMatrix], AbstractMatrix]:
    """Multiplies rows, n of them in all, by two matrices, with as few operations as either association takes."""
    (a, b), c = first.shape, second.shape[1]
    if matmul(n, a, b) + matmul(n, b, c) < matmul(a, b, c) + matmul(n, a, c):
        return lambda rows: (rows @ first) @ second
    product = first @ second
    return lambda rows: rows @ product


def centred_rows(rows: AbstractMatrix, arith: AbstractArithmetic, norm: str | None = LAYER_NORM) -> AbstractMatrix:
    """Rows times dI - 11^T, d their length: d times their projection onto centred vectors; for RMSNorm times dI."""
    n, d = rows.shape
    scaled = rows.scale_rows(arith.integers(np.full(n, d)))
    return scaled - rows @ arith.integers(np.ones((d, 1), dtype=np.int64)) if norm == LAYER_NORM else scaled


def centring(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """The matrix dI - 11^T of a final LayerNorm itself, or dI of a final RMSNorm."""
    arch = weights.architecture
    return centred_rows(arith.integers(np.eye(arch.shape.d_model, dtype=np.int64)), arith, arch.ln_final)


def read_out(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """W_U with the centring and the gain of a final LayerNorm folded in, `[d_model, d_vocab_out]`."""
    unembed = arith.matrix(weights["W_U"])
    if not weights.architecture.ln_final:
        return unembed
    gain = weights.get("ln_final_w")
    if gain is not None:
        unembed = unembed.scale_rows(arith.matrix(gain))
    # dI - 11^T is symmetric.
    return centred_rows(unembed.transpose(), arith, weights.architecture.ln_final).transpose()


def bias_of_logits(
    weights: Weights, matrix: Callable[[np.ndarray], AbstractMatrix], name: str = "ln_final_b"
) -> AbstractMatrix | None:
    """C = ln_final_b W_U + b_U, `[1, d_vocab_out]`, or None if the model has neither; `matrix` of an arithmetic.

    `name`: the bias that stands for ln_final_b.
    """
    vectors = (weights.get(name), weights.get("b_U"))
    bias, shift = (None if vector is None else matrix(vector[np.newaxis]) for vector in vectors)
    return shift if bias is None else plus(bias @ matrix(weights["W_U"]), shift)


def has_final_bias(weights: Weights) -> bool:
    """Whether a final LayerNorm is followed by a bias that differs between outputs (decided exactly)."""
    bias = bias_of_logits(weights, exact_matrix) if weights.architecture.ln_final else None
    return bias is not None and not bias.is_constant()


def present(weights: Weights, name: str, head: int) -> Float[np.ndarray, "a b"]:
    """A matrix of one head; raises `Rejected(unsupported-model)` if the model has none."""
    array = weights.get(name, head)
    if array is None:
        raise Rejected(Reason.UNSUPPORTED_MODEL, f"tensor {name!r} is missing")
    return array


def attention_scale(weights: Weights, arith: AbstractArithmetic) -> AbstractEnclosure | None:
    """c_attn, shape (), or None for 1."""
    scale = weights.architecture.scale()
    if scale is None:
        return arith.fraction(Fraction(1, weights.architecture.shape.d_head)).sqrt()
    return None if scale == 1 else arith.fraction(scale)


def exp_scaled(shifted: AbstractEnclosure, scale: AbstractEnclosure | None) -> AbstractEnclosure:
    """Exponentials of shifted scores times c_attn."""
    return (shifted if scale is None else shifted * scale).exp()
