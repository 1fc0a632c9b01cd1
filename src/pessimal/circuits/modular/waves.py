r"""Tables indexed by residues mod p, as sums of waves.

With $\theta = 2\pi/p$, p an odd prime, every real table is

$$T(a) = \bar T + \sum_{k=1}^{(p-1)/2} r_k \cos(\theta k a + \phi_k), \qquad
r_k e^{i\phi_k} = \tfrac2p \sum_a T(a) e^{-i\theta k a},$$

and $\sum_a (T(a)-\bar T)^2 = \tfrac p2\sum_k r_k^2$. A frequency k and its multiples are *folded* into 1 .. (p-1)/2.

Contents:
    fourier_basis — the orthonormal real basis.
    block — its rows of one frequency.
    waves — the complex amplitudes of tables.
    folded_frequency — a multiple of a frequency as one of the (p-1)/2.
    powers — energy of every frequency, summed over tables.
    key_frequencies — the frequencies that carry the energy.
    Clusters, clusters — one frequency per neuron from its activations on all pairs.
    require_odd_prime, require_pairs — what p and activations have to be.
    ModularError — one clear sentence.

References:
    Nanda et al. 2023, Progress measures for grokking via mechanistic interpretability, arXiv 2301.05217 (the basis, and
    the rule of `clusters`).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Int

# Shares of energy: what makes a frequency a key frequency, and a neuron a member of a cluster.
KEY_SHARE = 1e-4
CLUSTER_SHARE = 0.85
# Rounding alone leaves about 1e-32 of the energy of a constant.
ROUNDING = 1e-24


class ModularError(ValueError):
    """The weights or arrays are not those of modular addition; the message is one sentence."""


def require_odd_prime(p: int) -> None:
    """Raise `ModularError` unless p is an odd prime."""
    if p < 3 or any(p % n == 0 for n in range(2, math.isqrt(p) + 1)):
        raise ModularError(f"p={p} is not an odd prime; frequencies mod p need one")


def fourier_basis(p: int) -> Float[np.ndarray, "p p"]:
    r"""Orthonormal rows: the constant, then $\cos(\theta k a)$ and $\sin(\theta k a)$ for k = 1 .. (p-1)/2.

    Raises:
        ModularError: p is not an odd prime.
    """
    require_odd_prime(p)
    # Reduced modulo p first: the angle is exact to half a unit in the last place.
    angle = 2 * np.pi / p * (np.outer(np.arange(1, (p + 1) // 2), np.arange(p)) % p)
    rows = np.empty((p, p))
    rows[0], rows[1::2], rows[2::2] = p**-0.5, (2 / p) ** 0.5 * np.cos(angle), (2 / p) ** 0.5 * np.sin(angle)
    return rows


def block(k: int) -> list[int]:
    """Rows of the Fourier basis that say what one frequency can: constant, cosine, sine."""
    return [0, 2 * k - 1, 2 * k]


def waves(table: Float[np.ndarray, "p *n"]) -> Complex[np.ndarray, "half *n"]:
    r"""$r_ke^{i\phi_k}$ of every column, in the units of the table; row k - 1 is frequency k."""
    return np.asarray(np.fft.rfft(table, axis=0)[1:] * (2 / len(table)))


def folded_frequency(k: Int[np.ndarray, "*n"], p: int) -> Int[np.ndarray, "*n"]:
    """Frequencies mod p as those of the same cosines in 0 .. (p-1)/2."""
    return np.asarray(np.minimum(k % p, -k % p))


def powers(table: Float[np.ndarray, "p n"]) -> Float[np.ndarray, " half"]:
    """Share of every frequency in the energy of a table, means of its columns left out; entry k - 1 is frequency k.

    Raises:
        ModularError: every column is constant, or an entry is not finite.
    """
    energy = (np.abs(waves(table)) ** 2).sum(1)
    total = float(energy.sum())
    if not np.isfinite(total) or total <= ROUNDING * float((table**2).sum()):
        raise ModularError("the table is constant over residues, or not finite, so it has no frequencies")
    return np.asarray(energy / total)


def key_frequencies(output: Float[np.ndarray, "d_mlp p"], share: float = KEY_SHARE) -> list[int]:
    r"""Frequencies with more than `share` of the energy of $G = W_{out}W_U$, rising.

    Raises:
        ModularError: G is constant over classes, so that there is no key frequency.
    """
    try:
        found = powers(output.T)
    except ModularError:
        raise ModularError("the set of key frequencies is empty: W_out W_U is the same for every class") from None
    return [int(k) + 1 for k in np.flatnonzero(found > share)]


@dataclass(frozen=True)
class Clusters:
    """Neurons by frequency.

    Attributes:
        frequency: of every neuron, the one that explains most of it.
        share: what that frequency explains of its centred energy; 0 of a neuron that never changes.
    """

    frequency: Int[np.ndarray, " d_mlp"]
    share: Float[np.ndarray, " d_mlp"]

    def members(self, share: float = CLUSTER_SHARE) -> dict[int, int]:
        """How many neurons belong to each frequency that has any: those of which it explains more than `share`."""
        found = self.frequency[self.share > share]
        return {int(k): int((found == k).sum()) for k in np.unique(found)}


def clusters(activations: Float[np.ndarray, "p p d_mlp"]) -> Clusters:
    r"""The frequency that explains most of every neuron.

    For frequency k the nine products of {1, cos k, sin k} of a and of b, their constant left out, span what one
    frequency can say; the share is their part of the energy of the centred activation.

    Args:
        activations: of every neuron on every pair (a, b).

    Raises:
        ModularError: the shape is not [p, p, neurons] for an odd prime p, or an activation is NaN or infinite.

    Cost: 4 p^3 operations per neuron.
    Source: Nanda et al. 2023, clusters of neurons; the threshold is that of their code.
    """
    require_pairs(activations)
    p = len(activations)
    basis = fourier_basis(p)
    # Both summands to frequencies, one after the other.
    half = (basis @ activations.reshape(p, -1)).reshape(activations.shape)
    energy = np.matmul(basis, half) ** 2
    constant = energy[0, 0].copy()
    energy[0, 0] = 0.0
    total = energy.sum((0, 1))
    blocks = np.stack([energy[np.ix_(block(k), block(k))].sum((0, 1)) for k in range(1, (p + 1) // 2)])
    share = np.divide(blocks, total, out=np.zeros_like(blocks), where=total > ROUNDING * constant)
    return Clusters(share.argmax(0) + 1, share.max(0))


def require_pairs(activations: Float[np.ndarray, "..."]) -> None:
    """Raise `ModularError` unless an array is [p, p, neurons] and finite."""
    if activations.ndim != 3 or activations.shape[0] != activations.shape[1]:
        raise ModularError(f"activations of shape {list(activations.shape)} are not of all pairs, [p, p, neurons]")
    if not np.isfinite(activations).all():
        raise ModularError("an activation is NaN or infinite")
