"""Modular addition with "=": numbers, then a last token that says nothing and is read for the sum."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import Machine, Recogniser
from pessimal.spec.task import AbstractTask


@dataclass(frozen=True)
class ModularAdditionEquals(AbstractTask):
    """Target of (t_0, .., t_{K-1}) is (t_0 + .. + t_{K-1}) mod p, where p = d_vocab - 1 and token p, "=", counts 0.

    The inputs that occur are numbers at all positions but the last and "=" there; the literature has K = 3.
    """

    name: ClassVar[str] = "modular-addition-equals"
    summary: ClassVar[str] = 'the sum of the tokens modulo d_vocab - 1; the last token, "=", counts 0'

    def complaint(self) -> str:
        """See `AbstractTask`."""
        return "" if self.d_vocab > 1 else 'd_vocab=1 leaves no number beside "="'

    @property
    def n_outputs(self) -> int:
        """The numbers."""
        return self.d_vocab - 1

    def usual_weights(self) -> Int[np.ndarray, "k d_vocab"]:
        """Numbers alike before the last position, "=" there."""
        weights = np.tile((np.arange(self.d_vocab) < self.n_outputs).astype(np.int64), (self.k, 1))
        weights[-1] = 1 - weights[-1]
        return weights

    @property
    def n_states(self) -> int:
        """The sums."""
        return self.n_outputs

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """The sum modulo p; "=" is p, which is 0."""
        return np.asarray(tokens.sum(-1) % self.n_outputs)

    def machine(self) -> Machine:
        """The state is the sum so far."""
        number = np.arange(self.n_outputs)
        return Machine(0, (number[:, np.newaxis] + np.arange(self.d_vocab)) % self.n_outputs, number)

    def recogniser(self) -> Recogniser:
        """The state is what is still missing to y, 0 at the end; a token is the letter of its number, "=" that of 0."""
        number = np.arange(self.n_outputs)
        return Recogniser(
            start=number,
            letter=np.tile(np.arange(self.d_vocab) % self.n_outputs, (self.n_outputs, 1)),
            moves=(number[:, np.newaxis] - number) % self.n_outputs,
            accepts=number == 0,
        )
