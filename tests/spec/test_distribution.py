"""Distributions: weights are the textbook probabilities, and what is no distribution is refused."""

import numpy as np
import pytest

from pessimal.spec import DistributionError, Markov, MaxOfK, Product, Uniform
from pessimal.spec.distribution import distribution_from
from support.distributions import KINDS, chance, some_distribution
from support.oracle import sequences


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "v"), [(1, 3), (2, 5), (3, 4), (5, 2)])
def test_weights_over_the_total_are_the_probabilities(kind, k, v):
    """w(t) / W = P(t) for every sequence, and the weights add up to W."""
    distribution = some_distribution(kind, k, v, seed=k + v)
    task = MaxOfK(k=k, d_vocab=v)
    distribution.require_fits(task)
    tokens = list(sequences(v, k))
    weights = distribution.weigh(np.array(tokens)).tolist()
    total = distribution.total(task)
    assert sum(weights) == total
    for t, weight in zip(tokens, weights, strict=True):
        assert chance(distribution, t) * total == weight


def test_a_distribution_survives_its_record_and_arrays():
    """distribution_from(record, arrays) == distribution; another weight, name or shape is another digest."""
    found = {Uniform().sha256}
    for seed, kind in enumerate(KINDS):
        distribution = some_distribution(kind, 3, 5, seed)
        again = distribution_from(distribution.record(), distribution.arrays())
        assert again == distribution
        assert hash(again) == hash(distribution)
        found.add(distribution.sha256)
    assert len(found) == len(KINDS) + 1
    assert Product([[1, 2]]) != Product([[1], [2]])
    assert Product([[1, 2]]) != Product([[2, 1]])


@pytest.mark.parametrize(
    "weights",
    [[], [[]], [1, 2], [[1, -1]], [[0, 0]], [[1, 2], [0, 0]], [[1.0, 2.0]], [[True, False]], [[1, 2], [3]], "12", None,
     [["1", "2"]], [[2**48 + 1, 1]], [[2**70, 1]], [[[1, 2]]], [[1] * 4097], {"0": 1}],
)  # fmt: skip
def test_weights_that_are_no_distribution_are_refused(weights):
    """No integers, negative, beyond 2**48, ragged, or nothing to divide by."""
    with pytest.raises(DistributionError):
        Product(weights)
    with pytest.raises(DistributionError):
        Markov([1, 1], weights)


@pytest.mark.parametrize("initial", [[], [0, 0], [[1, 2]], [1.5, 1], [-1, 2], 3, None])
def test_initial_weights_that_are_no_distribution_are_refused(initial):
    """As for products."""
    with pytest.raises(DistributionError):
        Markov(initial, [[1, 2], [2, 1]])


def test_a_distribution_must_fit_the_task():
    """Tokens and positions of the task, and a total that can be written down."""
    task = MaxOfK(k=3, d_vocab=5)
    for bad in (
        Product([[1] * 4]),
        Product([[1] * 5] * 2),
        Markov([1] * 4, [[1] * 4] * 4),
        Markov([1] * 5, [[1] * 4] * 5),
    ):
        with pytest.raises(DistributionError):
            bad.require_fits(task)
    long = MaxOfK(k=1000, d_vocab=3)
    with pytest.raises(DistributionError, match="4000 digits"):
        Product([[2**48, 1, 1]]).require_fits(long)
    Product([[2**8, 1, 1]]).require_fits(long)
    with pytest.raises(DistributionError, match="4000 digits"):
        Markov([1, 1, 1], [[2**47, 1, 2], [2**46, 1, 2], [2**45, 1, 2]]).require_fits(long)
    Markov([1, 1, 1], [[2, 1, 2], [3, 1, 1], [5, 0, 0]]).require_fits(long)


def test_astronomical_chains_are_refused_without_being_computed():
    """Hundreds of row totals without common factors at K = 500."""
    v = 300
    rng = np.random.default_rng(1)
    chain = Markov(np.ones(v, dtype=np.int64), rng.integers(1, 2**48, (v, v)))
    with pytest.raises(DistributionError, match="4000 digits"):
        chain.require_fits(MaxOfK(k=500, d_vocab=v))


@pytest.mark.parametrize(
    ("record", "arrays"),
    [
        ({}, {}), ({"name": "zipf"}, {}), ({"name": "uniform", "x": 1}, {}), ({"name": ["uniform"]}, {}), (None, {}), ([], {}),
        ({"name": "uniform"}, {"distribution_weights": np.ones((1, 2), dtype=np.int64)}),
        ({"name": "product"}, {}), ({"name": "product"}, {"distribution_weights": np.ones((1, 2))}),
        ({"name": "product"}, {"distribution_initial": np.ones((1, 2), dtype=np.int64)}),
        ({"name": "markov"}, {"distribution_initial": np.ones(2, dtype=np.int64)}),
    ],
)  # fmt: skip
def test_other_records_are_not_distributions(record, arrays):
    """Unknown names, extra or missing arrays, floats."""
    with pytest.raises(DistributionError):
        distribution_from(record, arrays)
