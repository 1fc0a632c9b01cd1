"""Tensors of a model as exact matrices, and what every table is made with.

Contents:
    present, optional — tensors of one head.
    plus — a matrix plus a bias that may be absent.
    product, times_both — enclosed products; rows times two matrices from the shorter side.
    attention_scale, exp_scaled — the factor on scores, and exponentials of scaled scores.
    centred_rows, centring, read_out, bias_of_logits, has_final_bias — the unembedding, a final LayerNorm folded in.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from pessimal.kernel.arithmetic.float64 import Float64Arithmetic
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.cost import left_first
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.weights import Weights


def optional(weights: Weights, name: str, arith: AbstractArithmetic, head: int = 0) -> AbstractMatrix | None:
    """A tensor of one head as one row, exact, or None if the model has none."""
    array = weights.get(name, head)
    return None if array is None else arith.matrix(array[np.newaxis])


def plus(left: AbstractMatrix, right: AbstractMatrix | None) -> AbstractMatrix:
    """A sum whose second summand may be absent."""
    return left if right is None else left + right


def times_both(n: int, first: AbstractMatrix, second: AbstractMatrix) -> Callable[[AbstractMatrix], AbstractMatrix]:
    """Multiplies rows, n of them in all, by two matrices, with as few operations as either association takes.

    Cost: `cost.times_both_flops`.
    """
    if left_first(n, first.shape[0], first.shape[1], second.shape[1]):
        return lambda rows: (rows @ first) @ second
    both = first @ second
    return lambda rows: rows @ both


def centred_rows(rows: AbstractMatrix, arith: AbstractArithmetic) -> AbstractMatrix:
    """Rows times dI - 11^T, d their length: d times their projection onto centred vectors."""
    n, d = rows.shape
    return rows.scale_rows(arith.integers(np.full(n, d))) - rows @ arith.integers(np.ones((d, 1), dtype=np.int64))


def centring(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """The matrix itself."""
    return centred_rows(arith.integers(np.eye(weights.architecture.shape.d_model, dtype=np.int64)), arith)


def read_out(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """W_U with the centring and the gain of a final LayerNorm folded in, `[d_model, d_vocab_out]`."""
    unembed = arith.matrix(weights["W_U"])
    if not weights.architecture.ln_final:
        return unembed
    gain = weights.get("ln_final_w")
    if gain is not None:
        unembed = unembed.scale_rows(arith.matrix(gain))
    # dI - 11^T is symmetric.
    return centred_rows(unembed.transpose(), arith).transpose()


def bias_of_logits(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """C = ln_final_b W_U + b_U, `[1, d_vocab_out]`."""
    zero = arith.integers(np.zeros((1, weights.architecture.shape.d_vocab_out), dtype=np.int64))
    total = plus(zero, optional(weights, "b_U", arith))
    bias = optional(weights, "ln_final_b", arith)
    return total if bias is None else total + bias @ arith.matrix(weights["W_U"])


def has_final_bias(weights: Weights) -> bool:
    """Whether a final LayerNorm is followed by a bias that differs between outputs (decided exactly)."""
    return weights.architecture.ln_final and not bias_of_logits(weights, Float64Arithmetic()).is_constant()


def present(weights: Weights, name: str, head: int) -> Float[np.ndarray, "a b"]:
    """A matrix of one head; raises `Rejected(unsupported-model)` if the model has none."""
    array = weights.get(name, head)
    if array is None:
        raise Rejected(Reason.UNSUPPORTED_MODEL, f"tensor {name!r} is missing")
    return array


def attention_scale(weights: Weights, arith: AbstractArithmetic) -> AbstractEnclosure | None:
    """c_attn, shape (), or None for 1."""
    if weights.architecture.attn_scale == "1":
        return None
    d_head = weights.architecture.shape.d_head
    return arith.fraction(Fraction(1, d_head)).sqrt()


def exp_scaled(shifted: AbstractEnclosure, scale: AbstractEnclosure | None) -> AbstractEnclosure:
    """Exponentials of shifted scores times c_attn."""
    return (shifted if scale is None else shifted * scale).exp()


def product(left: AbstractEnclosure, right: AbstractEnclosure) -> AbstractEnclosure:
    """Matrix product of two 2-D enclosures, one column of `left` times one row of `right` at a time."""
    total = left[:, :1] * right[:1]
    for j in range(1, left.shape[1]):
        total = total + left[:, j : j + 1] * right[j : j + 1]
    return total
