r"""Attention weights of the band: exact scores where they matter, a rank-one split elsewhere.

With $\bar E$, $\bar P$ the means over tokens and positions, $\hat E_t = W_E[t] - \bar E$,
$\hat P_i = W_{pos}[i] - \bar P$ and $x_q = W_E[q] + W_{pos}[K-1]$, the score of token t at position i is, up to a term
that is the same for all (i, t) of a query and cancels in the softmax, $s(q, \hat E_t) + s(q, \hat P_i)$ with
$s(q, z) = c_{attn}(x_qW_Q + b_Q)W_K^T z^T$.

* Band: for every token t of the rows and every query $q < t + G$, the product itself.
* Elsewhere: with the mean query $\bar x$, $e_q = x_q - \bar x$ and any vectors a, b (hints),
  $s(q, z) = c(\bar xW_QW_K^Tz + b_QW_K^Tz + (e_qa)(bz) + e_qM'z)$, $M' = W_QW_K^T - ab^T$, and
  $|e_qM'z| \le |e_q|\,\|M'\|_F\,|z|$ (Cauchy-Schwarz): an upper bound of the weight.

Weights are relative to that of the last token, exact: $w(q,t) = e^{s(q,t) - s(q,v-1)}$.

Contents:
    Scores — weights of tokens and positions.
    make_scores — from the weights.
    norms — Euclidean length of every row.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.tables import attention_scale, optional, product
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Scores:
    """Attention weights, positive.

    Attributes:
        place: where w(q, t) stands in `band`, by query and row, `[d_vocab, rows]`; -1 outside the band.
        band: w(q, t), `[pairs]`.
        far: upper bounds of w(q, t) for t = 0 .. far - 1, `[d_vocab, far]`, or None if no token is ever far.
        least, greatest: extremes of the position weights of every class, then of the last position alone,
            `[classes + 1, d_vocab]`.
        query_norm: |e_q|, `[d_vocab]`.
    """

    place: np.ndarray
    band: AbstractEnclosure
    far: AbstractEnclosure | None
    least: AbstractEnclosure
    greatest: AbstractEnclosure
    query_norm: AbstractEnclosure


def norms(rows: AbstractEnclosure) -> AbstractEnclosure:
    """Length of every row; a sum of squares is not negative, whatever its enclosure says."""
    return (rows * rows).sum(1).absolute().sqrt()


class _RankOne:
    """s(q, z) as a rank-one part and a bounded residual."""

    def __init__(
        self,
        centred: AbstractEnclosure,
        mean: AbstractEnclosure,
        qk: AbstractEnclosure,
        bias: AbstractEnclosure | None,
        options: BandOptions,
        arith: AbstractArithmetic,
        scale: AbstractEnclosure | None,
    ) -> None:
        a, b = (arith.matrix(one[np.newaxis]).enclose() for one in options.directions)
        self._alpha = product(centred, a.transpose(1, 0))[:, 0]
        row = product(mean.reshape(1, -1), qk)
        self._both = row if bias is None else row + bias
        self._b = b
        rest = qk - a.transpose(1, 0) * b
        self.query_norm = norms(centred)
        self._size = norms(rest.reshape(1, -1))
        if scale is not None:
            self._alpha, self._both, self._size = self._alpha * scale, self._both * scale, self._size * scale

    def bounds(self, keys: AbstractEnclosure) -> tuple[AbstractEnclosure, AbstractEnclosure]:
        """Main part and largest residual of s(q, z), both `[d_vocab, rows]`."""
        back = keys.transpose(1, 0)
        gamma, beta = product(self._both, back), product(self._b, back)
        main = self._alpha.reshape(-1, 1) * beta + gamma
        return main, self.query_norm.reshape(-1, 1) * (norms(keys) * self._size).reshape(1, -1)


def make_scores(weights: Weights, options: BandOptions, arith: AbstractArithmetic) -> Scores:
    """Scores of the rows `options.row` .. d_vocab - 1 and of everything else that `Scores` lists."""
    k = weights.architecture.shape.k
    embed, positions = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][:k])
    query = (embed + positions[k - 1 :]).enclose()
    v = query.shape[0]
    tokens, _ = _centred(embed.enclose(), arith)
    hats, _ = _centred(positions.enclose(), arith)
    centred, mean = _centred(query, arith)
    w_q, w_k = arith.matrix(weights["W_Q"]), arith.matrix(weights["W_K"])
    qk = (w_q @ w_k.transpose()).enclose()
    b_q = optional(weights, "b_Q", arith)
    bias = None if b_q is None else (b_q @ w_k.transpose()).enclose()
    scale = attention_scale(weights, arith)
    rank_one = _RankOne(centred, mean, qk, bias, options, arith, scale)

    def exact(keys: AbstractEnclosure, q: np.ndarray, row: np.ndarray) -> AbstractEnclosure:
        """s(q, z) of pairs."""
        reach = product(keys, qk.transpose(1, 0))
        score = (query[q] * reach[row]).sum(1)
        if bias is not None:
            score = score + product(bias, keys.transpose(1, 0))[0][row]
        return score if scale is None else score * scale

    q, row = np.nonzero(np.arange(v)[:, np.newaxis] < np.arange(options.row, v) + options.near)
    place = np.full((v, v - options.row), -1)
    place[q, row] = np.arange(q.size)
    score = exact(tokens[options.row :], q, row)
    top = score[place[:, -1]]
    far = None
    if options.n_far:
        main, residual = rank_one.bounds(tokens[: options.n_far])
        far = (main + residual - top.reshape(-1, 1)).exp()
    if options.position_scores == "exact":
        each, i = np.divmod(np.arange(v * k), k)
        low = high = exact(hats, each, i).exp().reshape(v, k)
    else:
        main, residual = rank_one.bounds(hats)
        low, high = (main - residual).exp(), (main + residual).exp()
    members = [*options.members, np.array([k - 1])]
    least = arith.stack([low[:, i].min(1) for i in members])
    greatest = arith.stack([high[:, i].max(1) for i in members])
    return Scores(place, (score - top[q]).exp(), far, least, greatest, rank_one.query_norm)


def _centred(rows: AbstractEnclosure, arith: AbstractArithmetic) -> tuple[AbstractEnclosure, AbstractEnclosure]:
    """Rows less their mean, and the mean. Any vector may stand in for the mean, so its rounding costs nothing."""
    mean = rows.sum(0) * arith.fraction(Fraction(1, rows.shape[0]))
    return rows - mean, mean
