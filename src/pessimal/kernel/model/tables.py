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

Rows times two matrices are multiplied from whichever side is shorter (`times_both`), so that few tokens never cost a
table of d_model^2 entries; the numbers are exact, and the same either way.

Contents:
    has_final_bias — whether logits are not all scaled alike.
    require_single_additive_head — refusals of the rules built on `AdditiveTables`.
    present, optional — tensors of one head.
    AdditiveTables, additive_tables — token and position parts.
    PathTables, path_tables — every architecture the specification knows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from pessimal.kernel.arithmetic.float64 import Float64Arithmetic
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.cost import left_first
from pessimal.kernel.rejection import Reason, Rejected
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


def require_single_additive_head(weights: Weights) -> None:
    """Raise `Rejected(unsupported-model)` with every reason unless `additive_tables` covers the model."""
    arch = weights.architecture
    reasons = []
    if arch.shape.n_heads != 1:
        reasons.append(f"the rule covers one head, W_Q has {arch.shape.n_heads}")
    if has_final_bias(weights):
        reasons.append("final biases (ln_final_b, b_U) under a final LayerNorm are not scaled with the other logits")
    if arch.ln1:
        reasons.append("with LayerNorm before attention (ln1_w) scores are not a token part plus a position part")
    if arch.shape.d_vocab_out < 2:
        reasons.append("W_U has a single output, so there is no rival")
    if arch.shape.k < 2:
        reasons.append("a single position attends to nothing; use brute-force")
    if reasons:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "; ".join(reasons))


def optional(weights: Weights, name: str, arith: AbstractArithmetic, head: int = 0) -> AbstractMatrix | None:
    """A tensor of one head as one row, exact, or None if the model has none."""
    array = weights.get(name, head)
    return None if array is None else arith.matrix(array[np.newaxis])


def _plus(left: AbstractMatrix, right: AbstractMatrix | None) -> AbstractMatrix:
    return left if right is None else left + right


def times_both(n: int, first: AbstractMatrix, second: AbstractMatrix) -> Callable[[AbstractMatrix], AbstractMatrix]:
    """Multiplies rows, n of them in all, by two matrices, with as few operations as either association takes.

    Cost: `cost.times_both_flops`.
    """
    if left_first(n, first.shape[0], first.shape[1], second.shape[1]):
        return lambda rows: (rows @ first) @ second
    both = first @ second
    return lambda rows: rows @ both


def _centred(rows: AbstractMatrix, arith: AbstractArithmetic) -> AbstractMatrix:
    """Rows times dI - 11^T, d their length: d times their projection onto centred vectors."""
    n, d = rows.shape
    return rows.scale_rows(arith.integers(np.full(n, d))) - rows @ arith.integers(np.ones((d, 1), dtype=np.int64))


def _centring(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """The matrix itself."""
    return _centred(arith.integers(np.eye(weights.architecture.shape.d_model, dtype=np.int64)), arith)


def read_out(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """W_U with the centring and the gain of a final LayerNorm folded in, `[d_model, d_vocab_out]`."""
    unembed = arith.matrix(weights["W_U"])
    if not weights.architecture.ln_final:
        return unembed
    gain = weights.get("ln_final_w")
    if gain is not None:
        unembed = unembed.scale_rows(arith.matrix(gain))
    # dI - 11^T is symmetric.
    return _centred(unembed.transpose(), arith).transpose()


def _final_bias(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """C = ln_final_b W_U + b_U, `[1, d_vocab_out]`."""
    zero = arith.integers(np.zeros((1, weights.architecture.shape.d_vocab_out), dtype=np.int64))
    total = _plus(zero, optional(weights, "b_U", arith))
    bias = optional(weights, "ln_final_b", arith)
    return total if bias is None else total + bias @ arith.matrix(weights["W_U"])


def has_final_bias(weights: Weights) -> bool:
    """Whether a final LayerNorm is followed by a bias that differs between outputs (decided exactly)."""
    return weights.architecture.ln_final and not _final_bias(weights, Float64Arithmetic()).is_constant()


def _direct(
    weights: Weights, arith: AbstractArithmetic, last: AbstractMatrix, columns: AbstractMatrix
) -> AbstractMatrix:
    residual = _plus(last, optional(weights, "b_O", arith))
    for head in range(weights.architecture.shape.n_heads):
        b_v = optional(weights, "b_V", arith, head)
        if b_v is not None:
            residual = residual + b_v @ arith.matrix(present(weights, "W_O", head))
    direct = residual @ columns
    return direct if weights.architecture.ln_final else _plus(direct, optional(weights, "b_U", arith))


def present(weights: Weights, name: str, head: int) -> Float[np.ndarray, "a b"]:
    """A matrix of one head; raises `Rejected(unsupported-model)` if the model has none."""
    array = weights.get(name, head)
    if array is None:
        raise Rejected(Reason.UNSUPPORTED_MODEL, f"tensor {name!r} is missing")
    return array


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


def attention_scale(weights: Weights, arith: AbstractArithmetic) -> AbstractEnclosure | None:
    """c_attn, shape (), or None for 1."""
    if weights.architecture.attn_scale == "1":
        return None
    d_head = weights.architecture.shape.d_head
    return arith.fraction(Fraction(1, d_head)).sqrt()


def exp_scaled(shifted: AbstractEnclosure, scale: AbstractEnclosure | None) -> AbstractEnclosure:
    """Exponentials of shifted scores times c_attn."""
    return (shifted if scale is None else shifted * scale).exp()


def additive_tables(weights: Weights, arith: AbstractArithmetic) -> AdditiveTables:
    """Tables of a model that `require_single_additive_head` accepts.

    Cost: `cost.additive_tables_flops`.
    """
    k = weights.architecture.shape.k
    embed, position = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][:k])
    last = embed + position[k - 1 :]
    head = _factors(weights, arith, 0)
    query = _plus(times_both(last.shape[0], head.w_q, head.back)(last), head.from_bias)
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
        final_bias = _final_bias(weights, arith).enclose()[0]
        columns = columns.beside(_centring(weights, arith))
    weight, value = [], []
    normed = [_layer_norm(weights, arith, x) for x in residuals] if arch.ln1 else None
    for head in range(arch.shape.n_heads):
        one = _factors(weights, arith, head)
        if normed is None:
            exact = _plus(times_both(arch.shape.d_vocab, one.w_q, one.back)(residuals[-1]), one.from_bias)
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


def product(left: AbstractEnclosure, right: AbstractEnclosure) -> AbstractEnclosure:
    """Matrix product of two 2-D enclosures, one column of `left` times one row of `right` at a time."""
    total = left[:, :1] * right[:1]
    for j in range(1, left.shape[1]):
        total = total + left[:, j : j + 1] * right[j : j + 1]
    return total


def _layer_norm(weights: Weights, arith: AbstractArithmetic, x: AbstractMatrix) -> AbstractEnclosure:
    r"""$(dx_c)/\sqrt{|dx_c|^2/d + d^2\varepsilon}\,w + b$ of every row; $dx_c = x(dI - 11^T)$ is exact."""
    d = weights.architecture.shape.d_model
    centred = _centred(x, arith).enclose()
    variance = (centred * centred).sum(1) * arith.fraction(Fraction(1, d))
    deviation = (variance + arith.fraction(d * d * weights.architecture.ln_eps)).sqrt()
    out = centred / deviation.reshape(-1, 1)
    gain, bias = optional(weights, "ln1_w", arith), optional(weights, "ln1_b", arith)
    out = out if gain is None else out * gain.enclose()
    return out if bias is None else out + bias.enclose()
