r"""Progress measures of grokking: how much of a modular adder is its circuit, and how much it has memorised.

With $L[a,b,c]$ the logits on all $p^2$ pairs, $w_k = 2\pi k/p$ and $K$ the key frequencies, $P_K$ projects on the
functions $\cos(w_k(a+b))$ and $\sin(w_k(a+b))$, $k\in K$, of the pair, class by class: what a circuit that works by
adding angles may use. It is the projection on $K$ of the mean of $L$ over the p pairs of equal sum.

- restricted loss: cross-entropy of $P_K L + \overline{L}$ (mean over pairs, class by class) on all pairs;
- excluded loss: cross-entropy of $L - P_K L$ on the pairs trained on, for all of $K$ or for one frequency;
- FVE of the clock form: the share of the variance of $L$ within inputs (what all classes share is no answer) that
  $\sum_{k\in K}C_k\cos(w_k(a+b-c))$ explains;
- Gini coefficients of the Fourier norms of $W_E$ and of $W_L = W_{out}W_U$;
- the sum of squared weights, tensors that are never read (W_Q and W_K of uniform attention) included.

Losses are in nats and computed in float64 without cancellation, so that 1e-8 is a number and not noise. Measures, not
proofs.

Contents:
    Frequencies — frequencies from 1 to (p-1)/2.
    losses — cross-entropy pair by pair.
    sum_part — P_K L.
    restricted_loss, excluded_loss, excluded_by_frequency, fve_clock — of logits.
    gini, fourier_norms, squared_weights — of weights.
    Progress, progress — all of them for one checkpoint.

References:
    Nanda et al. 2023, Progress measures for grokking via mechanistic interpretability, arXiv 2301.05217, section 5;
    restricted and excluded loss as its released code computes them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from pessimal.analysis.modular.logits import behind, centred, clock_form, sums, wrong_margins
from pessimal.circuits.modular.forward import forward
from pessimal.circuits.modular.tables import embedding, modulus, output_map
from pessimal.circuits.modular.waves import fourier_basis, require_odd_prime
from pessimal.spec import Weights

Frequencies = Sequence[int]


@dataclass(frozen=True)
class Progress:
    """Measures of one checkpoint; losses in nats, shares between 0 and 1.

    Attributes:
        train_loss, test_loss: cross-entropy on the pairs trained on and on the others, None if there are none.
        train_accuracy, test_accuracy: share answered, ties counting as wrong.
        accuracy: share of all pairs answered.
        full_loss: cross-entropy on all pairs.
        restricted_loss: the same of the sum part.
        excluded_loss: cross-entropy without the sum part, on the pairs trained on.
        excluded_by_frequency: the same without the sum part of one frequency.
        fve_clock: share of the logits' variance that the clock form explains.
        gini_embedding, gini_output: Gini coefficients of the Fourier norms of W_E and W_L.
        squared_weights: sum of squares of all tensors.
    """

    train_loss: float
    test_loss: float | None
    train_accuracy: float
    test_accuracy: float | None
    accuracy: float
    full_loss: float
    restricted_loss: float
    excluded_loss: float
    excluded_by_frequency: dict[int, float]
    fve_clock: float
    gini_embedding: float
    gini_output: float
    squared_weights: float

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self) | {"excluded_by_frequency": {str(k): v for k, v in self.excluded_by_frequency.items()}}


def progress(weights: Weights, trained: Bool[np.ndarray, "p p"], frequencies: Frequencies) -> Progress:
    """All measures of one checkpoint.

    Args:
        weights: a model of modular addition.
        trained: the pairs it was trained on.
        frequencies: key frequencies, of the end of the run where it is one.

    Raises:
        ValueError: not a model of modular addition; `trained` has another shape or holds no pair; frequencies empty,
            repeated or out of range.

    Cost: one forward pass on all pairs and a few passes over p^3 numbers.
    """
    p = modulus(weights)
    trained, all_logits = _pairs(trained, p), forward(weights).logits
    loss, answered = losses(all_logits), wrong_margins(all_logits) > 0
    rest = ~trained
    return Progress(
        train_loss=float(loss[trained].mean()),
        test_loss=float(loss[rest].mean()) if rest.any() else None,
        train_accuracy=float(answered[trained].mean()),
        test_accuracy=float(answered[rest].mean()) if rest.any() else None,
        accuracy=float(answered.mean()),
        full_loss=float(loss.mean()),
        restricted_loss=restricted_loss(all_logits, frequencies),
        excluded_loss=excluded_loss(all_logits, frequencies, trained),
        excluded_by_frequency=excluded_by_frequency(all_logits, frequencies, trained),
        fve_clock=fve_clock(all_logits, frequencies),
        gini_embedding=gini(fourier_norms(embedding(weights))),
        gini_output=gini(fourier_norms(output_map(weights).T)),
        squared_weights=squared_weights(weights),
    )


def losses(logits: Float[np.ndarray, "p p p"]) -> Float[np.ndarray, "p p"]:
    r"""Cross-entropy of every pair, in nats: $\log(1 + \sum_{c\ne y}\exp(L_c - L_y))$, $y = a+b$.

    Raises:
        ValueError: the shape is not [p, p, p] for an odd prime p, or a logit is NaN or infinite.
    """
    _modulus(logits)
    gaps = behind(logits)
    top = gaps.max(2)
    loss: Float[np.ndarray, "p p"] = np.logaddexp(0.0, top + np.log(np.exp(gaps - top[..., None]).sum(2)))
    return loss


def sum_part(logits: Float[np.ndarray, "p p p"], frequencies: Frequencies) -> Float[np.ndarray, "p p p"]:
    """P_K L.

    Raises:
        ValueError: bad logits; frequencies empty, repeated or out of range.
    """
    p = _modulus(logits)
    rows = _key_rows(p, frequencies)
    total = sums(p)
    # Class by class and sum by sum; each sum has p pairs.
    by_sum = np.zeros((p, p))
    np.add.at(by_sum, total, logits)
    projected: Float[np.ndarray, "p p"] = rows.T @ (rows @ (by_sum / p))
    return projected[total]


def restricted_loss(
    logits: Float[np.ndarray, "p p p"], frequencies: Frequencies, pairs: Bool[np.ndarray, "p p"] | None = None
) -> float:
    """Cross-entropy in nats of the sum part and the mean over pairs, on all pairs or on some."""
    loss = losses(sum_part(logits, frequencies) + logits.mean((0, 1)))
    return float(loss.mean() if pairs is None else loss[_pairs(pairs, len(loss))].mean())


def excluded_loss(
    logits: Float[np.ndarray, "p p p"], frequencies: Frequencies, pairs: Bool[np.ndarray, "p p"]
) -> float:
    """Cross-entropy in nats of what the sum part leaves, on `pairs`: those trained on."""
    loss = losses(logits - sum_part(logits, frequencies))
    return float(loss[_pairs(pairs, len(loss))].mean())


def excluded_by_frequency(
    logits: Float[np.ndarray, "p p p"], frequencies: Frequencies, pairs: Bool[np.ndarray, "p p"]
) -> dict[int, float]:
    """The excluded loss of each frequency alone."""
    _key_rows(_modulus(logits), frequencies)
    return {int(k): excluded_loss(logits, [k], pairs) for k in frequencies}


def fve_clock(logits: Float[np.ndarray, "p p p"], frequencies: Frequencies) -> float:
    """Share of the variance within inputs that the clock form explains; 0 of constant logits."""
    _key_rows(_modulus(logits), frequencies)
    within = centred(logits)
    return clock_form(within, frequencies).fve if within.any() else 0.0


def gini(values: Float[np.ndarray, " n"]) -> float:
    r"""Gini coefficient of non-negative numbers: 0 if all are equal, $1-1/n$ if all but one are zero.

    $$ 1 + \frac1n - \frac{2}{n}\sum_{i=1}^n \frac{n+1-i}{\sum_j x_j}\,x_{(i)}, \qquad x_{(1)} \le x_{(2)} \le \dots $$

    Raises:
        ValueError: a number is negative or not finite, or all are zero.

    Source: Hurley & Rickard 2009, Comparing measures of sparsity.
    """
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise ValueError("a Gini coefficient is of finite numbers, none negative and not all zero")
    n = len(values)
    ordered = np.sort(values)
    return float(1 + 1 / n - 2 / n * (np.arange(n, 0, -1) @ ordered) / ordered.sum())


def fourier_norms(matrix: Float[np.ndarray, "p n"]) -> Float[np.ndarray, " p"]:
    """Norms of the Fourier components over the residues: constant, then cosine and sine of each frequency."""
    norms: Float[np.ndarray, " p"] = np.linalg.norm(fourier_basis(len(matrix)) @ matrix, axis=1)
    return norms


def squared_weights(weights: Weights) -> float:
    """Sum of squares over all tensors."""
    return float(sum((array.astype(np.float64) ** 2).sum() for array in weights.tensors.values()))


def _modulus(logits: Float[np.ndarray, "..."]) -> int:
    if logits.ndim != 3 or len(set(logits.shape)) != 1:
        raise ValueError(f"logits of shape {list(logits.shape)} are not of all pairs by class, [p, p, p]")
    require_odd_prime(len(logits))
    if not np.isfinite(logits).all():
        raise ValueError("a logit is NaN or infinite")
    return len(logits)


def _pairs(pairs: Bool[np.ndarray, "..."], p: int) -> Bool[np.ndarray, "p p"]:
    if pairs.shape != (p, p) or pairs.dtype != bool or not pairs.any():
        raise ValueError(f"the pairs are a boolean array of shape [{p}, {p}] with at least one true entry")
    return pairs


def _key_rows(p: int, frequencies: Frequencies) -> Float[np.ndarray, "two_k p"]:
    """Cosine and sine of each frequency."""
    if not len(frequencies):
        raise ValueError("there are no key frequencies")
    if len(set(frequencies)) < len(frequencies) or not all(1 <= k <= (p - 1) // 2 for k in frequencies):
        raise ValueError(f"key frequencies {list(frequencies)} are not distinct numbers from 1 to {(p - 1) // 2}")
    rows: Float[np.ndarray, "two_k p"] = fourier_basis(p)[[i for k in frequencies for i in (2 * k - 1, 2 * k)]]
    return rows
