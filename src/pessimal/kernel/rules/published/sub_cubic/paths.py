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
from pessimal.kernel.cost import matmul
from pessimal.kernel.model.tables import columns_flops
from pessimal.kernel.model.tensors import attention_scale, optional, product, read_out
from pessimal.spec.architecture import Architecture
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


def spread_flops(rows: int, n: int) -> int:
    """Operations of `spread`."""
    return rows * (2 * n - 1)


def outer(column: AbstractEnclosure, row: AbstractEnclosure) -> AbstractEnclosure:
    """`column[i] * row[j]`."""
    return column.reshape(-1, 1) * row.reshape(1, -1)


def model_paths(weights: Weights, arith: AbstractArithmetic) -> Paths:
    """Factors and tables of a model that `require_single_additive_head` accepts.

    Cost: `paths_flops`.
    """
    shape = weights.architecture.shape

    def exact(array: np.ndarray) -> AbstractEnclosure:
        return arith.matrix(array).enclose()

    embed, positions = exact(weights["W_E"]), exact(weights["W_pos"][: shape.k])
    w_q, w_k, w_v, w_o = (exact(weights[name]) for name in ("W_Q", "W_K", "W_V", "W_O"))
    mean = positions.sum(0) * arith.fraction(Fraction(1, shape.k))
    query, key = embed + positions[shape.k - 1], embed + mean
    back = w_k.transpose(1, 0)
    centred = product(back, (positions - mean).transpose(1, 0))  # [d_head, k]
    position_score = product(query, product(w_q, centred))
    b_q, b_o, b_v, b_u = (optional(weights, name, arith) for name in ("b_Q", "b_O", "b_V", "b_U"))
    key_bias = None
    if b_q is not None:
        row = b_q.enclose()
        position_score = position_score + product(row, centred)
        key_bias = product(product(row, back), key.transpose(1, 0))[0]
    direct = query if b_o is None else query + b_o.enclose()
    direct = direct if b_v is None else direct + product(b_v.enclose(), w_o)
    unembed = read_out(weights, arith).enclose()
    ovu = product(w_v, product(w_o, unembed))
    position_value = product(positions, ovu)
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
        value=product(embed, ovu),
        position_value=position_value,
        scale=attention_scale(weights, arith),
    )


def paths_flops(arch: Architecture) -> int:
    """Operations of `model_paths`."""
    s = arch.shape
    v, k, m, h, o = s.d_vocab, s.k, s.d_model, s.d_head, s.d_vocab_out
    biases = set(arch.biases)
    flops = k * m + 2 * v * m + k * m  # mean, queries, keys, centred positions
    flops += matmul(h, m, k) + matmul(m, h, k) + matmul(v, m, k)  # EQKP
    flops += matmul(h, m, o) + matmul(m, h, o) + matmul(v, m, o) + matmul(k, m, o)  # EVOU, PVOU
    flops += ("b_Q" in biases) * (matmul(1, h, k) + v * k + matmul(1, h, m) + matmul(1, m, v))
    flops += ("b_O" in biases) * v * m + ("b_V" in biases) * (matmul(1, h, m) + v * m)
    flops += columns_flops(arch, gain=arch.ln_final) + ("b_U" in biases and not arch.ln_final) * k * o
    return flops + (arch.attn_scale != "1")
