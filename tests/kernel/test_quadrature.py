"""Neurons as nodes of an integral: no bound lies below the error, at any point, for any waves and any intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.analysis.modular.identity import box_identity, moment_identity
from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.arithmetic.trigonometry import pi
from pessimal.kernel.rules.modular.quadrature import (
    Intervals,
    Waves,
    interval_absolute,
    moment_absolute,
    signal_of,
    weight_of,
)
from support.sampling import examples

KINDS = ("uniform", "even", "clustered", "equal", "opposite", "scaled", "heavy")
GRID = 360


def some_waves(seed: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Q and gamma: phases and weights by kind, what is written near the second harmonic or anything."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    phi = {
        "uniform": rng.uniform(0, 2 * np.pi, n), "even": 2 * np.pi / n * (np.arange(n) + rng.random()),
        "clustered": rng.choice([0.3, 2.0, 4.4], n) + 0.05 * rng.normal(size=n), "equal": np.full(n, rng.uniform(0, 7)),
        "opposite": 0.4 + np.pi * rng.integers(0, 2, n), "scaled": rng.uniform(0, 2 * np.pi, n),
        "heavy": rng.uniform(0, 2 * np.pi, n),
    }[kind]  # fmt: skip
    size, height = rng.uniform(0.1, 2, (2, n))
    if kind == "even":
        size[:] = height[:] = 1
    elif kind == "scaled":
        size, height = size * 2.0 ** rng.integers(-60, 60), height * 2.0 ** rng.integers(-60, 60)
    elif kind == "heavy":
        size[0], height[0] = 1e3, 1e3
    psi = 2 * phi + rng.choice([0.0, 0.02, 1.0]) * rng.normal(size=n) if rng.random() < 0.7 else rng.uniform(0, 7, n)
    return size * np.exp(1j * phi), height * np.exp(1j * psi)


def enclosed(q: np.ndarray, gamma: np.ndarray, arith) -> Waves:
    return Waves(*(arith.matrix(np.stack([one.real, one.imag])).enclose() for one in (q, gamma)))


def some_intervals(q: np.ndarray, gamma: np.ndarray, seed: int, period: float) -> Intervals:
    """In the order of the phases and well placed, or garbage."""
    rng = np.random.default_rng(seed)
    grid, n = int(rng.choice([7, 64, 1024])), len(q)
    if rng.random() < 0.3:
        return Intervals(rng.permutation(n), rng.integers(-9, 9, n), int(rng.integers(-99, 99)), grid)
    phase = np.angle(q) % period
    order = np.argsort(phase, kind="stable")
    nodes = np.rint(phase[order] / period * grid).astype(np.int64)
    weight = np.abs(q * gamma)[order]
    end = np.cumsum(weight / weight.sum())
    middle = end - weight / weight.sum() / 2
    return Intervals(order, nodes, int(np.rint((nodes - middle * grid).mean())), grid)


def sums(q: np.ndarray, gamma: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """F less its integral and I on a grid of u, and S."""
    u = 2 * np.pi / GRID * np.arange(GRID) + 0.123
    cos = np.cos(u[:, np.newaxis] + np.angle(q))
    total = np.abs(q) @ np.abs(gamma)
    return (
        np.abs(cos) @ (np.abs(q) * gamma) - 2 / (3 * np.pi) * total * np.exp(-2j * u),
        cos @ (np.abs(q) * gamma),
        total,
    )


@settings(max_examples=examples(150))
@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.sampled_from([1, 2, 5, 20]),
       st.sampled_from(sorted(ARITHMETICS)))  # fmt: skip
def test_moment_form_is_never_below_the_error(seed, kind, terms, arithmetic):
    q, gamma = some_waves(seed, kind)
    absolute, identity, _ = sums(q, gamma)
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        waves = enclosed(q, gamma, arith)
        assert np.abs(absolute).max() <= moment_absolute(waves, terms, arith).bounds()[1]
        # This sum is a wave and its bound may be attained: a few units in the last place are NumPy's.
        assert np.abs(identity).max() <= moment_identity(waves).bounds()[1] * (1 + 1e-12)


@settings(max_examples=examples(150))
@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.sampled_from(sorted(ARITHMETICS)))
def test_interval_form_is_never_below_the_error(seed, kind, arithmetic):
    """Whatever the order, the nodes and the offset."""
    q, gamma = some_waves(seed, kind)
    absolute, identity, _ = sums(q, gamma)
    arith = ARITHMETICS[arithmetic]()
    half, full = some_intervals(q, gamma, seed, np.pi), some_intervals(q, gamma, seed + 1, 2 * np.pi)
    with arith.running():
        waves = enclosed(q, gamma, arith)
        assert np.abs(absolute).max() <= interval_absolute(waves, half, arith).bounds()[1]
        assert np.abs(identity).max() <= box_identity(waves, full, arith).bounds()[1]


@pytest.mark.parametrize("seed", range(5))
def test_together_they_bound_the_relu(seed):
    """2 pi sum w ReLU[+-cos(u + phi)] cos(v + psi) - 2/3 cos(2u - v), over 2/3, for all signs, u and v."""
    q, gamma = some_waves(seed, "uniform")
    arith = ARITHMETICS["float64"]()
    with arith.running():
        waves = enclosed(q, gamma, arith)
        error = moment_absolute(waves, 20, arith) + moment_identity(waves)
        bound = (error / signal_of(weight_of(waves), arith)).bounds()[1]
    weight = np.abs(q * gamma) / np.abs(q * gamma).sum()
    u = 2 * np.pi / 180 * np.arange(180)
    for sign in (1, -1):
        relu = np.maximum(sign * np.cos(u[:, np.newaxis] + np.angle(q)), 0)
        z = 2 * np.pi * relu @ (weight * np.exp(1j * np.angle(gamma))) - 2 / 3 * np.exp(-2j * u)
        assert np.abs(z).max() / (2 / 3) <= bound


def test_even_phases_have_small_bounds_and_more_terms_are_tighter():
    """The tail alone is left of the moment form; intervals of equal nodes have one quarter of a width each on average."""
    n = 101
    q = np.exp(2j * np.pi / n * np.arange(n))
    arith = ARITHMETICS["float64"]()
    with arith.running():
        waves = enclosed(q, q**2, arith)
        signal = signal_of(weight_of(waves), arith)
        found = [float((moment_absolute(waves, m, arith) / signal).bounds()[1]) for m in (1, 5, 20, 50)]
        assert found == sorted(found, reverse=True)
        assert found[-1] < 3 / 101
        order = np.argsort(np.angle(q) % np.pi, kind="stable")
        nodes = np.rint((np.angle(q) % np.pi)[order] / np.pi * 8192).astype(np.int64)
        intervals = Intervals(order, nodes, int(nodes[0] - 8192 // (2 * n)), 8192)
        # 2 pi^2 / (4 n) over 2/3, and the grid.
        assert float((interval_absolute(waves, intervals, arith) / signal).bounds()[1]) < 3 * np.pi**2 / (4 * n) * 1.1


@pytest.mark.parametrize("terms", [1, 4, 30])
def test_the_tail_is_the_sum_of_the_harmonics_left_out(terms):
    """Even phases have no moments, so the tail is all: the sum itself, over the root of two in every direction."""
    n = 2 * terms + 7
    q = np.exp(2j * np.pi / n * np.arange(n))
    m = np.arange(terms + 1, 10**6)
    left = 4 / np.pi * np.sum(1 / (4.0 * m**2 - 1))
    arith = ARITHMETICS["float64"]()
    with arith.running():
        found = float(moment_absolute(enclosed(q, q**2, arith), terms, arith).bounds()[1])
    assert left * n / np.sqrt(2) <= found <= left * n / np.sqrt(2) * 1.001


@pytest.mark.parametrize("seed", range(6))
def test_the_interval_form_is_the_stated_integral(seed):
    """S over the period times the integral of twice the distance to the nodes, and the cost of each misplaced wave."""
    q, gamma = some_waves(seed, "uniform")
    arith, weight = ARITHMETICS["float64"](), np.abs(q * gamma)
    for period, form in ((np.pi, interval_absolute), (2 * np.pi, box_identity)):
        intervals = some_intervals(q, gamma, seed, period)
        edges = (
            np.concatenate([[0], np.cumsum(weight[intervals.order] / weight.sum())]) + intervals.offset / intervals.grid
        ) * period
        node = intervals.nodes / intervals.grid * period
        laid = 0.0
        for begin, end, at in zip(edges[:-1], edges[1:], node, strict=True):
            points = begin + (end - begin) * (np.arange(4000) + 0.5) / 4000
            laid += 2 * np.abs(points - at).mean() * (end - begin)
        placed = np.empty_like(node)
        placed[intervals.order] = node
        turn = np.exp(1j * placed)
        off = np.abs((q.conj() * turn).imag) if period == np.pi else np.abs(q - np.abs(q) * turn)
        wrong = np.abs(gamma) * off + np.abs(q) * np.abs(gamma - np.abs(gamma) * turn**2)
        expected = weight.sum() / period * laid + wrong.sum()
        with arith.running():
            found = float(form(enclosed(q, gamma, arith), intervals, arith).bounds()[1])
        assert found == pytest.approx(expected, rel=1e-5)


def test_a_neuron_that_reads_nothing_is_given_up():
    """Its phase is nothing; the bound is lost, not small."""
    arith = ARITHMETICS["float64"]()
    with arith.running():
        waves = enclosed(np.array([1.0 + 0j, 0.0]), np.array([1.0 + 0j, 1.0]), arith)
        assert not np.isfinite(moment_absolute(waves, 3, arith).bounds()[1])


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
def test_pi_is_between_its_neighbours(arithmetic):
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        lo, hi = pi(arith).bounds()
    # math.pi is the float64 below pi.
    assert lo <= np.pi <= np.nextafter(np.pi, 4) <= hi
    assert hi - lo <= 8 * np.spacing(np.pi)
