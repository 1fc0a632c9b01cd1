"""Models, numbers and hints that the tests of the sub-cubic rule share.

Contents:
    RULE, KINDS, EXACT, ONE — the rule, its compositions by words, the exact option, and 1 in units of a hinted point.
    Case, CASES, MODELS, ALIKE — models by a word; ALIKE are those whose counts are compared.
    model, numbers, paths_of — a model, its paths by NumPy from the docstring of `paths.py`, and as the rule has them.
    Numbers — the former.
    same, rng_of, arithmetic — comparisons.
    random_arrays, searched, random_points, changed — hints.
    certified — what the rule counts.
"""

from dataclasses import dataclass
from functools import cache
from math import floor, sqrt

import numpy as np

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, model_paths
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.spec import Overrides, Weights
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.strategies.sub_cubic import PUBLISHED
from support.bounds import bound
from support.models import BIASES, Sizes, build, planted_tensors, random_tensors

RULE = RULES["sub-cubic"]
ONE = 2**15
KINDS = {(kind.direct, kind.attention, kind.attention_error): kind for kind in PUBLISHED.values()}
EXACT = "exact_EQKE+max_diff_exact"


@dataclass(frozen=True)
class Case:
    """A model that is neither perfect nor hopeless.

    Attributes:
        sizes: of the model.
        seed: of what is drawn for it.
        sharpness: how fast scores grow with the token.
        noise: beside what is planted; None for a random model.
    """

    sizes: Sizes
    seed: int
    sharpness: float = 0.0
    noise: float | None = None

    def task(self) -> AbstractTask:
        return self.sizes.task()


CASES = {
    "plain": Case(Sizes(3, 5, 7, 2, 4), 0, 4.0, 0.01),
    "biases": Case(Sizes(5, 7, 11, 3, 2), 1, 8.0, 0.003),
    "spreading-values": Case(Sizes(5, 5, 7, 2, 3), 2, 1.0, 0.01),
    "layer-norm": Case(Sizes(4, 5, 7, 3, 3), 3, 8.0, 0.001),
    "random": Case(Sizes(5, 6, 7, 2, 4), 4),
}
MODELS = tuple(CASES)
ALIKE = MODELS[:4]


@cache
def model(word: str) -> Weights:
    """Plain, all biases, values that spread with scale 1 and unused positions, a final LayerNorm, or random."""
    case = CASES[word]
    sizes = case.sizes
    if case.noise is None:
        return build(random_tensors(sizes, 3, biases=("b_Q", "b_V"), scale=0.6))
    t = planted_tensors(sizes, sharpness=case.sharpness, noise=case.noise, seed=case.seed)
    t["W_pos"][:, 4] = np.random.default_rng(case.seed).permutation(np.linspace(-0.5, 0.5, sizes.k))
    t["W_K"][0, 4, 0] = sqrt(sizes.d)
    if word == "biases":
        t |= random_tensors(sizes, 5, biases=BIASES, scale=0.01) | t
    if word == "spreading-values":
        # The spread of EVOU grows with the token, so that it matters which tokens the gap leaves.
        t["W_O"][0, 1] = 0
        t["b_U"] = -(np.arange(sizes.o, dtype=np.float32) ** 2)
        t["W_pos"] = np.concatenate([t["W_pos"], np.ones((2, sizes.m), dtype=np.float32)])
        return build(t, overrides=Overrides(k=sizes.k, attn_scale="1"))
    if word == "layer-norm":
        t["W_E"][:, 5] -= t["W_E"].sum(1)  # nearly centred, so that the centring does little
        t["W_O"][0, :, 5] -= t["W_O"][0].sum(1)
        t["ln_final_w"] = np.linspace(0.998, 1.002, sizes.m).astype(np.float32)
        t["b_U"] = np.full(sizes.o, 0.75, dtype=np.float32)
    return build(t)


@dataclass(frozen=True)
class Numbers:
    """The paths, from the docstring of `paths.py`."""

    query: np.ndarray
    key: np.ndarray
    w_q: np.ndarray
    w_k: np.ndarray
    eqke: np.ndarray
    key_bias: np.ndarray
    eqkp: np.ndarray
    direct: np.ndarray
    unembed: np.ndarray
    evou: np.ndarray
    pvou: np.ndarray
    scale: float


@cache
def numbers(word: int) -> Numbers:
    weights, sizes = model(word), CASES[word].sizes

    def tensor(name: str, *shape: int) -> np.ndarray:
        array = weights.get(name)
        return np.zeros(shape) if array is None else np.asarray(array, dtype=np.float64)

    embed, positions = tensor("W_E"), tensor("W_pos")[: sizes.k]
    mean = sum(positions) / sizes.k
    query, key = embed + positions[-1], embed + mean
    w_q, w_k, b_q = tensor("W_Q"), tensor("W_K"), tensor("b_Q", sizes.d)
    unembed, b_u = tensor("W_U"), tensor("b_U", sizes.o)
    if weights.architecture.ln_final:
        gain = tensor("ln_final_w")[:, np.newaxis]
        unembed, b_u = sizes.m * gain * unembed - (gain * unembed).sum(0), 0 * b_u
    ov = tensor("W_V") @ tensor("W_O")
    projected = (query @ w_q + b_q) @ w_k.T
    return Numbers(
        query=query,
        key=key,
        w_q=w_q,
        w_k=w_k,
        eqke=projected @ key.T,
        key_bias=b_q @ w_k.T @ key.T,
        eqkp=projected @ (positions - mean).T,
        direct=query + tensor("b_O", sizes.m) + tensor("b_V", sizes.d) @ tensor("W_O"),
        unembed=unembed,
        evou=embed @ ov @ unembed,
        pvou=positions @ ov @ unembed + b_u,
        scale=1.0 if weights.architecture.attn_scale == "1" else 1 / sqrt(sizes.d),
    )


@cache
def paths_of(word: int) -> Paths:
    arith = Float64Arithmetic()
    with arith.running():
        return model_paths(model(word), arith)


def same(enclosure, array) -> bool:
    """The enclosure is narrow, and the array lies within rounding of it."""
    low, high = enclosure.bounds()
    size = 1 + np.abs(array)
    assert low.shape == np.shape(array)
    return bool((high - low < 1e-9 * size).all() and (np.abs(low - array) < 1e-9 * size).all())


def rng_of(matrix: np.ndarray) -> np.ndarray:
    """Row differences, from all pairs."""
    return np.array([max(x - y for x in row for y in row) for row in np.atleast_2d(matrix)])


def arithmetic() -> Float64Arithmetic:
    return Float64Arithmetic()


def random_arrays(word: int, direct: str, error: str, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = model(word).architecture.shape
    arrays = {**DIRECT_PATHS[direct].arrays(shape), **QK_PATHS[error].arrays(shape)}
    return {name: rng.normal(size=size) + 1.5 * (name == "direct_direction") for name, size in arrays.items()}


@cache
def searched(word: int, direct: str, attention: str, error: str, points: int, cross: str, gaps: str) -> Hints:
    kind = KINDS[direct, attention, error](points=points, cross=cross, gaps=gaps)
    return kind.hints(model(word), Question(CASES[word].task()), no_progress)


def random_points(rng: np.random.Generator, v: int, n: int, *, whole: bool) -> np.ndarray:
    """Increasing points of every token, in units of 2**-15; `whole` from 0 to 1."""
    rows = np.array([np.sort(rng.choice(np.arange(1, 129), n, replace=False)) * 256 for _ in range(v)])
    if whole and n > 1:
        rows[:, 0], rows[:, -1] = 0, ONE
    return rows


def changed(hints: Hints, options: dict | None = None, arrays: dict | None = None) -> Hints:
    """The same hints but for these."""
    return Hints({**hints.options, **(options or {})}, {**hints.arrays, **(arrays or {})})


def certified(word: str, hints: Hints, name: str = "float64", weights: Weights | None = None) -> int:
    """The certified number of sequences; the rule decides, and says nothing of what is wrong at least."""
    task = CASES[word].task()
    found = bound("sub-cubic", weights or model(word), task, name, hints)
    assert found.decided
    assert found.wrong_at_least is None
    return task.total() - floor(found.wrong_at_most)
