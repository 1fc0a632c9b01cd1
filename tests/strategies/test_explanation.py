"""Explanations of a planted maximum: the right one scores, wrong ones do not, and nobody has to believe the numbers."""

import numpy as np
import pytest

import pessimal as ps
from pessimal.kernel.rejection import Rejected
from pessimal.strategies.explanation import Explanation, float_tables
from pessimal.testing import tiny_weights

TASK = ps.MaxOfK(3, 5)
PLANTED = tiny_weights(2, k=3)
RIGHT = {"EQKE": "rising", "EVOU": "diagonal"}


def score(words, weights=PLANTED, **arrays):
    proof = ps.prove(weights, TASK, Explanation(words, arrays))
    assert ps.check(proof, weights)
    return proof


def test_it_attends_to_the_largest_and_copies_it():
    proof = score(RIGHT)
    assert proof.claim.correct > 62
    # Gain, profile and ranges of EQKE; what the diagonal keeps, the middles and ranges of EVOU; ranges of the rest.
    assert proof.cost.unexplained_dims == 15 + 15 + 5 + 3 + 5
    assert score(dict.fromkeys(float_tables(PLANTED), "table")).claim.correct == 125


@pytest.mark.parametrize(
    "words",
    [
        {"EQKE": "falling", "EVOU": "diagonal"},
        {"EQKE": "noise", "EVOU": "diagonal"},
        {"EQKE": "rising", "EVOU": "shift=1"},
        {"EQKE": "rising"},
        {},
    ],
)
def test_wrong_explanations_score_nothing(words):
    assert score(words).claim.correct <= 1


def test_numbers_of_ones_own_are_as_good_as_they_are():
    table = float_tables(PLANTED)["EQKE"]
    words = {**RIGHT, "EQKE": "array"}
    assert score(words, EQKE_array=table).claim.correct >= score(RIGHT).claim.correct
    assert score(words, EQKE_array=-table).claim.correct <= 1
    assert score(words, EQKE_array=np.random.default_rng(0).normal(size=(5, 5))).claim.correct <= 62


def test_what_is_said_must_fit_the_model():
    with pytest.raises(Rejected, match="option EQKE must be one of"):
        score({"EQKE": "prayer"})
    with pytest.raises(Rejected, match="EVOU_array must be float64 of shape"):
        score({"EVOU": "array"}, EVOU_array=np.ones((5, 4)))
