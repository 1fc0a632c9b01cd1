"""Small distributions, and their probabilities by the textbook formulas, in fractions."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np

from pessimal.spec import AbstractDistribution, Markov, Product

KINDS = ("shared", "positions", "sparse", "huge", "chain", "sparse chain")
INDEPENDENT = KINDS[:4]


def some_distribution(kind: str, k: int, v: int, seed: int) -> AbstractDistribution:
    """Random weights; sparse ones have zeros, huge ones reach 2**48, chains have rows of different totals."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        found = rng.integers(1, 12, shape)
        if kind.startswith("sparse"):
            found *= rng.integers(0, 2, shape)
            found[..., int(rng.integers(shape[-1]))] += 1
        return found if kind != "huge" else np.where(found % 3 == 0, 2**48, found)

    if kind.endswith("chain"):
        return Markov(weights(v), weights(v, v))
    return Product(weights(1 if kind == "shared" else k, v))


def chance(distribution: AbstractDistribution, tokens: Sequence[int]) -> Fraction:
    """Probability of a sequence."""
    found = Fraction(1)
    if isinstance(distribution, Product):
        rows = distribution.weights.tolist()
        for i, t in enumerate(tokens):
            row = rows[i] if len(rows) > 1 else rows[0]
            found *= Fraction(row[t], sum(row))
        return found
    assert isinstance(distribution, Markov)
    initial, transition = distribution.initial.tolist(), distribution.transition.tolist()
    found = Fraction(initial[tokens[0]], sum(initial))
    for s, t in pairwise(tokens):
        found *= Fraction(transition[s][t], sum(transition[s]))
    return found
