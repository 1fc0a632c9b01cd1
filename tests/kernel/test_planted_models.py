"""Planted models with larger vocabularies: no stratum is bounded below its wrong sequences, and bounds are near the truth.

Here gaps and classes, far tokens and far rivals decide what a rule certifies; tiny random models seldom have them. The
truth is enumerated (`enumeration.py`); comparisons are in integers and fractions, stratum by stratum.
"""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from pessimal.kernel.cost import n_strata
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.rules.published.sub_cubic.averaging import DROP, MEAN
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.spec import Weights
from pessimal.spec.question import Question
from pessimal.strategies import ExponentialMoment, GridCount, KeyFrequency
from pessimal.strategies.sub_cubic import PUBLISHED, pack_halfwords, published_name
from support.bounds import bound
from support.enumeration import all_sequences, right_sequences, wrong_by_stratum
from support.models import BIASES, Sizes, build, planted_tensors, random_tensors
from support.modular import ModularSizes, modular_weights
from support.oracle import RIGHT, verdicts
from support.planted import copying, marked_wave, parabola
from support.sampling import examples

ONE = 2**15
EXACT = "exact_EQKE+max_diff_exact"


def rising(v: int, slope: float, **exceptions: float) -> np.ndarray:
    """Scores that grow with the token, but for some."""
    scores = slope * np.arange(v)
    for name, value in exceptions.items():
        scores[int(name[1:])] = value
    return scores


def gains(v: int, *first: float) -> np.ndarray:
    """4 for every token but the first ones."""
    return np.concatenate([first, np.full(v - len(first), 4.0)])


def helping(v: int) -> np.ndarray:
    """The largest token lowers its own logit, and the others raise it, above their own."""
    table = np.diag(np.full(v, 2.0))
    table[: v - 1, v - 1], table[v - 1, v - 1] = 3.5, -0.95
    return table


COPY, (THREE, FOUR, LONG) = Sizes(11, 13, 17, 19, 3), (Sizes(7, 11, 13, 17, k) for k in (3, 4, 5))
WIDE, CURVE = Sizes(19, 31, 23, 29, 3), Sizes(13, 17, 5, 2, 3)
# What decides: the last position sees itself most; positions differ; large values of small tokens; a heavy far token;
# more of the target is worse.
PLANTED = {
    "a query near the target": (COPY, copying(COPY, rising(11, 1.0), np.array([0, 0, 3.0]), gains(11), noise=0.01)),
    "five positions": (LONG, copying(LONG, rising(7, 1.5), np.array([0, 1, 0.5, 2, 1]), gains(7), noise=0.01)),
    "large small tokens": (WIDE, copying(WIDE, rising(19, 0.5), np.array([0, 0, 2.0]), gains(19, 40, 40, 40), noise=0.01)),
    "a heavy token": (COPY, copying(COPY, rising(11, 2.0, t2=17.0), np.array([0, 1.0, 0]), gains(11), noise=0.01)),
    "a target that hurts": (FOUR, copying(FOUR, np.zeros(7), np.array([0, 1.5, 0.5, 1]), helping(7), noise=0.01)),
    "two targets that hurt": (THREE, copying(THREE, np.zeros(7), np.zeros(3), helping(7), noise=0.001)),
    "far rivals": (CURVE, parabola(CURVE, rising(13, 2.0), np.array([0, 0, 1.0]), 1.0, noise=1e-4)),
    "a heavy far token": (CURVE, parabola(CURVE, rising(13, 2.5, t0=25.0), np.zeros(3), 1.0, noise=1e-4)),
}  # fmt: skip


@cache
def planted(name: str) -> tuple[Weights, Counter[tuple[int, int]]]:
    """A model, and its wrong sequences by stratum."""
    weights = build(PLANTED[name][1])
    return weights, wrong_by_stratum(weights)


def share(name: str, rule: str, hints: Hints | None = None) -> float:
    """What a rule certifies of what is right, after comparison of every stratum."""
    (weights, wrong), task = planted(name), PLANTED[name][0].task()
    found = bound(rule, weights, task, "float64", hints)
    assert found.wrong_at_most == sum(found.strata.values())
    below = {at: count for at, count in wrong.items() if found.strata.get(at, 0) < count}
    assert not below, (name, rule, hints and hints.options, below)
    return float((task.total() - found.wrong_at_most) / (task.total() - wrong.total()))


@pytest.mark.parametrize("biases", [(), BIASES])
def test_the_enumeration_agrees_with_the_oracle(biases):
    """On tiny models, near ties and exact ones among them."""
    for sizes in (Sizes(5, 7, 11, 2, 3), Sizes(3, 5, 7, 2, 4), Sizes(5, 5, 7, 3, 2)):
        for seed, noise in ((0, 0.0), (1, 0.1), (2, 0.3)):
            tensors = planted_tensors(sizes, sharpness=2.0, noise=noise, seed=seed)
            tensors = random_tensors(sizes, seed, biases=biases, scale=0.3) | tensors
            tensors["W_U"][:, 1] = tensors["W_U"][:, 0] if seed == 1 else tensors["W_U"][:, 1]
            weights = build(tensors)
            expected, (tokens, right) = verdicts(weights), right_sequences(weights)
            assert [expected[tuple(t)] == RIGHT for t in tokens.tolist()] == right.tolist()
    assert all_sequences(3, 2).tolist()[:4] == [[0, 0], [0, 1], [0, 2], [1, 0]]


# Sub-cubic: gaps decide.


def gap_hints(name: str, seed: int) -> Hints:
    """A composition with its own directions, and gaps that are constant, all alike in a row, or anything."""
    rng = np.random.default_rng(seed)
    sizes, (weights, _) = PLANTED[name][0], planted(name)
    kinds = list(PUBLISHED.values())
    kind = kinds[int(rng.integers(len(kinds)))]
    points = 0 if kind.attention == DROP else int(rng.choice([1, 2, 3]))
    words = {"cross": str(rng.choice(["exact", "bounded"])), "gaps": str(rng.choice(["query", "target"]))}
    best = kind(points=points, **words).hints(weights, Question(sizes.task()), no_progress)
    shape = (sizes.k - 1, n_strata(sizes.v))
    gap = best.halfwords("gap", shape).copy()
    way = seed % 4
    if way == 1:
        gap[:] = rng.integers(0, sizes.v + 1)
    elif way == 2:
        gap = np.maximum(gap - rng.integers(0, 3, shape), 0)
    elif way == 3:
        gap = np.where(rng.random(shape) < 0.5, gap, rng.integers(0, sizes.v + 1, shape))
    arrays = {**best.arrays, "gap": pack_halfwords(gap)}
    if points > 1 and rng.random() < 0.5:
        rows = np.sort(
            np.stack([rng.choice(np.arange(ONE // 4, ONE, 99), points, replace=False) for _ in range(sizes.v)])
        )
        arrays["points"] = pack_halfwords(rows)
    return Hints({**best.options, "count": str(rng.choice(["fixed", "published"]))}, arrays)


@pytest.mark.parametrize("name", PLANTED)
def test_no_gap_certifies_a_query_or_a_token_that_is_too_near(name):
    """Every composition with searched and altered gaps: by stratum no more than is right."""
    for seed in range(examples(12)):
        assert share(name, "sub-cubic", gap_hints(name, seed)) <= 1


@pytest.mark.parametrize(("name", "least"), [
    ("a query near the target", 0.75), ("five positions", 0.5), ("large small tokens", 0.45), ("far rivals", 0.5),
])  # fmt: skip
def test_gaps_certify_much_of_what_is_right(name, least):
    """The tests above have something to lose."""
    weights, task = planted(name)[0], PLANTED[name][0].task()
    kind = PUBLISHED[published_name("max_diff_exact", MEAN, EXACT)]
    assert least < share(name, "sub-cubic", kind(points=2).hints(weights, Question(task), no_progress)) < 1


# Cubic and position minima: no hints.


@pytest.mark.parametrize(("name", "cubic", "minima"), [
    ("a query near the target", 0.9, 0.9), ("five positions", 0.6, 0.3), ("large small tokens", 0.9, 0.9),
    ("a heavy token", 0.9, 0.35), ("far rivals", 0.04, 0.99), ("a heavy far token", 0.04, 0.25),
    ("a target that hurts", 0.8, 0), ("two targets that hurt", 0.8, 0),
])  # fmt: skip
def test_rules_without_hints_are_near_the_truth_and_never_above(name, cubic, minima):
    assert cubic <= share(name, "cubic") <= 1
    assert minima <= share(name, "position-minima") <= 1


# Band: far tokens and far rivals decide.


def band_hints(name: str, seed: int) -> Hints:
    """Any options; the rank-one score that of the model, or off by a little."""
    rng = np.random.default_rng(seed)
    sizes, t = PLANTED[name]
    first = int(rng.integers(0, sizes.v)) if seed % 3 == 0 else int(rng.integers(0, 4))
    labels = rng.integers(0, int(rng.integers(1, sizes.k)), sizes.k - 1)
    left, size, right = np.linalg.svd(t["W_Q"][0].astype(float) @ t["W_K"][0].T.astype(float))
    spoilt = 1 + rng.choice([0.0, 0.01, 1.0]) * rng.normal(size=(2, sizes.m))
    return Hints(
        {
            "first": first, "near": int(rng.choice([1, 2, 3, 4, 5, sizes.v])), "cells": int(rng.choice([2, 8, 32])),
            "rivals_from": int(rng.integers(0, min(first, sizes.o - 2) + 1)),
            "rivals_below": int(rng.integers(0, 3)), "rivals_above": int(rng.integers(0, 3)),
            "position_scores": str(rng.choice(["exact", "rank-one"])), "rival": str(rng.choice(["centred", "joint"])),
        },
        {
            "classes": np.unique(labels, return_inverse=True)[1].astype(np.int64),
            "query_direction": left[:, 0] * size[0] * spoilt[0], "key_direction": right[0] * spoilt[1],
        },
    )  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_no_band_forgets_far_tokens_or_far_rivals(name):
    """Narrow bands with any options: by stratum no more than is right."""
    for seed in range(examples(12)):
        assert share(name, "band", band_hints(name, seed)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_no_hints_ever_certify_more_than_is_right(name):
    """Both rules, many more hints."""
    for seed in range(12, 72):
        assert share(name, "band", band_hints(name, seed)) <= 1
        assert share(name, "sub-cubic", gap_hints(name, seed)) <= 1


@pytest.mark.parametrize(("name", "near", "least"), [
    ("a query near the target", 2, 0.9), ("five positions", 3, 0.4), ("far rivals", 13, 0.99),
    ("a heavy far token", 13, 0.9), ("large small tokens", 19, 0.9),
])  # fmt: skip
def test_bands_certify_much_of_what_is_right(name, near, least):
    sizes = PLANTED[name][0]
    options = {"first": 0, "near": near, "cells": 64, "rivals_from": 0, "rivals_below": 0, "rivals_above": 0,
               "position_scores": "exact", "rival": "joint"}  # fmt: skip
    arrays = {"classes": np.zeros(sizes.k - 1, dtype=np.int64)}
    arrays |= {f"{side}_direction": np.zeros(sizes.m) for side in ("query", "key")}
    assert least < share(name, "band", Hints(options, arrays)) <= 1


# Exponential moments: far tokens by their worst.


@pytest.mark.parametrize("name", PLANTED)
def test_far_tokens_of_moments_are_bounded_by_their_worst(name):
    weights, sizes = planted(name)[0], PLANTED[name][0]
    for rival in RIVALS if name in ("a heavy token", "far rivals") else ("joint",):
        for position in POSITIONS:
            for near in (1, 3, sizes.v):
                hints = ExponentialMoment(rival, position, near).hints(weights, Question(sizes.task()), no_progress)
                assert share(name, "exponential-moment", hints) <= 1


@pytest.mark.parametrize("name", ["a query near the target", "a heavy token", "far rivals", "a heavy far token"])
def test_far_tokens_of_grids_are_bounded_by_their_worst(name):
    """The strategy looks at every token by itself; its steps are as good for fewer."""
    weights, sizes = planted(name)[0], PLANTED[name][0]
    for position in POSITIONS:
        best = GridCount("joint", position, cells=64).hints(weights, Question(sizes.task()), no_progress)
        for near in (1, 2, 4, sizes.v):
            assert share(name, "grid-count", Hints({**best.options, "near": near}, best.arrays)) <= 1
        assert share(name, "grid-count", best) > 0.3


# Key frequencies of a larger modulus: tokens that disturb the neurons decide.

MARKS = ({2: 0.1, 7: 0.3}, {2: 0.2, 7: 1.0}, {5: 0.5}, {3: 2.0})
NEURONS = 53
WAYS = {
    "neurons": {"columns": 0}, "bounded": {"columns": 3, "read_out": "bounded"},
    "profiles": {"columns": 0, "hidden": "profiles", "profiles": 13},
    "bounded profiles": {"columns": 3, "hidden": "profiles", "profiles": 13, "read_out": "bounded"},
    "moments": {"columns": 0, "hidden": "quadrature"}, "boxes": {"columns": 0, "hidden": "quadrature", "terms": 0},
}  # fmt: skip


@cache
def adder(p: int, number: int) -> tuple[Weights, Counter[tuple[int, int]]]:
    """A wave that adds, tokens that disturb it, and the wrong inputs by stratum."""
    weights = modular_weights(marked_wave(p, NEURONS, MARKS[number], noise=2e-4, seed=number))
    found = verdicts(weights, lambda tokens: sum(tokens) % p)
    return weights, Counter((t[-1], sum(t) % p) for t, one in found.items() if one != RIGHT)


def shares_of_adder(p: int, number: int, way: str) -> list[float]:
    """What is certified of what is right: with all, none, and some of the inputs looked at by themselves."""
    (weights, wrong), task, found = adder(p, number), ModularSizes(p, 8, 3, NEURONS).task(), []
    best = KeyFrequency(frequencies=1, **WAYS[way]).hints(weights, Question(task), no_progress)
    for fine in (np.arange(p), np.arange(0), np.array([1, 4])):
        arrays = {name: array for name, array in best.arrays.items() if name != "fine"}
        arrays |= {"fine": fine} if fine.size else {}
        value = bound("key-frequency", weights, task, "float64", Hints({**best.options, "fine": fine.size}, arrays))
        assert all(value.strata.get(at, 0) >= count for at, count in wrong.items()), (way, fine)
        found.append(float((p * p - value.wrong_at_most) / (p * p - wrong.total())))
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("p", [11, 13])
def test_key_frequencies_of_disturbed_adders_never_certify_a_wrong_input(p, way):
    """And many of the right ones, where the way of looking at neurons allows it."""
    shares = np.array([shares_of_adder(p, number, way) for number in range(len(MARKS))])
    least = {"neurons": 0.95, "bounded": 0.95, "profiles": 0.4, "bounded profiles": 0.4, "moments": 0.5, "boxes": 0.0}
    assert (shares[:, 0] >= shares[:, 1]).all()
    assert shares[:, 0].max() >= least[way]
