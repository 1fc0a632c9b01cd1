r"""Claims: what a certificate asserts.

`AccuracyClaim(correct=n, total=N, ...)` says, of one concrete set of weights $W$ and one task $f$:

$$\#\{t \in \{0..v-1\}^K : \mathrm{logit}_{f(t)}(W, t) > \mathrm{logit}_o(W, t)\ \ \forall o \ne f(t)\} \;\ge\; n,
\qquad N = v^K .$$

`ProbabilityClaim(correct=p, total=W, ...)` says the same of the weights of these sequences under a distribution whose
sequences weigh W together (`distribution.py`): a sequence drawn from it is answered correctly with probability at
least p/W.

`MeanProbabilityClaim` and `LossClaim` are about the softmax p of the logits: the mean of p(right output), or of
-log p(right output) in nats, over the distribution is at least, or at most, `correct / total`.

`logit` is `spec.model.logits`: real arithmetic on the exact values of the stored floats. A tie counts as wrong.
With `semantics=float32` the logits are those of a float32 execution, and the n sequences are right in every execution
that `spec.semantics.assumptions` allows.
What is *not* said: anything about another input distribution, with `semantics=real` anything about a floating-point
execution of the model, or that the count is the largest provable one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import ClassVar

from pessimal.spec.semantics import EXP_ULPS, FLOAT32, REAL, SHIFT, require_known

ACCURACY, MEAN_PROBABILITY, LOSS = "accuracy", "mean-probability", "loss"
SHOWN = 10**100
# Sums of real numbers are claimed in units of this share of a sequence's weight.
FINE = 2**20


@dataclass(frozen=True)
class AccuracyClaim:
    """At least `correct` of the `total` equally likely sequences are answered correctly.

    Attributes:
        correct: claimed number of correct sequences, 0 <= correct <= total.
        total: number of sequences.
        semantics: `"real"`: real arithmetic on the stored values; `"float32"`: every float32 execution.
    """

    kind: ClassVar[str] = "correct-count"
    head: ClassVar[str] = "correct"
    quantity: ClassVar[str] = ACCURACY
    scale: ClassVar[int] = 1
    correct: int
    total: int
    semantics: str = REAL

    def __post_init__(self) -> None:
        """Refuse counts that no model could have."""
        if not 0 <= self.correct <= self.total:
            raise ValueError("a claim needs 0 <= correct <= total")
        require_known(self.semantics)

    @property
    def accuracy(self) -> Fraction:
        """The claimed lower bound on accuracy."""
        return Fraction(self.correct, self.total)

    @classmethod
    def most(cls, wrong_at_most: Iterable[Fraction | int], weight: int) -> int:
        """The strongest `correct` that follows from bounds on the weight of the wrong sequences among `weight`.

        Args:
            wrong_at_most: a bound for each of some disjoint parts that cover all sequences.
            weight: of all sequences.
        """
        # SOUND: the number or weight of the wrong sequences of a part is an integer, so at most the floor of its bound.
        return weight - sum(floor(part) for part in wrong_at_most)

    def follows(self, most: int) -> bool:
        """Whether this claim says no more than the strongest one."""
        return self.correct <= most

    def statement(self) -> str:
        """The claim as it begins a verdict line."""
        return f"{self.head}>={self.correct}/{self.total} accuracy>={decimal_down(self.accuracy)}"

    def sentence(self, task: str, weights_sha256: str) -> str:
        """The claim in English, written by whoever checked it."""
        return (
            f"The model with weights sha256:{weights_sha256}, in {arithmetic_of(self.semantics)}, gives the "
            f"right answer a strictly larger logit than every other on at least {self.correct} of all {self.total} "
            f"inputs of {task} (at least {decimal_down(self.accuracy)} of them)."
        )


@dataclass(frozen=True)
class ProbabilityClaim(AccuracyClaim):
    """A sequence drawn from a distribution is answered correctly with probability at least `correct / total`.

    Attributes:
        correct: claimed weight of the correct sequences.
        total: weight of all sequences.
        semantics: as for `AccuracyClaim`.
    """

    kind: ClassVar[str] = "probability"
    head: ClassVar[str] = "probability"

    def sentence(self, task: str, weights_sha256: str) -> str:
        """The claim in English; `task` names the distribution as well."""
        return (
            f"The model with weights sha256:{weights_sha256}, in {arithmetic_of(self.semantics)}, gives the "
            f"right answer a strictly larger logit than every other with probability at least "
            f"{decimal_down(self.accuracy)} on inputs of {task}; exactly: {self.correct}/{self.total}."
        )


@dataclass(frozen=True)
class MeanProbabilityClaim(AccuracyClaim):
    """The mean probability that the model's softmax gives the right output is at least `correct / total`.

    Attributes:
        correct: claimed sum of weight times probability, in units of 1 / `scale`.
        total: weight of all sequences, in the same units.
        semantics: as for `AccuracyClaim`.
    """

    kind: ClassVar[str] = MEAN_PROBABILITY
    head: ClassVar[str] = MEAN_PROBABILITY
    quantity: ClassVar[str] = MEAN_PROBABILITY
    scale: ClassVar[int] = FINE

    def __post_init__(self) -> None:
        """Nor with rounding."""
        super().__post_init__()
        _require_real(self)

    @classmethod
    def most(cls, wrong_at_most: Iterable[Fraction | int], weight: int) -> int:
        """From bounds on the sum of weight times probability of not answering right."""
        return cls.scale * weight - ceil(cls.scale * sum(wrong_at_most, Fraction(0)))

    def statement(self) -> str:
        """The claim as it begins a verdict line."""
        return f"{self.head}>={self.correct}/{self.total} value>={decimal_down(self.accuracy)}"

    def sentence(self, task: str, weights_sha256: str) -> str:
        """The claim in English."""
        return (
            f"The model with weights sha256:{weights_sha256}, in real arithmetic on its stored values, gives the right "
            f"output a mean softmax probability of at least {decimal_down(self.accuracy)} over the inputs of {task}."
        )


@dataclass(frozen=True)
class LossClaim(AccuracyClaim):
    """The mean cross-entropy of the model's softmax against the right output is at most `correct / total` nats.

    Attributes:
        correct: claimed sum of weight times loss, in units of 1 / `scale`.
        total: weight of all sequences, in the same units.
        semantics: as for `AccuracyClaim`.
    """

    kind: ClassVar[str] = LOSS
    head: ClassVar[str] = LOSS
    quantity: ClassVar[str] = LOSS
    scale: ClassVar[int] = FINE

    def __post_init__(self) -> None:
        """A loss may exceed one, not be negative."""
        if self.correct < 0 or self.total < 1:
            raise ValueError("a loss is not negative")
        _require_real(self)

    @classmethod
    def most(cls, wrong_at_most: Iterable[Fraction | int], weight: int) -> int:
        """From bounds on the sum of weight times loss."""
        del weight
        return ceil(cls.scale * sum(wrong_at_most, Fraction(0)))

    def follows(self, most: int) -> bool:
        """A larger loss says less."""
        return self.correct >= most

    def statement(self) -> str:
        """The claim as it begins a verdict line."""
        return f"{self.head}<={self.correct}/{self.total} value<={decimal_up(self.accuracy)}"

    def sentence(self, task: str, weights_sha256: str) -> str:
        """The claim in English."""
        return (
            f"The model with weights sha256:{weights_sha256}, in real arithmetic on its stored values, has a mean "
            f"cross-entropy of at most {decimal_up(self.accuracy)} nats over the inputs of {task}."
        )


def _require_real(claim: AccuracyClaim) -> None:
    if claim.semantics != REAL:
        raise ValueError(f"a claim of kind {claim.kind} is about real arithmetic, not semantics {claim.semantics[:20]}")


CLAIMS: dict[str, type[AccuracyClaim]] = {
    one.kind: one for one in (AccuracyClaim, ProbabilityClaim, MeanProbabilityClaim, LossClaim)
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
