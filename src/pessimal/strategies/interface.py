"""What a strategy is: a name, a rule, options, and a way to find hints.

Contents:
    AbstractStrategy — the interface.
    AbstractHintFree — a strategy whose rule takes no advice.
    StrategyError — a strategy that cannot be used as asked.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import fields
from typing import ClassVar

from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.interface import Progress
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

    def _is_open(self, name: str) -> bool:
        """Whether an option is left to the search: None where that is its default."""
        return getattr(self, name) is None and getattr(type(self), name) is None

    def _require_words(self, **allowed: Iterable[str]) -> None:
        """Refuse a value that is none of the words of its option."""
        for name, words in allowed.items():
            value = getattr(self, name)
            if not self._is_open(name) and value not in words:
                raise StrategyError(f"option {name}={value!r} is not one of {', '.join(words)}")

    def _require_numbers(self, low: int, high: int | None, *names: str) -> None:
        """Refuse numbers out of range."""
        for name in names:
            value = getattr(self, name)
            if self._is_open(name) or low <= value <= (value if high is None else high):
                continue
            among = f"must be at least {low}" if high is None else f"is not from {low} to {high}"
            raise StrategyError(f"option {name}={value} {among}")


class AbstractHintFree(AbstractStrategy):
    """A strategy whose rule takes no advice."""

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """None."""
        del weights, question, progress
        return Hints()
