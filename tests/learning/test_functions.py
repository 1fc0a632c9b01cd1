"""A Python function becomes the small machine that agrees with it, or is refused with a sequence."""

import json
from itertools import product

import numpy as np
import pytest

import pessimal as ps
from pessimal import learning
from pessimal.cli.main import main
from pessimal.learning import learned_from
from pessimal.spec import TaskError
from pessimal.spec.machine import minimal_recogniser, require_recognises
from pessimal.spec.tasks import TASKS
from pessimal.testing import safetensors_bytes, tiny_weights


def unpacked(tokens):
    """Knows nothing of other lengths."""
    a, b, c, d = tokens
    return max(a, b, c, d)


def veto(tokens):
    return 0 if 2 in tokens else max(tokens)


# Function, k, d_vocab, most states.
SMALL = [
    (max, 4, 6, 6),
    (min, 3, 7, 7),
    (unpacked, 4, 6, 6),
    (veto, 4, 8, 9),
    (lambda t: t[0], 3, 6, 7),
    (lambda t: t[-1], 3, 6, 6),
    (lambda t: t[1], 3, 6, 7),
    (lambda t: sorted(t)[-2], 3, 5, 25),
    (lambda t: sum(t) % 7, 2, 7, 7),
    (lambda t: t.count(0), 5, 4, 6),
    (lambda t: np.int64(4 in t), 5, 6, 2),
    (lambda t: all(one % 2 == 0 for one in t), 4, 6, 2),
    (lambda t: 3, 3, 5, 1),
    (lambda t: t[0], 1, 5, 6),
    (lambda t: int(list(t) == sorted(t)), 4, 5, 6),
]


@pytest.mark.parametrize(("function", "k", "d_vocab", "most"), SMALL)
def test_of_all_sequences_the_machine_gives_what_the_function_gives(function, k, d_vocab, most):
    found = learned_from(function, k, d_vocab)
    every = np.array(list(product(range(d_vocab), repeat=k)))
    assert found.task.target(every).tolist() == [int(function(tuple(one))) for one in every.tolist()]
    assert (found.enumerated, found.compared) == (True, d_vocab**k)
    assert found.task.n_states <= most
    machine = found.task.machine()
    require_recognises(machine, minimal_recogniser(machine, found.task.n_outputs), k)


@pytest.mark.parametrize(
    ("name", "function", "most"),
    [
        ("max-of-k", max, 32),
        ("min-of-k", min, 32),
        ("first-of-k", lambda t: t[0], 33),
        ("last-of-k", lambda t: t[-1], 32),
    ],
)
def test_functions_that_are_built_in_tasks_become_these(name, function, most):
    found, task = learned_from(function, 4, 32), TASKS[name](k=4, d_vocab=32)
    assert found.task.n_states <= most
    assert not found.enumerated
    sample = np.random.default_rng(5).integers(0, 32, size=(20_000, 4))
    assert (found.task.target(sample) == task.target(sample)).all()


def test_a_function_that_does_not_know_other_lengths_becomes_a_small_machine_too():
    found = learned_from(unpacked, 4, 32)
    assert found.task.n_states == 32
    assert learned_from(veto, 4, 32).task.n_states <= 34


def test_long_sequences_are_read_as_well():
    assert learned_from(lambda t: sum(t) % 3, 30, 4).task.n_states == 3


def test_the_sentence_tells_enumerated_from_tested(caplog):
    ps.task_from(max, 2, 5)
    assert "agrees with the function on all 25 sequences, which were enumerated" in caplog.text
    ps.task_from(max, 4, 32)
    assert "which were tested: that it does on all is not proved" in caplog.text
    assert caplog.text.count("the machine is the task") == 2


def test_a_rare_exception_is_not_found_and_the_sentence_says_why():
    """Nobody can find it: what is asked of a model is the machine."""
    found = learned_from(lambda t: int(t == (5, 9, 33, 60)), 4, 64)
    assert found.task.n_states == 1
    assert "is not proved" in found.sentence()


def restless():
    answers = iter(range(10**9))
    return lambda tokens: next(answers) % 5


REFUSED = [
    (lambda t: t[9], 3, 5, r"<lambda>\(\(0, 0, 0\)\) failed: IndexError: tuple index out of range"),
    (lambda t: "a", 3, 5, "is 'a', and outputs are whole numbers 0 .. 4095"),
    (lambda t: -1, 3, 5, "is '-1', and outputs are"),
    (lambda t: 4096, 3, 5, "is '4096', and outputs are"),
    (lambda t: 0.5, 3, 5, "is '0.5', and outputs are"),
    (lambda t: None, 3, 5, "is 'None', and outputs are"),
    (restless(), 3, 5, "a task is one function"),
    (
        lambda t: sorted(t)[-2],
        4,
        64,
        "needs too large a machine: at least .* a machine has at most 126 with d_vocab=64",
    ),
    (lambda t: hash(t) % 5, 4, 64, "needs too large a machine"),
    (lambda t: t[0], 1, 100, "needs .*at most 81"),
    (3, 3, 5, "a task is made from a function, not from an object of type int"),
    (max, 0, 5, "k=0 is not a whole number from 1 to 4096"),
    (max, 2, "5", "d_vocab='5' is not a whole number"),
    (max, 2, 8192, "d_vocab=8192 is not a whole number from 1 to 4096"),
    (max, 4000, 4000, "digits"),
]


@pytest.mark.parametrize(("function", "k", "d_vocab", "sentence"), REFUSED)
def test_what_is_no_task_is_refused_in_one_sentence(function, k, d_vocab, sentence):
    with pytest.raises(TaskError, match=sentence) as refusal:
        ps.task_from(function, k, d_vocab)
    assert "\n" not in str(refusal.value)


def test_a_machine_that_is_never_right_is_refused_with_a_sequence(monkeypatch):
    monkeypatch.setattr(learning, "ROUNDS", 1)
    monkeypatch.setattr(learning, "FEW_ENDINGS", 1)
    monkeypatch.setattr(learning, "RANDOM_ENDINGS", 1)
    with pytest.raises(
        TaskError, match=r"no machine was found that agrees with <lambda>: on \(.*\) it gives \d+, the machine \d+"
    ):
        learned_from(lambda t: int(t.count(1) >= 3), 4, 64)


def test_interrupts_pass():
    def interrupted(tokens):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned_from(interrupted, 2, 3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(dict(tiny_weights(0).tensors)))
    (tmp_path / "tasks.py").write_text(
        "def veto(tokens):\n    return 0 if 2 in tokens else max(tokens)\n\nnumber = 3\n"
    )
    return tmp_path


def run(capsys, line):
    code = main(line.split())
    out = capsys.readouterr()
    return code, out.out.splitlines(), out.err


def test_a_function_is_written_proved_and_checked_from_the_command_line(folder, capsys):
    code, out, err = run(capsys, "task tasks.py:veto --k 3 --d-vocab 5 --out veto.json --json")
    assert code == 0
    assert "pessimal: the machine is the task (" in err
    assert out[0].startswith("task        machine (k=3, d_vocab=5, ")
    record = json.loads(out[1])
    assert (record["enumerated"], record["compared"]) == (True, 125)
    task = learned_from(veto, 3, 5).task
    assert record["task_record"] == task.record()
    (folder / "tasks.py").unlink()
    code, out, err = run(capsys, "prove m.safetensors --task veto.json --out veto.cert")
    assert code == 0
    assert " task=machine " in out[0]
    assert run(capsys, "check veto.cert --weights m.safetensors --task veto.json")[1] == out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("tasks.py:gone --k 3 --d-vocab 5 --out a.json", "tasks.py has no gone; it defines veto"),
        ("gone.py:veto --k 3 --d-vocab 5 --out a.json", "gone.py: No such file or directory"),
        (
            "tasks.py:number --k 3 --d-vocab 5 --out a.json",
            "a task is made from a function, not from an object of type",
        ),
        ("tasks.py:veto --k 3 --d-vocab 5 --out m.safetensors", "--out m.safetensors exists and is not a machine"),
        ("tasks.py:veto --k 3 --d-vocab 5 --out tasks.py", "--out tasks.py exists and is not a machine"),
    ],
)
def test_every_mistake_is_one_sentence_and_nothing_is_written(folder, capsys, words, sentence):
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    code, _, err = run(capsys, f"task {words}")
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
