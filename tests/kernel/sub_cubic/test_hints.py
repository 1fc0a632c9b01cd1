"""Hints of the sub-cubic rule out of form, out of range, missing or too many: bad-hint."""

import numpy as np
import pytest

from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.published.sub_cubic.averaging import DROP, MAX_POINTS, MEAN
from pessimal.spec.question import Question
from pessimal.strategies.sub_cubic import pack_halfwords
from support.bounds import cost_of
from support.sub_cubic import CASES, EXACT, ONE, certified, changed, model, searched


def rejected(hints: Hints, match: str, case: str = "plain") -> None:
    """Both by the cost (before anything is computed) or, where only values are wrong, by the bound."""
    with pytest.raises(Rejected, match=match) as caught:
        certified(case, hints)
    assert caught.value.reason == Reason.BAD_HINT


def rejected_by_form(hints: Hints, match: str) -> None:
    """Already by the cost, before any number is read."""
    with pytest.raises(Rejected, match=match) as caught:
        cost_of("sub-cubic", model("plain").architecture, Question(CASES["plain"].task()), hints)
    assert caught.value.reason == Reason.BAD_HINT


def good(attention: str = MEAN, points: int = 3, error: str = "max_diff_subproduct") -> Hints:
    return searched("plain", "svd_query+max_diff", attention, error, points, "exact", "query")


@pytest.mark.parametrize("row", [[5, 5, 6], [6, 5, 7], [1, 3, 2], [0, 1, ONE + 1]])
def test_points_must_increase_and_stay_below_one(row):
    ok = np.array([[0, 1, ONE]] * 3)
    assert certified("plain", changed(good(), None, {"points": pack_halfwords(ok)})) >= 0
    for m in (0, 2):
        bad = ok.copy()
        bad[m] = row
        rejected(changed(good(), None, {"points": pack_halfwords(bad)}), "must increase")


def test_a_single_point_may_be_one_and_no_more():
    hints = good(points=1)
    assert certified("plain", changed(hints, None, {"points": pack_halfwords(np.full((3, 1), ONE))})) >= 0
    rejected(changed(hints, None, {"points": pack_halfwords(np.array([[0], [ONE + 1], [0]]))}), "must increase")


@pytest.mark.parametrize("name", ["direct", "attention", "attention_error", "cross", "count", "gaps"])
@pytest.mark.parametrize("value", ["", "Exact", "none", 0, 1])
def test_words_outside_the_lists_are_rejected(name, value):
    rejected(changed(good(), {name: value}), f"option {name} must be one of")


@pytest.mark.parametrize("name", ["direct", "attention", "attention_error", "cross", "count", "gaps", "points"])
def test_every_option_is_needed(name):
    hints = good()
    rejected(Hints({k: x for k, x in hints.options.items() if k != name}, hints.arrays), f"option {name} must be")


@pytest.mark.parametrize("points", [0, -1, MAX_POINTS + 1, "3", 3.0, True])
def test_the_number_of_points_is_bounded(points):
    rejected(changed(good(), {"points": points}), "option points must be an integer from 1 to 64")


def test_as_many_points_as_allowed():
    rows = np.array([np.arange(MAX_POINTS) * 500] * 3)
    assert certified("plain", changed(good(), {"points": MAX_POINTS}, {"points": pack_halfwords(rows)})) >= 0


@pytest.mark.parametrize("points", [1, 2, -1])
def test_without_averaging_there_are_no_points(points):
    rejected(changed(good(DROP, 0), {"points": points}), "option points must be an integer from 0 to 0")


def test_exactly_the_hints_that_are_read():
    hints = good()
    assert certified("plain", hints) >= 0
    for name in hints.arrays:
        rejected(Hints(hints.options, {k: x for k, x in hints.arrays.items() if k != name}), "exactly these hints")
    rejected(changed(hints, {"more": 1}), "exactly these hints")
    rejected(changed(hints, None, {"more": np.zeros(1)}), "exactly these hints")
    rejected(changed(good(DROP, 0), None, {"points": np.zeros(1, dtype=np.int64)}), "exactly these hints")
    rejected(changed(hints, {"direct": "max_diff"}), "exactly these hints")
    rejected(changed(hints, {"attention_error": EXACT}), "exactly these hints")
    rejected(changed(hints, {"attention_error": "max_diff"}), "exactly these hints")


@pytest.mark.parametrize("name", ["direct_direction", "query_direction", "key_direction", "w_q_direction"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_directions_must_be_finite_float64_of_their_shape(name, value):
    array = good().arrays[name]
    bad = array.copy()
    bad.flat[-1] = value
    rejected_by_form(changed(good(), None, {name: bad}), "not finite")
    rejected_by_form(changed(good(), None, {name: array.astype(np.float32)}), "must be float64")
    rejected_by_form(changed(good(), None, {name: array.ravel()[:-1]}), "must be float64")
    rejected_by_form(changed(good(), None, {name: array[np.newaxis]}), "must be float64")


@pytest.mark.parametrize(
    "array", [np.zeros(4, np.int64), np.zeros(6, np.int64), np.zeros(5), np.zeros((5, 1), np.int64)]
)
def test_gaps_have_one_length(array):
    """Three rows of six classes: eighteen numbers in five words."""
    assert good().arrays["gap"].shape == (5,)
    rejected_by_form(changed(good(), None, {"gap": array}), "array gap must be int64")
