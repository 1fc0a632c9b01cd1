"""Enumeration of models with uniform attention and an MLP: the count is the count of the oracle, ties are wrong."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.analysis.accuracy import forward
from pessimal.kernel.arithmetic import ARITHMETICS, CountingArithmetic, Float64Arithmetic
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.folded import folded_tables
from pessimal.kernel.model.logits import Logits, fixed_point
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.proving import within
from pessimal.spec.question import Question
from pessimal.spec.weight_file import WeightsError
from support.bounds import bound, certified
from support.closed_forms import folded_flops
from support.modular import (
    MODULAR,
    MODULAR_SIZES,
    UNIFORM,
    ModularSizes,
    modular_weights,
    quadratic_modular,
    random_modular,
)
from support.oracle import RIGHT, TIE, Equations, specified_logits, verdicts
from support.sampling import examples


def truth(weights, sizes: ModularSizes) -> dict:
    return verdicts(weights, lambda tokens: sum(tokens) % sizes.p)


@settings(max_examples=examples(60))
@given(st.sampled_from(MODULAR_SIZES), st.integers(0, 2**32 - 1), st.sampled_from(sorted(ARITHMETICS)),
       st.sampled_from([1e-30, 1e-3, 1.0, 1e4, 1e9]))  # fmt: skip
def test_brute_force_counts_exactly(sizes, seed, arithmetic, scale):
    """Arbitrary weights of any magnitude: wrong <= bound, and equal without ties, which count as wrong."""
    weights = modular_weights(random_modular(sizes, seed, scale=scale))
    found, right = bound("brute-force", weights, sizes.task(), arithmetic, Hints()), truth(weights, sizes)
    wrong = sum(one != RIGHT for one in right.values())
    ties = sum(one == TIE for one in right.values())
    assert found.wrong_at_most == wrong
    assert wrong - ties <= found.wrong_at_least + ties
    assert found.wrong_at_least <= wrong


@pytest.mark.parametrize("sizes", MODULAR_SIZES)
def test_the_specification_is_the_equations(sizes):
    """logits() against the oracle's own forward pass on every sequence."""
    weights = modular_weights(random_modular(sizes, 3))
    model = Equations(weights, 200)
    for tokens in truth(weights, sizes):
        for one, two in zip(specified_logits(weights, tokens), model(tokens), strict=True):
            assert one.overlaps(two)


@pytest.mark.parametrize("sizes", MODULAR_SIZES)
def test_integer_logits_enclose_the_logits(sizes):
    """n * 2**e <= logit <= m * 2**e, and within one part in 2**16 of the largest logit."""
    weights = modular_weights(random_modular(sizes, 5))
    arith = Float64Arithmetic()
    with arith.running():
        logits = Logits(folded_tables(weights, arith))
    tokens = list(truth(weights, sizes))
    lo, hi = logits(np.array(tokens))
    unit = 2.0**logits.exponent
    exact = np.array([[float(x.mid()) for x in specified_logits(weights, one)] for one in tokens])
    slack = 1e-12 * np.abs(exact).max()
    assert (lo * unit <= exact + slack).all()
    assert (exact - slack <= hi * unit).all()
    assert ((hi - lo) * unit).max() <= np.abs(exact).max() / 2**12


@pytest.mark.parametrize("p", [2, 3, 5, 7, 11])
def test_a_hand_made_adder_is_right_everywhere(p):
    """The quadratic model by the specification, and noise that breaks some of it, counted exactly."""
    sizes = ModularSizes(p, 4, 1, 2)
    weights = modular_weights(quadratic_modular(p))
    assert certified("brute-force", weights, sizes.task(), "float64") == p * p
    for seed in range(3):
        noisy = modular_weights(quadratic_modular(p, 0.1, seed))
        right = sum(one == RIGHT for one in truth(noisy, sizes).values())
        assert certified("brute-force", noisy, sizes.task(), "float64") == right


def test_zero_weights_tie_everywhere():
    """All logits equal: nothing is right, and nothing is certainly wrong."""
    sizes = MODULAR["plain"]
    weights = modular_weights({n: np.zeros_like(a) for n, a in random_modular(sizes, 0).items()})
    found = bound("brute-force", weights, sizes.task(), "float64", Hints())
    assert found.wrong_at_most == sizes.p**2


def test_overflow_decides_nothing():
    """Tables beyond float64 are left to the exact pass, which finds the same count."""
    sizes = MODULAR["plain"]
    tensors = {n: a.astype(np.float64) * 1e100 for n, a in random_modular(sizes, 1).items()}
    weights = modular_weights(tensors)
    right = sum(one == RIGHT for one in truth(weights, sizes).values())
    assert certified("brute-force", weights, sizes.task(), "float64") == right


def test_fixed_point_rounds_outward_through_underflow():
    """Entries that a power of two pushes below the smallest number keep their sign."""
    lo, hi = fixed_point(np.array([-1e-310, 1e-310, -2.5, 0.0]), np.array([-1e-310, 1e-310, 2.5, 0.0]), 1000)
    assert lo.tolist() == [-1, 0, -1, 0]
    assert hi.tolist() == [0, 1, 1, 0]
    lo, hi = fixed_point(np.array([-2.5, 2.5]), np.array([-2.5, 2.5]), 0)
    assert lo.tolist() == [-3, 2]
    assert hi.tolist() == [-2, 3]


@pytest.mark.parametrize("sizes", MODULAR_SIZES)
@pytest.mark.parametrize("biases", [(), ("b_in",), ("b_V", "b_O"), ("b_out", "b_U")])
def test_the_tables_take_the_operations_of_their_closed_form(sizes, biases):
    biases = [b for b in biases if sizes.f or b not in {"b_in", "b_out"}]
    weights = modular_weights(random_modular(sizes, 0, biases=biases))
    arith = CountingArithmetic()
    folded_tables(weights, arith)
    assert arith.tally.flops == folded_flops(weights.architecture)


@pytest.mark.parametrize("rule", sorted(name for name, rule in RULES.items() if "uniform" not in rule.attention))
def test_other_rules_refuse_uniform_attention(rule):
    """In a sentence, before anything is computed."""
    sizes = MODULAR["plain"]
    with pytest.raises(Rejected, match=r"attention|bounds") as caught:
        RULES[rule].require_covers(modular_weights(random_modular(sizes, 0)), Question(sizes.task()))
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"act_fn": "gelu"}, "act_fn 'gelu'"),
        ({"attention": "linear"}, "attention 'linear'"),
    ],
)
def test_unknown_words_are_refused(change, message):
    """Another activation, another attention."""
    with pytest.raises(WeightsError, match=message):
        modular_weights(random_modular(MODULAR["plain"], 0), {**UNIFORM, **change})


@pytest.mark.parametrize("name", ["W_in", "W_out"])
def test_half_an_mlp_is_refused(name):
    """The missing tensor is named."""
    tensors = random_modular(MODULAR["plain"], 0)
    del tensors[name]
    with pytest.raises(WeightsError, match=name):
        modular_weights(tensors)


def test_attention_and_mlp_are_part_of_the_digest():
    """The same tensors with another attention are another model; a model without an MLP has no word of it."""
    tensors = random_modular(MODULAR["no-mlp"], 0)
    one, two = modular_weights(tensors), modular_weights(tensors, {"attention": "causal-softmax"})
    assert one.sha256 != two.sha256
    assert "d_mlp" not in two.architecture.record()
    assert modular_weights(random_modular(MODULAR["plain"], 0)).architecture.record()["d_mlp"] == 11


def test_layernorm_with_uniform_attention_is_refused():
    """require_folded names the tensor."""
    sizes = dataclasses.replace(MODULAR["plain"])
    tensors = random_modular(sizes, 0) | {"ln1_w": np.ones(sizes.m, np.float32)}
    with pytest.raises(Rejected, match="ln1_w"):
        RULES["brute-force"].require_covers(modular_weights(tensors), Question(sizes.task()))


def test_float32_executions_are_refused():
    """In a sentence that names the reason."""
    question = Question(MODULAR["plain"].task(), semantics="float32")
    for name in ("brute-force", "sparse-output"):
        with pytest.raises(Rejected, match="rounding"):
            RULES[name].require_covers(modular_weights(random_modular(MODULAR["plain"], 0)), question)


@pytest.mark.parametrize("sizes", MODULAR_SIZES)
def test_the_estimate_runs_the_same_model(sizes):
    """The float64 forward pass of the estimate against the specification."""
    weights = modular_weights(random_modular(sizes, 2))
    tokens = list(truth(weights, sizes))
    for one, row in zip(tokens, forward(weights, np.array(tokens)), strict=True):
        assert np.allclose(row, [float(x.mid()) for x in specified_logits(weights, one)], rtol=1e-9, atol=1e-9)


def test_a_budget_without_a_strategy_finds_a_proof():
    """The planted adder, by the best strategy that fits."""
    weights = modular_weights(quadratic_modular(5))
    proof = within(weights, ModularSizes(5, 4, 1, 2).task(), 10**6)
    assert proof.claim.correct == 25
    with pytest.raises(Rejected, match="flops"):
        within(weights, ModularSizes(5, 4, 1, 2).task(), 10)
