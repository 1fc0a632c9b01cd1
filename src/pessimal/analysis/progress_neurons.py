r"""Which frequency each neuron of a modular adder works at, and what becomes of the model without it.

With $H[a,b,i]$ the activations, block $k$ of the pairs is spanned by the products of $\{1, \cos w_ka, \sin w_ka\}$ and
$\{1, \cos w_kb, \sin w_kb\}$ without the constant: 8 directions. A neuron belongs to the frequency with the largest
share of its centred energy, if that exceeds 0.85; the key frequencies are those that neurons belong to.

$W_L = W_{out}W_U$ reads two directions $u_k, v_k$ of the neurons for each frequency of its classes,
$L \approx \sum_k (Hu_k)\cos w_kc + (Hv_k)\sin w_kc$ up to scale, and adding angles is $Hu_k \propto \cos w_k(a+b)$,
$Hv_k \propto \sin w_k(a+b)$.

Every ablation changes the activations and keeps the rest of the model, the path around the MLP included, so that the
logits change by $(H'-H)W_L$. Losses are means over all pairs, in nats.

Contents:
    Clusters, clusters — frequency and share of every neuron.
    key_frequencies, output_frequencies — by neurons, by the energy of W_L.
    read_shares — how much of what W_L reads is an angle sum.
    ablations — losses of ablated models.

References:
    Nanda et al. 2023, arXiv 2301.05217, section 4.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pessimal.analysis.progress import Frequencies, fourier_norms, losses, restricted_loss
from pessimal.circuits.modular_forward import fourier_basis, hidden, logits, output_map
from pessimal.spec import Weights

SHARE = 0.85
# Of the energy of W_L over the frequencies.
OUTPUT_SHARE = 0.01


@dataclass(frozen=True)
class Clusters:
    """Neurons by frequency.

    Attributes:
        frequency: of every neuron, that of its largest block.
        share: of its centred energy in that block; 0 of a neuron that never changes.
    """

    frequency: Int[np.ndarray, " d_mlp"]
    share: Float[np.ndarray, " d_mlp"]

    def members(self, share: float = SHARE) -> dict[int, int]:
        """How many neurons belong to each frequency that has any."""
        found = self.frequency[self.share > share]
        return {int(k): int((found == k).sum()) for k in np.unique(found)}


def clusters(activations: Float[np.ndarray, "p p d_mlp"]) -> Clusters:
    """Frequency of every neuron.

    Raises:
        ValueError: the shape is not [p, p, neurons] for an odd prime p, or an activation is NaN or infinite.

    Cost: 4 p^3 FLOPs per neuron.
    """
    p = _modulus(activations)
    basis = fourier_basis(p)
    # Both summands to frequencies, one after the other.
    half = (basis @ activations.reshape(p, -1)).reshape(activations.shape)
    energy = np.matmul(basis, half) ** 2
    energy[0, 0] = 0.0
    total = energy.sum((0, 1))
    blocks = np.stack([energy[np.ix_(_block(k), _block(k))].sum((0, 1)) for k in range(1, (p + 1) // 2)])
    # A neuron that is dead or constant has no energy but rounding.
    alive = total > 1e-20 * np.maximum((activations**2).sum((0, 1)), 1e-300)
    share = np.where(alive, blocks.max(0) / np.where(alive, total, 1.0), 0.0)
    return Clusters(blocks.argmax(0) + 1, share)


def key_frequencies(found: Clusters, *, share: float = SHARE, least: int = 1) -> list[int]:
    """Frequencies that at least `least` neurons belong to, rising."""
    return [k for k, count in found.members(share).items() if count >= least]


def output_frequencies(out: Float[np.ndarray, "d_mlp p"], *, share: float = OUTPUT_SHARE) -> list[int]:
    """Frequencies of the classes with more than this share of the energy of W_L, rising."""
    squares = fourier_norms(out.T)[1:] ** 2
    energy = squares[0::2] + squares[1::2]
    return [int(k) + 1 for k in np.flatnonzero(energy > share * energy.sum())]


def read_shares(
    activations: Float[np.ndarray, "p p d_mlp"], out: Float[np.ndarray, "d_mlp p"], frequencies: Frequencies
) -> dict[int, tuple[float, float]]:
    """By key frequency, shares of the variance of what W_L reads for its cosine and its sine that are those of a+b."""
    p = _modulus(activations)
    basis = fourier_basis(p)
    total = np.add.outer(np.arange(p), np.arange(p)) % p
    found = {}
    for k in frequencies:
        pair = []
        for row in (basis[2 * k - 1], basis[2 * k]):
            read = activations @ (out @ row)
            read -= read.mean()
            # The direction over pairs has p times the squared norm of the row.
            along = float((read * row[total]).sum()) ** 2 / p
            energy = float((read**2).sum())
            pair.append(along / energy if energy else 0.0)
        found[int(k)] = (pair[0], pair[1])
    return found


def ablations(weights: Weights, frequencies: Frequencies, *, share: float = SHARE) -> dict[str, Any]:
    """Losses in nats on all pairs of the model and of what ablations leave of it.

    Args:
        weights: a model of modular addition.
        frequencies: its key frequencies.
        share: from which a neuron belongs to a frequency.

    Returns:
        `full`; `sum_directions`: logits restricted to cosine and sine of a+b (the restricted loss);
        `key_blocks`: logits restricted to the blocks of the key frequencies, and their mean; `polynomial_neurons`:
        neurons that belong to a frequency replaced by their constant and their block; `read_span` and
        `read_complement`: activations projected on the directions that W_L reads at the key frequencies and on their
        complement; `without_frequency`: by key frequency, activations without its block.

    Raises:
        ValueError: not a model of modular addition; frequencies empty, repeated or out of range.
    """
    before, activations, out = logits(weights), hidden(weights), output_map(weights)
    p = len(before)
    basis = fourier_basis(p)
    found = {"full": _mean_loss(before), "sum_directions": restricted_loss(before, frequencies)}
    kept = sum((_block_part(before, k) for k in frequencies), before.mean((0, 1)))
    found["key_blocks"] = _mean_loss(kept)
    labels = clusters(activations)
    change = np.zeros_like(before)
    for k in range(1, (p + 1) // 2):
        which = (labels.frequency == k) & (labels.share > share)
        if which.any():
            some = activations[:, :, which]
            change += (_block_part(some, k) + some.mean((0, 1)) - some) @ out[which]
    found["polynomial_neurons"] = _mean_loss(before + change)
    rows = [i for k in frequencies for i in _block(k)[1:]]
    span, _ = np.linalg.qr(out @ basis[rows].T)
    read, written = activations @ span, span.T @ out
    whole = activations @ out
    found["read_span"] = _mean_loss(before - whole + read @ written)
    found["read_complement"] = _mean_loss(before - read @ written)
    # Blocks are linear in the activations: those of the logits they write are enough.
    without = {int(k): _mean_loss(before - _block_part(whole, k)) for k in frequencies}
    return {**found, "without_frequency": without}


def _mean_loss(changed: Float[np.ndarray, "p p p"]) -> float:
    return float(losses(changed).mean())


def _block(k: int) -> list[int]:
    """Rows of the Fourier basis: constant, cosine, sine."""
    return [0, 2 * k - 1, 2 * k]


def _block_part(array: Float[np.ndarray, "p p n"], k: int) -> Float[np.ndarray, "p p n"]:
    """Projection on block k of the pairs, constant left out."""
    rows = fourier_basis(len(array))[_block(k)]
    parts = np.einsum("xa,yb,abn->xyn", rows, rows, array, optimize=True)
    parts[0, 0] = 0.0
    return np.asarray(np.einsum("xa,yb,xyn->abn", rows, rows, parts, optimize=True))


def _modulus(activations: Float[np.ndarray, "..."]) -> int:
    if activations.ndim != 3 or activations.shape[0] != activations.shape[1]:
        raise ValueError(f"activations of shape {list(activations.shape)} are not of all pairs, [p, p, neurons]")
    if not np.isfinite(activations).all():
        raise ValueError("an activation is NaN or infinite")
    return len(activations)
