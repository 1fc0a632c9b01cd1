"""Rules under product and Markov distributions: never above the enumerated probability of being right.

The truth is a sum of fractions over all sequences that the oracle finds right; weights and hints are garbage or
searched. Compared exactly.
"""

import json
from collections import Counter
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.certificate import canonical
from pessimal.kernel.check import check
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import CountBound, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.proving import STRATEGIES, covering, prove
from pessimal.spec import AbstractDistribution, Markov, Product, Uniform, Weights
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.strategies import BruteForce, Cubic, Exact, ExponentialMoment, GridCount, PositionMinima
from support.bounds import answer, cost_of
from support.counting_cases import CASES, WIDE, grid_hints, hints_of, model_of
from support.distributions import INDEPENDENT, KINDS, chance, some_distribution
from support.models import Sizes, build, planted_tensors
from support.oracle import RIGHT, TIE, verdicts, wrong_weights
from support.sampling import examples
from support.soundness import require_sound


def bound_of(rule: str, weights: Weights, question: Question, arithmetic: str, hints: Hints) -> CountBound:
    cost = cost_of(rule, weights.architecture, question, hints)
    assert cost.checker_ops > cost.flops > 0
    return answer(rule, weights, question, arithmetic, hints)


def wrong_chances(
    weights: Weights, task: AbstractTask, distribution: AbstractDistribution
) -> tuple[dict[tuple[int, int], Fraction], Fraction]:
    """Probability of the wrong sequences by stratum, and of the ties among them."""
    found: Counter[tuple[int, int]] = Counter()
    ties = Fraction(0)
    for t, verdict in verdicts(weights, lambda t: int(task.target(np.array(t)))).items():
        if verdict != RIGHT:
            one = chance(distribution, t)
            found[t[-1], int(task.target(np.array(t)))] += one
            ties += one * (verdict == TIE)
    return found, ties


def hold(found: CountBound, question: Question, truth: dict[tuple[int, int], Fraction]) -> None:
    """Every stratum's bound is at least the truth and adds up to the whole."""
    total = question.total()
    assert sum(found.strata.values()) == found.wrong_at_most <= total
    for place, probability in truth.items():
        if probability:
            assert Fraction(found.strata[place]) / total >= probability
    if found.wrong_at_least is not None:
        assert Fraction(found.wrong_at_least) / total <= sum(truth.values())


ANY = {**CASES, "kind": st.sampled_from(KINDS), "hints": st.sampled_from(("ordinary", "anything", "searched"))}


@settings(max_examples=examples(25))
@given(**ANY)
def test_no_rule_exceeds_the_true_probability(task, seed, heads, norms, planted, arithmetic, kind, hints):
    """position-minima and exponential-moment, stratum by stratum, for every task, model, distribution and hint."""
    distribution = some_distribution(kind, task.k, task.d_vocab, seed)
    weights, question = model_of(task, seed, heads, norms, planted), Question(task, distribution)
    wrong, advice = wrong_weights(weights, question), []
    if heads == 1:
        require_sound("position-minima", weights, question, arithmetic, truth=wrong)
    for rival in RIVALS:
        if rival == "joint" and heads > 1:
            continue
        position = POSITIONS[seed % 2]
        some = hints_of(weights, task, rival, position, "ordinary" if hints == "searched" else hints, seed)
        if hints == "searched":
            near = task.d_vocab if kind.endswith("chain") or task.name != "max-of-k" else 1 + seed % task.d_vocab
            some = ExponentialMoment(rival, position, near).hints(weights, question, no_progress)
        advice.append(some)
    require_sound("exponential-moment", weights, question, arithmetic, advice, truth=wrong)


@settings(max_examples=examples(25))
@given(**ANY, nodes=st.sampled_from((0, 5, 1 << 20)))
def test_exact_and_brute_force_weigh_exactly(task, seed, heads, norms, planted, arithmetic, kind, hints, nodes):
    """Equality with enumeration; with too few prefixes still a bracket."""
    del hints
    distribution = some_distribution(kind, task.k, task.d_vocab, seed)
    weights, question = model_of(task, seed, heads, norms, planted), Question(task, distribution)
    truth, ties = wrong_chances(weights, task, distribution)
    found = bound_of("brute-force", weights, question, arithmetic, Hints())
    hold(found, question, truth)
    assert (
        found.wrong_at_most == sum(truth.values()) * question.total() == found.wrong_at_least + ties * question.total()
    )
    if heads == 1:
        found = bound_of("exact", weights, question, arithmetic, Hints({"nodes": nodes}))
        hold(found, question, truth)
        if nodes == 1 << 20:
            assert found.wrong_at_most == sum(truth.values()) * question.total()


@settings(max_examples=examples(12))
@given(**{**ANY, "kind": st.sampled_from(INDEPENDENT)})
def test_the_bracket_contains_the_true_probability(task, seed, heads, norms, planted, arithmetic, kind, hints):
    """grid-count under independent positions."""
    distribution = some_distribution(kind, task.k, task.d_vocab, seed)
    weights, question = model_of(task, seed, heads, norms, planted), Question(task, distribution)
    advice = []
    for rival, position in (("every", "each"), ("every", "pessimal"), ("centred", POSITIONS[seed % 2])):
        some = grid_hints(weights, task, rival, position, "ordinary" if hints == "searched" else hints, seed)
        if hints == "searched":
            some = GridCount(rival, position, cells=64, negligible=0.0).hints(weights, question, no_progress)
        advice.append(some)
    require_sound("grid-count", weights, question, arithmetic, advice)


@settings(max_examples=examples(60))
@given(st.sampled_from(WIDE), st.sampled_from((*KINDS, "uniform")), st.integers(0, 2**32 - 1))
def test_weights_of_sets_are_sums_over_their_sequences(task, kind, seed):
    """Strata, products of token sets, and prefixes with their completions."""
    rng = np.random.default_rng(seed)
    distribution = Uniform() if kind == "uniform" else some_distribution(kind, task.k, task.d_vocab, seed)
    weighing = weighing_of(Question(task, distribution))
    tokens = np.stack(np.meshgrid(*[np.arange(task.d_vocab)] * task.k, indexing="ij"), -1).reshape(-1, task.k)
    weight, target = distribution.weigh(tokens), task.target(tokens)
    for q in range(task.d_vocab):
        for y in range(task.n_outputs):
            assert weighing.stratum(q, y) == int(weight[(tokens[:, -1] == q) & (target == y)].sum())
    q, y = (int(x) for x in rng.choice(np.argwhere(strata_of(task).stratum_index >= 0)))
    allowed = [
        np.flatnonzero(rng.integers(0, 2, task.d_vocab) | (np.arange(task.d_vocab) == 1)) for _ in range(task.k - 1)
    ]
    inside = np.all([np.isin(tokens[:, i], some) for i, some in enumerate(allowed)], axis=0) & (tokens[:, -1] == q)
    assert weighing.token_product(allowed, q) == int(weight[inside].sum())
    program, letter = weighing.strata.program(q, y), weighing.strata.letter[y]
    after = weighing.completions(program, q, y)
    stratum = (tokens[:, -1] == q) & (target == y)
    for (_, state), letters in program.layers[0]:
        first = np.flatnonzero(np.isin(letter, sorted(letters)))
        found = weighing.prefixes(first[:, np.newaxis], after[0][state])
        assert found == int(weight[stratum & np.isin(tokens[:, 0], first)].sum())
    assert (letter != DEAD).any()


@pytest.mark.parametrize(
    "strategy", [BruteForce(), PositionMinima(), Exact(), ExponentialMoment("every", "each"), GridCount()]
)
def test_equal_weights_say_what_uniform_says(strategy):
    """Product of ones, a chain of ones, and uniform: one probability (up to rounding for the moment)."""
    sizes = Sizes(3, 5, 7, 2, 4)
    weights = build(planted_tensors(sizes, sharpness=10.0, gain=4.0, noise=0.05, seed=1))
    plain = prove(weights, sizes.task(), strategy).claim
    for distribution in (
        Product([[2] * 3]),
        Product([[1] * 3, [2] * 3, [3] * 3, [1] * 3]),
        Markov([1] * 3, [[3] * 3] * 3),
    ):
        if "markov" in distribution.name and strategy.name == "grid-count":
            continue
        claim = prove(weights, sizes.task(), strategy, distribution=distribution).claim
        assert claim.kind == "probability"
        assert abs(claim.value - plain.value) <= Fraction(2, 81) * (
            strategy.name in ("exponential-moment", "grid-count")
        )
        assert claim.correct > 0


@pytest.mark.parametrize("name", sorted(covering()))
@pytest.mark.parametrize("kind", KINDS)
def test_proofs_under_a_distribution_verify_or_are_refused(name, kind):
    """Both arithmetics, from the bytes alone; the line names kind and digest; rules without weights refuse."""
    sizes = Sizes(3, 5, 7, 2, 4)
    weights = build(planted_tensors(sizes, sharpness=10.0, gain=4.0, noise=0.05, seed=1))
    distribution = some_distribution(kind, 4, 3, 5)
    if distribution.name not in RULES[STRATEGIES[name].rule].distributions:
        with pytest.raises(Rejected) as caught:
            prove(weights, sizes.task(), STRATEGIES[name](), distribution=distribution)
        assert caught.value.reason == Reason.UNSUPPORTED_MODEL
        assert distribution.name in caught.value.detail
        return
    proof = prove(weights, sizes.task(), STRATEGIES[name](), distribution=distribution)
    truth, _ = wrong_chances(weights, sizes.task(), distribution)
    assert proof.claim.value <= 1 - sum(truth.values())
    for arithmetic in ARITHMETICS:
        verdict = check(proof.data, weights, arithmetic=arithmetic)
        assert verdict.claim == proof.claim, verdict.detail
        assert verdict.line().startswith(
            f"s VERIFIED probability>={proof.claim.correct}/{proof.claim.total} accuracy>="
        )
        assert f" dist={distribution.name} distribution=sha256:{distribution.sha256} semantics=real " in verdict.line()
        assert sum(one.total for one in verdict.strata) == proof.claim.total
        assert verdict.worst_stratum.accuracy == min(one.accuracy for one in verdict.strata)


def distributed(**changes: object) -> tuple[bytes, Weights]:
    sizes = Sizes(3, 5, 7, 2, 4)
    weights = build(planted_tensors(sizes, sharpness=10.0, gain=4.0, noise=0.05, seed=1))
    proof = prove(weights, sizes.task(), PositionMinima(), distribution=Product([[1, 2, 3]]))
    n = int.from_bytes(proof.data[:8], "little")
    raw = canonical(json.loads(proof.data[8 : 8 + n]) | changes)
    return len(raw).to_bytes(8, "little") + raw + proof.data[8 + n :], weights


PRODUCT = {"dtype": "int64", "name": "distribution_weights", "shape": [1, 3]}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"distribution": {"name": "uniform"}}, Reason.TASK_MISMATCH),
        ({"distribution": {"name": "markov"}}, Reason.TASK_MISMATCH),
        ({"distribution": {"name": "product", "weights": "1"}}, Reason.TASK_MISMATCH),
        ({"arrays": [PRODUCT | {"name": "weights"}]}, Reason.TASK_MISMATCH),
        ({"arrays": [PRODUCT | {"name": "distribution_other"}]}, Reason.TASK_MISMATCH),
        ({"arrays": [PRODUCT | {"shape": [3, 1]}]}, Reason.TASK_MISMATCH),
        ({"arrays": [PRODUCT | {"shape": [3]}]}, Reason.TASK_MISMATCH),
        ({"arrays": [PRODUCT | {"dtype": "float64"}]}, Reason.TASK_MISMATCH),
        ({"claim": {"correct": "1", "kind": "correct-count", "total": "1296"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "1", "kind": "probability", "total": "1296"}}, None),
        ({"claim": {"correct": "1", "kind": "probability", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "1297", "kind": "probability", "total": "1296"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "1296", "kind": "probability", "total": "1296"}}, Reason.BOUND_TOO_LOW),
        ({"rule": "cubic"}, Reason.UNSUPPORTED_MODEL),
    ],
)
def test_every_altered_distribution_is_rejected(changes, reason):
    """One field at a time."""
    verdict = check(*distributed(**changes))
    assert (None if verdict else verdict.reason) == reason


@pytest.mark.parametrize("weights", [(0, 0, 0), (1, 2, -3), (2**48 + 1, 1, 1), (-(2**63), 1, 2), (2, 2, 2), (3, 2, 1)])
def test_other_weights_in_the_file_are_another_claim(weights):
    """The weights stand in the body; with others the total differs, or the probability."""
    data, model = distributed()
    verdict = check(data[:-24] + np.array(weights, dtype="<i8").tobytes(), model)
    good = check(*distributed())
    assert not verdict.verified or f"{verdict.line()}" != f"{good.line()}"
    assert verdict or verdict.reason in (Reason.TASK_MISMATCH, Reason.BOUND_TOO_LOW)
    if verdict.verified:
        truth, _ = wrong_chances(model, Sizes(3, 5, 7, 2, 4).task(), Product([list(weights)]))
        assert verdict.claim.value <= 1 - sum(truth.values())


def test_a_chain_has_no_far_tokens():
    """near below d_vocab is refused as a hint."""
    sizes = Sizes(3, 5, 7, 2, 4)
    weights = build(planted_tensors(sizes))
    chain = Question(sizes.task(), some_distribution("chain", 4, 3, 1))
    with pytest.raises(Rejected) as caught:
        prove(weights, sizes.task(), ExponentialMoment("centred", "each", 2), distribution=chain.distribution)
    assert caught.value.reason == Reason.BAD_HINT


@pytest.mark.parametrize(
    "name", ["cubic", "eupu-max-diff-exact--attn-mean-query+diff--attn-err-exact-eqke+max-diff-exact"]
)
def test_published_proofs_give_bounds_by_stratum(name):
    """Each stratum's bound is at least its wrong sequences, and they add up to the claim."""
    useful = 0
    for seed in range(3):
        sizes = Sizes(5, 7, 11, 2, 3)
        weights = build(planted_tensors(sizes, sharpness=20.0, gain=8.0, noise=0.02 * seed, seed=seed))
        proof = prove(weights, sizes.task(), STRATEGIES[name]())
        verdict = check(proof.data, weights)
        wrong = Counter((t[-1], max(t)) for t, one in verdicts(weights).items() if one != RIGHT)
        for one in verdict.strata:
            assert wrong[one.q, one.y] <= one.wrong_at_most <= one.total == strata_of(sizes.task()).size(one.q, one.y)
            useful += one.wrong_at_most < one.total
        assert sum(one.wrong_at_most for one in verdict.strata) == verdict.claim.total - verdict.claim.correct
    assert useful


def test_cubic_needs_all_sequences_alike():
    """Its classes are counted, not weighed."""
    sizes = Sizes(3, 5, 7, 2, 4)
    weights = build(planted_tensors(sizes))
    with pytest.raises(Rejected, match="uniform"):
        prove(weights, sizes.task(), Cubic(), distribution=Product([[1, 2, 3]]))


def test_floors_of_strata_are_sound_for_integers():
    """verdict.strata is floor(bound) per stratum and never above the stratum."""
    sizes = Sizes(3, 5, 7, 2, 4)
    weights = build(planted_tensors(sizes, sharpness=10.0, gain=4.0, noise=0.05, seed=1))
    proof = prove(weights, sizes.task(), ExponentialMoment("centred", "each", 2))
    verdict = check(proof.data, weights)
    bound = bound_of("exponential-moment", weights, verdict.question, "float64", verdict.certificate.hints)
    assert [one.wrong_at_most for one in verdict.strata] == [
        floor(bound.strata[one.q, one.y]) for one in verdict.strata
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rival", RIVALS)
def test_a_perfect_model_is_certified_under_every_distribution(kind, rival):
    """Tightness: position minima lose nothing, moments with searched tilts under one in a hundred."""
    sizes = Sizes(3, 5, 7, 2, 4)
    weights = build(planted_tensors(sizes, sharpness=40.0, gain=8.0))
    distribution = some_distribution(kind, 4, 3, 2)
    assert prove(weights, sizes.task(), PositionMinima(), distribution=distribution).claim.value == 1
    for position in POSITIONS:
        claim = prove(weights, sizes.task(), ExponentialMoment(rival, position), distribution=distribution).claim
        assert claim.value >= Fraction(99, 100)
