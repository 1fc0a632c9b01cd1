"""Float32 semantics: no execution leaves the enclosures, no rule certifies a sequence that some execution gets wrong.

Executions (`float32.py`) add in any order, fuse or not, and move exp by as much as is assumed; enclosures are compared
with them in fractions, counts in integers. No tolerance anywhere.
"""

import json
import struct
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.certificate import canonical
from pessimal.kernel.check import check
from pessimal.kernel.counting.undecided import undecided_ops
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.heads import separable_heads
from pessimal.kernel.model.requirements import LONGEST
from pessimal.kernel.model.rounding import attention_error, gamma
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.proving import prove
from pessimal.spec import Question, Weights
from pessimal.spec.semantics import FLOAT32
from pessimal.spec.task import AbstractTask
from pessimal.strategies import BruteForce, Exact, ExponentialMoment, GridCount, PositionMinima
from support.bounds import bound, cost_of
from support.comparisons import covered, limits
from support.float32 import Adversary, Box, Execution, right_in_runs
from support.models import BIASES, SMALL, Sizes, any_tensors, build, planted_tensors, random_tensors, table_tensors
from support.oracle import sequences
from support.sampling import examples
from support.tasks import TASKS_ONCE

SCALES = (1e-30, 1e-6, 0.1, 1.0, 3.0, 50.0, 1e4)


def box_of(weights: Weights, arithmetic: str) -> Box:
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        return Box(*separable_heads(weights, arith, FLOAT32))


def require_inside(weights: Weights, box: Box, tokens: np.ndarray, logits: np.ndarray, pairs: int, seed: int) -> int:
    """Compare some logit differences of every sequence with the box; returns how many were not lost."""
    rng, n_out, seen = np.random.default_rng(seed), logits.shape[1], 0
    for row, found in zip(tokens.tolist(), logits, strict=True):
        for _ in range(pairs):
            y, o = (int(one) for one in rng.choice(n_out, 2, replace=False))
            ends = box.margin(row, y, o)
            if ends is None:
                continue
            seen += 1
            assert np.isfinite(found[[y, o]]).all()
            difference = Fraction(found[y]) - Fraction(found[o])
            assert ends[0] <= difference <= ends[1], (row, y, o)
    return seen


@settings(max_examples=examples(40))
@given(
    st.sampled_from(SMALL), st.integers(0, 2**32 - 1), st.sets(st.sampled_from(BIASES)),
    st.lists(st.sampled_from(SCALES), min_size=12, max_size=12), st.integers(1, 2), st.sampled_from(sorted(ARITHMETICS)),
)  # fmt: skip
def test_no_execution_leaves_the_enclosures(sizes, seed, biases, scales, heads, arithmetic):
    sizes = Sizes(sizes.v, sizes.o, sizes.m, sizes.d, sizes.k, heads)
    tensors = random_tensors(sizes, seed, biases=sorted(biases))
    tensors = {n: (a * np.float32(s)) for (n, a), s in zip(sorted(tensors.items()), scales, strict=False)}
    weights = build(tensors)
    box = box_of(weights, arithmetic)
    for run in range(3):
        execution = Execution(seed + run)
        tokens = execution.rng.integers(0, sizes.v, (2, sizes.k))
        require_inside(weights, box, tokens, execution.logits(weights, tokens), 3, seed)


@settings(max_examples=examples(40))
@given(any_tensors(), st.integers(0, 2**32 - 1))
def test_no_execution_of_hostile_weights_leaves_the_enclosures(drawn, seed):
    sizes, tensors = drawn
    weights = build({n: a.astype(np.float32) for n, a in tensors.items()})
    box, execution = box_of(weights, "float64"), Execution(seed)
    tokens = execution.rng.integers(0, sizes.v, (3, sizes.k))
    require_inside(weights, box, tokens, execution.logits(weights, tokens), 3, seed)


def climb(weights: Weights, tokens: np.ndarray, y: int, o: int, *, seed: int, steps: int, sign: int) -> np.ndarray:
    """Logits of the execution, among those tried, that moves logit_y - logit_o furthest in one direction."""
    rng = np.random.default_rng(seed)
    signs, order, best, kept = rng.choice([-1.0, 1.0], 97), seed, -np.inf, None
    for _ in range(steps):
        trial, trial_order = signs.copy(), order
        if rng.random() < 0.3:
            trial_order = int(rng.integers(2**32))
        flip = rng.integers(0, signs.size, rng.integers(1, 9))
        trial[flip] = -trial[flip]
        logits = Adversary(trial_order, trial).logits(weights, tokens)
        moved = sign * (logits[0, y] - logits[0, o])
        if moved >= best:
            best, kept, signs, order = moved, logits, trial, trial_order
    return kept


@pytest.mark.parametrize(("seed", "heads", "scale"), [(1, 1, 1.0), (2, 1, 3.0), (3, 2, 1.0), (4, 1, 0.1)])
def test_an_adversary_that_rounds_as_it_likes_stays_inside(seed, heads, scale):
    sizes = Sizes(5, 7, 11, 3, 4, heads)
    weights = build(random_tensors(sizes, seed, biases=BIASES, scale=scale))
    box, rng = box_of(weights, "float64"), np.random.default_rng(seed)
    for sign in (-1, 1):
        tokens = rng.integers(0, sizes.v, (1, sizes.k))
        logits = climb(weights, tokens, 2, 5, seed=seed, steps=60, sign=sign)
        low, high = box.margin(tokens[0].tolist(), 2, 5)
        assert low <= Fraction(logits[0, 2]) - Fraction(logits[0, 5]) <= high


def test_the_radii_are_not_idle():
    """An execution must differ from real arithmetic, or the tests above say nothing; and the radius is of its size."""
    sizes = Sizes(5, 7, 11, 3, 4)
    weights = build(random_tensors(sizes, 5, biases=BIASES))
    arith = ARITHMETICS["arb"]()
    with arith.running():
        real = Box(*separable_heads(weights, arith, "real"))
    box, tokens = box_of(weights, "arb"), np.array([[1, 2, 3, 4]])
    logits = climb(weights, tokens, 2, 5, seed=1, steps=60, sign=1)[0]
    low, high = real.margin([1, 2, 3, 4], 2, 5)
    moved, allowed = Fraction(logits[2]) - Fraction(logits[5]) - high, box.margin([1, 2, 3, 4], 2, 5)[1] - high
    assert high - low < allowed / 1000
    assert moved > 0
    assert allowed < 100 * moved


BIG = 512.0
SIGNS = (1, -1)
# Where large summands cancel: tensor, place, value. Channels 7 to 10 of the residual are empty otherwise.
TRAPS = {
    "W_Q": [("W_E", np.s_[:, 7:9], BIG), ("W_Q", np.s_[0, 7:9, 0], SIGNS), ("W_K", np.s_[0, 0, 0], 1)],
    "W_K": [("W_E", np.s_[:, 7:9], BIG), ("W_K", np.s_[0, 7:9, 0], SIGNS), ("W_Q", np.s_[0, 0, 0], 1)],
    "W_K of positions": [
        ("W_pos", np.s_[:, 7:9], BIG), ("W_K", np.s_[0, 7:9, 0], SIGNS), ("W_Q", np.s_[0, 0, 0], 1),
    ],
    "W_V": [("W_E", np.s_[:, 7:9], BIG), ("W_V", np.s_[0, 7:9, 0], SIGNS), ("W_Q", np.s_[0, 0, 0], 1)],
    "W_U": [("W_E", np.s_[:, 7:9], BIG), ("W_U", np.s_[7:9, 2], SIGNS), ("W_Q", np.s_[0, 0, 0], 1)],
    "scores": [("W_E", np.s_[:, 9], 16), ("W_Q", np.s_[0, 9, :2], 1), ("W_K", np.s_[0, 9, :2], SIGNS)],
    "pattern v": [("W_pos", np.s_[:, 7], (BIG, -BIG, BIG, -BIG)), ("W_V", np.s_[0, 7, 0], 1)],
    "W_O": [("W_pos", np.s_[:, 7], BIG), ("W_V", np.s_[0, 7, 1:], 1), ("W_O", np.s_[0, 1:, 1], SIGNS)],
    "late": [
        ("W_pos", np.s_[:, 7], BIG), ("W_V", np.s_[0, 7, 1], 1), ("W_O", np.s_[0, 1, 8:10], 1),
        ("W_U", np.s_[8:10, 2], SIGNS),
    ],
    "embed": [("W_E", np.s_[:, 7], BIG), ("W_pos", np.s_[:, 7], 1 - BIG), ("W_U", np.s_[7, 2], 1)],
    "biases": [("W_E", np.s_[:, 7], BIG), ("b_O", 7, BIG), ("W_U", np.s_[7, 2], 1), ("b_U", 2, -2 * BIG)],
}  # fmt: skip


def trap(name: str, heads: int) -> Weights:
    """A model in which large summands cancel in one place only, so that its errors are those of that place.

    A second head, if there is one, is zero.
    """
    sizes = Sizes(5, 7, 11, 3, 4)
    t = {n: a * np.float32(0.05) for n, a in random_tensors(sizes, 11).items()}
    for n in ("W_Q", "W_K", "W_V"):
        t[n][0, 7:] = 0
    t["W_U"][7:], t["W_E"][:, 7:], t["W_pos"][:, 7:], t["W_O"][0][:, 7:] = 0, 0, 0, 0
    t["W_V"][0, 0, 0] = t["W_O"][0, 0, 1] = t["W_U"][1, 2] = 1  # values move the margin of output 2
    t["W_E"][:, 0] = np.arange(5)
    if name == "biases":
        t |= {n: np.zeros(sizes.shape(n), dtype=np.float32) for n in ("b_O", "b_U")}
    for n, place, value in TRAPS[name]:
        t[n][place] = value
    if heads == 2:
        t |= {n: np.concatenate([t[n], 0 * t[n]]) for n in ("W_Q", "W_K", "W_V", "W_O")}
    return build(t)


@pytest.mark.parametrize(
    ("name", "heads"), [*((name, 1) for name in TRAPS), ("W_K", 2), ("W_K of positions", 2), ("W_V", 2)]
)
def test_errors_of_a_single_place_stay_inside_and_are_met(name, heads):
    """Cancellation in one place: the adversary reaches a fair part of the radius, and never leaves it."""
    weights, tokens = trap(name, heads), np.array([[4, 3, 2, 1]])
    box, arith = box_of(weights, "float64"), ARITHMETICS["arb"]()
    with arith.running():
        centre = Box(*separable_heads(weights, arith, "real")).margin([4, 3, 2, 1], 2, 5)[0]
    for sign in (-1, 1):
        logits = climb(weights, tokens, 2, 5, seed=1, steps=150, sign=sign)
        low, high = box.margin([4, 3, 2, 1], 2, 5)
        difference = Fraction(logits[0, 2]) - Fraction(logits[0, 5])
        assert low <= difference <= high
        assert 60 * abs(difference - centre) > min(high - centre, centre - low)


def test_gradual_underflow_is_covered():
    """Subnormal values carry few bits; large weights behind them make that visible, far above relative rounding."""
    weights = trap("W_V", 1)
    t = {n: a.copy() for n, a in weights.tensors.items()}
    t["W_pos"][:, 10] = np.float32([1.1e-30, 1.3e-30, 1.7e-30, 1.9e-30])
    t["W_V"][0, :, 2] = 0
    t["W_V"][0, 10, 2], t["W_O"][0, 2, 9], t["W_U"][9, 2] = 1.234e-13, 1e30, 1e20
    weights, tokens = build(t), np.array([[4, 3, 2, 1]])
    box, arith = box_of(weights, "float64"), ARITHMETICS["arb"]()
    with arith.running():
        low, high = Box(*separable_heads(weights, arith, "real")).margin([4, 3, 2, 1], 2, 5)
    ends, seen = box.margin([4, 3, 2, 1], 2, 5), Fraction(0)
    for seed in range(20):
        logits = Execution(seed).logits(weights, tokens)[0]
        difference = Fraction(logits[2]) - Fraction(logits[5])
        assert ends[0] <= difference <= ends[1]
        seen = max(seen, difference - high, low - difference)
    assert seen > gamma(100) * abs(high)


def test_flushed_attention_is_covered():
    """A weight of e**-50 and a shift of more than 37: exp may return zero, and a value of 1e30 disappears with it."""
    sizes = Sizes(5, 7, 11, 3, 4)
    t = {n: 0 * a for n, a in random_tensors(sizes, 1).items()}
    t["W_E"][:, 0], t["W_E"][1, 1], t["W_Q"][0, 0, 0], t["W_K"][0, 1, 0] = 1, 1, 1, -50 * np.sqrt(3)
    t["W_V"][0, 1, 1], t["W_O"][0, 1, 2], t["W_U"][2, 2] = 1, 1e15, 1e15
    weights, tokens = build(t), np.array([[1, 1, 1, 4]])
    ends = box_of(weights, "float64").margin([1, 1, 1, 4], 2, 5)
    found = {float(Execution(seed).logits(weights, tokens)[0, 2]) for seed in range(120)}
    assert min(found) == 0
    assert max(found) > 1e6
    assert all(ends[0] <= Fraction(one) <= ends[1] for one in found)


def always(weights: Weights, task: AbstractTask, runs: int, seed: int) -> tuple[int, int]:
    """How many sequences every execution gets right, and how many no execution gets wrong in the other sense."""
    tokens = np.array(list(sequences(task.d_vocab, task.k)))
    right, ever = right_in_runs(weights, tokens, task.target(tokens), range(seed, seed + runs))
    return int(right.sum()), int(ever.sum())


def hints_for(rule: str, weights: Weights, task: AbstractTask, rival: str, position: str) -> Hints:
    question = Question(task, semantics=FLOAT32)
    if rule == "comparisons":
        rng = np.random.default_rng(task.k)
        plain = limits(question, weights, rng, scale=1 << 30)
        return covered(question, weights, rng, free=True, every=True) if task.k > 2 else plain
    if rule == "exact":
        return Exact().hints(weights, question, lambda *_: None)
    if rule == "exponential-moment":
        return ExponentialMoment(rival, position, task.d_vocab).hints(weights, question, lambda *_: None)
    if rule == "grid-count":
        return GridCount(rival, position, cells=256, negligible=0.0).hints(weights, question, lambda *_: None)
    return Hints()


def require_sound(rule: str, weights: Weights, task: AbstractTask, arithmetic: str, hints: Hints, seed: int) -> int:
    """The certified number of sequences, after comparison with what executions get right."""
    found = bound(rule, weights, task, arithmetic, hints, semantics=FLOAT32)
    certified = task.total() - int(found.wrong_at_most)
    least, most = always(weights, task, 4, seed)
    assert certified <= least
    if found.wrong_at_least is not None:
        assert task.total() - found.wrong_at_least >= most
    return certified


COVERED = ("brute-force", "position-minima", "exact", "comparisons", "exponential-moment", "grid-count")


@pytest.mark.parametrize("rule", COVERED)
@settings(max_examples=examples(12))
@given(any_tensors(), st.sampled_from(RIVALS), st.sampled_from(POSITIONS), st.integers(0, 2**32 - 1))
def test_no_rule_certifies_what_some_execution_gets_wrong(rule, drawn, rival, position, seed):
    sizes, tensors = drawn
    weights = build({n: a.astype(np.float32) for n, a in tensors.items()})
    task = sizes.task()
    require_sound(rule, weights, task, "float64", hints_for(rule, weights, task, rival, position), seed)


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("rule", COVERED)
@pytest.mark.parametrize("tie", [0.0, 1e-7, 1e-6])
def test_near_ties_are_never_certified_against_an_execution(rule, arithmetic, tie):
    """Two outputs whose logits differ by rounding errors: real arithmetic may decide, executions do not."""
    sizes = Sizes(3, 5, 7, 2, 4)
    tensors = planted_tensors(sizes, sharpness=8.0, gain=1.0, noise=0.02, seed=3)
    noise = tie * np.random.default_rng(4).normal(size=7)
    tensors["W_U"][:, 4] = (tensors["W_U"][:, 2] * (1 + noise)).astype(np.float32)
    weights, task = build(tensors), sizes.task()
    require_sound(rule, weights, task, arithmetic, hints_for(rule, weights, task, "every", "each"), 9)


def cancelling() -> Weights:
    """A good model whose logits share a large summand."""
    sizes = Sizes(3, 5, 7, 2, 4)
    tensors = planted_tensors(sizes, sharpness=20.0, gain=4.0, noise=0.01, seed=7)
    for name in ("W_Q", "W_K", "W_V"):
        tensors[name][:, 6] = 0
    tensors["W_pos"][:, 6], tensors["W_O"][:, :, 6] = 0, 0
    tensors["W_E"][:, 6], tensors["W_U"][6] = 4096.0, 30000.0
    return build(tensors)


@pytest.mark.parametrize("rule", COVERED)
def test_cancellation_makes_real_claims_false_for_executions(rule):
    """Logits share a large summand: right in real arithmetic, lost in float32, and the certified count knows."""
    weights, task = cancelling(), Sizes(3, 5, 7, 2, 4).task()
    hints = hints_for(rule, weights, task, "every", "each")
    real = task.total() - int(bound(rule, weights, task, "float64", hints).wrong_at_most)
    certified = require_sound(rule, weights, task, "float64", hints, 1)
    assert certified < real
    assert always(weights, task, 6, 1)[0] < real


def test_a_certificate_carries_its_semantics_and_cannot_be_relabelled():
    """The same hints under the other name are checked by the other theorem."""
    weights, task = cancelling(), Sizes(3, 5, 7, 2, 4).task()
    real = prove(weights, task, Exact())
    (verdict, line) = (check(real.data, weights), check(real.data, weights).line())
    assert verdict.verified
    assert " semantics=real " in line
    forged = decode_header(real.data) | {"semantics": FLOAT32}
    raw = canonical(forged)
    assert check(struct.pack("<Q", len(raw)) + raw, weights).reason is Reason.BOUND_TOO_LOW
    good = build(planted_tensors(Sizes(3, 5, 7, 2, 4), sharpness=20.0, gain=4.0, noise=0.01, seed=7))
    for strategy in (BruteForce(), Exact(), PositionMinima(), ExponentialMoment(), GridCount(cells=64)):
        proof = prove(good, task, strategy, semantics=FLOAT32)
        for arithmetic in sorted(ARITHMETICS):
            verdict = check(proof.data, good, arithmetic=arithmetic)
            assert verdict.verified, verdict.detail
            assert verdict.claim.semantics == FLOAT32
            assert " semantics=float32 " in verdict.line()


def decode_header(data: bytes) -> dict:
    (length,) = struct.unpack("<Q", data[:8])
    assert len(data) == 8 + length
    return json.loads(data[8:])


def test_unknown_semantics_are_refused():
    weights, task = cancelling(), Sizes(3, 5, 7, 2, 4).task()
    with pytest.raises(ValueError, match="float16"):
        prove(weights, task, Exact(), semantics="float16")


@pytest.mark.parametrize("rule", COVERED)
def test_good_models_lose_little(rule):
    sizes = Sizes(3, 5, 7, 2, 4)
    weights, task = build(planted_tensors(sizes, sharpness=20.0, gain=4.0, noise=0.01, seed=7)), sizes.task()
    hints = hints_for(rule, weights, task, "every", "each")
    assert require_sound(rule, weights, task, "float64", hints, 1) >= 0.9 * task.total()


def test_a_single_position_and_a_single_output():
    """Attention of one position is one, rounding included; a single output has no rival."""
    alone = Sizes(3, 7, 5, 2, 1)
    weights = build(planted_tensors(alone, noise=0.01))
    assert require_sound("brute-force", weights, alone.task(), "float64", Hints(), 1) == 3
    single = Sizes(1, 1, 5, 2, 3)
    weights = build(random_tensors(single, 1))
    assert require_sound("brute-force", weights, single.task(), "float64", Hints(), 1) == 1


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("task", TASKS_ONCE, ids=lambda task: task.name)
def test_every_task_and_several_heads(task, heads):
    weights = build(table_tensors(task, 3, heads=heads))
    for rule in ("brute-force", "exponential-moment", "grid-count"):
        require_sound(rule, weights, task, "float64", hints_for(rule, weights, task, "every", "each"), 5)


def test_a_query_that_may_overflow_is_given_up():
    sizes = Sizes(3, 5, 7, 2, 3)
    tensors = planted_tensors(sizes, sharpness=20.0, gain=4.0)
    tensors["W_E"][2, 5] = 2e38
    tensors["W_pos"][2, 5] = 2e38
    weights, task = build(tensors), sizes.task()
    box = box_of(weights, "float64")
    assert box.margin([0, 0, 2], 0, 1) is None
    assert int(bound("exact", weights, task, "float64", Hints({"nodes": 10**6}), semantics=FLOAT32).wrong_at_most) >= 9


def refusal(rule: str, weights: Weights, task: AbstractTask) -> str:
    with pytest.raises(Rejected) as caught:
        RULES[rule].require_covers(weights, Question(task, semantics=FLOAT32))
    assert caught.value.reason is Reason.UNSUPPORTED_MODEL
    return caught.value.detail


def test_refusals_are_one_sentence():
    sizes = Sizes(3, 5, 7, 2, 3)
    plain = planted_tensors(sizes)
    for rule in ("cubic", "sub-cubic", "band"):
        assert "real arithmetic" in refusal(rule, build(plain), sizes.task())
    for rule in COVERED:
        double = {n: a.astype(np.float64) for n, a in plain.items()}
        assert "float64" in refusal(rule, build(double), sizes.task())
        for norm in ("ln1_w", "ln_final_w"):
            assert "LayerNorm" in refusal(rule, build(plain | random_tensors(sizes, 1, norms=(norm,))), sizes.task())
        for scale in ("1/8", "1e-60"):
            assert "attn_scale" in refusal(rule, build(plain, {"attn_scale": scale}), sizes.task())
        wide = {n: np.zeros(Sizes(3, 5, LONGEST + 1, 2, 3).shape(n), dtype=np.float32) for n in plain}
        assert "sums of at most" in refusal(rule, build(wide), sizes.task())


@pytest.mark.parametrize("rule", COVERED)
@pytest.mark.parametrize("heads", [1, 2])
def test_float32_lengthens_a_proof(rule, heads):
    """The stated length grows by at least what the radii cost when they are run over shapes."""
    sizes = Sizes(3, 5, 7, 2, 3, heads)
    weights, task = build(random_tensors(sizes, 1, biases=BIASES)), sizes.task()
    assume_covered = heads == 1 or rule not in ("exact", "comparisons", "position-minima")
    if not assume_covered:
        assert "one head" in refusal(rule, weights, task)
        return
    hints = hints_for(rule, weights, task, "every", "each")
    real, float32 = (cost_of(rule, weights.architecture, Question(task, semantics=s), hints) for s in ("real", FLOAT32))
    assert float32.flops > real.flops
    # Exact decisions are charged in real arithmetic only: there are none of an execution.
    exactly = undecided_ops(weights.architecture.shape, Question(task), task.total())
    assert float32.checker_ops > real.checker_ops - (exactly if rule in {"brute-force", "comparisons", "exact"} else 0)


def test_constants_bound_what_they_stand_for():
    """Kappa and tau against the quantities of the derivation, in exact fractions."""
    u, e = Fraction(1, 2**24), Fraction(32, 2**23)
    for k in (2, 4, 100, 4096):
        kappa, tau = attention_error(k)
        top, bottom = (1 + e) * (1 + u) ** 2, (1 - e) * (1 - u) ** 2
        assert 1 + kappa >= top  # e**kappa >= 1 + kappa
        assert (1 - kappa + kappa**2 / 2) <= bottom  # e**-kappa <= 1 - kappa + kappa**2 / 2
        flushed = Fraction(k, 2**32)
        assert top / ((1 - e) * (1 - gamma(k)) - flushed) <= 1 + tau
        assert bottom / ((1 + e) * (1 + gamma(k)) + flushed) >= 1 - tau
    for n in (1, 30, 200):
        assert (1 + u) ** n - 1 <= gamma(n)
        assert 1 - (1 - u) ** n <= gamma(n)


def test_products_of_signs_cover_every_corner():
    """`Box.margin` takes the extremes of a weighted mean at corners of the weights: compare with points inside."""
    weights = build(random_tensors(Sizes(3, 5, 7, 2, 3), 2))
    box, rng = box_of(weights, "float64"), np.random.default_rng(1)
    low, high = box.margin([0, 1, 2], 1, 3)
    w_lo, w_hi = (part[range(3), [0, 1, 2]] for part in box.heads[0].weight(2).bounds())
    v_lo, v_hi = (part[range(3), [0, 1, 2]] for part in box.heads[0].value.bounds())
    d_lo, d_hi = box.direct[2].bounds()
    for ends in product((0.0, 1.0), repeat=3):
        w = w_lo + np.array(ends) * (w_hi - w_lo)
        v, d = v_lo + rng.random(v_lo.shape) * (v_hi - v_lo), d_lo + rng.random(d_lo.shape) * (d_hi - d_lo)
        total = sum(Fraction(a) for a in w)
        mean = sum(Fraction(a) * (Fraction(r[1]) - Fraction(r[3])) for a, r in zip(w, v, strict=True)) / total
        assert low <= mean + Fraction(d[1]) - Fraction(d[3]) <= high
