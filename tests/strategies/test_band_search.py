"""The search for band proofs: it stays within its budget, keeps what it was told, and finds more with more."""

from itertools import combinations, pairwise

import numpy as np
import pytest

import pessimal as ps
from pessimal.kernel.certificate import decode
from pessimal.proving import BUDGETS, Frontier
from pessimal.proving.words import make_strategy, read_budget
from pessimal.search.classes import contiguous_classes
from pessimal.search.climb import climb
from support.models import Sizes, build, planted_tensors, random_tensors

pytestmark = pytest.mark.survey

SIZES = Sizes(11, 13, 7, 3, 3)
WEIGHTS = build(planted_tensors(SIZES, sharpness=1.0, gain=1.0, noise=0.001, seed=1))
TASK = SIZES.task()
BUDGET = 24_000
# With these fixed, a search takes a moment.
SMALL = {
    "first": 2,
    "rivals_from": 0,
    "rivals_below": 0,
    "rivals_above": 0,
    "position_scores": "exact",
    "rival": "centred",
}


@pytest.fixture(scope="module")
def proof():
    return ps.prove(WEIGHTS, TASK, ps.Band(**SMALL, budget=BUDGET))


def test_a_proof_fits_its_budget_and_checks(proof):
    """flops <= budget; both arithmetics verify the claim; and it says something."""
    assert proof.cost.flops <= BUDGET
    assert 4 * proof.claim.correct > proof.claim.total
    for arithmetic in ("float64", "arb"):
        assert ps.check(proof, WEIGHTS, arithmetic=arithmetic).verified


def test_the_same_search_gives_the_same_bytes(proof):
    """No randomness, no clock."""
    assert ps.prove(WEIGHTS, TASK, ps.Band(**SMALL, budget=BUDGET)).data == proof.data


def test_a_larger_budget_certifies_no_less(proof):
    """Every proof within the smaller budget is a proof within the larger; the search may lose a little of that."""
    larger = ps.prove(WEIGHTS, TASK, ps.Band(**SMALL, budget=4 * BUDGET))
    assert larger.claim.correct >= proof.claim.correct


def test_options_that_are_given_are_kept():
    """first, near, cells and words stand in the certificate as asked."""
    asked = ps.Band(first=4, near=3, cells=5, rivals_below=1, classes=2, position_scores="rank-one", budget=BUDGET)
    hints = decode(ps.prove(WEIGHTS, TASK, asked).data).hints
    assert {name: hints.options[name] for name in ("first", "near", "cells", "rivals_below", "position_scores")} == {
        "first": 4, "near": 3, "cells": 5, "rivals_below": 1, "position_scores": "rank-one",
    }  # fmt: skip
    assert sorted(set(hints.arrays["classes"].tolist())) == [0, 1]


def test_a_budget_that_fits_nothing_is_refused():
    """One sentence with the budget, reason resources."""
    with pytest.raises(ps.Rejected, match="a budget of 100 flops is too small") as caught:
        ps.prove(WEIGHTS, TASK, ps.Band(budget=100))
    assert caught.value.reason == ps.Reason.RESOURCES


@pytest.mark.parametrize(
    "options", [{"near": 0}, {"cells": 0}, {"classes": 0}, {"rivals_below": -1}, {"rival": "plain"}]
)
def test_options_out_of_range_are_refused(options):
    """Before anything is computed."""
    with pytest.raises(ps.StrategyError):
        ps.Band(**options)


def test_the_best_strategy_within_a_budget_is_at_least_as_good_as_each(proof):
    """`within` never does worse than one of its strategies."""
    best = ps.within(WEIGHTS, TASK, BUDGET)
    moment = ps.prove(WEIGHTS, TASK, ps.ExponentialMoment(budget=BUDGET))
    assert best.cost.flops <= BUDGET
    assert best.claim.correct >= max(proof.claim.correct, moment.claim.correct)


def test_strategies_that_do_not_cover_a_model_are_passed_over():
    """Two heads: band and cubic refuse, the moment bound does not."""
    weights = build(random_tensors(Sizes(5, 7, 3, 2, 3, 2), 1))
    task = Sizes(5, 7, 3, 2, 3, 2).task()
    assert Frontier(weights, task).within(2**24).strategy not in {"band", "cubic"}


def test_a_frontier_rises_and_resumes(tmp_path):
    """Rows rise in length and bound; a second run adds none."""
    budgets = (15_000, 20_000)
    rows = ps.frontier(WEIGHTS, TASK, tmp_path, "m", budgets)
    assert [row["flops"] for row in rows] == sorted({row["flops"] for row in rows})
    assert [int(row["correct"]) for row in rows] == sorted({int(row["correct"]) for row in rows})
    ledger = (tmp_path / "results.jsonl").read_bytes()
    assert ps.frontier(WEIGHTS, TASK, tmp_path, "m", budgets) == rows
    assert (tmp_path / "results.jsonl").read_bytes() == ledger


def test_a_frontier_without_any_proof_is_refused(tmp_path):
    """Nothing fits nine flops."""
    with pytest.raises(ps.Rejected):
        ps.frontier(WEIGHTS, TASK, tmp_path, "m", (9,))


@pytest.mark.parametrize(("text", "value"), [("9", 9), ("2^20", 2**20), ("2^20.5", 1482910), ("3^2", 9)])
def test_budgets_are_numbers_or_powers(text, value):
    """Plain, power, and a power with a fraction, rounded down."""
    assert read_budget(text) == value


@pytest.mark.parametrize("text", ["", "-1", "2^", "^2", "2^2^2", "2.5", "2^200", "1e", "1e-3"])
def test_other_budgets_are_refused(text):
    """With an example of what would do."""
    with pytest.raises(ps.StrategyError, match="such as"):
        read_budget(text)


def test_words_of_options_and_budgets_make_the_strategy_they_say():
    """Options and budgets in words."""
    assert make_strategy("band", ["near=3", "rival=joint", "budget=2^19"]) == ps.Band(
        near=3, rival="joint", budget=2**19
    )
    assert make_strategy("exact", ["nodes=5"]) == ps.Exact(nodes=5)
    with pytest.raises(ps.StrategyError, match="no option"):
        make_strategy("band", ["wide=3"])


def test_default_budgets_rise_by_the_square_root_of_two():
    """2**18 to 2**26."""
    assert BUDGETS[0] == 2**18
    assert BUDGETS[-1] == 2**26
    assert all(1.41 < b / a < 1.42 for a, b in pairwise(BUDGETS))


def test_climbing_reaches_the_top_of_a_slope():
    """A concave score over two integers: the climb ends at its maximum, and asks for every point once."""
    asked = []

    def score(point):
        asked.append(tuple(sorted(point.items())))
        return float(-((point["a"] - 3) ** 2) - (point["b"] + 2) ** 2)

    best = climb([{"a": 0, "b": 0}, {"a": 9, "b": 9}], [{"a": 1}, {"a": -1}, {"b": 1}, {"b": -1}], score)
    assert best == {"a": 3, "b": -2}
    assert len(asked) == len(set(asked))


def test_options_are_read_as_numbers_of_their_kind():
    """Whole numbers, shares and words; anything else is refused in a sentence that names the option."""
    found = make_strategy("grid-count", ["cells=64", "negligible=1e-6", "rival=joint"])
    assert (found.cells, found.negligible, found.rival) == (64, 1e-6, "joint")
    for word in ("cells=1.5", "negligible=few", "negligible=nan", "negligible=-1", "cells=0"):
        with pytest.raises(ps.StrategyError, match=word.partition("=")[0]):
            make_strategy("grid-count", [word])


def test_climbing_from_nowhere_is_an_error():
    """No allowed start."""
    with pytest.raises(ValueError, match="start"):
        climb([{"a": 0}], [{"a": 1}], lambda _: float("-inf"))


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_classes_are_the_best_runs(number):
    """Against all ways to cut the sorted values."""
    values = np.random.default_rng(number).normal(size=7)
    line = np.sort(values)

    def cost(cuts):
        parts = np.split(line, cuts)
        return sum(len(part) * (part[-1] - part[0]) for part in parts)

    found = contiguous_classes(values, number)
    assert sorted(set(found.tolist())) == list(range(number))
    cuts = np.flatnonzero(np.diff(found[np.argsort(values)])) + 1
    best = min(cost(list(one)) for one in combinations(range(1, 7), number - 1))
    assert cost(cuts) == pytest.approx(best)
