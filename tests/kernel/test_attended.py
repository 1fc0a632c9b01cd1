"""Softmax attention before an MLP: the count is the oracle's, over the inputs that occur; ties are wrong."""

import json
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pessimal as ps
from pessimal import api
from pessimal.analysis.accuracy import forward, sampled_accuracy
from pessimal.inputs import task_of
from pessimal.kernel.arithmetic import ARITHMETICS, CountingArithmetic, Float64Arithmetic
from pessimal.kernel.cost import matmul
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.attended import Attended, attended_flops, attended_tables
from pessimal.kernel.model.logits import Logits
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.proving import covering, within
from pessimal.spec import Uniform, Weights
from pessimal.spec.distribution import Product, usual_distribution
from pessimal.spec.question import Question
from pessimal.strategies import BruteForce
from support.bounds import bound, cost_of
from support.distributions import KINDS, chance, some_distribution
from support.models import ATTN_SCALES
from support.modular import (
    ALL_BIASES,
    ATTENDED,
    ATTENDED_SIZES,
    ModularSizes,
    attended_adder,
    modular_weights,
    random_modular,
)
from support.oracle import RIGHT, TIE, Equations, specified_logits, verdicts
from support.sampling import examples

ADDERS = {p: ModularSizes(p, 5, 1, 2, k=3, equals=True) for p in (2, 3, 5, 7, 11)}


def some_model(sizes: ModularSizes, seed: int, scale: float = 1.0, biases=ALL_BIASES) -> Weights:
    return modular_weights(random_modular(sizes, seed, scale=scale, biases=biases), ATTENDED)


def every_input(sizes: ModularSizes) -> np.ndarray:
    v = sizes.p + sizes.equals
    return np.stack(np.unravel_index(np.arange(v**sizes.k), [v] * sizes.k), axis=1)


def truth(weights: Weights, sizes: ModularSizes) -> dict:
    return verdicts(weights, lambda tokens: sum(tokens) % sizes.p)


def wrong_weights(weights: Weights, sizes: ModularSizes, distribution) -> tuple[Fraction, Fraction]:
    """Weight of the wrong inputs, ties among them, and of the ties."""
    total = distribution.total(sizes.task())
    found = [(verdict, total * chance(distribution, t)) for t, verdict in truth(weights, sizes).items()]
    wrong = sum((w for verdict, w in found if verdict != RIGHT), Fraction(0))
    return wrong, sum((w for verdict, w in found if verdict == TIE), Fraction(0))


def evenly(sizes: ModularSizes) -> Product:
    return Product(np.ones((1, sizes.p + sizes.equals), dtype=np.int64))


@settings(max_examples=examples(40))
@given(st.sampled_from(ATTENDED_SIZES), st.integers(0, 2**32 - 1), st.sampled_from(sorted(ARITHMETICS)),
       st.sampled_from([1e-30, 1e-3, 1.0, 4.0, 30.0]), st.sampled_from(["usual", "uniform", *KINDS]))  # fmt: skip
def test_brute_force_counts_exactly(sizes, seed, arithmetic, scale, kind):
    """Arbitrary weights, all biases, any distribution: the weight of the wrong inputs, ties counted as wrong."""
    weights, task = some_model(sizes, seed, scale), sizes.task()
    distribution = usual_distribution(task) if kind == "usual" else Uniform()
    if kind in KINDS:
        distribution = some_distribution(kind, task.k, task.d_vocab, seed)
    wrong, ties = wrong_weights(weights, sizes, evenly(sizes) if distribution == Uniform() else distribution)
    found = bound("brute-force", weights, task, arithmetic, Hints(), distribution=distribution)
    assert found.wrong_at_most == wrong == sum(found.strata.values())
    assert found.wrong_at_least == wrong - ties


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("p", [5, 7, 11])
def test_tables_without_the_tokens_that_never_stand_there_are_read_at_the_right_rows(p, arithmetic):
    """A hand-made adder, right everywhere, and tokens with gaps between them at every position: nothing is wrong."""
    sizes = ADDERS[p]
    weights = np.zeros((3, p + 1), dtype=np.int64)
    weights[0, 1:p:2], weights[1, [0, p - 1, p - 2]], weights[2, p] = 1, 2, 3
    model = modular_weights(attended_adder(p), ATTENDED)
    found = bound("brute-force", model, sizes.task(), arithmetic, Hints(), distribution=Product(weights))
    assert found.wrong_at_most == 0


@pytest.mark.parametrize("sizes", ATTENDED_SIZES)
def test_the_specification_is_the_equations(sizes):
    """logits() against the oracle's own forward pass on every sequence, and the float64 estimate against both."""
    weights = some_model(sizes, 3)
    model, tokens = Equations(weights, 200), every_input(sizes)
    for one, estimate in zip(tokens.tolist(), forward(weights, tokens), strict=True):
        exact = specified_logits(weights, one)
        assert all(a.overlaps(b) for a, b in zip(exact, model(one), strict=True))
        assert np.allclose(estimate, [float(x.mid()) for x in exact], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("scale", ATTN_SCALES)
@pytest.mark.parametrize("sizes", ATTENDED_SIZES)
def test_integer_logits_enclose_the_logits(sizes, scale, arithmetic):
    """n * 2**e <= logit <= m * 2**e, and within one part in 2**12 of the largest logit."""
    weights = modular_weights(random_modular(sizes, 5, biases=ALL_BIASES), ATTENDED | {"attn_scale": scale})
    arith, tokens = ARITHMETICS[arithmetic](), every_input(sizes)
    with arith.running():
        logits = Logits(attended_tables(weights, arith, [np.arange(sizes.p + sizes.equals)] * sizes.k))
        lo, hi = logits(tokens)
    unit = 2.0**logits.exponent
    exact = np.array([[float(x.mid()) for x in specified_logits(weights, one)] for one in tokens.tolist()])
    slack = 1e-12 * np.abs(exact).max()
    assert (lo * unit <= exact + slack).all()
    assert (exact - slack <= hi * unit).all()
    assert ((hi - lo) * unit).max() <= np.abs(exact).max() / 2**12


@pytest.mark.parametrize("p", sorted(ADDERS))
def test_a_hand_made_adder_is_right_everywhere(p):
    """The quadratic model behind "=", and noise that breaks some of it, counted exactly."""
    sizes = ADDERS[p]
    weights, usual = modular_weights(attended_adder(p), ATTENDED), usual_distribution(sizes.task())
    assert bound("brute-force", weights, sizes.task(), "float64", distribution=usual).wrong_at_most == 0
    if p < 7:
        noisy = modular_weights(attended_adder(p, 0.3, p), ATTENDED)
        found = bound("brute-force", noisy, sizes.task(), "float64", distribution=usual)
        assert found.wrong_at_most == wrong_weights(noisy, sizes, usual)[0]


@pytest.mark.parametrize("sizes", ATTENDED_SIZES[1:4])
def test_zero_weights_tie_everywhere(sizes):
    """All logits equal: nothing is right, and nothing is certainly wrong."""
    weights = modular_weights({n: np.zeros_like(a) for n, a in random_modular(sizes, 0).items()}, ATTENDED)
    found = bound("brute-force", weights, sizes.task(), "float64", distribution=usual_distribution(sizes.task()))
    assert (found.wrong_at_most, found.wrong_at_least) == (sizes.p**2, 0)


@pytest.mark.parametrize("sizes", ATTENDED_SIZES)
def test_the_fast_pass_leaves_nothing_open(sizes):
    """Nothing is passed on to Arb where logits are apart, whatever a query adds to all its scores."""
    tensors, arith, tokens = random_modular(sizes, 7, biases=ALL_BIASES), Float64Arithmetic(), every_input(sizes)
    tensors["W_E"][:, 0], tensors["W_pos"][:, 0], tensors["b_Q"][:, 0] = 1, 0, 100
    tensors["W_K"][:, 0, 0] = 100
    with arith.running():
        weights = modular_weights(tensors, ATTENDED)
        logits = Logits(attended_tables(weights, arith, [np.arange(sizes.p + sizes.equals)] * sizes.k))
        right, wrong = logits.verdicts(tokens, sizes.task().target(tokens))
    assert (right != wrong).all()


def test_overflow_decides_nothing():
    """Tables beyond float64 are left to the exact pass, which finds the same count."""
    sizes = ATTENDED_SIZES[0]
    tensors = {
        n: a.astype(np.float64) * (1 if n in {"W_Q", "W_K"} else 1e120) for n, a in random_modular(sizes, 1).items()
    }
    weights = modular_weights(tensors, ATTENDED)
    with Float64Arithmetic().running():
        logits = Logits(attended_tables(weights, Float64Arithmetic(), [np.arange(5)] * 2))
        assert not np.any(logits.verdicts(every_input(sizes), np.zeros(25, dtype=np.int64)))
    assert bound("brute-force", weights, sizes.task(), "float64").wrong_at_most == wrong_weights(
        weights, sizes, evenly(sizes))[0]  # fmt: skip


def test_a_lost_softmax_loses_its_own_inputs_only():
    """Scores far below the largest of their query leave no attention weight; the other inputs are still decided."""
    sizes = ATTENDED_SIZES[2]
    tensors = random_modular(sizes, 4)
    tensors["W_Q"], tensors["W_K"] = 40 * tensors["W_Q"], 40 * tensors["W_K"]
    weights, tokens, arith = modular_weights(tensors, ATTENDED), every_input(sizes), Float64Arithmetic()
    with arith.running():
        logits = Logits(attended_tables(weights, arith, [np.arange(4)] * 3))
        right, wrong = logits.verdicts(tokens, sizes.task().target(tokens))
        finite = np.isfinite(logits.source.sums(tokens)[1].hi).all(1)
    assert 0 < finite.sum() < len(tokens)
    assert ((right | wrong) == finite).all()
    verdict = truth(weights, sizes)
    assert right[finite].tolist() == [verdict[tuple(t)] == RIGHT for t in tokens[finite].tolist()]


def test_only_inputs_that_occur_are_evaluated(monkeypatch):
    """p**2 pairs with "=" behind them, each once; the cost is theirs."""
    sizes, seen = ATTENDED_SIZES[2], []
    sums = Attended.sums
    monkeypatch.setattr(Attended, "sums", lambda self, tokens: seen.extend(tokens.tolist()) or sums(self, tokens))
    weights, task = some_model(sizes, 0), sizes.task()
    bound("brute-force", weights, task, "float64", distribution=usual_distribution(task))
    assert sorted(seen) == [[a, b, 3] for a in range(3) for b in range(3)]
    rule, arch = RULES["brute-force"], weights.architecture
    few = cost_of(rule, arch, Question(task, usual_distribution(task)), Hints())
    assert few.flops < cost_of(rule, arch, Question(task), Hints()).flops / 2
    assert few.unexplained_dims == 9 * 3


# Shapes stand in for float64 ends, which a check of every call's types does not take.
@pytest.mark.survey
@pytest.mark.parametrize("sizes", ATTENDED_SIZES)
@pytest.mark.parametrize("biases", [(), ("b_in", "b_Q"), ALL_BIASES])
def test_the_cost_is_what_is_counted(sizes, biases):
    """Tables, sums over heads and positions, hidden layer, output, comparisons."""
    weights, task = some_model(sizes, 0, biases=biases), sizes.task()
    allowed = [usual_distribution(task).tokens(task, i) for i in range(task.k)]
    tokens = np.stack([here[np.arange(13) % here.size] for here in allowed], axis=1)
    arith = CountingArithmetic()
    tables = attended_tables(weights, arith, allowed)
    folding = arith.tally.flops
    vars(tables)["_ends"] = tables.weight, tables.value, tables.direct
    tables.sums(tokens)
    each = attended_flops(weights.architecture.shape)
    assert arith.tally.flops - folding == 13 * each
    n, f, o = np.prod([here.size for here in allowed]), sizes.f, sizes.p
    cost = cost_of("brute-force", weights.architecture, Question(task, usual_distribution(task)), Hints())
    weighing = 0 if usual_distribution(task) == Uniform() else 2 * n
    assert cost.flops == folding + n * (each + f + matmul(1, f, o) + o + o - 1) + weighing
    assert cost.checker_ops > cost.flops


def test_tables_are_added_up_where_that_is_cheapest():
    """The count of the module docstring: p = 113, three tokens, four heads of 32, 512 neurons."""
    shape = some_model(ModularSizes(113, 2, 32, 512, k=3, h=4, equals=True), 0).architecture.shape
    assert attended_flops(shape) == 4 * 8 + 2 * 4 * 3 * 625 == 15_032


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"brute-force"}))
def test_other_rules_refuse_an_mlp_behind_softmax_attention(rule):
    """In a sentence, before anything is computed."""
    sizes = ATTENDED_SIZES[0]
    with pytest.raises(Rejected, match=r"MLP|bounds") as caught:
        RULES[rule].require_covers(some_model(sizes, 0), Question(sizes.task()))
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL
    assert covering("causal-softmax-before-MLP") == ["brute-force"]


def test_layernorm_and_float32_executions_are_refused():
    """In a sentence that names the reason."""
    sizes, rule = ATTENDED_SIZES[0], RULES["brute-force"]
    normed = modular_weights(random_modular(sizes, 0) | {"ln1_w": np.ones(sizes.m, np.float32)}, ATTENDED)
    with pytest.raises(Rejected, match="LayerNorm"):
        rule.require_covers(normed, Question(sizes.task()))
    with pytest.raises(Rejected, match="rounding"):
        rule.require_covers(some_model(sizes, 0), Question(sizes.task(), semantics="float32"))


def altered(data: bytes, change) -> bytes:
    """A certificate whose header a function has changed, in canonical form."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    change(header)
    raw = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return struct.pack("<Q", len(raw)) + raw + data[8 + size :]


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
def test_a_certificate_speaks_about_the_inputs_that_occur(arithmetic):
    """Verified by both arithmetics; a claim of one more, another distribution or another task is rejected."""
    sizes = ADDERS[5]
    weights, task = modular_weights(attended_adder(5, 0.3, 5), ATTENDED), sizes.task()
    proof = api.prove(weights, task, BruteForce())
    right = 25 - wrong_weights(weights, sizes, usual_distribution(task))[0]
    assert (proof.claim.correct, proof.claim.total) == (right, 25)
    assert 0 < right < 25
    assert api.check(proof.data, weights, arithmetic=arithmetic).verified
    changes = {
        Reason.BOUND_TOO_LOW: lambda h: h["claim"].update(correct=str(proof.claim.correct + 1)),
        Reason.BAD_CLAIM: lambda h: h["claim"].update(total="36"),
        Reason.TASK_MISMATCH: lambda h: h["task"].update(name="modular-addition"),
    }
    for reason, change in changes.items():
        assert api.check(altered(proof.data, change), weights, arithmetic=arithmetic).reason == reason
    # The last eight weights are those of tokens of the last position: 4 occurs there instead of "=".
    body = proof.data[:-16] + proof.data[-8:] + proof.data[-16:-8]
    assert api.check(body, weights, arithmetic=arithmetic).reason == Reason.BOUND_TOO_LOW


def test_what_a_file_says_of_the_task_can_be_overruled(tmp_path):
    """Older files name modular-addition; the estimate, the default of a budget and the proof take the word given."""
    tensors = attended_adder(5)
    weights = modular_weights(tensors, ATTENDED | {"task": "modular-addition"})
    task, _ = task_of(weights, "modular-addition-equals")
    assert task == ADDERS[5].task()
    said = api.info(weights, task="modular-addition-equals", samples=100)
    assert (said["total"], said["distribution"], said["sampled_accuracy"]) == ("25", "product", 1.0)
    assert sampled_accuracy(modular_weights(attended_adder(5, 3.0), ATTENDED), task, 100) < 1
    assert within(weights, task, 10**6).claim.correct == 25
    rows = ps.frontier(weights, task, tmp_path, "adder", [2**20])
    assert [row["correct"] for row in rows] == ["25"]
