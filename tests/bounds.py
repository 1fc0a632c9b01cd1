"""The bound of a rule, as the checker computes it."""

from math import floor

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.rules import RULES, Hints
from pessimal.kernel.rules.interface import CountBound, no_progress
from pessimal.spec import AbstractDistribution, Uniform, Weights
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask


def bound(
    rule: str,
    weights: Weights,
    task: AbstractTask,
    arithmetic: str,
    hints: Hints | None = None,
    *,
    semantics: str = REAL,
    distribution: AbstractDistribution | None = None,
) -> CountBound:
    arith = ARITHMETICS[arithmetic]()
    hints, question = hints or Hints(), Question(task, distribution or Uniform(), semantics)
    RULES[rule].require_covers(weights, question)
    RULES[rule].cost(weights.architecture, question, hints)
    with arith.running():
        return RULES[rule].bound(weights, question, hints, arith, no_progress)


def certified(rule: str, weights: Weights, task: AbstractTask, arithmetic: str, hints: Hints | None = None) -> int:
    return task.total() - floor(bound(rule, weights, task, arithmetic, hints).wrong_at_most)
