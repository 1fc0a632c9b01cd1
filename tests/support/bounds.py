"""The bound and the cost of a rule, as the checker computes them: no other test calls a rule.

Contents:
    cost_of, bound_in — the cost by shapes, and the bound in an arithmetic that runs.
    answer — the bound on a question, after the conditions of the theorem and the form of the hints.
    bound, certified — the same by task, and how many sequences it certifies.
    counted — flops of a run over shapes.
"""

from math import floor

from pessimal.kernel.arithmetic import ARITHMETICS, CountingArithmetic
from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import Cost
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules import RULES, AbstractRule
from pessimal.kernel.rules.interface import CountBound, Progress, no_progress
from pessimal.spec import AbstractDistribution, Uniform, Weights
from pessimal.spec.architecture import Architecture
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask

Rule = str | AbstractRule


def _rule(rule: Rule) -> AbstractRule:
    return RULES[rule] if isinstance(rule, str) else rule


def cost_of(rule: Rule, architecture: Architecture, question: Question, hints: Hints | None = None) -> Cost:
    """Proof length from shapes and hints."""
    return _rule(rule).read(hints or Hints(), architecture, question).cost()


def bound_in(
    rule: Rule,
    weights: Weights,
    question: Question,
    hints: Hints,
    arith: AbstractArithmetic,
    progress: Progress = no_progress,
) -> CountBound:
    """The bound alone, in an arithmetic that is running."""
    return _rule(rule).read(hints, weights.architecture, question).bound(weights, arith, progress)


def answer(rule: Rule, weights: Weights, question: Question, arithmetic: str, hints: Hints | None = None) -> CountBound:
    """What a check of these hints finds: conditions, cost, bound."""
    arith, hints = ARITHMETICS[arithmetic](), hints or Hints()
    _rule(rule).require_covers(weights, question)
    cost_of(rule, weights.architecture, question, hints)
    with arith.running():
        return bound_in(rule, weights, question, hints, arith)


def bound(
    rule: Rule,
    weights: Weights,
    task: AbstractTask,
    arithmetic: str,
    hints: Hints | None = None,
    *,
    semantics: str = REAL,
    distribution: AbstractDistribution | None = None,
) -> CountBound:
    """The answer to the question whether a task is done right."""
    return answer(rule, weights, Question(task, distribution or Uniform(), semantics), arithmetic, hints)


def certified(rule: Rule, weights: Weights, task: AbstractTask, arithmetic: str, hints: Hints | None = None) -> int:
    """How many sequences the bound certifies."""
    return task.total() - floor(bound(rule, weights, task, arithmetic, hints).wrong_at_most)


def counted(rule: Rule, weights: Weights, question: Question, hints: Hints | None = None) -> int:
    """Flops of the rule when it runs over the shapes of this model."""
    arith = CountingArithmetic()
    bound_in(rule, weights, question, hints or Hints(), arith)
    return arith.tally.flops
