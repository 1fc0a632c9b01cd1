"""Min-of-K: the right output is the smallest token of the sequence."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import DEAD, Machine, Recogniser
from pessimal.spec.task import AbstractTokenTask


@dataclass(frozen=True)
class MinOfK(AbstractTokenTask):
    """Target of (t_0, .., t_{K-1}) is min_i t_i."""

    name: ClassVar[str] = "min-of-k"
    summary: ClassVar[str] = "the smallest token"

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """min_i t_i of every sequence."""
        return np.asarray(tokens.min(axis=-1))

    def machine(self) -> Machine:
        """State: the smallest token so far, d_vocab before the first."""
        state = np.arange(self.d_vocab + 1)
        step = np.minimum(state[:, np.newaxis], np.arange(self.d_vocab))
        return Machine(self.d_vocab, step, np.minimum(state, self.d_vocab - 1))

    def recogniser(self) -> Recogniser:
        """Two states, "y not yet" and "y seen"; letters: above y, equal to y; below y is dead."""
        y, t = np.arange(self.d_vocab)[:, np.newaxis], np.arange(self.d_vocab)
        return Recogniser.seen(np.where(t > y, 0, np.where(t == y, 1, DEAD)), [[0, 1], [1, 1]])
