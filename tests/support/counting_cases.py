"""Models, garbage hints and cases that the tests of counting rules share."""

import numpy as np
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.options import THRESHOLDS
from pessimal.kernel.terms.rivals import n_groups
from pessimal.spec import Weights
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.strategies import ExponentialMoment, GridCount
from support.models import ATTN_SCALES, Sizes, build, random_tensors, table_tensors
from support.tasks import WIDE

NORMS = ((), ("ln1_w", "ln1_b"), ("ln_final_w",), ("ln1_w", "ln_final_w"))


def hints_of(weights: Weights, task: AbstractTask, rival: str, position: str, kind: str, seed: int) -> Hints:
    """Garbage hints of the right form, or searched ones."""
    if kind == "searched":
        return ExponentialMoment(rival, position, task.d_vocab).hints(weights, Question(task), no_progress)
    rng = np.random.default_rng(seed)
    heads, groups = weights.architecture.shape.n_heads, n_groups(rival, weights.architecture.shape.d_vocab_out)
    number = strata_of(task).stratum_count
    low, high = (-4, 3) if kind == "ordinary" else (-1000, 1001)
    top = 16 if kind == "ordinary" else 2**53 + 1

    def some(shape: tuple[int, ...], least: int) -> dict[str, np.ndarray]:
        return {"mantissa": rng.integers(least, top, shape), "exponent": rng.integers(low, high, shape)}

    arrays = {f"tilt_{name}": a for name, a in some((heads * groups, number), 0).items()}
    if heads > 1:
        thresholds = some((heads - 1, groups, number), 1 - top)
        arrays |= dict(zip(THRESHOLDS, thresholds.values(), strict=True))
    return Hints({"rival": rival, "position": position, "near": task.d_vocab}, arrays)


def grid_hints(weights: Weights, task: AbstractTask, rival: str, position: str, kind: str, seed: int) -> Hints:
    """Garbage or searched steps; every other group of rivals has a tilt only."""
    heads = weights.architecture.shape.n_heads
    if kind == "searched":
        return GridCount(rival, position, cells=64, negligible=0.0).hints(weights, Question(task), no_progress)
    moments = hints_of(weights, task, rival, position, kind, seed)
    rng = np.random.default_rng(seed + 1)
    shape = moments.arrays["tilt_mantissa"].shape
    low, high = (-6, 3) if kind == "ordinary" else (-1000, 1001)
    steps = {"step_mantissa": rng.integers(0, 9, shape), "step_exponent": rng.integers(low, high, shape)}
    two_sided = rival == "every" and position == "each" and heads == 1
    options = {**moments.options, "cells": int(rng.choice((1, 7, 300))), "sides": 1 + two_sided}
    return Hints(options, {**moments.arrays, **steps})


def model_of(task: AbstractTask, seed: int, heads: int, norms: tuple[str, ...], planted: bool) -> Weights:
    tensors = table_tensors(task, seed, heads=heads) | _norms(task, norms)
    if not planted:
        sizes = Sizes(task.d_vocab, max(task.n_outputs, 2) + 1, 5, 3, task.k, heads)
        tensors = random_tensors(sizes, seed, norms=norms, biases=("b_Q", "b_V"))
    return build(tensors, {"attn_scale": ATTN_SCALES[seed % len(ATTN_SCALES)]})


def _norms(task: AbstractTask, norms: tuple[str, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {name: (name.endswith("w") + 0.1 * rng.normal(size=task.d_vocab + 1)).astype(np.float32) for name in norms}


CASES = {
    "task": st.sampled_from(WIDE),
    "seed": st.integers(0, 2**32 - 1),
    "heads": st.sampled_from((1, 1, 2, 3)),
    "norms": st.sampled_from(NORMS),
    "planted": st.booleans(),
    "arithmetic": st.sampled_from(sorted(ARITHMETICS)),
}
