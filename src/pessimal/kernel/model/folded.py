r"""Models with uniform attention, folded: pre-activations and skip as sums over positions.

Every position has weight 1/K, so with $\mathrm{OV} = \sum_h W_V^hW_O^h$, $x_i(t) = W_E[t] + W_{pos}[i]$ and last
position $L = K - 1$ the residual before the MLP is $\sum_i \rho_i(t_i)$,

$$ \rho_i(t) = \tfrac1K x_i(t)\mathrm{OV} + [i = L]\,\bigl(x_L(t) + b_O + \textstyle\sum_h b_V^hW_O^h\bigr), $$

and $\mathrm{pre} = \sum_i \rho_i(t_i)W_{in} + b_{in}$,
$\mathrm{logits} = \mathrm{ReLU}(\mathrm{pre})\,G + \sum_i\rho_i(t_i)W_U + b_{out}W_U + b_U$, $G = W_{out}W_U$.
Proof: `docs/modular-addition.md#uniform-attention`.

Contents:
    Folded, folded_tables — the tables.
    require_folded — refusals.
    output_map, output_bias — what follows the hidden layer, with any attention.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, reduce
from operator import add

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.float64 import Float64Enclosure
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.model.logits import MAX_NEURONS, AbstractSums, ends
from pessimal.kernel.model.requirements import require_none
from pessimal.kernel.model.tensors import bias_of_logits, optional, plus, plus_attention_biases, present
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Folded(AbstractSums):
    """Pre-activations and skip of one model by position and token.

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
        pre, skip = (0.0 if table is None else float(table.absolute().hi.max(1).sum(0).max()) for table in self._ends)
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
    require_none(reasons)


def output_map(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix:
    """G of a model with an MLP, exact."""
    return arith.matrix(weights["W_out"]) @ arith.matrix(weights["W_U"])


def output_bias(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix | None:
    """b_out W_U + b_U, one row, exact, or None if the model has neither."""
    return bias_of_logits(weights, arith.matrix, "b_out")


def folded_tables(weights: Weights, arith: AbstractArithmetic, *, output: bool = True) -> Folded:
    """Tables of a model that `require_folded` accepts, perhaps without G; products of weights are exact."""
    s = weights.architecture.shape
    embed, position = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][: s.k])
    constant = plus_attention_biases(position[s.k - 1 :], weights, arith)
    heads = ([arith.matrix(present(weights, name, head)) for name in ("W_V", "W_O")] for head in range(s.n_heads))
    ov = reduce(add, (w_v @ w_o for w_v, w_o in heads))
    token, place = embed @ ov, position @ ov
    share = arith.fraction(Fraction(1, s.k))

    def through(columns: AbstractMatrix, bias: AbstractMatrix | None) -> AbstractEnclosure:
        """rho_i(t) times some columns, `[k, d_vocab, n]`."""
        tokens, places = (token @ columns).enclose() * share, (place @ columns).enclose() * share
        here = (embed @ columns + plus(constant @ columns, bias)).enclose()
        parts = [tokens + places[i] for i in range(s.k)]
        return arith.stack([*parts[:-1], parts[-1] + here])

    unembed = arith.matrix(weights["W_U"])
    after = output_bias(weights, arith)
    if not s.d_mlp:
        return Folded(None, through(unembed, after), None)
    pre = through(arith.matrix(weights["W_in"]), optional(weights, "b_in", arith))
    return Folded(pre, through(unembed, after), output_map(weights, arith).enclose() if output else None)
