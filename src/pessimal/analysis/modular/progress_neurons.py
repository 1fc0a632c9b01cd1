r"""What the neurons of a modular adder read at its key frequencies, and what becomes of the model without it.

With $H[a,b,i]$ the activations, block $k$ of the pairs is spanned by the products of $\{1, \cos w_ka, \sin w_ka\}$ and
$\{1, \cos w_kb, \sin w_kb\}$ without the constant: 8 directions. A neuron belongs to the frequency of its largest
block, if that has enough of its energy (`circuits.modular.waves.clusters`).

$W_L = W_{out}W_U$ reads two directions $u_k, v_k$ of the neurons for each frequency of its classes,
$L \approx \sum_k (Hu_k)\cos w_kc + (Hv_k)\sin w_kc$ up to scale, and adding angles is $Hu_k \propto \cos w_k(a+b)$,
$Hv_k \propto \sin w_k(a+b)$.

Every ablation changes the activations and keeps the rest of the model, the path around the MLP included, so that the
logits change by $(H'-H)W_L$. Losses are means over all pairs, in nats.

Contents:
    read_shares — how much of what W_L reads is an angle sum.
    ablations — losses of ablated models.

References:
    Nanda et al. 2023, arXiv 2301.05217, section 4.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from pessimal.analysis.modular.logits import sums
from pessimal.analysis.modular.progress import Frequencies, losses, restricted_loss
from pessimal.circuits.modular.forward import forward
from pessimal.circuits.modular.tables import modulus, output_map
from pessimal.circuits.modular.waves import CLUSTER_SHARE, block, clusters, fourier_basis, require_pairs
from pessimal.spec import Weights


def read_shares(
    activations: Float[np.ndarray, "p p d_mlp"], out: Float[np.ndarray, "d_mlp p"], frequencies: Frequencies
) -> dict[int, tuple[float, float]]:
    """By key frequency, shares of the variance of what W_L reads for its cosine and its sine that are those of a+b."""
    require_pairs(activations)
    p = len(activations)
    basis, total = fourier_basis(p), sums(p)
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


def ablations(weights: Weights, frequencies: Frequencies, *, share: float = CLUSTER_SHARE) -> dict[str, Any]:
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
    p = modulus(weights)
    passed, out = forward(weights), output_map(weights)
    before, activations = passed.logits, passed.hidden
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
    rows = [i for k in frequencies for i in block(int(k))[1:]]
    span, _ = np.linalg.qr(out @ basis[rows].T)
    read, written = activations @ span, span.T @ out
    whole = passed.from_mlp
    found["read_span"] = _mean_loss(before - whole + read @ written)
    found["read_complement"] = _mean_loss(before - read @ written)
    # Blocks are linear in the activations: those of the logits they write are enough.
    without = {int(k): _mean_loss(before - _block_part(whole, k)) for k in frequencies}
    return {**found, "without_frequency": without}


def _mean_loss(changed: Float[np.ndarray, "p p p"]) -> float:
    return float(losses(changed).mean())


def _block_part(array: Float[np.ndarray, "p p n"], k: int) -> Float[np.ndarray, "p p n"]:
    """Projection on block k of the pairs, constant left out."""
    rows = fourier_basis(len(array))[block(int(k))]
    parts = np.einsum("xa,yb,abn->xyn", rows, rows, array, optimize=True)
    parts[0, 0] = 0.0
    return np.asarray(np.einsum("xa,yb,xyn->abn", rows, rows, parts, optimize=True))
