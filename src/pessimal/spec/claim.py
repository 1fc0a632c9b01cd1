r"""Claims: what a certificate asserts.

`AccuracyClaim(amount=n, total=N, ...)` says, of one concrete set of weights $W$ and one task $f$:

$$\#\{t \in \{0..v-1\}^K : \mathrm{logit}_{f(t)}(W, t) > \mathrm{logit}_o(W, t)\ \ \forall o \ne f(t)\} \;\ge\; n,
\qquad N = v^K .$$

`ProbabilityClaim(amount=p, total=W, ...)` says the same of the weights of these sequences under a distribution whose
sequences weigh W together (`distribution.py`): a sequence drawn from it is answered correctly with probability at
least p/W.

`MeanProbabilityClaim` and `LossClaim` are about the softmax p of the logits: the mean of p(right output), or of
-log p(right output) in nats, over the distribution is at least, or at most, `amount / total`.

`logit` is `spec.model.logits`: real arithmetic on the exact values of the stored floats. A tie counts as wrong.
With `semantics=float32` the logits are those of a float32 execution, and the n sequences are right in every execution
that `spec.semantics.assumptions` allows.
What is *not* said: anything about another input distribution, with `semantics=real` anything about a floating-point
execution of the model, or that the count is the largest provable one.

Contents:
    AbstractClaim, AbstractRightClaim — a claim, and one about right answers.
    AccuracyClaim, ProbabilityClaim — how many inputs, or how often, the right output wins.
    MeanProbabilityClaim, LossClaim — how sure the model is of the right output.
    CLAIMS — the four claims by kind.
    arithmetic_of, whole, decimal_down, decimal_up — words and numbers of sentences.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import ClassVar, final

from pessimal.spec.semantics import EXP_ULPS, FLOAT32, REAL, SHIFT, require_known

ACCURACY, MEAN_PROBABILITY, LOSS = "accuracy", "mean-probability", "loss"
SHOWN = 10**100
# Sums of real numbers are claimed in units of this share of a sequence's weight.
FINE = 2**20
LARGEST_LOGIT = "gives the right answer a strictly larger logit than every other"


@dataclass(frozen=True)
class AbstractClaim(ABC):
    """A number of some quantity, and what it is a share of.

    Attributes:
        kind: as it stands in a certificate.
        label: first word of the verdict line.
        quantity: what is bounded.
        units: how many make the weight of one sequence.
        amount: the numerator; written `correct` in files, whatever it counts.
        total: the denominator: the weight of all sequences, in `units`.
        semantics: `"real"`: real arithmetic on the stored values; `"float32"`: every float32 execution.
    """

    kind: ClassVar[str]
    label: ClassVar[str]
    quantity: ClassVar[str]
    units: ClassVar[int]
    amount: int
    total: int
    semantics: str = REAL

    def __post_init__(self) -> None:
        """Refuse amounts that no model could have, and semantics that the quantity is not known under."""
        self.require_possible()
        require_known(self.semantics)
        if self.quantity != ACCURACY and self.semantics != REAL:
            about = f"real arithmetic, not semantics {self.semantics[:20]}"
            raise ValueError(f"a claim of kind {self.kind} is about {about}")

    def require_possible(self) -> None:
        """Raise `ValueError` unless the amount is a share."""
        if not 0 <= self.amount <= self.total:
            raise ValueError("a claim needs 0 <= correct <= total")

    @property
    def value(self) -> Fraction:
        """The claimed bound on the quantity."""
        return Fraction(self.amount, self.total)

    @classmethod
    @abstractmethod
    def most(cls, wrong_at_most: Iterable[Fraction | int], weight: int) -> int:
        """The strongest amount that follows from bounds on what is wrong.

        Args:
            wrong_at_most: a bound for each of some disjoint parts that cover all sequences: on the weight of the wrong
                ones, or on the sum of weight times probability of another output, or times loss.
            weight: of all sequences.
        """

    def follows(self, most: int) -> bool:
        """Whether this claim says no more than the strongest one."""
        return self.amount <= most

    def statement(self) -> str:
        """The claim as it begins a verdict line."""
        return f"{self.label}>={self.amount}/{self.total} value>={decimal_down(self.value)}"

    def sentence(self, task: str, weights_sha256: str) -> str:
        """The claim in English, written by whoever checked it; `task` names the distribution as well."""
        return f"The model with weights sha256:{weights_sha256}, in {arithmetic_of(self.semantics)}, {self.says(task)}."

    @abstractmethod
    def says(self, task: str) -> str:
        """What the sentence says of the model."""


class AbstractRightClaim(AbstractClaim):
    """At least `amount` of `total` is answered correctly."""

    quantity: ClassVar[str] = ACCURACY
    units: ClassVar[int] = 1

    @property
    def correct(self) -> int:
        """The claimed number, or weight, of correct sequences."""
        return self.amount

    @property
    def accuracy(self) -> Fraction:
        """Their share."""
        return self.value

    @classmethod
    def most(cls, wrong_at_most: Iterable[Fraction | int], weight: int) -> int:
        """All but the sequences that may be wrong, part by part."""
        # SOUND: the number or weight of the wrong sequences of a part is an integer, so at most the floor of its bound.
        return weight - sum(floor(part) for part in wrong_at_most)

    def statement(self) -> str:
        """The claim as it begins a verdict line."""
        return f"{self.label}>={self.amount}/{self.total} accuracy>={decimal_down(self.value)}"


@final
class AccuracyClaim(AbstractRightClaim):
    """At least `amount` of the `total` equally likely sequences are answered correctly."""

    kind: ClassVar[str] = "correct-count"
    label: ClassVar[str] = "correct"

    def says(self, task: str) -> str:
        """What is said of a number of inputs."""
        of_them = f"(at least {decimal_down(self.value)} of them)"
        return f"{LARGEST_LOGIT} on at least {self.amount} of all {self.total} inputs of {task} {of_them}"


@final
class ProbabilityClaim(AbstractRightClaim):
    """A sequence drawn from a distribution is answered correctly with probability at least `amount / total`."""

    kind: ClassVar[str] = "probability"
    label: ClassVar[str] = "probability"

    def says(self, task: str) -> str:
        """What is said of a probability, as a decimal and exactly."""
        exactly = f"exactly: {self.amount}/{self.total}"
        return f"{LARGEST_LOGIT} with probability at least {decimal_down(self.value)} on inputs of {task}; {exactly}"


@final
class MeanProbabilityClaim(AbstractClaim):
    """The mean probability that the model's softmax gives the right output is at least `amount / total`."""

    kind: ClassVar[str] = MEAN_PROBABILITY
    label: ClassVar[str] = MEAN_PROBABILITY
    quantity: ClassVar[str] = MEAN_PROBABILITY
    units: ClassVar[int] = FINE

    @classmethod
    def most(cls, wrong_at_most: Iterable[Fraction | int], weight: int) -> int:
        """All but the probability of other outputs, in units."""
        return cls.units * weight - ceil(cls.units * sum(wrong_at_most, Fraction(0)))

    def says(self, task: str) -> str:
        """What is said of a mean over the inputs."""
        mean = f"a mean softmax probability of at least {decimal_down(self.value)}"
        return f"gives the right output {mean} over the inputs of {task}"


@final
class LossClaim(AbstractClaim):
    """The mean cross-entropy of the model's softmax against the right output is at most `amount / total` nats."""

    kind: ClassVar[str] = LOSS
    label: ClassVar[str] = LOSS
    quantity: ClassVar[str] = LOSS
    units: ClassVar[int] = FINE

    def require_possible(self) -> None:
        """Raise `ValueError` if the loss is negative; it may exceed one."""
        if self.amount < 0 or self.total < 1:
            raise ValueError("a loss is not negative")

    @classmethod
    def most(cls, wrong_at_most: Iterable[Fraction | int], weight: int) -> int:
        """The whole loss, in units: the least amount that may be claimed."""
        del weight
        return ceil(cls.units * sum(wrong_at_most, Fraction(0)))

    def follows(self, most: int) -> bool:
        """Whether this claim says no more than the strongest one: a larger loss says less."""
        return self.amount >= most

    def statement(self) -> str:
        """The claim as it begins a verdict line: an upper bound."""
        return f"{self.label}<={self.amount}/{self.total} value<={decimal_up(self.value)}"

    def says(self, task: str) -> str:
        """What is said of a mean over the inputs, in nats."""
        return f"has a mean cross-entropy of at most {decimal_up(self.value)} nats over the inputs of {task}"


CLAIMS: dict[str, type[AbstractClaim]] = {
    claim.kind: claim for claim in (AccuracyClaim, ProbabilityClaim, MeanProbabilityClaim, LossClaim)
}


def arithmetic_of(semantics: str) -> str:
    """How the model is run, in English."""
    if semantics != FLOAT32:
        return "real arithmetic on its stored values"
    return (
        f"every float32 execution (sums in any order, exp within {EXP_ULPS} ulp, softmax shifted to within "
        f"{SHIFT} of its largest score, no TF32, no flush to zero)"
    )


def whole(number: int) -> str:
    """A natural number in decimal, or its size where it is too long to be of use; Python refuses 4,300 digits."""
    return str(number) if number < SHOWN else f"a number of {number.bit_length()} bits"


def decimal_down(value: Fraction, digits: int = 6) -> str:
    """`value` (between 0 and 1) as a decimal, rounded towards zero."""
    scaled = value.numerator * 10**digits // value.denominator
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"


def decimal_up(value: Fraction, digits: int = 6) -> str:
    """`value` (not negative) as a decimal, rounded away from zero."""
    scaled = -(-value.numerator * 10**digits // value.denominator)
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"
