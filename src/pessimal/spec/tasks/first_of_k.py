"""First-of-K: the right output is the first token of the sequence."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import DEAD, Machine, Recogniser
from pessimal.spec.task import AbstractTokenTask


@dataclass(frozen=True)
class FirstOfK(AbstractTokenTask):
    """Target of (t_0, .., t_{K-1}) is t_0."""

    name: ClassVar[str] = "first-of-k"
    summary: ClassVar[str] = "the first token"

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """t_0 of every sequence."""
        return np.asarray(tokens[..., 0])

    def machine(self) -> Machine:
        """State d_vocab before the first token, then the first token for good."""
        v = self.d_vocab
        step = np.repeat(np.arange(v + 1)[:, np.newaxis], v, axis=1)
        step[v] = np.arange(v)
        return Machine(v, step, np.append(np.arange(v), 0))

    def recogniser(self) -> Recogniser:
        """Two states, "nothing read" and "y was first"; letters: other than y, equal to y."""
        tokens = np.arange(self.d_vocab)
        return Recogniser.seen((tokens[:, np.newaxis] == tokens).astype(np.int64), [[DEAD, 1], [1, 1]])
