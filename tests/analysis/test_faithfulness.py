"""Ablations and estimates: against the model itself, enumeration, and exact tails."""

from itertools import product
from math import comb

import numpy as np
import pytest

from pessimal.analysis.ablations import PATHS, ablation_table
from pessimal.analysis.faithfulness import (
    _right,
    _stratum,
    accuracies,
    clopper_pearson,
    model_parts,
    stratified_estimate,
)
from pessimal.search.sub_cubic import Workbench
from support.models import BIASES, Sizes, build, random_tensors
from support.oracle import true_count

SIZES = Sizes(5, 7, 11, 3, 3)


def parts(seed: int, **options):
    weights = build(random_tensors(SIZES, seed, **options))
    return weights, model_parts(Workbench(weights))


@pytest.mark.parametrize("biases", [(), BIASES])
def test_nothing_ablated_is_the_model(biases):
    """Counting over every sequence gives the enumerated number of right ones."""
    weights, p = parts(3, biases=biases)
    tokens = np.array(list(product(range(5), repeat=3)))
    every = np.broadcast_to(np.arange(3), tokens.shape)
    assert int(_right(p, tokens, tokens[:, -1], every, None).sum()) == true_count(weights)


def test_ablating_what_is_zero_changes_nothing():
    _, p = parts(1)
    zero = type(p)(p.rank_one, 0 * p.rest, 0 * p.position_score, p.value, 0 * p.position_value, 0 * p.direct)
    found = accuracies(zero, 2000)
    assert found["model"] == found["mean ablation"] == found["resample ablation"]


@pytest.mark.parametrize(("q", "y"), [(0, 1), (2, 2), (1, 3), (0, 4), (4, 4)])
def test_strata_are_sampled_uniformly(q, y):
    """Every sequence of the stratum comes up, none else, about equally often."""
    rng = np.random.default_rng(0)
    tokens = _stratum(rng, 3, q, y, 40_000)
    members = [t for t in product(range(5), repeat=3) if t[-1] == q and max(t) == y]
    found, times = np.unique(tokens, axis=0, return_counts=True)
    assert sorted(map(tuple, found.tolist())) == sorted(members)
    assert abs(times / (40_000 / len(members)) - 1).max() < 0.15


def test_the_stratified_estimate_covers_the_truth():
    weights, p = parts(8)
    share, half = stratified_estimate(p, 400)
    assert abs(share - true_count(weights) / 125) <= 2 * half
    assert half < 0.01


def test_the_interval_has_the_stated_tails():
    """P(X >= s) = P(X <= s) = 2.5% at the ends (binomial sums); no width beyond 0 and 1."""
    low, high = clopper_pearson(7, 20)
    assert sum(comb(20, i) * low**i * (1 - low) ** (20 - i) for i in range(7, 21)) == pytest.approx(0.025)
    assert sum(comb(20, i) * high**i * (1 - high) ** (20 - i) for i in range(8)) == pytest.approx(0.025)
    assert clopper_pearson(0, 20)[0] == 0
    assert clopper_pearson(20, 20)[1] == 1


def test_all_paths_on_is_the_model_and_none_is_a_constant():
    """32 rows; the first counts like the model on the same inputs, the last gives one output whatever the input."""
    _, p = parts(3)
    rows = ablation_table(p, 3000, seed=5)
    assert len(rows) == 32
    tokens = np.random.default_rng(5).integers(0, 5, (3000, 3))
    every = np.broadcast_to(np.arange(3), tokens.shape)
    assert rows[0]["on"] == list(PATHS)
    assert rows[0]["accuracy"] == _right(p, tokens, tokens[:, -1], every, None).mean()
    shares = [(tokens.max(1) == o).mean() for o in range(7)]
    assert rows[-1]["on"] == []
    assert rows[-1]["accuracy"] in shares
