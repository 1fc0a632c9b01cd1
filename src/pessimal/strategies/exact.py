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
        budget: largest number of flops, which allows fewer prefixes (default: any).

    Soundness: `kernel.rules.exact`, for every number of prefixes.
    Cost: tables, and six operations per rival at the number of prefixes that the search needs.
    Source: new (position minima as a search).
    """

    name: ClassVar[str] = "exact"
    rule: ClassVar[str] = "exact"
    asymptotic: ClassVar[str] = "O(v^3 K + v prefixes)"
    source: ClassVar[str] = "new (position minima as a search)"
    summary: ClassVar[str] = "exact accuracy by branch and bound"

    nodes: int = DEFAULT_NODES
    budget: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers of prefixes out of range."""
        if not 0 <= self.nodes <= MAX_NODES:
            raise StrategyError(f"option nodes={self.nodes} is not from 0 to 2**40")

    def least_flops(self, weights: Weights, question: Question) -> int:
        """Of the proof that tries no prefix."""
        return self._flops(Hints({"nodes": 0}), weights, question)

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """The number of prefixes that the search tries."""
        nodes = self._affordable(weights, question)
        tally = Tally(budget_left=nodes)
        arith = Float64Arithmetic()
        with arith.running():
            count_wrong(weights, question, arith, tally, progress)
        return Hints({"nodes": nodes if tally.not_certified else nodes - tally.budget_left})

    def _affordable(self, weights: Weights, question: Question) -> int:
        """The most prefixes that the budget allows; raises `Rejected(resources)` if not even none is."""
        if self.budget is None:
            return self.nodes
        low, high = 0, self.nodes
        self._require_within(self.budget, self.least_flops(weights, question))
        while low < high:
            half = (low + high + 1) // 2
            fits = self._flops(Hints({"nodes": half}), weights, question) <= self.budget
            low, high = (half, high) if fits else (low, half - 1)
        return low
