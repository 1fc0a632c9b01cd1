"""Which strategies make a claim about a task, asked of the rules themselves.

Contents:
    ATTENTIONS — the kinds of models that rules tell apart.
    applicable — names of the strategies for a task, a kind of claim and a kind of model.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from fractions import Fraction

import numpy as np

from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import SOFTMAX_MLP
from pessimal.proving.registry import STRATEGIES
from pessimal.spec.architecture import SOFTMAX, UNIFORM, Architecture, ModelShape
from pessimal.spec.distribution import usual_distribution
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask, TaskError
from pessimal.spec.tasks import TASKS, ModularAddition, ModularAdditionEquals
from pessimal.spec.weights import Weights

ATTENTIONS = (SOFTMAX, UNIFORM, SOFTMAX_MLP)
# Positions and tokens: an odd prime, the same and one more token, an even number.
SIZES = ((2, 3), (3, 4), (2, 4))
NEURONS = 1
_ZERO = Fraction(0)


def applicable(task: str | None = None, claim: str | None = None, attention: str | None = None) -> list[str]:
    """Names of the strategies whose rules cover a question, in the order of `STRATEGIES`.

    Args:
        task: name of a task; any if left out.
        claim: what to bound; anything if left out.
        attention: one of `ATTENTIONS`; left out, those of models for such a task: without an MLP, for modular addition
            with one too.
    """
    adds = task in (None, ModularAddition.name, ModularAdditionEquals.name)
    kinds = [attention] if attention is not None else list(ATTENTIONS if adds else ATTENTIONS[:1])
    names = [task] if task is not None else list(TASKS)
    return [name for name in STRATEGIES if _covers(name, names, claim, kinds)]


def _covers(name: str, tasks: Sequence[str], claim: str | None, kinds: Sequence[str]) -> bool:
    """Whether the rule of a strategy covers one of these tasks with one of these kinds of models."""
    kind = STRATEGIES[name]
    if claim is not None and claim not in kind.claims:
        return False
    for task in map(_smallest, tasks):
        question = Question(task, usual_distribution(task), REAL, claim or kind.claims[0])
        for attention in kinds:
            try:
                RULES[kind.rule].require_covers(_nothing(task, attention), question)
            except Rejected:
                continue
            return True
    return False


def _smallest(name: str) -> AbstractTask:
    """A task with few tokens: the first sizes that it allows."""
    kind = TASKS[name]
    own = dict.fromkeys({field.name for field in fields(kind)} - {"k", "d_vocab"}, 0)
    for k, d_vocab in SIZES:
        with suppress(TaskError):
            return kind(k=k, d_vocab=d_vocab, **own)
    raise TaskError(f"task {name} allows none of the sizes {SIZES}")


def _nothing(task: AbstractTask, attention: str) -> Weights:
    """A model of such a kind whose weights are all zero."""
    v, neurons = task.d_vocab, 0 if attention == SOFTMAX else NEURONS
    outputs = max(v, task.n_outputs)
    shape = ModelShape(task.k, v, outputs, d_model=1, d_head=1, d_mlp=neurons)
    kind = UNIFORM if attention == UNIFORM else SOFTMAX
    record = Architecture(
        shape, n_ctx=task.k, ln1=None, ln_final=None, ln_eps=_ZERO, attn_scale="1", biases=(), attention=kind
    )
    head = {name: np.zeros((1, 1, 1), dtype=np.float32) for name in ("W_Q", "W_K", "W_V", "W_O")}
    sizes = {"W_E": (v, 1), "W_pos": (task.k, 1), "W_U": (1, outputs)}
    sizes |= {"W_in": (1, neurons), "W_out": (neurons, 1)} if neurons else {}
    tensors = head | {name: np.zeros(size, dtype=np.float32) for name, size in sizes.items()}
    return Weights(tensors, record, "", {})
