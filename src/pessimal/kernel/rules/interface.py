"""What a rule takes and gives.

A rule is a theorem: for all weights and all hints, the bound it returns is at least the number of wrong sequences. It
reads hints once, into an instance of the theorem, which knows its length and computes its bound. A hint it cannot use
makes `read` raise `Rejected(bad-hint)`; a model it does not cover, `require_covers` `Rejected(unsupported-model)`.

Contents:
    CountBound — what an instance returns.
    AbstractRule — a theorem: what it covers, and how its hints are read.
    AbstractInstance — a theorem about one question with one set of hints.
    SOFTMAX_MLP, kind_of_attention — what a rule must cover.
    Progress, no_progress — who watches, and nobody.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import Cost, Uncounted, counted_cost
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.strata.weighing import weighed
from pessimal.spec.architecture import SOFTMAX, Architecture
from pessimal.spec.claim import ACCURACY
from pessimal.spec.distribution import Uniform
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights

Progress = Callable[[int, int], None]
SOFTMAX_MLP = f"{SOFTMAX}-before-MLP"
# Costs of instances seen before: the same shapes and options come again and again, in sweeps and in searches.
MAX_KNOWN = 1 << 10
_KNOWN: dict[Hashable, Cost] = {}


def no_progress(done: int, total: int) -> None:
    """A listener that ignores progress."""


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

    @staticmethod
    def of(
        strata: Mapping[tuple[int, int], Fraction | int], *, decided: bool, at_least: int | None = None
    ) -> "CountBound":
        """A bound that is the sum of those of the strata."""
        return CountBound(Fraction(sum(strata.values())), at_least, decided, strata)

    def parts(self) -> list[Fraction | int]:
        """Bounds for disjoint sets of sequences that cover all of them: the strata, or everything at once.

        Raises:
            Rejected: rule-failed, if the strata are not all of the bound.
        """
        parts: list[Fraction | int] = list(self.strata.values()) or [self.wrong_at_most]
        if sum(parts) != self.wrong_at_most:
            raise Rejected(Reason.RULE_FAILED, "the bounds of the strata do not add up")
        return parts


def kind_of_attention(architecture: Architecture) -> str:
    """Softmax, uniform, or softmax followed by an MLP."""
    if architecture.attention == SOFTMAX and architecture.shape.d_mlp:
        return SOFTMAX_MLP
    return architecture.attention


@dataclass(frozen=True, eq=False)
class AbstractInstance(ABC):
    """A theorem about one question, its hints read and checked.

    Attributes:
        architecture: of the model.
        question: task, distribution, semantics and quantity.
    """

    architecture: Architecture
    question: Question

    @property
    @abstractmethod
    def length(self) -> Hashable:
        """What the cost depends on beside architecture and question."""

    @abstractmethod
    def uncounted(self) -> Uncounted:
        """What a run over shapes does not show of the cost."""

    @abstractmethod
    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """The bound, in sequences. Must run inside `arith.running()`."""

    def run(self, weights: Weights, arith: AbstractArithmetic) -> object:
        """What is counted over shapes: the bound, unless a rule enumerates."""
        return self.bound(weights, arith)

    def cost(self) -> Cost:
        """Proof length from shapes alone, counted the first time and then known.

        Raises:
            Rejected: resources, if it is too long even to count.
        """
        key = (type(self), self.architecture, self.question.sha256, self.length)
        cost = _KNOWN.get(key)
        if cost is None:
            uncounted = self.uncounted()
            cost = counted_cost(self.architecture, self.run, uncounted)
            cost = weighed(cost, self.question, decisions=uncounted.decisions, passes=uncounted.passes)
            if len(_KNOWN) >= MAX_KNOWN:
                _KNOWN.clear()
            _KNOWN[key] = cost
        return cost


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

    def require_covers(self, weights: Weights, question: Question) -> None:
        """Raise `Rejected(unsupported-model)` with the reason for questions and models outside the theorem."""
        pairs = (
            (question.distribution.name, self.distributions, "covers the distributions"),
            (question.quantity, self.quantities, "bounds"),
        )
        for asked, covered, does in pairs:
            if asked not in covered:
                raise Rejected(Reason.UNSUPPORTED_MODEL, f"{self.name} {does} {' and '.join(covered)}, not {asked}")
        kind = kind_of_attention(weights.architecture)
        if kind not in self.attention:
            kinds = " and ".join(self.attention)
            raise Rejected(Reason.UNSUPPORTED_MODEL, f"{self.name} covers {kinds} attention, not {kind}")
        self.require_conditions(weights, question)

    @abstractmethod
    def require_conditions(self, weights: Weights, question: Question) -> None:
        """What the theorem needs beyond a distribution and a quantity it knows; raises like `require_covers`."""

    @abstractmethod
    def read(self, hints: Hints, architecture: Architecture, question: Question) -> AbstractInstance:
        """The instance of a question that `require_covers` accepts; raises `Rejected(bad-hint)`."""
