r"""The MLP of modular addition as numerical integration, with bounds of its error.

Neurons of one frequency are nodes of an integral whose value is a wave of a + b. Hints are the nodes, or how many
moments are looked at. What is lost is the difference of sum and integral, which `absolute` bounds.

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

$$ \bigl|F(u) - \tfrac{2S}{3\pi}e^{-2iu}\bigr| \le \texttt{absolute} $$

(I is linear in the pre-activations, and evaluated exactly; `pessimal.analysis.modular.identity` bounds it as well).

Moment form. $|\cos x| = \tfrac2\pi + \tfrac4\pi\sum_{m\ge1}\frac{(-1)^{m+1}}{4m^2-1}\cos2mx$. With
$P_m = \sum|q_i|\gamma_ie^{2im\phi_i}$ and $N_m = \sum|q_i|\gamma_ie^{-2im\phi_i}$,

$$ \texttt{absolute} = \tfrac2\pi|P_0| + \tfrac2{3\pi}\bigl(|N_1-S|+|P_1|\bigr)
   + \sum_{m=2}^M\frac{2(|P_m|+|N_m|)}{\pi(4m^2-1)} + \text{tail}; $$

the harmonics beyond M add to the number that neuron i writes at most
$|q_i|\tfrac4\pi\sum_{m>M}\frac1{4m^2-1} = \frac{2|q_i|}{\pi(2M+1)}$ (it telescopes), so the tail is `spread` of these.

Interval form (option word `box`). Neuron i stands at a node $t_i$ (a hint), for an interval as long as its share
$w_i/S$ of the half circle; intervals $B_i$ lie side by side from an offset on, in any order.
$\mathrm{Re}\,e^{iv}|\cos(u+t)|e^{2it}$ changes by at most 2 per unit of t (its derivative is $\pm\sin\cos$ less
$2\cos\sin$ of independent angles), so the sum over nodes is within $\tfrac S\pi\sum_i\int_{B_i}2|t-t_i|dt$ of the
integral. That the waves are not those of the node costs
$|\gamma_i||\mathrm{Im}(\bar q_ie^{it_i})| + |q_i|\bigl|\gamma_i-|\gamma_i|e^{2it_i}\bigr|$ each, because
$||\cos x|-|\cos y|| \le |\sin(x-y)|$.

*Proof.* of `docs/modular-addition.md#quadrature`

Soundness: for all waves, nodes, orders and offsets.
Cost: about 18 operations per neuron and harmonic; about 40 per neuron for intervals.
Source: Yip, Agrawal, Chan, Gross 2024 (interval form; constants derived here); the moment form is new.

Contents:
    Waves — what the neurons of one frequency read and write.
    Intervals — hints of the interval form.
    weight_of, signal_of — S and the size of the integral.
    moment_absolute, interval_absolute — the two bounds of `absolute`.
    modulus, moduli — sizes of complex numbers, and of what neurons read and write.
    interval_distance, at_nodes, off_harmonic — parts of the interval form.
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
class Intervals:
    """Hints of the interval form.

    Attributes:
        order: which neuron has which interval, a permutation, `[n]`.
        nodes: by interval, in units of the period over `grid`; any integers, `[n]`.
        offset: where the first interval begins, in the same units.
        grid: nodes per period.
    """

    order: Int[np.ndarray, " n"]
    nodes: Int[np.ndarray, " n"]
    offset: int
    grid: int


def root_above(square: AbstractEnclosure) -> AbstractEnclosure:
    """A little more than the square root of a number that is not negative, whatever its enclosure says."""
    # SOUND: the true number is its own absolute value; 2**-80 keeps the root away from zero.
    return (square.absolute() + Fraction(1, 2**80)).sqrt()


def modulus(x: AbstractEnclosure, y: AbstractEnclosure) -> AbstractEnclosure:
    """No less than |x + iy|."""
    return root_above(x * x + y * y)


def spread(weight: AbstractEnclosure, x: AbstractEnclosure, y: AbstractEnclosure) -> AbstractEnclosure:
    r"""A bound of $|\sum_i t_ig_i|$ for all $|t_i| \le d_i$, along the last axis of d.

    In a direction u the sum is at most $\sum_id_i|g_i\cdot u|$, and for any $s_i > 0$, by Cauchy and Schwarz,
    $(\sum_id_i|g_i\cdot u|)^2 \le \sum_id_is_i\;u^\top\bigl(\sum_i\tfrac{d_i}{s_i}g_ig_i^\top\bigr)u$, at most the
    first sum times the larger eigenvalue of the two by two matrix. Here $s_i$ is a little more than $|g_i|$
    (`docs/modular-addition.md#spread`).

    Args:
        weight: d, not negative, `[n]` or `[rows, n]`.
        x: first components of the arrows g, `[n]`.
        y: second components.
    """
    s = modulus(x, y)
    xx, yy, xy = x * x / s, y * y / s, x * y / s
    total, first, second, mixed = ((weight * factor).sum(-1) for factor in (s, xx, yy, xy))
    largest = (first + second + modulus(first - second, mixed + mixed)) * Fraction(1, 2)
    return root_above(total * largest)


def moduli(waves: Waves) -> tuple[AbstractEnclosure, AbstractEnclosure]:
    """|q| and |gamma|, `[n]` each."""
    read, write = ((numbers * numbers).sum(0).absolute().sqrt() for numbers in (waves.read, waves.write))
    return read, write


def weight_of(waves: Waves) -> AbstractEnclosure:
    """S, the weight of all neurons together, shape ()."""
    read, write = moduli(waves)
    return (read * write).sum(0)


def signal_of(weight: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """The size of the integral, 2 S / (3 pi)."""
    return weight * Fraction(2, 3) / pi(arith)


def moment_absolute(waves: Waves, terms: int, arith: AbstractArithmetic) -> AbstractEnclosure:
    """`absolute` by `terms` = M >= 1 moments, shape ()."""
    (qx, qy), (gx, gy) = ((numbers[0], numbers[1]) for numbers in (waves.read, waves.write))
    size, height = moduli(waves)
    square = qx * qx + qy * qy
    # e^{2 i phi} = q^2 / |q|^2; lost for a neuron that reads nothing.
    cos, sin = (qx * qx - qy * qy) / square, (qx * qy + qx * qy) / square
    x, y = size * gx, size * gy
    total = modulus(x.sum(0), y.sum(0)) * 2
    c, s = cos, sin
    for m in range(1, terms + 1):
        xc, ys, xs, yc = x * c, y * s, x * s, y * c
        along = (xc + ys).sum(0)
        along = along - (size * height).sum(0) if m == 1 else along
        harmonic = modulus((xc - ys).sum(0), (xs + yc).sum(0)) + modulus(along, (yc - xs).sum(0))
        total = total + harmonic * Fraction(2, 4 * m * m - 1)
        if m < terms:
            c, s = c * cos - s * sin, s * cos + c * sin
    total = total + spread(size * Fraction(2, 2 * terms + 1), gx, gy)
    return total / pi(arith)


def interval_absolute(waves: Waves, intervals: Intervals, arith: AbstractArithmetic) -> AbstractEnclosure:
    """`absolute` by intervals of the half circle: the period is pi, shape ()."""
    size, height = moduli(waves)
    qx, qy = waves.read[0], waves.read[1]
    cos, sin = at_nodes(intervals, 2 * intervals.grid, 1, arith)
    off = ((qx * sin - qy * cos).absolute() * height).sum(0)
    # 2 (S / pi) times a distance in units of the period times pi^2.
    laid = interval_distance(size * height, intervals, arith) * pi(arith) * 2
    return laid + off + off_harmonic(waves, size, height, at_nodes(intervals, 2 * intervals.grid, 2, arith))


def interval_distance(weight: AbstractEnclosure, intervals: Intervals, arith: AbstractArithmetic) -> AbstractEnclosure:
    """S times the integral over every interval of the distance to its node, summed; the period is 1."""
    total, unit = weight.sum(0), arith.fraction(Fraction(1, intervals.grid))
    first = arith.fraction(Fraction(intervals.offset, intervals.grid)).reshape(1)
    end = (weight[intervals.order] / total).cumulative_sum(0) + first
    begin = arith.concatenate([first, end[:-1]], axis=0)
    node = arith.integers(intervals.nodes).enclose() * unit
    after, before = end - node, begin - node
    # The antiderivative of |t| is t |t| / 2.
    twice = (after * after.absolute() - before * before.absolute()).sum(0)
    # SOUND: the last interval ends a period after the first begins, up to enclosures that contain the truth.
    return twice * total * Fraction(1, 2)


def at_nodes(
    intervals: Intervals, turn: int, times: int, arith: AbstractArithmetic
) -> tuple[AbstractEnclosure, AbstractEnclosure]:
    """Cosine and sine of a multiple of every neuron's node, where `turn` units are a full circle, `[n]` each."""
    node = np.empty_like(intervals.nodes)
    node[intervals.order] = intervals.nodes % turn * times % turn
    cosines, sines = circle(turn, arith)
    return cosines[node], sines[node]


def off_harmonic(
    waves: Waves, size: AbstractEnclosure, height: AbstractEnclosure, node: tuple[AbstractEnclosure, AbstractEnclosure]
) -> AbstractEnclosure:
    """What it costs that neurons do not write the wave of twice their node (`node`: its cosine and sine), shape ()."""
    off = modulus(waves.write[0] - height * node[0], waves.write[1] - height * node[1])
    return (size * off).sum(0)
