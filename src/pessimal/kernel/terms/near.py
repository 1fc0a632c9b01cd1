"""Tokens next to a target, which are treated one by one, and those that are far.

Contents:
    near_tokens — of every output.
"""

import numpy as np

from pessimal.kernel.strata.strata import Strata
from pessimal.spec.machine import DEAD


def near_tokens(strata: Strata, near: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens next to each output, their letters (`DEAD` past the last), and how many tokens are far."""
    n_outputs = strata.letter.shape[0]
    tokens = np.zeros((n_outputs, near), dtype=np.int64)
    letter = np.full((n_outputs, near), DEAD)
    n_far = np.zeros(n_outputs, dtype=np.int64)
    for y in range(n_outputs):
        allowed = np.flatnonzero(strata.letter[y] != DEAD)
        chosen = allowed[np.argsort(np.abs(allowed - y), kind="stable")][:near]
        tokens[y, : chosen.size], letter[y, : chosen.size] = chosen, strata.letter[y, chosen]
        n_far[y] = allowed.size - chosen.size
    return tokens, letter, n_far
