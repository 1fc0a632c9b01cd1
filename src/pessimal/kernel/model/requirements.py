"""Refusals: what rules need of a model and a question, every missing condition said.

Contents:
    require_separable — the margin is a sum of one term per position.
    require_single_additive_head — scores and values are a token part plus a position part.
    require_additive_max_of_k — that, for Max-of-K in real arithmetic.
    require_max_of_k, require_real — one task, one semantics.
"""

from pessimal.kernel.model.rounding import float32_complaints
from pessimal.kernel.model.tensors import (
    has_final_bias,
)
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


def require_single_additive_head(weights: Weights) -> None:
    """Raise `Rejected(unsupported-model)` with every reason unless `additive_tables` covers the model."""
    arch = weights.architecture
    reasons = []
    if arch.shape.n_heads != 1:
        reasons.append(f"the rule covers one head, W_Q has {arch.shape.n_heads}")
    if has_final_bias(weights):
        reasons.append("final biases (ln_final_b, b_U) under a final LayerNorm are not scaled with the other logits")
    if arch.ln1:
        reasons.append("with LayerNorm before attention (ln1_w) scores are not a token part plus a position part")
    if arch.shape.d_vocab_out < 2:
        reasons.append("W_U has a single output, so there is no rival")
    if arch.shape.k < 2:
        reasons.append("a single position attends to nothing; use brute-force")
    if reasons:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "; ".join(reasons))


def require_separable(weights: Weights, question: Question, *, one_head: bool) -> None:
    """Raise `Rejected(unsupported-model)` with every reason why the margin is not a sum of one term per position."""
    arch = weights.architecture
    reasons = []
    if one_head and arch.shape.n_heads != 1:
        reasons.append(f"the rule covers one head, W_Q has {arch.shape.n_heads}")
    if has_final_bias(weights):
        reasons.append("final biases (ln_final_b, b_U) under a final LayerNorm are not scaled with the other logits")
    if arch.shape.d_vocab_out < 2:
        reasons.append("W_U has a single output, so there is no rival")
    if arch.shape.k < 2:
        reasons.append("a single position attends to nothing; use brute-force")
    if question.semantics != REAL:
        reasons.extend(float32_complaints(weights))
    if reasons:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "; ".join(reasons))
