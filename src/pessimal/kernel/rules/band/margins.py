r"""Margins of the band: values with the mean direct path folded in, and the direct path of a query less that mean.

With $\mathrm{OV} = W_VW_O$ and $\bar d$ the mean over queries of the residual of the last position without attention,
the margin of target y over rival o at a position i that holds token t is

$$ m_i = (X_{t,y} - X_{t,o}) + (Y_{i,y} - Y_{i,o}) + (D_{q,y} - D_{q,o}),\quad
X_t = ((W_E[t] + \bar P)\,\mathrm{OV} + \bar d)U + b_U,\;
Y_i = \hat P_i\,\mathrm{OV}\,\tilde U,\; D_q = \hat E_q\tilde U, $$

with $\tilde U_o = U_o - \bar U$, which changes no difference. The rivals of a target are split into groups, and every
group has lower bounds over the positions of a class:

* one group for each rival of the window around the target;
* one for all remaining rivals, with pessimal ones: near ones $o \ge c$ for X + Y and for D apart, or jointly; far ones
  $o < c$ by $|Y_{i,o}| \le |\hat P_i\mathrm{OV}|\,|\tilde U_o|$ and $|D_{q,o}| \le |\hat E_q|\,|\tilde U_o|$.

Tokens below the first row: X of the mean token, less $\max_t|\hat E_t|\,\|\mathrm{OV}\|_F$ times
$|\tilde U_y| + \max_o|\tilde U_o|$, over all rivals at once.

Contents:
    RivalGroup — lower bounds over one group of rivals.
    Margins — all groups, and the tokens below the first row.
    make_margins — from the weights.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.model.tensors import optional, plus_exact, read_out
from pessimal.kernel.rules.band.centred_rows import CentredRows, norms, smallest
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.terms.others import LOWEST, exclusive_max
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class RivalGroup:
    """Lower bounds over one group of rivals; targets from `first`; the last position is the last class.

    Attributes:
        exists: targets that have such a rival, `[targets]`.
        near: of X + Y over rivals o >= c, `[classes + 1, rows, targets]`.
        direct_near: of D over rivals o >= c, `[d_vocab, targets]`.
        far, direct_far: the same over rivals o < c, or None if there are none.
        joint: of X + Y + D over rivals o >= c, `[classes, pairs, near]`: the target is the pair's token plus j. Past
            the last target: of no meaning. Or None.
    """

    exists: Bool[np.ndarray, " targets"]
    near: AbstractEnclosure
    direct_near: AbstractEnclosure
    far: AbstractEnclosure | None = None
    direct_far: AbstractEnclosure | None = None
    joint: AbstractEnclosure | None = None


@dataclass(frozen=True)
class Margins:
    """Margins of all groups of rivals, and of the tokens below the first row.

    Attributes:
        groups: the one of all remaining rivals first.
        below: of X + Y for every token below the first row, all classes and rivals o >= c, `[targets]`, or None.
        below_far: over rivals o < c.
        lowest: of D over all rivals o >= c, `[d_vocab, targets]`.
    """

    groups: list[RivalGroup]
    below: AbstractEnclosure | None
    below_far: AbstractEnclosure | None
    lowest: AbstractEnclosure


def make_margins(
    weights: Weights, centred: CentredRows, options: BandOptions, pairs: np.ndarray, arith: AbstractArithmetic
) -> Margins:
    """Margins of the rows `options.row` .. d_vocab - 1.

    Args:
        weights: the model.
        centred: its rows less their means.
        options: what to look at.
        pairs: `options.near_pairs`.
        arith: the arithmetic.
    """
    c = options.rivals_from
    ov = (arith.matrix(weights["W_V"]) @ arith.matrix(weights["W_O"])).enclose()
    unembed = read_out(weights, arith).enclose()
    centre = unembed.sum(1) * Fraction(1, unembed.shape[1])
    spread = unembed - centre.reshape(-1, 1)
    width = norms(spread.T)
    # X of the mean token.
    mean = (centred.mean_token + centred.mean_position).reshape(1, -1) @ ov + _residual(weights, centred, arith)
    constant = plus_exact(mean @ unembed, None if weights.architecture.ln_final else optional(weights, "b_U", arith))
    x = centred.tokens[options.first_row :] @ ov @ unembed + constant
    moved, direct = centred.positions @ ov, centred.tokens @ spread[:, c:]
    positions = _PositionValues(options, moved @ spread[:, c:], norms(moved), width)
    rows = _RowMargins(options, x, positions, direct, arith)
    bounded = (centred.lengths * width[:c].max(0)).reshape(-1, 1) if c else None
    groups = [rows.remaining_rivals(bounded, pairs), *(rows.one_rival(offset) for offset in options.window)]
    lowest = smallest([group.direct_near for group in groups])
    below, below_far = None, None
    if options.first_row:
        radius = centred.lengths[: options.first_row].max(0) * norms(ov.reshape(1, -1))
        below_rows = _RowMargins(options, constant, positions, direct, arith)
        target_width = width[options.first : options.d_vocab]
        below = below_rows.near(0, 0).min(0)[0] - radius * (target_width + width[c:].max(0))
        if c:
            below_far = below_rows.far().min(0)[0] - radius * (target_width + width[:c].max(0))
    return Margins(groups, below, below_far, lowest)


def _residual(weights: Weights, centred: CentredRows, arith: AbstractArithmetic) -> AbstractEnclosure:
    """Mean of d_q, the residual of the last position without attention; b_V passes through it whole; `[1, d_model]`."""
    residual = plus_exact(centred.mean_query.reshape(1, -1), optional(weights, "b_O", arith))
    b_v = optional(weights, "b_V", arith)
    return plus_exact(residual, None if b_v is None else b_v @ arith.matrix(weights["W_O"]))


class _PositionValues:
    """Y by class: extremes over its positions."""

    def __init__(
        self, options: BandOptions, y: AbstractEnclosure, reach: AbstractEnclosure, width: AbstractEnclosure
    ) -> None:
        self.y, self.width = y, width
        self.members = [*options.members, np.array([y.shape[0] - 1])]
        self.low = [y[i].min(0) for i in self.members]
        self.high = [y[i].max(0) for i in self.members]
        self.reach = [reach[i].max(0) for i in self.members]


class _RowMargins:
    """Margins over some rows X."""

    def __init__(
        self,
        options: BandOptions,
        x: AbstractEnclosure,
        positions: _PositionValues,
        direct: AbstractEnclosure,
        arith: AbstractArithmetic,
    ) -> None:
        self.options, self.x, self.positions, self.direct, self.arith = options, x, positions, direct, arith
        c = options.rivals_from
        # Targets among the columns o >= c.
        self.targets = np.arange(options.first - c, options.d_vocab - c)
        self.of_target = [x[:, c + self.targets] + low[self.targets] for low in positions.low]

    def near(self, below: int, above: int) -> AbstractEnclosure:
        """X + Y over rivals o >= c outside a window, `[classes + 1, rows, targets]`."""
        x = self.x[:, self.options.rivals_from :]
        return self.arith.stack(
            [
                of_target - exclusive_max(x + high, self.arith, below, above)[:, self.targets]
                for of_target, high in zip(self.of_target, self.positions.high, strict=True)
            ]
        )

    def far(self) -> AbstractEnclosure:
        """X + Y over rivals o < c, `[classes + 1, rows, targets]`."""
        c = self.options.rivals_from
        return self.arith.stack(
            [
                of_target - (self.x[:, :c] + self.positions.width[:c] * reach).max(1).reshape(-1, 1)
                for of_target, reach in zip(self.of_target, self.positions.reach, strict=True)
            ]
        )

    def one_rival(self, offset: int) -> RivalGroup:
        """The rival that is this much above the target."""
        rival = self.targets + offset
        exists = (rival >= 0) & (rival < self.direct.shape[1])
        rival = np.where(exists, rival, self.targets)
        c, y = self.options.rivals_from, self.positions.y
        values = self.x[:, c + self.targets] - self.x[:, c + rival]
        apart = y[:, self.targets] - y[:, rival]
        near = self.arith.stack([values + apart[i].min(0) for i in self.positions.members])
        return RivalGroup(exists, near, self.direct[:, self.targets] - self.direct[:, rival])

    def remaining_rivals(self, bounded: AbstractEnclosure | None, pairs: np.ndarray) -> RivalGroup:
        """All rivals outside the window."""
        o = self.options
        direct = self.direct[:, self.targets]
        rival = exclusive_max(self.direct, self.arith, o.rivals_below, o.rivals_above)[:, self.targets]
        return RivalGroup(
            exists=np.ones(self.targets.size, dtype=bool),
            near=self.near(o.rivals_below, o.rivals_above),
            direct_near=direct - rival,
            far=None if bounded is None else self.far(),
            direct_far=None if bounded is None else direct - bounded,
            joint=self._joint(pairs) if o.rival == "joint" else None,
        )

    def _joint(self, pairs: np.ndarray) -> AbstractEnclosure:
        """Targets t .. t + G - 1 of every pair (q, t)."""
        o, n = self.options, self.direct.shape[1]
        q, row = np.nonzero(pairs >= 0)
        # Columns near the pair's token, of which every target leaves out a window of its own.
        near = o.first_row + row[:, np.newaxis] + np.arange(-o.rivals_below, o.near + o.rivals_above) - o.rivals_from
        inside = (near >= 0) & (near < n)
        near = np.clip(near, 0, n - 1)
        outside = np.ones((q.size, n), dtype=bool)
        each = np.arange(q.size)[:, np.newaxis]
        outside[np.broadcast_to(each, near.shape)[inside], near[inside]] = False
        target = np.clip(o.first_row + row[:, np.newaxis] + np.arange(o.near), o.first, o.d_vocab - 1) - o.first
        margins = []
        for of_target, high in zip(self.of_target[:-1], self.positions.high[:-1], strict=True):
            logit = (self.x[:, o.rivals_from :] + high)[row] + self.direct[q]
            window = logit[each, near].where(inside, LOWEST)
            kept = exclusive_max(window, self.arith, o.rivals_below, o.rivals_above)
            rival = kept[:, o.rivals_below : o.rivals_below + o.near].maximum(
                logit.where(outside, LOWEST).max(1).reshape(-1, 1)
            )
            right = of_target[row[:, np.newaxis], target] + self.direct[q[:, np.newaxis], self.targets[target]]
            margins.append(right - rival)
        return self.arith.stack(margins)
