"""Modular addition: the right output is the sum of the tokens modulo the size of the vocabulary."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import Machine, Recogniser
from pessimal.spec.task import AbstractTask


@dataclass(frozen=True)
class ModularAddition(AbstractTask):
    """Target of (t_0, .., t_{K-1}) is (t_0 + .. + t_{K-1}) mod p, p = d_vocab; the literature has K = 2."""

    name: ClassVar[str] = "modular-addition"
    summary: ClassVar[str] = "the sum of the tokens modulo d_vocab"

    @property
    def n_states(self) -> int:
        """The sums."""
        return self.d_vocab

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """The sum modulo p."""
        return np.asarray(tokens.sum(-1) % self.d_vocab)

    def machine(self) -> Machine:
        """The state is the sum so far."""
        tokens = np.arange(self.d_vocab)
        return Machine(0, (tokens[:, np.newaxis] + tokens) % self.d_vocab, tokens)

    def recogniser(self) -> Recogniser:
        """The state is what is still missing to y, 0 at the end; every token is a letter of its own."""
        tokens = np.arange(self.d_vocab)
        return Recogniser(
            start=tokens,
            letter=np.tile(tokens, (self.d_vocab, 1)),
            moves=(tokens[:, np.newaxis] - tokens) % self.d_vocab,
            accepts=tokens == 0,
        )
