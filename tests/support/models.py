"""Tiny models for tests: random, hostile, and planted near-perfect ones.

Sizes are distinct primes (besides K = 1 and K = 4), so that a transposed or mislabelled axis cannot go unnoticed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save

from pessimal.spec import MaxOfK, ModelShape, Overrides, Weights, read_weights
from pessimal.spec.architecture import LAYER_NORM, RMS, SITES
from pessimal.spec.task import AbstractTask
from pessimal.testing import plant_maximum

BIASES = ("b_Q", "b_K", "b_V", "b_O", "b_U")
NORMS = ("ln1_w", "ln1_b", "ln_final_w", "ln_final_b")
# What a file may state of the factor on scores: a root, a rational that is no dyadic number, one.
ATTN_SCALES = ("1/sqrt(d_head)", "3/7", "1")


@dataclass(frozen=True)
class Sizes:
    """d_vocab, d_vocab_out, d_model, d_head, K, heads."""

    v: int
    o: int
    m: int
    d: int
    k: int
    h: int = 1

    def of(self, task: AbstractTask) -> "Sizes":
        """These widths, with the token numbers of a task."""
        return Sizes(task.d_vocab, max(self.o, task.n_outputs), self.m, self.d, task.k, self.h)

    def model_shape(self) -> ModelShape:
        return ModelShape(self.k, self.v, self.o, self.m, self.d, self.h)

    def task(self) -> MaxOfK:
        return MaxOfK(k=self.k, d_vocab=self.v)

    def shape(self, name: str) -> tuple[int, ...]:
        head = (self.h,)
        return {
            "W_E": (self.v, self.m), "W_pos": (self.k, self.m), "W_U": (self.m, self.o),
            "W_Q": (*head, self.m, self.d), "W_K": (*head, self.m, self.d), "W_V": (*head, self.m, self.d),
            "W_O": (*head, self.d, self.m),
            "b_Q": (*head, self.d), "b_K": (*head, self.d), "b_V": (*head, self.d), "b_O": (self.m,), "b_U": (self.o,),
        }.get(name, (self.m,))  # fmt: skip


MATRICES = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")
# v, o, m, d, k
SMALL = (Sizes(3, 5, 7, 2, 4), Sizes(5, 7, 11, 3, 2), Sizes(5, 5, 7, 2, 3), Sizes(2, 3, 5, 7, 5), Sizes(7, 11, 5, 3, 2))
PLANTABLE = (
    Sizes(3, 5, 7, 2, 4),
    Sizes(5, 7, 11, 2, 3),
    Sizes(5, 5, 7, 3, 2),
    Sizes(3, 7, 5, 2, 1),
    Sizes(2, 3, 5, 7, 6),
)

Tensors = dict[str, np.ndarray]


def random_tensors(
    sizes: Sizes, seed: int, *, biases: Iterable[str] = (), norms: Iterable[str] = (), scale: float = 1.0
) -> Tensors:
    """Normal float32 weights."""
    rng = np.random.default_rng(seed)
    names = (*MATRICES, *biases, *norms)
    return {name: (scale * rng.normal(size=sizes.shape(name))).astype(np.float32) for name in names}


def planted_tensors(
    sizes: Sizes, *, sharpness: float = 12.0, gain: float = 4.0, noise: float = 0.0, seed: int = 0
) -> Tensors:
    """A near-perfect max model (`pessimal.testing.plant_maximum`); the scale of attention is undone."""
    t = {name: np.zeros(sizes.shape(name)) for name in MATRICES}
    plant_maximum(t, sharpness=sharpness * np.sqrt(sizes.d), gain=gain)
    rng = np.random.default_rng(seed)
    return {name: (a + noise * rng.normal(size=a.shape)).astype(np.float32) for name, a in t.items()}


def table_tensors(task: AbstractTask, seed: int, *, heads: int = 1, noise: float = 0.3) -> dict[str, np.ndarray]:
    """A model whose heads copy tokens by one-hot channels, with scores and an output map drawn so that it is often right.

    Residual: one channel per token and one constant. Values copy the token's channel; the output map sends token t to
    the right output of the constant sequence t, which is right for most tasks when attention picks the right token.
    """
    rng = np.random.default_rng(seed)
    v, o = task.d_vocab, max(task.n_outputs, 2)
    sizes = Sizes(v, o + 1, v + 1, v + 1, task.k, heads)
    t = {name: np.zeros(sizes.shape(name)) for name in ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")}
    t["W_E"][:, :v], t["W_E"][:, v] = np.eye(v), 1
    for h in range(heads):
        t["W_Q"][h, v, 0] = 1
        t["W_K"][h, :v, 0] = np.sort(rng.normal(0, 3, v))[:: rng.choice((-1, 1))]
        t["W_V"][h, :v, :v] = np.eye(v)
        t["W_O"][h, :v, :v] = 4 * np.eye(v)
    alone = task.target(np.repeat(np.arange(v)[:, np.newaxis], task.k, axis=1))
    t["W_U"][np.arange(v), alone] = 2
    t["W_pos"][:, v] = rng.normal(0, 0.1, task.k)
    return {name: (a + noise * rng.normal(size=a.shape)).astype(np.float32) for name, a in t.items()}


def build(tensors: Tensors, metadata: dict[str, str] | None = None, overrides: Overrides | None = None) -> Weights:
    """Through the reader, as every model is; what tensors and metadata leave open about norms is stated."""
    if not {"normalization_type", "ln1", "ln_final"} & set(metadata or {}):
        metadata = (metadata or {}) | stated_norms(tensors)
    return read_weights(save({n: np.ascontiguousarray(a) for n, a in tensors.items()}, metadata), overrides)


def stated_norms(tensors: Tensors) -> dict[str, str]:
    """A gain without a bias may be LayerNorm's or RMSNorm's: by the lowest bit of the first, so that tests meet both."""
    sites = [site for site in SITES if f"{site}_w" in tensors]
    if all(f"{site}_b" in tensors for site in sites):
        return {}
    kind = (LAYER_NORM, RMS)[int(np.ravel(tensors[f"{sites[0]}_w"])[:1].view(np.uint8)[0]) % 2]
    return {site: kind if site in sites else "none" for site in SITES}


def _hostile(tensors: Tensors, kind: str, seed: int) -> Tensors:
    """Change some tensors so that ties, cancellations, overflow or underflow happen."""
    rng = np.random.default_rng(seed)
    out = {name: array.copy() for name, array in tensors.items()}
    name = str(rng.choice(sorted(out)))
    if kind == "zeros":
        out[name][...] = 0
    elif kind == "huge":
        out[name] = (out[name] * np.float32(1e30)).clip(-3e38, 3e38)
    elif kind == "subnormal":
        out[name] = out[name] * np.float32(1e-42)
    elif kind == "tied outputs":
        out["W_U"][:, int(rng.integers(1, out["W_U"].shape[1]))] = out["W_U"][:, 0]
    elif kind == "tied tokens":
        out["W_E"][1] = out["W_E"][0]
    elif kind == "integers":
        out = {n: np.rint(2 * a).astype(np.float32) for n, a in out.items()}
    elif kind == "float64":
        out = {n: a.astype(np.float64) * (1 + 2.0**-40) for n, a in out.items()}
    return out


KINDS = ("plain", "zeros", "huge", "subnormal", "tied outputs", "tied tokens", "integers", "float64")


@st.composite
def any_tensors(draw: st.DrawFn, biases: tuple[str, ...] = BIASES) -> tuple[Sizes, Tensors]:
    """Random or planted, then perhaps made hostile; one head, no LayerNorm, some biases."""
    seed = draw(st.integers(0, 2**32 - 1))
    if draw(st.booleans()):
        sizes = draw(st.sampled_from([s for s in PLANTABLE if s.k > 1]))
        tensors = planted_tensors(
            sizes,
            sharpness=draw(st.sampled_from([1.0, 3.0, 8.0, 20.0])),
            gain=draw(st.sampled_from([0.01, 1.0, 16.0])),
            noise=draw(st.sampled_from([0.0, 1e-3, 0.05, 0.2])),
            seed=seed,
        )
    else:
        sizes = draw(st.sampled_from(SMALL))
        tensors = random_tensors(sizes, seed, scale=draw(st.sampled_from([1e-6, 0.1, 1.0, 3.0, 50.0])))
    kept = draw(st.sets(st.sampled_from(biases))) if biases else set()
    size = draw(st.sampled_from([1e-4, 0.1, 1.0]))
    tensors |= random_tensors(sizes, seed + 1, biases=sorted(kept), scale=size) | tensors
    return sizes, _hostile(tensors, draw(st.sampled_from(KINDS)), seed)
