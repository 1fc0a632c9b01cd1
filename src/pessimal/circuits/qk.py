r"""The QK circuit: where the query looks, in attention scores *before* the attention scale.

Weights only: a LayerNorm between these factors is left out. The mean position is folded into the key tokens,
so the positional part is centred; the sum of both parts is the whole score:

$$\mathrm{score}(q, t, i) = \mathrm{EQKE}[q, t] + \mathrm{EQKP}[q, i] .$$

Contents:
    EQKE — query token by key token.
    EQKP — query token by key position.

References:
    Elhage et al. 2021 (QK circuit); Gross et al. 2024 (EQKE and EQKP, there EPQKE and EPQKP).
"""

import numpy as np
from jaxtyping import Float

from pessimal.circuits.residual import centred_positions, key_residual, query_residual, tensor
from pessimal.spec import Weights


def _queries(weights: Weights, head: int) -> Float[np.ndarray, "d_vocab_q d_head"]:
    """Query vector of every token at the last position, `E_q W_Q + b_Q`."""
    queries: Float[np.ndarray, "d_vocab_q d_head"] = query_residual(weights) @ tensor(weights, "W_Q", head)
    b_Q = weights.get("b_Q", head)
    if b_Q is not None:
        queries += b_Q
    return queries


def _keys(weights: Weights, head: int) -> Float[np.ndarray, "d_vocab_k d_head"]:
    """Key vector of every token at an average position, `E_k W_K + b_K`."""
    keys: Float[np.ndarray, "d_vocab_k d_head"] = key_residual(weights) @ tensor(weights, "W_K", head)
    b_K = weights.get("b_K", head)
    if b_K is not None:
        keys += b_K
    return keys


def EQKE(weights: Weights, head: int = 0) -> Float[np.ndarray, "d_vocab_q d_vocab_k"]:  # noqa: N802 - literature name
    r"""Attention score of every query token on every key token at an average position.

    $$\mathrm{EQKE} = \bigl((W_E + W_{pos}[K-1]) W_Q + b_Q\bigr)\,\bigl((W_E + \bar p) W_K + b_K\bigr)^T,
    \qquad \bar p = \tfrac1K\sum_{i<K} W_{pos}[i]$$

    Args:
        weights: the model; LayerNorms are left out, biases are used where present.
        head: which head.

    Returns:
        Query token by key token, in attention scores before the attention scale.

    Source: Gross et al. 2024, EQKE.
    """
    scores: Float[np.ndarray, "d_vocab_q d_vocab_k"] = _queries(weights, head) @ _keys(weights, head).T
    return scores


def EQKP(weights: Weights, head: int = 0) -> Float[np.ndarray, "d_vocab_q k"]:  # noqa: N802 - literature name
    r"""What the key position adds to the attention score of every query token.

    $$\mathrm{EQKP} = \bigl((W_E + W_{pos}[K-1]) W_Q + b_Q\bigr)\,\bigl((W_{pos} - \bar p) W_K\bigr)^T$$

    Every row sums to zero over positions. The bias $b_K$ stands in `EQKE`.

    Args:
        weights: the model; LayerNorms are left out, $b_Q$ is used where present.
        head: which head.

    Returns:
        Query token by key position, in attention scores before the attention scale.

    Source: Gross et al. 2024, EQKP.
    """
    keys = centred_positions(weights) @ tensor(weights, "W_K", head)
    scores: Float[np.ndarray, "d_vocab_q k"] = _queries(weights, head) @ keys.T
    return scores
