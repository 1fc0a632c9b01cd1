"""One trained model, as plain arrays.

Contents:
    TrainedModel — the recipe, the seed, the matrices, the last loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pessimal.train.config import TrainConfig
from pessimal.train.modular_config import ModularConfig


@dataclass(frozen=True)
class TrainedModel:
    """The outcome of training one seed.

    Attributes:
        config: the recipe it was trained with.
        seed: the seed of its initial matrices and of its data.
        tensors: matrix name to float32 array: `W_E` [d_vocab, d_model], `W_pos` [k, d_model], `W_Q`, `W_K`,
            `W_V` [d_model, d_head], `W_O` [d_head, d_model] (heads first if there are several), `W_U`
            [d_model, n_outputs], and LayerNorm parameters [d_model].
        loss: cross-entropy of the last batch before its update, in nats.
        epoch: optimiser steps on the whole training set so far, of models trained that way.
    """

    config: TrainConfig | ModularConfig
    seed: int
    tensors: Mapping[str, Float[np.ndarray, "..."]]
    loss: float
    epoch: int | None = None
