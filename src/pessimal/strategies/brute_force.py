"""Brute force: no explanation, the exact count."""

from dataclasses import dataclass
from typing import ClassVar

from pessimal.strategies.interface import AbstractHintFree


@dataclass(frozen=True)
class BruteForce(AbstractHintFree):
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
