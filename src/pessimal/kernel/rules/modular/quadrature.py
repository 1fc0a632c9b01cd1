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
    weight_of, signal_of — S and the size of the integral.
    moment_absolute, moment_identity, box_absolute, box_identity — the bounds.
    spread — how far a sum of arrows with unknown lengths reaches in any direction.
    root_above — square roots from above.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.arithmetic.trigonometry import circle, pi


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


def _sizes(waves: Waves) -> tuple[AbstractEnclosure, AbstractEnclosure]:
    """|q| and |gamma|, `[n]` each."""
    read, write = ((one * one).sum(0).absolute().sqrt() for one in (waves.read, waves.write))
    return read, write


def weight_of(waves: Waves) -> AbstractEnclosure:
    """S, shape ()."""
    read, write = _sizes(waves)
    return (read * write).sum(0)


def signal_of(weight: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """2 S / (3 pi)."""
    return weight * arith.fraction(Fraction(2, 3)) / pi(arith)


def moment_absolute(waves: Waves, terms: int, arith: AbstractArithmetic) -> AbstractEnclosure:
    """`absolute` by `terms` = M >= 1 moments, shape ()."""
    (qx, qy), (gx, gy) = ((one[0], one[1]) for one in (waves.read, waves.write))
    size, height = _sizes(waves)
    square = qx * qx + qy * qy
    # e^{2 i phi} = q^2 / |q|^2; lost for a neuron that reads nothing.
    cos, sin = (qx * qx - qy * qy) / square, (qx * qy + qx * qy) / square
    x, y = size * gx, size * gy
    total = _size(x.sum(0), y.sum(0), arith) * arith.fraction(Fraction(2))
    c, s = cos, sin
    for m in range(1, terms + 1):
        xc, ys, xs, yc = x * c, y * s, x * s, y * c
        along = (xc + ys).sum(0)
        along = along - (size * height).sum(0) if m == 1 else along
        both = _size((xc - ys).sum(0), (xs + yc).sum(0), arith) + _size(along, (yc - xs).sum(0), arith)
        total = total + both * arith.fraction(Fraction(2, 4 * m * m - 1))
        if m < terms:
            c, s = c * cos - s * sin, s * cos + c * sin
    total = total + spread(size * arith.fraction(Fraction(2, 2 * terms + 1)), gx, gy, arith)
    return total / pi(arith)


def moment_identity(waves: Waves, arith: AbstractArithmetic) -> AbstractEnclosure:
    """`identity` by two sums, shape ()."""
    (qx, qy), (gx, gy) = ((one[0], one[1]) for one in (waves.read, waves.write))
    straight = _size((qx * gx - qy * gy).sum(0), (qx * gy + qy * gx).sum(0), arith)
    turned = _size((qx * gx + qy * gy).sum(0), (qx * gy - qy * gx).sum(0), arith)
    return (straight + turned) * arith.fraction(Fraction(1, 2))


def box_absolute(waves: Waves, boxes: Boxes, arith: AbstractArithmetic) -> AbstractEnclosure:
    """`absolute` by boxes on the half circle: the period is pi, shape ()."""
    size, height = _sizes(waves)
    qx, qy = waves.read[0], waves.read[1]
    cos, sin = _nodes(boxes, 2 * boxes.grid, 1, arith)
    off = ((qx * sin - qy * cos).absolute() * height).sum(0)
    # 2 (S / pi) times a distance in units of the period times pi^2.
    laid = _distance(size * height, boxes, arith) * pi(arith) * arith.fraction(Fraction(2))
    return laid + off + _turned(waves, size, height, _nodes(boxes, 2 * boxes.grid, 2, arith), arith)


def box_identity(waves: Waves, boxes: Boxes, arith: AbstractArithmetic) -> AbstractEnclosure:
    """`identity` by boxes on the full circle: the period is 2 pi, shape ()."""
    size, height = _sizes(waves)
    cos, sin = _nodes(boxes, boxes.grid, 1, arith)
    off = (_size(waves.read[0] - size * cos, waves.read[1] - size * sin, arith) * height).sum(0)
    # 2 (S / 2 pi) times a distance in units of the period times (2 pi)^2.
    laid = _distance(size * height, boxes, arith) * pi(arith) * arith.fraction(Fraction(4))
    return laid + off + _turned(waves, size, height, _nodes(boxes, boxes.grid, 2, arith), arith)


def _distance(weight: AbstractEnclosure, boxes: Boxes, arith: AbstractArithmetic) -> AbstractEnclosure:
    """S times the integral over every box of the distance to its node, summed; the period is 1."""
    total, unit = weight.sum(0), arith.fraction(Fraction(1, boxes.grid))
    first = arith.fraction(Fraction(boxes.offset, boxes.grid)).reshape(1)
    end = (weight[boxes.order] / total).cumulative_sum(0) + first
    begin = arith.concatenate([first, end[:-1]], axis=0)
    node = arith.integers(boxes.nodes).enclose() * unit
    after, before = end - node, begin - node
    # The antiderivative of |t| is t |t| / 2.
    twice = (after * after.absolute() - before * before.absolute()).sum(0)
    # SOUND: the last box ends a period after the first begins, up to enclosures that contain the truth.
    return twice * total * arith.fraction(Fraction(1, 2))


def _nodes(
    boxes: Boxes, turn: int, times: int, arith: AbstractArithmetic
) -> tuple[AbstractEnclosure, AbstractEnclosure]:
    """Cosine and sine of a multiple of every neuron's node, where `turn` units are a full circle, `[n]` each."""
    node = np.empty_like(boxes.nodes)
    node[boxes.order] = boxes.nodes % turn * times % turn
    cosines, sines = circle(turn, arith)
    return cosines[node], sines[node]


def _turned(
    waves: Waves,
    size: AbstractEnclosure,
    height: AbstractEnclosure,
    twice: tuple[AbstractEnclosure, AbstractEnclosure],
    arith: AbstractArithmetic,
) -> AbstractEnclosure:
    """What it costs that neurons do not write the wave of twice their node, shape ()."""
    off = _size(waves.write[0] - height * twice[0], waves.write[1] - height * twice[1], arith)
    return (size * off).sum(0)
