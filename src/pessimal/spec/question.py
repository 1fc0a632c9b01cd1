"""What is asked of a model: which task, on which inputs, by which arithmetic, and what of it."""

from dataclasses import dataclass, field

from pessimal.spec.claim import ACCURACY
from pessimal.spec.distribution import AbstractDistribution, Uniform
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask


@dataclass(frozen=True)
class Question:
    """How often is the model right, or how sure of the right output?

    Attributes:
        task: the right output of every sequence.
        distribution: how often every sequence occurs.
        semantics: one of `semantics.SEMANTICS`.
        quantity: `"accuracy"`, `"mean-probability"` or `"loss"` (`claim.py`).
    """

    task: AbstractTask
    distribution: AbstractDistribution = field(default_factory=Uniform)
    semantics: str = REAL
    quantity: str = ACCURACY

    def total(self) -> int:
        """Weight of all sequences; their number where each weighs 1."""
        return self.distribution.total(self.task)
