"""The ranked search: arbitrary integers, programs, budgets and weights against every sequence of the stratum, exactly."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.counting import ranked
from pessimal.kernel.counting.integers import IntegerStratum
from pessimal.kernel.counting.ranked import Tally, bits_for, n_ranked, search_ranked
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.spec import MaxOfK, Uniform
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks import FirstOfK
from support.distributions import KINDS, some_distribution
from support.oracle import sequences
from support.sampling import examples
from support.tasks import WIDE

MUCH = 1 << 40


def integers(low: np.ndarray, high: np.ndarray) -> IntegerStratum:
    """Ends by position, token and rival, `[K, v, rivals]`; the last position's are those of the query alone."""
    stratum = object.__new__(IntegerStratum)
    stratum.low, stratum.high, stratum.low_last, stratum.high_last = low[:-1], high[:-1], low[-1, 0], high[-1, 0]
    stratum.lost = False
    return stratum


def some_integers(rng: np.random.Generator, shape: tuple[int, int, int], *, width: int) -> IntegerStratum:
    """As small or as large as they may be, with ties, of rivals that win often or seldom."""
    k, _, rivals = shape
    span = int(rng.choice([1, 3, 50, 10**6, 2 ** bits_for(rivals) // k]))
    low = rng.integers(-span, span + 1, shape)
    low -= (span * rng.random((1, 1, rivals)) * (rng.random() < 0.5)).astype(np.int64)
    low = low.clip(min=-(2 ** bits_for(rivals)) // k)
    return integers(low, (low + rng.integers(0, width + 1, shape)).clip(max=2 ** bits_for(rivals) // k))


@dataclass
class Truth:
    """Weights of the sequences of a stratum that some rival may win, and is sure to."""

    may: Counter
    sure: Counter


def truth_of(question: Question, at: tuple[int, int], stratum: IntegerStratum) -> Truth:
    task, found = question.task, Truth(Counter(), Counter())
    tokens = np.array([row for row in sequences(task.d_vocab, task.k) if row[-1] == at[0]])
    tokens = tokens[task.target(tokens) == at[1]]
    weight = question.distribution.weigh(tokens)
    for row, one in zip(tokens.tolist(), weight.tolist(), strict=True):
        for kind, end, last in (("may", stratum.high, stratum.high_last), ("sure", stratum.low, stratum.low_last)):
            if (sum(end[i, t] for i, t in enumerate(row[:-1])) + last).max() >= 0:
                getattr(found, kind)[tuple(row[:-1])] = one
    return found


def require_within(question: Question, at: tuple[int, int], stratum: IntegerStratum, budget: int) -> Tally:
    """Wrong ones are sure, what may be wrong is in the tally or handed on once; nothing is spent beyond the budget."""
    truth, tally, handed = truth_of(question, at, stratum), Tally(budget), []
    search_ranked(weighing_of(question), stratum, at, tally, lambda rows: handed.extend(map(tuple, rows.tolist())))
    weight = {row: truth.may[row] for row in handed}
    assert len(weight) == len(handed)
    assert 0 <= tally.budget_left <= budget
    assert tally.wrong <= sum(truth.sure.values())
    assert tally.wrong + tally.not_certified + sum(weight.values()) >= sum(truth.may.values())
    assert tally.wrong + tally.not_certified <= weighing_of(question).stratum(*at)
    if tally.not_certified == 0:
        assert set(handed) <= set(truth.may)
        assert tally.wrong + sum(weight.values()) == sum(truth.may.values())
    return tally


def stratum_of(task: AbstractTask, rng: np.random.Generator) -> tuple[int, int]:
    """Any with a sequence."""
    found = np.argwhere(strata_of(task).stratum_index >= 0)
    return tuple(found[rng.integers(len(found))].tolist())


@settings(max_examples=examples(150), deadline=None)
@given(
    st.sampled_from(WIDE), st.integers(0, 2**32 - 1), st.sampled_from(["uniform", *KINDS]), st.sampled_from([1, 2, 256])
)
def test_no_integers_and_no_budget_count_too_little_or_too_much(task, seed, kind, chunk):
    """Every task, distribution and size of chunk: with enough budget all is decided but what the ends leave open."""
    rng = np.random.default_rng(seed)
    question = Question(task, Uniform() if kind == "uniform" else some_distribution(kind, task.k, task.d_vocab, seed))
    at, rivals = stratum_of(task, rng), int(rng.choice([1, 2, 3, 7]))
    stratum = some_integers(rng, (task.k, task.d_vocab, rivals), width=int(rng.choice([0, 1, 9])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranked, "CHUNK", chunk)
        spent = MUCH - require_within(question, at, stratum, MUCH).budget_left
        for budget in {0, 1, spent // 3, spent - 1, spent}:
            tally = require_within(question, at, stratum, budget)
            assert budget < spent or tally.not_certified == 0


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(3, 11), (4, 7), (5, 5), (2, 67), (2, 131)]))
def test_exact_integers_are_counted_to_the_sequence_whatever_the_number_of_words(seed, sizes):
    """Ends that meet leave nothing open, ties are wrong; more tokens than a word has bits are in several."""
    rng, question = np.random.default_rng(seed), Question(MaxOfK(*sizes))
    at = stratum_of(question.task, rng) if sizes[1] < 60 else (int(rng.integers(0, 60)), sizes[1] - 1)
    stratum = some_integers(rng, (*sizes, int(rng.choice([1, 4, 13]))), width=0)
    handed: list[np.ndarray] = []
    tally = Tally(MUCH)
    search_ranked(weighing_of(question), stratum, at, tally, handed.append)
    if bool((stratum.high == stratum.low).all()):
        assert tally.wrong == sum(truth_of(question, at, stratum).may.values())
        assert (handed, tally.not_certified) == ([], 0)


def test_orders_of_rivals_at_the_largest_size_do_not_meet():
    """Terms at both ends of what integers may be, for up to a thousand rivals: each is looked up in its own order."""
    for rivals in (1, 2, 63, 64, 1023):
        most = 2 ** bits_for(rivals) // 3
        assert (rivals << bits_for(rivals) + 3) + 4 * 3 * most < 2**62
        ends = np.where(np.arange(rivals) % 2 == 0, most, -most) * np.ones((3, 5, 1), dtype=np.int64)
        question = Question(MaxOfK(3, 5))
        for sign in (1, -1):
            tally = require_within(question, (2, 4), integers(sign * ends, sign * ends), MUCH)
            wins = bool((sign * ends[0, 0] > 0).any())
            assert tally.wrong == (strata_of(question.task).size(2, 4) if wins else 0)
        # Every other rival is as uncertain as it can be, so that its raised sums lie as low as they can.
        high = np.full_like(ends, -most)
        high[:, 0, 1::2] = most
        assert require_within(question, (0, 4), integers(np.full_like(ends, -most), high), MUCH).wrong == 0


def test_the_last_position_before_the_query_takes_no_tries():
    """K = 4, the first token given and one close rival: a try for each token of the second position, none of the third."""
    v, rng = 61, np.random.default_rng(7)
    task = FirstOfK(4, v)
    at, terms = (5, 3), rng.integers(-1000, 1001, (4, v, 1))
    terms[-1] = -terms[0, 3]
    tally = Tally(MUCH)
    handed: list[np.ndarray] = []
    search_ranked(weighing_of(Question(task)), integers(terms, terms), at, tally, handed.append)
    assert v // 2 < MUCH - tally.budget_left <= 2 + v
    assert v < tally.wrong < v**2
    assert n_ranked(strata_of(task), *at) == 2 * (v + 1) + 2
