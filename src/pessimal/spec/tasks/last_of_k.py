"""Last-of-K: the right output is the last token of the sequence."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import Machine, Recogniser
from pessimal.spec.task import AbstractTokenTask


@dataclass(frozen=True)
class LastOfK(AbstractTokenTask):
    """Target of (t_0, .., t_{K-1}) is t_{K-1}."""

    name: ClassVar[str] = "last-of-k"
    summary: ClassVar[str] = "the last token"

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """t_{K-1} of every sequence."""
        return np.asarray(tokens[..., -1])

    def machine(self) -> Machine:
        """State: the last token, d_vocab before the first."""
        v = self.d_vocab
        return Machine(v, np.repeat(np.arange(v)[np.newaxis], v + 1, axis=0), np.append(np.arange(v), 0))

    def recogniser(self) -> Recogniser:
        """Two states, "another token was last" and "y was last"; letters: other than y, equal to y."""
        tokens = np.arange(self.d_vocab)
        return Recogniser.seen((tokens[:, np.newaxis] == tokens).astype(np.int64), [[0, 1], [0, 1]])
