r"""Models with uniform attention, folded: pre-activations and logits as sums over positions.

Every position has weight 1/K, so with $\mathrm{OV} = \sum_h W_V^hW_O^h$, $x_i(t) = W_E[t] + W_{pos}[i]$ and last
position $L = K - 1$ the residual before the MLP is $\sum_i \rho_i(t_i)$,

$$ \rho_i(t) = \tfrac1K x_i(t)\mathrm{OV} + [i = L]\,\bigl(x_L(t) + b_O + \textstyle\sum_h b_V^hW_O^h\bigr), $$

and $\mathrm{pre} = \sum_i \rho_i(t_i)W_{in} + b_{in}$,
$\mathrm{logits} = \mathrm{ReLU}(\mathrm{pre})\,G + \sum_i\rho_i(t_i)W_U + b_{out}W_U + b_U$, $G = W_{out}W_U$.

Contents:
    Folded, folded_tables — the tables.
    folded_flops — their cost.
    require_folded — refusals.
    fixed_point — enclosures as integers, rounded outward.
    Logits — of many sequences at once, enclosed in integers.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.cost import matmul
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.tables import optional, present
from pessimal.spec.architecture import Architecture
from pessimal.spec.weights import Weights

# 2**12 neurons times two numbers of 24 bits and a sum over positions stay within 62 bits.
BITS = 24
MAX_NEURONS = 1 << 12


@dataclass(frozen=True)
class Folded:
    """Tables of one model.

    Attributes:
        pre: pre-activations, summed over positions, `[k, d_vocab, d_mlp]`, or None without an MLP.
        skip: logits that pass the MLP by, summed over positions, `[k, d_vocab, d_vocab_out]`.
        out: G, `[d_mlp, d_vocab_out]`, or None.
    """

    pre: AbstractEnclosure | None
    skip: AbstractEnclosure
    out: AbstractEnclosure | None


def require_folded(weights: Weights) -> None:
    """Raise `Rejected(unsupported-model)` with every reason unless `folded_tables` covers a uniform-attention model."""
    arch = weights.architecture
    reasons = []
    if arch.ln1 or arch.ln_final:
        reasons.append("LayerNorm (ln1_w, ln_final_w) with uniform attention is not covered")
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
    after, b_u = optional(weights, "b_out", arith), optional(weights, "b_U", arith)
    after = None if after is None else after @ unembed
    both = b_u if after is None else after if b_u is None else after + b_u
    if not s.d_mlp:
        return Folded(None, through(unembed, b_u), None)
    pre = through(arith.matrix(weights["W_in"]), optional(weights, "b_in", arith))
    return Folded(pre, through(unembed, both), output_map(weights, arith).enclose() if output else None)


def fixed_point(
    lo: Float[np.ndarray, "..."], hi: Float[np.ndarray, "..."], exponent: int
) -> tuple[Int[np.ndarray, "..."], Int[np.ndarray, "..."]]:
    """Integers n, m with `n * 2**exponent <= lo` and `hi <= m * 2**exponent`, entry by entry."""
    # SOUND: multiplying by a power of two is exact but for underflow, and then the sign still counts.
    low = np.minimum(np.floor(np.ldexp(lo, -exponent)), np.where(lo < 0, -1.0, np.inf))
    high = np.maximum(np.ceil(np.ldexp(hi, -exponent)), np.where(hi > 0, 1.0, -np.inf))
    return low.astype(np.int64), high.astype(np.int64)


class Logits:
    """Logits of sequences in integers, at a common scale; exact integer sums, so their order does not matter."""

    def __init__(self, tables: Folded) -> None:
        skip = tables.skip.bounds()
        self.pre = None if tables.pre is None else tables.pre.bounds()
        out = None if tables.out is None else tables.out.bounds()
        reaches = [_reach(one) for one in (skip, self.pre) if one is not None]
        # SOUND: a lost number decides nothing.
        self.lost = not np.isfinite([*reaches, *(np.abs(one).max() for one in out or ())]).all()
        if self.lost:
            return
        self._hidden = _exponent(reaches[-1]) - BITS
        scale = _exponent(*(np.abs(one).max() for one in out)) - BITS if out else 0
        # The skip is summed over positions; it may be larger than what the MLP writes.
        self.exponent = max(self._hidden + scale, _exponent(reaches[0]) - 60)
        self._shift = self.exponent - self._hidden - scale
        self.skip = fixed_point(*skip, self.exponent)
        if out:
            low, high = fixed_point(*out, scale)
            self._out = [np.maximum(low, 0), np.minimum(low, 0), np.maximum(high, 0), np.minimum(high, 0)]

    def __call__(self, tokens: Int[np.ndarray, "n k"]) -> tuple[Int[np.ndarray, "n o"], Int[np.ndarray, "n o"]]:
        """Lower and upper bounds of the logits of every sequence, all at the same scale."""
        position = np.arange(tokens.shape[1])
        lo, hi = (one[position, tokens].sum(1) for one in self.skip)
        if self.pre is None:
            return lo, hi
        low, high = (one[position, tokens] for one in self.pre)
        # Two roundings per sum of K; the hidden values are not negative.
        low, high = fixed_point(_sum(low, -np.inf), _sum(high, np.inf), self._hidden)
        low, high = np.maximum(low, 0), np.maximum(high, 0)
        up, down, up_high, down_high = self._out
        lower, upper = low @ up + high @ down, high @ up_high + low @ down_high
        return lo + (lower >> self._shift), hi + -((-upper) >> self._shift)

    def verdicts(
        self, tokens: Int[np.ndarray, "n k"], target: Int[np.ndarray, " n"]
    ) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Which sequences are certainly right, and which certainly wrong or tied."""
        if self.lost:
            return np.zeros(len(tokens), dtype=bool), np.zeros(len(tokens), dtype=bool)
        lo, hi = self(tokens)
        rows = np.arange(len(tokens))
        mine = target[:, np.newaxis] == np.arange(lo.shape[1])
        right = (mine | (lo[rows, target][:, np.newaxis] > hi)).all(1)
        wrong = (~mine & (lo >= hi[rows, target][:, np.newaxis])).any(1)
        return right, wrong


def _sum(parts: Float[np.ndarray, "n k f"], towards: float) -> Float[np.ndarray, "n f"]:
    """Sums over the second axis, each addition rounded outward by one number more."""
    total = parts[:, 0]
    for i in range(1, parts.shape[1]):
        total = np.nextafter(total + parts[:, i], towards)
    return total


def _reach(ends: tuple[Float[np.ndarray, "k v n"], Float[np.ndarray, "k v n"]]) -> float:
    """More than any sum over positions; infinite or NaN if something is lost."""
    return 2.0 * float(max(np.abs(one).max(1).sum(0).max() for one in ends))


def _exponent(*sizes: float) -> int:
    """An e with all sizes < 2**e."""
    return int(np.frexp(max(float(size) for size in sizes))[1]) + 1
