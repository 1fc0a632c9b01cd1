"""What a strategy is: a name, a rule, options, and a way to find hints.

Contents:
    AbstractStrategy — the interface.
    AbstractHintFree — a strategy whose rule takes no advice.
    StrategyError — a strategy that cannot be used as asked.
"""

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import ClassVar

from pessimal.kernel.rules.interface import Hints, Progress
from pessimal.spec.claim import ACCURACY
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


class StrategyError(ValueError):
    """The strategy cannot be used as asked; the message says what would do."""


class AbstractStrategy(ABC):
    """Finds hints for one rule. Concrete strategies are frozen dataclasses whose fields are the options.

    Attributes:
        name: kebab-case name, also on the command line.
        rule: name of the kernel rule it appeals to.
        claims: what its rule bounds (`spec.claim`).
        asymptotic: length of its proofs in big-O form.
        source: where the theorem comes from.
        summary: one line for a table.
    """

    name: ClassVar[str]
    rule: ClassVar[str]
    claims: ClassVar[tuple[str, ...]] = (ACCURACY,)
    asymptotic: ClassVar[str]
    source: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """Advice for the rule; may be anything, the rule is sound for all of it."""

    @classmethod
    def option_names(cls) -> list[str]:
        """Names of the options."""
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]


class AbstractHintFree(AbstractStrategy):
    """A strategy whose rule takes no advice."""

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """None."""
        del weights, question, progress
        return Hints()
