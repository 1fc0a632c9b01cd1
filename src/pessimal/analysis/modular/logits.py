r"""Clock and pizza forms of the logits on all pairs, margins, and distance irrelevance.

Logits are centred over classes for every input. Along frequency k, with $\theta = 2\pi/p$,

$$\alpha_k(a,b) = \tfrac2p\sum_c\mathrm{logit}_c(a,b)\cos(\theta k(a+b-c))$$

is what the logits hold of the right cosine; cosines of different frequencies are orthogonal over c. The clock form has
$\alpha_k = C_k$, the pizza form $\alpha_k = C_k|\cos(\theta k(a-b)/2)|$; C by least squares.

Contents:
    centred — logits minus their mean over classes.
    alignments — alpha.
    Form, clock_form, pizza_form — coefficients and the share of the variance that they explain.
    behind, wrong_margins, Margins, margins_of — the margin of the clock form against what it leaves out.
    distance_irrelevance — how little the right logit depends on a - b.
    sums — sums mod p of every pair.

References:
    Nanda et al. 2023, arXiv 2301.05217 (logits as sums of cosines). Zhong et al. 2023, The clock and the pizza,
    arXiv 2306.17844 (the pizza form, distance irrelevance).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pessimal.circuits.modular.waves import ModularError


def centred(logits: Float[np.ndarray, "p p p"]) -> Float[np.ndarray, "p p p"]:
    """Logits minus their mean over classes, which no softmax sees."""
    return np.asarray(logits - logits.mean(-1, keepdims=True))


def sums(p: int) -> Int[np.ndarray, "p p"]:
    """Sums mod p of every pair."""
    return np.add.outer(np.arange(p), np.arange(p)) % p


def alignments(logits: Float[np.ndarray, "p p p"], frequencies: Sequence[int]) -> Float[np.ndarray, "k p p"]:
    """alpha_k(a, b) of every frequency, in logits."""
    p = len(logits)
    turn = 2j * np.pi / p * np.outer(frequencies, np.arange(p))
    amplitudes = logits @ np.exp(-turn).T * (2 / p)
    return np.moveaxis((amplitudes * np.moveaxis(np.exp(turn)[:, sums(p)], 0, -1)).real, -1, 0)


@dataclass(frozen=True)
class Form:
    """A fitted form of the logits.

    Attributes:
        coefficients: C_k, logits.
        fve: share of the variance of the centred logits that it explains.
    """

    coefficients: Float[np.ndarray, " k"]
    fve: float


def _fitted(
    logits: Float[np.ndarray, "p p p"], alpha: Float[np.ndarray, "k p p"], shape: Float[np.ndarray, "k p p"]
) -> Form:
    """Least squares of alpha_k by C_k * shape; the cosine itself has energy p/2 over classes."""
    norm, p = (shape**2).sum((1, 2)), logits.shape[-1]
    C = (alpha * shape).sum((1, 2)) / norm
    total = float((logits**2).sum())
    if total == 0:
        raise ModularError("the logits are the same for every class, so that no form explains them")
    return Form(C, float(p / 2 * (C**2 * norm).sum() / total))


def clock_form(logits: Float[np.ndarray, "p p p"], frequencies: Sequence[int]) -> Form:
    r"""$\sum_kC_k\cos(\theta k(a+b-c))$ fitted to centred logits."""
    alpha = alignments(logits, frequencies)
    return _fitted(logits, alpha, np.ones_like(alpha))


def pizza_form(logits: Float[np.ndarray, "p p p"], frequencies: Sequence[int]) -> Form:
    r"""$\sum_kC_k|\cos(\theta k(a-b)/2)|\cos(\theta k(a+b-c))$ fitted to centred logits."""
    p = len(logits)
    difference = np.subtract.outer(np.arange(p), np.arange(p))
    shape = np.abs(np.cos(np.pi / p * np.multiply.outer(np.asarray(frequencies), difference)))
    return _fitted(logits, alignments(logits, frequencies), shape)


def behind(logits: Float[np.ndarray, "p p p"]) -> Float[np.ndarray, "p p p"]:
    """Logits minus the right one, which itself is left out: minus infinity."""
    right = sums(len(logits))[..., np.newaxis]
    found = logits - np.take_along_axis(logits, right, -1)
    np.put_along_axis(found, right, -np.inf, -1)
    return np.asarray(found)


def wrong_margins(logits: Float[np.ndarray, "p p p"]) -> Float[np.ndarray, "p p"]:
    """Right logit minus the largest wrong one, of every pair."""
    return np.asarray(-behind(logits).max(-1))


@dataclass(frozen=True)
class Margins:
    r"""What decides an answer, in logits.

    Attributes:
        ideal: smallest margin of the clock form, $\min_{e\ne0}\sum_kC_k(1-\cos\theta ke)$.
        residual: largest gain of a wrong class on the right one by what the form leaves out, over all inputs.
        true: smallest margin of the model.
    """

    ideal: float
    residual: float
    true: float


def margins_of(logits: Float[np.ndarray, "p p p"], clock: Form, frequencies: Sequence[int]) -> Margins:
    """Margins of all inputs; where `ideal` exceeds `residual` the form alone explains every answer."""
    p = len(logits)
    theta = 2 * np.pi / p
    wave = np.cos(theta * np.outer(np.arange(p), frequencies)) @ clock.coefficients
    residual = logits - wave[sums(p)[..., np.newaxis] - np.arange(p)]
    return Margins(
        ideal=float((wave[0] - wave[1:]).min()),
        residual=float(-wrong_margins(residual).min()),
        true=float(wrong_margins(logits).min()),
    )


def distance_irrelevance(logits: Float[np.ndarray, "p p p"]) -> float:
    r"""Mean over a - b of the deviation of the right logit over a + b, divided by its deviation over all inputs.

    0 where the right logit depends on a - b only (pizza), 1 where it does not depend on a - b (clock); NaN where it is
    the same for all inputs.

    Source: Zhong et al. 2023, distance irrelevance; logits as they are, not centred.
    """
    p = len(logits)
    right = np.take_along_axis(logits, sums(p)[..., np.newaxis], -1)[..., 0]
    # Odd p: sum and difference determine the pair.
    a, b = np.indices((p, p))
    table = np.empty((p, p))
    table[(a + b) % p, (a - b) % p] = right
    whole = float(table.std())
    # Rounding alone leaves about 1e-16 of the logit.
    return float(table.std(0).mean() / whole) if whole > 1e-12 * float(np.abs(table).max()) else float("nan")
