"""What a check ends with: a verified claim, or the reason why nothing is verified.

Contents:
    StratumBound — the bound of one last token and right output.
    Verified — a claim, and everything it rests on.
    NotVerified — a reason of the closed list; false wherever a truth value is asked for.
    Verdict — one of the two.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from pessimal.kernel.certificate import Certificate
from pessimal.kernel.cost import Cost
from pessimal.kernel.rejection import Reason
from pessimal.spec.architecture import Assumption
from pessimal.spec.claim import AbstractClaim
from pessimal.spec.question import Question


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
class Verified:
    """A claim that a check has verified, and what it rests on.

    Attributes:
        claim: what was verified.
        question: what it is about.
        certificate: where it stood.
        cost: proof length.
        assumed: what the weights file does not state about the architecture.
        strata: bounds by stratum as this checker computed them; empty where the rule gives none.
        correct_at_most: upper bound on the weight of the correct sequences, or None where the rule gives none.
        converted: what the weights were before they were converted, or empty.
    """

    verified: ClassVar[bool] = True
    reason: ClassVar[None] = None
    detail: ClassVar[str] = ""
    claim: AbstractClaim
    question: Question
    certificate: Certificate
    cost: Cost
    assumed: tuple[Assumption, ...]
    strata: tuple[StratumBound, ...]
    correct_at_most: int | None
    converted: str = ""

    @property
    def n_bytes(self) -> int:
        """Length of the certificate."""
        return self.certificate.n_bytes

    @property
    def worst_stratum(self) -> StratumBound | None:
        """The stratum with the lowest bound, the heaviest of these, or None if the rule names none."""
        return min(self.strata, key=lambda stratum: (stratum.accuracy, -stratum.total), default=None)

    def line(self) -> str:
        """The stable one-line verdict."""
        distribution = self.question.distribution
        assumed = ",".join(assumption.item() for assumption in self.assumed) or "-"
        named = f" distribution=sha256:{distribution.sha256}" if distribution.arrays() else ""
        return (
            f"s VERIFIED {self.claim.statement()} task={self.question.task.name} dist={distribution.name}{named}"
            f" semantics={self.claim.semantics} weights=sha256:{self.certificate.weights_sha256}"
            f" rule={self.certificate.rule} flops={self.cost.flops} ops={self.cost.checker_ops}"
            f" bytes={self.certificate.n_bytes} question=sha256:{self.question.sha256} assumed={assumed}"
            + (f" converted={self.converted}" if self.converted else "")
        )


@dataclass(frozen=True)
class NotVerified:
    """The reason why nothing is verified.

    Attributes:
        reason: why.
        detail: one sentence.
        n_bytes: length of the certificate.
        certificate: what was decoded, or None where that failed.
        question: what the certificate is about, or None where it is not about these weights.
        cost: proof length, or None if it was not reached.
    """

    verified: ClassVar[bool] = False
    claim: ClassVar[None] = None
    strata: ClassVar[tuple[StratumBound, ...]] = ()
    reason: Reason
    detail: str
    n_bytes: int = 0
    certificate: Certificate | None = None
    question: Question | None = None
    cost: Cost | None = None

    def __bool__(self) -> bool:
        """A certificate that was not verified is never true."""
        return False

    def line(self) -> str:
        """The stable one-line verdict."""
        return f"s REJECTED reason={self.reason}"


Verdict = Verified | NotVerified
