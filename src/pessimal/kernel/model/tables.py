r"""Weights to the tables that the rules share.

Notation of `spec/model.py`: $x_i(t) = W_E[t] + W_{pos}[i]$, $n_i(t)$ the same after an optional LayerNorm, query
$q$ at position $L = K-1$. For one head, up to factors common to all $(i, t)$ of a query, which the softmax cancels,

$$ w_i(q,t) = e^{s_i(q,t) - c(q)},\quad s_i(q,t) = c_{attn}\,(n_L(q)W_QW_K^T + b_QW_K^T)\cdot n_i(t), $$
$$ V_i(t) = n_i(t) W_VW_O\,U,\qquad D(q) = (x_L(q) + b_O + \textstyle\sum_h b_VW_O)\,U + b_U, $$

and $\mathrm{logit}_o = D_o + \sum_h \sum_i w_iV_{i,o} / \sum_i w_i$. The terms with $b_K$ are constant over $(i,t)$ and
dropped; $b_VW_O$ is a constant because attention sums to one. $c(q)$ is a row maximum, taken exactly.

Final LayerNorm: with $d = d_{model}$, $U = (dI - 11^T)\,\mathrm{diag}(w)\,W_U$ folds centring and gain (all logits are
multiplied by the same positive $d\sigma$). Its biases do not fold: they add $C_o\,d\sigma$, $C = bW_U + b_U$.

Without LayerNorm before attention the score is a token part plus a position part, so
$w_i(q,t) = a(q,t)\,\pi_i(q)$ and $V_i(t) = \mathrm{EVOU}[t] + \mathrm{PVOU}[i]$ (`AdditiveTables`).
Proofs of all this: `docs/separable-margin.md`.

Rows times two matrices are multiplied from whichever side is shorter (`tensors.times_both`), so that few tokens never
cost a table of d_model^2 entries; the numbers are exact, and the same either way.

Contents:
    AdditiveTables, additive_tables — token and position parts.
    AdditivePaths, additive_paths — the same, exact.
    PathTables, path_tables — every architecture the specification knows.
"""

from dataclasses import dataclass
from fractions import Fraction

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.model.tensors import (
    attention_scale,
    bias_of_logits,
    centred_rows,
    centring,
    exp_scaled,
    optional,
    plus,
    plus_attention_biases,
    plus_exact,
    present,
    read_out,
    side_by_side,
    times_both,
)
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
    direct = plus_attention_biases(last, weights, arith) @ columns
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


@dataclass(frozen=True)
class AdditivePaths:
    """The same before exponentials are taken, exact; scores not yet times c_attn.

    Attributes:
        token_score: EQKE / c_attn, `[d_vocab, d_vocab]`.
        position_score: EQKP / c_attn, `[d_vocab, k]`.
        token_value: EVOU, `[d_vocab, d_vocab_out]`, in logits.
        position_value: PVOU, `[k, d_vocab_out]`, in logits.
    """

    token_score: AbstractMatrix
    position_score: AbstractMatrix
    token_value: AbstractMatrix
    position_value: AbstractMatrix

    @property
    def tables(self) -> tuple[AbstractMatrix, AbstractMatrix, AbstractMatrix, AbstractMatrix]:
        """EQKE and EQKP over c_attn, EVOU, PVOU."""
        return self.token_score, self.position_score, self.token_value, self.position_value


def additive_paths(weights: Weights, arith: AbstractArithmetic) -> tuple[list[AdditivePaths], AbstractMatrix]:
    """Of every head of a model without LayerNorm before attention, and D, `[d_vocab, d_vocab_out]`.

    Cost: about 2v(v + k)m for the scores and as much with d_vocab_out for the values, per head.
    """
    shape = weights.architecture.shape
    embed, position = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][: shape.k])
    last = embed + position[shape.k - 1 :]
    columns, paths = read_out(weights, arith), []
    for number in range(shape.n_heads):
        head = _factors(weights, arith, number)
        query = plus(times_both(last.shape[0], head.w_q, head.back)(last), head.from_bias)
        ov = times_both(last.shape[0] + shape.k, head.w_v, head.w_o)
        scores = (query @ part.transpose() for part in (embed, position))
        paths.append(AdditivePaths(*scores, *(ov(part) @ columns for part in (embed, position))))
    return paths, _direct(weights, arith, last, columns)


def additive_tables(weights: Weights, arith: AbstractArithmetic) -> AdditiveTables:
    """Tables of a model that `require_single_additive_head` accepts; cost: that of `additive_paths`."""
    (paths,), direct = additive_paths(weights, arith)
    scale = attention_scale(weights, arith)
    return AdditiveTables(
        token_weight=exp_scaled(paths.token_score.below_maximum().enclose(), scale),
        position_weight=exp_scaled(paths.position_score.below_maximum().enclose(), scale),
        token_value=paths.token_value.enclose(),
        position_value=paths.position_value.enclose(),
        direct=direct.enclose(),
    )


def path_tables(weights: Weights, arith: AbstractArithmetic, *, final_bias: bool) -> PathTables:
    """Tables of any model the specification describes; `final_bias`: with C, which costs columns.

    Cost: per head about 2v^2 k m for the scores and 2v k m d_vocab_out for the values.
    """
    arch = weights.architecture
    k = arch.shape.k
    embed, position = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][:k])
    residuals = [embed + position[i : i + 1] for i in range(k)]
    columns = read_out(weights, arith)
    bias = None
    if final_bias:
        columns, bias = columns.beside(centring(weights, arith)), bias_of_logits(weights, arith.matrix)
    weight, value = [], []
    normed = [_layer_norm(weights, arith, x) for x in residuals] if arch.ln1 else None
    for head in range(arch.shape.n_heads):
        factors = _factors(weights, arith, head)
        if normed is None:
            exact = plus(times_both(arch.shape.d_vocab, factors.w_q, factors.back)(residuals[-1]), factors.from_bias)
            shifted = side_by_side([exact @ x.transpose() for x in residuals]).below_maximum().enclose()
            ov = times_both(k * arch.shape.d_vocab, factors.w_v, factors.w_o)
            value.append(arith.stack([(ov(x) @ columns).enclose() for x in residuals]))
        else:
            query = plus_exact(normed[-1] @ (factors.w_q @ factors.back).enclose(), factors.from_bias)
            raw = arith.stack([query @ n.T for n in normed], axis=1)
            flat = raw.reshape(raw.shape[0], -1)
            shifted = flat - flat.max(-1).reshape(-1, 1)
            head_out = times_both(arch.shape.d_model, factors.w_o, columns)(factors.w_v).enclose()
            value.append(arith.stack([n @ head_out for n in normed]))
        weight.append(exp_scaled(shifted, attention_scale(weights, arith)).reshape(arch.shape.d_vocab, k, -1))
    direct = _direct(weights, arith, residuals[-1], columns).enclose()
    epsilon = arith.fraction(arch.shape.d_model**2 * arch.ln_eps)
    return PathTables(weight, value, direct, None if bias is None else bias.enclose()[0], epsilon)


def _layer_norm(weights: Weights, arith: AbstractArithmetic, x: AbstractMatrix) -> AbstractEnclosure:
    r"""$(dx_c)/\sqrt{|dx_c|^2/d + d^2\varepsilon}\,w + b$ of every row; $dx_c = x(dI - 11^T)$, or $xdI$, is exact."""
    d = weights.architecture.shape.d_model
    centred = centred_rows(x, arith, weights.architecture.ln1).enclose()
    variance = (centred * centred).sum(1) * Fraction(1, d)
    deviation = (variance + (d * d * weights.architecture.ln_eps)).sqrt()
    out = centred / deviation.reshape(-1, 1)
    gain = optional(weights, "ln1_w", arith)
    out = out if gain is None else out * gain.enclose()
    return plus_exact(out, optional(weights, "ln1_b", arith))
