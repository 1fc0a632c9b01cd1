"""Circuit files as heat maps.

Contents:
    maps_of — what the page's script draws for one model.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from pessimal.report.numbers import nearest
from pessimal.report.results import ReportError

NAMES = ("EQKE", "EQKP", "EVOU", "PVOU", "EU")
MAX_SIDE = 128
SIGNIFICANT_DIGITS = 3


def maps_of(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Heat maps and spectrum of one circuit file, small enough to inline.

    Args:
        record: what `analysis.circuit_record` wrote.
        where: name of the file for messages.

    Returns:
        `maps` (name to `z` rows, `step` of rows and columns, `limit` of the colours), `singular_values`,
        `ratio`, `sizes`, `layer_norm`, `head` (None for a model of one head).

    Raises:
        ReportError: the file does not hold what it should.
    """
    matrices, sizes, spectrum = (record.get(key) for key in ("matrices", "sizes", "singular_values"))
    ratio = record.get("sigma1_over_sigma2")
    if not isinstance(matrices, dict) or not isinstance(sizes, dict) or not isinstance(spectrum, list):
        raise ReportError(f"{where}: a circuit file holds matrices, sizes and singular_values")
    numbers = [*sizes.values(), *(x for x in [*spectrum, ratio] if x is not None)]
    if not all(isinstance(x, int | float) for x in numbers):
        raise ReportError(f"{where}: sizes and singular values are numbers")
    return {
        "maps": {name: _map(_matrix(matrices.get(name), f"{where}: {name}")) for name in NAMES},
        "singular_values": spectrum,
        "ratio": ratio,
        "sizes": {str(name): size for name, size in sizes.items()},
        "layer_norm": record.get("layer_norm") is True,
        "head": record.get("head") if sizes.get("n_heads", 1) != 1 else None,
    }


def _matrix(rows: object, where: str) -> Float[np.ndarray, "rows cols"]:
    """A matrix from a list of rows; null entries become NaN."""
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        raise ReportError(f"{where} is not a matrix of numbers") from None
    if matrix.ndim != 2 or matrix.size == 0:
        raise ReportError(f"{where} is not a matrix of numbers")
    return matrix


def _map(matrix: Float[np.ndarray, "rows cols"]) -> dict[str, Any]:
    """Rows rounded for drawing; sides above `MAX_SIDE` are averaged over blocks."""
    steps = [-(-side // MAX_SIDE) for side in matrix.shape]
    for axis, step in enumerate(steps):
        starts = np.arange(0, matrix.shape[axis], step)
        sizes = np.diff([*starts, matrix.shape[axis]])
        sums = np.add.reduceat(matrix, starts, axis=axis)
        matrix = sums / (sizes[:, np.newaxis] if axis == 0 else sizes)
    rounded = [
        [float(nearest(x, f".{SIGNIFICANT_DIGITS}g")) if np.isfinite(x) else None for x in row]
        for row in matrix.tolist()
    ]
    limit = max((abs(x) for row in rounded for x in row if x is not None), default=0.0)
    return {"z": rounded, "step": steps, "limit": limit or 1.0}
