"""Strata partition all sequences, programs count them, and products of token sets visit each once: by enumeration, for every task."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from pessimal.kernel.counting.integers import token_products
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.strata.strata import Strata
from pessimal.kernel.strata.unlayered import power
from pessimal.spec import MaxOfK
from pessimal.spec.machine import Machine, Recogniser
from pessimal.spec.task import AbstractTask
from support.oracle import sequences
from support.tasks import TINY_TASKS


@pytest.fixture(params=TINY_TASKS, ids=str)
def strata(request) -> Strata:
    return Strata(request.param)


def by_stratum(task: AbstractTask) -> dict[tuple[int, int], list[tuple[int, ...]]]:
    """Sequences by last token and right output."""
    found: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for t in sequences(task.d_vocab, task.k):
        found.setdefault((t[-1], int(task.target(np.array(t)))), []).append(t)
    return found


def test_sizes_count_their_sequences(strata):
    """size(q, y) = #{t : t_last = q, target = y}, zero where there is none; they add up to v**k."""
    task, expected = strata.task, by_stratum(strata.task)
    found = {(q, y): strata.size(q, y) for q in range(task.d_vocab) for y in range(task.n_outputs)}
    assert {key: size for key, size in found.items() if size} == {key: len(some) for key, some in expected.items()}
    assert sum(found.values()) == task.total()


def test_places_number_the_strata_that_exist(strata):
    """0, 1, 2, ... by query, then output; -1 for the others."""
    task = strata.task
    pairs = sorted(by_stratum(task))
    assert (
        [int(strata.stratum_index[q, y]) for q, y in pairs]
        == list(range(len(pairs)))
        == list(range(strata.stratum_count))
    )
    assert (strata.stratum_index >= 0).sum() == len(pairs)
    grouped = [(q, int(y)) for q in range(task.d_vocab) for _, ys in strata.by_program(q) for y in ys]
    assert sorted(grouped) == pairs


def test_products_visit_every_sequence_exactly_once(strata):
    """The paths of the programs of all strata: all sequences, each in its stratum, without repetition."""
    task, seen = strata.task, Counter()
    for (q, y), members in by_stratum(task).items():
        found = Counter()
        for allowed in token_products(strata.program(q, y), strata.letter[y]):
            assert len(allowed) == task.k - 1
            found.update((*t, q) for t in product(*(tokens.tolist() for tokens in allowed)))
        assert found == Counter(members)
        seen += found
    assert seen == Counter(sequences(task.d_vocab, task.k))


def test_sums_over_paths_are_sums_over_sequences(strata):
    """`run` and `power`: the sum over a stratum of products of weights by position and token, in integers."""
    task = strata.task
    if task.k == 1:
        return
    rng = np.random.default_rng(task.k * 100 + task.d_vocab)
    weight = rng.integers(1, 50, (task.k - 1, task.d_vocab))
    for (q, y), members in by_stratum(task).items():
        program, letter = strata.program(q, y), strata.letter[y]

        def total(i: int, letters: frozenset[int], letter=letter) -> int:
            return int(weight[i, np.isin(letter, sorted(letters))].sum())

        ways = [
            program.run(total, int.__add__, int.__mul__),
            program.reversed().run(lambda i, letters: total(task.k - 2 - i, letters), int.__add__, int.__mul__),
        ]
        expected = sum(int(np.prod([weight[i, t] for i, t in enumerate(tokens[:-1])])) for tokens in members)
        assert ways == [expected, expected]
        same = sum(int(np.prod([weight[0, t] for t in tokens[:-1]])) for tokens in members)
        assert power(program, lambda letters: total(0, letters), int.__add__, int.__mul__) == same


def test_programs_of_max_of_k_have_at_most_three_moves_a_position():
    """Max-of-K: two states while y may still come, one when it may not or need not; every move lies on a path."""
    strata = Strata(MaxOfK(5, 7))
    below, same = strata.program(2, 4), strata.program(4, 4)
    assert [len(layer) for layer in below.layers] == [2, 3, 3, 2]
    assert [len(layer) for layer in same.layers] == [1, 1, 1, 1]
    assert below is strata.program(3, 6)
    assert strata.program(5, 4).empty
    assert not below.empty


def test_sizes_are_exact_far_beyond_64_bits():
    """Python integers: K = 100, v = 64."""
    k, y = 100, 50
    strata = Strata(MaxOfK(k, 64))
    assert strata.size(3, y) == (y + 1) ** (k - 1) - y ** (k - 1)
    assert strata.size(y, y) == (y + 1) ** (k - 1)
    assert strata.size(y, 3) == 0


class Lying(MaxOfK):
    """A task whose recogniser takes the largest token for the second smallest."""

    wrong = "accepts"

    def recogniser(self) -> Recogniser:
        good = super().recogniser()
        if self.wrong == "accepts":
            return Recogniser(good.start, good.letter, good.moves, np.array([True, True]))
        if self.wrong == "letter":
            return Recogniser(good.start, np.where(good.letter == -1, 0, good.letter), good.moves, good.accepts)
        if self.wrong == "start":
            return Recogniser(good.start + 1, good.letter, good.moves, good.accepts)
        return Recogniser(good.start[:-1], good.letter[:-1], good.moves, good.accepts)


@pytest.mark.parametrize("wrong", ["accepts", "letter", "start", "outputs"])
def test_a_recogniser_that_disagrees_with_its_machine_is_refused(wrong, monkeypatch):
    monkeypatch.setattr(Lying, "wrong", wrong)
    with pytest.raises(Rejected) as refusal:
        Strata(Lying(3, 5))
    assert refusal.value.reason == Reason.TASK_MISMATCH


def test_a_machine_with_other_outputs_is_refused(monkeypatch):
    """The machine says 9 where the task has five outputs."""
    monkeypatch.setattr(MaxOfK, "machine", lambda _: Machine(0, np.zeros((1, 5), dtype=np.int64), np.array([9])))
    with pytest.raises(Rejected):
        Strata(MaxOfK(3, 5))
