"""exp in float64: enclosed everywhere, with the constants and the width that the proof in its docstring uses."""

from fractions import Fraction

import flint
import numpy as np
import pytest

from pessimal.kernel.arithmetic.exponential import (
    DEGREE,
    INVERSE_LN2,
    LARGE,
    LIMIT,
    LN2_HIGH,
    LN2_LOW,
    SMALL,
    WIDENING,
    exp_enclosure,
)


def check(x: np.ndarray) -> None:
    lo, hi = exp_enclosure(x)
    with flint.ctx.workprec(120):
        arb, inf = flint.arb, float("inf")
        for a, b, v in zip(lo.tolist(), hi.tolist(), x.tolist(), strict=True):
            true = arb(min(max(v, -1e5), 1e5)).exp()  # Arb gives up on larger arguments; monotone, so this suffices
            assert true > a, v
            assert b == inf or true < b, v
            if -LIMIT <= v <= LIMIT:
                # the proof widens by 2**-49, of which 2**-51 may be used up by the error of the polynomial
                slack = true * (flint.arb(2) ** -49 - flint.arb(2) ** -50)
                assert true - a > slack, v
                assert b - true > slack, v
                assert b - a < true * flint.arb(2) ** -47, v


def hard_points() -> np.ndarray:
    """Near the switches of k, near +-700, tiny, subnormal, zero."""
    k = np.arange(-2020, 2021)
    switches = k * (np.log(2) / 2)
    near = [switches + d * np.spacing(switches) for d in (-2, -1, 0, 1, 2)]
    edges = [s * (LIMIT + d * 2.0**-44) for s in (1, -1) for d in (-3, -1, 0, 1, 3)]
    small = [s * 2.0**e for e in range(-1074, 3) for s in (1, -1)]
    return np.concatenate([*near, edges, small, [0.0, -0.0, 1.0, -1.0, 1e5, -1e5, 1e308, -1e308]])


def test_encloses_at_hard_points():
    """lo < exp(x) < hi at the switches of the argument reduction, the limits, tiny and subnormal arguments."""
    check(hard_points())


def test_exponentials_of_random_points_lie_strictly_inside():
    """lo < exp(x) < hi on random points of the whole range and around zero."""
    rng = np.random.default_rng(1)
    check(np.concatenate([rng.uniform(-705, 705, 20_000), rng.normal(size=20_000), rng.uniform(-0.35, 0.35, 20_000)]))


@pytest.mark.slow
def test_exponentials_of_a_million_points_lie_strictly_inside():
    """The same on a million points."""
    rng = np.random.default_rng(2)
    check(np.concatenate([rng.uniform(-701, 701, 500_000), rng.uniform(-5, 5, 500_000)]))


def test_constants_meet_the_proof():
    """C1 has 32 bits, |ln 2 - C1 - C2| < 2**-86, C2 is nearest, 1/ln 2 is nearest."""
    assert (Fraction(LN2_HIGH) * 2**32).denominator == 1
    assert int(Fraction(LN2_HIGH) * 2**32).bit_length() == 32
    with flint.ctx.workprec(300):
        ln2 = flint.arb.const_log2()
        assert abs(ln2 - LN2_HIGH) < flint.arb(2) ** -33
        assert abs(ln2 - LN2_HIGH - flint.arb(LN2_LOW)) < flint.arb(2) ** -86
        assert abs(1 / ln2 - INVERSE_LN2) < flint.arb(2) ** -53
        assert flint.arb(-LIMIT).exp() < SMALL
        assert flint.arb(LIMIT).exp() > LARGE
    assert WIDENING == 2.0**-49
    assert (SMALL, LARGE, LIMIT) == (2.0**-1009, 2.0**1009, 700)
    assert DEGREE >= 15
    assert round(LIMIT / np.log(2)) <= 1010


def test_reduction_and_polynomial_meet_the_proof():
    """|r - rho| <= 2**-53.9 and the polynomial's relative error is below 2**-51, the numbers the widening rests on."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-LIMIT, LIMIT, 4000), hard_points()])
    x = x[np.abs(x) <= LIMIT]
    lo, hi = exp_enclosure(x)
    with flint.ctx.workprec(200):
        for a, b, v in zip(lo.tolist(), hi.tolist(), x.tolist(), strict=True):
            middle = (flint.arb(a) + flint.arb(b)) / 2
            assert abs(middle / flint.arb(v).exp() - 1) < flint.arb(2) ** -50


def test_nan_stays_nan_and_infinities_are_enclosed():
    """exp(NaN) is lost; exp(inf) has no upper end; exp(-inf) lies in [0, 2**-1009]."""
    with np.errstate(all="ignore"):
        lo, hi = exp_enclosure(np.array([np.nan, np.inf, -np.inf]))
    assert np.isnan(lo[0])
    assert np.isnan(hi[0])
    assert np.isfinite(lo[1])
    assert hi[1] == np.inf
    assert lo[2] == 0
    assert 0 < hi[2] <= SMALL


def test_far_ends_are_one_sided():
    """Past +-700 the enclosure is [2**1009, inf] and [0, 2**-1009]."""
    lo, hi = exp_enclosure(np.array([700.5, -700.5]))
    assert lo.tolist() == [LARGE, 0.0]
    assert hi.tolist() == [np.inf, SMALL]
