"""Closed forms of proof length against the counting arithmetic, at several prime shapes and sets of biases."""

import dataclasses

import numpy as np
import pytest

from distributions import KINDS, some_distribution
from models import BIASES, NORMS, Sizes, build, random_tensors
from pessimal.kernel.arithmetic import CountingArithmetic
from pessimal.kernel.cost import blank_weights, n_strata
from pessimal.kernel.model.tables import additive_tables, additive_tables_flops, path_tables, path_tables_flops
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES, BruteForceRule, Hints
from pessimal.kernel.rules.brute_force import brute_force_cost
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.spec import MaxOfK
from pessimal.spec.question import Question
from pessimal.strategies import ExponentialMoment, GridCount, LayerCake
from pessimal.strategies.moment_search import blank_hints

SHAPES = (Sizes(7, 11, 5, 3, 2), Sizes(5, 5, 7, 2, 3), Sizes(3, 7, 2, 5, 6), Sizes(5, 7, 3, 2, 4), Sizes(7, 7, 5, 2, 9))
BIAS_SETS = ((), ("b_Q", "b_V"), ("b_K", "b_O"), BIASES)
FINALS = ((), ("ln_final_w",))


def models():
    for sizes in SHAPES:
        for biases in BIAS_SETS:
            for norms in FINALS:
                if norms and "b_U" in biases:
                    continue
                yield sizes, build(random_tensors(sizes, 2, biases=biases, norms=norms))


MODELS = list(models())


def counted(rule: str, weights, task, hints: Hints) -> int:
    arith = CountingArithmetic()
    RULES[rule].bound(weights, Question(task), hints, arith, no_progress)
    return arith.tally.flops


@pytest.mark.parametrize(("sizes", "weights"), MODELS)
def test_additive_tables_cost_what_is_counted(sizes, weights):
    """Closed form = count."""
    arith = CountingArithmetic()
    additive_tables(weights, arith)
    assert additive_tables_flops(weights.architecture)[0] == arith.tally.flops


@pytest.mark.parametrize("scale", ["1", "1/sqrt(d_head)"])
def test_the_scale_is_counted(scale):
    """attn_scale "1" saves its square root and products."""
    weights = build(random_tensors(SHAPES[0], 2), {"attn_scale": scale})
    arith = CountingArithmetic()
    additive_tables(weights, arith)
    assert additive_tables_flops(weights.architecture)[0] == arith.tally.flops


@pytest.mark.parametrize("rule", ["cubic", "position-minima"])
@pytest.mark.parametrize(("sizes", "weights"), MODELS)
def test_hintless_rules_cost_what_is_counted(rule, sizes, weights):
    """Closed form = count."""
    assert RULES[rule].cost(weights.architecture, Question(sizes.task()), Hints()).flops == counted(
        rule, weights, sizes.task(), Hints()
    )


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(("sizes", "weights"), MODELS[::2])
def test_exponential_moment_costs_what_is_counted(rival, position, sizes, weights):
    """Closed form = count for narrow, two-token and full bands."""
    for near in (1, 2, sizes.v):
        zeros = np.zeros((sizes.o - 1 if rival == "every" else 1, n_strata(sizes.v)), dtype=np.int64)
        options = {"rival": rival, "position": position, "near": near}
        hints = Hints(options, {"tilt_mantissa": zeros, "tilt_exponent": zeros})
        count = counted("exponential-moment", weights, sizes.task(), hints)
        assert RULES["exponential-moment"].cost(weights.architecture, Question(sizes.task()), hints).flops == count


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("biases", BIAS_SETS)
@pytest.mark.parametrize("norms", [(), NORMS[:1], NORMS[:2], NORMS[2:3], NORMS[2:], NORMS])
def test_path_tables_cost_no_more_than_stated(sizes, heads, biases, norms):
    """Closed form >= count, and not above it by more than a half."""
    weights = build(random_tensors(dataclasses.replace(sizes, h=heads), 2, biases=biases, norms=norms))
    arith = CountingArithmetic()
    path_tables(weights, arith)
    stated = path_tables_flops(weights.architecture)[0]
    assert arith.tally.flops <= stated <= 1.5 * arith.tally.flops


@pytest.mark.parametrize(("sizes", "weights"), MODELS[::3])
def test_brute_force_counts_tables_and_one_step_per_sequence_and_rival(sizes, weights):
    """At least two operations per sequence and rival, besides the tables."""
    cost = brute_force_cost(weights.architecture)
    assert cost.flops >= path_tables_flops(weights.architecture)[0] + 2 * sizes.v**sizes.k * (sizes.o - 1)


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"sub-cubic", "band", "sparse-output", "key-frequency"}))
def test_costs_are_consistent(rule):
    """checker_ops exceed flops; every number is positive; more tokens cost more."""
    found = []
    for v in (5, 7, 11):
        sizes = Sizes(v, 13, 3, 2, 4)
        arch = build(random_tensors(sizes, 2)).architecture
        if rule == "exponential-moment":
            cost = RULES[rule].cost(
                arch,
                Question(sizes.task()),
                blank_hints(arch, sizes.task(), {"rival": "centred", "position": "each", "near": 2}),
            )
        elif rule == "grid-count":
            hints = GridCount(cells=16).hints(blank_weights(arch), Question(sizes.task()), no_progress)
            cost = RULES[rule].cost(arch, Question(sizes.task()), hints)
        elif rule == "layer-cake":
            question = Question(sizes.task(), quantity="loss")
            hints = LayerCake("centred", levels=2).hints(blank_weights(arch), question, no_progress)
            cost = RULES[rule].cost(arch, question, hints)
        else:
            cost = RULES[rule].cost(arch, Question(sizes.task()), Hints({"nodes": v} if rule == "exact" else {}))
        assert cost.checker_ops > cost.flops > 0 or rule == "brute-force"
        assert cost.unexplained_dims > 0
        assert cost.bytes_needed > 0
        found.append(cost)
    assert found[0].flops < found[1].flops < found[2].flops
    assert found[0].checker_ops < found[1].checker_ops < found[2].checker_ops


@pytest.mark.parametrize("kind", KINDS)
def test_weights_lengthen_a_proof_by_what_they_multiply(kind):
    """Two per decision that is weighed; one per token, position and stratum for a moment; more for a chain."""
    sizes = Sizes(5, 7, 11, 2, 3)
    arch = build(random_tensors(sizes, 2)).architecture
    plain = Question(sizes.task())
    weighed = Question(sizes.task(), some_distribution(kind, sizes.k, sizes.v, 1))
    for rule, hints, extra in (
        ("brute-force", Hints(), 2 * sizes.v**sizes.k),
        ("exact", Hints({"nodes": 9}), 18),
        ("position-minima", Hints(), 2 * sum(len(layer) for p in programs(plain) for layer in p.layers)),
    ):
        costs = [RULES[rule].cost(arch, question, hints) for question in (plain, weighed)]
        assert costs[1].flops - costs[0].flops == extra
        assert costs[1].checker_ops - costs[0].checker_ops > 8 * extra
    hints = ExponentialMoment("centred", "each", sizes.v).hints(blank_weights(arch), plain, no_progress)
    flops = [RULES["exponential-moment"].cost(arch, question, hints).flops for question in (plain, weighed)]
    pairs = sum(y + 1 for y in range(sizes.v) for _ in range(y + 1))
    if kind.endswith("chain"):
        # The transition table, and tokens by tokens in the second of two steps.
        assert flops[1] > flops[0] + sizes.v**2
    else:
        # A weight per pair and position, and an inverse per stratum and position in place of one per stratum.
        rows = 1 if kind == "shared" else sizes.k - 1
        assert flops[1] - flops[0] == (sizes.k - 1) * pairs + (rows - 1) * n_strata(sizes.v)


def programs(question):
    return [program for program, queries in strata_of(question.task).all_kinds() for _ in range(queries)]


def test_brute_force_refuses_more_than_its_limit():
    """Past 64**5 sequences the cost is not even predicted: resources."""
    arch = build(random_tensors(Sizes(5, 7, 3, 2, 4), 2)).architecture
    for v, k, allowed in ((64, 5, True), (65, 5, False), (2, 30, True), (2, 31, False)):
        shape = dataclasses.replace(arch.shape, d_vocab=v, d_vocab_out=v, k=k)
        if allowed:
            assert (
                BruteForceRule().cost(dataclasses.replace(arch, shape=shape), Question(MaxOfK(2, 5)), Hints()).flops
                > v**k
            )
        else:
            with pytest.raises(Rejected) as caught:
                BruteForceRule().cost(dataclasses.replace(arch, shape=shape), Question(MaxOfK(2, 5)), Hints())
            assert caught.value.reason == Reason.RESOURCES


def test_brute_force_refuses_astronomical_totals_in_words():
    """A number of sequences with more digits than Python prints is refused like any other."""
    arch = build(random_tensors(Sizes(5, 7, 3, 2, 4), 2)).architecture
    shape = dataclasses.replace(arch.shape, d_vocab=1024, d_vocab_out=1024, k=4096)
    with pytest.raises(Rejected):
        BruteForceRule().cost(dataclasses.replace(arch, shape=shape), Question(MaxOfK(2, 5)), Hints())
