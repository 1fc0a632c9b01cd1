"""Models trained by other people's code, with the reference implementation's results, where they are present."""

from pathlib import Path

import pytest

import pessimal as ps

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
pytestmark = [
    pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference models are not beside this checkout"),
    pytest.mark.survey,
]

MAX4 = {"max4_v64_seed24262": (16774381, 16036705, 0.973), "max4_v64_seed7098": (16772467, 16292980, 0.975)}
MAX2 = {"max2_simpler": 4096, "max2_undertrained_simpler": 4046, "max2_layernorm": 4077}
SHORT = 2**21


def load(folder, stem):
    weights = ps.load_weights(REFERENCE / folder / f"{stem}.safetensors")
    return weights, ps.task_of(weights)[0]


@pytest.mark.parametrize("stem", sorted(MAX2))
def test_brute_force_finds_the_exact_count_of_the_two_token_models(stem):
    """4096, 4046 and 4077 of 4096, the last with LayerNorms and every bias; in both arithmetics."""
    weights, task = load("max-of-2", stem)
    proof = ps.prove(weights, task, ps.BruteForce())
    assert proof.claim.correct == proof.correct_at_most == MAX2[stem]
    for arithmetic in ("float64", "arb"):
        verdict = ps.check(proof, weights, arithmetic=arithmetic)
        assert verdict.verified
        assert verdict.correct_at_most == MAX2[stem]


@pytest.mark.slow
@pytest.mark.parametrize("stem", sorted(MAX4))
def test_brute_force_finds_the_exact_count_of_the_four_token_models(stem):
    weights, task = load("max-of-k", stem)
    proof = ps.prove(weights, task, ps.BruteForce())
    assert proof.claim.correct == proof.correct_at_most == MAX4[stem][0]


@pytest.mark.parametrize("stem", sorted(MAX4))
def test_cubic_reaches_the_reference_count_and_stays_below_the_truth(stem):
    """The reference's own count in float32, reached here with outward rounding."""
    weights, task = load("max-of-k", stem)
    claim = ps.prove(weights, task, ps.Cubic()).claim
    assert MAX4[stem][1] - 100 <= claim.correct <= MAX4[stem][0]


@pytest.mark.slow
@pytest.mark.parametrize("stem", sorted(MAX4))
def test_exponential_moment_beats_its_target_within_two_to_the_21_flops(stem):
    weights, task = load("max-of-k", stem)
    proof = ps.prove(weights, task, ps.ExponentialMoment())
    assert proof.cost.flops <= SHORT
    assert MAX4[stem][2] * proof.claim.total <= proof.claim.correct <= MAX4[stem][0]
    assert ps.check(proof, weights, arithmetic="arb").verified


def test_the_five_token_model_meets_both_targets():
    weights, task = load("max-of-k", "max5_v64_seed123")
    assert ps.prove(weights, task, ps.Cubic()).claim.value >= 0.951
    proof = ps.prove(weights, task, ps.ExponentialMoment())
    assert proof.cost.flops <= SHORT
    assert proof.claim.value >= 0.982


@pytest.mark.parametrize("name", ["cubic", "position-minima", "exponential-moment"])
def test_the_layernorm_model_is_refused_for_its_final_biases(name):
    weights, task = load("max-of-2", "max2_layernorm")
    with pytest.raises(ps.Rejected, match="final biases"):
        ps.prove(weights, task, ps.STRATEGIES[name]())


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["max2_simpler", "max2_undertrained_simpler"])
@pytest.mark.parametrize("name", ["cubic", "position-minima", "exponential-moment"])
def test_files_without_metadata_and_with_zero_biases_are_certified(stem, name):
    weights, task = load("max-of-2", stem)
    claim = ps.prove(weights, task, ps.STRATEGIES[name]()).claim
    assert 0.75 * 4096 < claim.correct <= MAX2[stem]
