"""Flagged element: the right output is the payload of the first token that carries a flag."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import DEAD, Machine, Recogniser
from pessimal.spec.task import AbstractTask


@dataclass(frozen=True)
class FlaggedElement(AbstractTask):
    """Tokens n .. 2n-1 (n = d_vocab / 2) carry the flag and the payload t - n; tokens below n carry no flag.

    Target of (t_0, .., t_{K-1}) is the payload of the first flagged token, or n if there is none.
    """

    name: ClassVar[str] = "flagged-element"
    summary: ClassVar[str] = "the payload of the first flagged token (t - d_vocab/2), d_vocab/2 if there is none"

    def complaint(self) -> str:
        """What is wrong with the vocabulary, or nothing."""
        return f"d_vocab={self.d_vocab} is odd; half of the tokens carry the flag" if self.d_vocab % 2 else ""

    @property
    def n_outputs(self) -> int:
        """As many as payloads, and one for "none"."""
        return self.d_vocab // 2 + 1

    @property
    def n_states(self) -> int:
        """As many as payloads, and one for "none"."""
        return self.d_vocab // 2 + 1

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """Payload of the first flagged token."""
        n = self.d_vocab // 2
        flagged = tokens >= n
        first = np.take_along_axis(tokens, flagged.argmax(-1)[..., np.newaxis], -1)[..., 0]
        return np.asarray(np.where(flagged.any(-1), first - n, n))

    def machine(self) -> Machine:
        """State: the output if the sequence ended here; n before the first flag."""
        n = self.d_vocab // 2
        step = np.repeat(np.arange(n + 1)[:, np.newaxis], self.d_vocab, axis=1)
        step[n, n:] = np.arange(n)
        return Machine(n, step, np.arange(n + 1))

    def recogniser(self) -> Recogniser:
        """States "no flag yet", "y was first" and, for "none", "no flag at all"; letters: no flag, y, another flag."""
        n = self.d_vocab // 2
        y, t = np.arange(n + 1)[:, np.newaxis], np.arange(self.d_vocab)
        return Recogniser(
            start=np.where(np.arange(n + 1) < n, 0, 2),
            letter=np.where(t < n, 0, np.where(t - n == y, 1, 2)),
            moves=np.array([[0, 1, DEAD], [1, 1, 1], [2, DEAD, DEAD]]),
            accepts=np.array([False, True, True]),
        )
