"""Machines and recognisers say what the task says, by enumeration; tables that disagree are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pessimal.spec.machine import DEAD, Machine, MachineError, Recogniser, minimal_recogniser, require_recognises
from pessimal.spec.task import AbstractTask
from support.oracle import sequences
from support.tasks import TINY_TASKS


def accepted(recogniser: Recogniser, y: int, tokens: tuple[int, ...]) -> bool:
    """Token by token, in plain Python."""
    state = int(recogniser.start[y])
    for t in tokens:
        letter = int(recogniser.letter[y, t])
        if letter == DEAD:
            return False
        state = int(recogniser.moves[state, letter])
        if state == DEAD:
            return False
    return bool(recogniser.accepts[state])


@pytest.fixture(params=TINY_TASKS, ids=str)
def task(request) -> AbstractTask:
    return request.param


def test_machines_compute_the_target(task):
    tokens = np.array(list(sequences(task.d_vocab, task.k)))
    target = task.target(tokens)
    assert (task.machine().target(tokens) == target).all()
    assert target.min() >= 0
    assert target.max() < task.n_outputs


@pytest.mark.parametrize("minimal", [False, True])
def test_recognisers_accept_exactly_the_sequences_of_their_output(task, minimal):
    machine = task.machine()
    recogniser = minimal_recogniser(machine, task.n_outputs) if minimal else task.recogniser()
    require_recognises(machine, recogniser, task.k)
    for tokens in sequences(task.d_vocab, task.k):
        right = int(task.target(np.array(tokens)))
        assert [y for y in range(task.n_outputs) if accepted(recogniser, y, tokens)] == [right]


def random_machine(seed: int) -> Machine:
    rng = np.random.default_rng(seed)
    states, tokens = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    step = rng.integers(0, states, (states, tokens))
    return Machine(int(rng.integers(states)), step, rng.integers(0, 3, states))


@given(st.integers(0, 2**32 - 1))
def test_any_machine_has_a_recogniser(seed):
    """Partition refinement agrees with the machine on every sequence of one to four tokens."""
    machine = random_machine(seed)
    recogniser = minimal_recogniser(machine, 3)
    for k in (1, 2, 3, 4):
        require_recognises(machine, recogniser, k)
        for tokens in sequences(machine.step.shape[1], k):
            right = int(machine.target(np.array(tokens)))
            assert [y for y in range(3) if accepted(recogniser, y, tokens)] == [right]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_a_recogniser_that_passes_agrees_on_every_sequence(seed, k):
    """Damaged recognisers: whatever `require_recognises` lets through accepts exactly the right sequences."""
    machine, rng = random_machine(seed), np.random.default_rng(seed + 1)
    good = minimal_recogniser(machine, 3)
    moves, letter, accepts = good.moves.copy(), good.letter.copy(), good.accepts.copy()
    kind = rng.integers(3)
    if kind == 0:
        moves.flat[rng.integers(moves.size)] = rng.integers(DEAD, moves.shape[0])
    elif kind == 1:
        letter.flat[rng.integers(letter.size)] = rng.integers(DEAD, moves.shape[1])
    else:
        accepts[rng.integers(accepts.size)] ^= True
    damaged = Recogniser(good.start, letter, moves, accepts)
    try:
        require_recognises(machine, damaged, k)
    except MachineError:
        return
    for tokens in sequences(machine.step.shape[1], k):
        right = int(machine.target(np.array(tokens)))
        assert [y for y in range(3) if accepted(damaged, y, tokens)] == [right]


@pytest.mark.parametrize(
    ("start", "step", "output"),
    [
        (2, [[0, 1], [1, 0]], [0, 1]), (-1, [[0, 1], [1, 0]], [0, 1]), (0, [[0, 2], [1, 0]], [0, 1]),
        (0, [[0, -1], [1, 0]], [0, 1]), (0, [[0, 1], [1, 0]], [0, -1]), (0, [[], []], [0, 1]),
    ],
)  # fmt: skip
def test_tables_that_are_no_automaton_are_refused(start, step, output):
    with pytest.raises(MachineError):
        Machine(start, np.array(step, dtype=np.int64).reshape(2, -1), np.array(output))
