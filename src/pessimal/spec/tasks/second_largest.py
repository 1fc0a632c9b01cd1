"""Second largest: the right output is the second largest token, repetitions counted."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import DEAD, Machine, Recogniser
from pessimal.spec.task import AbstractTask


@dataclass(frozen=True)
class SecondLargest(AbstractTask):
    """Target of (t_0, .., t_{K-1}), K >= 2, is the second entry of the sequence in descending order: 5 of 5, 5, 3."""

    name: ClassVar[str] = "second-largest"
    summary: ClassVar[str] = "the second largest token, repetitions counted"

    def complaint(self) -> str:
        """What is wrong with the number of tokens, or nothing."""
        return "k=1 has no second token" if self.k < 2 else ""

    @property
    def n_states(self) -> int:
        """Pairs of the two largest tokens so far."""
        return (self.d_vocab + 1) * (self.d_vocab + 2) // 2

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """Second order statistic from above."""
        return np.asarray(np.sort(tokens, axis=-1)[..., -2])

    def machine(self) -> Machine:
        """State (a, b): the two largest tokens so far plus one, 0 where there is none yet; a >= b."""
        v = self.d_vocab
        largest, second = np.tril_indices(v + 1)
        number = np.zeros((v + 1, v + 1), dtype=np.int64)
        number[largest, second] = np.arange(largest.size)
        token = np.arange(1, v + 1)
        a, b = largest[:, np.newaxis], second[:, np.newaxis]
        step = number[np.maximum(a, token), np.maximum(b, np.minimum(a, token))]
        return Machine(0, step, np.maximum(second - 1, 0))

    def recogniser(self) -> Recogniser:
        """States (tokens above y, tokens equal to y): (0,0) (0,1) (0,2+) (1,0) (1,1+); letters: below, equal, above."""
        y, t = np.arange(self.d_vocab)[:, np.newaxis], np.arange(self.d_vocab)
        return Recogniser(
            start=np.zeros(self.d_vocab, dtype=np.int64),
            letter=np.where(t < y, 0, np.where(t == y, 1, 2)),
            moves=np.array([[0, 1, 3], [1, 2, 4], [2, 2, 4], [3, 4, DEAD], [4, 4, DEAD]]),
            accepts=np.array([False, False, True, False, True]),
        )
