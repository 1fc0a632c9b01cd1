"""Numbers for words: a table that is what a word says leaves nothing over, and no nearby numbers leave less."""

import numpy as np
import pytest

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.words import WITH_VALUE, WORDS, stand_in
from pessimal.search.fits import fitted, gains, isotonic
from support.stories import random_word

WORDS_FITTED = sorted(set(WORDS) - {"array", "table"})


def left_over(word, value, table, arrays):
    """Sum of the ranges of the rows, as the kernel finds them."""
    text = f"{word}={value}" if value else word
    hints = Hints({"X": text}, {f"X_{name}": array for name, array in arrays.items()})
    said, read = stand_in(hints, "X", table.shape)
    assert read == set(hints.arrays)
    low, high = said.enclosed(Float64Arithmetic().matrix(table), Float64Arithmetic()).bounds()
    return float((high - low).max(1).sum())


def value_of(word):
    return {"rank": "2", "shift": "1", "column": "3", "periodic": "3", "linear": "up"}.get(word, "")


@pytest.mark.parametrize("word", WORDS_FITTED)
def test_every_word_is_fitted_with_the_arrays_that_it_takes(word):
    for seed in range(5):
        table = np.random.default_rng(seed).normal(size=(5, 7))
        assert left_over(word, value_of(word), table, fitted(word, value_of(word), table)) < 5 * 10
    assert set(WITH_VALUE) <= {word for word in WORDS if value_of(word)}


@pytest.mark.parametrize("word", sorted(set(WORDS_FITTED) - {"noise", "diagonal", "shift", "column"}))
def test_a_table_that_is_what_the_word_says_leaves_nothing_over(word):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        options, arrays = random_word(rng, "X", (5, 7), word, value=value_of(word) or None, shared=False)
        said, _ = stand_in(Hints(options, arrays), "X", (5, 7))
        table = np.linalg.multi_dot(said.factors) if len(said.factors) > 1 else said.factors[0]
        table = table / np.ptp(table) + rng.normal(size=(5, 1))
        assert left_over(word, value_of(word), table, fitted(word, value_of(word), table)) < 1e-6


def test_no_other_gain_leaves_a_smaller_range():
    rng = np.random.default_rng(0)
    table, profile = rng.normal(size=(11, 7)), rng.normal(size=(1, 7))
    found = gains(table, profile)
    for gain in np.linspace(-9, 9, 4001):
        others = np.ptp(table - gain * profile, axis=1)
        assert (np.ptp(table - found * profile, axis=1) <= others + 1e-9).all()
    assert (gains(table, profile, 1) >= 0).all()
    assert (gains(table, profile, -1) <= 0).all()
    assert (gains(table, np.ones((1, 7))) == 0).all()


def test_neighbours_that_fall_are_replaced_by_their_mean():
    assert isotonic(np.array([1.0, 3, 2, 4, 0])).tolist() == [1, 2.25, 2.25, 2.25, 2.25]
    assert isotonic(np.array([1.0, 2, 3])).tolist() == [1, 2, 3]


def test_the_largest_slope_that_is_not_wrong_is_kept():
    table = -np.arange(7.0)[np.newaxis] * np.ones((3, 1))
    assert (fitted("linear", "up", table)["slope"] == 0).all()
    assert np.allclose(fitted("linear", "down", table)["slope"], -1)
    assert np.allclose(fitted("linear", "", table)["slope"], -1)
