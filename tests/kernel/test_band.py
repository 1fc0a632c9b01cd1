"""The band proof: no hint certifies more sequences than are right, in either arithmetic; enumeration is the oracle.

Stratum by stratum too: in no (query, target) stratum does it count more right sequences than there are.
"""

import dataclasses
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS, Float64Arithmetic
from pessimal.kernel.counting.polynomials import Powers, low_sum, square, times
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.band.options import MAX_CELLS
from pessimal.kernel.strata.strata import strata_of
from pessimal.spec.question import Question
from support.bounds import bound, certified, cost_of, counted
from support.models import ATTN_SCALES, BIASES, PLANTABLE, Sizes, any_tensors, build, planted_tensors, random_tensors
from support.oracle import RIGHT, true_count, verdicts
from support.sampling import examples
from support.soundness import require_sound

RULE = RULES["band"]
DIRECTIONS = ("query_direction", "key_direction")


def band_hints(
    sizes: Sizes,
    *,
    first=0,
    near=3,
    cells=7,
    rivals_from=0,
    below=0,
    above=0,
    scores="exact",
    rival="centred",
    classes=None,
    seed=None,
) -> Hints:
    rng = np.random.default_rng(seed)
    directions = np.zeros((2, sizes.m)) if seed is None else rng.normal(size=(2, sizes.m)) * 4.0 ** rng.integers(-3, 4)
    return Hints(
        {
            "first": first,
            "near": near,
            "cells": cells,
            "rivals_from": rivals_from,
            "rivals_below": below,
            "rivals_above": above,
            "position_scores": scores,
            "rival": rival,
        },
        {
            "classes": np.zeros(sizes.k - 1, dtype=np.int64) if classes is None else np.asarray(classes),
            **dict(zip(DIRECTIONS, directions, strict=True)),
        },
    )


def any_hints(sizes: Sizes, seed: int) -> Hints:
    rng = np.random.default_rng(seed)
    first = int(rng.integers(0, sizes.v))
    labels = rng.integers(0, int(rng.integers(1, sizes.k)), sizes.k - 1)
    hints = band_hints(
        sizes,
        first=first,
        near=int(rng.integers(1, sizes.v + 1)),
        cells=int(rng.choice([1, 2, 3, 5, 16])),
        rivals_from=int(rng.integers(0, min(first, sizes.o - 2) + 1)),
        below=int(rng.integers(0, 3)) * int(rng.integers(0, 3)),
        above=int(rng.integers(0, 3)) * int(rng.integers(0, 3)),
        scores=str(rng.choice(["exact", "rank-one"])),
        rival=str(rng.choice(["centred", "joint"])),
        classes=np.unique(labels, return_inverse=True)[1].astype(np.int64),
        seed=seed,
    )
    return Hints({**hints.options, **any_additions(sizes, seed)}, hints.arrays)


def any_additions(sizes: Sizes, seed: int) -> dict[str, int | str]:
    """Options that a certificate need not have: each as often there as not."""
    rng = np.random.default_rng([seed, 1])
    step = {"common_step": int(rng.integers(0, sizes.k + 1))}
    added = [more for more in (step, {"far": str(rng.choice(["worst", "each"]))}) if rng.integers(0, 2)]
    return {name: value for more in added for name, value in more.items()}


@settings(max_examples=examples(60))
@given(any_tensors(), st.integers(0, 2**32 - 1), st.sampled_from(sorted(ARITHMETICS)))
def test_bound_never_exceeds_the_true_count(model, seed, arithmetic):
    """Arbitrary weights and hints: total - floor(wrong_at_most) <= #right."""
    sizes, tensors = model
    if sizes.k == 1:
        return
    advice = [any_hints(sizes, seed + i) for i in range(3)]
    require_sound(
        "band", build(tensors, {"attn_scale": ATTN_SCALES[seed % 3]}), Question(sizes.task()), arithmetic, advice
    )


def planted(sizes: Sizes, seed: int) -> dict[str, np.ndarray]:
    """Max models from nearly perfect to spoilt."""
    rng = np.random.default_rng(seed)
    return planted_tensors(
        sizes,
        sharpness=float(rng.uniform(1, 8)),
        gain=float(rng.uniform(0.5, 3)),
        noise=float(rng.choice([0.03, 0.1, 0.3])),
        seed=seed,
    )


BAND_SIZES = (
    Sizes(5, 7, 11, 2, 3),
    Sizes(3, 5, 7, 2, 4),
    Sizes(5, 5, 7, 3, 2),
    Sizes(2, 3, 5, 7, 6),
    Sizes(7, 11, 5, 3, 3),
)


def check_planted(seeds: range) -> tuple[int, int]:
    """How many bounds were looked at, and how many certify half of what is right."""
    looked, useful = 0, 0
    for seed in seeds:
        for sizes in BAND_SIZES:
            weights = build(planted(sizes, seed))
            truth = true_count(weights)
            for i in range(4):
                hints = any_hints(sizes, 1000 * seed + i)
                if i % 2:  # a wide band on a fine grid, otherwise as it comes
                    options = {"first": 0, "rivals_from": 0, "near": sizes.v, "cells": 32}
                    hints = Hints({**hints.options, **options}, hints.arrays)
                found = certified("band", weights, sizes.task(), "float64", hints)
                assert found <= truth, (sizes, seed, i)
                looked, useful = looked + 1, useful + (2 * found > truth)
    return looked, useful


@pytest.mark.survey
def test_bounds_on_planted_models_are_sound_and_have_power():
    """certified <= truth with arbitrary hints, and often more than half of it."""
    looked, useful = check_planted(range(12))
    assert 6 * useful >= looked


@pytest.mark.slow
def test_bounds_on_many_planted_models_are_sound():
    """The same, many more."""
    looked, useful = check_planted(range(100, 112))
    assert 6 * useful >= looked


@pytest.mark.parametrize("sizes", BAND_SIZES)
def test_every_stratum_is_sound(sizes):
    """Targets from `first` on, one more at a time: the certified difference is no more than is right in that stratum."""
    for seed in range(6):
        weights = build(planted(sizes, seed))
        found = verdicts(weights)
        hints = any_hints(sizes, seed)
        for first in range(sizes.v):
            right = sum(v == RIGHT for t, v in found.items() if max(t) >= first)
            options = {**hints.options, "first": first, "rivals_from": min(first, sizes.o - 2, seed % 3)}
            assert certified("band", weights, sizes.task(), "float64", Hints(options, hints.arrays)) <= right


@pytest.mark.parametrize("sizes", BAND_SIZES)
def test_bounds_by_stratum_are_sound_and_add_up(sizes):
    """Every (q, y) with q <= y has one, at least its wrong sequences and at most its size; given up where y < first."""
    for seed in range(6):
        weights, hints = build(planted(sizes, seed)), any_hints(sizes, seed)
        found = bound("band", weights, sizes.task(), "float64", hints)
        wrong = Counter((t[-1], max(t)) for t, one in verdicts(weights).items() if one != RIGHT)
        assert sum(found.strata.values()) == found.wrong_at_most
        assert set(found.strata) == {(q, y) for y in range(sizes.v) for q in range(y + 1)}
        for (q, y), at_most in found.strata.items():
            size = strata_of(sizes.task()).size(q, y)
            assert wrong[q, y] <= at_most <= size
            assert at_most == size or y >= hints.options["first"]


@pytest.mark.parametrize("sizes", BAND_SIZES)
@pytest.mark.parametrize("rival", ["centred", "joint"])
@pytest.mark.parametrize("scores", ["exact", "rank-one"])
def test_a_perfect_model_is_certified_nearly_entirely(sizes, rival, scores):
    """Tightness: with wide margins and every token near, under one sequence in a hundred is lost."""
    weights = build(planted_tensors(sizes, sharpness=4.0, gain=8.0))
    tensors = planted_tensors(sizes, sharpness=4.0, gain=8.0)
    hints = band_hints(sizes, near=sizes.v, cells=64, scores=scores, rival=rival)
    # The rank-one part of scores that are rank one.
    a = (tensors["W_Q"][0] @ tensors["W_K"][0].T).astype(np.float64)
    hints = Hints(
        hints.options, {**hints.arrays, "query_direction": a[:, 0].copy(), "key_direction": np.eye(sizes.m)[0]}
    )
    assert 100 * certified("band", weights, sizes.task(), "float64", hints) >= 99 * sizes.task().total()


def test_a_position_with_little_attention_costs_only_its_own_sequences():
    """Classes of their own, light positions last: nearly all that is right; in one class, or with one step, far less."""
    sizes = Sizes(5, 7, 11, 2, 5)
    tensors = planted_tensors(sizes, sharpness=3.0, gain=2.0)
    tensors["W_K"][0, 4, 0] = np.sqrt(sizes.d)
    tensors["W_pos"][:, 4] = [0, -7, 0, 0, 0]
    weights = build(tensors)
    truth = true_count(weights)

    def share(classes):
        hints = band_hints(sizes, near=sizes.v, cells=16, rival="joint", classes=classes)
        found = certified("band", weights, sizes.task(), "float64", hints)
        assert found <= truth
        return found / truth

    apart, last_first, together = share([0, 1, 0, 0]), share([1, 0, 1, 1]), share([0, 0, 0, 0])
    assert apart > 0.99 > last_first > together


@pytest.mark.parametrize("far", ["worst", "each"])
def test_one_grid_for_one_class_changes_nothing(far):
    """Bounds of all strata are those without the options, in the same number of operations."""
    sizes = BAND_SIZES[1]
    weights, task = build(planted(sizes, 4)), sizes.task()
    plain = band_hints(sizes, near=2, cells=9, below=1)
    plain = Hints({**plain.options, "far": far}, plain.arrays)
    without = bound("band", weights, task, "float64", plain).strata
    added = Hints({**plain.options, "common_step": 3}, plain.arrays)
    assert bound("band", weights, task, "float64", added).strata == without


def test_one_grid_for_all_holders_loses_little_and_costs_far_less():
    """Five positions by themselves: nine tenths of what five grids find, in fewer operations; each is sound."""
    sizes = Sizes(3, 5, 7, 2, 6)
    weights, task = build(planted_tensors(sizes, sharpness=3.0, gain=2.0, noise=0.02, seed=3)), sizes.task()
    truth, question = true_count(weights), Question(task)
    own = band_hints(sizes, near=3, cells=32, classes=np.arange(5))
    found = certified("band", weights, task, "float64", own)
    for step in range(6):
        shared = Hints({**own.options, "common_step": step}, own.arrays)
        value = certified("band", weights, task, "float64", shared)
        assert value <= truth
        assert 10 * value >= 9 * found > 0
        costs = [cost_of(RULE, weights.architecture, question, hints).flops for hints in (shared, own)]
        assert costs[0] < costs[1]


def test_far_tokens_by_themselves_certify_more_than_the_worst_of_all():
    """Least term, not least margin times greatest weight: planted models gain with three near tokens; all is sound."""
    sizes, found = Sizes(11, 13, 5, 3, 3), {"worst": 0, "each": 0}
    for seed in range(4):
        weights = build(planted_tensors(sizes, sharpness=2.0, gain=2.0, noise=0.03, seed=seed))
        truth = true_count(weights)
        for far in found:
            hints = band_hints(sizes, near=3, cells=32)
            value = certified(
                "band", weights, sizes.task(), "float64", Hints({**hints.options, "far": far}, hints.arrays)
            )
            assert value <= truth
            found[far] += value
    assert found["worst"] < found["each"]


def test_more_cells_never_certify_less_by_much():
    """A grid twice as fine loses at most its own rounding: bounds rise along 4, 8, .., 256 cells."""
    sizes = BAND_SIZES[0]
    weights = build(planted(sizes, 3))
    found = [
        certified("band", weights, sizes.task(), "float64", band_hints(sizes, near=sizes.v, cells=2**i))
        for i in range(2, 9)
    ]
    assert found[0] <= found[-1]
    assert max(found) - found[-1] <= 2


@pytest.mark.parametrize("biases", [(), ("b_Q",), ("b_V", "b_O"), BIASES])
@pytest.mark.parametrize("norms", [(), ("ln_final_w",)])
def test_biases_and_a_final_layernorm_are_covered(biases, norms):
    """Planted models with biases: sound and not vacuous; final biases under a final LayerNorm are refused."""
    sizes = BAND_SIZES[0]
    extra = random_tensors(sizes, 5, biases=biases, norms=norms, scale=0.1)
    tensors = planted_tensors(sizes, sharpness=4.0) | {n: extra[n] for n in (*biases, *norms)}
    if norms:
        tensors["ln_final_w"] = np.ones_like(tensors["ln_final_w"])
    weights = build(tensors)
    if norms and "b_U" in biases:
        with pytest.raises(Rejected) as caught:
            RULE.require_covers(weights, Question(sizes.task()))
        assert caught.value.reason == Reason.UNSUPPORTED_MODEL
        return
    truth = true_count(weights)
    values = [certified("band", weights, sizes.task(), "float64", band_hints(sizes, near=n, cells=32)) for n in (2, 5)]
    assert all(value <= truth for value in values)
    assert norms or 2 * values[1] > truth


@pytest.mark.parametrize(("arithmetic", "seed"), list(product(sorted(ARITHMETICS), range(4))))
def test_both_arithmetics_agree(arithmetic, seed):
    """A discrete decision may fall differently only on the edge of a cell."""
    sizes = BAND_SIZES[1]
    weights, hints = build(planted(sizes, seed)), any_hints(sizes, seed)
    value = certified("band", weights, sizes.task(), arithmetic, hints)
    assert value == certified("band", weights, sizes.task(), "float64", hints)


@pytest.mark.parametrize("sizes", [*BAND_SIZES, Sizes(11, 13, 5, 3, 4)])
def test_cost_is_what_is_counted(sizes):
    """cost() = the operations of the rule on this very model."""
    weights = build(random_tensors(sizes, 2, biases=("b_Q",)))
    for seed in range(5):
        hints, question = any_hints(sizes, seed), Question(sizes.task())
        cost = cost_of(RULE, weights.architecture, question, hints)
        assert cost.flops == counted(RULE, weights, question, hints)
        assert cost.checker_ops > cost.flops
        assert cost.bytes_needed > 0


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("first", -1), ("first", 5), ("first", "0"), ("near", 0), ("near", 6), ("cells", 0), ("cells", MAX_CELLS + 1),
        ("rivals_from", 1), ("rivals_from", -1), ("position_scores", "none"), ("rival", "plain"), ("more", 1),
        ("far", "none"), ("far", 1), ("common_step", -1), ("common_step", 4), ("common_step", "0"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_rejected(change, value):
    """Every option outside its range, and an unknown one: bad-hint."""
    sizes = BAND_SIZES[0]
    hints = band_hints(sizes)
    with pytest.raises(Rejected) as caught:
        certified(
            "band",
            build(planted(sizes, 0)),
            sizes.task(),
            "float64",
            Hints({**hints.options, change: value}, hints.arrays),
        )
    assert caught.value.reason == Reason.BAD_HINT


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("classes", np.array([0, 2])), ("classes", np.array([1, 1])), ("classes", np.array([-1, 0])),
        ("classes", np.array([0])), ("classes", np.array([0.0, 0.0])), ("query_direction", np.zeros(3)),
        ("query_direction", np.full(11, np.nan)), ("key_direction", np.full(11, np.inf)),
    ],
)  # fmt: skip
def test_arrays_out_of_form_are_rejected(name, array):
    """Classes with gaps, wrong shapes, NaN: bad-hint."""
    sizes = BAND_SIZES[0]
    hints = band_hints(sizes)
    with pytest.raises(Rejected) as caught:
        certified(
            "band",
            build(planted(sizes, 0)),
            sizes.task(),
            "float64",
            Hints(hints.options, {**hints.arrays, name: array}),
        )
    assert caught.value.reason == Reason.BAD_HINT


def test_enormous_directions_certify_no_more():
    """A rank-one part of 1e300 loses every bound that uses it, and nothing else."""
    sizes = BAND_SIZES[0]
    weights = build(planted(sizes, 1))
    truth = true_count(weights)
    for size in (1e150, 1e300):
        hints = band_hints(sizes, near=2, scores="rank-one", seed=1)
        huge = {name: np.sign(hints.arrays[name]) * size for name in DIRECTIONS}
        for rival in ("centred", "joint"):
            options = {**hints.options, "rival": rival}
            assert (
                certified("band", weights, sizes.task(), "float64", Hints(options, {**hints.arrays, **huge})) <= truth
            )


@pytest.mark.parametrize("sizes", [s for s in PLANTABLE if s.k > 1])
def test_zero_weights_certify_nothing(sizes):
    """Every logit ties."""
    weights = build({n: np.zeros_like(a) for n, a in random_tensors(sizes, 0).items()})
    for seed in range(4):
        assert certified("band", weights, sizes.task(), "float64", any_hints(sizes, seed)) == 0


def enclosed(array: np.ndarray):
    return Float64Arithmetic().integers(array).enclose()


@pytest.mark.parametrize("cells", [1, 2, 3, 7])
def test_polynomials_multiply_like_integers(cells):
    """times, square, powers and low sums against np.polymul on small integers, which float64 holds exactly."""
    rng = np.random.default_rng(cells)
    a, b = rng.integers(0, 9, (5, cells)), rng.integers(0, 9, (5, cells))
    arith = Float64Arithmetic()
    degree = rng.integers(-1, cells, 5)

    def exact(x, y):
        return np.stack([np.convolve(one, two)[:cells] for one, two in zip(x, y, strict=True)])

    def holds(value, truth):
        lo, hi = value.bounds()
        return bool((lo <= truth).all() and (truth <= hi).all() and (hi - lo < 1e-6 * (1 + truth)).all())

    with arith.running():
        assert holds(times(enclosed(a), enclosed(b), arith), exact(a, b))
        assert holds(square(enclosed(a), arith), exact(a, a))
        powers, truth = Powers(enclosed(a), arith), a
        for n in range(2, 8):
            truth = exact(truth, a)
            assert holds(powers[n], truth)
        low = np.array([row[: d + 1].sum() for row, d in zip(exact(a, b), degree, strict=True)])
        assert holds(low_sum(enclosed(a), enclosed(b), degree), low)
        low = np.array([row[: d + 1].sum() for row, d in zip(a, degree, strict=True)])
        assert holds(low_sum(enclosed(a), None, degree), low)


def test_other_tasks_and_two_heads_are_refused():
    """unsupported-model, in a sentence."""
    sizes = dataclasses.replace(BAND_SIZES[0], h=2)
    with pytest.raises(Rejected) as caught:
        RULE.require_covers(build(random_tensors(sizes, 0)), Question(sizes.task()))
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL
