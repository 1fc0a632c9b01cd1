r"""Tables indexed by residues mod p, as sums of waves.

With $\theta = 2\pi/p$, p an odd prime, every real table is

$$T(a) = \bar T + \sum_{k=1}^{(p-1)/2} r_k \cos(\theta k a + \phi_k), \qquad
r_k e^{i\phi_k} = \tfrac2p \sum_a T(a) e^{-i\theta k a},$$

and $\sum_a (T(a)-\bar T)^2 = \tfrac p2\sum_k r_k^2$. A frequency k and its multiples are *folded* into 1 .. (p-1)/2.

Contents:
    fourier_basis — the orthonormal real basis.
    waves — the complex amplitudes of tables.
    folded_frequency — a multiple of a frequency as one of the (p-1)/2.
    powers — energy of every frequency, summed over tables.
    key_frequencies — the frequencies that carry the energy.
    cluster_frequencies — one frequency per neuron from its activations on all pairs.
    ModularError — one clear sentence.

References:
    Nanda et al. 2023, Progress measures for grokking via mechanistic interpretability, arXiv 2301.05217 (the basis, and
    the rule of `cluster_frequencies`).
"""

import math

import numpy as np
from jaxtyping import Complex, Float, Int

# Shares of energy: what makes a frequency a key frequency, and a neuron a member of a cluster.
KEY_SHARE = 1e-4
CLUSTER_SHARE = 0.85
NO_CLUSTER = 0
# Rounding alone leaves about 1e-32 of the energy of a constant.
ROUNDING = 1e-24
CHUNK = 64


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
    angle = 2 * np.pi / p * np.outer(np.arange(1, (p + 1) // 2), np.arange(p))
    pairs = np.stack([np.cos(angle), np.sin(angle)], axis=1).reshape(p - 1, p)
    return np.concatenate([np.full((1, p), p**-0.5), pairs * (2 / p) ** 0.5])


def waves(table: Float[np.ndarray, "p *n"]) -> Complex[np.ndarray, "half *n"]:
    r"""$r_ke^{i\phi_k}$ of every column, in the units of the table; row k - 1 is frequency k."""
    return np.asarray(np.fft.rfft(table, axis=0)[1:] * (2 / len(table)))


def folded_frequency(k: Int[np.ndarray, "*n"], p: int) -> Int[np.ndarray, "*n"]:
    """Frequencies mod p as those of the same cosines in 0 .. (p-1)/2."""
    return np.minimum(k % p, -k % p)


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


def cluster_frequencies(
    activations: Float[np.ndarray, "p p d_mlp"], share: float = CLUSTER_SHARE
) -> tuple[Int[np.ndarray, " d_mlp"], Float[np.ndarray, " d_mlp"]]:
    r"""The frequency that explains most of every neuron, where it explains more than `share`.

    For frequency k the nine products of {1, cos k, sin k} of a and of b, their constant left out, span what one
    frequency can say; the share is their part of the energy of the centred activation.

    Args:
        activations: of every neuron on every pair (a, b).
        share: what a frequency has to explain.

    Returns:
        The frequency, or `NO_CLUSTER`; and the largest share, 0 for a neuron that is constant.

    Cost: a two-dimensional FFT per neuron.
    Source: Nanda et al. 2023, clusters of neurons; the threshold is that of their code.
    """
    p, _, n = activations.shape
    half = np.arange(1, (p + 1) // 2)
    frequency, best = np.zeros(n, dtype=np.int64), np.zeros(n)
    for begin in range(0, n, CHUNK):
        energy = np.abs(np.fft.fft2(activations[:, :, begin : begin + CHUNK], axes=(0, 1))) ** 2
        constant = energy[0, 0].copy()
        energy[0, 0] = 0
        total = energy.sum((0, 1))
        block = sum(energy[i, j] for i in (0, half, -half) for j in (0, half, -half))
        part = np.divide(block, total, out=np.zeros_like(energy[half, 0]), where=total > ROUNDING * constant)
        frequency[begin : begin + CHUNK] = part.argmax(0) + 1
        best[begin : begin + CHUNK] = part.max(0)
    return np.where(best > share, frequency, NO_CLUSTER), best
