"""Modular addition with "=": numbers, then a last token that says nothing and is read for the sum."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.tasks.modular_addition import AbstractModularSum


@dataclass(frozen=True)
class ModularAdditionEquals(AbstractModularSum):
    """Target of (t_0, .., t_{K-1}) is (t_0 + .. + t_{K-1}) mod p, where p = d_vocab - 1 and token p, "=", counts 0.

    The inputs that occur are numbers at all positions but the last and "=" there; the literature has K = 3.
    """

    name: ClassVar[str] = "modular-addition-equals"
    summary: ClassVar[str] = 'the sum of the tokens modulo d_vocab - 1; the last token, "=", counts 0'

    def complaint(self) -> str:
        """What is wrong with the vocabulary, or nothing."""
        return "" if self.d_vocab > 1 else 'd_vocab=1 leaves no number beside "="'

    @property
    def n_outputs(self) -> int:
        """As many outputs as there are numbers."""
        return self.d_vocab - 1

    def usual_weights(self) -> Int[np.ndarray, "k d_vocab"]:
        """Numbers alike before the last position, "=" there."""
        weights = np.tile((np.arange(self.d_vocab) < self.n_outputs).astype(np.int64), (self.k, 1))
        weights[-1] = 1 - weights[-1]
        return weights
