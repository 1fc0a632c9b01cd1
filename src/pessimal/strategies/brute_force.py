"""Brute force: no explanation, the exact count."""

from dataclasses import dataclass
from typing import ClassVar

from pessimal.kernel.rules.interface import Hints, Progress
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy


@dataclass(frozen=True)
class BruteForce(AbstractStrategy):
    """Run the model on every sequence, up to 64**5 of them.

    Soundness: `kernel.rules.brute_force`; exact, both ways.
    Cost: about 2 d_vocab_out flops per sequence.
    Source: exhaustive evaluation.
    """

    name: ClassVar[str] = "brute-force"
    rule: ClassVar[str] = "brute-force"
    asymptotic: ClassVar[str] = "O(v^(K+1))"
    source: ClassVar[str] = "exhaustive evaluation"
    summary: ClassVar[str] = "every sequence; the exact accuracy"

    def hints(self, weights: Weights, task: AbstractTask, progress: Progress) -> Hints:
        """None needed."""
        del weights, task, progress
        return Hints()
