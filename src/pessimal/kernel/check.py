"""Check a certificate against weights. The only function that says VERIFIED.

Contents:
    Limits — what a check may cost.
    Asked — what the question has to be.
    check — certificate bytes and weights in, verdict out.
    require_sound_floats — the float environment the float64 arithmetic relies on.
    strata_bounds — a bound by stratum, as the verdict has it.
"""

from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.certificate import Certificate, decode
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import CountBound, Progress, no_progress
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.kernel.verdict import NotVerified, StratumBound, Verdict, Verified
from pessimal.spec.claim import ACCURACY, CLAIMS, LOSS, MEAN_PROBABILITY, AbstractClaim, whole
from pessimal.spec.digest import canonical
from pessimal.spec.distribution import AbstractDistribution, DistributionError, distribution_from
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
    max_bytes: int = 2**30


@dataclass(frozen=True)
class Asked:
    """The question that whoever checks has in mind; None leaves that part to the certificate.

    Attributes:
        task: the task, all its parameters included.
        distribution: how often every sequence occurs.
        semantics: arithmetic of the claim.
        at_least: how many sequences have to be right, or their weight, and that of all: (n, total).
    """

    task: AbstractTask | None = None
    distribution: AbstractDistribution | None = None
    semantics: str | None = None
    at_least: tuple[int, int] | None = None

    def require(self, question: Question, claim: AbstractClaim) -> None:
        """Raise `Rejected(other-question)` unless the certificate answers what was asked."""
        pairs = (
            ("task", self.task, question.task),
            ("distribution", self.distribution, question.distribution),
            ("semantics", self.semantics, question.semantics),
        )
        for what, asked, stated in pairs:
            if asked is not None and asked != stated:
                raise Rejected(Reason.OTHER_QUESTION, f"the {what} is {stated}; asked was {asked}")
        if self.at_least is None:
            return
        n, total = self.at_least
        stated = f"claimed is {claim.label} {whole(claim.amount)} of {whole(claim.total)}"
        asked = f"{stated}; asked was at least {whole(n)} of {whole(total)}"
        if question.quantity != ACCURACY:
            raise Rejected(Reason.OTHER_QUESTION, f"{asked} right answers")
        if claim.total != total:
            raise Rejected(Reason.OTHER_QUESTION, f"{asked}, and the totals have to be equal")
        if claim.amount < n:
            raise Rejected(Reason.OTHER_QUESTION, asked)


def require_sound_floats() -> None:
    """Raise `Rejected(arithmetic-environment)` unless float64 keeps subnormals and rounds to nearest.

    Some libraries switch the whole process to flush-to-zero; outward rounding then fails silently.
    """
    tiny = np.array([2.0**-1074, 2.0**-1022], dtype=np.float64)
    alive = bool(tiny[0] > 0) and bool((tiny[1] * np.float64(0.5)) > 0) and bool((tiny * 1.0)[0] > 0)
    ones = np.array([1.0, -1.0])
    # To nearest, ties to even: 1 + 2**-53 is 1, 1 + 2**-53 + 2**-54 is above 1, and likewise below zero.
    half, more = np.array([2.0**-53, -(2.0**-53)]), np.array([1.5 * 2.0**-53, -1.5 * 2.0**-53])
    nearest = bool((ones + half == ones).all()) and bool((np.abs(ones + more) > 1).all())
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
    asked: Asked | None = None,
    progress: Progress = no_progress,
) -> Verdict:
    """Check a certificate. Never raises for anything the bytes may hold.

    Args:
        data: the certificate file.
        weights: the model, read by `spec.read_weights`.
        arithmetic: a name of `ARITHMETICS`.
        limits: what the check may cost.
        asked: what the question has to be.
        progress: called with (done, total).
    """
    if arithmetic not in ARITHMETICS:
        raise ValueError(f"arithmetic is one of {', '.join(ARITHMETICS)}, not {arithmetic!r}")
    known: dict[str, Any] = {"n_bytes": len(data)}
    try:
        return _verify(data, weights, ARITHMETICS[arithmetic](), limits or Limits(), asked or Asked(), progress, known)
    except Rejected as rejected:
        return NotVerified(rejected.reason, rejected.detail, **known)
    except (MemoryError, RecursionError) as error:
        return NotVerified(Reason.RESOURCES, f"the check ran out of memory or depth ({type(error).__name__})", **known)
    except Exception as error:  # noqa: BLE001 - whatever a rule may raise, nothing is verified
        detail = f"the check failed: {type(error).__name__}: {str(error)[:200]}"
        return NotVerified(Reason.RULE_FAILED, detail, **known)


def _verify(
    data: bytes,
    weights: Weights,
    arith: AbstractArithmetic,
    limits: Limits,
    asked: Asked,
    progress: Progress,
    known: dict[str, Any],
) -> Verified:
    """The verified claim; raises where a condition fails, and enters into `known` what was found out before."""
    if len(data) > limits.max_bytes:
        raise Rejected(Reason.RESOURCES, "the certificate is larger than max_bytes")
    certificate = known["certificate"] = decode(data)
    question, claim = _require_about(certificate, weights)
    known["question"] = question
    asked.require(question, claim)
    rule = RULES[certificate.rule]
    rule.require_covers(weights, question)
    instance = rule.read(certificate.hints, weights.architecture, question)
    cost = known["cost"] = instance.cost()
    if cost.checker_ops > limits.max_ops:
        raise Rejected(Reason.RESOURCES, f"the check needs {cost.checker_ops} operations, allowed {limits.max_ops}")
    if cost.bytes_needed > limits.max_bytes:
        raise Rejected(Reason.RESOURCES, f"the check needs {cost.bytes_needed} bytes, allowed {limits.max_bytes}")
    require_sound_floats()
    with arith.running():
        bound = instance.bound(weights, arith, progress)
    most = claim.most(bound.parts(), question.total())
    if not claim.follows(most):
        sentence = f"claimed {claim.label} {whole(claim.amount)}; the rule gives {whole(most)}"
        raise Rejected(Reason.BOUND_TOO_LOW, sentence)
    at_most = None if bound.wrong_at_least is None else certificate.total - bound.wrong_at_least
    strata = strata_bounds(question, bound)
    assumed = weights.architecture.assumed
    return Verified(claim, question, certificate, cost, assumed, strata, at_most, weights.converted)


def strata_bounds(question: Question, bound: CountBound) -> tuple[StratumBound, ...]:
    """The rule's bounds by stratum, whole and at most the stratum."""
    weighing = weighing_of(question)
    bounds = []
    for (q, y), wrong in sorted(bound.strata.items()):
        total = weighing.stratum(q, y)
        # SOUND: weights are integers, so the weight of the wrong sequences is at most the floor of its bound.
        bounds.append(StratumBound(q, y, total, min(total, floor(wrong))))
    return tuple(bounds)


def _require_about(certificate: Certificate, weights: Weights) -> tuple[Question, AbstractClaim]:
    """Question and claim of a certificate about these weights, a known task, rule, distribution and semantics."""
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
    kind = CLAIMS[certificate.claim_kind]
    question = Question(task, distribution, certificate.semantics, kind.quantity)
    if certificate.total != kind.units * question.total():
        raise Rejected(Reason.BAD_CLAIM, "claim total is not that of all sequences")
    try:
        return question, kind(certificate.correct, certificate.total, certificate.semantics)
    except ValueError as error:
        raise Rejected(Reason.BAD_CLAIM, str(error)) from None
