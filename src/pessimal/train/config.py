"""The training recipe, with the published Max-of-K values as defaults.

Contents:
    TrainConfig — sizes, optimiser, and how the machine is used.
"""

import math
from dataclasses import dataclass, fields

from pessimal.spec import TASKS, MaxOfK
from pessimal.spec.architecture import LAYER_NORM, SITES, SOFTMAX
from pessimal.spec.task import AbstractTask

DEVICES = ("auto", "cpu", "cuda")
MAX_WIDTH = 4096
# As text, exact: the decimal number that the forward pass adds to the variance.
LN_EPS = "1e-5"


@dataclass(frozen=True)
class TrainConfig:
    """How to train a one-layer attention-only transformer, without biases on its matrices.

    The defaults are the published Max-of-4 recipe: AdamW with betas (0.9, 0.999) and eps 1e-8, no schedule,
    no clipping, a fresh batch of uniform sequences at every step.

    Attributes:
        task: name of the task, one of `pessimal.spec.TASKS`.
        parameter: the task's own number, where it has one: the token of `contains-token`, the output of `constant`.
        k: sequence length K, in tokens.
        d_vocab: number of input tokens; the task says how many outputs there are.
        d_model: width of the residual stream.
        d_head: width of an attention head.
        n_heads: attention heads.
        ln1: LayerNorm with gain and bias before attention.
        ln_final: LayerNorm with gain, without bias, before the unembedding.
        steps: optimiser steps.
        batch_size: sequences per step and seed.
        learning_rate: AdamW learning rate.
        weight_decay: AdamW decoupled weight decay, on every matrix.
        close: share of the training sequences whose tokens lie close together (a window of 2, 4, 8 .. tokens at a
            random place): uniform sequences of a large vocabulary seldom hold tokens that are hard to tell apart.
        threads: torch intra-op threads while training on a CPU; more than one pays only where cores are idle.
        device: `cpu`, `cuda`, or `auto` for CUDA where torch finds it.

    Raises:
        ValueError: a value is out of range; `TaskError`, its subclass, for `k` and `d_vocab`.

    Source: Gross et al. 2024, training details of Max-of-K; initialisation N(0, (0.8 / sqrt(d_model))^2).
    """

    task: str = MaxOfK.name
    parameter: int = 0
    k: int = 4
    d_vocab: int = 64
    d_model: int = 32
    d_head: int = 32
    n_heads: int = 1
    ln1: bool = False
    ln_final: bool = False
    steps: int = 3000
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    close: float = 0.0
    threads: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse values that cannot be trained."""
        if self.task not in TASKS:
            raise ValueError(f"unknown task {self.task!r}; known: {', '.join(sorted(TASKS))}")
        _ = self.spec_task
        for name, top in (
            ("d_model", MAX_WIDTH),
            ("d_head", MAX_WIDTH),
            ("n_heads", MAX_WIDTH),
            ("steps", 10**9),
            ("batch_size", 10**6),
            ("threads", 1024),
        ):
            value = getattr(self, name)
            if not 1 <= value <= top:
                raise ValueError(f"{name}={value} is not between 1 and {top}")
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}={value} is not a finite number that is zero or more")
        if not 0 <= self.close <= 1:
            raise ValueError(f"close={self.close} is not a share from 0 to 1")
        if self.device not in DEVICES:
            raise ValueError(f"device {self.device!r} is not one of {', '.join(DEVICES)}")

    @property
    def spec_task(self) -> AbstractTask:
        """The task as the specification defines it."""
        kind = TASKS[self.task]
        own = [field.name for field in fields(kind) if field.name not in {"k", "d_vocab"}]
        return kind(k=self.k, d_vocab=self.d_vocab, **dict.fromkeys(own, self.parameter))

    def matrix_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every matrix of the model, in the order in which a seed draws them; heads first."""
        d_vocab, d_model, d_head, h = self.d_vocab, self.d_model, self.d_head, self.n_heads
        return {
            "W_E": (d_vocab, d_model),
            "W_pos": (self.k, d_model),
            "W_Q": (h, d_model, d_head),
            "W_K": (h, d_model, d_head),
            "W_V": (h, d_model, d_head),
            "W_O": (h, d_head, d_model),
            "W_U": (d_model, self.spec_task.n_outputs),
        }

    def norm_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every LayerNorm parameter; gains start at one, biases at zero."""
        names = ("ln1_w", "ln1_b") * self.ln1 + ("ln_final_w",) * self.ln_final
        return dict.fromkeys(names, (self.d_model,))

    def stem(self) -> str:
        """Task and size, vocabulary size, heads and norms if not plain."""
        task = f"max{self.k}" if self.task == MaxOfK.name else f"{self.task}_k{self.k}"
        heads = f"_h{self.n_heads}" if self.n_heads > 1 else ""
        return f"{task}_v{self.d_vocab}{heads}{'_ln1' * self.ln1}{'_lnf' * self.ln_final}"

    def metadata(self) -> dict[str, str]:
        """What the tensors do not say about the architecture and the task."""
        said = {"attention": SOFTMAX, "attn_scale": "1/sqrt(d_head)", "n_ctx": str(self.k)}
        said["positional_embedding_type"] = "standard"
        record = self.spec_task.record()
        said |= {f"task_{key}": str(value) for key, value in record.items() if key not in {"name", "k", "d_vocab"}}
        said["task"] = self.spec_task.name
        norms = (self.ln1, self.ln_final)
        if any(norms):
            said["ln_eps"] = LN_EPS
        if all(norms) or not any(norms):
            said["normalization_type"] = "LN" if all(norms) else "none"
        else:
            said |= {site: LAYER_NORM if has else "none" for site, has in zip(SITES, norms, strict=True)}
        return said
