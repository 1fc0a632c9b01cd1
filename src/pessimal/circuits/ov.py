r"""The OV circuit: what a head writes when it attends to a token or to a position.

Weights only: a LayerNorm between these factors is left out. The bias $b_V$ does not depend on what is
attended to (attention sums to 1), so it stands in `circuits.direct.EU`.

Contents:
    EVOU — token to logits.
    PVOU — position to logits.

References:
    Elhage et al. 2021 (OV circuit); Gross et al. 2024 (EVOU, PVOU).
"""

import numpy as np
from jaxtyping import Float

from pessimal.circuits.residual import positions, tensor
from pessimal.spec import Weights


def _VOU(weights: Weights, head: int) -> Float[np.ndarray, "d_model d_vocab_out"]:  # noqa: N802 - literature name
    """Residual stream to logits through one head, `W_V W_O W_U`."""
    OU = tensor(weights, "W_O", head) @ tensor(weights, "W_U")
    product: Float[np.ndarray, "d_model d_vocab_out"] = tensor(weights, "W_V", head) @ OU
    return product


def EVOU(weights: Weights, head: int = 0) -> Float[np.ndarray, "d_vocab d_vocab_out"]:  # noqa: N802 - literature name
    r"""Logits written by one head when all its attention is on one token, position left out.

    $$\mathrm{EVOU} = W_E W_V W_O W_U$$

    Args:
        weights: the model; LayerNorms are left out.
        head: which head.

    Returns:
        Attended token by output token, in logits.

    Source: Gross et al. 2024, EVOU.
    """
    logits: Float[np.ndarray, "d_vocab d_vocab_out"] = tensor(weights, "W_E") @ _VOU(weights, head)
    return logits


def PVOU(weights: Weights, head: int = 0) -> Float[np.ndarray, "k d_vocab_out"]:  # noqa: N802 - literature name
    r"""Logits written by one head when all its attention is on one position, token left out.

    $$\mathrm{PVOU} = W_{pos} W_V W_O W_U$$

    Args:
        weights: the model; LayerNorms are left out.
        head: which head.

    Returns:
        Attended position by output token, in logits.

    Source: Gross et al. 2024, PVOU.
    """
    logits: Float[np.ndarray, "k d_vocab_out"] = positions(weights) @ _VOU(weights, head)
    return logits
