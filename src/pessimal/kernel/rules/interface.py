"""What a rule takes and gives.

A rule is a theorem: for all weights and all hints, the bound it returns is at least the number of wrong sequences. A
hint it cannot use makes it raise `Rejected(bad-hint)`; a model it does not cover, `Rejected(unsupported-model)`.

Contents:
    CountBound — what a rule returns.
    AbstractRule — the interface.
    SOFTMAX_MLP, kind_of_attention — what a rule must cover.
    no_progress — for callers who do not watch.
    require_weighs — for rules that do not cover a distribution.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import Cost
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.architecture import SOFTMAX, Architecture
from pessimal.spec.claim import ACCURACY
from pessimal.spec.distribution import Uniform
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights

Progress = Callable[[int, int], None]
SOFTMAX_MLP = f"{SOFTMAX}-before-MLP"


def no_progress(done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class CountBound:
    """Bound on the weight of the wrong sequences; on their number where each weighs 1 (`spec.distribution`).

    Attributes:
        wrong_at_most: no more than this weight is wrong; for other quantities, the sum over all sequences of weight
            times probability of another output, or times loss in nats, is at most this.
        wrong_at_least: no less than this is wrong, or None if the rule does not say.
        decided: True if the bound counts discrete decisions, so that every careful arithmetic finds the same one;
            False if it is a sum of real numbers, which needs a hair of slack between arithmetics.
        strata: the same by stratum (q, y), last token and right output; adds up to `wrong_at_most`. Empty if the rule
            does not say.
    """

    wrong_at_most: Fraction
    wrong_at_least: int | None
    decided: bool
    strata: Mapping[tuple[int, int], Fraction | int] = field(default_factory=dict)

    def parts(self) -> list[Fraction | int]:
        """Bounds for disjoint sets of sequences that cover all of them: the strata, or everything at once.

        Raises:
            Rejected: rule-failed, if the strata are not all of the bound.
        """
        parts: list[Fraction | int] = list(self.strata.values()) or [self.wrong_at_most]
        if sum(parts) != self.wrong_at_most:
            raise Rejected(Reason.RULE_FAILED, "the bounds of the strata do not add up")
        return parts


def require_weighs(rule: "AbstractRule", question: Question) -> None:
    """Raise `Rejected(unsupported-model)` for a distribution the rule does not weigh, or what it does not bound."""
    name = question.distribution.name
    if name not in rule.distributions:
        covered = " and ".join(rule.distributions)
        raise Rejected(Reason.UNSUPPORTED_MODEL, f"{rule.name} covers the distributions {covered}, not {name}")
    if question.quantity not in rule.quantities:
        covered = " and ".join(rule.quantities)
        raise Rejected(Reason.UNSUPPORTED_MODEL, f"{rule.name} bounds {covered}, not {question.quantity}")


def kind_of_attention(architecture: Architecture) -> str:
    """Softmax, uniform, or softmax followed by an MLP."""
    if architecture.attention == SOFTMAX and architecture.shape.d_mlp:
        return SOFTMAX_MLP
    return architecture.attention


class AbstractRule(ABC):
    """A theorem that turns weights and hints into a bound.

    Attributes:
        name: as it stands in a certificate.
        distributions: names of the distributions the theorem holds for.
        quantities: what it bounds (`spec.claim`).
        attention: kinds of attention it covers (`kind_of_attention`); with uniform attention, perhaps an MLP.
    """

    name: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]] = (Uniform.name,)
    quantities: ClassVar[tuple[str, ...]] = (ACCURACY,)
    attention: ClassVar[tuple[str, ...]] = (SOFTMAX,)

    @abstractmethod
    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Proof length from shapes and hint sizes alone; also checks the form of the hints."""

    def require_covers(self, weights: Weights, question: Question) -> None:
        """Raise `Rejected(unsupported-model)` with the reason for questions and models outside the theorem."""
        require_weighs(self, question)
        arch = weights.architecture
        kind = kind_of_attention(arch)
        if kind not in self.attention:
            covered = " and ".join(self.attention)
            raise Rejected(Reason.UNSUPPORTED_MODEL, f"{self.name} covers {covered} attention, not {kind}")
        self.require_conditions(weights, question)

    @abstractmethod
    def require_conditions(self, weights: Weights, question: Question) -> None:
        """What the theorem needs beyond a distribution and a quantity it knows; raises like `require_covers`."""

    @abstractmethod
    def bound(
        self,
        weights: Weights,
        question: Question,
        hints: Hints,
        arith: AbstractArithmetic,
        progress: Progress,
    ) -> CountBound:
        """The bound, in sequences. Must run inside `arith.running()`."""
