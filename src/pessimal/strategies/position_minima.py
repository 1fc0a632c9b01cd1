"""Position minima: the worst token at every position."""

from dataclasses import dataclass
from typing import ClassVar

from pessimal.strategies.interface import AbstractHintFree


@dataclass(frozen=True)
class PositionMinima(AbstractHintFree):
    """The worst token at every position, move by move.

    Soundness: `kernel.rules.position_minima`.
    Cost: O(v^4 K) flops.
    Source: new.
    """

    name: ClassVar[str] = "position-minima"
    rule: ClassVar[str] = "position-minima"
    asymptotic: ClassVar[str] = "O(v^4 K)"
    source: ClassVar[str] = "new"
    summary: ClassVar[str] = "worst token at every position, exact otherwise"
