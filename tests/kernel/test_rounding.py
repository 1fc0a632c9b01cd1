"""Edges of the enclosures: outward, but no further than stated; one lost end loses a row; limits of exact ends."""

from fractions import Fraction

import flint
import numpy as np
import pytest

from pessimal.kernel.arithmetic import ARITHMETICS, ArbArithmetic
from pessimal.kernel.arithmetic.arb import ArbEnclosure
from pessimal.kernel.arithmetic.float64 import Float64Enclosure, down, enclose_integers, up
from pessimal.kernel.arithmetic.interface import AbstractEnclosure

BOTH = sorted(ARITHMETICS)


def points(*values: float) -> Float64Enclosure:
    return Float64Enclosure(np.array(values), np.array(values))


def test_one_step_outward_is_one_unit_in_the_last_place():
    """up and down move zero by 2**-1074 and one by 2**-52, exactly."""
    assert up(np.array(0.0)) == 2.0**-1074 == -down(np.array(0.0))
    assert up(np.array(1.0)) == 1 + 2.0**-52
    assert down(np.array(1.0)) == 1 - 2.0**-52


@pytest.mark.parametrize("broken", ["lo", "hi"])
def test_one_lost_end_loses_its_row_and_no_other(broken):
    """An entry with one end NaN: no order statistic of its row is decided; the other row keeps its own."""
    lo, hi = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    {"lo": lo, "hi": hi}[broken][0, 1] = np.nan
    ordered = Float64Enclosure(lo, hi).sort()
    assert np.isnan(ordered.lo[0]).all()
    assert np.isnan(ordered.hi[0]).all()
    assert ordered.lo[1].tolist() == ordered.hi[1].tolist() == [3, 4]


def test_quotients_and_roots_of_points_are_tight():
    """Within four units in the last place, for divisors below and above one and for subnormal results."""
    with np.errstate(all="ignore"):
        x = points(1.0, 7.0, 1e-300, 3.0, 2.0**-1060)
        for divisor in (0.3, 1.0, 3.0, 1e10):
            quotient = x / points(*[divisor] * 5)
            assert (quotient.hi - quotient.lo <= 4.01 * np.spacing(quotient.hi)).all()
        root = x.sqrt()
        assert (root.lo > 0).all()
        assert (root.hi - root.lo <= 4.01 * np.spacing(root.hi)).all()


def test_a_root_is_never_said_to_be_negative():
    """sqrt of an interval that starts at zero starts at zero."""
    assert Float64Enclosure(np.zeros(1), np.ones(1)).sqrt().lo.tolist() == [0]


def test_integers_beyond_every_float_are_lost_or_tiny():
    """Exponents of a million: an infinite end, or the smallest subnormal."""
    with np.errstate(all="ignore"):
        numbers = np.array([1, -1, 3**200], dtype=object)
        far, near = enclose_integers(numbers, 10**7), enclose_integers(numbers, -(10**7))
    assert not far.positive().any()
    assert far.hi[[0, 2]].tolist() == [np.inf, np.inf]
    assert near.lo.tolist() == [-(2.0**-1074)] * 3
    assert near.hi.tolist() == [2.0**-1074] * 3


def test_the_range_of_exact_upper_ends_in_arb():
    """From 2**-4096 to below 2**4096 exact; nearer to zero rounded up to 2**-4096; beyond lost; zero stays zero."""
    ends = {
        (1, 4095): Fraction(2) ** 4095, (1, 4096): None, (-1, 4096): None, (-1, 4095): -(Fraction(2) ** 4095),
        (1, -4096): Fraction(1, 2**4096), (3, -4096): Fraction(3, 2**4096), (1, -4097): Fraction(1, 2**4096),
        (-1, -4097): Fraction(1, 2**4096), (0, 0): Fraction(0),
    }  # fmt: skip
    with ArbArithmetic().running():
        balls = np.array([flint.arb(pair) for pair in ends], dtype=object)
        assert ArbEnclosure(balls).upper() == list(ends.values())


def interval(lo: list[float], hi: list[float]) -> Float64Enclosure:
    return Float64Enclosure(np.array(lo), np.array(hi))


def test_larger_and_smaller_of_intervals_are_exact():
    """[max lo, max hi] and [min lo, min hi], entry by entry and along an axis: disjoint, nested and overlapping."""
    x, y = interval([0.0, 0.0, 0.0, 5.0], [1.0, 9.0, 5.0, 6.0]), interval([2.0, 3.0, 3.0, 1.0], [4.0, 4.0, 9.0, 2.0])
    both = Float64Enclosure(np.stack([x.lo, y.lo]), np.stack([x.hi, y.hi]))
    for larger in (x.maximum(y), y.maximum(x), both.max(0), both.cumulative_max(0)[1]):
        assert (larger.lo.tolist(), larger.hi.tolist()) == ([2, 3, 3, 5], [4, 9, 9, 6])
    for smaller in (x.minimum(y), y.minimum(x), both.min(0), both.cumulative_min(0)[1]):
        assert (smaller.lo.tolist(), smaller.hi.tolist()) == ([0, 0, 0, 1], [1, 4, 5, 2])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 33])
def test_sums_of_intervals_reach_from_the_sum_of_lower_to_the_sum_of_upper_ends(n):
    """Both ends are enclosed and no further away than rounding."""
    rng = np.random.default_rng(n)
    lo = rng.normal(size=(n, 3))
    total = Float64Enclosure(lo, lo + 1).sum(0)
    for column in range(3):
        least = sum(map(Fraction, lo[:, column].tolist()))
        most = sum(map(Fraction, (lo + 1)[:, column].tolist()))
        assert least - Fraction(1, 2**40) <= Fraction(total.lo[column]) <= least
        assert most <= Fraction(total.hi[column]) <= most + Fraction(1, 2**40)


def test_operations_on_intervals_are_no_wider_than_their_exact_range():
    """+ - * / sqrt exp of intervals of width one half, within 2**-40: neither end is taken from the wrong side."""
    rng = np.random.default_rng(8)
    with np.errstate(all="ignore"):
        for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            a, b = (sign * rng.uniform(1, 2, 50) for sign in signs)
            x, y = Float64Enclosure(a - 0.25, a + 0.25), Float64Enclosure(b - 0.25, b + 0.25)
            ends = [(p, q) for p in (x.lo, x.hi) for q in (y.lo, y.hi)]
            for found, exact in (
                (x + y, [p + q for p, q in ends]), (x - y, [p - q for p, q in ends]), (x * y, [p * q for p, q in ends]),
                (x.exp(), [np.exp(p) for p, _ in ends]),
                *([(x / y, [p / q for p, q in ends])] if signs[1] > 0 else []),
                *([(x.sqrt(), [np.sqrt(p) for p, _ in ends])] if signs[0] > 0 else []),
            ):  # fmt: skip
                assert np.abs(found.lo - np.min(exact, 0)).max() < 2.0**-40
                assert np.abs(found.hi - np.max(exact, 0)).max() < 2.0**-40


def test_an_infinite_lower_end_decides_nothing_and_an_infinite_upper_end_does_not_hinder():
    """[inf, inf] is an overflow, lost; [1, inf] is certainly positive."""
    inf, x = np.inf, interval([np.inf, 1.0, -np.inf, np.nan], [np.inf, np.inf, 1.0, 1.0])
    assert x.positive().tolist() == [False, True, False, False]
    assert x.greater(points(0.5, 0.5, 0.5, 0.5)).tolist() == [False, True, False, False]
    assert points(2.0, 2.0).greater(interval([1.0, 1.0], [1.5, inf])).tolist() == [True, False]


def enclosed(arithmetic: str, lo: list[float], hi: list[float]) -> AbstractEnclosure:
    if arithmetic == "float64":
        return Float64Enclosure(np.array(lo), np.array(hi))
    balls = [flint.arb(a).union(flint.arb(b)) for a, b in zip(lo, hi, strict=True)]
    return ArbEnclosure(np.array(balls, dtype=object))


@pytest.mark.parametrize("arithmetic", BOTH)
def test_widening_reaches_the_radius_on_both_sides_and_little_more(arithmetic):
    """x - r and x + r for the upper end of r; a radius around zero counts with its upper end; broadcasting."""
    lo, hi = [1.0, -3.0, 0.0, 1e-310], [1.0, 2.0, 0.0, 1e300]
    r_lo, r_hi = [0.1, 0.0, -1e-300, 5.0], [0.3, 2.0**-1074, 1e-300, 1e299]
    with ARITHMETICS[arithmetic]().running():
        low, high = enclosed(arithmetic, lo, hi).widened(enclosed(arithmetic, r_lo, r_hi)).bounds()
        one = enclosed(arithmetic, [0.0, 0.0], [0.0, 0.0]).reshape(2, 1).widened(enclosed(arithmetic, [2.0], [2.0]))
        assert one.shape == (2, 1)
    for a, b, c, d, r in zip(lo, hi, low.tolist(), high.tolist(), r_hi, strict=True):
        exact = Fraction(a) - Fraction(r), Fraction(b) + Fraction(r)
        assert Fraction(c) <= exact[0]
        assert Fraction(d) >= exact[1]
        slack = (abs(exact[0]) + abs(exact[1])) / 2**28 + Fraction(1, 2**1060)
        assert exact[0] - Fraction(c) <= slack
        assert Fraction(d) - exact[1] <= slack


@pytest.mark.parametrize("arithmetic", BOTH)
def test_a_negative_or_lost_radius_loses_the_entry(arithmetic):
    """Nothing is within a negative distance; nothing is known within an unknown one."""
    with ARITHMETICS[arithmetic]().running():
        for lo, hi in ((-2.0, -1.0), (np.nan, np.nan), (0.0, np.inf)):
            wide = enclosed(arithmetic, [1.0], [1.0]).widened(enclosed(arithmetic, [lo], [hi]))
            assert not wide.positive().any()
            assert wide.upper() == [None]
