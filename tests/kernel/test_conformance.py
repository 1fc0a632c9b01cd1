"""`check_rule`: every rule keeps its word, numbers lost or not, and a rule that does not is caught, fault by fault."""

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from operator import eq, ge

import numpy as np
import pytest

from pessimal.kernel.cost import Cost
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import CountBound, no_progress
from pessimal.kernel.rules.position_minima import PositionMinimaInstance, PositionMinimaRule
from pessimal.proving import STRATEGIES
from pessimal.spec import MaxOfK, Weights
from pessimal.spec.question import Question
from pessimal.strategies import Band
from pessimal.testing import ConformanceError, check_rule, tiny_models, tiny_weights
from support.oracle import wrong_weights

# The others state a length that a run need not reach, or depend on decisions.
EXACT_LENGTH = ("cubic", "sub-cubic", "position-minima", "exponential-moment", "band", "sparse-output", "key-frequency")
NO_LENGTH = ("brute-force", "exact")


def searched(rule: str) -> Callable[..., list[Hints]]:
    """The hints that the first strategy of a rule finds."""
    strategy = Band(cells=16) if rule == "band" else next(kind for kind in STRATEGIES.values() if kind.rule == rule)()
    return lambda weights, question, rng: [strategy.hints(weights, question, no_progress)]


# Explanations have words and numbers of their own: test_explanation.py.
@pytest.mark.parametrize("name", sorted(set(RULES) - {"brute-force", "explanation", "layer-cake", "layer-count"}))
def test_every_rule_keeps_its_word_on_tiny_models(name):
    """With searched hints, in both arithmetics, judged by brute force; and with numbers that leave the range."""
    length = None if name in NO_LENGTH else eq if name in EXACT_LENGTH else ge
    found = check_rule(RULES[name], tiny_models(RULES[name], 4), searched(name), length=length)
    assert found.refused == 0
    assert found.bounds == 4 * 2 * 4
    assert found.useful > 6


def test_brute_force_keeps_its_word_and_is_no_judge_of_itself():
    models = list(tiny_models(RULES["brute-force"], 3))
    with pytest.raises(ValueError, match="no judge of itself"):
        check_rule(RULES["brute-force"], models, lambda *_: [Hints()])
    found = check_rule(RULES["brute-force"], models, lambda *_: [Hints()], truth=wrong_weights, length=None)
    assert found.bounds == 3 * 2 * 4


def test_other_truths_than_those_of_real_counts_have_to_be_given():
    weights = tiny_weights(0)
    for question in (Question(MaxOfK(3, 5), semantics="float32"), Question(MaxOfK(3, 5), quantity="loss")):
        rule = RULES["layer-cake" if question.quantity == "loss" else "position-minima"]
        strategy = next(kind for kind in STRATEGIES.values() if kind.rule == rule.name)()
        hints = strategy.hints(weights, question, no_progress)
        with pytest.raises(ValueError, match="pass another truth"):
            check_rule(rule, [(weights, question)], lambda *_, hints=hints: [hints], length=None, lost=False)


@dataclasses.dataclass(frozen=True, eq=False)
class Retold(PositionMinimaInstance):
    """Position minima as somebody else tells them."""

    teller: "Honest"

    def run(self, weights, arith):
        return super().bound(weights, arith)

    def cost(self):
        return self.teller.stated(super().cost())

    def bound(self, weights, arith, progress=no_progress):
        return self.teller.found(weights, self.question, super().bound(weights, arith, progress))


class Honest(PositionMinimaRule):
    """What the liars below change."""

    def stated(self, cost: Cost) -> Cost:
        return cost

    def found(self, weights: Weights, question: Question, bound: CountBound) -> CountBound:
        del weights, question
        return bound

    def taken(self, hints: Hints) -> Hints:
        return hints

    def read(self, hints, architecture, question):
        super().read(self.taken(hints), architecture, question)
        return Retold(architecture, question, self)


class TooLow(Honest):
    def found(self, weights, question, bound):
        return CountBound(Fraction(0), None, decided=True)


class TooLowInAStratum(Honest):
    """What is wrong in one stratum is said of another."""

    def found(self, weights, question, bound):
        strata = dict(sorted(bound.strata.items(), key=lambda one: one[1]))
        return dataclasses.replace(bound, strata=dict(zip(strata, reversed(strata.values()), strict=True)))


class TooHighAtLeast(Honest):
    def found(self, weights, question, bound):
        return dataclasses.replace(bound, wrong_at_least=question.total())


class MoreThanThereIs(Honest):
    def found(self, weights, question, bound):
        return CountBound(Fraction(question.total() + 1), None, decided=True)


class PartsThatDoNotAddUp(Honest):
    def found(self, weights, question, bound):
        return dataclasses.replace(bound, strata=dict.fromkeys(bound.strata, 0))


class TooCheap(Honest):
    def stated(self, cost):
        return dataclasses.replace(cost, flops=cost.flops - 1)


class WithoutCost(Honest):
    def stated(self, cost):
        return dataclasses.replace(cost, checker_ops=0)


class RaisesValueError(Honest):
    def found(self, weights, question, bound):
        raise ValueError("a matrix is not square")


def range_left(weights: Weights) -> bool:
    return any(np.abs(array).max() > 1e30 for array in weights.tensors.values())


class RaisesWhereNumbersAreLost(Honest):
    def found(self, weights, question, bound):
        if range_left(weights):
            raise OverflowError("cannot convert float infinity to integer")
        return bound


class TrustsLostNumbers(Honest):
    """Not less than zero, hence right: so a comparison with NaN may read."""

    def found(self, weights, question, bound):
        return CountBound(Fraction(0), None, decided=True) if range_left(weights) else bound


class TakesUnknownOptions(Honest):
    def taken(self, hints):
        return Hints({}, hints.arrays)


class TakesUnknownArrays(Honest):
    def taken(self, hints):
        return Hints(hints.options, {})


class RefusesUnknownHintsForAnotherReason(Honest):
    def taken(self, hints):
        if hints.options:
            raise Rejected(Reason.UNSUPPORTED_MODEL, "no")
        return hints


class RefusesEverything(Honest):
    def taken(self, hints):
        raise Rejected(Reason.BAD_HINT, "no")


LIARS = {
    TooLow: "at most 0 wrong, in truth", TooLowInAStratum: "wrong in stratum", TooHighAtLeast: "at least 25 wrong",
    MoreThanThereIs: "26 of 25 wrong is more than there is", PartsThatDoNotAddUp: "do not add up",
    TooCheap: "flops, a run counts", WithoutCost: "states no cost", RaisesValueError: "raises ValueError: a matrix",
    RaisesWhereNumbersAreLost: "with huge numbers in the model, float64: raises OverflowError",
    TrustsLostNumbers: "with huge numbers in the model, float64: at most 0 wrong",
    TakesUnknownOptions: "takes an unknown option", TakesUnknownArrays: "takes an unknown array",
    RefusesUnknownHintsForAnotherReason: "takes an unknown option", RefusesEverything: "gives no bound on any model",
}  # fmt: skip


def no_hints(weights, question, rng):
    return [Hints()]


def test_the_rule_that_liars_are_made_of_keeps_its_word():
    assert check_rule(Honest(), tiny_models(Honest()), no_hints).useful > 30


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: liar.__name__)
def test_a_liar_is_caught_with_its_fault(liar):
    with pytest.raises(ConformanceError, match=LIARS[liar]):
        check_rule(liar(), tiny_models(liar(), 4), no_hints)


def test_of_the_models_that_fail_the_smallest_is_named():
    """Models of five, four, three and two positions, in this order, of which all but the last fail."""

    class FailsFromThree(Honest):
        def found(self, weights, question, bound):
            return bound if question.task.k < 3 else TooLow().found(weights, question, bound)

    models = [(tiny_weights(1, k=k, planted=False), Question(MaxOfK(k, 5))) for k in (5, 4, 3, 2)]
    with pytest.raises(ConformanceError, match=r"position-minima, model 2, hints 0, float64: .*\(3 models fail\)"):
        check_rule(FailsFromThree(), models, no_hints, lost=False)


def test_hints_are_drawn_from_the_number_of_the_model():
    """The same in every call, and every model its own."""
    seen = []

    def drawn(weights, question, rng):
        seen.append(int(rng.integers(2**32)))
        return [Hints()]

    for _ in range(2):
        check_rule(Honest(), tiny_models(Honest(), 2), drawn, lost=False)
    assert seen[:2] == seen[2:]
    assert seen[0] != seen[1]


def test_refused_hints_are_counted():
    advice = [Hints({"no_such_option": 1}), Hints()]
    found = check_rule(Honest(), tiny_models(Honest(), 1), lambda *_: advice, lost=False)
    assert (found.bounds, found.refused) == (2, 1)
