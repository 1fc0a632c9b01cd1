"""Max-of-K: the right output is the largest token of the sequence."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import DEAD, Machine, Recogniser
from pessimal.spec.task import AbstractTokenTask


@dataclass(frozen=True)
class MaxOfK(AbstractTokenTask):
    """Target of (t_0, .., t_{K-1}) is max_i t_i."""

    name: ClassVar[str] = "max-of-k"
    summary: ClassVar[str] = "the largest token"

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """max_i t_i of every sequence."""
        return np.asarray(tokens.max(axis=-1))

    def machine(self) -> Machine:
        """State: the largest token so far plus one, 0 before the first."""
        state, token = np.arange(self.d_vocab + 1)[:, np.newaxis], np.arange(1, self.d_vocab + 1)
        return Machine(0, np.maximum(state, token), np.maximum(state[:, 0] - 1, 0))

    def recogniser(self) -> Recogniser:
        """Two states, "y not yet" and "y seen"; letters: below y, equal to y; above y is dead."""
        y, t = np.arange(self.d_vocab)[:, np.newaxis], np.arange(self.d_vocab)
        return Recogniser.seen(np.where(t < y, 0, np.where(t == y, 1, DEAD)), [[0, 1], [1, 1]])
