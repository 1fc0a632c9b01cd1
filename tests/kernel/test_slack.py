"""What a prover claims, every careful arithmetic reaches: sums have slack before their floors, decisions a hair to spare."""

from fractions import Fraction

import flint
import numpy as np
import pytest

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.arithmetic.arb import ArbArithmetic, ArbEnclosure
from pessimal.kernel.check import check
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import CountBound, no_progress
from pessimal.proving import prove
from pessimal.proving.cautious import CautiousArithmetic, CautiousEnclosure
from pessimal.spec import ModularAddition, Question, WeightsError
from pessimal.spec.claim import AccuracyClaim
from pessimal.strategies import Cubic, ExponentialMoment, KeyFrequency, PositionMinima, SparseOutput
from support.bounds import bound_in
from support.models import BIASES, PLANTABLE, SMALL, Sizes, build, planted_tensors, random_tensors
from support.modular import MLP_BIASES, UNIFORM, ModularSizes, modular_weights, random_modular, single_wave
from support.oracle import true_count


def scaled(tensors, rng, low, high):
    """Some of the tensors, times a power of ten."""
    found = {}
    for name, array in tensors.items():
        factor = 10.0 ** int(rng.integers(low, high)) if rng.random() < 0.4 else 1.0
        found[name] = (array * factor).astype(np.float32)
    return found


def agree(proof, weights):
    """Both arithmetics verify the claim."""
    for arithmetic in ARITHMETICS:
        verdict = check(proof.data, weights, arithmetic=arithmetic)
        assert verdict.verified, (arithmetic, verdict.reason, verdict.detail)


@pytest.mark.parametrize("seed", range(40))
def test_both_arithmetics_reach_claims_about_addition_of_extreme_weights(seed):
    """Read-outs near 1e-42 beside biases near 1e7: float64 decided what Arb left open."""
    rng = np.random.default_rng(seed)
    p = int(rng.choice([3, 5, 6, 7]))
    sizes = ModularSizes(p, int(rng.integers(2, 6)), 2, int(rng.integers(1, 6)))
    tensors = random_modular(sizes, seed, biases=MLP_BIASES) if seed % 2 else single_wave(p, 3, 0.01, seed)
    weights = modular_weights(scaled(tensors, rng, -45, 12), UNIFORM)
    for strategy in (KeyFrequency(), SparseOutput()):
        agree(prove(weights, ModularAddition(2, p), strategy), weights)


@pytest.mark.parametrize("seed", range(24))
def test_both_arithmetics_reach_claims_about_attention_of_extreme_weights(seed):
    """Tables, classes, boxes and moments; weights from 1e-30 to 1e20."""
    rng = np.random.default_rng(seed)
    sizes = (*SMALL[:3], *PLANTABLE[:3])[seed % 6]
    made = planted_tensors(sizes, sharpness=3.0, noise=0.1, seed=seed) if seed % 2 else random_tensors(sizes, seed)
    made |= random_tensors(sizes, seed, biases=BIASES) | made
    try:
        weights = build(scaled(made, rng, -30, 20))
    except WeightsError:
        pytest.skip("overflowed")
    for strategy in (PositionMinima(), Cubic(), ExponentialMoment()):
        try:
            proof = prove(weights, sizes.task(), strategy)
        except Rejected:
            continue
        agree(proof, weights)


def test_a_cautious_arithmetic_decides_less_and_encloses_the_same():
    """Greater, positive and integers: with a relative gap of 2^-30 of the width the checker decides, the prover not."""
    width = 1.0
    for gap, decided in ((2.0**-30, False), (2.0**-18, True)):
        upper, lower = (
            CautiousEnclosure(np.array(gap), np.array(width)),
            CautiousEnclosure(np.array(-width), np.array(0.0)),
        )
        assert bool(upper.greater(lower)) is decided
        assert bool(upper.positive()) is decided
        plain = type(upper).__mro__[1]
        assert plain(upper.lo, upper.hi).greater(plain(lower.lo, lower.hi))
    arith = CautiousArithmetic()
    one = arith.matrix(np.array([[1.0, 3.0]], dtype=np.float32))
    both = (one.enclose() + arith.fraction(Fraction(1, 3))).sum(0)
    assert isinstance(both, CautiousEnclosure)
    assert isinstance(arith.stack([both, both]), CautiousEnclosure)


def test_the_absolute_value_of_a_ball_around_zero_has_a_root():
    """It contains every absolute value, ends at zero exactly, and is wider by less than 2^-24."""
    rng = np.random.default_rng(5)
    with ArbArithmetic().running():
        for _ in range(2000):
            middle, radius = (float(x) * 2.0 ** int(rng.integers(-300, 300)) for x in rng.uniform(-1, 1, 2))
            ball = flint.arb(middle, abs(radius))
            (found,) = ArbEnclosure(np.array([ball], dtype=object)).absolute().balls
            assert found >= 0
            assert found.upper() >= abs(ball.lower())
            assert found.upper() >= abs(ball.upper())
            if ball.contains(0):
                assert found.lower() == 0
                assert found.upper() <= abs(ball).upper() * (1 + flint.arb(2) ** -24)
                assert found.sqrt().is_finite()
            else:
                assert found.overlaps(abs(ball))


def test_floors_by_stratum_gain_and_never_exceed_the_truth():
    """Sums of floors, on tiny models with much to lose: at most the true count, at least the floor of the sum."""
    gained = 0
    for seed in range(4):
        sizes = Sizes(7, 11, 5, 2, 4)
        weights = build(planted_tensors(sizes, sharpness=1.0, gain=1.0, noise=0.02, seed=seed))
        strategy = ExponentialMoment()
        proof = prove(weights, sizes.task(), strategy)
        question, arith = Question(sizes.task()), ARITHMETICS["float64"]()
        hints = strategy.hints(weights, question, no_progress)
        with arith.running():
            bound = bound_in("exponential-moment", weights, question, hints, arith)
        by_stratum = AccuracyClaim.most(bound.parts(), question.total())
        at_once = AccuracyClaim.most([bound.wrong_at_most], question.total())
        assert at_once <= by_stratum
        assert proof.claim.correct <= by_stratum <= true_count(weights)
        gained += by_stratum - at_once
    assert gained > 10


def test_strata_that_do_not_add_up_are_no_bound():
    """A rule whose parts are less than its whole certifies nothing."""
    with pytest.raises(Rejected) as refused:
        CountBound(Fraction(3), None, decided=True, strata={(0, 0): 1, (0, 1): 1}).parts()
    assert refused.value.reason is Reason.RULE_FAILED
    assert CountBound(Fraction(3), None, decided=True, strata={(0, 0): 1, (0, 1): 2}).parts() == [1, 2]
    assert CountBound(Fraction(7, 2), None, decided=False).parts() == [Fraction(7, 2)]
