"""The recipes of modular addition, with the published pizza configuration as defaults.

Contents:
    ModularConfig — sizes, optimiser, which pairs are trained on.
    RECIPES — the published configurations by name.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from pessimal.spec.architecture import SOFTMAX, UNIFORM
from pessimal.spec.tasks import ModularAddition, ModularAdditionEquals
from pessimal.train.config import DEVICES, MAX_WIDTH
from pessimal.train.draw import SPLIT_STREAM


@dataclass(frozen=True)
class ModularConfig:
    """How to train a one-layer ReLU transformer that adds two tokens modulo p, on all pairs of a training set at once.

    AdamW with decoupled weight decay, a linear warm-up, no other schedule; the loss is a log-softmax in float64.

    Attributes:
        p: the modulus.
        equals: a third token, p itself, follows the two summands, and the model is read there.
        attention: `uniform` or `causal-softmax`.
        d_model, d_head, n_heads, d_mlp: widths.
        epochs: optimiser steps, each on the whole training set.
        ratio: share of the pairs that are trained on.
        learning_rate, weight_decay, beta2, warm_up: AdamW, and how many epochs the learning rate rises.
        checkpoints: epochs after which a model is kept too.
        threads: torch intra-op threads on a CPU.
        device: `cpu`, `cuda`, or `auto` for CUDA where torch finds it.

    Raises:
        ValueError: a value is out of range.

    Source: Yip et al. 2024 (pizza: the defaults), Zhong et al. 2023 (clock), Nanda et al. 2023 (p = 113, three
        tokens); initialisation N(0, (0.8 / sqrt(d_model))^2), biases zero.
    """

    p: int = 59
    equals: bool = False
    attention: str = UNIFORM
    d_model: int = 128
    d_head: int = 32
    n_heads: int = 4
    d_mlp: int = 512
    epochs: int = 10_000
    ratio: float = 0.8
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    beta2: float = 0.98
    warm_up: int = 10
    checkpoints: tuple[int, ...] = ()
    threads: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse values that cannot be trained."""
        if not 2 <= self.p <= 1000 or any(self.p % n == 0 for n in range(2, math.isqrt(self.p) + 1)):
            raise ValueError(f"p={self.p} is not a prime from 2 to 1000")
        if self.attention not in (UNIFORM, SOFTMAX):
            raise ValueError(f"attention {self.attention!r} is not {UNIFORM} or {SOFTMAX}")
        if self.equals and self.attention == UNIFORM:
            raise ValueError("the third token is for causal-softmax attention; uniform attention reads two tokens")
        for name, top in (("d_model", MAX_WIDTH), ("d_head", MAX_WIDTH), ("n_heads", 64), ("d_mlp", MAX_WIDTH),
                          ("epochs", 10**7), ("warm_up", 10**6), ("threads", 1024)):  # fmt: skip
            if not 1 <= getattr(self, name) <= top:
                raise ValueError(f"{name}={getattr(self, name)} is not between 1 and {top}")
        for name, low, high in (("ratio", 0, 1), ("learning_rate", 0, 10), ("weight_decay", 0, 100), ("beta2", 0, 1)):
            if not low < getattr(self, name) <= high:
                raise ValueError(f"{name}={getattr(self, name)} is not above {low} and at most {high}")
        if not all(0 < epoch <= self.epochs for epoch in self.checkpoints):
            raise ValueError(f"checkpoints {self.checkpoints} are not between 1 and {self.epochs} epochs")
        if self.device not in DEVICES:
            raise ValueError(f"device {self.device!r} is not one of {', '.join(DEVICES)}")

    @property
    def k(self) -> int:
        """Positions."""
        return 3 if self.equals else 2

    @property
    def d_vocab(self) -> int:
        """Input tokens."""
        return self.p + self.equals

    @property
    def spec_task(self) -> ModularAddition | ModularAdditionEquals:
        """The task as the specification defines it."""
        return (ModularAdditionEquals if self.equals else ModularAddition)(k=self.k, d_vocab=self.d_vocab)

    @property
    def steps(self) -> int:
        """Optimiser steps; one per epoch."""
        return self.epochs

    def stem(self) -> str:
        """Task, modulus and attention."""
        third = "_equals" if self.equals else ""
        return f"modular-addition_p{self.p}{third}_{'uniform' if self.attention == UNIFORM else 'softmax'}"

    def metadata(self) -> dict[str, str]:
        """What the tensors do not say about the architecture, the task, and, with the seed, the pairs trained on."""
        return {
            "act_fn": "relu", "attention": self.attention, "attn_scale": "1/sqrt(d_head)", "n_ctx": str(self.k),
            "normalization_type": "none", "positional_embedding_type": "standard", "task": self.spec_task.name,
            "train_ratio": repr(self.ratio),
        }  # fmt: skip

    def tokens(self) -> Int[np.ndarray, "pairs k"]:
        """All p^2 inputs, first summand outermost."""
        pairs = np.stack(np.divmod(np.arange(self.p**2), self.p), axis=1)
        return np.concatenate([pairs, np.full((self.p**2, 1), self.p)], axis=1) if self.equals else pairs

    def trained_on(self, seed: int) -> Int[np.ndarray, " some"]:
        """Which of the inputs a seed trains on, in rising order."""
        order = np.random.default_rng([seed, SPLIT_STREAM]).permutation(self.p**2)
        return np.sort(order[: max(1, int(self.ratio * self.p**2))])

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every matrix and then of the biases, in the order in which a seed draws them."""
        v, m, d, h, f = self.d_vocab, self.d_model, self.d_head, self.n_heads, self.d_mlp
        return {
            "W_E": (v, m), "W_pos": (self.k, m), "W_Q": (h, m, d), "W_K": (h, m, d), "W_V": (h, m, d),
            "W_O": (h, d, m), "W_in": (m, f), "W_out": (f, m), "W_U": (m, self.p), "b_in": (f,), "b_out": (m,),
        }  # fmt: skip


PIZZA = ModularConfig()
CLOCK = replace(PIZZA, attention=SOFTMAX)
GROKKING = replace(PIZZA, p=113, equals=True, attention=SOFTMAX, ratio=0.3, epochs=40_000)
RECIPES: dict[str, ModularConfig] = {"pizza": PIZZA, "clock": CLOCK, "grokking": GROKKING}
