"""Refusals: what rules need of a model and a question, every missing condition said.

Contents:
    require_separable — the margin is a sum of one term per position.
    require_single_additive_head — scores and values are a token part plus a position part.
    require_additive_max_of_k — that, for Max-of-K in real arithmetic.
    require_max_of_k, require_real — one task, one semantics.
    float32_complaints — why executions in float32 are not bounded.
    require_none — refuse with all complaints at once.
"""

import numpy as np

from pessimal.kernel.model.tensors import has_final_bias
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.architecture import BY_ROOT
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks.max_of_k import MaxOfK
from pessimal.spec.weights import Weights

LONGEST = 2**15


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
    require_none(_separable_complaints(weights, one_head=True, additive=True))


def require_separable(weights: Weights, question: Question, *, one_head: bool, additive: bool = False) -> None:
    """Raise `Rejected(unsupported-model)` with every reason why the margin is not a sum of one term per position.

    `additive`: of a token and a position part.
    """
    rounded = [] if question.semantics == REAL else float32_complaints(weights)
    require_none(_separable_complaints(weights, one_head=one_head, additive=additive) + rounded)


def require_none(complaints: list[str]) -> None:
    """Raise `Rejected(unsupported-model)` with all complaints, if there are any."""
    if complaints:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "; ".join(complaints))


def _separable_complaints(weights: Weights, *, one_head: bool, additive: bool) -> list[str]:
    """Why the model has no rival margins that are sums over positions; `additive`: of a token and a position part."""
    arch = weights.architecture
    reasons = []
    if one_head and arch.shape.n_heads != 1:
        reasons.append(f"the rule covers one head, W_Q has {arch.shape.n_heads}")
    if has_final_bias(weights):
        reasons.append("final biases (ln_final_b, b_U) under a final LayerNorm are not scaled with the other logits")
    if additive and arch.ln1:
        reasons.append("with LayerNorm before attention (ln1_w) scores are not a token part plus a position part")
    if arch.shape.d_vocab_out < 2:
        reasons.append("W_U has a single output, so there is no rival")
    if arch.shape.k < 2:
        reasons.append("a single position attends to nothing; use brute-force")
    return reasons


def float32_complaints(weights: Weights) -> list[str]:
    """Why the theorem does not cover a model; empty if it does."""
    arch = weights.architecture
    reasons = []
    if any(array.dtype != np.float32 for array in weights.tensors.values()):
        reasons.append("semantics float32 needs float32 tensors; the file holds float64")
    if arch.ln1 or arch.ln_final:
        reasons.append("semantics float32 does not cover LayerNorm (ln1_w, ln_final_w)")
    if arch.attn_scale not in {BY_ROOT, "1"}:
        # Another constant may leave the range of float32, and scores its own.
        reasons.append(f"semantics float32 covers attn_scale {BY_ROOT} and 1")
    if max(arch.shape.d_model, arch.shape.n_heads * arch.shape.d_head, arch.shape.k) > LONGEST:
        reasons.append(f"semantics float32 covers sums of at most {LONGEST} terms")
    return reasons
