"""What a strategy is: a name, a rule, options, and a way to find hints.

Contents:
    AbstractStrategy — the interface.
    AbstractHintFree — a strategy whose rule takes no advice.
    StrategyError — a strategy that cannot be used as asked.
    OutOfTimeError — raised within a search whose time is up.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import ClassVar

from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import Progress
from pessimal.spec.claim import ACCURACY
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


class StrategyError(ValueError):
    """The strategy cannot be used as asked; the message says what would do."""


class OutOfTimeError(Exception):
    """The time for a search is up: a strategy that has found hints by then may return them."""


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

    def least_flops(self, weights: Weights, question: Question) -> int:
        """Flops that every proof of this strategy has at least, without searching for one; 0 if that is not known."""
        del weights, question
        return 0

    def _flops(self, hints: Hints, weights: Weights, question: Question) -> int:
        """Length of the proof with these hints, counted over shapes."""
        return RULES[self.rule].read(hints, weights.architecture, question).cost().flops

    def _within(
        self, budget: int | None, trials: Sequence[Hints], weights: Weights, question: Question
    ) -> Sequence[Hints]:
        """Hints whose proofs are within a budget; raises `Rejected(resources)` if none are."""
        if budget is None:
            return trials
        lengths = [self._flops(one, weights, question) for one in trials]
        found = [one for one, flops in zip(trials, lengths, strict=True) if flops <= budget]
        self._require_within(budget, min(lengths))
        return found

    @staticmethod
    def _require_within(budget: int | None, flops: int) -> None:
        """Raise `Rejected(resources)` if the shortest proof is longer than a budget."""
        if budget is not None and flops > budget:
            raise Rejected(Reason.RESOURCES, f"a budget of {budget} flops is too small: these options need {flops}")

    @classmethod
    def option_names(cls) -> list[str]:
        """Names of the options that a strategy takes."""
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
            if not self._is_open(name) and not isinstance(value, int | float):
                raise StrategyError(f"option {name} is a number, not {value!r:.40}")
            if self._is_open(name) or low <= value <= (value if high is None else high):
                continue
            among = f"must be at least {low}" if high is None else f"is not from {low} to {high}"
            raise StrategyError(f"option {name}={value} {among}")


class AbstractHintFree(AbstractStrategy):
    """A strategy whose rule takes no advice."""

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """No hints: the rule reads none."""
        del weights, question, progress
        return Hints()

    def least_flops(self, weights: Weights, question: Question) -> int:
        """The length of its only proof."""
        try:
            return self._flops(Hints(), weights, question)
        except Rejected:
            # Too long even to count: it will be refused when it is tried.
            return 0
