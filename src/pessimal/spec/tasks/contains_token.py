"""Contains-token: the right output is 1 if the sequence holds a given token, 0 if not."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import Machine
from pessimal.spec.task import AbstractTask


@dataclass(frozen=True)
class ContainsToken(AbstractTask):
    """Target of (t_0, .., t_{K-1}) is 1 if some t_i is `token`, else 0.

    Attributes:
        token: the token looked for.
    """

    name: ClassVar[str] = "contains-token"
    summary: ClassVar[str] = "1 if a given token occurs, else 0"
    token: int = 0

    def complaint(self) -> str:
        """What is wrong with the token, or nothing."""
        inside = 0 <= self.token < self.d_vocab
        return "" if inside else f"token={self.token} is not between 0 and {self.d_vocab - 1}"

    @property
    def n_outputs(self) -> int:
        """Two outputs, no and yes."""
        return 2

    @property
    def n_states(self) -> int:
        """Two states: not seen, seen."""
        return 2

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """Whether the token occurs."""
        return np.asarray((tokens == self.token).any(axis=-1).astype(np.int64))

    def machine(self) -> Machine:
        """Two states: not seen, seen."""
        step = np.stack([np.arange(self.d_vocab) == self.token, np.ones(self.d_vocab)]).astype(np.int64)
        return Machine(0, step, np.array([0, 1]))
