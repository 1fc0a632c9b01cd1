"""Every operation of both arithmetics encloses the exact result; lost entries never yield a decision.

Exact results are fractions, or Arb balls at 300 bits for exp and sqrt. Inputs are random at all scales and chosen so
that rounding to nearest goes the wrong way in each direction, with subnormals, overflow and cancellation.
"""

import itertools
from collections.abc import Callable
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS, AbstractEnclosure, ArbArithmetic, Float64Arithmetic
from pessimal.kernel.arithmetic.arb import ArbEnclosure
from pessimal.kernel.arithmetic.float64 import Float64Enclosure, down, up
from support.sampling import examples

BOTH = sorted(ARITHMETICS)
TINY, LEAST_NORMAL, HUGE = 2.0**-1074, 2.0**-1022, 1.7976931348623157e308
CORNERS = [
    0.0, TINY, 3 * TINY, LEAST_NORMAL, LEAST_NORMAL - TINY, LEAST_NORMAL + TINY, 2.0**-537, 1.1e-160, 0.1, 1 / 3,
    1 - 2.0**-53, 1.0, 1 + 2.0**-52, 1 + 3 * 2.0**-52, 2 - 2.0**-52, 2.0, 3.0, np.pi, 2.0**53 - 1, 2.0**53, 2.0**53 + 2,
    1e16, 1.3e154, HUGE / 2, HUGE,
]  # fmt: skip
CORNERS = [sign * x for x in CORNERS for sign in (1.0, -1.0)]


def wild(n: int, seed: int, low: int = -1074, high: int = 1023) -> np.ndarray:
    """Random floats of every scale and sign, subnormals among them."""
    rng = np.random.default_rng(seed)
    values = np.ldexp(rng.uniform(-1, 1, n), rng.integers(low, high, n))
    narrow = np.ldexp(rng.uniform(-1, 1, n), rng.integers(-3, 4, n))
    return np.where(rng.integers(0, 2, n) == 0, values, narrow)


def make(arithmetic: str, lo: np.ndarray, hi: np.ndarray | None = None) -> AbstractEnclosure:
    """An enclosure with exactly these ends."""
    lo = np.asarray(lo, dtype=np.float64)
    hi = lo if hi is None else np.asarray(hi, dtype=np.float64)
    if arithmetic == "float64":
        return Float64Enclosure(lo, hi)
    balls = np.empty(lo.shape, dtype=object)
    balls.flat = [flint.arb(a).union(flint.arb(b)) if a != b else flint.arb(a)
                  for a, b in zip(lo.ravel().tolist(), hi.ravel().tolist(), strict=True)]  # fmt: skip
    return ArbEnclosure(balls)


def contains(enclosure: AbstractEnclosure, exact: list[Fraction]) -> None:
    """lo <= exact <= hi for every entry; infinite ends hold trivially, NaN says nothing."""
    lo, hi = enclosure.bounds()
    for a, b, x in zip(np.ravel(lo).tolist(), np.ravel(hi).tolist(), exact, strict=True):
        if np.isfinite(a):
            assert Fraction(a) <= x
        else:
            assert a != np.inf
        if np.isfinite(b):
            assert x <= Fraction(b)
        else:
            assert b != -np.inf


def pairs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array(list(itertools.product(CORNERS, CORNERS)))
    x, y = wild(3000, seed), wild(3000, seed + 1)
    near = x * (1 + np.random.default_rng(seed).integers(-4, 5, 3000) * 2.0**-52)
    return np.concatenate([corners[:, 0], x, x]), np.concatenate([corners[:, 1], y, -near])


OPERATIONS: dict[str, tuple[Callable, Callable]] = {
    "+": (lambda a, b: a + b, lambda x, y: x + y),
    "-": (lambda a, b: a - b, lambda x, y: x - y),
    "*": (lambda a, b: a * b, lambda x, y: x * y),
    "maximum": (lambda a, b: a.maximum(b), max),
    "minimum": (lambda a, b: a.minimum(b), min),
}


@pytest.mark.parametrize("arithmetic", BOTH)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_enclose_the_exact_result_of_points(name, arithmetic):
    """lo <= x op y <= hi in fractions, at every pair of corners and thousands of random and cancelling pairs."""
    ours, exact = OPERATIONS[name]
    x, y = pairs(1)
    with ARITHMETICS[arithmetic]().running():
        result = ours(make(arithmetic, x), make(arithmetic, y))
        contains(result, [exact(Fraction(a), Fraction(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)])


def test_point_results_stay_within_three_units():
    """Outward, but no further than needed: both ends within three ulps of the exact sum and product."""
    x, y = wild(2000, 5, -300, 300), wild(2000, 6, -300, 300)
    for name in ("+", "-", "*"):
        ours, exact = OPERATIONS[name]
        result = ours(make("float64", x), make("float64", y))
        for a, b, lo, hi in zip(x.tolist(), y.tolist(), result.lo.tolist(), result.hi.tolist(), strict=True):
            true = exact(Fraction(a), Fraction(b))
            unit = Fraction(float(np.spacing(abs(float(true)))))
            assert true - lo <= 3 * unit
            assert hi - true <= 3 * unit


def intervals(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    a, b = wild(n, seed, -40, 40), wild(n, seed + 100, -40, 40)
    near = a + np.abs(a) * 2.0**-40
    b = np.where(np.arange(n) % 3 == 0, near, b)
    return np.minimum(a, b), np.maximum(a, b)


@pytest.mark.parametrize("arithmetic", BOTH)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_enclose_all_points_of_intervals(name, arithmetic):
    """The ends and an inner point of two intervals, straddling zero or not, all map into the result."""
    ours, exact = OPERATIONS[name]
    x, y = intervals(2), intervals(3)
    with ARITHMETICS[arithmetic]().running():
        result = ours(make(arithmetic, *x), make(arithmetic, *y))
        for p in (x[0], x[1], x[0] / 2 + x[1] / 2):
            for q in (y[0], y[1], y[0] / 2 + y[1] / 2):
                contains(result, [exact(Fraction(a), Fraction(b)) for a, b in zip(p.tolist(), q.tolist(), strict=True)])


@pytest.mark.parametrize("arithmetic", BOTH)
def test_division_encloses_the_exact_quotient(arithmetic):
    """Quotients by positive points and positive intervals."""
    x, y = pairs(7)
    keep = y > 0
    x, y = x[keep], y[keep]
    with ARITHMETICS[arithmetic]().running():
        result = make(arithmetic, x) / make(arithmetic, y)
        contains(result, [Fraction(a) / Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True)])
        numerator = intervals(8)
        lo, hi = (np.abs(part) + 2.0**-30 for part in intervals(9))
        lo, hi = np.minimum(lo, hi), np.maximum(lo, hi)
        result = make(arithmetic, *numerator) / make(arithmetic, lo, hi)
        for p in numerator:
            for q in (lo, hi):
                contains(result, [Fraction(a) / Fraction(b) for a, b in zip(p.tolist(), q.tolist(), strict=True)])


@pytest.mark.parametrize("arithmetic", BOTH)
def test_division_is_lost_where_the_divisor_may_vanish(arithmetic):
    """Divisors [-1, 1], [0, 1], [-2, -1], 0 give no bound and no decision."""
    with ARITHMETICS[arithmetic]().running():
        one = make(arithmetic, np.ones(4))
        divisor = make(arithmetic, np.array([-1.0, 0.0, -2.0, 0.0]), np.array([1.0, 1.0, -1.0, 0.0]))
        lost(one / divisor)
        lost(make(arithmetic, -np.ones(4)) / divisor)


def lost(enclosure: AbstractEnclosure) -> None:
    """No decision at all about a lost enclosure, or about anything computed from it."""
    with np.errstate(all="ignore"):
        n = enclosure.shape[0]
        kind = "arb" if isinstance(enclosure, ArbEnclosure) else "float64"
        one, far = make(kind, np.ones(n)), make(kind, np.full(n, -HUGE))
        chains = [
            enclosure, enclosure + one, one + enclosure, enclosure - one, one - enclosure, enclosure * one, one * enclosure,
            enclosure * make(kind, np.zeros(n)), enclosure.maximum(far), far.maximum(enclosure), enclosure.minimum(one),
            one.minimum(enclosure), enclosure / one, one / enclosure, enclosure.sqrt(), enclosure.exp() * enclosure,
            enclosure.reshape(n, 1).sum(1), enclosure.cumulative_max(0), enclosure.cumulative_min(0),
            enclosure.reshape(1, n).sort().reshape(n), enclosure - enclosure, enclosure.reshape(n, 1).transpose(1, 0)[0],
        ]  # fmt: skip
        for chain in chains:
            assert not chain.positive().any()
            assert not chain.greater(far).any()
            assert not chain.greater(make(kind, np.full(n, -1.0))).any()
            assert not far.greater(chain).any() if kind == "arb" else True
        assert enclosure.upper() == [None] * n
        joined = make(kind, np.ones((n, 3)))
        assert joined.positive().all()


@pytest.mark.parametrize("arithmetic", BOTH)
def test_nan_never_yields_a_decision(arithmetic):
    """NaN entries stay lost through every operation."""
    with ARITHMETICS[arithmetic]().running():
        lost(make(arithmetic, np.full(3, np.nan)))


@pytest.mark.parametrize("arithmetic", BOTH)
@pytest.mark.parametrize("axis", [0, 1])
def test_one_lost_entry_loses_its_reductions(arithmetic, axis):
    """A NaN among good numbers loses every sum, maximum and minimum along its axis, wherever it stands."""
    for place in range(5):
        array = np.arange(1.0, 6.0)
        array[place] = np.nan
        shaped = array.reshape((1, 5) if axis else (5, 1))
        with ARITHMETICS[arithmetic]().running():
            x = make(arithmetic, shaped)
            for reduced in (x.sum(axis), x.max(axis), x.min(axis)):
                assert not reduced.positive().any()
                assert reduced.upper() == [None]
            running = x.cumulative_max(axis).positive().ravel()
            assert not running[place:].any()
            assert not x.cumulative_min(axis).positive().ravel()[place:].any()
            if axis:
                assert not x.sort().positive().any()


def test_overflow_is_lost_in_float64():
    """Sums and products past the largest float decide nothing on the overflowed side."""
    with Float64Arithmetic().running():
        big = make("float64", np.full(2, HUGE))
        for result in (big + big, big * big, big * make("float64", np.full(2, 2.0))):
            assert not result.positive().any()
            assert not result.greater(make("float64", np.zeros(2))).any()
            assert result.upper() == [None, None]
        for result in (-HUGE, HUGE):
            x = make("float64", np.full(2, result))
            assert not (x - x * make("float64", np.full(2, 4.0))).positive().any()


@pytest.mark.parametrize("arithmetic", BOTH)
def test_comparisons_are_strict(arithmetic):
    """x > x and 0 > 0 are never certain; the next float is."""
    with ARITHMETICS[arithmetic]().running():
        points = np.array([0.0, 1.0, -1.0, TINY, 0.1])
        x, above = make(arithmetic, points), make(arithmetic, np.nextafter(points, np.inf))
        assert not x.greater(x).any()
        assert not x.greater(above).any()
        assert above.greater(x).all()
        assert x.positive().tolist() == [False, True, False, True, True]
        wide = make(arithmetic, np.array([-1.0, 0.0, 0.5]), np.array([1.0, 1.0, 1.0]))
        assert wide.positive().tolist() == [False, False, True]
        assert not wide.greater(make(arithmetic, np.zeros(3), np.full(3, 2.0))).any()
        touching = make(arithmetic, np.full(3, 1.0), np.full(3, 2.0)).greater(make(arithmetic, np.zeros(3), np.ones(3)))
        assert not touching.any()


@pytest.mark.parametrize("arithmetic", BOTH)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 8, 13])
def test_sums_enclose_the_exact_sum(arithmetic, n):
    """Sums along each axis of each length against fractions, cancelling heavily."""
    rng = np.random.default_rng(n)
    array = wild(n * 11, n, -60, 60).reshape(n, 11)
    if n > 2:
        array[-1] = -array[:-1].sum(0) * (1 + rng.integers(-2, 3, 11) * 2.0**-52)
    with ARITHMETICS[arithmetic]().running():
        x = make(arithmetic, array)
        columns = [sum(map(Fraction, column), Fraction(0)) for column in array.T.tolist()]
        contains(x.sum(0), columns)
        contains(x.transpose(1, 0).sum(1), columns)
        contains(x.reshape(n, 11, 1).sum(0).reshape(11), columns)
        assert x.sum(0).shape == (11,)


@pytest.mark.parametrize("arithmetic", BOTH)
def test_an_empty_sum_is_zero(arithmetic):
    """A sum over no entries is exactly 0."""
    with ARITHMETICS[arithmetic]().running():
        total = make(arithmetic, np.zeros((3, 0))).sum(1)
        assert total.shape == (3,)
        assert total.upper() == [0, 0, 0]


@pytest.mark.parametrize("arithmetic", BOTH)
@settings(max_examples=examples(60))
@given(data=st.data())
def test_extremes_and_order_statistics_enclose(arithmetic, data):
    """max, min, running extremes and sort: for any choice of points inside, the exact answer lies inside."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-6, 7, (3, 5)) / 2, rng.integers(-6, 7, (3, 5)) / 2
    lo, hi = np.minimum(a, b), np.maximum(a, b)
    point = lo + (hi - lo) * rng.integers(0, 5, (3, 5)) / 4

    def flat(array: np.ndarray) -> list[Fraction]:
        return [Fraction(v) for v in array.ravel().tolist()]

    with ARITHMETICS[arithmetic]().running():
        x = make(arithmetic, lo, hi)
        for axis in (0, 1):
            contains(x.max(axis), flat(point.max(axis)))
            contains(x.min(axis), flat(point.min(axis)))
            contains(x.cumulative_max(axis), flat(np.maximum.accumulate(point, axis)))
            contains(x.cumulative_min(axis), flat(np.minimum.accumulate(point, axis)))
        contains(x.sort(), flat(np.sort(point, -1)))
        mask = rng.integers(0, 2, (3, 5)) == 1
        for other in (0, -3):
            contains(x.where(mask, other), flat(np.where(mask, point, other)))
        contains(x[1:, ::-1], flat(point[1:, ::-1]))
        contains(x.transpose(1, 0), flat(point.T))
        contains(x.reshape(5, 3), flat(point.reshape(5, 3)))


@pytest.mark.parametrize("arithmetic", BOTH)
def test_order_statistics_of_points_are_exact(arithmetic):
    """Points sort to points, ascending."""
    with ARITHMETICS[arithmetic]().running():
        sorted_ = make(arithmetic, np.array([[3.0, -1.0, 2.0], [0.5, 0.25, 7.0]])).sort()
        contains(sorted_, [Fraction(v) for v in (-1, 2, 3, 0.25, 0.5, 7)])
        assert sorted_[:, 0].upper() == [-1, Fraction(1, 4)]
        assert sorted_[:, 2].upper() == [3, 7]


@pytest.mark.parametrize("arithmetic", BOTH)
def test_the_mask_discards_lost_entries(arithmetic):
    """`where` may drop a lost entry, because the mask is known from shapes alone."""
    with ARITHMETICS[arithmetic]().running():
        x = make(arithmetic, np.array([np.nan, 2.0])).where(np.array([False, True]), 1)
        assert x.positive().tolist() == [True, True]
        assert x.upper() == [1, 2]


@pytest.mark.parametrize("arithmetic", BOTH)
def test_square_roots_enclose(arithmetic):
    """sqrt of points and of intervals against Arb; lost where the argument may be negative."""
    x = np.abs(np.concatenate([wild(4000, 11), np.array(CORNERS)]))
    with ARITHMETICS[arithmetic]().running():
        lo, hi = make(arithmetic, x).sqrt().bounds()
        with flint.ctx.workprec(300):
            for a, b, value in zip(lo.tolist(), hi.tolist(), x.tolist(), strict=True):
                root = flint.arb(value).sqrt()
                assert not flint.arb(a) > root
                assert not flint.arb(b) < root
        lo, hi = make(arithmetic, np.array([1.0]), np.array([4.0])).sqrt().bounds()
        assert lo[0] <= 1
        assert hi[0] >= 2
        assert not make(arithmetic, np.array([-1.0, -TINY]), np.array([4.0, 4.0])).sqrt().positive().any()
        assert not make(arithmetic, np.array([-2.0]), np.array([-1.0])).sqrt().positive().any()


@pytest.mark.parametrize("arithmetic", BOTH)
def test_exponentials_enclose(arithmetic):
    """exp of points and intervals against Arb at 300 bits, far outside the float range too."""
    x = np.concatenate(
        [wild(4000, 13, -40, 12), np.array(CORNERS), np.array([699.9, 700.0, 700.1, -700.1, -745.2, 710.0])]
    )
    with ARITHMETICS[arithmetic]().running():
        lo, hi = make(arithmetic, x).exp().bounds()
        with flint.ctx.workprec(300):
            for a, b, value in zip(lo.tolist(), hi.tolist(), x.tolist(), strict=True):
                true = flint.arb(value).exp()
                assert not flint.arb(a) > true
                assert not flint.arb(b) < true
                assert not np.isnan(a)
        lo, hi = make(arithmetic, np.array([-1.0]), np.array([2.0])).exp().bounds()
        assert lo[0] <= 0.36787944117144232
        assert hi[0] >= 7.3890560989306502


@pytest.mark.parametrize("arithmetic", BOTH)
def test_dyadic_hints_are_enclosed(arithmetic):
    """m * 2**e for mantissas to 2**53 and exponents to +-1000, and where the result is subnormal."""
    mantissa = np.array([0, 1, -1, 2**53, -(2**53), 2**53 - 1, 3, -7, 1, 2**52 + 1], dtype=np.int64)
    exponent = np.array([1000, -1000, 1000, -1000, 900, -1000, 5, -3, 1000, 0], dtype=np.int64)
    with ARITHMETICS[arithmetic]().running():
        x = ARITHMETICS[arithmetic]().dyadic(mantissa, exponent)
        exact = [Fraction(m) * Fraction(2) ** e for m, e in zip(mantissa.tolist(), exponent.tolist(), strict=True)]
        contains(x, exact)
        assert [v is not None and v >= t for v, t in zip(x.upper(), exact, strict=True)] == [True] * len(exact)
        edge = ARITHMETICS[arithmetic]().dyadic(np.array([2**53, -(2**53)]), np.array([1000, 1000]))
        contains(edge, [Fraction(2) ** 1053, -(Fraction(2) ** 1053)])


@pytest.mark.parametrize("arithmetic", BOTH)
@settings(max_examples=examples(200))
@given(value=st.fractions(min_value=-(10**9), max_value=10**9))
def test_fractions_are_enclosed(arithmetic, value):
    """One rational between its bounds, whatever its denominator."""
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        for x in (value, value / 3**50, value * 7**60, value / 2**1060, value / 10**300):
            contains(arith.fraction(x).reshape(1), [x])


@pytest.mark.parametrize("arithmetic", BOTH)
@pytest.mark.parametrize("power", [309, 400])
def test_fractions_past_the_float_range_decide_nothing_false(arithmetic, power):
    """A rational that no float holds is enclosed or lost, and raises nothing (ln_eps may be such a number)."""
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        contains(arith.fraction(Fraction(10**power)).reshape(1), [Fraction(10**power)])
        contains(arith.fraction(Fraction(-(10**power))).reshape(1), [Fraction(-(10**power))])
        contains(arith.fraction(Fraction(1, 10**power)).reshape(1), [Fraction(1, 10**power)])


@pytest.mark.parametrize("arithmetic", BOTH)
@pytest.mark.parametrize("exponent", [0, 5, -60, -1074, -1100, -2000, 900, 1000, 2000])
def test_integers_of_any_size_are_enclosed(arithmetic, exponent):
    """n * 2**e for n of 1 to 300 bits, just above and below 53-bit boundaries, both signs."""
    numbers = [
        0,
        1,
        2**53 - 1,
        2**53,
        2**53 + 1,
        2**54 + 1,
        2**54 - 1,
        2**60 + 1,
        2**107 - 1,
        3**189,
        2**300 - 1,
        2**300 + 1,
    ]
    rng = np.random.default_rng(exponent % 97)
    numbers += [
        int(rng.integers(1, 2**62)) << int(rng.integers(0, 90)) | int(rng.integers(0, 2**62)) for _ in range(200)
    ]
    numbers += [-n for n in numbers]
    flat = np.empty(len(numbers), dtype=object)
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        flat.flat = numbers if arithmetic == "float64" else [flint.fmpz(n) for n in numbers]
        matrix = type(arith.integers(np.zeros(1, dtype=np.int64)))(
            flat, exponent, arith.integers(np.zeros(1, dtype=np.int64)).to_enclosure
        )
        result = matrix.enclose()
        contains(result, [Fraction(n) * Fraction(2) ** exponent for n in numbers])
        if exponent in (0, 5, -60):
            lo, hi = result.bounds()
            assert (np.abs(hi - lo) <= np.abs(lo) * 2.0**-50 + 3 * TINY).all()


@settings(max_examples=examples(300))
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_up_and_down_reach_the_neighbours(x):
    """up(x) >= the next float, down(x) <= the one before: enough for half an ulp of rounding."""
    with np.errstate(all="ignore"):
        assert up(np.array(x)) >= np.nextafter(x, np.inf)
        assert down(np.array(x)) <= np.nextafter(x, -np.inf) or np.isinf(np.nextafter(x, -np.inf))


def test_up_and_down_reach_the_neighbours_at_corners():
    """The same at the boundaries of binades, of subnormals, and at zero."""
    exponents = np.arange(-1074, 1023)
    x = np.concatenate([np.ldexp(1.0, exponents), np.nextafter(np.ldexp(1.0, exponents), 0), [0.0]])
    for y in (x, -x):
        assert (up(y) >= np.nextafter(y, np.inf)).all()
        assert (down(y) <= np.nextafter(y, -np.inf)).all()


@pytest.mark.parametrize("arithmetic", BOTH)
def test_upper_ends_are_exact_and_no_lower_than_the_numbers(arithmetic):
    """`upper` gives fractions at or above every number it stands for."""
    with ARITHMETICS[arithmetic]().running():
        lo, hi = intervals(21, 50)
        for value, end in zip(make(arithmetic, lo, hi).upper(), hi.tolist(), strict=True):
            assert value >= Fraction(end)
        third = make(arithmetic, np.ones(1)) / make(arithmetic, np.full(1, 3.0))
        assert third.upper()[0] >= Fraction(1, 3)
        assert make(arithmetic, np.array([np.inf, -np.inf, np.nan])).upper() == [None] * 3


def test_arb_upper_ends_of_astronomical_numbers_are_given_at_once():
    """exp(+-10**60) needs no 10**60-bit fraction: an upper end that is cheap, valid, or None."""
    with ArbArithmetic().running():
        ends = ArbEnclosure(np.array([flint.arb(-(10**60)).exp(), flint.arb(10**60).exp()], dtype=object)).upper()
        assert ends[0] is None or 0 < ends[0] < Fraction(1, 2**1000)
        assert ends[1] is None or ends[1] > 2**1000


@pytest.mark.parametrize("arithmetic", BOTH)
def test_stacks_keep_their_entries(arithmetic):
    """Stacking along either axis keeps every bound in its place."""
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        a, b = make(arithmetic, np.array([1.0, 2.0, 3.0])), make(arithmetic, np.array([4.0, 5.0, 6.0]))
        contains(arith.stack([a, b]), [Fraction(v) for v in (1, 2, 3, 4, 5, 6)])
        contains(arith.stack([a, b], axis=1), [Fraction(v) for v in (1, 4, 2, 5, 3, 6)])
        assert arith.stack([a, b], axis=1).shape == (3, 2)


def test_arb_runs_at_its_own_precision():
    """Inside `running` FLINT works at 128 bits, outside at whatever was set before."""
    before = flint.ctx.prec
    with ArbArithmetic().running():
        assert flint.ctx.prec == 128
    assert flint.ctx.prec == before


@pytest.mark.parametrize("arithmetic", BOTH)
@pytest.mark.parametrize(
    ("lo", "hi", "low", "high"),
    [(-3.0, -2.0, 2.0, 3.0), (2.0, 3.0, 2.0, 3.0), (-3.0, 2.0, 0.0, 3.0), (-2.0, 3.0, 0.0, 3.0), (0.0, 0.0, 0.0, 0.0)],
)
def test_the_absolute_value_is_enclosed_and_as_narrow_as_can_be(arithmetic, lo, hi, low, high):
    """|[lo, hi]| is [low, high]: exactly in float64; in Arb with its upper end, which is all that bounds need."""
    found = make(arithmetic, np.array([lo]), np.array([hi])).absolute()
    contains(found, [Fraction(low)])
    contains(found, [Fraction(high)])
    got = tuple(float(end[0]) for end in found.bounds())
    if arithmetic == "float64":
        assert got == (low, high)
    else:
        assert got[1] <= high + 1e-6
