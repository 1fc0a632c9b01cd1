"""Ten bounds on the QK circuit: approximation and error of the theorem, and no true difference larger."""

from math import sqrt

import numpy as np
import pytest

from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.published.sub_cubic.averaging import MEAN
from pessimal.kernel.rules.published.sub_cubic.differences import spectral
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.kernel.rules.published.sub_cubic.splits import CROSS
from support.sub_cubic import CASES, EXACT, arithmetic, numbers, paths_of, random_arrays, rng_of, same, searched
from support.sub_cubic_loops import qk_loops, spectral_loops


@pytest.mark.parametrize(
    ("error", "cross"),
    [(error, cross) for error in QK_PATHS for cross in CROSS if cross == "exact" or "subproduct" not in error],
)
@pytest.mark.parametrize("case", ["biases", "random"])
def test_qk_options_have_the_approximation_and_the_error_of_the_theorem(case, error, cross):
    """For random directions and for singular vectors; T + residual is EQKE, and no true difference is larger."""
    n, arith = numbers(case), arithmetic()
    best = searched(case, "max_diff_exact", MEAN, error, 2, cross, "query").arrays
    for arrays in (random_arrays(case, "max_diff", error, 7 + CASES[case].seed), best):
        table, epsilon = qk_loops(n, error, arrays, cross)
        with arith.running():
            found = QK_PATHS[error].bound(paths_of(case), Hints({}, arrays), arith, cross)
        assert same(found.approximation, table)
        assert (found.error is None) == (error == EXACT)
        if found.error is not None:
            low, high = found.error.bounds()
            # Powers of a small residual amplify its rounding; no other option does.
            slack = 1e-6 * (1 + epsilon) if error == "svd" else 1e-9 * (1 + epsilon)
            assert (high >= epsilon - 1e-12 * (1 + epsilon)).all()
            assert (np.abs(low - epsilon) < slack).all()
            assert (high - epsilon < slack).all()
        true = rng_of(n.eqke - table)
        assert (true <= epsilon + 1e-9).all()


@pytest.mark.parametrize("zero", ["query_direction", "key_direction"])
def test_a_zero_direction_loses_everything(zero):
    arith = arithmetic()
    arrays = random_arrays("plain", "max_diff", "max_diff", 0)
    arrays[zero][...] = 0
    with arith.running():
        found = QK_PATHS["max_diff"].bound(paths_of("plain"), Hints({}, arrays), arith, "exact")
        assert not arith.integers(np.array([10**9])).enclose().greater(found.error).any()


@pytest.mark.parametrize("exponent", [-260, -100, -20, 0, 20, 100, 240])
@pytest.mark.parametrize("shape", [(3, 2, 5), (2, 5, 7), (4, 1, 3)])
def test_the_spectral_bound_is_that_of_its_traces_at_every_size(exponent, shape):
    """Neither overflow nor underflow of the powers, as long as one trace is a float."""
    rng, arith = np.random.default_rng(1), arithmetic()
    left, right = rng.normal(size=shape[:2]), rng.normal(size=shape[1:])
    with arith.running():
        scaled = left * 2.0**exponent
        found = spectral([arith.matrix(scaled).enclose(), arith.matrix(right).enclose()])
    low, high = (x / 2.0**exponent for x in found.bounds())
    expected = spectral_loops([left, right])
    assert low.shape == (shape[0],)
    assert (np.abs(low / expected - 1) < 1e-8).all()
    assert (np.abs(high / expected - 1) < 1e-8).all()


def test_the_spectral_bound_of_equal_singular_values_shows_its_power():
    """Four equal values give 4 ** (1 / 128) too much: p = 64 for their squares."""
    arith = arithmetic()
    with arith.running():
        unit = arith.matrix(np.eye(4)).enclose()
        low, high = spectral([unit, unit]).bounds()
    assert low == pytest.approx(sqrt(2) * 4 ** (1 / 128), rel=1e-12)
    assert high == pytest.approx(sqrt(2) * 4 ** (1 / 128), rel=1e-12)
