"""What the rules built on token and position parts need: Max-of-K in real arithmetic, one head, additive scores.

Contents:
    require_additive_max_of_k — all of it.
    require_max_of_k, require_real — one task, one semantics.
"""

from pessimal.kernel.model.tables import require_single_additive_head
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks import MaxOfK
from pessimal.spec.weights import Weights


def require_additive_max_of_k(weights: Weights, question: Question) -> None:
    """Raise `Rejected(unsupported-model)` for anything else."""
    require_max_of_k(question.task)
    require_real(question)
    require_single_additive_head(weights)


def require_max_of_k(task: AbstractTask) -> None:
    """Raise `Rejected(unsupported-model)` for other tasks."""
    if not isinstance(task, MaxOfK):
        raise Rejected(Reason.UNSUPPORTED_MODEL, f"the rule covers the task {MaxOfK.name}, not {task.name}")


def require_real(question: Question) -> None:
    """Raise `Rejected(unsupported-model)` for other semantics."""
    if question.semantics != REAL:
        raise Rejected(
            Reason.UNSUPPORTED_MODEL,
            f"the rule speaks about real arithmetic, not semantics {question.semantics}; brute-force, position-minima,"
            " exponential-moment, grid-count and exact cover both",
        )
