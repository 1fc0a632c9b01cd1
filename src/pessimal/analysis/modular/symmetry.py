r"""Gradient symmetricity, circularity and isolated circles.

Contents:
    gradient_symmetricity — are the two summands used alike?
    circularity — are the principal components of the embedding waves?
    isolated_circle, circle_scores — clock and pizza forms of a model that sees one frequency of its embedding.

References:
    Zhong et al. 2023, The clock and the pizza, arXiv 2306.17844 (all of them).
"""

import random

import numpy as np
from jaxtyping import Float

from pessimal.analysis.modular.logits import centred, sums
from pessimal.circuits.modular.forward import forward, input_gradients
from pessimal.circuits.modular.tables import embedding
from pessimal.circuits.modular.waves import fourier_basis, waves
from pessimal.circuits.residual import tensor
from pessimal.spec import Weights

TRIPLES, SEED = 100, 42
COMPONENTS = 4


def gradient_symmetricity(weights: Weights, triples: int = TRIPLES, seed: int = SEED) -> float:
    r"""Mean cosine of $\partial\,\mathrm{logit}_c/\partial E_a$ and $\partial\,\mathrm{logit}_c/\partial E_b$.

    1 where the summands are used alike (pizza). A gradient of zero counts as cosine 0.

    Args:
        weights: the model.
        triples: random (a, b, c), each number by `random.Random(seed).randrange(p)`.
        seed: of the triples.
    """
    p = weights.architecture.shape.d_vocab_out
    draw = random.Random(seed)  # noqa: S311 - the literature's generator
    drawn = np.array([[draw.randrange(p) for _ in range(3)] for _ in range(triples)])
    inputs = drawn[:, :2]
    if weights.architecture.shape.k == 3:
        inputs = np.concatenate([inputs, np.full((triples, 1), p)], axis=1)
    gradient = input_gradients(weights, inputs, drawn[:, 2])
    left, right = gradient[:, 0], gradient[:, 1]
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(np.mean(np.divide((left * right).sum(1), norms, out=np.zeros(triples), where=norms > 0)))


def circularity(weights: Weights, components: int = COMPONENTS) -> float:
    """Mean over the first principal components of W_E of the share that their best frequency has of their energy."""
    rows = embedding(weights)
    rows = rows - rows.mean(0)
    left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    energy = np.abs(waves(left[:, sizes > sizes[0] * 1e-12][:, :components])) ** 2
    return float((energy.max(0) / energy.sum(0)).mean()) if energy.size else float("nan")


def isolated_circle(weights: Weights, k: int) -> Float[np.ndarray, "p p p"]:
    """Centred logits of the model whose embedding keeps its mean and frequency k only; a token "=" stays as it is."""
    p = weights.architecture.shape.d_vocab_out
    basis = fourier_basis(p)[[0, 2 * k - 1, 2 * k]]
    W_E = tensor(weights, "W_E")
    W_E[:p] = basis.T @ (basis @ W_E[:p])
    return centred(forward(weights, W_E=W_E).logits)


def circle_scores(logits: Float[np.ndarray, "p p p"], k: int) -> tuple[float, float]:
    r"""Q_clock and Q_pizza of the logits of one circle.

    One minus the variance of the difference between standardised logits and the standardised form,
    $\cos(\theta k(a+b-c))$ or $|\cos(\theta k(a-b)/2)|\cos(\theta k(a+b-c))$: twice their correlation minus 1.
    """
    p = len(logits)
    theta = 2 * np.pi / p
    clock = np.cos(theta * k * np.arange(p))[sums(p)[..., np.newaxis] - np.arange(p)]
    difference = np.subtract.outer(np.arange(p), np.arange(p))
    pizza = np.abs(np.cos(theta / 2 * k * difference))[..., np.newaxis] * clock

    def score(form: Float[np.ndarray, "p p p"]) -> float:
        spread = float(logits.std() * form.std())
        return 2 * float(((logits - logits.mean()) * (form - form.mean())).mean()) / spread - 1 if spread else np.nan

    return score(clock), score(pizza)
