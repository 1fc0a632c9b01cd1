"""Input distributions. One so far: every sequence has the same probability."""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar


@dataclass(frozen=True)
class Uniform:
    """Every one of the `d_vocab ** k` sequences has the same probability."""

    name: ClassVar[str] = "uniform"

    def record(self) -> dict[str, str]:
        """The distribution as it stands in a certificate."""
        return {"name": self.name}

    def probability(self, correct: int, total: int) -> Fraction:
        """Probability of a set of `correct` sequences out of `total`."""
        return Fraction(correct, total)
