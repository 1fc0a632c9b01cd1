r"""Margins of the band: values with the mean direct path folded in, and the direct path of a query less that mean.

With $\mathrm{OV} = W_VW_O$ and $\bar d$ the mean over queries of the residual of the last position without attention,
the margin of target y over rival o at a position i that holds token t is

$$ m_i = (X_{t,y} - X_{t,o}) + (Y_{i,y} - Y_{i,o}) + (D_{q,y} - D_{q,o}),\quad
X_t = ((W_E[t] + \bar P)\,\mathrm{OV} + \bar d)\,U,\;
Y_i = \hat P_i\,\mathrm{OV}\,\tilde U,\; D_q = \hat E_q\tilde U, $$

with $\tilde U_o = U_o - \bar U$, which changes no difference. The rivals of a target are split into problems, and every
problem has lower bounds over the positions of a class:

* one problem for each rival of the window around the target;
* one for all others, with pessimal rivals: near ones $o \ge c$ for X + Y and for D apart, or jointly; far ones
  $o < c$ by $|Y_{i,o}| \le |\hat P_i\mathrm{OV}|\,|\tilde U_o|$ and $|D_{q,o}| \le |\hat E_q|\,|\tilde U_o|$.

Tokens below the first row: X of the mean token, less $\max_t|\hat E_t|\,\|\mathrm{OV}\|_F$ times
$|\tilde U_y| + \max_o|\tilde U_o|$, over all rivals at once.

Contents:
    Problem — lower bounds for one group of rivals.
    Margins — all problems, and the tokens below the first row.
    make_margins — from the weights.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.model.tensors import optional, product, read_out
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.rules.band.parts import Parts, norms
from pessimal.kernel.terms.rivals import LOWEST, exclusive_max
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Problem:
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
    """All problems.

    Attributes:
        problems: the pessimal one first.
        below: of X + Y for every token below the first row, all classes and rivals o >= c, `[targets]`, or None.
        below_far: over rivals o < c.
        lowest: of D over all rivals o >= c, `[d_vocab, targets]`.
    """

    problems: list[Problem]
    below: AbstractEnclosure | None
    below_far: AbstractEnclosure | None
    lowest: AbstractEnclosure


def make_margins(
    weights: Weights, parts: Parts, options: BandOptions, pairs: np.ndarray, arith: AbstractArithmetic
) -> Margins:
    """Margins of the rows `options.row` .. d_vocab - 1.

    Args:
        weights: the model.
        parts: its rows less their means.
        options: what to look at.
        pairs: place of (q, row) among the pairs of the band, or -1, `[d_vocab, rows]`.
        arith: the arithmetic.
    """
    c = options.rivals_from
    ov = (arith.matrix(weights["W_V"]) @ arith.matrix(weights["W_O"])).enclose()
    unembed = read_out(weights, arith).enclose()
    centre = unembed.sum(1) * arith.fraction(Fraction(1, unembed.shape[1]))
    spread = unembed - centre.reshape(-1, 1)
    width = norms(spread.transpose(1, 0))
    # X of the mean token.
    mean = product((parts.mean_token + parts.mean_position).reshape(1, -1), ov) + _residual(weights, parts, arith)
    constant = product(mean, unembed)
    b_u = None if weights.architecture.ln_final else optional(weights, "b_U", arith)
    constant = constant if b_u is None else constant + b_u.enclose()
    x = product(product(parts.tokens[options.row :], ov), unembed) + constant
    moved, direct = product(parts.positions, ov), product(parts.tokens, spread[:, c:])
    shift = _Shift(options, product(moved, spread[:, c:]), norms(moved), width)
    rows = _Rows(options, x, shift, direct, arith)
    bounded = (parts.lengths * width[:c].max(0)).reshape(-1, 1) if c else None
    problems = [rows.others(bounded, pairs), *(rows.single(offset) for offset in options.window)]
    lowest = problems[0].direct_near
    for one in problems[1:]:
        lowest = lowest.minimum(one.direct_near)
    below, below_far = None, None
    if options.row:
        radius = parts.lengths[: options.row].max(0) * norms(ov.reshape(1, -1))
        unseen = _Rows(options, constant, shift, direct, arith)
        mine = width[options.first : options.d_vocab]
        below = unseen.near(0, 0).min(0)[0] - radius * (mine + width[c:].max(0))
        if c:
            below_far = unseen.far().min(0)[0] - radius * (mine + width[:c].max(0))
    return Margins(problems, below, below_far, lowest)


def _residual(weights: Weights, parts: Parts, arith: AbstractArithmetic) -> AbstractEnclosure:
    """Mean of d_q, the residual of the last position without attention; b_V passes through it whole; `[1, d_model]`."""
    residual = parts.mean_query.reshape(1, -1)
    b_o, b_v = optional(weights, "b_O", arith), optional(weights, "b_V", arith)
    residual = residual if b_o is None else residual + b_o.enclose()
    return residual if b_v is None else residual + (b_v @ arith.matrix(weights["W_O"])).enclose()


class _Shift:
    """Y by class: extremes over its positions."""

    def __init__(
        self, options: BandOptions, y: AbstractEnclosure, reach: AbstractEnclosure, width: AbstractEnclosure
    ) -> None:
        self.y, self.width = y, width
        self.members = [*options.members, np.array([y.shape[0] - 1])]
        self.low = [y[i].min(0) for i in self.members]
        self.high = [y[i].max(0) for i in self.members]
        self.reach = [reach[i].max(0) for i in self.members]


class _Rows:
    """Problems over some rows X."""

    def __init__(
        self,
        options: BandOptions,
        x: AbstractEnclosure,
        shift: _Shift,
        direct: AbstractEnclosure,
        arith: AbstractArithmetic,
    ) -> None:
        self.options, self.x, self.shift, self.direct, self.arith = options, x, shift, direct, arith
        c = options.rivals_from
        # Targets among the columns o >= c.
        self.targets = np.arange(options.first - c, options.d_vocab - c)
        self.own = [x[:, c + self.targets] + low[self.targets] for low in shift.low]

    def near(self, below: int, above: int) -> AbstractEnclosure:
        """X + Y over rivals o >= c outside a window, `[classes + 1, rows, targets]`."""
        x = self.x[:, self.options.rivals_from :]
        return self.arith.stack(
            [
                own - exclusive_max(x + high, self.arith, below, above)[:, self.targets]
                for own, high in zip(self.own, self.shift.high, strict=True)
            ]
        )

    def far(self) -> AbstractEnclosure:
        """X + Y over rivals o < c, the same shape."""
        c = self.options.rivals_from
        return self.arith.stack(
            [
                own - (self.x[:, :c] + self.shift.width[:c] * reach).max(1).reshape(-1, 1)
                for own, reach in zip(self.own, self.shift.reach, strict=True)
            ]
        )

    def single(self, offset: int) -> Problem:
        """The rival that is this much above the target."""
        rival = self.targets + offset
        exists = (rival >= 0) & (rival < self.direct.shape[1])
        rival = np.where(exists, rival, self.targets)
        c, y = self.options.rivals_from, self.shift.y
        values = self.x[:, c + self.targets] - self.x[:, c + rival]
        apart = y[:, self.targets] - y[:, rival]
        near = self.arith.stack([values + apart[i].min(0) for i in self.shift.members])
        return Problem(exists, near, self.direct[:, self.targets] - self.direct[:, rival])

    def others(self, bounded: AbstractEnclosure | None, pairs: np.ndarray) -> Problem:
        """All rivals outside the window."""
        o = self.options
        direct = self.direct[:, self.targets]
        rival = exclusive_max(self.direct, self.arith, o.rivals_below, o.rivals_above)[:, self.targets]
        return Problem(
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
        near = o.row + row[:, np.newaxis] + np.arange(-o.rivals_below, o.near + o.rivals_above) - o.rivals_from
        inside = (near >= 0) & (near < n)
        near = np.clip(near, 0, n - 1)
        outside = np.ones((q.size, n), dtype=bool)
        each = np.arange(q.size)[:, np.newaxis]
        outside[np.broadcast_to(each, near.shape)[inside], near[inside]] = False
        target = np.clip(o.row + row[:, np.newaxis] + np.arange(o.near), o.first, o.d_vocab - 1) - o.first
        margins = []
        for own, high in zip(self.own[:-1], self.shift.high[:-1], strict=True):
            logit = (self.x[:, o.rivals_from :] + high)[row] + self.direct[q]
            window = logit[each, near].where(inside, LOWEST)
            kept = exclusive_max(window, self.arith, o.rivals_below, o.rivals_above)
            rival = kept[:, o.rivals_below : o.rivals_below + o.near].maximum(
                logit.where(outside, LOWEST).max(1).reshape(-1, 1)
            )
            mine = own[row[:, np.newaxis], target] + self.direct[q[:, np.newaxis], self.targets[target]]
            margins.append(mine - rival)
        return self.arith.stack(margins)
