"""Tables within what stands for them: every row less a common shift lies in its enclosure, whatever is said of it.

Accuracies hardly notice a radius that is too small by a hundredth, so containment is tested at the tables, exactly.
"""

from fractions import Fraction

import numpy as np
import pytest

from pessimal.kernel.arithmetic import ArbArithmetic, Float64Arithmetic
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.stand_ins import StandIn
from pessimal.kernel.model.words import WORDS, stand_in
from pessimal.kernel.rejection import Rejected
from support.stories import random_word

SHAPES = [(5, 5), (3, 7), (7, 3), (2, 1), (1, 4)]


def exact(matrix):
    """A table of exact numbers as rationals."""
    unit = Fraction(2) ** matrix.exponent
    return [[int(n) * unit for n in row] for row in matrix.numbers.tolist()]


def ends(enclosure):
    """Lower and upper ends as rationals."""
    return [[[Fraction(x) for x in row] for row in end.tolist()] for end in enclosure.bounds()]


def misses(table, low, high):
    """By row, how much is missing so that some shift puts the row into its enclosure; not positive if nothing is."""
    rows = zip(table, low, high, strict=True)
    return [
        max(x - up for x, up in zip(row, ups, strict=True)) - min(x - lo for x, lo in zip(row, los, strict=True))
        for row, los, ups in rows
    ]


def others_range(table, numbers, kept):
    """By row, the range of what is left over of the columns that are not kept."""
    found = []
    for row, own, column in zip(table, numbers, kept, strict=True):
        left = [x - s for i, (x, s) in enumerate(zip(row, own, strict=True)) if i != column]
        found.append(max(left, default=Fraction(0)) - min(left, default=Fraction(0)))
    return found


def numbers_of(said, shape):
    """S in rationals."""
    if not said.factors:
        return [[Fraction(0)] * shape[1] for _ in range(shape[0])]
    factors = [[[Fraction(float(x)) for x in row] for row in factor] for factor in said.factors]
    if len(factors) == 1:
        return factors[0]
    left, right = factors
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*right, strict=True)] for row in left
    ]


def cases(n):
    """Tables and words, every word equally often; sizes of both over many powers of two."""
    for seed in range(n):
        rng = np.random.default_rng(seed)
        shape = SHAPES[seed % len(SHAPES)]
        table = rng.normal(size=shape) * 2.0 ** rng.integers(-30, 30, size=shape if seed % 3 else (shape[0], 1))
        word = list(WORDS)[seed // len(SHAPES) % len(WORDS)]
        yield rng, shape, table, word


def require_within(arith, bits, n):
    """Some shift puts every row into its enclosure, no wider than it has to be; kept entries are numbers."""
    for rng, shape, table, word in cases(n):
        options, arrays = random_word(rng, "X", shape, word)
        said, read = stand_in(Hints(options, arrays), "X", shape)
        assert read == set(arrays)
        with arith.running():
            matrix = arith.matrix(table)
            found = said.enclosed(matrix, arith)
        true, (low, high) = exact(matrix), ends(found)
        assert max(misses(true, low, high)) <= 0
        assert max(map(max, high)) <= max(abs(x) for row in low for x in row) / 2**bits + Fraction(1, 2**1000)
        if said.exact:
            continue
        kept = [-1] * shape[0] if said.kept is None else said.kept.tolist()
        wanted = others_range(true, numbers_of(said, shape), kept)
        size = max(abs(x) for row in low for x in row)
        for row, (width, column) in enumerate(zip(wanted, kept, strict=True)):
            for i in range(shape[1]):
                allowed = Fraction(0) if i == column else width
                assert high[row][i] - low[row][i] <= allowed * (1 + Fraction(1, 2**bits)) + size / 2**48 + Fraction(
                    1, 2**1000
                )


# Balls of Arb have radii of 30 bits.
@pytest.mark.parametrize(("arith", "bits", "n"), [(Float64Arithmetic(), 30, 1400), (ArbArithmetic(), 26, 350)])
def test_every_row_less_a_common_shift_lies_in_its_enclosure(arith, bits, n):
    require_within(arith, bits, n)


@pytest.mark.slow
def test_ten_thousand_tables_lie_in_their_enclosures():
    require_within(Float64Arithmetic(), 30, 10000)


def test_too_small_a_radius_is_noticed_at_the_tables():
    """A thousandth is; so are a shift on one side only, and a diagonal that is counted among the others."""
    noticed, arith = {"radius": 0, "one side": 0}, Float64Arithmetic()
    for rng, shape, table, word in cases(500):
        if word == "table" or shape[1] < 3:
            continue
        said, _ = stand_in(Hints(*random_word(rng, "X", shape, word)), "X", shape)
        matrix = arith.matrix(table)
        low, high = ends(said.enclosed(matrix, arith))
        true = exact(matrix)
        small = [
            [(lo, hi - (hi - lo) / 1000) for lo, hi in zip(*both, strict=True)] for both in zip(low, high, strict=True)
        ]
        lows, highs = ([[pair[i] for pair in row] for row in small] for i in (0, 1))
        noticed["radius"] += max(misses(true, lows, highs)) > 0
        first = (
            [[lo + (i == 0) for i, lo in enumerate(row)] for row in low],
            [[hi + (i == 0) for i, hi in enumerate(row)] for row in high],
        )
        noticed["one side"] += max(misses(true, *first)) > 0
    assert min(noticed.values()) > 200, noticed


def test_a_kept_diagonal_is_not_among_the_others():
    """Its own entries may be far from the rest, which stays narrow."""
    arith, table = Float64Arithmetic(), np.eye(5) * 100 + np.random.default_rng(0).normal(size=(5, 5))
    said, _ = stand_in(Hints({"X": "diagonal"}), "X", (5, 5))
    low, high = said.enclosed(arith.matrix(table), arith).bounds()
    off = ~np.eye(5, dtype=bool)
    assert (high - low)[off].max() < 5
    assert (high - low)[~off].max() < 1e-9
    assert np.allclose((low - high.max(1, keepdims=True))[~off], 0, atol=1e-9)


REFUSED = [
    ({}, {}, "option X must be one of table, noise"),
    ({"X": 3}, {}, "option X must be one of"),
    ({"X": "prayer"}, {}, "option X must be one of"),
    ({"X": "rank"}, {}, "X: rank needs a number, as rank=1"),
    ({"X": "noise=2"}, {}, "X: noise takes no value"),
    ({"X": "rank=1000000000"}, {}, "X: '1000000000' is not a number from 1 to 3"),
    ({"X": "rank=-1"}, {}, "X: '-1' is not a number from 1 to 3"),
    ({"X": "rank=0"}, {}, "X: '0' is not a number from 1 to 3"),
    ({"X": "rank=٣"}, {}, "is not a number from 1 to 3"),
    ({"X": "rank=1"}, {}, "array X_left must be float64 of shape [3, 1]"),
    ({"X": "column=5"}, {}, "X: '5' is not a number from 0 to 4"),
    ({"X": "linear=sideways"}, {}, "X: 'sideways' is neither up nor down"),
    ({"X": "linear=up"}, {"X_slope": -np.ones((3, 1))}, "X: a slope has the wrong sign"),
    ({"X": "linear=down"}, {"X_slope": np.ones((1, 1))}, "X: a slope has the wrong sign"),
    ({"X": "linear=up"}, {"X_slope": np.full((3, 1), np.nan)}, "array X_slope has an entry that is not finite"),
    ({"X": "array"}, {"X_array": np.ones((5, 3))}, "array X_array must be float64 of shape [3, 5]"),
    ({"X": "array"}, {"X_array": np.ones((3, 5), dtype=np.float32)}, "array X_array must be float64"),
    ({"X": "rising"}, {"X_gain": -np.ones((3, 1)), "X_profile": np.ones((1, 5))}, "X: a gain has the wrong sign"),
    (
        {"X": "falling"},
        {"X_gain": np.ones((3, 1)), "X_profile": np.arange(5.0)[np.newaxis]},
        "X: a step of the profile has the wrong sign",
    ),
    (
        {"X": "monotone"},
        {"X_gain": np.ones((3, 1)), "X_profile": np.array([[0.0, 1, 0, 1, 0]])},
        "X: a step of the profile has the wrong sign",
    ),
    ({"X": "periodic=6"}, {}, "X: '6' is not a number from 1 to 5"),
]


@pytest.mark.parametrize(("options", "arrays", "said"), REFUSED)
def test_what_is_no_word_or_lacks_its_numbers_is_refused(options, arrays, said):
    with pytest.raises(Rejected) as refusal:
        stand_in(Hints(options, arrays), "X", (3, 5))
    assert refusal.value.reason == "bad-hint"
    assert said in refusal.value.detail


def test_free_numbers_are_those_of_the_word_and_a_range_for_every_row():
    rng = np.random.default_rng(0)
    wanted = {
        "table": 15, "noise": 3, "array": 18, "rank": 3 + 8 * 2, "rising": 3 + 8, "falling": 3 + 8, "monotone": 3 + 8,
        "linear": 3 + 3, "same": 3 + 5, "diagonal": 9, "shift": 9, "column": 6, "threshold": 3 + 6, "periodic": 3 + 6,
    }  # fmt: skip
    values = {"rank": "2", "periodic": "2"}
    found = {}
    for word in WORDS:
        options, arrays = random_word(rng, "X", (3, 5), word, value=values.get(word), shared=False)
        found[word] = stand_in(Hints(options, arrays), "X", (3, 5))[0].free
    assert found == wanted
    assert StandIn(3).free == 3
