r"""Attention weights of the band: exact scores where they matter, a rank-one split elsewhere.

With $\bar E$, $\bar P$ the means over tokens and positions, $\hat E_t = W_E[t] - \bar E$,
$\hat P_i = W_{pos}[i] - \bar P$ and $x_q = W_E[q] + W_{pos}[K-1]$, the score of token t at position i is, up to a term
that is the same for all (i, t) of a query and cancels in the softmax, $s(q, \hat E_t) + s(q, \hat P_i)$ with
$s(q, z) = c_{attn}(x_qW_Q + b_Q)W_K^T z^T$.

* Band: for every token t of the rows and every query $q < t + G$, the product itself, with
  $x_q = \bar x + \hat E_q$ (`parts.py`).
* Elsewhere: for any vectors a, b (hints),
  $s(q, z) = c(\bar xW_QW_K^Tz + b_QW_K^Tz + (\hat E_qa)(bz) + \hat E_qM'z)$, $M' = W_QW_K^T - ab^T$, and
  $|\hat E_qM'z| \le |\hat E_q|\,\|M'\|_F\,|z|$ (Cauchy-Schwarz): an upper bound of the weight.

Weights are relative to that of the last token, exact: $w(q,t) = e^{s(q,t) - s(q,v-1)}$.

Contents:
    Scores — weights of tokens and positions.
    make_scores — from the weights.
"""

from dataclasses import dataclass

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.model.tensors import attention_scale, optional, product
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.rules.band.parts import Parts, norms
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Scores:
    """Attention weights, positive.

    Attributes:
        place: where w(q, t) stands in `band`, by query and row, `[d_vocab, rows]`; -1 outside the band.
        band: w(q, t), `[pairs]`.
        heaviest: upper bounds of the weights of all far tokens, by query and target from `options.first_far`, or None
            if no token is ever far.
        unseen: upper bounds of w(q, q) for the queries below the first row, or None if there are none.
        least, greatest: extremes of the position weights of every class, then of the last position alone,
            `[classes + 1, d_vocab]`.
    """

    place: np.ndarray
    band: AbstractEnclosure
    heaviest: AbstractEnclosure | None
    unseen: AbstractEnclosure | None
    least: AbstractEnclosure
    greatest: AbstractEnclosure


class _RankOne:
    """s(q, z) as a rank-one part and a bounded residual."""

    def __init__(self, parts: Parts, qk: AbstractEnclosure, row: AbstractEnclosure, options: BandOptions,
                 arith: AbstractArithmetic, scale: AbstractEnclosure | None) -> None:  # fmt: skip
        a, self._b = (arith.matrix(one[np.newaxis]).enclose() for one in options.directions)
        self._alpha = product(parts.tokens, a.transpose(1, 0))
        self._row, self._lengths = row, parts.lengths.reshape(-1, 1)
        self._size = norms((qk - a.transpose(1, 0) * self._b).reshape(1, -1))
        if scale is not None:
            self._alpha, self._row, self._size = self._alpha * scale, self._row * scale, self._size * scale

    def bounds(
        self, keys: AbstractEnclosure, lengths: AbstractEnclosure
    ) -> tuple[AbstractEnclosure, AbstractEnclosure]:
        """Main part and largest residual of s(q, z), both `[d_vocab, rows]`."""
        back = keys.transpose(1, 0)
        main = self._alpha * product(self._b, back) + product(self._row, back)
        return main, self._lengths * (lengths * self._size).reshape(1, -1)


def make_scores(weights: Weights, parts: Parts, options: BandOptions, arith: AbstractArithmetic) -> Scores:
    """Scores of the rows `options.row` .. d_vocab - 1 and of everything else that `Scores` lists."""
    v, k = parts.tokens.shape[0], parts.positions.shape[0]
    w_q, w_k = arith.matrix(weights["W_Q"]), arith.matrix(weights["W_K"])
    qk = (w_q @ w_k.transpose()).enclose()
    row = product(parts.mean_query.reshape(1, -1), qk)
    b_q = optional(weights, "b_Q", arith)
    row = row if b_q is None else row + (b_q @ w_k.transpose()).enclose()
    scale = attention_scale(weights, arith)

    def exact(keys: AbstractEnclosure, q: np.ndarray, place: np.ndarray) -> AbstractEnclosure:
        """s(q, z) of pairs."""
        reach = product(keys, qk.transpose(1, 0))
        constant = product(row, keys.transpose(1, 0))[0]
        score = (parts.tokens[q] * reach[place]).sum(1) + constant[place]
        return score if scale is None else score * scale

    q, token = np.nonzero(np.arange(v)[:, np.newaxis] < np.arange(options.row, v) + options.near)
    place = np.full((v, v - options.row), -1)
    place[q, token] = np.arange(q.size)
    score = exact(parts.tokens[options.row :], q, token)
    top = score[place[:, -1]]
    rank_one = _RankOne(parts, qk, row, options, arith, scale)
    heaviest, unseen = _far_weights(rank_one, parts, options, top)
    if options.position_scores == "exact":
        each, i = np.divmod(np.arange(v * k), k)
        low = high = exact(parts.positions, each, i).exp().reshape(v, k)
    else:
        main, residual = rank_one.bounds(parts.positions, norms(parts.positions))
        low, high = (main - residual).exp(), (main + residual).exp()
    members = [*options.members, np.array([k - 1])]
    least = arith.stack([low[:, i].min(1) for i in members])
    greatest = arith.stack([high[:, i].max(1) for i in members])
    return Scores(place, (score - top[q]).exp(), heaviest, unseen, least, greatest)


def _far_weights(
    rank_one: _RankOne, parts: Parts, options: BandOptions, top: AbstractEnclosure
) -> tuple[AbstractEnclosure | None, AbstractEnclosure | None]:
    """`Scores.heaviest` and `Scores.unseen`."""
    if not options.n_far:
        return None, None
    main, residual = rank_one.bounds(parts.tokens[: options.n_far], parts.lengths[: options.n_far])
    score = main + residual
    last = np.arange(options.first_far, options.d_vocab) - options.near
    heaviest = (score.cumulative_max(1)[:, last] - top.reshape(-1, 1)).exp()
    own = np.arange(options.row)
    return heaviest, (score[own, own] - top[own]).exp() if options.row else None
