r"""Claims: what a certificate asserts.

`AccuracyClaim(correct=n, total=N, ...)` says, of one concrete set of weights $W$ and one task $f$:

$$\#\{t \in \{0..v-1\}^K : \mathrm{logit}_{f(t)}(W, t) > \mathrm{logit}_o(W, t)\ \ \forall o \ne f(t)\} \;\ge\; n,
\qquad N = v^K .$$

`logit` is `spec.model.logits`: real arithmetic on the exact values of the stored floats. A tie counts as wrong.
With `semantics=float32` the logits are those of a float32 execution, and the n sequences are right in every execution
that `spec.semantics.assumptions` allows.
What is *not* said: anything about another input distribution, with `semantics=real` anything about a floating-point
execution of the model, or that the count is the largest provable one.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from pessimal.spec.semantics import EXP_ULPS, FLOAT32, REAL, SHIFT, require_known


@dataclass(frozen=True)
class AccuracyClaim:
    """At least `correct` of the `total` equally likely sequences are answered correctly.

    Attributes:
        correct: claimed number of correct sequences, 0 <= correct <= total.
        total: number of sequences.
        semantics: `"real"`: real arithmetic on the stored values; `"float32"`: every float32 execution.
    """

    kind: ClassVar[str] = "correct-count"
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

    def sentence(self, task: str, weights_sha256: str) -> str:
        """The claim in English, written by whoever checked it."""
        how = "real arithmetic on its stored values"
        if self.semantics == FLOAT32:
            how = (
                f"every float32 execution (sums in any order, exp within {EXP_ULPS} ulp, softmax shifted to within "
                f"{SHIFT} of its largest score, no TF32, no flush to zero)"
            )
        return (
            f"The model with weights sha256:{weights_sha256}, in {how}, gives the "
            f"right answer a strictly larger logit than every other on at least {self.correct} of all {self.total} "
            f"inputs of {task} (at least {decimal_down(self.accuracy)} of them)."
        )


def decimal_down(value: Fraction, digits: int = 6) -> str:
    """`value` (between 0 and 1) as a decimal, rounded towards zero."""
    scaled = value.numerator * 10**digits // value.denominator
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"
