r"""Thresholds of several heads.

A sequence is right if every head's margin $N_h/Z_h$ exceeds its threshold $c_h$, with $D + \sum_h c_h = 0$. Thresholds
that leave every head the same slack at its typical margin $m_h$ are near the best ones:
$c_h = m_h - S/H$, $S = D + \sum_h m_h$. The typical margin of a stratum is the attention-weighted mean of the head's
margin over the tokens that the stratum allows, which is where trained heads look.

Contents:
    typical_margins — m_h of one query.
    shared_slack — thresholds from them and each head's part of the slack.
    fairer_parts — better parts, from the bounds that the heads reached.
"""

import numpy as np
from jaxtyping import Bool, Float

LEAST_NATS, MOST_NATS = 0.05, 60.0


def typical_margins(
    margin: Float[np.ndarray, "R I v O"], weight: Float[np.ndarray, "I v"], allowed: Bool[np.ndarray, "O v"]
) -> Float[np.ndarray, "R O"]:
    """Mean margin of one head for one query, by output, weighted by attention.

    Args:
        margin: value margins by rival group, position, token and output; one position if they are pooled.
        weight: attention weights, positive.
        allowed: tokens that an output allows.
    """
    weight = weight if margin.shape[1] == weight.shape[0] else weight.mean(0, keepdims=True)
    share = weight[:, np.newaxis] * allowed  # [I, O, v]
    total = np.einsum("rito,iot->ro", margin, share)
    return np.asarray(total / np.maximum(share.sum((0, 2)), 1e-300))


def shared_slack(
    direct: Float[np.ndarray, "R O"], margins: Float[np.ndarray, "H R O"], parts: Float[np.ndarray, "H R O"]
) -> Float[np.ndarray, "H R O"]:
    """c_h = m_h - (D + sum of m) p_h."""
    return np.asarray(margins - (direct + margins.sum(0)) * parts)


def fairer_parts(parts: Float[np.ndarray, "H ..."], nats: Float[np.ndarray, "H ..."]) -> Float[np.ndarray, "H ..."]:
    """More slack for the heads whose bound excludes less: p_h times (mean / own nats)**(3/4), normalised.

    Args:
        parts: shares of the slack so far, positive, summing to one over heads.
        nats: minus the logarithm of each head's bound as a share of the stratum.
    """
    nats = np.clip(np.nan_to_num(nats, nan=LEAST_NATS), LEAST_NATS, MOST_NATS)
    wanted = parts * (nats.mean(0) / nats) ** 0.75
    return np.asarray(wanted / wanted.sum(0))
