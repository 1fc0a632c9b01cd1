"""Mean probability and cross-entropy: never better than the enumerated truth, for any levels, tilts and distribution.

The truth is a sum of Arb balls over all sequences; a bound has to reach its lower end, exactly.
"""

import json
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.certificate import canonical
from pessimal.kernel.check import check
from pessimal.kernel.counting.layers import LEVELS, log_upper, read_levels
from pessimal.kernel.counting.tilts import TILTS
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.options import POSITIONS, THRESHOLDS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.proving import prove
from pessimal.spec import Product, Uniform, Weights
from pessimal.spec.claim import CLAIMS, LOSS, MEAN_PROBABILITY, LossClaim, MeanProbabilityClaim, decimal_up
from pessimal.spec.question import Question
from pessimal.strategies import BruteForce, LayerCake
from support.bounds import answer, cost_of
from support.counting_cases import CASES, NORMS, hints_of, model_of
from support.distributions import KINDS, some_distribution
from support.layers import PRECISION, QUANTITIES, least, lower, some_levels
from support.models import MATRICES, Sizes, build, planted_tensors
from support.sampling import examples
from support.soundness import require_sound


def cake_hints(weights: Weights, question: Question, rival: str, position: str, kind: str, seed: int) -> Hints:
    if kind == "searched":
        return LayerCake(rival, position, 4).hints(weights, question, no_progress)
    chosen = some_levels(kind, seed)
    count = len(chosen[LEVELS[0]])
    parts = [hints_of(weights, question.task, rival, position, kind, seed + i) for i in range(count)]
    tilts = {name: np.concatenate([part.arrays[name] for part in parts]) for name in TILTS}
    return Hints({**parts[0].options, "levels": count}, {**parts[0].arrays, **tilts, **chosen})


def bound_of(weights: Weights, question: Question, arithmetic: str, hints: Hints) -> Fraction:
    cost = cost_of("layer-cake", weights.architecture, question, hints)
    assert cost.checker_ops > cost.flops > 0
    return answer("layer-cake", weights, question, arithmetic, hints).wrong_at_most


def never_better(task, seed, heads, norms, planted, arithmetic, hints, kind):
    weights = model_of(task, seed, heads, norms, planted)
    distribution = Uniform() if kind == "uniform" else some_distribution(kind, task.k, task.d_vocab, seed)
    questions = {quantity: Question(task, distribution, quantity=quantity) for quantity in QUANTITIES}
    truth = least(weights, questions[LOSS])
    rival, position = RIVALS[seed % 4 if heads == 1 else 3 * (seed % 2)], POSITIONS[seed % 2]
    some = cake_hints(weights, questions[LOSS], rival, position, hints, seed)
    for quantity, question in questions.items():
        require_sound("layer-cake", weights, question, arithmetic, [some], truth=truth[quantity])
    assert bound_of(weights, questions[MEAN_PROBABILITY], arithmetic, some) <= questions[LOSS].total()


ANY = {
    **CASES,
    "norms": st.sampled_from([norms for norms in NORMS if "ln_final_w" not in norms]),
    "hints": st.sampled_from(("ordinary", "anything", "searched")),
    "kind": st.sampled_from(("uniform", *KINDS)),
}


@settings(max_examples=examples(6))
@given(**ANY)
def test_no_bound_is_better_than_the_truth(task, seed, heads, norms, planted, arithmetic, hints, kind):
    """For every task, model, distribution, level and tilt."""
    never_better(task, seed, heads, norms, planted, arithmetic, hints, kind)


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(**ANY)
def test_no_bound_is_ever_better_than_the_truth(task, seed, heads, norms, planted, arithmetic, hints, kind):
    """The same, more often."""
    never_better(task, seed, heads, norms, planted, arithmetic, hints, kind)


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_the_worst_loss_is_that_of_the_worst_sequence(heads, arithmetic):
    """All weight on one sequence that is wrong by all that tables allow; the other tokens' values are nearly level."""
    sizes = Sizes(3, 5, 7, 2, 2, heads)
    t = {name: np.zeros(sizes.shape(name)) for name in MATRICES}
    t["W_E"][:, :3] = np.eye(3)
    t["W_V"][:, :3, 0], t["W_O"][:, 0, 3] = (0.125, 1, 9), 1 + np.arange(heads)
    t["W_U"][3], t["W_U"][2] = (0.5, 0, -0.5, 0, 0), (2, 0, -2, 0, 1)
    weights, last = build({name: a.astype(np.float32) for name, a in t.items()}), [[0, 0, 1], [0, 0, 1]]
    question = Question(sizes.task(), Product(last), quantity=LOSS)
    truth = least(weights, question)[LOSS]
    number = strata_of(sizes.task()).stratum_count
    arrays = dict(
        zip((*LEVELS, *TILTS), (np.array([1]), np.array([0]), *np.zeros((2, heads, number), np.int64)), strict=True)
    )
    if heads > 1:
        arrays |= {name: np.zeros((heads - 1, 1, number), dtype=np.int64) for name in THRESHOLDS}
    hints = Hints({"rival": "plain", "position": "each", "near": 3, "levels": 1}, arrays)
    assert truth <= bound_of(weights, question, arithmetic, hints) <= truth + 2


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_where_all_logits_are_equal_every_rival_has_its_share(quantity, rival):
    """Loss log n, probability 1 / n; levels on both sides of zero, so that every count is vacuous or not."""
    sizes = Sizes(3, 5, 7, 2, 2)
    weights = build({name: np.zeros(sizes.shape(name), dtype=np.float32) for name in MATRICES})
    question = Question(sizes.task(), quantity=quantity)
    truth, groups, number = (
        least(weights, question)[quantity],
        4 if rival == "every" else 1,
        strata_of(sizes.task()).stratum_count,
    )
    for level in ([-1, 0, 1], [1], [-3, -2]):
        tilts = np.full((len(level) * groups, number), 1), np.zeros((len(level) * groups, number), dtype=np.int64)
        arrays = dict(
            zip((*LEVELS, *TILTS), (np.array(level), np.zeros(len(level), dtype=np.int64), *tilts), strict=True)
        )
        hints = Hints({"rival": rival, "position": "each", "near": 3, "levels": len(level)}, arrays)
        assert truth <= bound_of(weights, question, "arb", hints) <= 3 * truth


def test_a_negative_tilt_is_refused():
    """It would count the sequences with large margins."""
    hints = LayerCake("plain", levels=2).hints(GOOD, Question(SIZES.task(), quantity=LOSS), no_progress)
    for place in (0, -1):
        mantissa = hints.arrays[TILTS[0]].copy()
        mantissa.flat[place] = -1
        with pytest.raises(Rejected, match="a tilt is negative") as caught:
            bound_of(
                GOOD,
                Question(SIZES.task(), quantity=LOSS),
                "float64",
                Hints(hints.options, {**hints.arrays, TILTS[0]: mantissa}),
            )
        assert caught.value.reason == Reason.BAD_HINT


SIZES = Sizes(3, 5, 7, 2, 4)
GOOD = build(planted_tensors(SIZES, sharpness=20.0, gain=4.0))


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize(
    "kind", ["uniform", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("positions", "chain"))]
)
def test_proofs_about_the_softmax_verify_and_are_useful(quantity, kind):
    """Both arithmetics, from the bytes; one unit more is refused; a good model is called good."""
    task = SIZES.task()
    distribution = Uniform() if kind == "uniform" else some_distribution(kind, 4, 3, 5)
    proof = prove(GOOD, task, LayerCake("joint", levels=20), distribution=distribution, claim=quantity)
    truth = least(GOOD, Question(task, distribution))[quantity] / distribution.total(task)
    claimed = 1 - proof.claim.value if quantity == MEAN_PROBABILITY else proof.claim.value
    assert truth <= claimed <= 8 * truth + Fraction(1, 4)
    for arithmetic in ARITHMETICS:
        verdict = check(proof.data, GOOD, arithmetic=arithmetic)
        assert verdict.claim == proof.claim, verdict.detail
        assert verdict.line().startswith(
            f"s VERIFIED {quantity}{'<=' if quantity == LOSS else '>='}{proof.claim.amount}/"
        )
        assert verdict.strata == ()
    n = int.from_bytes(proof.data[:8], "little")
    header = proof.data[8 : 8 + n]
    for better in (1, 10**6):
        number = proof.claim.amount + (-better if quantity == LOSS else better) * proof.claim.total // 10**4
        raw = header.replace(f'"correct":"{proof.claim.amount}"'.encode(), f'"correct":"{max(number, 0)}"'.encode())
        verdict = check(len(raw).to_bytes(8, "little") + raw + proof.data[8 + n :], GOOD)
        assert verdict.reason in (Reason.BOUND_TOO_LOW, Reason.BAD_CLAIM)


def with_claim(proof, **changes):
    n = int.from_bytes(proof.data[:8], "little")
    header = json.loads(proof.data[8 : 8 + n])
    raw = canonical(header | {"claim": header["claim"] | changes})
    return len(raw).to_bytes(8, "little") + raw + proof.data[8 + n :]


def test_a_claim_of_one_kind_is_none_of_another():
    """A loss read as a probability, a count, or in other units."""
    proof = prove(GOOD, SIZES.task(), LayerCake("centred", levels=4), claim=LOSS)
    assert check(with_claim(proof, kind="correct-count"), GOOD).reason == Reason.BAD_CLAIM
    assert check(with_claim(proof, kind="probability"), GOOD).reason == Reason.BAD_CLAIM
    assert check(with_claim(proof, total="81"), GOOD).reason == Reason.BAD_CLAIM
    assert check(with_claim(proof, correct=str(proof.claim.amount + 5)), GOOD).verified
    assert check(with_claim(proof, correct="9" * 30), GOOD).verified
    counted = check(with_claim(proof, kind="mean-probability", correct="0"), GOOD)
    assert counted.verified
    accuracy = prove(GOOD, SIZES.task(), BruteForce())
    for kind in QUANTITIES:
        verdict = check(with_claim(accuracy, kind=kind, total=str(81 * 2**20), correct="0"), GOOD)
        assert verdict.reason == Reason.UNSUPPORTED_MODEL


@pytest.mark.parametrize("name", sorted(set(RULES) - {"layer-cake", "layer-count"}))
def test_other_rules_do_not_bound_the_softmax(name):
    assert set(RULES[name].quantities) == {"accuracy"}
    with pytest.raises(Rejected, match="not accuracy"):
        prove(GOOD, SIZES.task(), LayerCake("centred", levels=4))


def test_a_final_layer_norm_is_refused():
    """Its scale differs between sequences, and a margin of the tables is not one of the logits."""
    weights = model_of(SIZES.task(), 1, 1, ("ln_final_w",), planted=False)
    for quantity in QUANTITIES:
        with pytest.raises(Rejected, match="final LayerNorm") as caught:
            prove(weights, SIZES.task(), LayerCake("centred", levels=2), claim=quantity)
        assert caught.value.reason == Reason.UNSUPPORTED_MODEL


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_float32_is_refused_in_one_sentence(quantity):
    """By the strategy, by the rule, and for a certificate that only says so."""
    with pytest.raises(Rejected, match="margin in nats") as caught:
        prove(GOOD, SIZES.task(), LayerCake("centred", levels=2), claim=quantity, semantics="float32")
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL
    with pytest.raises(Rejected, match="margin in nats"):
        RULES["layer-cake"].require_covers(GOOD, Question(SIZES.task(), semantics="float32", quantity=quantity))
    proof = prove(GOOD, SIZES.task(), LayerCake("centred", levels=2), claim=quantity)
    n = int.from_bytes(proof.data[:8], "little")
    raw = canonical(json.loads(proof.data[8 : 8 + n]) | {"semantics": "float32"})
    verdict = check(len(raw).to_bytes(8, "little") + raw + proof.data[8 + n :], GOOD)
    assert verdict.reason == Reason.BAD_CLAIM
    assert "real arithmetic" in verdict.detail
    with pytest.raises(ValueError, match="real arithmetic"):
        CLAIMS[quantity](1, 2, "float32")


@pytest.mark.parametrize(
    ("mantissa", "exponent"),
    [
        ([1, 1], [0, 0]),
        ([2, 1], [0, 0]),
        ([1, 2], [1, 0]),
        ([0, 0], [0, 5]),
        ([1, 2**53 + 1], [0, 0]),
        ([1, 2], [0, 1001]),
    ],
)
def test_levels_that_do_not_increase_are_refused(mantissa, exponent):
    arrays = dict(zip(LEVELS, (np.array(mantissa), np.array(exponent)), strict=True))
    with pytest.raises(Rejected) as caught:
        read_levels(Hints({"levels": 2}, arrays))
    assert caught.value.reason == Reason.BAD_HINT


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("near", [0.0, 0.5, 3.0, -40.0, 700.0, float("nan"), float("inf")])
def test_logarithms_are_bounded_from_above_by_any_tangent(arithmetic, near):
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        for z in (1.0, 1 + 2.0**-40, 2.5, 1e9, 1e300):
            upper = log_upper(arith.fraction(Fraction(z)), near)
            with flint.ctx.workprec(PRECISION):
                assert upper is None or upper >= lower(flint.arb(z).log())
        if near == 0.5:
            assert log_upper(arith.fraction(Fraction(np.exp(0.5))), near) < Fraction(1, 2) + Fraction(1, 2**40)


def test_claims_round_away_from_the_truth():
    """A probability down, a loss up."""
    assert MeanProbabilityClaim.most([Fraction(1, 3)], 2) == 2 * 2**20 - (2**20 // 3 + 1)
    assert LossClaim.most([Fraction(1, 6), Fraction(1, 6)], 2) == 2**20 // 3 + 1
    assert decimal_up(Fraction(1, 3)) == "0.333334"
    assert decimal_up(Fraction(7, 2)) == "3.500000"
    with pytest.raises(ValueError, match="negative"):
        LossClaim(-1, 3)
    assert [LossClaim(n, 3).follows(5) for n in (4, 5, 6)] == [False, True, True]
    assert [MeanProbabilityClaim(n, 9).follows(5) for n in (4, 5, 6)] == [True, True, False]
    assert LossClaim(9, 3).value == 3
