"""The weights of a model: named arrays, an architecture, a digest.

Contents:
    AXES — canonical tensors and their axes.
    Weights — canonical tensors, architecture, digest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pessimal.spec.architecture import Architecture

# Canonical tensor: its axes. `h` is the head axis, absent in the short single-head form.
AXES: dict[str, str] = {
    "W_E": "v m", "W_pos": "p m", "W_U": "m o", "b_U": "o", "b_O": "m",
    "W_Q": "h m d", "W_K": "h m d", "W_V": "h m d", "W_O": "h d m", "b_Q": "h d", "b_K": "h d", "b_V": "h d",
    "W_in": "m f", "W_out": "f m", "b_in": "f", "b_out": "m",
    "ln1_w": "m", "ln1_b": "m", "ln_final_w": "m", "ln_final_b": "m",
}  # fmt: skip


@dataclass(frozen=True)
class Weights:
    """The tensors of one model and its architecture.

    Attributes:
        tensors: canonical name to array (float32 or float64, read-only, head axis first).
        architecture: sizes and everything else needed to run them.
        sha256: digest of architecture and tensors, 64 hexadecimal digits.
        metadata: the string map of the file.
        converted: what the model was before a reader that is not trusted turned it into the file; empty if it was none.
    """

    tensors: Mapping[str, Float[np.ndarray, "..."]]
    architecture: Architecture
    sha256: str
    metadata: Mapping[str, str]
    converted: str = ""

    def get(self, name: str, head: int = 0) -> Float[np.ndarray, "..."] | None:
        """A canonical tensor, one head of it where it has a head axis, or None if absent."""
        array = self.tensors.get(name)
        if array is None:
            return None
        return array[head] if AXES[name].startswith("h") else array

    def __getitem__(self, name: str) -> Float[np.ndarray, "..."]:
        """A canonical tensor that every model has; head 0 where it has a head axis."""
        array = self.get(name)
        if array is None:
            raise KeyError(name)
        return array
