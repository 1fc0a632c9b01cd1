r"""A sum over the neurons of one frequency as a quadrature of an integral.

Neuron i with phase $\phi_i$, output phase $\psi_i$ and weight $w_i = r_is_i/\sum rs$ is one rectangle of

$$\int_{-\pi}^{\pi}\mathrm{ReLU}[\cos(u+\phi)]\cos(v+2\phi)\,d\phi = \tfrac23\cos(2u-v), \qquad
u = \tfrac\theta2 k(a+b),\; v = \theta kc .$$

$\mathrm{ReLU}(x) = x/2+|x|/2$: the x/2 half integrates to 0, the |x|/2 half is pi-periodic and carries the signal.
All errors are sups over u and v, divided by the signal 2/3, in float64 and not rounded outward; 1 is vacuous.

Contents:
    sup_error — the error itself.
    box_bound_abs, box_bound_identity, angle_term — the box form: every neuron a rectangle as wide as its weight.
    moment_bound — by Fourier moments of the phases.
    Boxes, boxes — the rectangles.

References:
    Yip, Agrawal, Chan, Gross 2024, arXiv 2412.03773 (neurons as rectangles). The constants are derived here.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float

SIGNAL = 2 / 3
GRID = 4096
BISECTIONS = 80


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

    order: Float[np.ndarray, " n"]
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
    r"""Bound of the |x|/2 half: $\tfrac12|\cos(u+\phi)|\cos(v+2\phi)$ has slope at most 1 and period pi, twice over."""
    return 2 * boxes(phi, weight, np.pi).distance / SIGNAL


def box_bound_identity(phi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"]) -> float:
    r"""Bound of the x/2 half: $\tfrac12\cos(u+\phi)\cos(v+2\phi)$ has slope at most 1 over the full circle."""
    return boxes(phi, weight, 2 * np.pi).distance / SIGNAL


def angle_term(phi: Float[np.ndarray, " n"], psi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"]) -> float:
    r"""What $\psi\ne2\phi$ adds to a box bound: $2\pi\sum_iw_i\,2|\sin((\psi_i-2\phi_i)/2)|$ over 2/3."""
    return float(4 * np.pi * weight @ np.abs(np.sin((psi - 2 * phi) / 2)) / SIGNAL)


def moment_bound(
    phi: Float[np.ndarray, " n"], psi: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"], order: int
) -> float:
    r"""Bound by Fourier moments, with the true output phases.

    With $|\cos x| = \tfrac2\pi+\tfrac4\pi\sum_{m\ge1}(-1)^{m+1}\cos(2mx)/(4m^2-1)$,
    $A_m = \sum_iw_ie^{i(2m\phi_i-\psi_i)}$, $B_m = \sum_iw_ie^{i(2m\phi_i+\psi_i)}$ and
    $C_\pm = \sum_iw_ie^{i(\phi_i\pm\psi_i)}$ the error is at most

    $$2|A_0| + \tfrac23|A_1-1| + \sum_{m=2}^M\frac{2|A_m|}{4m^2-1} + \sum_{m=1}^M\frac{2|B_m|}{4m^2-1}
    + \tfrac\pi2(|C_+|+|C_-|) + \frac2{2M+1}\sqrt{\tfrac12(1+|\textstyle\sum_iw_ie^{2i\psi_i}|)} .$$

    The last term is what the harmonics beyond M can add: their sum telescopes, and
    $\sum_iw_i|\cos(v+\psi_i)|$ is at most the root (Cauchy-Schwarz).

    Args:
        phi: as in `sup_error`.
        psi: as in `sup_error`.
        weight: as in `sup_error`.
        order: M.

    Cost: O(M n).
    """
    m = np.arange(order + 1)

    def moments(sign: int) -> Complex[np.ndarray, " orders"]:
        return np.asarray(np.exp(1j * (2 * np.outer(m, phi) + sign * psi)) @ weight)

    A, B = np.abs(moments(-1)), np.abs(moments(1))
    denominator = 4.0 * m**2 - 1
    C = sum(abs(np.exp(1j * (phi + sign * psi)) @ weight) for sign in (1, -1))
    total = 2 * A[0] + SIGNAL * abs(moments(-1)[1] - 1)
    total += np.sum(2 * A[2:] / denominator[2:]) + np.sum(2 * B[1:] / denominator[1:]) + np.pi / 2 * C
    tail = np.sqrt((1 + abs(np.exp(2j * psi) @ weight)) / 2)
    return float((total + 2 / (2 * order + 1) * tail) / SIGNAL)
