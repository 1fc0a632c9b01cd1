"""Constant: the right output is the same for every sequence."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import Machine, Recogniser
from pessimal.spec.task import AbstractTask


@dataclass(frozen=True)
class Constant(AbstractTask):
    """Target of every sequence is `output`.

    Attributes:
        output: the right output, 0 .. d_vocab - 1.
    """

    name: ClassVar[str] = "constant"
    summary: ClassVar[str] = "always the same output"
    output: int = 0

    def complaint(self) -> str:
        """What is wrong with the output, or nothing."""
        inside = 0 <= self.output < self.d_vocab
        return "" if inside else f"output={self.output} is not between 0 and {self.d_vocab - 1}"

    @property
    def n_states(self) -> int:
        """One state is enough."""
        return 1

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """The one output, for every sequence."""
        return np.full(tokens.shape[:-1], self.output)

    def machine(self) -> Machine:
        """A machine of one state."""
        return Machine(0, np.zeros((1, self.d_vocab), dtype=np.int64), np.array([self.output]))

    def recogniser(self) -> Recogniser:
        """Two states, "right whatever comes" and "never right"; one letter."""
        return Recogniser(
            start=np.where(np.arange(self.n_outputs) == self.output, 0, 1),
            letter=np.zeros((self.n_outputs, self.d_vocab), dtype=np.int64),
            moves=np.array([[0], [1]]),
            accepts=np.array([True, False]),
        )
