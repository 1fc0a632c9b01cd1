r"""Models with softmax attention and an MLP: pre-activations and skip, one sequence at a time.

With $x_i(t) = W_E[t] + W_{pos}[i]$, last position $L = K - 1$, query $q = t_L$ and $C = [W_{in}\,|\,W_U]$, one beside
the other, all a sequence brings to the neurons and past them is

$$ D(q) + \sum_h\sum_i a_{hi}\,T_{hi}(t_i),\qquad T_{hi}(t) = x_i(t)W_V^h\,(W_O^hC),\qquad
   a_{hi} = \frac{w_{hi}(q, t_i)}{\sum_j w_{hj}(q, t_j)}, $$
$$ w_{hi}(q, t) = e^{c_{attn}(x_L(q)W_Q^h + b_Q^h)\cdot x_i(t)W_K^h - c(q)},\qquad
   D(q) = \bigl(x_L(q) + b_O + \textstyle\sum_h b_V^hW_O^h\bigr)C + [b_{in}\,|\,b_{out}W_U + b_U]. $$

$b_K$ is constant over $(i, t)$ and dropped, $b_V$ is a constant because attention sums to one; $c(q)$ is a row maximum,
taken exactly. (Proof: `docs/modular-addition.md#softmax-attention-before-an-mlp`.) Adding up the tables T costs
$2hK(m + o)$ operations per sequence, m neurons and o outputs; adding up values of width $d_{head}$ and multiplying by
$W_O^hC$ afterwards would cost $2hd_{head}(K + m + o)$, and adding up in the residual stream $2hKd + 2d(m + o)$, width
d. (p = 113, K = 3: 15,000 against 161,000 and 163,000.)

Tables hold the tokens that may stand at a position (`spec.distribution`) and no others.

Contents:
    Attended, attended_tables — the tables.
    attended_flops — operations per sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, reduce
from itertools import pairwise
from operator import add

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.float64 import Float64Enclosure
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.model.folded import output_bias, output_map
from pessimal.kernel.model.logits import AbstractSums, ends
from pessimal.kernel.model.tensors import attention_scale, exp_scaled, optional, plus, present, side_by_side
from pessimal.spec.architecture import ModelShape
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Attended(AbstractSums):
    """Tables of one model; rows are the allowed tokens of a position, in rising order.

    Attributes:
        allowed: tokens by position.
        weight: w by head and position, `[queries, tokens]`, positive.
        value: T by head and position, `[tokens, d_mlp + d_vocab_out]`.
        direct: D, `[queries, d_mlp + d_vocab_out]`.
        out: G, `[d_mlp, d_vocab_out]`.
    """

    allowed: Sequence[Int[np.ndarray, " _"]]
    weight: list[list[AbstractEnclosure]]
    value: list[list[AbstractEnclosure]]
    direct: AbstractEnclosure
    out: AbstractEnclosure

    @cached_property
    def _ends(self) -> tuple[list[list[Float64Enclosure]], list[list[Float64Enclosure]], Float64Enclosure]:
        weight, value = ([[ends(entries) for entries in head] for head in table] for table in (self.weight, self.value))
        return weight, value, ends(self.direct)

    def reaches(self) -> tuple[float, float]:
        """Every attention weight as if it were one."""
        _, value, direct = self._ends
        columns = sum(table.absolute().hi.max(0) for table in (direct, *(table for head in value for table in head)))
        return float(columns[: self.out.shape[0]].max()), float(columns[self.out.shape[0] :].max())

    def sums(self, tokens: Int[np.ndarray, "n k"]) -> tuple[Float64Enclosure | None, Float64Enclosure]:
        """Tables times attention; lost where a softmax is."""
        weight, value, direct = self._ends
        rows = [np.searchsorted(here, tokens[:, i]) for i, here in enumerate(self.allowed)]
        total = direct[rows[-1]]
        for weights, values in zip(weight, value, strict=True):
            w = [table[rows[-1], row] for table, row in zip(weights, rows, strict=True)]
            whole = reduce(add, w)
            for part, table, row in zip(w, values, rows, strict=True):
                share = part / whole
                share = share.minimum(share.number(Fraction(1))).reshape(-1, 1)
                total = total + table[row] * share
        neurons = self.out.shape[0]
        return total[:, :neurons], total[:, neurons:]


def attended_flops(shape: ModelShape) -> int:
    """Operations of `Attended.sums` per sequence: by head and position a division, and 2 per column."""
    return shape.n_heads * (3 * shape.k - 1 + 2 * shape.k * (shape.d_mlp + shape.d_vocab_out))


def attended_tables(weights: Weights, arith: AbstractArithmetic, allowed: Sequence[Int[np.ndarray, " _"]]) -> Attended:
    """Tables of a model without LayerNorm; products of weights are exact.

    Args:
        weights: the model, with softmax attention and an MLP.
        arith: how to carry it out.
        allowed: by position, the tokens that may stand there, in rising order.
    """
    s = weights.architecture.shape
    embed, position = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][: s.k])
    last = embed[allowed[-1]] + position[s.k - 1 :]
    columns = arith.matrix(weights["W_in"]).beside(arith.matrix(weights["W_U"]))
    direct = plus(last, optional(weights, "b_O", arith)) @ columns
    weight, value = [], []
    for head in range(s.n_heads):
        into = arith.matrix(present(weights, "W_O", head)) @ columns
        b_v = optional(weights, "b_V", arith, head)
        direct = direct if b_v is None else direct + b_v @ into
        w_v = arith.matrix(present(weights, "W_V", head))
        token, place = embed @ w_v @ into, position @ w_v @ into
        value.append([(token[here] + place[i : i + 1]).enclose() for i, here in enumerate(allowed)])
        weight.append(_attention(weights, arith, head, (embed, position, last), allowed))
    direct = plus(direct, _bias(weights, arith))
    return Attended(allowed, weight, value, direct.enclose(), output_map(weights, arith).enclose())


def _attention(
    weights: Weights,
    arith: AbstractArithmetic,
    head: int,
    rows: tuple[AbstractMatrix, AbstractMatrix, AbstractMatrix],
    allowed: Sequence[Int[np.ndarray, " _"]],
) -> list[AbstractEnclosure]:
    """The tables w of one head from token, position and query rows; one shift per query, over all positions."""
    embed, position, last = rows
    query = plus(last @ arith.matrix(present(weights, "W_Q", head)), optional(weights, "b_Q", arith, head))
    w_k = arith.matrix(present(weights, "W_K", head))
    token, place = embed @ w_k, position @ w_k
    by_position = [query @ (token[here] + place[i : i + 1]).transpose() for i, here in enumerate(allowed)]
    table = exp_scaled(side_by_side(by_position).below_maximum().enclose(), attention_scale(weights, arith))
    starts = np.cumsum([0, *(here.size for here in allowed)]).tolist()
    return [table[:, begin:end] for begin, end in pairwise(starts)]


def _bias(weights: Weights, arith: AbstractArithmetic) -> AbstractMatrix | None:
    """What is added before the neurons beside what is added to the logits, one row."""
    s = weights.architecture.shape
    b_in, after = optional(weights, "b_in", arith), output_bias(weights, arith)
    if b_in is None and after is None:
        return None
    none_in, none_after = (arith.integers(np.zeros((1, n), dtype=np.int64)) for n in (s.d_mlp, s.d_vocab_out))
    return (none_in if b_in is None else b_in).beside(none_after if after is None else after)
