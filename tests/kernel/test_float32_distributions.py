"""Both at once: rules under `float32` and a distribution, against executions and enumerated probabilities.

Tables are widened and weights multiply counts; neither knows of the other. Compared exactly, stratum by stratum.
"""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.check import check
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import CountBound, no_progress
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.proving import prove, within
from pessimal.spec import Product, Weights
from pessimal.spec.question import Question
from pessimal.spec.semantics import FLOAT32
from pessimal.strategies import BruteForce, Exact, ExponentialMoment, GridCount, PositionMinima
from support.bounds import answer, cost_of
from support.distributions import INDEPENDENT, KINDS, chance, some_distribution
from support.float32 import right_in_runs
from support.models import Sizes, any_tensors, build, planted_tensors
from support.oracle import sequences
from support.sampling import examples

COVERED = ("brute-force", "position-minima", "exact", "exponential-moment", "grid-count")
SIZES = Sizes(3, 5, 7, 2, 4)


def good() -> Weights:
    return build(planted_tensors(SIZES, sharpness=20.0, gain=4.0, noise=0.01, seed=7))


def near_tie() -> Weights:
    """Two outputs whose logits are equal up to rounding."""
    tensors = planted_tensors(SIZES, sharpness=8.0, gain=1.0, noise=0.02, seed=3)
    tensors["W_U"][:, 4] = (tensors["W_U"][:, 2] * (1 + 1e-7 * np.random.default_rng(4).normal(size=7))).astype(
        np.float32
    )
    return build(tensors)


def bound_of(rule: str, weights: Weights, question: Question, arithmetic: str, rival: str, position: str) -> CountBound:
    near = question.task.d_vocab
    searched = {
        "exact": Exact(),
        "exponential-moment": ExponentialMoment(rival, position, near),
        "grid-count": GridCount(rival, position, cells=256, negligible=0.0),
    }
    hints = searched[rule].hints(weights, question, no_progress) if rule in searched else Hints()
    assert cost_of(rule, weights.architecture, question, hints).flops > 0
    return answer(rule, weights, question, arithmetic, hints)


def hold(found: CountBound, weights: Weights, question: Question, seed: int) -> None:
    """No stratum has less than what some execution gets wrong; at least as much is right in none as is claimed wrong."""
    task, total = question.task, question.total()
    tokens = np.array(list(sequences(task.d_vocab, task.k)))
    target = task.target(tokens)
    right, ever = right_in_runs(weights, tokens, target, range(seed, seed + 4))
    sometimes: Counter[tuple[int, int]] = Counter()
    never = Fraction(0)
    for t, y, always_right, once_right in zip(tokens.tolist(), target.tolist(), right, ever, strict=True):
        one = chance(question.distribution, t)
        sometimes[t[-1], y] += 0 if always_right else one
        never += 0 if once_right else one
    assert sum(found.strata.values()) == found.wrong_at_most <= total
    for place, probability in sometimes.items():
        if probability:
            assert Fraction(found.strata[place]) / total >= probability
    if found.wrong_at_least is not None:
        assert Fraction(found.wrong_at_least) / total <= never


@pytest.mark.parametrize("rule", COVERED)
@settings(max_examples=examples(10))
@given(
    any_tensors(),
    st.sampled_from(KINDS),
    st.sampled_from(RIVALS),
    st.sampled_from(POSITIONS),
    st.integers(0, 2**32 - 1),
)
def test_no_rule_exceeds_the_probability_that_every_execution_is_right(rule, drawn, kind, rival, position, seed):
    sizes, tensors = drawn
    weights = build({n: a.astype(np.float32) for n, a in tensors.items()})
    kind = kind if rule != "grid-count" or kind in INDEPENDENT else INDEPENDENT[seed % 4]
    question = Question(sizes.task(), some_distribution(kind, sizes.k, sizes.v, seed), FLOAT32)
    hold(bound_of(rule, weights, question, "float64", rival, position), weights, question, seed)


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", COVERED)
def test_near_ties_under_a_distribution_are_not_certified_against_an_execution(rule, kind, arithmetic):
    """What rounding leaves open has its weight counted as wrong below, and as right above."""
    if rule == "grid-count" and kind not in INDEPENDENT:
        return
    weights, question = near_tie(), Question(SIZES.task(), some_distribution(kind, 4, 3, 11), FLOAT32)
    found = bound_of(rule, weights, question, arithmetic, "every", "each")
    hold(found, weights, question, 9)
    if found.wrong_at_least is not None and kind not in ("sparse", "sparse chain"):
        assert found.wrong_at_least < found.wrong_at_most


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "strategy", [BruteForce(), PositionMinima(), Exact(), ExponentialMoment(), GridCount(cells=64)]
)
def test_proofs_of_both_verify_and_say_both(strategy, kind):
    """Both arithmetics, from the bytes alone; the claim is no larger than in real arithmetic."""
    if strategy.name == "grid-count" and kind not in INDEPENDENT:
        return
    weights, distribution = good(), some_distribution(kind, 4, 3, 5)
    proof = prove(weights, SIZES.task(), strategy, distribution=distribution, semantics=FLOAT32)
    real = prove(weights, SIZES.task(), strategy, distribution=distribution)
    # Tilts and steps are searched for each, so sums of reals may fall either way by a hair.
    decided = strategy.name not in ("exponential-moment", "grid-count")
    assert proof.claim.value <= real.claim.value + (0 if decided else Fraction(1, 1000))
    assert proof.cost.flops > real.cost.flops
    for arithmetic in ARITHMETICS:
        verdict = check(proof.data, weights, arithmetic=arithmetic)
        assert verdict.claim == proof.claim, verdict.detail
        named = f" dist={distribution.name} distribution=sha256:{distribution.sha256} semantics=float32 "
        assert named in verdict.line()
        sentence = verdict.claim.sentence("max-of-k", weights.sha256)
        assert "every float32 execution" in sentence
        assert "with probability at least" in sentence


@pytest.mark.parametrize("rule", ["brute-force", "exact", "position-minima"])
def test_equal_weights_say_what_uniform_says_of_executions(rule):
    weights, plain = near_tie(), Question(SIZES.task(), semantics=FLOAT32)
    twice = Question(SIZES.task(), Product([[2] * 3]), FLOAT32)
    one, two = (bound_of(rule, weights, question, "float64", "every", "each") for question in (plain, twice))
    assert two.wrong_at_most == 16 * one.wrong_at_most
    assert two.wrong_at_least == (None if one.wrong_at_least is None else 16 * one.wrong_at_least)


def test_the_best_within_a_budget_is_under_the_distribution():
    """Rules that weigh nothing are passed over."""
    weights, distribution = good(), Product([[1, 2, 3]])
    proof = within(weights, SIZES.task(), 2**22, distribution=distribution, semantics=FLOAT32)
    assert (proof.claim.kind, proof.claim.total, proof.claim.semantics) == ("probability", 6**4, FLOAT32)
    assert proof.claim.correct > 0
    assert check(proof.data, weights).claim == proof.claim


@pytest.mark.parametrize("name", ["cubic", "band", "sub-cubic"])
def test_rules_about_equal_weights_and_real_numbers_refuse_either(name):
    for question in (Question(SIZES.task(), Product([[1, 2, 3]])), Question(SIZES.task(), semantics=FLOAT32)):
        with pytest.raises(Rejected) as caught:
            RULES[name].require_covers(good(), question)
        assert caught.value.reason is Reason.UNSUPPORTED_MODEL
