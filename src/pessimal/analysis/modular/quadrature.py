r"""A sum over the neurons of one frequency as a quadrature of an integral.

Neuron i with phase $\phi_i$, output phase $\psi_i$ and weight $w_i = r_is_i/\sum rs$ is one rectangle of

$$\int_{-\pi}^{\pi}\mathrm{ReLU}[\cos(u+\phi)]\cos(v+2\phi)\,d\phi = \tfrac23\cos(2u-v), \qquad
u = \tfrac\theta2 k(a+b),\; v = \theta kc .$$

$\mathrm{ReLU}(x) = x/2+|x|/2$: the x/2 half integrates to 0, the |x|/2 half is pi-periodic and carries the signal.
All errors are sups over u and v, divided by the signal 2/3; 1 is vacuous. The bounds are those of
`pessimal.kernel.rules.modular.quadrature` and of `identity.py`, rounded outward, of the waves with these float64
phases and weights.

Contents:
    sup_error — the error itself.
    box_bound_abs, box_bound_identity, angle_term — the box form: every neuron a rectangle as wide as its weight.
    moment_bound — by Fourier moments of the phases.
    Boxes, boxes — the rectangles.

References:
    Yip, Agrawal, Chan, Gross 2024, arXiv 2412.03773 (neurons as rectangles). The constants are derived here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pessimal.analysis.modular.identity import box_identity, moment_identity
from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.rules.modular.quadrature import Intervals as Laid
from pessimal.kernel.rules.modular.quadrature import (
    Waves,
    interval_absolute,
    moment_absolute,
    signal_of,
    weight_of,
)

SIGNAL = 2 / 3
GRID = 4096
BISECTIONS = 80
# Nodes per period of the proved box form.
NODES = 1 << 12


def sup_error(
    phi: Float[np.ndarray, " n"], psi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"], grid: int = GRID
) -> float:
    r"""$\sup_{u,v}|2\pi\sum_iw_i\mathrm{ReLU}[\cos(u+\phi_i)]\cos(v+\psi_i)-\tfrac23\cos(2u-v)|$ over 2/3.

    In v the sup is exact: the sum is $\mathrm{Re}\,e^{iv}z(u)$ and the error $|z(u)-\tfrac23e^{-2iu}|$. In u it is the
    largest of `grid` points, so a lower bound.

    Args:
        phi: phases of the neurons, radians.
        psi: phases of what they write; `2 * phi` for the error of the phases alone.
        weight: not negative, summing to 1.
        grid: points in u.
    """
    u = 2 * np.pi / grid * np.arange(grid)
    z = 2 * np.pi * np.maximum(np.cos(u[:, np.newaxis] + phi), 0.0) @ (weight * np.exp(1j * psi))
    return float(np.abs(z - SIGNAL * np.exp(-2j * u)).max() / SIGNAL)


@dataclass(frozen=True)
class Boxes:
    """Rectangles side by side, in the order of their nodes.

    Attributes:
        order: which neuron each one is.
        nodes: phases modulo the period, rising, radians.
        edges: one more than nodes; rectangle j reaches from edge j to edge j + 1.
        distance: the integral over every rectangle of the distance to its node, summed.
    """

    order: Int[np.ndarray, " n"]
    nodes: Float[np.ndarray, " n"]
    edges: Float[np.ndarray, " boxes"]
    distance: float


def boxes(phi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"], period: float) -> Boxes:
    r"""Rectangles of widths period * weight, laid side by side where they are nearest to their nodes.

    $\sum_j\int_{t_{j}+t}^{t_{j+1}+t}|\phi-\phi_j|\,d\phi$ is convex in the offset t; its slope
    $\sum_j|b_j+t|-|a_j+t|$ is bisected.
    """
    order = np.argsort(phi % period, kind="stable")
    nodes = (phi % period)[order]
    edges = np.concatenate([[0.0], np.cumsum(period * weight[order])])
    begin, end = edges[:-1] - nodes, edges[1:] - nodes
    low, high = -2 * period, 2 * period
    for _ in range(BISECTIONS):
        t = (low + high) / 2
        low, high = (low, t) if np.sum(np.abs(end + t) - np.abs(begin + t)) > 0 else (t, high)
    begin, end = begin + high, end + high
    distance = float(np.sum(end * np.abs(end) - begin * np.abs(begin)) / 2)
    return Boxes(order, nodes, edges + high, distance)


def box_bound_abs(phi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"]) -> float:
    """Bound of the |x|/2 half by boxes over the half circle, of neurons that write twice their phase."""
    waves, laid = _waves(phi, 2 * phi, weight), _laid(phi, weight, np.pi)
    return _over_signal(waves, lambda arith: interval_absolute(waves(arith), laid, arith))


def box_bound_identity(phi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"]) -> float:
    """Bound of the x/2 half by boxes over the full circle, of neurons that write twice their phase."""
    waves, laid = _waves(phi, 2 * phi, weight), _laid(phi, weight, 2 * np.pi)
    return _over_signal(waves, lambda arith: box_identity(waves(arith), laid, arith))


def angle_term(phi: Float[np.ndarray, " n"], psi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"]) -> float:
    r"""What $\psi\ne2\phi$ adds to a box bound: $2\pi\sum_iw_i\,2|\sin((\psi_i-2\phi_i)/2)|$ over 2/3."""
    return float(4 * np.pi * weight @ np.abs(np.sin((psi - 2 * phi) / 2)) / SIGNAL)


def moment_bound(
    phi: Float[np.ndarray, " n"], psi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"], order: int
) -> float:
    """Bound of both halves by Fourier moments, with the true output phases.

    Args:
        phi: as in `sup_error`.
        psi: as in `sup_error`.
        weight: as in `sup_error`.
        order: M, the last harmonic that is evaluated.

    Cost: O(M n).
    """
    waves = _waves(phi, psi, weight)

    def error(arith: AbstractArithmetic) -> AbstractEnclosure:
        return moment_absolute(waves(arith), order, arith) + moment_identity(waves(arith))

    return _over_signal(waves, error)


def _waves(
    phi: Float[np.ndarray, " n"], psi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"]
) -> Callable[[AbstractArithmetic], Waves]:
    """The neurons that weigh something."""
    some = weight > 0
    read, write = weight[some] * np.exp(1j * phi[some]), np.exp(1j * psi[some])

    def waves(arith: AbstractArithmetic) -> Waves:
        return Waves(*(arith.matrix(np.stack([one.real, one.imag])).enclose() for one in (read, write)))

    return waves


def _laid(phi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"], period: float) -> Laid:
    """`boxes` on the kernel's grid."""
    some = weight > 0
    laid = boxes(phi[some], weight[some], period)
    nodes = np.rint(laid.nodes / period * NODES).astype(np.int64)
    return Laid(laid.order, nodes, int(np.rint(laid.edges[0] / period * NODES)), NODES)


def _over_signal(
    waves: Callable[[AbstractArithmetic], Waves], error: Callable[[AbstractArithmetic], AbstractEnclosure]
) -> float:
    """Upper end of an error over the signal."""
    arith = Float64Arithmetic()
    with arith.running():
        return float((error(arith) / signal_of(weight_of(waves(arith)), arith)).bounds()[1])
