"""Directions in which EQKE and its factors are nearly of low rank, by singular value decomposition.

Contents:
    qk_directions — of EQKE, of its factors without them, and of W_Q, W_K.
    direct_direction — of the direct path.
"""

import numpy as np
from jaxtyping import Float

Matrix = Float[np.ndarray, "a b"]
Vector = Float[np.ndarray, " a"]


def _top_left(matrix: np.ndarray) -> np.ndarray:
    u = np.linalg.svd(matrix, full_matrices=False)[0][:, 0]
    return np.asarray(u if u.sum() >= 0 else -u)


def _without(matrix: np.ndarray, direction: np.ndarray) -> np.ndarray:
    return np.asarray(matrix - np.outer(direction, direction @ matrix) / (direction @ direction))


def qk_directions(query: np.ndarray, key: np.ndarray, w_q: np.ndarray, w_k: np.ndarray) -> dict[str, np.ndarray]:
    """Advice of the subproduct split; its first rows are the advice of the rank-one split.

    Args:
        query: E_q, `[v, d_model]`.
        key: E_k, `[v, d_model]`.
        w_q: `[d_model, d_head]`.
        w_k: `[d_model, d_head]`.

    Returns:
        `query_direction`, `key_direction` `[2, v]`; `w_q_direction`, `w_k_direction` `[d_model]`.
    """
    eqke = (query @ w_q) @ (key @ w_k).T
    first_query, first_key = _top_left(eqke), _top_left(eqke.T)
    second_query, second_key = _top_left(_without(query, first_query)), _top_left(_without(key, first_key))
    return {
        "query_direction": np.stack([first_query, second_query]),
        "key_direction": np.stack([first_key, second_key]),
        "w_q_direction": _top_left(w_q),
        "w_k_direction": _top_left(w_k),
    }


def direct_direction(direct: np.ndarray, unembed: np.ndarray) -> np.ndarray:
    """Top left singular vector of the direct path, with a positive sum, `[v]`."""
    return _top_left(direct @ unembed)
