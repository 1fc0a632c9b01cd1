r"""What one seed draws. Independent streams per seed, each a function of the seed alone.

The seeds trained beside it, the device and the number of threads change nothing here. NumPy's PCG64 is used
instead of a torch generator, so that a CPU and a GPU see the same numbers.

Contents:
    normal_matrices, initial_matrices — every matrix, N(0, (0.8 / sqrt(d_model))^2).
    TrainingTokens — an endless supply of uniform batches.
    held_out_tokens — uniform sequences from a stream that training never reads.
"""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from pessimal.train.config import TrainConfig

INIT_STREAM, TRAINING_STREAM, HELD_OUT_STREAM, SPLIT_STREAM = range(4)
INIT_GAIN = 0.8
# Steps drawn at once: large enough to hide the cost of a call, small enough to stay in a few megabytes.
BLOCK_STEPS = 32


def initial_matrices(config: TrainConfig, seed: int) -> dict[str, Float[np.ndarray, "..."]]:
    r"""Initial parameters of one seed.

    $$W_{ij} \sim N\!\left(0, (0.8/\sqrt{d_{model}})^2\right)$$

    Args:
        config: the sizes.
        seed: 0 to 2^32 - 1.

    Returns:
        Name to float32 array, in the order of `TrainConfig.matrix_shapes`, then LayerNorm gains and biases.

    Source: Gross et al. 2024, initialisation of Max-of-K.
    """
    drawn = normal_matrices(config.matrix_shapes(), config.d_model, seed)
    norms = {name: np.full(shape, name.endswith("w"), np.float32) for name, shape in config.norm_shapes().items()}
    return drawn | norms


def normal_matrices(
    shapes: Mapping[str, tuple[int, ...]], d_model: int, seed: int
) -> dict[str, Float[np.ndarray, "..."]]:
    """Matrices of these shapes, in this order, N(0, (0.8 / sqrt(d_model))^2), float32."""
    rng = np.random.default_rng([seed, INIT_STREAM])
    std = INIT_GAIN / math.sqrt(d_model)
    return {name: (std * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


class TrainingTokens:
    """Batches of i.i.d. uniform sequences of one seed, in the order in which training uses them."""

    def __init__(self, config: TrainConfig, seed: int) -> None:
        self._rng = np.random.default_rng([seed, TRAINING_STREAM])
        self._d_vocab, self._close = config.d_vocab, config.close
        self._shape = (BLOCK_STEPS, config.batch_size, config.k)

    def block(self) -> Int[np.ndarray, "steps batch k"]:
        """The next `BLOCK_STEPS` batches, int64 tokens in 0 .. d_vocab - 1."""
        tokens = self._rng.integers(0, self._d_vocab, size=self._shape, dtype=np.int64)
        return self._closer(tokens) if self._close else tokens

    def _closer(self, tokens: Int[np.ndarray, "steps batch k"]) -> Int[np.ndarray, "steps batch k"]:
        """Some sequences squeezed into a window of 2, 4, 8 .. tokens at a random place."""
        rows = self._shape[:2]
        chosen = self._rng.random(rows) < self._close
        window = 2 ** self._rng.integers(1, max(2, self._d_vocab.bit_length() - 1), size=rows)
        window = np.minimum(window, self._d_vocab)
        first = self._rng.integers(0, self._d_vocab - window + 1)
        near = first[..., np.newaxis] + tokens % window[..., np.newaxis]
        return np.where(chosen[..., np.newaxis], near, tokens)


def held_out_tokens(config: TrainConfig, seed: int, n_sequences: int) -> Int[np.ndarray, "n_sequences k"]:
    """Uniform sequences for a sampled accuracy, int64 tokens in 0 .. d_vocab - 1."""
    rng = np.random.default_rng([seed, HELD_OUT_STREAM])
    return rng.integers(0, config.d_vocab, size=(n_sequences, config.k), dtype=np.int64)
