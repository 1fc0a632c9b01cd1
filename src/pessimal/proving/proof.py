"""Run a strategy: hints, then the rule's own bound, then a claim, then bytes.

The claim is what the float64 checker computes, less a hair (`SLACK`, relative to the wrong count of every stratum,
before its floor) where the rule adds up real numbers, and decisions are made with a hair to spare (`cautious.py`), so
that every checker with another careful arithmetic reaches the claim as well.

Contents:
    Proof — a certificate and what it claims.
    prove — weights, task and strategy to a `Proof`.
    encode — the container.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from pessimal.kernel.certificate import FORMAT, MAX_DIGITS
from pessimal.kernel.check import Limits, require_sound_floats
from pessimal.kernel.cost import Cost
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.proving.cautious import CautiousArithmetic
from pessimal.proving.plugins import hints_of
from pessimal.spec.claim import ACCURACY, CLAIMS, AbstractClaim
from pessimal.spec.digest import canonical
from pessimal.spec.distribution import AbstractDistribution, usual_distribution
from pessimal.spec.question import Question
from pessimal.spec.semantics import FLOAT32, REAL, require_known
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy

# Enclosures of float32 executions are wide, and balls and intervals differ in the squares of their radii.
SLACK = {REAL: Fraction(1, 2**20), FLOAT32: Fraction(1, 2**14)}


@dataclass(frozen=True)
class Proof:
    """A certificate with what it says.

    Attributes:
        data: the certificate file.
        claim: its claim.
        cost: its length.
        correct_at_most: upper bound on the number of correct sequences, where the rule gives one.
        strategy: name of the strategy.
        rule: name of the rule.
    """

    data: bytes
    claim: AbstractClaim
    cost: Cost
    correct_at_most: int | None
    strategy: str
    rule: str


def prove(  # noqa: PLR0913 - the words of a question, and two of the run
    weights: Weights,
    task: AbstractTask,
    strategy: AbstractStrategy,
    *,
    distribution: AbstractDistribution | None = None,
    claim: str = ACCURACY,
    semantics: str = REAL,
    limits: Limits | None = None,
    progress: Progress = no_progress,
) -> Proof:
    """Prove a bound on the accuracy of a model.

    Args:
        weights: the model.
        task: what it should compute.
        strategy: how to prove it.
        distribution: how often every input occurs (default: `usual_distribution`, all alike for most tasks).
        claim: what to bound: `accuracy`, `mean-probability` or `loss`.
        semantics: `real`, or `float32` for every float32 execution (`docs/float32.md`).
        limits: what the proof may cost to check.
        progress: called with (done, total).

    Raises:
        Rejected: the rule does not cover the model, or the proof would be too long.
        TaskError: the task does not fit the model.
        DistributionError: the distribution does not fit the task.
        ValueError: unknown semantics.
        StrategyError: the strategy's options do not fit.
    """
    task.require_fits(weights.architecture)
    question = Question(task, distribution or usual_distribution(task), require_known(semantics), claim)
    question.distribution.require_fits(task)
    return _answer(weights, question, strategy, limits or Limits(), progress)


def _answer(
    weights: Weights, question: Question, strategy: AbstractStrategy, limits: Limits, progress: Progress
) -> Proof:
    """Hints, cost, bound, claim, bytes."""
    rule = RULES[strategy.rule]
    rule.require_covers(weights, question)
    require_sound_floats()
    hints = hints_of(strategy, weights, question, progress)
    instance = rule.read(hints, weights.architecture, question)
    cost = instance.cost()
    if cost.checker_ops > limits.max_ops or cost.bytes_needed > limits.max_bytes:
        raise Rejected(
            Reason.RESOURCES,
            f"the proof needs {cost.checker_ops} operations and {cost.bytes_needed} bytes to check,"
            f" allowed are {limits.max_ops} and {limits.max_bytes}",
        )
    arith = CautiousArithmetic(question.semantics)
    with arith.running():
        bound = instance.bound(weights, arith, progress)
    slack = 0 if bound.decided else SLACK[question.semantics]
    wrong = [part * (1 + slack) for part in bound.parts()]
    total = question.total()
    kind = CLAIMS[question.distribution.claim_kind if question.quantity == ACCURACY else question.quantity]
    claimed = kind(max(0, kind.most(wrong, total)), kind.units * total, question.semantics)
    if max(claimed.amount, claimed.total) >= 10**MAX_DIGITS:
        raise Rejected(Reason.BAD_CLAIM, f"the bound has more than {MAX_DIGITS} digits, which no certificate holds")
    at_least = bound.wrong_at_least
    return Proof(
        data=encode(weights, question, strategy, hints, claimed),
        claim=claimed,
        cost=cost,
        correct_at_most=None if at_least is None else total - at_least,
        strategy=strategy.name,
        rule=rule.name,
    )


def encode(
    weights: Weights, question: Question, strategy: AbstractStrategy, hints: Hints, claim: AbstractClaim
) -> bytes:
    """The certificate container, `docs/certificate-format.md`."""
    named = {**hints.arrays, **question.distribution.arrays()}
    arrays = [(name, np.ascontiguousarray(named[name])) for name in sorted(named)]
    header: dict[str, Any] = {
        "arrays": [{"dtype": a.dtype.name, "name": name, "shape": list(a.shape)} for name, a in arrays],
        "claim": {"correct": str(claim.amount), "kind": claim.kind, "total": str(claim.total)},
        "distribution": question.distribution.record(),
        "format": FORMAT,
        "model": weights.architecture.record(),
        "options": dict(hints.options),
        "rule": strategy.rule,
        "semantics": claim.semantics,
        "strategy": strategy.name,
        "task": question.task.record(),
        "weights_sha256": weights.sha256,
    }
    raw = canonical(header)
    body = b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for _, array in arrays)
    return struct.pack("<Q", len(raw)) + raw + body
