"""What the report draws of a model of modular addition, rounded as circuit records are.

Contents:
    drawn — circles, quadrature nodes, spectra, logits against the class.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from pessimal.analysis.circuits import rounded
from pessimal.analysis.modular.logits import Form, sums
from pessimal.analysis.modular.quadrature import boxes
from pessimal.circuits.modular.tables import Neurons, embedding
from pessimal.circuits.modular.waves import ModularError, powers
from pessimal.spec import Weights

CURVE_POINTS = 181


def drawn(
    weights: Weights,
    out: Float[np.ndarray, "d_mlp p"],
    neurons: Neurons | None,
    logits: Float[np.ndarray, "p p p"],
    clock: Form,
    *,
    keys: Sequence[int],
    shown: Sequence[int],
) -> dict[str, Any]:
    """Numbers for the plots.

    Args:
        weights: the model.
        out: G.
        neurons: phases, where attention is uniform.
        logits: of all pairs, centred over classes.
        clock: the clock form of the logits.
        keys: frequencies of the form.
        shown: frequencies whose circles and neurons are drawn.

    Returns:
        `embedding_spectrum`, `output_spectrum` (shares of energy, frequency 1 first), `circles` (`k`, `x`, `y` by
        token), `quadratures` (`k`, `nodes`, `edges`, `heights` of the rectangles, `curve_x`, `curve_y` of the
        integrand), `logits` (by class minus sum, mod p: `mean`, `low`, `high` over inputs, `fitted`).
    """
    return {
        "embedding_spectrum": _spectrum(embedding(weights)),
        "output_spectrum": _spectrum(out.T),
        "circles": [_circle(embedding(weights), k) for k in shown],
        "quadratures": [] if neurons is None else [_quadrature(neurons, k) for k in shown if len(neurons.of(k))],
        "logits": _logit_curve(logits, clock, keys),
    }


def _list(array: Float[np.ndarray, " n"]) -> list[float | None]:
    return [rounded(float(x)) for x in array]


def _spectrum(table: Float[np.ndarray, "p n"]) -> list[float | None]:
    """Shares of energy; none of them where the table is constant."""
    try:
        return _list(powers(table))
    except ModularError:
        return [None] * (len(table) // 2)


def _circle(rows: Float[np.ndarray, "p d_model"], k: int) -> dict[str, Any]:
    """Rows of the embedding along the directions in which cos and sin of frequency k are written, residual units."""
    angle = 2 * np.pi / len(rows) * k * np.arange(len(rows))
    directions = np.stack([np.cos(angle), np.sin(angle)]) @ rows
    length = np.linalg.norm(directions, axis=1)
    x, y = (
        np.divide(directions, length[:, np.newaxis], where=length[:, np.newaxis] > 0, out=directions * 0)
        @ (rows - rows.mean(0)).T
    )
    return {"k": k, "x": _list(x), "y": _list(y)}


def _quadrature(neurons: Neurons, k: int) -> dict[str, Any]:
    r"""Rectangles of the pi-periodic half at u = v = 0: height $|\cos\phi_i|\cos\psi_i$ under $|\cos\phi|\cos2\phi$."""
    mine = neurons.of(k)
    weight = (neurons.r * neurons.s)[mine]
    laid = boxes(neurons.phi[mine], weight / weight.sum(), np.pi)
    height = np.abs(np.cos(neurons.phi[mine])) * np.cos(neurons.psi[mine])
    x = np.linspace(laid.edges[0], laid.edges[-1], CURVE_POINTS)
    return {
        "k": k,
        "nodes": _list(laid.nodes),
        "edges": _list(laid.edges),
        "heights": _list(height[laid.order]),
        "curve_x": _list(x),
        "curve_y": _list(np.abs(np.cos(x)) * np.cos(2 * x)),
    }


def _logit_curve(logits: Float[np.ndarray, "p p p"], clock: Form, keys: Sequence[int]) -> dict[str, Any]:
    """Logits against e = c - (a + b) mod p, and the clock form."""
    p = len(logits)
    shifted = np.take_along_axis(logits, (sums(p)[..., np.newaxis] + np.arange(p)) % p, -1).reshape(-1, p)
    fitted = np.cos(2 * np.pi / p * np.outer(np.arange(p), keys)) @ clock.coefficients
    return {
        "mean": _list(shifted.mean(0)),
        "low": _list(shifted.min(0)),
        "high": _list(shifted.max(0)),
        "fitted": _list(fitted),
    }
