"""Tasks: which output is right for which input.

Contents:
    AbstractTask — the interface: a name, the sizes, the target of every sequence, the same as an automaton.
    AbstractTokenTask — tasks that remember one token.
    TaskError — a task that does not fit a model.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.architecture import Architecture
from pessimal.spec.machine import Machine, Recogniser, minimal_recogniser

MAX_SIZE = 4096
MAX_DIGITS = 4000


class TaskError(ValueError):
    """The task cannot be asked of this model; the message says which size disagrees."""


@dataclass(frozen=True)
class AbstractTask(ABC):
    """A function from token sequences to one right output token. Subclasses may add integer fields.

    Attributes:
        k: sequence length K, in tokens, 1 to 4,096.
        d_vocab: vocabulary size, 1 to 4,096; tokens are 0 .. d_vocab - 1.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    k: int
    d_vocab: int

    def __post_init__(self) -> None:
        """Refuse sizes outside 1 .. 4,096, and counts that no certificate can hold."""
        for field in ("k", "d_vocab"):
            value = getattr(self, field)
            if type(value) is not int:
                raise TaskError(f"{self.name}: {field} is an integer, not {value!r:.40}")
            if not 1 <= value <= MAX_SIZE:
                raise TaskError(f"{self.name}: {field}={value} is not between 1 and {MAX_SIZE}")
        if self.d_vocab**self.k >= 10**MAX_DIGITS:
            raise TaskError(f"{self.name}: d_vocab**k has more than {MAX_DIGITS} digits")
        complaint = self.complaint()
        if complaint:
            raise TaskError(f"{self.name}: {complaint}")

    def complaint(self) -> str:
        """Why the task does not exist at these sizes; empty if it does."""
        return ""

    @property
    def n_outputs(self) -> int:
        """Right outputs are 0 .. n_outputs - 1."""
        return self.d_vocab

    def usual_weights(self) -> Int[np.ndarray, "k d_vocab"] | None:
        """Weights of the inputs that claims are about unless another distribution is named; None if all are alike."""
        return None

    @property
    @abstractmethod
    def n_states(self) -> int:
        """States of `machine`, known before it is built."""

    @abstractmethod
    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """Right output token of every sequence."""

    @abstractmethod
    def machine(self) -> Machine:
        """The function as a Moore machine."""

    def recogniser(self) -> Recogniser:
        """Small automata, one per output; nothing is trusted about them (`machine.require_recognises`)."""
        return minimal_recogniser(self.machine(), self.n_outputs)

    def record(self) -> dict[str, int | str]:
        """Name and sizes, as they stand in a certificate."""
        return {"name": self.name, **asdict(self)}

    def __str__(self) -> str:
        """Name and everything that tells it from other tasks, for a reader."""
        return f"{self.name} ({', '.join(f'{key}={value}' for key, value in asdict(self).items())})"

    def total(self) -> int:
        """Number of sequences, `d_vocab ** k`, exact."""
        return int(self.d_vocab**self.k)

    def require_fits(self, architecture: Architecture) -> None:
        """Raise `TaskError` unless the model reads and writes this task's tokens."""
        if architecture.shape.d_vocab != self.d_vocab:
            raise TaskError(
                f"task {self.name} has d_vocab={self.d_vocab}, the model W_E has {architecture.shape.d_vocab} rows"
            )
        if architecture.shape.d_vocab_out < self.n_outputs:
            raise TaskError(
                f"task {self.name} needs {self.n_outputs} outputs, W_U has {architecture.shape.d_vocab_out} columns"
            )
        if architecture.shape.k != self.k:
            raise TaskError(f"task {self.name} has k={self.k}, the model is read at k={architecture.shape.k}")


class AbstractTokenTask(AbstractTask):
    """Tasks whose right output is one token of the sequence, which is all that the machine remembers."""

    @property
    def n_states(self) -> int:
        """As many states as tokens, and one for none so far."""
        return self.d_vocab + 1
