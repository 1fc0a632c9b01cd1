"""Machines of one's own: strict records, the same function everywhere, bounds below the enumerated truth."""

import json

import numpy as np
import pytest

import pessimal as ps
from pessimal.inputs import read_machine
from pessimal.kernel.check import check
from pessimal.spec import TaskError
from pessimal.spec.tasks import CustomTask, task_from_record
from pessimal.strategies import ExponentialMoment, PositionMinima
from pessimal.testing import tiny_weights
from support.bounds import certified
from support.models import Sizes, build, random_tensors
from support.oracle import RIGHT, sequences, verdicts

VETO = CustomTask(2, 3, 0, ((1, 2, 3), (1, 2, 3), (2, 2, 3), (3, 3, 3)), (0, 0, 1, 0))


def random_machine(seed: int, k: int = 3, v: int = 5) -> CustomTask:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    moves = tuple(tuple(row) for row in rng.integers(0, n, (n, v)).tolist())
    return CustomTask(k, v, int(rng.integers(n)), moves, tuple(rng.integers(0, 3, n).tolist()))


def test_the_example_is_the_largest_token_but_zero_if_token_two_occurs():
    for t in sequences(3, 2):
        assert int(VETO.target(np.array(t))) == (0 if 2 in t else max(t))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("arithmetic", ["float64", "arb"])
def test_no_bound_on_a_random_machine_exceeds_the_true_count(seed, arithmetic):
    task = random_machine(seed)
    weights = build(random_tensors(Sizes(5, 7, 11, 3, 3), seed))
    found = verdicts(weights, lambda t: int(task.target(np.array(t)))).values()
    truth = sum(one == RIGHT for one in found)
    assert 0 <= certified("position-minima", weights, task, arithmetic) <= truth
    assert certified("brute-force", weights, task, arithmetic) == truth
    proof = ps.prove(weights, task, ExponentialMoment(rival="centred"))
    assert proof.claim.correct <= truth
    assert check(proof.data, weights, arithmetic=arithmetic).verified


def test_a_certificate_holds_the_machine_and_another_machine_is_another_claim():
    """The checker reads the task from the certificate alone; changing one move changes what is claimed."""
    weights = tiny_weights(0, k=2, d_vocab=3)
    proof = ps.prove(weights, VETO, PositionMinima())
    assert json.loads(proof.data[8 : 8 + int.from_bytes(proof.data[:8], "little")])["task"] == VETO.record()
    verdict = check(proof.data, weights)
    assert verdict.verified
    assert verdict.question.task == VETO
    assert " task=machine " in verdict.line()


@pytest.mark.parametrize(
    "change",
    [
        {"start": 4}, {"start": True}, {"start": -1}, {"outputs": [0, 0, 1]}, {"outputs": [0, 0, 1, -1]},
        {"outputs": [0, 0, 1, 4096]}, {"outputs": {}}, {"moves": []}, {"moves": [[1, 2, 3]] * 5}, {"moves": [[0, 0]] * 4},
        {"moves": [[0, 0, 1.0]] * 4}, {"moves": [[0, 0, 9]] * 4}, {"moves": "no"}, {"moves": [1, 2, 3, 4]}, {"k": 0},
        {"d_vocab": 4}, {"title": "x"}, {"name": "max-of-k"}, {"k": "2"}, {"moves": [[0] * 3] * 4000},
    ],
    ids=str,
)  # fmt: skip
def test_a_record_that_is_no_machine_is_refused(change):
    with pytest.raises(TaskError):
        task_from_record({**VETO.record(), **change})


def test_a_file_becomes_the_task_or_one_sentence(tmp_path):
    path = tmp_path / "veto.json"
    path.write_text(json.dumps({key: value for key, value in VETO.record().items() if key != "name"}))
    assert read_machine(path) == VETO
    weights = tiny_weights(0, k=2, d_vocab=3)
    assert ps.task_of(weights, str(path)) == (VETO, [])
    with pytest.raises(TaskError, match="d_vocab"):
        read_machine(path, tiny_weights(0, k=2, d_vocab=5))
    for text in ("", "[1]", "{}", "[" * 5000):
        path.write_text(text)
        with pytest.raises(TaskError, match=r"veto\.json"):
            read_machine(path)
    with pytest.raises(TaskError, match=r"absent\.json"):
        read_machine(tmp_path / "absent.json")
