"""What is asked of a model: which task, on which inputs, by which arithmetic."""

from dataclasses import dataclass, field

from pessimal.spec.distribution import AbstractDistribution, Uniform
from pessimal.spec.task import AbstractTask


@dataclass(frozen=True)
class Question:
    """How often is the model right?

    Attributes:
        task: the right output of every sequence.
        distribution: how often every sequence occurs.
        semantics: `"real"`: real arithmetic on the stored values.
    """

    task: AbstractTask
    distribution: AbstractDistribution = field(default_factory=Uniform)
    semantics: str = "real"

    def total(self) -> int:
        """Weight of all sequences; their number where each weighs 1."""
        return self.distribution.total(self.task)
