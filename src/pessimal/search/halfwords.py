"""Small numbers of hints, four to a word, as `kernel.hints.Hints.halfwords` reads them.

Contents:
    pack_halfwords — the packing.
"""

import numpy as np
from jaxtyping import Int


def pack_halfwords(numbers: Int[np.ndarray, "..."]) -> Int[np.ndarray, " n"]:
    """Numbers 0 .. 2**16 - 1, four to an int64, the first in the lowest bits; one word at least, zeros at the end."""
    flat = numbers.ravel().astype("<u2")
    return np.pad(flat, (0, -flat.size % 4 if flat.size else 4)).view("<i8").astype(np.int64)
