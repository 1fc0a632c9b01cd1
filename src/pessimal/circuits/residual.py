r"""Rows of the residual stream that the circuits read, in float64.

Only the first $K$ rows of `W_pos` take part, $K$ being the number of positions the model is used at; the
query sits at position $K-1$.

Contents:
    tensor — one tensor of one head.
    bias — a bias, or zeros.
    positions — the rows of `W_pos` in use.
    query_residual — token plus last position.
    key_residual — token plus mean position.
    centred_positions — positions minus their mean.
"""

import numpy as np
from jaxtyping import Float

from pessimal.spec import Weights


def tensor(weights: Weights, name: str, head: int = 0) -> Float[np.ndarray, "..."]:
    """A tensor that every model has, in float64; its `head`-th part where it has a head axis.

    Raises:
        KeyError: the model has no tensor of that name.
    """
    array = weights.get(name, head)
    if array is None:
        raise KeyError(name)
    return array.astype(np.float64)


def bias(weights: Weights, name: str, head: int = 0) -> Float[np.ndarray, " n"]:
    """A bias in float64; where the model has none, zeros that broadcast (of `b_V` as many as it would have)."""
    array = weights.get(name, head)
    if array is not None:
        return np.asarray(array, dtype=np.float64)
    return np.zeros(weights.architecture.shape.d_head if name == "b_V" else 1)


def positions(weights: Weights) -> Float[np.ndarray, "k d_model"]:
    """The positional embeddings in use, `W_pos[:K]`, in residual-stream units."""
    return tensor(weights, "W_pos")[: weights.architecture.shape.k]


def query_residual(weights: Weights) -> Float[np.ndarray, "d_vocab_q d_model"]:
    r"""What a token puts into the residual stream at the query position.

    $$E_q = W_E + \mathbf 1\, W_{pos}[K-1]$$
    """
    rows: Float[np.ndarray, "d_vocab_q d_model"] = tensor(weights, "W_E") + positions(weights)[-1]
    return rows


def key_residual(weights: Weights) -> Float[np.ndarray, "d_vocab_k d_model"]:
    r"""What a token puts into the residual stream at an average position.

    $$E_k = W_E + \mathbf 1\,\bar p, \qquad \bar p = \tfrac1K \sum_{i<K} W_{pos}[i]$$
    """
    rows: Float[np.ndarray, "d_vocab_k d_model"] = tensor(weights, "W_E") + positions(weights).mean(axis=0)
    return rows


def centred_positions(weights: Weights) -> Float[np.ndarray, "k d_model"]:
    r"""Positional embeddings minus their mean, in residual-stream units.

    $$\hat P = W_{pos} - \mathbf 1\,\bar p$$
    """
    rows = positions(weights)
    centred: Float[np.ndarray, "k d_model"] = rows - rows.mean(axis=0)
    return centred
