"""Mean probability and cross-entropy by counts on a grid: never better than the truth, for any levels and limits.

The truth is a sum of Arb balls over all sequences; a bound has to reach its lower end, exactly. Counts are compared
with enumeration in integers.
"""

from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.check import check
from pessimal.kernel.counting.fillings import Fillings
from pessimal.kernel.counting.layers import LEVELS
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.source import ExactTables
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.rules.layer_count import LevelWork, Lowered
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.kernel.terms.nodes import NodeTerms
from pessimal.proving import prove
from pessimal.spec import MaxOfK, Uniform, Weights
from pessimal.spec.claim import LOSS, MEAN_PROBABILITY
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.weight_file import read_weights
from pessimal.strategies import LayerCake, LayerCount
from support.bounds import answer, cost_of
from support.counting_cases import CASES, NORMS, model_of
from support.distributions import INDEPENDENT, some_distribution
from support.layers import QUANTITIES, least, some_levels
from support.models import MATRICES, Sizes, build, planted_tensors, random_tensors
from support.sampling import examples
from support.soundness import require_sound
from support.tasks import WIDE

ROOT = Path(__file__).resolve().parents[2]
ENOUGH = 1 << 40
SIZES = Sizes(3, 5, 7, 2, 4)
GOOD = build(planted_tensors(SIZES, sharpness=20.0, gain=4.0))


def count_hints(weights: Weights, question: Question, kind: str, seed: int) -> Hints:
    """Searched ones, or any levels, cells and limits: enough work, too little, or none."""
    if kind == "searched":
        return LayerCount(levels=5, cells=7).hints(weights, question, no_progress)
    rng, task = np.random.default_rng(seed), question.task
    levels = some_levels(kind, seed)
    most = 2 * strata_of(task).stratum_count * weights.architecture.shape.d_vocab_out
    minima = np.full(len(strata_of(task).programs[0]), most)
    entries = additions = ENOUGH
    if seed % 3 == 0:
        minima = rng.integers(0, most, minima.shape) * rng.integers(0, 2, minima.shape)
        entries, additions = int(rng.integers(0, 400)), int(rng.integers(0, 40_000))
    options = {
        "near": int(rng.integers(1, task.d_vocab + 1)) if isinstance(task, MaxOfK) else task.d_vocab,
        "levels": len(levels[LEVELS[0]]),
        "cells": int(rng.choice((1, 2, 7, 300))),
        "entries": entries,
        "additions": additions,
    }
    return Hints(options, {**levels, "minima": minima})


def bound_of(weights: Weights, question: Question, arithmetic: str, hints: Hints) -> Fraction:
    return answer("layer-count", weights, question, arithmetic, hints).wrong_at_most


def never_better(task, seed, norms, planted, arithmetic, hints, kind):
    weights = model_of(task, seed, 1, norms, planted)
    distribution = Uniform() if kind == "uniform" else some_distribution(kind, task.k, task.d_vocab, seed)
    questions = {quantity: Question(task, distribution, quantity=quantity) for quantity in QUANTITIES}
    truth = least(weights, questions[LOSS])
    some = count_hints(weights, questions[LOSS], hints, seed)
    for quantity, question in questions.items():
        require_sound("layer-count", weights, question, arithmetic, [some], truth=truth[quantity])
    assert bound_of(weights, questions[MEAN_PROBABILITY], arithmetic, some) <= questions[LOSS].total()


ANY = {
    **{name: case for name, case in CASES.items() if name != "heads"},
    "norms": st.sampled_from([norms for norms in NORMS if "ln_final_w" not in norms]),
    "hints": st.sampled_from(("ordinary", "anything", "searched")),
    "kind": st.sampled_from(("uniform", *INDEPENDENT)),
}


@settings(max_examples=examples(8))
@given(**ANY)
def test_no_bound_is_better_than_the_truth(task, seed, norms, planted, arithmetic, hints, kind):
    """For every task, model, independent positions, levels, cells and limits."""
    never_better(task, seed, norms, planted, arithmetic, hints, kind)


@pytest.mark.slow
@settings(max_examples=examples(150))
@given(**ANY)
def test_no_bound_is_ever_better_than_the_truth(task, seed, norms, planted, arithmetic, hints, kind):
    """The same, more often."""
    never_better(task, seed, norms, planted, arithmetic, hints, kind)


def some_fillings(task, seed, cells, weighed):
    """Those of a stratum with random terms: small, or as large as may be; and all fillings with their weights."""
    rng, strata, n = np.random.default_rng(seed), strata_of(task), task.k - 1
    pairs = np.argwhere(strata.stratum_index >= 0)
    q, y = pairs[rng.integers(len(pairs))].tolist()
    alive = np.flatnonzero(strata.letter[y] != DEAD)
    alive = alive[np.argsort(strata.letter[y, alive], kind="stable")]
    weights = rng.integers(0, [[3], [2**31]][weighed == "huge"], (n, alive.size)) if weighed else None
    size = (9, 2**57 // task.k)[seed % 2]
    terms = rng.integers(-size, size + 1, (n, alive.size, 11)) * rng.integers(0, 2, (n, alive.size, 1))
    last = rng.integers(-size, size + 1, 11)
    own = None if weights is None else weights.astype(np.float64)
    fillings = Fillings(strata.program(q, y), strata.letter[y, alive], own, cells)
    there = [t for t in product(range(alive.size), repeat=n) if task.target(np.array([*alive[list(t)], q])) == y]
    exact = [
        sum(
            1 if weights is None else int(np.prod(weights[range(n), t].astype(object)))
            for t in there
            if sum(int(terms[i, token, s]) for i, token in enumerate(t)) + int(last[s]) <= 0
        )
        for s in range(11)
    ]
    return fillings, terms, last, exact


@settings(max_examples=examples(20))
@given(
    task=CASES["task"],
    seed=CASES["seed"],
    cells=st.sampled_from((1, 3, 64)),
    weighed=st.sampled_from(("", "few", "huge")),
)
def test_no_count_is_below_the_number_of_fillings_whose_terms_add_up_to_at_most_zero(task, seed, cells, weighed):
    """Whatever the terms; and with a step of one it is that number."""
    fillings, terms, last, exact = some_fillings(task, seed, cells, weighed)
    found = fillings.up_to_zero(terms, last)
    above = [Fraction(one) * (1 + Fraction(fillings.roundings, 2**52)) for one in found.tolist()]
    assert all(one >= number for one, number in zip(above, exact, strict=True))
    if cells == 64 and seed % 2 == 0 and task.k < 4 and weighed != "huge":
        assert found.tolist() == exact
    rows, for_all = fillings.undecided(terms, last)
    decided = np.setdiff1d(np.arange(len(exact)), rows)
    everything = fillings.up_to_zero(np.zeros_like(terms), np.zeros_like(last))
    for s in decided.tolist():
        assert exact[s] <= (everything[s] * (1 + fillings.roundings * 2.0**-52) if for_all[s] else 0)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_where_all_logits_are_equal_every_rival_has_its_share(quantity):
    """Loss log n, probability 1 / n; and with levels below zero, where every rival is pruned, no less."""
    sizes = Sizes(3, 5, 7, 2, 3)
    weights = build({name: np.zeros(sizes.shape(name), dtype=np.float32) for name in MATRICES})
    question = Question(sizes.task(), quantity=quantity)
    truth = least(weights, question)[quantity]
    for levels in ([-1, 0, 1], [1], [-3, -2], [-1]):
        hints = count_hints(weights, question, "ordinary", 1)
        arrays = dict(zip(LEVELS, (np.array(levels), np.zeros(len(levels), dtype=np.int64)), strict=True))
        some = Hints({**hints.options, "levels": len(levels)}, {**hints.arrays, **arrays})
        assert truth <= bound_of(weights, question, "arb", some) <= 9 * truth


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
def test_a_second_rival_with_the_same_logits_is_counted_a_second_time(arithmetic):
    """A count less a multiple of an earlier rival would leave it out: that is for the least margin only."""
    sizes = Sizes(3, 3, 7, 2, 3)
    tensors = random_tensors(sizes, 5)
    one = build(tensors)
    wider = {**tensors, "W_U": np.concatenate([tensors["W_U"], tensors["W_U"][:, 2:]], 1)}
    two = build({name: a.astype(np.float32) for name, a in wider.items()})
    found = []
    for weights in (one, two):
        question = Question(MaxOfK(3, 3), quantity=LOSS)
        truth = least(weights, question)[LOSS]
        hints = LayerCount(levels=40, cells=300).hints(weights, question, no_progress)
        found.append(bound_of(weights, question, arithmetic, hints))
        assert truth <= found[-1] <= 4 * truth
    assert found[1] > found[0]


@pytest.mark.parametrize("name", ["parent", "comparison", "order"])
def test_hints_that_name_parents_are_refused(name):
    """Rivals are counted one by one."""
    question = Question(SIZES.task(), quantity=LOSS)
    good = LayerCount(levels=3).hints(GOOD, question, no_progress)
    assert bound_of(GOOD, question, "float64", good) > 0
    with pytest.raises(Rejected, match="exactly these hints") as caught:
        bound_of(GOOD, question, "float64", Hints(good.options, {**good.arrays, name: np.zeros(4, dtype=np.int64)}))
    assert caught.value.reason == Reason.BAD_HINT


@pytest.mark.parametrize(
    ("options", "arrays"),
    [
        ({"cells": 0}, {}),
        ({"near": 0}, {}),
        ({"levels": 2}, {}),
        ({"entries": -1}, {}),
        ({"additions": -1}, {}),
        ({}, {"minima": np.array([-1, 0, 0])}),
        ({}, {"minima": np.array([0, 0, 2**40])}),
        ({}, {LEVELS[0]: np.array([3, 2, 1])}),
        ({}, {LEVELS[0]: np.array([2, 2, 3])}),
    ],
)
def test_hints_out_of_range_are_refused(options, arrays):
    question = Question(SIZES.task(), quantity=LOSS)
    good = LayerCount(levels=3).hints(GOOD, question, no_progress)
    with pytest.raises(Rejected) as caught:
        bound_of(GOOD, question, "float64", Hints({**good.options, **options}, {**good.arrays, **arrays}))
    assert caught.value.reason == Reason.BAD_HINT


@pytest.mark.parametrize("name", ["min-of-k", "contains-token"])
def test_far_tokens_are_those_of_a_maximum_only(name):
    task = next(task for task in WIDE if task.name == name)
    weights, question = model_of(task, 3, 1, (), planted=True), Question(task, quantity=LOSS)
    good = LayerCount(levels=3).hints(weights, question, no_progress)
    with pytest.raises(Rejected, match="lumps far tokens"):
        bound_of(weights, question, "float64", Hints({**good.options, "near": 1}, good.arrays))


def test_questions_outside_the_theorem_are_refused():
    """Several heads, a final LayerNorm, float32, chains: a margin in nats over one rival, of independent positions."""
    rule, task = RULES["layer-count"], SIZES.task()
    chain = some_distribution("chain", 4, 3, 1)
    for weights, question in (
        (model_of(task, 1, 2, (), planted=True), Question(task, quantity=LOSS)),
        (model_of(task, 1, 1, ("ln_final_w",), planted=True), Question(task, quantity=LOSS)),
        (GOOD, Question(task, semantics="float32", quantity=LOSS)),
        (GOOD, Question(task, chain, quantity=LOSS)),
        (GOOD, Question(task)),
    ):
        with pytest.raises(Rejected) as caught:
            rule.require_covers(weights, question)
        assert caught.value.reason == Reason.UNSUPPORTED_MODEL


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_without_work_nothing_is_counted_and_every_sequence_is_given_up(quantity):
    """Each limit by itself; what is given up at one limit is not better than with all the work."""
    question = Question(SIZES.task(), quantity=quantity)
    truth = least(GOOD, question)[quantity]
    good = LayerCount().hints(GOOD, question, no_progress)
    best = bound_of(GOOD, question, "float64", good)
    nothing = bound_of(GOOD, question, "float64", Hints({**good.options, "entries": 0, "additions": 0}, good.arrays))
    for name, less in product(("entries", "additions"), (0, 1, 2, 8)):
        limit = int(good.options[name]) * less // 16
        found = bound_of(GOOD, question, "float64", Hints({**good.options, name: limit}, good.arrays))
        assert truth <= best <= found <= nothing
        assert less or name == "additions" or found == nothing
    unpruned = Hints(
        {**good.options, "entries": ENOUGH, "additions": ENOUGH},
        {**good.arrays, "minima": np.zeros_like(good.arrays["minima"])},
    )
    assert truth <= bound_of(GOOD, question, "float64", unpruned) <= best * (1 + Fraction(1, 2**30))


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
def test_lost_numbers_give_their_strata_up(arithmetic):
    """Scores beyond every exponential: probability 0."""
    tensors = planted_tensors(SIZES, sharpness=20.0, gain=4.0)
    weights = build({**tensors, "W_Q": np.full_like(tensors["W_Q"], 3e38), "W_K": np.full_like(tensors["W_K"], 3e38)})
    question = Question(SIZES.task(), quantity=MEAN_PROBABILITY)
    found = bound_of(weights, question, arithmetic, count_hints(weights, question, "ordinary", 1))
    assert least(GOOD, question)[MEAN_PROBABILITY] <= found <= question.total()


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("kind", ["uniform", pytest.param("positions", marks=pytest.mark.slow)])
def test_proofs_verify_in_both_arithmetics_and_are_better_than_by_moments(quantity, kind):
    task = SIZES.task()
    distribution = Uniform() if kind == "uniform" else some_distribution(kind, 4, 3, 5)
    proof = prove(GOOD, task, LayerCount(), distribution=distribution, claim=quantity)
    moments = prove(GOOD, task, LayerCake("every", levels=20), distribution=distribution, claim=quantity)
    truth = least(GOOD, Question(task, distribution))[quantity] / distribution.total(task)
    claimed, other = (
        1 - found.claim.value if quantity == MEAN_PROBABILITY else found.claim.value for found in (proof, moments)
    )
    assert truth <= claimed <= min(other, 2 * truth + Fraction(1, 100))
    for arithmetic in ARITHMETICS:
        verdict = check(proof.data, GOOD, arithmetic=arithmetic)
        assert verdict.claim == proof.claim, verdict.detail


def test_a_budget_takes_fewer_levels_and_cells():
    """Down to the proof that counts nothing; and below that there is none."""
    question = Question(SIZES.task(), quantity=LOSS)
    free = cost_of("layer-count", GOOD.architecture, question, LayerCount().hints(GOOD, question, no_progress)).flops
    least_flops = LayerCount().least_flops(GOOD, question)
    truth, found = least(GOOD, question)[LOSS], []
    for budget in (free, 3 * free // 4, free // 2, least_flops):
        hints = LayerCount(budget=budget).hints(GOOD, question, no_progress)
        assert cost_of("layer-count", GOOD.architecture, question, hints).flops <= budget
        found.append(bound_of(GOOD, question, "float64", hints))
    assert min(found) >= truth
    assert max(found[:-1]) < found[-1] / 4
    with pytest.raises(Rejected, match="too small") as caught:
        LayerCount(budget=least_flops - 1).hints(GOOD, question, no_progress)
    assert caught.value.reason == Reason.RESOURCES


@pytest.mark.slow
@pytest.mark.parametrize(("quantity", "asked"), [(LOSS, 0.006), (MEAN_PROBABILITY, 0.997)])
def test_a_trained_model_has_a_loss_of_at_most_6e_3_and_a_mean_probability_of_at_least_997e_3(quantity, asked):
    """Sampled: 0.0018 nats and 0.9987."""
    weights = read_weights((ROOT / "weights" / "max4_v64_seed104.safetensors").read_bytes())
    proof = prove(weights, MaxOfK(4, 64), LayerCount(), claim=quantity)
    assert proof.claim.value <= asked if quantity == LOSS else proof.claim.value >= asked
    verdict = check(proof.data, weights)
    assert verdict.claim == proof.claim


def lowered_of(sizes: Sizes, level: Fraction, wider: int = 0) -> tuple[Lowered, LevelWork]:
    """The counts of a model without weights at one level, where V and what is done with it lie within `wider` of 0."""
    weights = build({name: np.zeros_like(tensor) for name, tensor in random_tensors(sizes, 0).items()})
    question, arith = Question(sizes.task(), quantity=LOSS), ARITHMETICS["float64"]()
    hints = count_hints(weights, question, "steps", 1)
    hints = Hints({**hints.options, "levels": 1, "cells": 3}, {**hints.arrays, LEVELS[0]: np.array([level.numerator]),
                  LEVELS[1]: np.array([1 - level.denominator.bit_length()])})  # fmt: skip
    instance = RULES["layer-count"].read(hints, weights.architecture, question)
    nodes = NodeTerms(ExactTables(REAL).tables(weights, arith), strata_of(question.task), sizes.v, arith)
    nodes.value = nodes.value.widened(nodes.value.number(Fraction(wider)))
    return Lowered(nodes, question, instance.levels, instance.cells, arith), instance.work.copy()


@pytest.mark.parametrize(("v", "k"), [(3, 40), (5, 29), (3, 5)])
def test_counts_beyond_what_floats_hold_are_not_rounded_below_the_truth(v, k):
    """All margins are 0: every sequence counts for every rival, and strata are larger than 2^53."""
    lowered, work = lowered_of(Sizes(v, 5, 7, 2, k), Fraction(1, 4))
    weighing = weighing_of(lowered.question)
    for at, at_most in lowered.counts(work, no_progress):
        assert at_most[0] >= 4 * weighing.stratum(*at)


def test_ends_of_margins_that_let_a_rival_come_close_are_counted():
    """Margins from -2 to 2, a level of a quarter: every sequence may lie below it."""
    lowered, work = lowered_of(Sizes(3, 5, 7, 2, 4), Fraction(1, 4), wider=1)
    weighing = weighing_of(lowered.question)
    for at, at_most in lowered.counts(work, no_progress):
        assert at_most[0] >= 4 * weighing.stratum(*at)
