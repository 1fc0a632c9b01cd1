"""The training recipe, with the published Max-of-K values as defaults.

Contents:
    TrainConfig — sizes, optimiser, and how the machine is used.
"""

import math
from dataclasses import dataclass

from pessimal.spec import MaxOfK

TASK = "max-of-k"
DEVICES = ("auto", "cpu", "cuda")
MAX_WIDTH = 4096


@dataclass(frozen=True)
class TrainConfig:
    """How to train a one-layer one-head attention-only transformer, without biases and LayerNorm.

    The defaults are the published Max-of-4 recipe: AdamW with betas (0.9, 0.999) and eps 1e-8, no schedule,
    no clipping, a fresh batch of uniform sequences at every step.

    Attributes:
        task: name of the task; `max-of-k` is the only one so far.
        k: sequence length K, in tokens.
        d_vocab: number of input tokens and of output tokens.
        d_model: width of the residual stream.
        d_head: width of the attention head.
        steps: optimiser steps.
        batch_size: sequences per step and seed.
        learning_rate: AdamW learning rate.
        weight_decay: AdamW decoupled weight decay, on every matrix.
        threads: torch intra-op threads while training on a CPU; more than one pays only where cores are idle.
        device: `cpu`, `cuda`, or `auto` for CUDA where torch finds it.

    Raises:
        ValueError: a value is out of range; `TaskError`, its subclass, for `k` and `d_vocab`.

    Source: Gross et al. 2024, training details of Max-of-K; initialisation N(0, (0.8 / sqrt(d_model))^2).
    """

    task: str = TASK
    k: int = 4
    d_vocab: int = 64
    d_model: int = 32
    d_head: int = 32
    steps: int = 3000
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    threads: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse values that cannot be trained."""
        if self.task != TASK:
            raise ValueError(f"task {self.task!r} cannot be trained; known: {TASK}")
        MaxOfK(k=self.k, d_vocab=self.d_vocab)
        for name, top in (
            ("d_model", MAX_WIDTH),
            ("d_head", MAX_WIDTH),
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
        if self.device not in DEVICES:
            raise ValueError(f"device {self.device!r} is not one of {', '.join(DEVICES)}")

    @property
    def spec_task(self) -> MaxOfK:
        """The task as the specification defines it."""
        return MaxOfK(k=self.k, d_vocab=self.d_vocab)

    def matrix_shapes(self) -> dict[str, tuple[int, int]]:
        """Name and shape of every matrix of the model, in the order in which a seed draws them."""
        d_vocab, d_model, d_head = self.d_vocab, self.d_model, self.d_head
        return {
            "W_E": (d_vocab, d_model),
            "W_pos": (self.k, d_model),
            "W_Q": (d_model, d_head),
            "W_K": (d_model, d_head),
            "W_V": (d_model, d_head),
            "W_O": (d_head, d_model),
            "W_U": (d_model, d_vocab),
        }
