"""Max-of-K: the right output is the largest token of the sequence."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.task import AbstractTask, TaskError

MAX_SIZE = 4096
MAX_DIGITS = 4000


@dataclass(frozen=True)
class MaxOfK(AbstractTask):
    """Target of (t_0, .., t_{K-1}) is max_i t_i.

    Attributes:
        k: sequence length, 1 to 4,096.
        d_vocab: vocabulary size, 1 to 4,096.
    """

    name: ClassVar[str] = "max-of-k"
    k: int
    d_vocab: int

    def __post_init__(self) -> None:
        """Refuse sizes outside 1 .. 4,096, and counts that no certificate can hold."""
        for field in ("k", "d_vocab"):
            value = getattr(self, field)
            if not 1 <= value <= MAX_SIZE:
                raise TaskError(f"max-of-k: {field}={value} is not between 1 and {MAX_SIZE}")
        if self.d_vocab**self.k >= 10**MAX_DIGITS:
            raise TaskError(f"max-of-k: d_vocab**k has more than {MAX_DIGITS} digits")

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """max_i t_i of every sequence."""
        return np.asarray(tokens.max(axis=-1))

    def record(self) -> dict[str, int | str]:
        """Name and sizes, as they stand in a certificate."""
        return {"name": self.name, "k": self.k, "d_vocab": self.d_vocab}
