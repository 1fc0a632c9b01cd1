r"""Half of $|x_i|$ at the kept pairs of `key-frequency`: exactly, by profiles, or by quadrature (notation: rule.py).

Each way gives an approximation of $\sum_i\tfrac12|x_i|g_{ik}$ over the kept pairs, and how far it may be off
(`docs/modular-addition.md#key-frequencies`).

Contents:
    Approximation — what the kept pairs write, and how far off that may be.
    approximation — of the way that hints name.
    by_neurons — every neuron by itself.
    by_profiles — one profile for many neurons: $|x_i|$ is within $|x_i-r_i\xi|$ of $|r_i||\xi|$, $\xi$ its
        profile, and the difference is a part of a plus a part of b.
    by_quadrature — one integral per frequency (`quadrature.py`): $x_i$ is within a part of a plus a part of b of
        a wave; of waves, $\tfrac12|x_i| = |\cos\tfrac{\theta k}2(a-b)||q_i||\cos(u+\phi_i)|$, and their sum is
        $|\cos\tfrac{\theta k}2(a-b)|$ times the integral or its error.
    by_frequency — `spread` of the kept pairs of each frequency.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.rules.modular.key_frequency.options import KeyFrequencyOptions, Profiles, Quadrature
from pessimal.kernel.rules.modular.key_frequency.residuals import Inputs, Outputs
from pessimal.kernel.rules.modular.quadrature import (
    Intervals,
    Waves,
    interval_absolute,
    moment_absolute,
    signal_of,
    spread,
    weight_of,
)

Tokens = Int[np.ndarray, " inputs"]


@dataclass(frozen=True)
class Approximation:
    """What the kept pairs write.

    Attributes:
        waves: of tokens a and b, cosine parts before sine parts, `[inputs, 2 n]`.
        error: how far off they may be, by a and by b, `[p, n]` each; None: not at all.
        spread_out: the same by a - b, `[p, n]`, or None.
    """

    waves: Callable[[Tokens, Tokens], AbstractEnclosure]
    error: tuple[AbstractEnclosure, AbstractEnclosure] | None = None
    spread_out: AbstractEnclosure | None = None


def approximation(
    inputs: Inputs, outputs: Outputs, options: KeyFrequencyOptions, arith: AbstractArithmetic
) -> Approximation:
    """What the kept pairs write, by the way that hints name."""
    if isinstance(options.hidden, Profiles):
        return by_profiles(inputs, outputs, options, options.hidden, arith)
    if isinstance(options.hidden, Quadrature):
        return by_quadrature(inputs, outputs, options, options.hidden, arith)
    return by_neurons(inputs, outputs, options, arith)


def by_neurons(
    inputs: Inputs, outputs: Outputs, options: KeyFrequencyOptions, arith: AbstractArithmetic
) -> Approximation:
    """Every neuron by itself, exactly."""
    n = options.kept.shape[1]
    halves = outputs.writes * Fraction(1, 2)
    kept = [np.flatnonzero(options.kept[:, j % n]) for j in range(2 * n)]

    def waves(first: Tokens, second: Tokens) -> AbstractEnclosure:
        size = (inputs.pre[0][first] + inputs.pre[1][second]).absolute()
        return arith.stack([(size[:, neurons] * halves[neurons, j]).sum(1) for j, neurons in enumerate(kept)], axis=1)

    return Approximation(waves)


def by_profiles(
    inputs: Inputs, outputs: Outputs, options: KeyFrequencyOptions, hint: Profiles, arith: AbstractArithmetic
) -> Approximation:
    """A profile is a sum over its neurons with hinted shares."""
    n, half = options.kept.shape[1], Fraction(1, 2)
    members = [np.flatnonzero(hint.profile == c) for c in np.unique(hint.profile)]
    share, scale = arith.matrix(hint.share).enclose(), arith.matrix(hint.scale).enclose()
    profiles = [arith.stack([(pre[:, group] * share[group]).sum(1) for group in members], axis=1) for pre in inputs.pre]
    followed = np.unique(hint.profile, return_inverse=True)[1].reshape(-1)
    off = [
        (pre - table[:, followed] * scale).absolute() * half for pre, table in zip(inputs.pre, profiles, strict=True)
    ]
    height = scale.absolute() * half
    rows = []
    for group in members:
        kept = [group[options.kept[group, j % n]] for j in range(2 * n)]
        rows.append(arith.stack([(height[i] * outputs.writes[i, j]).sum(0) for j, i in enumerate(kept)]))
    written = arith.stack(rows)

    def waves(first: Tokens, second: Tokens) -> AbstractEnclosure:
        return (profiles[0][first] + profiles[1][second]).absolute() @ written

    first, second = (by_frequency(table, outputs, options, arith) for table in off)
    return Approximation(waves, (first, second))


def by_quadrature(
    inputs: Inputs, outputs: Outputs, options: KeyFrequencyOptions, hint: Quadrature, arith: AbstractArithmetic
) -> Approximation:
    """One integral per frequency stands for the sum over its neurons."""
    p, n = inputs.pre[0].shape[0], options.kept.shape[1]
    half, read = Fraction(1, 2), arith.matrix(hint.read).enclose()
    signals: list[AbstractEnclosure] = []
    errors: list[AbstractEnclosure] = []
    off: tuple[list[AbstractEnclosure], list[AbstractEnclosure]] = [], []
    for j in range(n):
        kept = np.flatnonzero(options.kept[:, j])
        cos, sin = (table[outputs.angle[j]].reshape(-1, 1) for table in (outputs.cos, outputs.sin))
        wave = cos * read[0, kept] - sin * read[1, kept]
        x, y = outputs.writes[kept, j], outputs.writes[kept, n + j]
        for columns, pre in zip(off, inputs.pre, strict=True):
            columns.append(spread((pre[:, kept] - wave).absolute() * half, x, y))
        # What is written at angle v is the real part of (x - iy) e^{iv}.
        node = Waves(read[:, kept], arith.stack([x, -y]))
        signals.append(signal_of(weight_of(node), arith))
        errors.append(_integral_error(node, kept, j, hint, options, arith))
    # |cos(x / 2)| is the root of (1 + cos x) / 2.
    tilt = ((outputs.cos[outputs.angle.T] + 1) * half).absolute().sqrt()
    amplitude = tilt * arith.stack(signals)

    def waves(first: Tokens, second: Tokens) -> AbstractEnclosure:
        size, turn = amplitude[(first - second) % p], outputs.angle.T[(first + second) % p]
        return arith.concatenate([size * outputs.cos[turn], size * outputs.sin[turn]], axis=1)

    first, second = (arith.stack(columns, axis=1) for columns in off)
    return Approximation(waves, (first, second), tilt * arith.stack(errors))


def _integral_error(
    waves: Waves,
    kept: Int[np.ndarray, " kept"],
    j: int,
    hint: Quadrature,
    options: KeyFrequencyOptions,
    arith: AbstractArithmetic,
) -> AbstractEnclosure:
    """Error of the integral of one frequency, shape (); zero without neurons."""
    if not kept.size:
        return arith.fraction(Fraction(0))
    if hint.terms:
        return moment_absolute(waves, hint.terms, arith)
    begin = int(options.kept[:, :j].sum())
    here = slice(begin, begin + kept.size)
    order = np.searchsorted(kept, hint.order[here])
    return interval_absolute(waves, Intervals(order, hint.nodes[here], int(hint.offsets[j]), hint.grid), arith)


def by_frequency(
    weight: AbstractEnclosure, outputs: Outputs, options: KeyFrequencyOptions, arith: AbstractArithmetic
) -> AbstractEnclosure:
    """`spread` of the kept pairs of each frequency, weights `[p, f]` or `[f]`; `[p, n]` or `[n]`."""
    n, columns = options.kept.shape[1], []
    for j in range(n):
        kept = np.flatnonzero(options.kept[:, j])
        columns.append(spread(weight[..., kept], outputs.writes[kept, j], outputs.writes[kept, n + j]))
    return arith.stack(columns, axis=-1)
