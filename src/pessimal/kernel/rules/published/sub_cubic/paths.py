r"""The paths of the model that the sub-cubic rule bounds one by one.

With $\bar P$ the mean of the first K positions and $\hat P_i = W_{pos}[i] - \bar P$,

$$ \mathrm{score}_i = c_{attn}(\,\mathrm{EQKE}[q, t_i] + \mathrm{EQKP}[q, i]\,),\quad
\mathrm{EQKE} = (E_qW_Q + b_Q)\,W_K^T E_k^T,\; E_q = W_E + W_{pos}[K-1],\; E_k = W_E + \bar P, $$
$$ \mathrm{logit}_x = D_x(q) + \textstyle\sum_i a_i(\mathrm{EVOU}[t_i, x] + \mathrm{PVOU}[i, x]) . $$

The split is exact for every vector in the place of $\bar P$, so its rounding costs nothing. $b_OU$, $b_VW_OU$ belong
to the direct path; $b_U$ is the same at every position and rides on PVOU; $b_K$ cancels in the softmax.

Contents:
    Paths, model_paths — factors and tables.
    spread — largest less smallest entry along an axis.
    outer — product of a column and a row.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.model.tensors import attention_scale, optional, plus_exact, read_out
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Paths:
    """Factors and tables of one model.

    Attributes:
        query: E_q, `[d_vocab, d_model]`.
        key: E_k, `[d_vocab, d_model]`.
        w_q: W_Q, `[d_model, d_head]`.
        w_k: W_K, `[d_model, d_head]`.
        key_bias: b_Q W_K^T E_k^T, `[d_vocab]`, or None.
        position_score: EQKP, `[d_vocab, k]`.
        direct: residual at the last position without attention, `[d_vocab, d_model]`.
        unembed: W_U, a final LayerNorm folded in, `[d_model, d_vocab_out]`.
        value: EVOU, `[d_vocab, d_vocab_out]`, in logits.
        position_value: PVOU + b_U, `[k, d_vocab_out]`, in logits.
        scale: c_attn, shape (), or None for 1.
    """

    query: AbstractEnclosure
    key: AbstractEnclosure
    w_q: AbstractEnclosure
    w_k: AbstractEnclosure
    key_bias: AbstractEnclosure | None
    position_score: AbstractEnclosure
    direct: AbstractEnclosure
    unembed: AbstractEnclosure
    value: AbstractEnclosure
    position_value: AbstractEnclosure
    scale: AbstractEnclosure | None


def spread(x: AbstractEnclosure, axis: int) -> AbstractEnclosure:
    """Largest less smallest entry: the row difference max_ij (x_i - x_j)."""
    return x.max(axis) - x.min(axis)


def outer(column: AbstractEnclosure, row: AbstractEnclosure) -> AbstractEnclosure:
    """The table `column[i] * row[j]` of a column and a row."""
    return column.reshape(-1, 1) * row.reshape(1, -1)


def model_paths(weights: Weights, arith: AbstractArithmetic) -> Paths:
    """Factors and tables of a model that `require_single_additive_head` accepts."""
    shape = weights.architecture.shape

    def exact(array: np.ndarray) -> AbstractEnclosure:
        return arith.matrix(array).enclose()

    embed, positions = exact(weights["W_E"]), exact(weights["W_pos"][: shape.k])
    w_q, w_k, w_v, w_o = (exact(weights[name]) for name in ("W_Q", "W_K", "W_V", "W_O"))
    mean = positions.sum(0) * Fraction(1, shape.k)
    query, key = embed + positions[shape.k - 1], embed + mean
    back = w_k.T
    centred = back @ (positions - mean).T  # [d_head, k]
    position_score = query @ (w_q @ centred)
    b_q, b_o, b_v, b_u = (optional(weights, name, arith) for name in ("b_Q", "b_O", "b_V", "b_U"))
    key_bias = None
    if b_q is not None:
        row = b_q.enclose()
        position_score = position_score + row @ centred
        key_bias = (row @ back @ key.T)[0]
    direct = plus_exact(query, b_o)
    direct = direct if b_v is None else direct + b_v.enclose() @ w_o
    unembed = read_out(weights, arith).enclose()
    ovu = w_v @ (w_o @ unembed)
    position_value = positions @ ovu
    if b_u is not None and not weights.architecture.ln_final:
        position_value = position_value + b_u.enclose()
    return Paths(
        query=query,
        key=key,
        w_q=w_q,
        w_k=w_k,
        key_bias=key_bias,
        position_score=position_score,
        direct=direct,
        unembed=unembed,
        value=embed @ ovu,
        position_value=position_value,
        scale=attention_scale(weights, arith),
    )
