"""The search for proofs by comparisons: what it refuses at once, and what it keeps when it is stopped."""

import pytest

import pessimal as ps
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import no_progress
from pessimal.spec.question import Question
from pessimal.strategies import OutOfTimeError, StrategyError
from pessimal.testing import tiny_weights

TASK = ps.MaxOfK(4, 11)
WEIGHTS = tiny_weights(3, k=4, d_vocab=11)
QUESTION = Question(TASK)


def stopping(after):
    """Progress that says the time is up, once."""
    calls = iter(range(after, -1, -1))

    def told(done, total):
        del done, total
        if next(calls, None) == 0:
            raise OutOfTimeError

    return told


@pytest.mark.parametrize("way", ["search", "order", "at-once"])
def test_a_budget_below_the_tables_is_refused_with_the_least_that_works(way):
    strategy = ps.Comparisons(way=way, budget=1000)
    least = strategy.least_flops(WEIGHTS, QUESTION)
    with pytest.raises(Rejected, match=f"a budget of 1000 flops is too small: these options need {least}"):
        strategy.hints(WEIGHTS, QUESTION, no_progress)


@pytest.mark.parametrize("way", ["search", "order", "at-once"])
@pytest.mark.parametrize("times", [1, 1.2, 2])
def test_no_proof_is_longer_than_its_budget(way, times):
    least = ps.Comparisons(way=way).least_flops(WEIGHTS, QUESTION)
    strategy = ps.Comparisons(way=way, budget=int(times * least))
    try:
        hints = strategy.hints(WEIGHTS, QUESTION, no_progress)
    except Rejected as refusal:
        assert "is too small" in refusal.detail  # noqa: PT017 - either is an answer
        return
    assert RULES["comparisons"].read(hints, WEIGHTS.architecture, QUESTION).cost().flops <= strategy.budget


def test_more_rivals_counted_from_below_than_outputs_are_refused_before_the_search():
    with pytest.raises(StrategyError, match="option certain=12 is more than the 11 outputs"):
        ps.Comparisons(way="order", certain=12).hints(WEIGHTS, QUESTION, stopping(0))


@pytest.mark.parametrize("way", ["order", "at-once"])
def test_a_search_for_covers_that_is_stopped_keeps_the_strata_it_has_priced(way):
    strategy = ps.Comparisons(way=way)
    whole = strategy.hints(WEIGHTS, QUESTION, no_progress)
    hints = strategy.hints(WEIGHTS, QUESTION, stopping(60 if way == "at-once" else 30))
    assert 0 < hints.options["strata"] < whole.options["strata"]
    assert RULES["comparisons"].read(hints, WEIGHTS.architecture, QUESTION)


def test_a_search_that_is_stopped_keeps_the_prefixes_it_has_tried():
    task, weights = ps.MaxOfK(3, 67), tiny_weights(3, k=3, d_vocab=67)
    whole = ps.Comparisons(near=4).hints(weights, Question(task), no_progress)
    kept = ps.Comparisons(near=4).hints(weights, Question(task), stopping(3))
    assert 0 < kept.options["tries"] < whole.options["tries"]


@pytest.mark.parametrize("way", ["order", "at-once", "joint"])
def test_a_model_with_nothing_to_count_is_certified_without_a_count(way):
    weights, task = tiny_weights(2, k=3), ps.MaxOfK(3, 5)
    assert ps.prove(weights, task, ps.Comparisons(way=way)).claim.correct == 125
