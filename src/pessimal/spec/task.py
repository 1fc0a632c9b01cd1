"""Tasks: which output is right for which input.

Contents:
    AbstractTask — the interface: a name, the sizes, the target of every sequence.
    TaskError — a task that does not fit a model.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.architecture import Architecture


class TaskError(ValueError):
    """The task cannot be asked of this model; the message says which size disagrees."""


class AbstractTask(ABC):
    """A function from token sequences to one right output token.

    Attributes:
        k: sequence length K, in tokens.
        d_vocab: tokens are 0 .. d_vocab - 1.
    """

    name: ClassVar[str]
    k: int
    d_vocab: int

    @abstractmethod
    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """Right output token of every sequence."""

    @abstractmethod
    def record(self) -> dict[str, int | str]:
        """Name and sizes, as they stand in a certificate."""

    def total(self) -> int:
        """Number of sequences, `d_vocab ** k`, exact."""
        return int(self.d_vocab**self.k)

    def require_fits(self, architecture: Architecture) -> None:
        """Raise `TaskError` unless the model reads and writes this task's tokens."""
        if architecture.shape.d_vocab != self.d_vocab:
            raise TaskError(
                f"task {self.name} has d_vocab={self.d_vocab}, the model W_E has {architecture.shape.d_vocab} rows"
            )
        if architecture.shape.d_vocab_out < self.d_vocab:
            raise TaskError(
                f"task {self.name} needs {self.d_vocab} outputs, W_U has {architecture.shape.d_vocab_out} columns"
            )
        if architecture.shape.k != self.k:
            raise TaskError(f"task {self.name} has k={self.k}, the model is read at k={architecture.shape.k}")
