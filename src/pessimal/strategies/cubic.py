"""The published cubic proof."""

from dataclasses import dataclass
from typing import ClassVar

from pessimal.kernel.rules.interface import Hints, Progress
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy


@dataclass(frozen=True)
class Cubic(AbstractStrategy):
    """Pure sequences and the convexity lemma.

    Soundness: `kernel.rules.cubic`.
    Cost: O(v^3 K + v^2 d) flops.
    Source: Gross et al. 2024, cubic proof; here with outward rounding.
    """

    name: ClassVar[str] = "cubic"
    rule: ClassVar[str] = "cubic"
    asymptotic: ClassVar[str] = "O(v^3 K + v^2 d)"
    source: ClassVar[str] = "Gross et al. 2024"
    summary: ClassVar[str] = "published: one repeated non-maximal token per sequence, convexity for the rest"

    def hints(self, weights: Weights, task: AbstractTask, progress: Progress) -> Hints:
        """None needed."""
        del weights, task, progress
        return Hints()
