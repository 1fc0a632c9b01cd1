r"""Weights to the tables that the rules share.

Notation of the specification: $x_i(t) = W_E[t] + W_{pos}[i]$, $n_i(t)$ the same after an optional LayerNorm, query
$q$ at position $L = K-1$. For one head, up to factors common to all $(i, t)$ of a query, which the softmax cancels,

$$ w_i(q,t) = e^{s_i(q,t) - c(q)},\quad s_i(q,t) = c_{attn}\,(n_L(q)W_QW_K^T + b_QW_K^T)\cdot n_i(t), $$
$$ V_i(t) = n_i(t) W_VW_O\,U,\qquad D(q) = (x_L(q) + b_O + \textstyle\sum_h b_VW_O)\,U + b_U, $$

and $\mathrm{logit}_o = D_o + \sum_h \sum_i w_iV_{i,o} / \sum_i w_i$. The terms with $b_K$ are constant over $(i,t)$ and
dropped; $b_VW_O$ is a constant because attention sums to one. $c(q)$ is a row maximum, taken exactly.

Final LayerNorm: with $d = d_{model}$, $U = (dI - 11^T)\,\mathrm{diag}(w)\,W_U$ folds centring and gain (all logits are
multiplied by the same positive $d\sigma$). Its biases do not fold: they add $C_o\,d\sigma$, $C = bW_U + b_U$.

Without LayerNorm before attention the score is a token part plus a position part, so
$w_i(q,t) = a(q,t)\,\pi_i(q)$ and $V_i(t) = \mathrm{EVOU}[t] + \mathrm{PVOU}[i]$ (`AdditiveTables`).

Rows times two matrices are multiplied from whichever side is shorter (`tensors.times_both`), so that few tokens never
cost a table of d_model^2 entries; the numbers are exact, and the same either way.

Contents:
    AdditiveTables, additive_tables — token and position parts.
    PathTables, path_tables — every architecture the specification knows.
    additive_tables_flops, path_tables_flops, columns_flops, centred_flops — their operations.
"""

from dataclasses import dataclass
from fractions import Fraction

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.cost import matmul, times_both_flops
from pessimal.kernel.model.tensors import (
    attention_scale,
    bias_of_logits,
    centred_rows,
    centring,
    exp_scaled,
    has_final_bias,
    optional,
    plus,
    present,
    product,
    read_out,
    times_both,
)
from pessimal.spec.architecture import Architecture
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class AdditiveTables:
    """Tables of one head whose scores and values are a token part plus a position part.

    Attributes:
        token_weight: a(q, t), `[d_vocab, d_vocab]`, positive.
        position_weight: pi_i(q), `[d_vocab, k]`, positive.
        token_value: EVOU, `[d_vocab, d_vocab_out]`, in logits.
        position_value: PVOU, `[k, d_vocab_out]`, in logits.
        direct: D, `[d_vocab, d_vocab_out]`, in logits.
    """

    token_weight: AbstractEnclosure
    position_weight: AbstractEnclosure
    token_value: AbstractEnclosure
    position_value: AbstractEnclosure
    direct: AbstractEnclosure


@dataclass(frozen=True)
class PathTables:
    """Tables of any supported model.

    Attributes:
        weight: per head w_i(q, t), `[d_vocab_q, k, d_vocab]`.
        value: per head V_i(t), `[k, d_vocab, columns]`.
        direct: D, `[d_vocab, columns]`.
        final_bias: C, `[d_vocab_out]`, or None if it is the same for all outputs.
        epsilon: d**2 * ln_eps, shape (); used with `final_bias` only.

    With a final bias the columns are the `d_vocab_out` logits followed by the `d_model` entries of the centred
    residual times d, from which d * sigma is computed; otherwise the logits alone.
    """

    weight: list[AbstractEnclosure]
    value: list[AbstractEnclosure]
    direct: AbstractEnclosure
    final_bias: AbstractEnclosure | None
    epsilon: AbstractEnclosure


def _direct(
    weights: Weights, arith: AbstractArithmetic, last: AbstractMatrix, columns: AbstractMatrix
) -> AbstractMatrix:
    residual = plus(last, optional(weights, "b_O", arith))
    for head in range(weights.architecture.shape.n_heads):
        b_v = optional(weights, "b_V", arith, head)
        if b_v is not None:
            residual = residual + b_v @ arith.matrix(present(weights, "W_O", head))
    direct = residual @ columns
    return direct if weights.architecture.ln_final else plus(direct, optional(weights, "b_U", arith))


@dataclass(frozen=True)
class _Factors:
    """W_Q, W_K^T, W_V, W_O and b_Q W_K^T (or None) of one head, exact."""

    w_q: AbstractMatrix
    back: AbstractMatrix
    w_v: AbstractMatrix
    w_o: AbstractMatrix
    from_bias: AbstractMatrix | None


def _factors(weights: Weights, arith: AbstractArithmetic, head: int) -> _Factors:
    w_q, w_k, w_v, w_o = (arith.matrix(present(weights, n, head)) for n in ("W_Q", "W_K", "W_V", "W_O"))
    b_q, back = optional(weights, "b_Q", arith, head), w_k.transpose()
    return _Factors(w_q, back, w_v, w_o, None if b_q is None else b_q @ back)


def additive_tables(weights: Weights, arith: AbstractArithmetic) -> AdditiveTables:
    """Tables of a model that `require_single_additive_head` accepts.

    Cost: `cost.additive_tables_flops`.
    """
    k = weights.architecture.shape.k
    embed, position = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][:k])
    last = embed + position[k - 1 :]
    head = _factors(weights, arith, 0)
    query = plus(times_both(last.shape[0], head.w_q, head.back)(last), head.from_bias)
    ov = times_both(last.shape[0] + k, head.w_v, head.w_o)
    columns = read_out(weights, arith)
    scale = attention_scale(weights, arith)
    return AdditiveTables(
        token_weight=exp_scaled((query @ embed.transpose()).below_maximum().enclose(), scale),
        position_weight=exp_scaled((query @ position.transpose()).below_maximum().enclose(), scale),
        token_value=(ov(embed) @ columns).enclose(),
        position_value=(ov(position) @ columns).enclose(),
        direct=_direct(weights, arith, last, columns).enclose(),
    )


def path_tables(weights: Weights, arith: AbstractArithmetic) -> PathTables:
    """Tables of any model the specification describes.

    Cost: `cost.path_tables_flops`.
    """
    arch = weights.architecture
    k = arch.shape.k
    embed, position = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][:k])
    residuals = [embed + position[i : i + 1] for i in range(k)]
    columns = read_out(weights, arith)
    final_bias = None
    if has_final_bias(weights):
        final_bias = bias_of_logits(weights, arith).enclose()[0]
        columns = columns.beside(centring(weights, arith))
    weight, value = [], []
    normed = [_layer_norm(weights, arith, x) for x in residuals] if arch.ln1 else None
    for head in range(arch.shape.n_heads):
        one = _factors(weights, arith, head)
        if normed is None:
            exact = plus(times_both(arch.shape.d_vocab, one.w_q, one.back)(residuals[-1]), one.from_bias)
            scores = exact @ residuals[0].transpose()
            for x in residuals[1:]:
                scores = scores.beside(exact @ x.transpose())
            shifted = scores.below_maximum().enclose()
            ov = times_both(k * arch.shape.d_vocab, one.w_v, one.w_o)
            value.append(arith.stack([(ov(x) @ columns).enclose() for x in residuals]))
        else:
            query = product(normed[-1], (one.w_q @ one.back).enclose())
            query = query if one.from_bias is None else query + one.from_bias.enclose()
            raw = arith.stack([product(query, n.transpose(1, 0)) for n in normed], axis=1)
            flat = raw.reshape(raw.shape[0], -1)
            shifted = flat - flat.max(-1).reshape(-1, 1)
            head_out = times_both(arch.shape.d_model, one.w_o, columns)(one.w_v).enclose()
            value.append(arith.stack([product(n, head_out) for n in normed]))
        weight.append(exp_scaled(shifted, attention_scale(weights, arith)).reshape(arch.shape.d_vocab, k, -1))
    direct = _direct(weights, arith, residuals[-1], columns).enclose()
    epsilon = arith.fraction(arch.shape.d_model**2 * arch.ln_eps)
    return PathTables(weight, value, direct, final_bias, epsilon)


def _layer_norm(weights: Weights, arith: AbstractArithmetic, x: AbstractMatrix) -> AbstractEnclosure:
    r"""$(dx_c)/\sqrt{|dx_c|^2/d + d^2\varepsilon}\,w + b$ of every row; $dx_c = x(dI - 11^T)$ is exact."""
    d = weights.architecture.shape.d_model
    centred = centred_rows(x, arith).enclose()
    variance = (centred * centred).sum(1) * arith.fraction(Fraction(1, d))
    deviation = (variance + arith.fraction(d * d * weights.architecture.ln_eps)).sqrt()
    out = centred / deviation.reshape(-1, 1)
    gain, bias = optional(weights, "ln1_w", arith), optional(weights, "ln1_b", arith)
    out = out if gain is None else out * gain.enclose()
    return out if bias is None else out + bias.enclose()


def centred_flops(n: int, d: int) -> int:
    """Rows of d numbers, n of them, centred (`tables.py`)."""
    return matmul(n, d, 1) + 2 * n * d


def columns_flops(arch: Architecture, *, gain: bool) -> int:
    """The folded unembedding."""
    m, o = arch.shape.d_model, arch.shape.d_vocab_out
    return (centred_flops(o, m) + gain * m * o) if arch.ln_final else 0


def _direct_flops(arch: Architecture, columns: int) -> int:
    s = arch.shape
    flops = ("b_O" in arch.biases) * s.d_vocab * s.d_model + matmul(s.d_vocab, s.d_model, columns)
    flops += ("b_V" in arch.biases) * s.n_heads * (matmul(1, s.d_head, s.d_model) + s.d_vocab * s.d_model)
    return flops + ("b_U" in arch.biases and not arch.ln_final) * s.d_vocab * columns


def additive_tables_flops(arch: Architecture) -> tuple[int, int]:
    """Operations of `tables.additive_tables`, and how many of them are exponentials."""
    s = arch.shape
    v, k, m, o = s.d_vocab, s.k, s.d_model, s.d_vocab_out
    flops = v * m + times_both_flops(v, m, s.d_head, m) + ("b_Q" in arch.biases) * (matmul(1, s.d_head, m) + v * m)
    flops += matmul(v, m, v) + matmul(v, m, k) + v * (2 * v - 1) + v * (2 * k - 1)
    scaled = arch.attn_scale != "1"
    exps = v * v + v * k
    flops += scaled * (1 + exps) + exps
    flops += columns_flops(arch, gain=arch.ln_final)
    flops += times_both_flops(v + k, m, s.d_head, m) + matmul(v, m, o) + matmul(k, m, o)
    return flops + _direct_flops(arch, o), exps


def path_tables_flops(arch: Architecture) -> tuple[int, int]:
    """Operations of `tables.path_tables`, and how many of them are exponentials; per-position tables throughout."""
    s = arch.shape
    v, m, d, o, rows = s.d_vocab, s.d_model, s.d_head, s.d_vocab_out, s.d_vocab * s.k
    final_bias = arch.ln_final and ("ln_final_b" in arch.biases or "b_U" in arch.biases)
    columns = o + (m if final_bias else 0)
    flops = rows * m + columns_flops(arch, gain=arch.ln_final) + final_bias * centred_flops(m, m)
    flops += final_bias * (("b_U" in arch.biases) * o + ("ln_final_b" in arch.biases) * (matmul(1, m, o) + o))
    flops += arch.ln1 * (centred_flops(rows, m) + rows * (5 * m + 2))
    per_head = ("b_Q" in arch.biases) * (matmul(1, d, m) + v * m) + matmul(v, m, rows)
    per_head += matmul(m, d, m) + matmul(v, m, m) if arch.ln1 else times_both_flops(v, m, d, m)
    per_head += v * (2 * rows - 1) + v * rows + (arch.attn_scale != "1") * (1 + v * rows)
    per_head += matmul(rows, m, columns)
    per_head += times_both_flops(m, d, m, columns) if arch.ln1 else times_both_flops(rows, m, d, m)
    return flops + s.n_heads * per_head + _direct_flops(arch, columns), s.n_heads * v * rows
