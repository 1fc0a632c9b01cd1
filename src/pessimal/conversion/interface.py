"""What readers of other formats have in common: the tensors they find, what they may cost, how they refuse.

A reader turns bytes into a tree of plain values (dictionaries, lists, numbers, strings) whose leaves may be `Tensor`s.
Tensors are read when they are wanted, so that what lies beside a state dict (an optimiser, older states) costs nothing.

Contents:
    Tensor — name of a dtype, shape, and how to read the numbers.
    Stated — what a user says of a file that does not say it itself.
    Budget — how many bytes may come out of a file.
    ConversionError — one sentence on what the file is and what to do.
    ORIENTATIONS, CURRENT, EARLY — how matrices are laid out.
    said — the beginning of a name, for messages.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from pessimal.spec import WeightsError

CURRENT, EARLY = "transformer-lens", "early"
ORIENTATIONS = (CURRENT, EARLY)
# What comes out of a file may be larger than the file: by compression, or because tensors share numbers.
LEAST_BUDGET = 32 << 20
GROWTH = 4
MAX_AXES = 8
SHOWN = 60


class ConversionError(WeightsError):
    """The file is not a model that can be read; one sentence that says what it is and what to do."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file, not read yet.

    Attributes:
        dtype: as safetensors calls it (F32, BF16, I64, ...), or another word where it has no name for it.
        shape: sides.
        read: the numbers in their own dtype; bfloat16 as 16-bit integers.
    """

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Stated:
    """What the user says of a file.

    Attributes:
        n_heads: number of heads, where the shapes do not have it.
        orientation: one of `ORIENTATIONS`, where the shapes fit both.
        state_dict: name of the dictionary to take, where there are several.
        tied: the unembedding is the embedding, transposed.
        summed: every position has attention 1, not 1/k: values times k, and uniform attention.
        metadata: further facts under the names of TransformerLens, as strings.
    """

    n_heads: int | None = None
    orientation: str | None = None
    state_dict: str | None = None
    tied: bool = False
    summed: bool = False
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Budget:
    """How many bytes may still come out of a file: compressed and overlapping tensors could ask for any number."""

    def __init__(self, file_bytes: int) -> None:
        """At least `LEAST_BUDGET`, or `GROWTH` times the file."""
        self.limit = self.left = max(LEAST_BUDGET, GROWTH * file_bytes)

    def take(self, count: int) -> None:
        """Use some.

        Raises:
            ConversionError: there is not so much left.
        """
        if count > self.left:
            raise ConversionError(f"more than {self.limit} bytes would come out of it, {GROWTH} times its size or more")
        self.left -= count


def said(name: str) -> str:
    """The beginning of a name in quotes."""
    return repr(name if len(name) <= SHOWN else f"{name[:SHOWN]}...")
