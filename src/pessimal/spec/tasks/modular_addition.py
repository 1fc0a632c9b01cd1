"""Modular addition: the right output is the sum of the tokens modulo the size of the vocabulary.

Contents:
    AbstractModularSum — sums modulo the number of outputs.
    ModularAddition — of all tokens.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import Machine, Recogniser
from pessimal.spec.task import AbstractTask


@dataclass(frozen=True)
class AbstractModularSum(AbstractTask):
    """Target of (t_0, .., t_{K-1}) is (t_0 + .. + t_{K-1}) mod p, where p is the number of outputs."""

    @property
    def n_states(self) -> int:
        """As many states as there are sums."""
        return self.n_outputs

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """The sum modulo p."""
        return np.asarray(tokens.sum(-1) % self.n_outputs)

    def machine(self) -> Machine:
        """The state is the sum so far."""
        number = np.arange(self.n_outputs)
        return Machine(0, (number[:, np.newaxis] + np.arange(self.d_vocab)) % self.n_outputs, number)

    def recogniser(self) -> Recogniser:
        """The state is what is still missing to y, 0 at the end; the letter of a token is what it counts modulo p."""
        number = np.arange(self.n_outputs)
        return Recogniser(
            start=number,
            letter=np.tile(np.arange(self.d_vocab) % self.n_outputs, (self.n_outputs, 1)),
            moves=(number[:, np.newaxis] - number) % self.n_outputs,
            accepts=number == 0,
        )


@dataclass(frozen=True)
class ModularAddition(AbstractModularSum):
    """Target of (t_0, .., t_{K-1}) is (t_0 + .. + t_{K-1}) mod p, p = d_vocab; the literature has K = 2."""

    name: ClassVar[str] = "modular-addition"
    summary: ClassVar[str] = "the sum of the tokens modulo d_vocab"
