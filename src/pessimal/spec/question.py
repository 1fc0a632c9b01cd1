"""What is asked of a model: which task, on which inputs, by which arithmetic."""

from dataclasses import dataclass, field

from pessimal.spec.distribution import Uniform
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask


@dataclass(frozen=True)
class Question:
    """How often is the model right?

    Attributes:
        task: the right output of every sequence.
        distribution: how often every sequence occurs.
        semantics: one of `semantics.SEMANTICS`.
    """

    task: AbstractTask
    distribution: Uniform = field(default_factory=Uniform)
    semantics: str = REAL
