r"""The x/2 half of ReLU in the quadrature of `pessimal.kernel.rules.modular.quadrature`, whose notation is used here.

Theorem. $I = \sum_i|q_i|\cos(u+\phi_i)\gamma_i$ has $|I(u)| \le \texttt{identity}$ for all u. Moments:
`identity` is $\tfrac12|\sum q_i\gamma_i| + \tfrac12|\sum\bar q_i\gamma_i|$. Boxes: as there, over the full circle,
where the cost of a wave that is not that of its node is $|\gamma_i|\bigl|q_i-|q_i|e^{it_i}\bigr|$. No rule needs it:
the half is linear in the pre-activations, and evaluated exactly.

*Proof.* $|q_i|\cos(u+\phi_i)$ is half of $q_ie^{iu}$ and its conjugate, which gives the moments. Over the full circle
$\cos(u+t)e^{2it}$ has integral 0, and in every direction a slope of at most 2; the rest is as in
`docs/modular-addition.md#quadrature`, with $\bigl||q_i|\cos(u+\phi_i)-|q_i|\cos(u+t_i)\bigr| \le
\bigl|q_i-|q_i|e^{it_i}\bigr|$. ∎

Contents:
    moment_identity, box_identity — the bounds.
"""

from fractions import Fraction

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.arithmetic.trigonometry import pi
from pessimal.kernel.rules.modular.quadrature import (
    Intervals,
    Waves,
    at_nodes,
    interval_distance,
    moduli,
    modulus,
    off_harmonic,
)


def moment_identity(waves: Waves) -> AbstractEnclosure:
    """`identity` by two sums, shape ()."""
    (qx, qy), (gx, gy) = ((one[0], one[1]) for one in (waves.read, waves.write))
    straight = modulus((qx * gx - qy * gy).sum(0), (qx * gy + qy * gx).sum(0))
    turned = modulus((qx * gx + qy * gy).sum(0), (qx * gy - qy * gx).sum(0))
    return (straight + turned) * Fraction(1, 2)


def box_identity(waves: Waves, boxes: Intervals, arith: AbstractArithmetic) -> AbstractEnclosure:
    """`identity` by boxes on the full circle: the period is 2 pi, shape ()."""
    size, height = moduli(waves)
    cos, sin = at_nodes(boxes, boxes.grid, 1, arith)
    off = (modulus(waves.read[0] - size * cos, waves.read[1] - size * sin) * height).sum(0)
    # 2 (S / 2 pi) times a distance in units of the period times (2 pi)^2.
    laid = interval_distance(size * height, boxes, arith) * pi(arith) * 4
    return laid + off + off_harmonic(waves, size, height, at_nodes(boxes, boxes.grid, 2, arith))
