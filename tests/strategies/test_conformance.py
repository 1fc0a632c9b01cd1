"""Every exported strategy passes the conformance suite; the suite catches one that lies."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import pessimal as ps
from pessimal.kernel.cost import n_strata
from pessimal.kernel.hints import Hints
from pessimal.proving import covering
from pessimal.testing import ConformanceError, check_strategy, tiny_weights

ACCURATE = sorted({*covering(), *covering("uniform")})


@pytest.mark.survey
@pytest.mark.parametrize("name", ACCURATE)
def test_every_exported_strategy_conforms(name):
    check_strategy(ps.STRATEGIES[name]())


@pytest.mark.parametrize("rival", ["plain", "centred", "joint", "every"])
@pytest.mark.parametrize("position", ["each", "pessimal"])
def test_every_option_of_the_exponential_moment_conforms(rival, position):
    check_strategy(ps.ExponentialMoment(rival=rival, position=position, near=2), models=3)


@dataclass(frozen=True)
class Restless(ps.ExponentialMoment):
    """Hints that change from call to call."""

    name: ClassVar[str] = "restless"

    def hints(self, weights, question, progress):
        hints = super().hints(weights, question, progress)
        array = hints.arrays["tilt"].copy()
        array[0] ^= np.random.default_rng().integers(1, 2**10)
        return Hints(hints.options, {**hints.arrays, "tilt": array})


def test_the_suite_catches_a_strategy_that_is_not_deterministic():
    with pytest.raises(ConformanceError, match="deterministic"):
        check_strategy(Restless())


@dataclass(frozen=True)
class Boastful(ps.BruteForce):
    """Claims of other weights, where it is asked to."""

    name: ClassVar[str] = "boastful"
    mood: str = "modest"

    def __post_init__(self):
        self._require_words(mood=("modest", "odd"))

    def hints(self, weights, question, progress):
        return Hints({"odd": 1} if self.mood == "odd" else {})


def test_of_a_class_every_word_of_every_option_is_tried():
    check_strategy(Boastful(), models=1)
    check_strategy(Boastful, models=1, options=[{"mood": "modest"}])
    check_strategy(Boastful(), models=1, options=[{}])
    for strategy, options in ((Boastful, None), (Boastful(), [{}, {"mood": "odd"}]), (Boastful, [{"mood": "odd"}])):
        with pytest.raises(ps.Rejected, match="bad-hint"):
            check_strategy(strategy, models=1, options=options)


@pytest.mark.parametrize("kind", [ps.ExponentialMoment, ps.SparseOutput])
def test_words_of_options_conform_one_by_one(kind):
    check_strategy(kind, models=2)


def test_options_left_open_stay_within_the_budget():
    weights = tiny_weights(0, k=4)
    task = ps.MaxOfK(4, 5)
    for budget in (6_000, 8_000, 2**21):
        assert ps.prove(weights, task, ps.ExponentialMoment(budget=budget)).cost.flops <= budget


def test_a_budget_below_the_cheapest_proof_is_refused_with_the_least():
    with pytest.raises(ps.Rejected, match="need"):
        ps.prove(tiny_weights(0), ps.MaxOfK(3, 5), ps.ExponentialMoment(budget=10))


@pytest.mark.parametrize("options", [{"rival": "nearest"}, {"position": "all"}, {"near": 0}])
def test_unknown_options_are_refused(options):
    with pytest.raises(ps.StrategyError):
        ps.ExponentialMoment(**options)


def test_narrowing_the_band_loses_next_to_nothing():
    """Options left open give the widest band's bound within the stated worth, at no more flops."""
    weights, task = tiny_weights(2, k=4, d_vocab=13), ps.MaxOfK(4, 13)
    free = ps.prove(weights, task, ps.ExponentialMoment(rival="centred", position="each"))
    wide = ps.prove(weights, task, ps.ExponentialMoment(rival="centred", position="each", near=13))
    wrong_free, wrong_wide = (p.claim.total - p.claim.correct for p in (free, wide))
    assert free.cost.flops <= wide.cost.flops
    assert wrong_free <= wrong_wide * 1.05 + 2


def test_a_tilt_of_zero_everywhere_is_vacuous_but_verifies():
    weights, task = tiny_weights(0), ps.MaxOfK(3, 5)

    class Zero(ps.ExponentialMoment):
        def hints(self, weights, question, progress):
            zeros = np.zeros((1, n_strata(5)), dtype=np.int64)
            return Hints(
                {"rival": "plain", "position": "each", "near": 1}, {"tilt_mantissa": zeros, "tilt_exponent": zeros}
            )

    proof = ps.prove(weights, task, Zero())
    assert proof.claim.correct == 0
    assert ps.check(proof, weights).verified
