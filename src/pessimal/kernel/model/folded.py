r"""Models with uniform attention, folded: pre-activations and skip as sums over positions.

Every position has weight 1/K, so with $\mathrm{OV} = \sum_h W_V^hW_O^h$, $x_i(t) = W_E[t] + W_{pos}[i]$ and last
position $L = K - 1$ the residual before the MLP is $\sum_i \rho_i(t_i)$,

$$ \rho_i(t) = \tfrac1K x_i(t)\mathrm{OV} + [i = L]\,\bigl(x_L(t) + b_O + \textstyle\sum_h b_V^hW_O^h\bigr), $$

and $\mathrm{pre} = \sum_i \rho_i(t_i)W_{in} + b_{in}$,
$\mathrm{logits} = \mathrm{ReLU}(\mathrm{pre})\,G + \sum_i\rho_i(t_i)W_U + b_{out}W_U + b_U$, $G = W_{out}W_U$.

Contents:
    Folded, folded_tables — the tables.
    folded_flops — their cost.
    require_folded — refusals.
    output_map, output_bias — what follows the hidden layer, with any attention.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.float64 import Float64Enclosure
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.cost import matmul
from pessimal.kernel.model.logits import MAX_NEURONS, AbstractSums, ends
from pessimal.kernel.model.tensors import optional, present
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.architecture import Architecture
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Folded(AbstractSums):
    """Tables of one model.

    Attributes:
        pre: pre-activations, summed over positions, `[k, d_vocab, d_mlp]`, or None without an MLP.
        skip: logits that pass the MLP by, summed over positions, `[k, d_vocab, d_vocab_out]`.
        out: G, `[d_mlp, d_vocab_out]`, or None.
    """

    pre: AbstractEnclosure | None
    skip: AbstractEnclosure
    out: AbstractEnclosure | None

    @cached_property
    def _ends(self) -> tuple[Float64Enclosure | None, Float64Enclosure]:
        return None if self.pre is None else ends(self.pre), ends(self.skip)

    def reaches(self) -> tuple[float, float]:
        """The largest entries of all positions, added up."""
        pre, skip = (0.0 if one is None else float(one.absolute().hi.max(1).sum(0).max()) for one in self._ends)
        return pre, skip

    def sums(self, tokens: Int[np.ndarray, "n k"]) -> tuple[Float64Enclosure | None, Float64Enclosure]:
        """One entry per position, added up."""
        position = np.arange(tokens.shape[1])
        pre, skip = self._ends
        return None if pre is None else pre[position, tokens].sum(1), skip[position, tokens].sum(1)


def require_folded(weights: Weights) -> None:
    """Raise `Rejected(unsupported-model)` with every reason unless the logits are those of `logits.py`."""
    arch = weights.architecture
    mlp = " and an MLP" if arch.shape.d_mlp else ""
    reasons = []
    if arch.ln1 or arch.ln_final:
        reasons.append(f"LayerNorm (ln1_w, ln_final_w) with {arch.attention} attention{mlp} is not covered")
    if arch.shape.d_mlp > MAX_NEURONS:
        reasons.append(f"W_in has {arch.shape.d_mlp} neurons; at most {MAX_NEURONS} are covered")
    if reasons:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "; ".join(reasons))


def folded_flops(arch: Architecture) -> int:
    """Operations of `folded_tables`."""
    s, has = arch.shape, set(arch.biases)
    v, k, m, f, o = s.d_vocab, s.k, s.d_model, s.d_mlp, s.d_vocab_out

    def through(n: int, *, bias: bool) -> int:
        return matmul(2 * v + k + 1, m, n) + (v + k) * n + bias * n + (k + 2) * v * n

    flops = s.n_heads * matmul(m, s.d_head, m) + (s.n_heads - 1) * m * m + matmul(v + k, m, m)
    flops += ("b_O" in has) * m + ("b_V" in has) * s.n_heads * (matmul(1, s.d_head, m) + m)
    if not f:
        return flops + through(o, bias="b_U" in has)
    flops += through(f, bias="b_in" in has) + through(o, bias=bool(has & {"b_U", "b_out"})) + matmul(f, m, o)
    return flops + ("b_out" in has) * matmul(1, m, o) + (has >= {"b_U", "b_out"}) * o


def output_map(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """G of a model with an MLP, exact."""
    return arith.matrix(weights["W_out"]) @ arith.matrix(weights["W_U"])


def output_bias(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix | None:
    """b_out W_U + b_U, one row, exact, or None if the model has neither."""
    after, b_u = optional(weights, "b_out", arith), optional(weights, "b_U", arith)
    after = None if after is None else after @ arith.matrix(weights["W_U"])
    return b_u if after is None else after if b_u is None else after + b_u


def folded_tables(weights: Weights, arith: AbstractArithmetic, *, output: bool = True) -> Folded:
    """Tables of a model that `require_folded` accepts, perhaps without G; products of weights are exact."""
    s = weights.architecture.shape
    embed, position = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][: s.k])
    ov: AbstractMatrix | None = None
    constant = position[s.k - 1 :]
    b_o = optional(weights, "b_O", arith)
    constant = constant if b_o is None else constant + b_o
    for head in range(s.n_heads):
        w_o = arith.matrix(present(weights, "W_O", head))
        one = arith.matrix(present(weights, "W_V", head)) @ w_o
        ov = one if ov is None else ov + one
        b_v = optional(weights, "b_V", arith, head)
        constant = constant if b_v is None else constant + b_v @ w_o
    if ov is None:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "a model without heads")
    token, place = embed @ ov, position @ ov
    share = arith.fraction(Fraction(1, s.k))

    def through(columns: AbstractMatrix, bias: AbstractMatrix | None) -> AbstractEnclosure:
        """rho_i(t) times some columns, `[k, d_vocab, n]`."""
        tokens, places = (token @ columns).enclose() * share, (place @ columns).enclose() * share
        last = constant @ columns
        last = last if bias is None else last + bias
        here = (embed @ columns + last).enclose()
        parts = [tokens + places[i] for i in range(s.k)]
        return arith.stack([*parts[:-1], parts[-1] + here])

    unembed = arith.matrix(weights["W_U"])
    both = output_bias(weights, arith)
    if not s.d_mlp:
        return Folded(None, through(unembed, both), None)
    pre = through(arith.matrix(weights["W_in"]), optional(weights, "b_in", arith))
    return Folded(pre, through(unembed, both), output_map(weights, arith).enclose() if output else None)
