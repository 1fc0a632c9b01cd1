r"""Claims: what a certificate asserts.

`AccuracyClaim(correct=n, total=N, ...)` says, of one concrete set of weights $W$ and one task $f$:

$$\#\{t \in \{0..v-1\}^K : \mathrm{logit}_{f(t)}(W, t) > \mathrm{logit}_o(W, t)\ \ \forall o \ne f(t)\} \;\ge\; n,
\qquad N = v^K .$$

`ProbabilityClaim(correct=p, total=W, ...)` says the same of the weights of these sequences under a distribution whose
sequences weigh W together (`distribution.py`): a sequence drawn from it is answered correctly with probability at
least p/W.

`logit` is `spec.model.logits`: real arithmetic on the exact values of the stored floats. A tie counts as wrong.
What is *not* said: anything about another input distribution, about a floating-point execution of the model
(`semantics=real`), or that the count is the largest provable one.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar


@dataclass(frozen=True)
class AccuracyClaim:
    """At least `correct` of the `total` equally likely sequences are answered correctly.

    Attributes:
        correct: claimed number of correct sequences, 0 <= correct <= total.
        total: number of sequences.
        semantics: `"real"`: real arithmetic on the stored values.
    """

    kind: ClassVar[str] = "correct-count"
    head: ClassVar[str] = "correct"
    correct: int
    total: int
    semantics: str = "real"

    def __post_init__(self) -> None:
        """Refuse counts that no model could have."""
        if not 0 <= self.correct <= self.total:
            raise ValueError("a claim needs 0 <= correct <= total")
        if self.semantics != "real":
            raise ValueError("the only semantics so far is real")

    @property
    def accuracy(self) -> Fraction:
        """The claimed lower bound on accuracy."""
        return Fraction(self.correct, self.total)

    def sentence(self, task: str, weights_sha256: str) -> str:
        """The claim in English, written by whoever checked it."""
        return (
            f"The model with weights sha256:{weights_sha256}, in real arithmetic on its stored values, gives the "
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
            f"The model with weights sha256:{weights_sha256}, in real arithmetic on its stored values, gives the "
            f"right answer a strictly larger logit than every other with probability at least "
            f"{decimal_down(self.accuracy)} on inputs of {task}; exactly: {self.correct}/{self.total}."
        )


CLAIMS: dict[str, type[AccuracyClaim]] = {one.kind: one for one in (AccuracyClaim, ProbabilityClaim)}


def decimal_down(value: Fraction, digits: int = 6) -> str:
    """`value` (between 0 and 1) as a decimal, rounded towards zero."""
    scaled = value.numerator * 10**digits // value.denominator
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"
