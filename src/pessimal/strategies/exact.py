"""Exact count by branch and bound."""

from dataclasses import dataclass
from typing import ClassVar

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.counting.branches import Tally
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.exact import MAX_NODES, count_wrong
from pessimal.kernel.rules.interface import Progress
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy, StrategyError

DEFAULT_NODES = 1 << 28


@dataclass(frozen=True)
class Exact(AbstractStrategy):
    """Certify what position minima certify, search the rest.

    Attributes:
        nodes: most prefixes to try; past that the count is no longer exact.

    Soundness: `kernel.rules.exact`, for every number of prefixes.
    Cost: `kernel.rules.exact.exact_cost` at the number of prefixes that the search needs.
    Source: new (R1 and R4 as a search).
    """

    name: ClassVar[str] = "exact"
    rule: ClassVar[str] = "exact"
    asymptotic: ClassVar[str] = "O(v^3 K + v prefixes)"
    source: ClassVar[str] = "new (R1, R4)"
    summary: ClassVar[str] = "exact accuracy by branch and bound"

    nodes: int = DEFAULT_NODES

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        if not 0 <= self.nodes <= MAX_NODES:
            raise StrategyError(f"option nodes={self.nodes} is not from 0 to 2**40")

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """The number of prefixes that the search tries."""
        tally = Tally(left=self.nodes)
        arith = Float64Arithmetic()
        with arith.running():
            count_wrong(weights, question, arith, tally, progress)
        return Hints({"nodes": self.nodes if tally.open else self.nodes - tally.left})
