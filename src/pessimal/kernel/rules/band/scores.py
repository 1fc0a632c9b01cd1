r"""Attention weights of the band: exact scores where they matter, a rank-one split elsewhere.

With $\bar E$, $\bar P$ the means over tokens and positions, $\hat E_t = W_E[t] - \bar E$,
$\hat P_i = W_{pos}[i] - \bar P$ and $x_q = W_E[q] + W_{pos}[K-1]$, the score of token t at position i is, up to a term
that is the same for all (i, t) of a query and cancels in the softmax, $s(q, \hat E_t) + s(q, \hat P_i)$ with
$s(q, z) = c_{attn}(x_qW_Q + b_Q)W_K^T z^T$.

* Band: for every token t of the rows and every query $q < t + G$ (for every pair, if far tokens are looked at one by
  one), the product itself, with $x_q = \bar x + \hat E_q$ (`centred_rows.py`).
* Elsewhere: for any vectors a, b (hints),
  $s(q, z) = c(\bar xW_QW_K^Tz + b_QW_K^Tz + (\hat E_qa)(bz) + \hat E_qM'z)$, $M' = W_QW_K^T - ab^T$, and
  $|\hat E_qM'z| \le |\hat E_q|\,\|M'\|_F\,|z|$ (Cauchy-Schwarz): an upper bound of the weight.

Weights are relative to that of token v - 1, exact: $w(q,t) = e^{s(q,t) - s(q,v-1)}$.

Contents:
    Scores — weights of tokens and positions.
    make_scores — from the weights.
"""

from dataclasses import dataclass

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.model.tensors import attention_scale, optional, plus_exact
from pessimal.kernel.rules.band.centred_rows import CentredRows, norms
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Scores:
    """Attention weights of tokens and positions, positive.

    Attributes:
        pair_index: where w(q, t) stands in `band`, by query and row, `[d_vocab, rows]`; -1 outside the band.
        band: w(q, t), `[pairs]`.
        greatest_far_weight: upper bounds of the weights of all far tokens, by query and target from
            `options.first_far`, or None if no token is ever far, or the far ones are looked at one by one.
        below_rows: upper bounds of w(q, q) for the queries below the first row, or None if there are none.
        least, greatest: extremes of the position weights of every class, then of the last position alone,
            `[classes + 1, d_vocab]`.
    """

    pair_index: np.ndarray
    band: AbstractEnclosure
    greatest_far_weight: AbstractEnclosure | None
    below_rows: AbstractEnclosure | None
    least: AbstractEnclosure
    greatest: AbstractEnclosure


class _RankOne:
    """s(q, z) as a rank-one part and a bounded residual."""

    def __init__(self, centred: CentredRows, qk: AbstractEnclosure, row: AbstractEnclosure, options: BandOptions,
                 arith: AbstractArithmetic, scale: AbstractEnclosure | None) -> None:  # fmt: skip
        a, self._b = (arith.matrix(direction[np.newaxis]).enclose() for direction in options.directions)
        self._alpha = centred.tokens @ a.T
        self._row, self._lengths = row, centred.lengths.reshape(-1, 1)
        self._size = norms((qk - a.T * self._b).reshape(1, -1))
        if scale is not None:
            self._alpha, self._row, self._size = self._alpha * scale, self._row * scale, self._size * scale

    def bounds(
        self, keys: AbstractEnclosure, lengths: AbstractEnclosure
    ) -> tuple[AbstractEnclosure, AbstractEnclosure]:
        """Main part and largest residual of s(q, z), both `[d_vocab, rows]`."""
        back = keys.T
        main = self._alpha * (self._b @ back) + self._row @ back
        return main, self._lengths * (lengths * self._size).reshape(1, -1)


def make_scores(weights: Weights, centred: CentredRows, options: BandOptions, arith: AbstractArithmetic) -> Scores:
    """Scores of the rows `options.row` .. d_vocab - 1 and of everything else that `Scores` lists."""
    v, k = centred.tokens.shape[0], centred.positions.shape[0]
    w_q, w_k = arith.matrix(weights["W_Q"]), arith.matrix(weights["W_K"])
    qk = (w_q @ w_k.transpose()).enclose()
    b_q = optional(weights, "b_Q", arith)
    row = plus_exact(centred.mean_query.reshape(1, -1) @ qk, None if b_q is None else b_q @ w_k.transpose())
    scale = attention_scale(weights, arith)

    def exact(keys: AbstractEnclosure, q: np.ndarray, key: np.ndarray) -> AbstractEnclosure:
        """s(q, z) of pairs of a query and a key."""
        reach = keys @ qk.T
        constant = (row @ keys.T)[0]
        score = (centred.tokens[q] * reach[key]).sum(1) + constant[key]
        return score if scale is None else score * scale

    pair_index = np.arange(v * v).reshape(v, v) if options.far == "each" else options.near_pairs
    q, token = np.nonzero(pair_index >= 0)
    score = exact(centred.tokens[options.first_row :], q, token)
    top = score[pair_index[:, -1]]
    rank_one = _RankOne(centred, qk, row, options, arith, scale)
    greatest_far_weight, below_rows = _greatest_far_weights(rank_one, centred, options, top)
    if options.position_scores == "exact":
        each, i = np.divmod(np.arange(v * k), k)
        low = high = exact(centred.positions, each, i).exp().reshape(v, k)
    else:
        main, residual = rank_one.bounds(centred.positions, norms(centred.positions))
        low, high = (main - residual).exp(), (main + residual).exp()
    members = [*options.members, np.array([k - 1])]
    least = arith.stack([low[:, i].min(1) for i in members])
    greatest = arith.stack([high[:, i].max(1) for i in members])
    return Scores(pair_index, (score - top[q]).exp(), greatest_far_weight, below_rows, least, greatest)


def _greatest_far_weights(
    rank_one: _RankOne, centred: CentredRows, options: BandOptions, top: AbstractEnclosure
) -> tuple[AbstractEnclosure | None, AbstractEnclosure | None]:
    """Upper bounds `Scores.greatest_far_weight` and `Scores.below_rows`."""
    if not options.n_far or options.far == "each":
        return None, None
    main, residual = rank_one.bounds(centred.tokens[: options.n_far], centred.lengths[: options.n_far])
    score = main + residual
    last = np.arange(options.first_far, options.d_vocab) - options.near
    greatest_far_weight = (score.cumulative_max(1)[:, last] - top.reshape(-1, 1)).exp()
    queries = np.arange(options.first_row)
    return greatest_far_weight, (score[queries, queries] - top[queries]).exp() if options.first_row else None
