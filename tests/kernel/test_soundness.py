"""The core: no rule, with any hints and in either arithmetic, certifies more sequences than are right.

`certified = total - floor(wrong_at_most)` is compared with enumeration (`oracle`), in integers: no tolerance anywhere.
"""

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.cost import n_strata
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.spec import Weights
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.strategies import ExponentialMoment
from support.bounds import bound, certified, cost_of
from support.models import (
    ATTN_SCALES,
    BIASES,
    NORMS,
    PLANTABLE,
    SMALL,
    Sizes,
    any_tensors,
    build,
    planted_tensors,
    random_tensors,
)
from support.oracle import RIGHT, TIE, true_count, verdicts, wrong_weights
from support.sampling import examples
from support.soundness import require_sound

HINTLESS = ("cubic", "position-minima")
PERFECT = {"sharpness": 30.0, "gain": 8.0, "noise": 0.01, "seed": 7}


def moment_hints(sizes: Sizes, rival: str, position: str, near: int, tilts: tuple[np.ndarray, np.ndarray]) -> Hints:
    options = {"rival": rival, "position": position, "near": near}
    return Hints(options, dict(zip(("tilt_mantissa", "tilt_exponent"), tilts, strict=True)))


def tilt_shape(sizes: Sizes, rival: str) -> tuple[int, int]:
    return (sizes.o - 1 if rival == "every" else 1, n_strata(sizes.v))


def random_tilts(shape: tuple[int, int], kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mantissa = rng.integers(0, 2**53, shape, endpoint=True, dtype=np.int64)
    exponent = rng.integers(-1000, 1000, shape, endpoint=True, dtype=np.int64)
    if kind == "zero":
        mantissa[...] = 0
    elif kind == "enormous":
        mantissa[...], exponent[...] = 2**53, 1000
    elif kind == "tiny":
        mantissa[...], exponent[...] = 1, -1000
    elif kind == "ordinary":
        mantissa, exponent = rng.integers(1, 16, shape), rng.integers(-12, 6, shape)
    return mantissa, exponent


TILTS = ("zero", "enormous", "tiny", "ordinary", "ordinary", "anything")


@settings(max_examples=examples(40))
@given(any_tensors(), st.sampled_from(ATTN_SCALES), st.sampled_from(sorted(ARITHMETICS)))
def test_hintless_bounds_never_exceed_the_true_count(model, scale, arithmetic):
    """cubic, position-minima: total - floor(wrong_at_most) <= #right; brute force: equality."""
    sizes, tensors = model
    weights, question = build(tensors, {"attn_scale": scale}), Question(sizes.task())
    wrong = wrong_weights(weights, question)
    for rule in HINTLESS:
        require_sound(rule, weights, question, arithmetic, truth=wrong)
    assert bound("brute-force", weights, question.task, arithmetic).wrong_at_most == sum(wrong.values())


@settings(max_examples=examples(40))
@given(any_tensors(), st.sampled_from(TILTS), st.integers(0, 2**32 - 1), st.sampled_from(sorted(ARITHMETICS)))
def test_exponential_moment_never_exceeds_the_true_count(model, kind, seed, arithmetic):
    """For every tilt, width, rival and position: total - floor(wrong_at_most) <= #right."""
    sizes, tensors = model
    rng, advice = np.random.default_rng(seed), []
    for rival, position in product(RIVALS, POSITIONS):
        tilts = random_tilts(tilt_shape(sizes, rival), kind, seed)
        advice.append(moment_hints(sizes, rival, position, int(rng.integers(1, sizes.v + 1)), tilts))
    weights = build(tensors, {"attn_scale": ATTN_SCALES[seed % 3]})
    require_sound("exponential-moment", weights, Question(sizes.task()), arithmetic, advice)


def good_hints(weights: Weights, task: AbstractTask, rival: str, position: str, near: int) -> Hints:
    return ExponentialMoment(rival, position, near).hints(weights, Question(task), no_progress)


@settings(max_examples=examples(25))
@given(any_tensors(), st.sampled_from(sorted(ARITHMETICS)), st.integers(0, 2**32 - 1))
def test_searched_tilts_never_exceed_the_true_count(model, arithmetic, seed):
    """The prover's own hints, where the bound is tightest and a fault would show first."""
    sizes, tensors = model
    weights, task = build(tensors, {"attn_scale": ATTN_SCALES[seed % 3]}), sizes.task()
    near = int(np.random.default_rng(seed).integers(1, sizes.v + 1))
    advice = [good_hints(weights, task, rival, position, near) for rival, position in product(RIVALS, POSITIONS)]
    require_sound("exponential-moment", weights, Question(task), arithmetic, advice)


NEAR_EDGE = [
    (sizes, noise, seed)
    for sizes in PLANTABLE
    if sizes.k > 1
    for noise in (0.0, 0.03, 0.1)
    for seed in range(2 if noise else 1)
]


@pytest.fixture(scope="module")
def planted_results() -> list[tuple[str, int, int, int]]:
    """(rule with options, certified, truth, total) over planted models of falling quality."""
    found = []
    for sizes, noise, seed in NEAR_EDGE:
        weights, task = build(planted_tensors(sizes, sharpness=10.0, gain=4.0, noise=noise, seed=seed)), sizes.task()
        truth = true_count(weights)
        runs = [(rule, Hints()) for rule in ("brute-force", *HINTLESS)]
        for rival in RIVALS:
            for position in POSITIONS:
                near = sizes.v if rival == "every" else 2
                runs.append(
                    (f"exponential-moment {rival} {position}", good_hints(weights, task, rival, position, near))
                )
        for name, hints in runs:
            for arithmetic in ARITHMETICS:
                value = certified(name.split()[0], weights, task, arithmetic, hints)
                found.append((name, value, truth, task.total()))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_outputs_below_the_least_are_given_up_and_the_others_bounded_as_before(seed):
    """Random tilts, every least: sound, as long as is counted, shorter, and the same bound in the strata that are left."""
    sizes = Sizes(5, 7, 11, 3, 3)
    weights = build(planted_tensors(sizes, sharpness=4.0, noise=0.2, seed=seed))
    question, rng = Question(sizes.task()), np.random.default_rng(seed)
    options = {"rival": ("plain", "centred", "every", "joint")[seed], "position": "each", "near": 1 + seed}
    shape = (6 if options["rival"] == "every" else 1, strata_of(question.task).stratum_count)
    tilts = {"tilt_mantissa": rng.integers(0, 9, shape), "tilt_exponent": np.full(shape, -2)}
    advice = [Hints({**options, "least": least}, tilts) for least in range(sizes.v + 1)]
    require_sound("exponential-moment", weights, question, "float64", [Hints(options, tilts), *advice])
    whole = bound("exponential-moment", weights, question.task, "float64", Hints(options, tilts)).strata
    for least, hints in enumerate(advice):
        found = bound("exponential-moment", weights, question.task, "float64", hints).strata
        given_up = {at: Fraction(strata_of(question.task).size(*at)) for at in whole if at[1] < least}
        assert found == {**whole, **given_up}
    lengths = [cost_of("exponential-moment", weights.architecture, question, hints).flops for hints in advice]
    assert lengths == sorted(lengths, reverse=True)
    for rule, more in (("grid-count", {"cells": 4, "sides": 1}), ("layer-cake", {"levels": 1})):
        with pytest.raises(Rejected, match="exactly these hints"):
            RULES[rule].read(Hints({**options, **more, "least": 1}, tilts), weights.architecture, question)


@pytest.mark.survey
def test_bounds_on_planted_models_are_sound(planted_results):
    """certified <= truth for every rule on good and spoilt max models."""
    for name, value, truth, _ in planted_results:
        assert value <= truth, name
        if name == "brute-force":
            assert value == truth


@pytest.mark.survey
def test_bounds_on_planted_models_are_not_vacuous(planted_results):
    """The soundness tests have power: on planted models every rule certifies half on at least a third."""
    seen, useful = Counter(), Counter()
    for name, value, _, total in planted_results:
        seen[name] += 1
        useful[name] += 2 * value > total
    assert any(truth < total for _, _, truth, total in planted_results)
    for name, n in seen.items():
        assert 3 * useful[name] >= n, (name, useful[name], n)


@pytest.mark.parametrize("rule", HINTLESS)
@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("sizes", [s for s in PLANTABLE if s.k > 1])
def test_a_perfect_model_is_certified_entirely(rule, arithmetic, sizes):
    """Tightness: with wide margins the worst case rules lose nothing."""
    weights = build(planted_tensors(sizes, sharpness=40.0, gain=8.0))
    assert certified(rule, weights, sizes.task(), arithmetic) == sizes.task().total()


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("sizes", [s for s in PLANTABLE if s.k > 1])
def test_a_perfect_model_is_certified_by_moments(rival, position, sizes):
    """Tightness: Chernoff with searched tilts loses under one sequence in a hundred."""
    weights, task = build(planted_tensors(sizes, sharpness=40.0, gain=8.0)), sizes.task()
    hints = good_hints(weights, task, rival, position, sizes.v)
    assert 100 * certified("exponential-moment", weights, task, "float64", hints) >= 99 * task.total()


def architectures():
    for heads in (1, 2, 3):
        for norms in ((), NORMS[:2], NORMS[2:], NORMS, NORMS[2:3]):
            for k in (1, 2, 3):
                yield Sizes(3, 7, 5, 2, k, heads), norms


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize(("sizes", "norms"), list(architectures()))
def test_brute_force_is_exact_on_every_architecture(sizes, norms, arithmetic):
    """wrong_at_most = wrong_at_least = #wrong for heads, LayerNorms, biases and K = 1, 2, 3, without ties."""
    weights = build(random_tensors(sizes, 11 + sizes.k, biases=BIASES, norms=norms))
    found = verdicts(weights)
    assert TIE not in found.values()
    right = sum(v == RIGHT for v in found.values())
    result = bound("brute-force", weights, sizes.task(), arithmetic)
    assert result.decided
    assert result.wrong_at_most == len(found) - right
    assert result.wrong_at_least == len(found) - right


@settings(max_examples=examples(20))
@given(any_tensors(), st.sampled_from((2, 3)), st.sampled_from(((), NORMS[2:], NORMS)), st.integers(0, 2**32 - 1))
def test_brute_force_is_exact_on_hostile_architectures(model, heads, norms, seed):
    """Ties, overflow and underflow with several heads and LayerNorms: brute force still counts exactly."""
    sizes, tensors = model
    sizes = Sizes(sizes.v, sizes.o, sizes.m, sizes.d, min(sizes.k, 3), heads)
    more = random_tensors(sizes, seed, norms=norms)
    tensors = more | {n: a for n, a in tensors.items() if n in ("W_E", "W_U", "b_O", "b_U")}
    weights = build(tensors)
    for arithmetic in ARITHMETICS:
        result = bound("brute-force", weights, sizes.task(), arithmetic)
        found = verdicts(weights)
        assert sizes.task().total() - result.wrong_at_most == sum(v == RIGHT for v in found.values())


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
def test_a_single_position_is_counted_exactly(arithmetic):
    """K = 1: brute force is exact and the counting rules refuse."""
    sizes = Sizes(3, 7, 5, 2, 1)
    for tensors in (planted_tensors(sizes), random_tensors(sizes, 4, biases=BIASES)):
        weights = build(tensors)
        assert certified("brute-force", weights, sizes.task(), arithmetic) == true_count(weights)
        for rule in (*HINTLESS, "exponential-moment"):
            with pytest.raises(Rejected) as caught:
                RULES[rule].require_covers(weights, Question(sizes.task()))
            assert caught.value.reason == Reason.UNSUPPORTED_MODEL


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("tied", [0, 1, 2, 4])
def test_ties_count_as_wrong(arithmetic, tied):
    """Two equal columns of W_U tie exactly: no rule certifies a sequence whose target is one of them."""
    sizes = Sizes(3, 5, 7, 2, 4)
    tensors = planted_tensors(sizes, **PERFECT)
    other = (tied + 1) % sizes.v
    tensors["W_U"][:, tied] = tensors["W_U"][:, other]
    weights, task = build(tensors), sizes.task()
    found = verdicts(weights)
    hit = {t for t in found if max(t) in (tied, other)}
    assert all(found[t] != RIGHT for t in hit)
    assert any(found[t] == TIE for t in hit)
    result = bound("brute-force", weights, task, arithmetic)
    assert result.wrong_at_most == sum(v != RIGHT for v in found.values())
    truth = true_count(weights)
    for rule in HINTLESS:
        assert certified(rule, weights, task, arithmetic) <= truth
    for rival in RIVALS:
        for position in POSITIONS:
            hints = good_hints(weights, task, rival, position, 2)
            assert certified("exponential-moment", weights, task, arithmetic, hints) <= truth


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("sizes", [s for s in SMALL if s.k > 1])
def test_all_zero_weights_certify_nothing(arithmetic, sizes):
    """Every logit ties, so nothing is right."""
    weights = build({n: np.zeros_like(a) for n, a in random_tensors(sizes, 0).items()})
    for rule in ("brute-force", *HINTLESS):
        assert certified(rule, weights, sizes.task(), arithmetic) == 0
    for rival in RIVALS:
        tilts = random_tilts(tilt_shape(sizes, rival), "anything", 1)
        hints = moment_hints(sizes, rival, "each", 1, tilts)
        assert certified("exponential-moment", weights, sizes.task(), arithmetic, hints) == 0


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
def test_a_single_output_has_no_rival(arithmetic):
    """One token and one output: every sequence is right, vacuously; the counting rules refuse."""
    sizes = Sizes(1, 1, 5, 3, 2)
    weights = build(random_tensors(sizes, 1))
    assert bound("brute-force", weights, sizes.task(), arithmetic).wrong_at_most == 0
    for rule in (*HINTLESS, "exponential-moment"):
        with pytest.raises(Rejected):
            RULES[rule].require_covers(weights, Question(sizes.task()))


@pytest.mark.slow
@settings(max_examples=examples(150))
@given(
    any_tensors(),
    st.sampled_from((*TILTS, "searched")),
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(ARITHMETICS)),
)
def test_no_rule_ever_exceeds_the_true_count(model, kind, seed, arithmetic):
    """All rules together, more examples."""
    sizes, tensors = model
    weights, task = build(tensors), sizes.task()
    question, rng, advice = Question(task), np.random.default_rng(seed), []
    wrong = wrong_weights(weights, question)
    assert bound("brute-force", weights, task, arithmetic).wrong_at_most == sum(wrong.values())
    for rule in HINTLESS:
        require_sound(rule, weights, question, arithmetic, truth=wrong)
    for rival in RIVALS:
        position, near = str(rng.choice(POSITIONS)), int(rng.integers(1, sizes.v + 1))
        if kind == "searched":
            advice.append(good_hints(weights, task, rival, position, near))
        else:
            tilts = random_tilts(tilt_shape(sizes, rival), kind, seed)
            advice.append(moment_hints(sizes, rival, position, near, tilts))
    require_sound("exponential-moment", weights, question, arithmetic, advice, truth=wrong)
