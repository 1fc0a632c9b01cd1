r"""The circuit matrices of one model, rounded for drawing, and the spectrum of its QK circuit.

Contents:
    circuit_record — one JSON-able dictionary per model and head.
    rounded — a number as it stands in a record.

References:
    Gross et al. 2024: $\sigma_1/\sigma_2$ of EQKE measures how well one "size direction" explains attention.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from pessimal.circuits import EQKE, EQKP, EU, EVOU, PVOU
from pessimal.spec import Weights

FORMAT = "pessimal-circuits/1"
SIGNIFICANT_DIGITS = 4


def circuit_record(weights: Weights, head: int = 0) -> dict[str, Any]:
    r"""The five circuit matrices of one head, rounded, with sizes and the spectrum of EQKE.

    Args:
        weights: the model; LayerNorms are left out of the matrices, and the record says whether it has any.
        head: which head.

    Returns:
        A dictionary of numbers, strings and lists: `format`, `weights_sha256`, `head`, `layer_norm`,
        `attn_scale`, `sizes` (name to int), `matrices` (EQKE and EQKP in attention scores before the scale,
        EVOU, PVOU and EU in logits; lists of rows, 4 significant digits, null where a product overflowed),
        `singular_values` (of EQKE, as many as its rank can be, descending, attention scores) and
        `sigma1_over_sigma2` (null where $\sigma_2$ is zero or absent).
    """
    shape = weights.architecture.shape
    # An overflow is no error here: its entries are written as null.
    with np.errstate(over="ignore", invalid="ignore"):
        matrices = {
            "EQKE": EQKE(weights, head),
            "EQKP": EQKP(weights, head),
            "EVOU": EVOU(weights, head),
            "PVOU": PVOU(weights, head),
            "EU": EU(weights),
        }
    spectrum = _singular_values(matrices["EQKE"])[: shape.d_head]
    ratio = spectrum[0] / spectrum[1] if len(spectrum) > 1 and spectrum[1] > 0 else math.nan
    return {
        "format": FORMAT,
        "weights_sha256": weights.sha256,
        "head": head,
        "layer_norm": bool(weights.architecture.ln1 or weights.architecture.ln_final),
        "attn_scale": weights.architecture.attn_scale,
        "sizes": {
            "k": shape.k,
            "d_vocab": shape.d_vocab,
            "d_vocab_out": shape.d_vocab_out,
            "d_model": shape.d_model,
            "d_head": shape.d_head,
            "n_heads": shape.n_heads,
        },
        "matrices": {name: [[rounded(x) for x in row] for row in m.tolist()] for name, m in matrices.items()},
        "singular_values": [rounded(x) for x in spectrum],
        "sigma1_over_sigma2": rounded(ratio),
    }


def _singular_values(matrix: Float[np.ndarray, "rows cols"]) -> list[float]:
    """Singular values, descending, in the units of the matrix; none if an entry is not finite."""
    if not np.isfinite(matrix).all():
        return []
    return [float(x) for x in np.linalg.svd(matrix, compute_uv=False)]


def rounded(x: float) -> float | None:
    """Round to `SIGNIFICANT_DIGITS`; None for what JSON cannot hold."""
    return float(f"{x:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(x) else None
