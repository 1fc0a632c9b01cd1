"""Planted Max-of-K models with larger vocabularies, in which one part of a proof decides what is right.

Tiny random models seldom have classes that gaps decide, or tokens far from the target that matter. Here attention and
values are laid out by hand, so that a rule certifies much of what is right and a dropped condition certifies more.

Contents:
    copying — every token copies its own channel: as good as attention is, and as wrong.
    parabola — one channel carries the token, so that bounds by norms are attained.
    marked_wave — addition modulo p by one wave, which some tokens disturb.
"""

import numpy as np

from support.models import MATRICES, Sizes, Tensors
from support.modular import ModularSizes, single_wave

SMALL = 64.0


def _spoilt(t: Tensors, noise: float, seed: int) -> Tensors:
    """Every entry off by a share of itself."""
    rng = np.random.default_rng(seed)
    return {name: (a * (1 + noise * rng.normal(size=a.shape))).astype(np.float32) for name, a in t.items()}


def copying(
    sizes: Sizes, scores: np.ndarray, positions: np.ndarray, gains: np.ndarray, *, noise: float = 0.0, seed: int = 0
) -> Tensors:
    """Token t at position i is attended to like exp(scores[t] + positions[i]) and adds gains[t] to its own logit.

    With two axes, gains are what every token adds to the logit of every other.

    Channels: one per token, a constant, the position. Embeddings are small and values large, so that what passes
    attention by is too small to matter.
    """
    v = sizes.v
    assert sizes.m >= v + 2
    assert sizes.d >= v
    assert sizes.o >= v
    t = {name: np.zeros(sizes.shape(name)) for name in MATRICES}
    t["W_E"][:, :v], t["W_E"][:, v], t["W_pos"][:, v + 1] = np.eye(v) / SMALL, 1, positions
    t["W_Q"][0, v, 0] = np.sqrt(sizes.d)
    t["W_K"][0, :v, 0], t["W_K"][0, v + 1, 0] = SMALL * np.asarray(scores), 1
    t["W_V"][0, :v, :v], t["W_O"][0, :v, :v] = SMALL * np.eye(v), gains if gains.ndim == 2 else np.diag(gains)
    t["W_U"][:v, :v] = np.eye(v)
    return _spoilt(t, noise, seed)


def parabola(
    sizes: Sizes, scores: np.ndarray, positions: np.ndarray, gain: float, *, noise: float = 0.0, seed: int = 0
) -> Tensors:
    """Logits -gain (o - mean token)^2 up to a summand they share, attention as in `copying`.

    Values have one channel, so the bound of a product by lengths is the product, and the token farthest from the mean
    is the lowest. Channels: token, constant, score, position; the first alone is large and is read by the values.
    """
    v, o = sizes.v, np.arange(sizes.o)
    t = {name: np.zeros(sizes.shape(name)) for name in MATRICES}
    t["W_E"][:, 0], t["W_E"][:, 1], t["W_E"][:, 2] = np.arange(v), 1 / SMALL, np.asarray(scores) / SMALL
    t["W_pos"][:, 3] = positions / SMALL
    t["W_Q"][0, 1, 0] = SMALL * np.sqrt(sizes.d)
    t["W_K"][0, 2, 0] = t["W_K"][0, 3, 0] = SMALL
    t["W_V"][0, 0, 0], t["W_O"][0, 0, 0] = SMALL, SMALL
    t["W_U"][0] = 2 * gain * o / SMALL**2
    t["b_U"] = -gain * o**2.0
    return _spoilt(t, noise, seed)


def marked_wave(p: int, neurons: int, marks: dict[int, float], *, noise: float = 0.0, seed: int = 0) -> Tensors:
    """The adder `single_wave`, and tokens that disturb every neuron by as much as is said, from either position.

    Channel 6 marks such a token; the head adds up both positions' marks in channel 7, which the neurons read.
    """
    plain, rng = single_wave(p, neurons), np.random.default_rng(seed)
    t = {name: np.zeros(ModularSizes(p, 8, 3, neurons).shapes()[name]) for name in plain}
    for name, array in plain.items():
        t[name][tuple(slice(n) for n in array.shape)] = array
    for token, size in marks.items():
        t["W_E"][token, 6] = size
    t["W_V"][0, 6, 2], t["W_O"][0, 2, 7] = 2, 1
    t["W_in"][7] = rng.normal(size=neurons)
    return _spoilt(t, noise, seed)
