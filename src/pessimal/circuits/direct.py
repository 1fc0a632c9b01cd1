r"""The direct path: what the query token writes around the attention layer.

Weights only: a LayerNorm before the unembedding is left out.

Contents:
    EU — query token to logits, with every bias that does not depend on attention.

References:
    Elhage et al. 2021 (direct path); Gross et al. 2024 (EU with PU, there EUPU).
"""

import numpy as np
from jaxtyping import Float

from pessimal.circuits.residual import query_residual, tensor
from pessimal.spec import Weights


def EU(weights: Weights) -> Float[np.ndarray, "d_vocab_q d_vocab_out"]:  # noqa: N802 - literature name
    r"""Logits of the direct path for every query token, constant biases included.

    $$\mathrm{EU} = \Bigl(W_E + W_{pos}[K-1] + b_O + \sum_h b_V^{(h)} W_O^{(h)}\Bigr) W_U + b_U$$

    The value bias of every head stands here because attention sums to 1.

    Args:
        weights: the model; LayerNorms are left out, biases are used where present.

    Returns:
        Query token by output token, in logits.

    Source: Gross et al. 2024, EU (there EUPU).
    """
    residual = query_residual(weights)
    b_O, b_U = weights.get("b_O"), weights.get("b_U")
    if b_O is not None:
        residual = residual + b_O
    for head in range(weights.architecture.shape.n_heads):
        b_V = weights.get("b_V", head)
        if b_V is not None:
            residual = residual + b_V.astype(np.float64) @ tensor(weights, "W_O", head)
    logits: Float[np.ndarray, "d_vocab_q d_vocab_out"] = residual @ tensor(weights, "W_U")
    if b_U is not None:
        logits += b_U
    return logits
