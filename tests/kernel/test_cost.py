"""Proof length: counted over shapes, against closed forms and runs on models, kept once it is known; and memory."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pessimal.kernel.arithmetic import CountingArithmetic, Float64Arithmetic
from pessimal.kernel.cost import blank_weights, counted_cost, n_strata
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.story import path_shapes
from pessimal.kernel.model.tables import additive_tables, path_tables
from pessimal.kernel.model.tensors import has_final_bias
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.brute_force import BruteForceRule
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighed as with_weights
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.search.moments import blank_hints, shortened
from pessimal.spec import MaxOfK, read_weights
from pessimal.spec.question import Question
from pessimal.spec.tasks import FirstOfK
from pessimal.strategies import ExponentialMoment, GridCount, LayerCake, LayerCount
from support.bounds import bound_in, cost_of, counted
from support.closed_forms import additive_tables_flops, cubic_flops, position_minima_flops
from support.comparisons import limits
from support.distributions import KINDS, some_distribution
from support.models import ATTN_SCALES, BIASES, NORMS, Sizes, build, random_tensors
from support.sampling import examples

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


@pytest.mark.parametrize(("sizes", "weights"), MODELS)
def test_additive_tables_take_the_operations_of_their_closed_form(sizes, weights):
    arith = CountingArithmetic()
    additive_tables(weights, arith)
    assert arith.tally.flops == additive_tables_flops(weights.architecture)


@pytest.mark.parametrize("scale", ATTN_SCALES)
def test_the_scale_is_counted(scale):
    """attn_scale "1" saves products, and a rational a square root."""
    weights = build(random_tensors(SHAPES[0], 2), {"attn_scale": scale})
    arith = CountingArithmetic()
    additive_tables(weights, arith)
    assert arith.tally.flops == additive_tables_flops(weights.architecture)


@pytest.mark.parametrize(("sizes", "weights"), MODELS)
def test_hintless_rules_take_the_operations_of_their_closed_forms(sizes, weights):
    question = Question(sizes.task())
    assert cost_of("cubic", weights.architecture, question).flops == cubic_flops(weights.architecture)
    stated = position_minima_flops(weights.architecture, sizes.task())
    assert cost_of("position-minima", weights.architecture, question).flops == stated


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(("sizes", "weights"), MODELS[::2])
def test_exponential_moment_costs_what_is_counted(rival, position, sizes, weights):
    """Closed form = count for narrow, two-token and full bands."""
    for near in (1, 2, sizes.v):
        zeros = np.zeros((sizes.o - 1 if rival == "every" else 1, n_strata(sizes.v)), dtype=np.int64)
        options = {"rival": rival, "position": position, "near": near}
        hints = Hints(options, {"tilt_mantissa": zeros, "tilt_exponent": zeros})
        count = counted("exponential-moment", weights, Question(sizes.task()), hints)
        assert cost_of("exponential-moment", weights.architecture, Question(sizes.task()), hints).flops == count


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("biases", BIAS_SETS)
@pytest.mark.parametrize("norms", [(), NORMS[2:3], NORMS[2:], NORMS])
def test_brute_force_is_charged_for_final_biases_whether_or_not_they_differ(sizes, heads, biases, norms):
    """Tables as a run over this model makes them, if its final biases differ; never fewer."""
    weights = build(random_tensors(dataclasses.replace(sizes, h=heads), 2, biases=biases, norms=norms))
    arith = CountingArithmetic()
    path_tables(weights, arith, final_bias=has_final_bias(weights))
    stated = BruteForceRule().read(Hints(), weights.architecture, Question(sizes.task()))
    tables = stated.cost().flops - stated.uncounted().flops
    may = {"b_U", "ln_final_b"} & set(weights.architecture.biases) and weights.architecture.ln_final
    assert tables == arith.tally.flops if has_final_bias(weights) or not may else tables >= arith.tally.flops


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"sub-cubic", "band", "sparse-output", "key-frequency"}))
def test_costs_are_positive_and_grow_with_the_tokens(rule):
    """checker_ops exceed flops; every number is positive; more tokens cost more."""
    found = []
    for v in (5, 7, 11):
        sizes = Sizes(v, 13, 3, 2, 4)
        arch = build(random_tensors(sizes, 2)).architecture
        moments = blank_hints(arch, sizes.task(), {"rival": "centred", "position": "each", "near": 2})
        if rule == "exponential-moment":
            cost = cost_of(rule, arch, Question(sizes.task()), moments)
        elif rule == "explanation":
            said = dict.fromkeys(path_shapes(arch.shape), "diagonal")
            hints = Hints({**moments.options, **said, "by": "exponential-moment"}, moments.arrays)
            cost = cost_of(rule, arch, Question(sizes.task()), hints)
        elif rule == "grid-count":
            hints = GridCount(cells=16).hints(blank_weights(arch), Question(sizes.task()), no_progress)
            cost = cost_of(rule, arch, Question(sizes.task()), hints)
        elif rule in ("layer-cake", "layer-count"):
            question = Question(sizes.task(), quantity="loss")
            strategy = LayerCake("centred", levels=2) if rule == "layer-cake" else LayerCount(levels=2)
            hints = strategy.hints(blank_weights(arch), question, no_progress)
            cost = cost_of(rule, arch, question, hints)
        else:
            plain = {"exact": Hints({"nodes": v}), "comparisons": limits(Question(sizes.task()), None, None, scale=v)}
            cost = cost_of(rule, arch, Question(sizes.task()), plain.get(rule, Hints()))
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
        costs = [cost_of(rule, arch, question, hints) for question in (plain, weighed)]
        assert costs[1].flops - costs[0].flops == extra
        assert costs[1].checker_ops - costs[0].checker_ops > 8 * extra
    hints = ExponentialMoment("centred", "each", sizes.v).hints(blank_weights(arch), plain, no_progress)
    flops = [cost_of("exponential-moment", arch, question, hints).flops for question in (plain, weighed)]
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
        larger = dataclasses.replace(arch, shape=shape, n_ctx=k)
        if allowed:
            assert cost_of(BruteForceRule(), larger, Question(MaxOfK(2, 5)), Hints()).flops > v**k
        else:
            with pytest.raises(Rejected) as caught:
                cost_of(BruteForceRule(), larger, Question(MaxOfK(2, 5)), Hints())
            assert caught.value.reason == Reason.RESOURCES


def test_brute_force_refuses_astronomical_totals_in_words():
    """A number of sequences with more digits than Python prints is refused like any other."""
    arch = build(random_tensors(Sizes(5, 7, 3, 2, 4), 2)).architecture
    shape = dataclasses.replace(arch.shape, d_vocab=1024, d_vocab_out=1024, k=4096)
    with pytest.raises(Rejected):
        cost_of(BruteForceRule(), dataclasses.replace(arch, shape=shape), Question(MaxOfK(2, 5)), Hints())


def some_instance(rng):
    """A random question with random hints: rule, shape, task, options, and which strata have a grid."""
    k, v = int(rng.integers(2, 5)), int(rng.integers(3, 8))
    task = (MaxOfK if rng.random() < 0.7 else FirstOfK)(k, v)
    sizes = Sizes(v, v, int(rng.integers(2, 7)), int(rng.integers(1, 4)), k)
    biases = BIAS_SETS[rng.integers(len(BIAS_SETS))]
    norms = FINALS[rng.integers(len(FINALS))] if "b_U" not in biases else ()
    arch = build(random_tensors(sizes, 2, biases=biases, norms=norms)).architecture
    rule = str(rng.choice(["cubic", "position-minima", "exact", "exponential-moment", "grid-count", "brute-force"]))
    rule = "position-minima" if rule == "cubic" and not isinstance(task, MaxOfK) else rule
    hints = Hints({"nodes": int(rng.integers(0, 50))} if rule == "exact" else {})
    if rule in {"exponential-moment", "grid-count"}:
        near = int(rng.integers(1, v + 1)) if isinstance(task, MaxOfK) else v
        options = {"rival": str(rng.choice(RIVALS)), "position": str(rng.choice(POSITIONS)), "near": near}
        hints = blank_hints(arch, task, options)
        if rule == "grid-count":
            shape = hints.arrays["tilt_mantissa"].shape
            steps = {"step_mantissa": rng.integers(0, 3, shape), "step_exponent": rng.integers(-3, 3, shape)}
            hints = Hints({**options, "cells": int(rng.integers(1, 9)), "sides": 1}, {**hints.arrays, **steps})
        elif rng.random() < 0.5:
            hints = shortened(hints)
    kind = str(rng.choice(["uniform", *KINDS]))
    if kind == "uniform" or rule in {"cubic", "grid-count"} or hints.options.get("near", v) < v:
        return rule, arch, Question(task), hints
    return rule, arch, Question(task, some_distribution(kind, k, v, int(rng.integers(3)))), hints


def test_a_cost_that_is_known_is_the_cost_that_is_counted():
    """A thousand random pairs of question and hints, in random order, against a count of their own."""
    rng = np.random.default_rng(5)
    different, number = set(), examples(1000)
    for _ in range(number):
        rule, arch, question, hints = some_instance(rng)
        instance = RULES[rule].read(hints, arch, question)
        uncounted = instance.uncounted()
        fresh = counted_cost(arch, instance.run, uncounted)
        fresh = with_weights(fresh, question, decisions=uncounted.decisions, passes=uncounted.passes)
        assert instance.cost() == fresh, (rule, arch, question, hints)
        different.add((rule, instance.cost()))
    assert len(different) > number // 2


def test_a_cost_is_counted_once(monkeypatch):
    arch = build(random_tensors(Sizes(5, 7, 3, 2, 3), 2)).architecture
    before = cost_of("position-minima", arch, Question(MaxOfK(3, 5)))
    monkeypatch.setattr("pessimal.kernel.rules.interface.counted_cost", None)
    assert cost_of("position-minima", arch, Question(MaxOfK(3, 5))) == before


WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


@pytest.mark.survey
@pytest.mark.parametrize(
    ("stem", "rule", "options"),
    [
        ("max4_v64_seed50", "position-minima", {}),
        ("max4_v64_seed50", "exponential-moment", {"rival": "centred", "position": "each", "near": 64}),
        ("max4_v64_seed50", "exponential-moment", {"rival": "every", "position": "pessimal", "near": 9}),
        ("max10_v64_seed50", "cubic", {}),
        ("max20_v64_seed50", "exponential-moment", {"rival": "plain", "position": "each", "near": 5}),
        ("max4_v64_ln1_lnf_seed0", "exponential-moment", {"rival": "joint", "position": "each", "near": 20}),
    ],
)
def test_memory_is_within_a_factor_of_two_of_what_a_check_takes(stem, rule, options):
    weights = read_weights((WEIGHTS / f"{stem}.safetensors").read_bytes())
    shape = weights.architecture.shape
    question = Question(MaxOfK(shape.k, shape.d_vocab))
    hints = blank_hints(weights.architecture, question.task, options) if options else Hints()
    stated = cost_of(rule, weights.architecture, question, hints).bytes_needed
    strata_of.cache_clear()
    weighing_of.cache_clear()
    arith = Float64Arithmetic()
    tracemalloc.start()
    try:
        with arith.running():
            bound_in(rule, weights, question, hints, arith)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / 2 <= stated <= 2 * peak, (stated, peak)
