"""The verdict says which question was answered, and a checker that is told the question accepts no other."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from pessimal.kernel.check import Asked, check
from pessimal.kernel.rejection import Reason
from pessimal.proving import prove
from pessimal.spec import Markov, Product, Question, TaskError, Uniform
from pessimal.spec.claim import MEAN_PROBABILITY
from pessimal.spec.tasks import Constant, ContainsToken, CustomTask
from pessimal.strategies import BruteForce, LayerCake
from support.distributions import KINDS, some_distribution
from support.models import Sizes, build, random_tensors
from support.tasks import TASKS_ONCE

MACHINES = [
    CustomTask(2, 3, 0, ((0, 1, 0), (1, 1, 0)), (0, 2)),
    CustomTask(2, 3, 0, ((0, 1, 0), (1, 1, 1)), (0, 2)),
    CustomTask(2, 3, 0, ((0, 1, 0), (1, 1, 0)), (0, 1)),
    CustomTask(2, 3, 1, ((0, 1, 0), (1, 1, 0)), (0, 2)),
    # A state that no token leads to: another record, though the same function as the first.
    CustomTask(2, 3, 0, ((0, 1, 0), (1, 1, 0), (2, 2, 2)), (0, 2, 0)),
]


def model_for(task):
    """Random weights with the sizes of a task."""
    return build(random_tensors(Sizes(5, 7, 11, 3, 2).of(task), 1))


def neighbours(task):
    """The same kind of task with one parameter changed."""
    found = []
    for field in dataclasses.fields(task):
        value = getattr(task, field.name)
        for other in (value - 1, value + 1) if isinstance(value, int) else ():
            try:
                found.append(dataclasses.replace(task, **{field.name: other}))
            except TaskError:
                continue
    return found


def other_question(proof, weights, **asked):
    """The certificate is refused, and the detail is one sentence."""
    verdict = check(proof.data, weights, asked=Asked(**asked))
    assert verdict.reason is Reason.OTHER_QUESTION
    assert not verdict
    assert verdict.line() == "s REJECTED reason=other-question"
    assert verdict.detail
    assert "\n" not in verdict.detail
    return verdict


@pytest.mark.parametrize("task", [*TASKS_ONCE, *MACHINES], ids=lambda task: task.name)
def test_a_checker_told_the_task_accepts_no_other(task):
    """Every parameter one off, and every other task of these sizes."""
    weights = model_for(task)
    proof = prove(weights, task, BruteForce())
    right = check(proof.data, weights, asked=Asked(task=task))
    assert right.verified
    assert f" question=sha256:{right.question.sha256} " in right.line()
    others = [*neighbours(task), *(one for one in (*TASKS_ONCE, *MACHINES) if one != task)]
    assert others
    for other in others:
        other_question(proof, weights, task=other)


@pytest.mark.parametrize("kind", ["uniform", *KINDS])
def test_a_checker_told_the_distribution_accepts_no_other(kind):
    """One weight one off; equal weights under another name are another question too."""
    task = TASKS_ONCE[0]
    weights = model_for(task)
    asked = Uniform() if kind == "uniform" else some_distribution(kind, task.k, task.d_vocab, 3)
    proof = prove(weights, task, BruteForce(), distribution=asked)
    assert check(proof.data, weights, asked=Asked(distribution=asked)).verified
    arrays = {name: array.copy() for name, array in asked.arrays().items()}
    others = [
        Product(np.ones((task.k, task.d_vocab), dtype=np.int64)),
        Markov([1] * task.d_vocab, np.eye(task.d_vocab, dtype=np.int64)),
    ]
    for array in arrays.values():
        array.flat[-1] += 1 if array.flat[-1] < 2**48 else -1
        others.append(type(asked)(*arrays.values()))
        array.flat[-1] -= 1
    if kind != "uniform":
        others.append(Uniform())
    for other in others:
        assert other != asked
        other_question(proof, weights, distribution=other)


def test_a_checker_told_semantics_or_a_count_accepts_no_less():
    """`real` is not `float32`; fewer than asked, or of another total, is another question."""
    task = TASKS_ONCE[0]
    weights = model_for(task)
    proof = prove(weights, task, BruteForce())
    n, total = proof.claim.correct, proof.claim.total
    for good in ((n, total), (n - 1, total), (0, total)):
        assert check(proof.data, weights, asked=Asked(semantics="real", at_least=good)).verified
    for bad in ((n + 1, total), (n, total - 1), (n, total + 1), (2 * n, 2 * total), (10**5000, 10**5000)):
        other_question(proof, weights, at_least=bad)
    other_question(proof, weights, semantics="float32")


def test_a_small_loss_is_not_at_least_anything():
    """A loss claim cannot answer how many are right."""
    task = TASKS_ONCE[0]
    weights = model_for(task)
    proof = prove(weights, task, LayerCake(), claim="loss")
    assert check(proof.data, weights).verified
    other_question(proof, weights, at_least=(0, proof.claim.total))


def test_two_questions_never_print_the_same_verdict():
    """Tasks, distributions, quantities: all digests differ, and the digest is the documented one."""
    questions = [Question(task) for task in (*TASKS_ONCE, *MACHINES, ContainsToken(2, 3, 1), Constant(2, 3, 1))]
    task = TASKS_ONCE[0]
    questions += [Question(task, some_distribution(kind, task.k, task.d_vocab, 5)) for kind in KINDS]
    questions += [Question(task, semantics="float32"), Question(task, quantity=MEAN_PROBABILITY)]
    questions += [Question(other) for one in TASKS_ONCE for other in neighbours(one)]
    distinct = {question: question.sha256 for question in questions}
    assert len(set(distinct.values())) == len(distinct)
    for question in distinct:
        record = {
            "distribution": {"name": question.distribution.name, "sha256": question.distribution.sha256},
            "quantity": question.quantity,
            "semantics": question.semantics,
            "task": question.task.record(),
        }
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        parts = (b"pessimal-question/1", text.encode())
        assert question.sha256 == hashlib.sha256(b"".join(len(p).to_bytes(8, "little") + p for p in parts)).hexdigest()
        assert all(str(value) in str(question.task) for value in (question.task.name, question.task.k))


def test_a_rejected_certificate_is_never_true():
    """`if check(...)` accepts only what was verified."""
    weights = model_for(TASKS_ONCE[0])
    proof = prove(weights, TASKS_ONCE[0], BruteForce())
    assert check(proof.data, weights)
    for junk in (b"", b"junk", proof.data[:-1], proof.data + b"\0"):
        assert not check(junk, weights)
