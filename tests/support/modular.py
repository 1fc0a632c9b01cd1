"""Tiny models that add modulo p, with uniform or softmax attention: random, planted, and with exact ties."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import save

from pessimal.spec import Weights, read_weights
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks import ModularAddition, ModularAdditionEquals
from support.models import stated_norms

MLP_BIASES = ("b_V", "b_O", "b_in", "b_out", "b_U")
ALL_BIASES = (*MLP_BIASES, "b_Q", "b_K")
WEIGHT_NAMES = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U", "W_in", "W_out")
UNIFORM = {"attention": "uniform", "act_fn": "relu"}
ATTENDED = {"attention": "causal-softmax", "act_fn": "relu", "attn_scale": "1/sqrt(d_head)"}


@dataclass(frozen=True)
class ModularSizes:
    """p, d_model, d_head, d_mlp, K, heads, and whether token p is "=" and stands last."""

    p: int
    m: int
    d: int
    f: int
    k: int = 2
    h: int = 1
    equals: bool = False

    def task(self) -> AbstractTask:
        return (ModularAdditionEquals if self.equals else ModularAddition)(k=self.k, d_vocab=self.p + self.equals)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        h, m, d, p = self.h, self.m, self.d, self.p
        plain = {
            "W_E": (p + self.equals, m), "W_pos": (self.k, m), "W_Q": (h, m, d), "W_K": (h, m, d), "W_V": (h, m, d),
            "W_O": (h, d, m), "W_U": (m, p), "b_V": (h, d), "b_O": (m,), "b_U": (p,),
            "b_Q": (h, d), "b_K": (h, d),
        }  # fmt: skip
        mlp = {"W_in": (m, self.f), "W_out": (self.f, m), "b_in": (self.f,), "b_out": (m,)} if self.f else {}
        return plain | mlp


# p, m, d, f, k, h
MODULAR = {
    "plain": ModularSizes(5, 7, 2, 11),
    "two-heads": ModularSizes(7, 11, 3, 5, h=2),
    "three-tokens": ModularSizes(3, 5, 2, 7, k=3),
    "no-mlp": ModularSizes(5, 3, 2, 0),
    "one-token": ModularSizes(2, 3, 5, 7, k=1),
}
MODULAR_SIZES = tuple(MODULAR.values())

# Softmax attention before an MLP.
ATTENDED_SIZES = (
    ModularSizes(5, 7, 2, 11),
    ModularSizes(7, 11, 3, 5, h=2),
    ModularSizes(3, 5, 2, 7, k=3, equals=True),
    ModularSizes(5, 3, 2, 7, k=3, h=2, equals=True),
    ModularSizes(2, 3, 5, 7, k=1),
)


def modular_weights(tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> Weights:
    """Through the reader."""
    stated = stated_norms(tensors) | (metadata or UNIFORM)
    return read_weights(save({n: np.ascontiguousarray(a) for n, a in tensors.items()}, stated))


def random_modular(
    sizes: ModularSizes, seed: int, *, biases: Iterable[str] = MLP_BIASES, scale: float = 1.0
) -> dict[str, np.ndarray]:
    """Normal float32 weights."""
    rng = np.random.default_rng(seed)
    names = [n for n in sizes.shapes() if not n.startswith("b_") or n in biases]
    return {n: (scale * rng.normal(size=sizes.shapes()[n])).astype(np.float32) for n in names}


def quadratic_modular(p: int, noise: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    """Right on every pair without noise: the residual holds the sum s, the MLP s >= p, the logits -(s - p[s >= p] - c)^2.

    Channels: token, one, sum, carry. Values copy the token into the sum; neurons are ReLU(s - p + 1) and ReLU(s - p),
    whose difference is the carry.
    """
    t = {
        name: np.zeros(shape)
        for name, shape in ModularSizes(p, 4, 1, 2).shapes().items()
        if name in {*WEIGHT_NAMES, "b_in"}
    }
    t["W_E"][:, 0], t["W_E"][:, 1] = np.arange(p), 1
    t["W_V"][0, 0, 0], t["W_O"][0, 0, 2] = 2, 1
    t["W_in"][2] = 1
    t["b_in"][:] = (1 - p, -p)
    t["W_out"][:, 3] = (1, -1)
    c = np.arange(p)
    # -(r - c)^2 up to what all c share, r = s - p carry.
    t["W_U"][2], t["W_U"][3], t["W_U"][1] = 2 * c, -2 * p * c, -(c**2)
    rng = np.random.default_rng(seed)
    return {name: (a + noise * rng.normal(size=a.shape)).astype(np.float32) for name, a in t.items()}


def attended_adder(p: int, noise: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    """The quadratic model behind "=": it looks at both numbers alike and not at itself, but for e^-40.

    A fifth channel holds 1 at "=" alone; the score is the query's one times -40 times the key's fifth channel.
    """
    quadratic = quadratic_modular(p)
    t = {name: np.zeros(shape) for name, shape in ModularSizes(p, 5, 1, 2, k=3, equals=True).shapes().items()
         if name in quadratic}  # fmt: skip
    for name in ("W_V", "W_O", "W_in", "W_out", "W_U", "b_in"):
        t[name][tuple(slice(n) for n in quadratic[name].shape)] = quadratic[name]
    t["W_E"][:p, :4], t["W_E"][p, 1], t["W_E"][p, 4] = quadratic["W_E"], 1, 1
    t["W_Q"][0, 1, 0], t["W_K"][0, 4, 0] = 1, -40
    rng = np.random.default_rng(seed)
    return {name: (a + noise * rng.normal(size=a.shape)).astype(np.float32) for name, a in t.items()}


def single_wave(p: int, neurons: int, noise: float = 0.0, seed: int = 0, k: int = 1) -> dict[str, np.ndarray]:
    """The pizza at one frequency: neurons cos(a + phi) + cos(b + phi), in units of 2 pi k / p, that write cos(c + 2 phi).

    Phases are equidistant. Right on every pair for p odd and enough neurons. Channels: the token's wave, the sum of
    both tokens' waves, the output wave.
    """
    sizes = ModularSizes(p, 6, 2, neurons)
    t = {name: np.zeros(shape) for name, shape in sizes.shapes().items() if name in {*WEIGHT_NAMES, "b_in"}}
    angle, phase = 2 * np.pi * k / p * np.arange(p), 2 * np.pi / neurons * (np.arange(neurons) + 0.3)
    t["W_E"][:, 0], t["W_E"][:, 1] = np.cos(angle), np.sin(angle)
    t["W_V"][0, [0, 1], [0, 1]], t["W_O"][0, [0, 1], [2, 3]] = 2, 1
    t["W_in"][2], t["W_in"][3] = np.cos(phase), -np.sin(phase)
    t["W_out"][:, 4], t["W_out"][:, 5] = np.cos(2 * phase), -np.sin(2 * phase)
    t["W_U"][4], t["W_U"][5] = np.cos(angle), np.sin(angle)
    rng = np.random.default_rng(seed)
    return {name: (a + noise * rng.normal(size=a.shape)).astype(np.float32) for name, a in t.items()}
