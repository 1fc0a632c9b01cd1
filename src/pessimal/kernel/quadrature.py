r"""The MLP of modular addition as numerical integration, with bounds of its error.

Neuron i reads the wave $q_i$ and writes the wave $\gamma_i$, complex numbers $|q_i|e^{i\phi_i}$ and
$|\gamma_i|e^{i\psi_i}$: at one frequency its pre-activation on tokens with angles A and B is
$\mathrm{Re}\,q_i(e^{iA}+e^{iB}) = 2\cos\tfrac{A-B}2\,|q_i|\cos(u+\phi_i)$, $u = \tfrac{A+B}2$, and it adds
$\mathrm{Re}\,\gamma_ie^{iv}$ times its activation to the logit of the output with angle v. With
$\mathrm{ReLU}(x) = x/2 + |x|/2$ the neurons together write $2|\cos\tfrac{A-B}2|$ times $\mathrm{Re}\,e^{iv}$ times

$$ \tfrac12F(u) \pm \tfrac12I(u),\qquad F = \sum_i|q_i||\cos(u+\phi_i)|\gamma_i,\quad
   I = \sum_i|q_i|\cos(u+\phi_i)\gamma_i . $$

Were $\psi_i = 2\phi_i$ and the phases spread evenly with weights $w_i = |q_i||\gamma_i|$, $S = \sum w_i$, both would be
integrals: $\tfrac S\pi\int_0^\pi|\cos(u+t)|e^{2it}dt = \tfrac{2S}{3\pi}e^{-2iu}$, the cosine of v - 2u = v - A - B, and
$\tfrac S{2\pi}\int_0^{2\pi}\cos(u+t)e^{2it}dt = 0$. For all u,

$$ \bigl|F(u) - \tfrac{2S}{3\pi}e^{-2iu}\bigr| \le \texttt{absolute},\qquad |I(u)| \le \texttt{identity}. $$

Moment form. $|\cos x| = \tfrac2\pi + \tfrac4\pi\sum_{m\ge1}\frac{(-1)^{m+1}}{4m^2-1}\cos2mx$. With
$P_m = \sum|q_i|\gamma_ie^{2im\phi_i}$ and $N_m = \sum|q_i|\gamma_ie^{-2im\phi_i}$,

$$ \texttt{absolute} = \tfrac2\pi|P_0| + \tfrac2{3\pi}\bigl(|N_1-S|+|P_1|\bigr)
   + \sum_{m=2}^M\frac{2(|P_m|+|N_m|)}{\pi(4m^2-1)} + \text{tail}; $$

the harmonics beyond M add to the number that neuron i writes at most
$|q_i|\tfrac4\pi\sum_{m>M}\frac1{4m^2-1} = \frac{2|q_i|}{\pi(2M+1)}$ (it telescopes), so the tail is `spread` of these.
`identity` is $\tfrac12|\sum q_i\gamma_i| + \tfrac12|\sum\bar q_i\gamma_i|$.

Box form. Neuron i stands at a node $t_i$ (a hint) and stands for a box as wide as its share $w_i/S$ of the half
circle; boxes lie side by side from an offset on, in any order. $\mathrm{Re}\,e^{iv}|\cos(u+t)|e^{2it}$ changes by at
most 2 per unit of t (its derivative is $\pm\sin\cos$ less $2\cos\sin$ of independent angles), so the sum over nodes is
within $\tfrac S\pi\sum_i\int_{box_i}2|t-t_i|dt$ of the integral. That the waves are not those of the node costs
$|\gamma_i||\mathrm{Im}(\bar q_ie^{it_i})| + |q_i|\bigl|\gamma_i-|\gamma_i|e^{2it_i}\bigr|$ each, because
$||\cos x|-|\cos y|| \le |\sin(x-y)|$. `identity` likewise over the full circle, where the first cost is
$|\gamma_i|\bigl|q_i-|q_i|e^{it_i}\bigr|$.

Soundness: for all waves, nodes, orders and offsets.
Cost: about 18 operations per neuron and harmonic; about 40 per neuron for boxes.
Source: Yip, Agrawal, Chan, Gross 2024 (box form; constants derived here); the moment form is new (specification
    `modular-and-groups.md` A.5, `modular-addition-certificates.md` 7).

Contents:
    Waves — what the neurons of one frequency read and write.
    Boxes — hints of the box form.
    Form — a bound.
    moment_form, box_form — the two.
    spread — how far a sum of arrows with unknown lengths reaches in any direction.
    root_above — square roots from above.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.trigonometry import circle, pi


@dataclass(frozen=True)
class Waves:
    """What the neurons of one frequency read and write.

    Attributes:
        read: q, real and imaginary part, `[2, n]`.
        write: gamma, real and imaginary part, `[2, n]`.
    """

    read: AbstractEnclosure
    write: AbstractEnclosure


@dataclass(frozen=True)
class Boxes:
    """Hints of the box form.

    Attributes:
        order: which neuron has which box, a permutation, `[n]`.
        nodes: by box, in units of the period over `grid`; any integers, `[n]`.
        offset: where the first box begins, in the same units.
        grid: nodes per period.
    """

    order: Int[np.ndarray, " n"]
    nodes: Int[np.ndarray, " n"]
    offset: int
    grid: int


@dataclass(frozen=True)
class Form:
    """A bound: of F less its integral, and of I; `weight` is S. All of shape ()."""

    weight: AbstractEnclosure
    absolute: AbstractEnclosure
    identity: AbstractEnclosure

    def signal(self, arith: AbstractArithmetic) -> AbstractEnclosure:
        """2 S / (3 pi), the size of the integral."""
        return self.weight * arith.fraction(Fraction(2, 3)) / pi(arith)

    def relative(self, arith: AbstractArithmetic) -> AbstractEnclosure:
        """The error of the whole ReLU over the signal; 1 is vacuous."""
        return (self.absolute + self.identity) / self.signal(arith)


def root_above(square: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """A little more than the square root of a number that is not negative, whatever its enclosure says."""
    # SOUND: the true number is its own absolute value; 2**-80 keeps the root away from zero.
    return (square.absolute() + arith.fraction(Fraction(1, 2**80))).sqrt()


def _size(x: AbstractEnclosure, y: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """No less than |x + iy|."""
    return root_above(x * x + y * y, arith)


def spread(
    weight: AbstractEnclosure, x: AbstractEnclosure, y: AbstractEnclosure, arith: AbstractArithmetic
) -> AbstractEnclosure:
    r"""A bound of $|\sum_i t_ig_i|$ for all $|t_i| \le d_i$, along the last axis of d.

    In a direction u the sum is at most $\sum_id_i|g_i\cdot u|$, and for any $s_i > 0$, by Cauchy and Schwarz,
    $(\sum_id_i|g_i\cdot u|)^2 \le \sum_id_is_i\;u^\top\bigl(\sum_i\tfrac{d_i}{s_i}g_ig_i^\top\bigr)u$, at most the
    first sum times the larger eigenvalue of the two by two matrix. Here $s_i$ is a little more than $|g_i|$.

    Args:
        weight: d, not negative, `[n]` or `[rows, n]`.
        x: first components of the arrows g, `[n]`.
        y: second components.
        arith: the arithmetic.
    """
    s = _size(x, y, arith)
    xx, yy, xy = x * x / s, y * y / s, x * y / s
    total, first, second, mixed = ((weight * one).sum(-1) for one in (s, xx, yy, xy))
    largest = (first + second + _size(first - second, mixed + mixed, arith)) * arith.fraction(Fraction(1, 2))
    return root_above(total * largest, arith)


def moment_form(waves: Waves, terms: int, arith: AbstractArithmetic) -> Form:
    """The bound by `terms` = M >= 1 moments."""
    (qx, qy), (gx, gy) = ((one[0], one[1]) for one in (waves.read, waves.write))
    square = qx * qx + qy * qy
    size = square.sqrt()
    # e^{2 i phi} = q^2 / |q|^2; lost for a neuron that reads nothing.
    cos, sin = (qx * qx - qy * qy) / square, (qx * qy + qx * qy) / square
    x, y = size * gx, size * gy
    total = _size(x.sum(0), y.sum(0), arith) * arith.fraction(Fraction(2))
    weight = (size * (gx * gx + gy * gy).absolute().sqrt()).sum(0)
    c, s = cos, sin
    for m in range(1, terms + 1):
        xc, ys, xs, yc = x * c, y * s, x * s, y * c
        along = (xc + ys).sum(0)
        both = _size((xc - ys).sum(0), (xs + yc).sum(0), arith) + _size(
            along - weight if m == 1 else along, (yc - xs).sum(0), arith
        )
        total = total + both * arith.fraction(Fraction(2, 4 * m * m - 1))
        if m < terms:
            c, s = c * cos - s * sin, s * cos + c * sin
    total = total + spread(size * arith.fraction(Fraction(2, 2 * terms + 1)), gx, gy, arith)
    half = arith.fraction(Fraction(1, 2))
    straight = _size((qx * gx - qy * gy).sum(0), (qx * gy + qy * gx).sum(0), arith)
    turned = _size((qx * gx + qy * gy).sum(0), (qx * gy - qy * gx).sum(0), arith)
    return Form(weight, total / pi(arith), (straight + turned) * half)


def box_form(waves: Waves, half: Boxes, full: Boxes, arith: AbstractArithmetic) -> Form:
    """The bound by boxes on the half circle for F and on the full circle for I."""
    square = (waves.read * waves.read).sum(0), (waves.write * waves.write).sum(0)
    size, height = (one.absolute().sqrt() for one in square)
    weight = size * height
    total = weight.sum(0)
    turn, four = pi(arith), arith.fraction(Fraction(4))
    # 2 (S / period) distance period^2, distance in units of the period.
    absolute = _distance(weight, total, half, arith) * total * turn * arith.fraction(Fraction(2))
    identity = _distance(weight, total, full, arith) * total * turn * four
    absolute = absolute + _misplaced(waves, size, height, half, arith, halves=True)
    return Form(total, absolute, identity + _misplaced(waves, size, height, full, arith, halves=False))


def _distance(
    weight: AbstractEnclosure, total: AbstractEnclosure, boxes: Boxes, arith: AbstractArithmetic
) -> AbstractEnclosure:
    """The integral over every box of the distance to its node, summed; the period is 1."""
    unit = arith.fraction(Fraction(1, boxes.grid))
    end = (weight[boxes.order] / total).cumulative_sum(0) + arith.fraction(Fraction(boxes.offset, boxes.grid))
    first = arith.fraction(Fraction(boxes.offset, boxes.grid)).reshape(1)
    begin = arith.concatenate([first, end[:-1]], axis=0)
    node = arith.integers(boxes.nodes).enclose() * unit
    after, before = end - node, begin - node
    # The antiderivative of |t| is t |t| / 2.
    return (after * after.absolute() - before * before.absolute()).sum(0) * arith.fraction(Fraction(1, 2))


def _misplaced(
    waves: Waves,
    size: AbstractEnclosure,
    height: AbstractEnclosure,
    boxes: Boxes,
    arith: AbstractArithmetic,
    *,
    halves: bool,
) -> AbstractEnclosure:
    """What it costs that the waves are not those of their nodes."""
    turns = 2 * boxes.grid if halves else boxes.grid
    cosines, sines = circle(turns, arith)
    node = np.empty_like(boxes.nodes)
    node[boxes.order] = boxes.nodes % turns
    cos, sin = cosines[node], sines[node]
    twice, twice_sin = cosines[2 * node % turns], sines[2 * node % turns]
    (qx, qy), (gx, gy) = ((one[0], one[1]) for one in (waves.read, waves.write))
    off = (qx * sin - qy * cos).absolute() if halves else _size(qx - size * cos, qy - size * sin, arith)
    turned = _size(gx - height * twice, gy - height * twice_sin, arith)
    return (off * height + size * turned).sum(0)
