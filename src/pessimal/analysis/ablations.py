"""Every combination of a model's five paths switched on or off: accuracy and cross-entropy on random sequences.

A path that is off is replaced by its mean: EU over queries, EVOU over tokens, PVOU over positions; EQKE and EQKP by a
constant, which the softmax ignores. Estimates, not proofs.

Contents:
    PATHS — the five.
    ablation_table — the 32 rows.
"""

from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pessimal.analysis.faithfulness import Parts, attend, mean_rows

PATHS = ("EU", "EQKE", "EQKP", "EVOU", "PVOU")


def _logits(p: Parts, tokens: Int[np.ndarray, "n k"], on: frozenset[str]) -> Float[np.ndarray, "n o"]:
    """Logits with only the paths in `on`."""
    q = tokens[:, -1]
    score = np.zeros(tokens.shape)
    if "EQKE" in on:
        score = score + (p.rank_one + p.rest)[q[:, np.newaxis], tokens]
    if "EQKP" in on:
        score = score + p.position_score[q]
    value = p.value if "EVOU" in on else mean_rows(p.value)
    position = p.position_value if "PVOU" in on else mean_rows(p.position_value)
    direct = p.direct if "EU" in on else mean_rows(p.direct)
    return np.asarray(direct[q] + attend(score, value[tokens] + position))


def ablation_table(p: Parts, samples: int, seed: int = 0) -> list[dict[str, Any]]:
    """One row per combination: the paths that are on, accuracy, mean cross-entropy in nats."""
    v, k = p.position_score.shape
    tokens = np.random.default_rng(seed).integers(0, v, (samples, k))
    target = tokens.max(1)
    rows = []
    for switches in product((True, False), repeat=len(PATHS)):
        on = frozenset(name for name, is_on in zip(PATHS, switches, strict=True) if is_on)
        logits = _logits(p, tokens, on)
        top = logits.max(1, keepdims=True)
        loss = np.log(np.exp(logits - top).sum(1)) + top[:, 0] - logits[np.arange(samples), target]
        right = float((logits.argmax(1) == target).mean())
        rows.append({"on": [name for name in PATHS if name in on], "accuracy": right, "loss": float(loss.mean())})
    return rows
