"""A task given by its own Moore machine, which stands in the certificate in full.

Contents:
    CustomTask — the task.
    custom_from_record — from the record of a certificate.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.spec.machine import Machine
from pessimal.spec.task import AbstractTask, TaskError

# Entries of both tables: the record has to fit into the 64 KiB header of a certificate.
MAX_ENTRIES = 8192
MAX_OUTPUT = 4095
KEYS = ("k", "d_vocab", "start", "moves", "outputs")


@dataclass(frozen=True)
class CustomTask(AbstractTask):
    """Target of (t_0, .., t_{K-1}) is the output of the state that the moves lead to.

    Attributes:
        start: state before the first token.
        moves: next state by state and token, one row of d_vocab states per state.
        outputs: right output by state.
    """

    name: ClassVar[str] = "machine"
    summary: ClassVar[str] = "a Moore machine of one's own, from a JSON file"
    start: int
    moves: tuple[tuple[int, ...], ...]
    outputs: tuple[int, ...]

    def complaint(self) -> str:
        """What is wrong with the tables, or nothing."""
        n = len(self.moves)
        if not 1 <= n * (self.d_vocab + 1) <= MAX_ENTRIES:
            return f"{n} states with {self.d_vocab} moves and an output each are not from 1 to {MAX_ENTRIES} numbers"
        if len(self.outputs) != n or any(len(row) != self.d_vocab for row in self.moves):
            return f"moves has a row of {self.d_vocab} states for each state, outputs a number for each state"
        if not 0 <= self.start < n or not all(0 <= state < n for row in self.moves for state in row):
            return f"states are 0 .. {n - 1}"
        if not all(0 <= output <= MAX_OUTPUT for output in self.outputs):
            return f"outputs are 0 .. {MAX_OUTPUT}"
        return ""

    @property
    def n_outputs(self) -> int:
        """One more than the largest output."""
        return max(self.outputs) + 1

    @property
    def n_states(self) -> int:
        """As many states as the tables state."""
        return len(self.moves)

    def target(self, tokens: Int[np.ndarray, "*batch k"]) -> Int[np.ndarray, "*batch"]:
        """Output of the state after the last token."""
        return self.machine().target(tokens)

    def machine(self) -> Machine:
        """The tables as they are."""
        return Machine(self.start, np.array(self.moves, dtype=np.int64), np.array(self.outputs, dtype=np.int64))

    def __str__(self) -> str:
        """Sizes, and the digest of the tables."""
        tables = sha256(json.dumps([self.start, self.moves, self.outputs], separators=(",", ":")).encode()).hexdigest()
        return f"{self.name} (k={self.k}, d_vocab={self.d_vocab}, {len(self.moves)} states, tables sha256:{tables})"

    def record(self) -> dict[str, Any]:
        """Name, sizes and tables."""
        return {
            "name": self.name, "k": self.k, "d_vocab": self.d_vocab, "start": self.start,
            "moves": [list(row) for row in self.moves], "outputs": list(self.outputs),
        }  # fmt: skip


def custom_from_record(record: dict[str, Any]) -> CustomTask:
    """Rebuild a machine from its record; `TaskError` if it is not exactly one."""
    if set(record) != {"name", *KEYS} or record["name"] != CustomTask.name:
        raise TaskError(f"a {CustomTask.name} record has exactly the keys name, {', '.join(KEYS)}")
    moves, outputs = record["moves"], record["outputs"]
    if type(moves) is not list or not all(type(row) is list for row in moves) or type(outputs) is not list:
        raise TaskError("moves is a list of lists, outputs a list")
    numbers = [record["k"], record["d_vocab"], record["start"], *outputs, *(state for row in moves for state in row)]
    if not all(type(number) is int for number in numbers):
        raise TaskError(f"{', '.join(KEYS)} hold integers")
    rows = tuple(tuple(row) for row in moves)
    return CustomTask(record["k"], record["d_vocab"], record["start"], rows, tuple(outputs))
