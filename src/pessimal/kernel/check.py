"""Check a certificate against weights. The only function that says VERIFIED.

Contents:
    Limits — what a check may cost.
    Verdict — the outcome, with everything the checker recomputed.
    StratumBound — the same for one last token and right output.
    check — certificate bytes and weights in, verdict out.
    require_sound_floats — the float environment the float64 arithmetic relies on.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.certificate import Certificate, canonical, decode
from pessimal.kernel.cost import Cost
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import CountBound, Progress, no_progress
from pessimal.kernel.weighing import weighing_of
from pessimal.spec.claim import CLAIMS, LOSS, MEAN_PROBABILITY, AccuracyClaim
from pessimal.spec.distribution import DistributionError, Uniform, distribution_from
from pessimal.spec.question import Question
from pessimal.spec.semantics import SEMANTICS
from pessimal.spec.task import AbstractTask, TaskError
from pessimal.spec.tasks import task_from_record
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Limits:
    """What a check may cost before it is refused.

    Attributes:
        max_ops: largest predicted `checker_ops`.
        max_bytes: largest predicted memory, and largest certificate, in bytes.
    """

    max_ops: int = 2**42
    max_bytes: int = 2**31


@dataclass(frozen=True)
class StratumBound:
    """One stratum: all sequences with one last token and one right output.

    Attributes:
        q: last token.
        y: right output.
        total: weight of its sequences; their number where each weighs one.
        wrong_at_most: no more than this weight is wrong.
    """

    q: int
    y: int
    total: int
    wrong_at_most: int

    @property
    def accuracy(self) -> Fraction:
        """Lower bound on the accuracy within the stratum; 1 if it never occurs."""
        return 1 - Fraction(self.wrong_at_most, self.total) if self.total else Fraction(1)


@dataclass(frozen=True)
class Verdict:
    """Outcome of a check.

    Attributes:
        claim: the verified claim, or None if the certificate was rejected.
        reason: why it was rejected, or None.
        detail: one sentence about the rejection.
        certificate: the decoded certificate, or None if it could not be decoded.
        cost: proof length, or None if it was not reached.
        correct_at_most: upper bound on the number of correct sequences, where the rule gives one.
        task: the task, or None.
        weights_sha256: digest of the weights that were read.
        n_bytes: length of the certificate.
        question: what was asked, distribution included, or None.
        strata: bounds by stratum, where the rule gives them, as this checker computed them.
    """

    claim: AccuracyClaim | None
    reason: Reason | None
    detail: str
    certificate: Certificate | None
    cost: Cost | None
    correct_at_most: int | None
    task: AbstractTask | None
    weights_sha256: str
    n_bytes: int
    question: Question | None = None
    strata: tuple[StratumBound, ...] = ()

    @property
    def worst_stratum(self) -> StratumBound | None:
        """The stratum with the lowest bound, the heaviest of these, or None if the rule names none."""
        return min(self.strata, key=lambda one: (one.accuracy, -one.total), default=None)

    @property
    def verified(self) -> bool:
        """Whether the claim was verified."""
        return self.claim is not None

    def line(self) -> str:
        """The stable one-line verdict."""
        if self.claim is None or self.certificate is None or self.cost is None or self.task is None:
            return f"s REJECTED reason={self.reason}"
        distribution = Uniform() if self.question is None else self.question.distribution
        named = f" distribution=sha256:{distribution.sha256}" if distribution.arrays() else ""
        return (
            f"s VERIFIED {self.claim.statement()} task={self.task.name} dist={distribution.name}{named}"
            f" semantics={self.claim.semantics} weights=sha256:{self.weights_sha256} rule={self.certificate.rule}"
            f" flops={self.cost.flops} ops={self.cost.checker_ops} bytes={self.n_bytes}"
        )


def require_sound_floats() -> None:
    """Raise `Rejected(arithmetic-environment)` unless float64 keeps subnormals and rounds to nearest.

    Some libraries switch the whole process to flush-to-zero; outward rounding then fails silently.
    """
    tiny = np.array([2.0**-1074, 2.0**-1022], dtype=np.float64)
    alive = bool(tiny[0] > 0) and bool((tiny[1] * np.float64(0.5)) > 0) and bool((tiny * 1.0)[0] > 0)
    one = np.array([1.0, -1.0])
    # To nearest, ties to even: 1 + 2**-53 is 1, 1 + 2**-53 + 2**-54 is above 1, and likewise below zero.
    half, more = np.array([2.0**-53, -(2.0**-53)]), np.array([1.5 * 2.0**-53, -1.5 * 2.0**-53])
    nearest = bool((one + half == one).all()) and bool((np.abs(one + more) > 1).all())
    if not alive or not nearest:
        raise Rejected(
            Reason.ARITHMETIC_ENVIRONMENT,
            "float64 flushes subnormals to zero or does not round to nearest in this process",
        )


def check(
    data: bytes,
    weights: Weights,
    *,
    arithmetic: str = "float64",
    limits: Limits | None = None,
    progress: Progress = no_progress,
) -> Verdict:
    """Check a certificate. Never raises for anything the bytes may hold.

    Args:
        data: the certificate file.
        weights: the model, read by `spec.read_weights`.
        arithmetic: a name of `ARITHMETICS`.
        limits: what the check may cost.
        progress: called with (done, total).
    """
    certificate: Certificate | None = None
    task: AbstractTask | None = None
    cost: Cost | None = None
    limits = limits or Limits()
    try:
        if len(data) > limits.max_bytes:
            raise Rejected(Reason.RESOURCES, "the certificate is larger than max_bytes")
        certificate = decode(data)
        question = _require_about(certificate, weights)
        task = question.task
        rule = RULES[certificate.rule]
        rule.require_covers(weights, question)
        cost = rule.cost(weights.architecture, question, certificate.hints)
        if cost.checker_ops > limits.max_ops:
            raise Rejected(Reason.RESOURCES, f"the check needs {cost.checker_ops} operations, allowed {limits.max_ops}")
        if cost.bytes_needed > limits.max_bytes:
            raise Rejected(Reason.RESOURCES, f"the check needs {cost.bytes_needed} bytes, allowed {limits.max_bytes}")
        require_sound_floats()
        arith = ARITHMETICS[arithmetic]()
        with arith.running():
            bound = rule.bound(weights, question, certificate.hints, arith, progress)
        _require_reached(certificate, question, bound.wrong_at_most)
        strata = strata_bounds(question, bound)
    except Rejected as rejected:
        return Verdict(None, rejected.reason, rejected.detail, certificate, cost, None, task, weights.sha256, len(data))
    at_least = bound.wrong_at_least
    return Verdict(
        claim=_claim(certificate),
        reason=None,
        detail="",
        certificate=certificate,
        cost=cost,
        correct_at_most=None if at_least is None else certificate.total - at_least,
        task=task,
        weights_sha256=weights.sha256,
        n_bytes=len(data),
        question=question,
        strata=strata,
    )


def strata_bounds(question: Question, bound: CountBound) -> tuple[StratumBound, ...]:
    """The rule's bounds by stratum, whole and at most the stratum."""
    weighing = weighing_of(question)
    found = []
    for (q, y), wrong in sorted(bound.strata.items()):
        total = weighing.stratum(q, y)
        # SOUND: weights are integers, so the weight of the wrong sequences is at most the floor of its bound.
        found.append(StratumBound(q, y, total, min(total, floor(wrong))))
    return tuple(found)


def _require_about(certificate: Certificate, weights: Weights) -> Question:
    """The certificate speaks about these weights, a known task, rule, distribution and semantics."""
    if certificate.rule not in RULES:
        raise Rejected(Reason.UNKNOWN_RULE, f"no such rule; known: {', '.join(sorted(RULES))}")
    if certificate.weights_sha256 != weights.sha256:
        raise Rejected(Reason.WEIGHTS_MISMATCH, "the certificate is about other weights or another architecture record")
    # Canonical bytes, because Python's True equals 1.
    if canonical(certificate.model) != canonical(weights.architecture.record()):
        raise Rejected(Reason.MODEL_MISMATCH, "the architecture record is not that of the weights")
    try:
        task = task_from_record(certificate.task)
        task.require_fits(weights.architecture)
    except TaskError as error:
        raise Rejected(Reason.TASK_MISMATCH, str(error)) from None
    try:
        distribution = distribution_from(certificate.distribution, certificate.distribution_arrays)
        distribution.require_fits(task)
    except DistributionError as error:
        raise Rejected(Reason.TASK_MISMATCH, str(error)) from None
    if certificate.semantics not in SEMANTICS:
        raise Rejected(Reason.BAD_CLAIM, f"the semantics are {', '.join(SEMANTICS)}")
    kinds = (distribution.claim_kind, MEAN_PROBABILITY, LOSS)
    if certificate.claim_kind not in kinds:
        raise Rejected(Reason.BAD_CLAIM, f"a claim under {distribution.name} has one of the kinds {', '.join(kinds)}")
    claim = CLAIMS[certificate.claim_kind]
    question = Question(task, distribution, certificate.semantics, claim.quantity)
    if certificate.total != claim.scale * question.total():
        raise Rejected(Reason.BAD_CLAIM, "claim total is not that of all sequences")
    try:
        _claim(certificate)
    except ValueError as error:
        raise Rejected(Reason.BAD_CLAIM, str(error)) from None
    return question


def _claim(certificate: Certificate) -> AccuracyClaim:
    return CLAIMS[certificate.claim_kind](certificate.correct, certificate.total, certificate.semantics)


def _require_reached(certificate: Certificate, question: Question, wrong_at_most: Fraction) -> None:
    claim = _claim(certificate)
    most = claim.most(wrong_at_most, question.total())
    if not claim.follows(most):
        raise Rejected(Reason.BOUND_TOO_LOW, f"claimed {claim.head} {claim.correct}; the rule gives {most}")
