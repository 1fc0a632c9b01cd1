"""The published cubic proof."""

from dataclasses import dataclass
from typing import ClassVar

from pessimal.strategies.interface import AbstractHintFree


@dataclass(frozen=True)
class Cubic(AbstractHintFree):
    """Pure sequences and the convexity lemma.

    Soundness: `kernel.rules.published.cubic`.
    Cost: O(v^3 K + v^2 d) flops.
    Source: Gross et al. 2024, cubic proof; here with outward rounding.
    """

    name: ClassVar[str] = "cubic"
    rule: ClassVar[str] = "cubic"
    asymptotic: ClassVar[str] = "O(v^3 K + v^2 d)"
    source: ClassVar[str] = "Gross et al. 2024"
    summary: ClassVar[str] = "published: one repeated non-maximal token per sequence, convexity for the rest"
