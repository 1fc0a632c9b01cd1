"""What is asked of a model: which task, on which inputs, by which arithmetic, and what of it."""

from dataclasses import dataclass, field
from functools import cached_property

from pessimal.spec.claim import ACCURACY
from pessimal.spec.digest import canonical, digest
from pessimal.spec.distribution import AbstractDistribution, Uniform
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask

DIGEST_DOMAIN = b"pessimal-question/1"


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

    @cached_property
    def sha256(self) -> str:
        """Digest of all of it, 64 hexadecimal digits: equal for equal questions only (docs/certificate-format.md)."""
        record = {
            "distribution": {"name": self.distribution.name, "sha256": self.distribution.sha256},
            "quantity": self.quantity,
            "semantics": self.semantics,
            "task": self.task.record(),
        }
        return digest([DIGEST_DOMAIN, canonical(record)])
