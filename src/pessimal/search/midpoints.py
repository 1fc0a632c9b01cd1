"""Enclosures as plain floats, for search and evidence: no bound.

Contents:
    middle — midpoints.
"""

import numpy as np
from jaxtyping import Float

from pessimal.kernel.arithmetic.interface import AbstractEnclosure


def middle(enclosure: AbstractEnclosure) -> Float[np.ndarray, "..."]:
    """Midpoint of every entry; halved first, so that it does not overflow."""
    lo, hi = enclosure.bounds()
    return np.asarray(lo / 2 + hi / 2)
