"""Limits for the rule `comparisons`.

Contents:
    limits — of some scale, at random or all alike.
    covered — the same with a cover: any rivals, orders, parents, multiples and positions; all rivals at once.
"""

import numpy as np

from pessimal.kernel.hints import Hints
from pessimal.kernel.strata.strata import strata_of
from pessimal.search.halfwords import pack_halfwords
from pessimal.spec.question import Question
from pessimal.spec.tasks import MaxOfK


def limits(question: Question, weights, rng: np.random.Generator | None, *, scale: int) -> Hints:
    """Up to `scale` of everything; all nodes if `scale` is large."""
    strata = strata_of(question.task)
    n_out = weights.architecture.shape.d_vocab_out if weights is not None else question.task.n_outputs
    most = min(scale, 2 * strata.stratum_count * n_out)

    def some(top: int) -> int:
        return top if rng is None or scale > 1 << 20 else int(rng.integers(0, top + 1))

    near = question.task.d_vocab
    if isinstance(question.task, MaxOfK) and rng is not None:
        near = int(rng.integers(1, near + 1))
    options = {"near": near, "entries": some(scale), "tries": some(scale), "at_once": some(scale)}
    return Hints(options, {"minima": np.array([some(most) for _ in strata.programs[0]], dtype=np.int64)})


def covered(question: Question, weights, rng: np.random.Generator, *, free: bool, every: bool) -> Hints:
    """A cover for some strata, or for all rivals of all, at once in some; limits that suffice."""
    strata, k, n_out = strata_of(question.task), question.task.k, weights.architecture.shape.d_vocab_out
    outputs = np.nonzero(strata.stratum_index >= 0)[1]
    chosen = np.arange(len(outputs)) if every else np.flatnonzero(rng.random(len(outputs)) < 0.7)
    rivals, comparisons, counts, positions = [], [], [], []
    for y in outputs[chosen].tolist():
        order = rng.permutation(np.delete(np.arange(n_out), y))
        order = order if every else order[: int(rng.integers(0, n_out))]
        if rivals and rng.random() < 0.3:
            order = order[:0]
        parents = [int(rng.integers(0, place + 1)) for place in range(len(order))]
        multiples = rng.choice([0, 1, 5, 16, 40, 255], len(order))
        rivals.extend(order.tolist())
        comparisons.extend((parent + 256 * int(times)) for parent, times in zip(parents, multiples, strict=True))
        counts.append(len(order))
        # The last ones, where the order of tokens matters.
        first = k - 1 - int(rng.integers(1, min(4, k)))
        chance = sorted(rng.choice(k - 1, 3).tolist())
        positions.append(chance if free else np.minimum([first, first + 1, first + 2], k - 2).tolist())
    base = limits(question, weights, None, scale=1 << 30)
    options = {
        **base.options, "additions": 1 << 40, "certain": int(rng.integers(0, 4)), "strata": len(chosen), "live": len(rivals), "tries": 0, "at_once": 0,
    }  # fmt: skip
    gaps = np.diff(chosen, prepend=-1)
    cells = rng.choice([1, 3, 17, 200], len(chosen))
    lists = {
        "gap": gaps, "count": counts, "positions": positions, "cells": cells, "rival": rivals, "comparison": comparisons,
    }  # fmt: skip
    return Hints(
        options,
        {**base.arrays, **{name: pack_halfwords(np.array(numbers, dtype=np.int64)) for name, numbers in lists.items()}},
    )
