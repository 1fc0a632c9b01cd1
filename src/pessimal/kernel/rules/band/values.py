r"""Margins of the band: values with the mean direct path folded in, and the direct path of a query less that mean.

With $\mathrm{OV} = W_VW_O$, the residual $d_q$ of the last position without attention, its mean $\bar d$ and
$e_q = d_q - \bar d$, the margin of target y over rival o at a position i that holds token t is

$$ m_i = (X_{t,y} - X_{t,o}) + (Y_{i,y} - Y_{i,o}) + (D_{q,y} - D_{q,o}),\quad
X_t = ((W_E[t] + \bar P)\,\mathrm{OV} + \bar d)\,U,\; Y_i = \hat P_i\,\mathrm{OV}\,\tilde U,\; D_q = e_q\tilde U, $$

with $\tilde U_o = U_o - \bar U$, which changes no difference. Lower bounds over the positions of a class:

* near rivals $o \ge c$: one pessimal rival for X + Y and one for D, or jointly;
* far rivals $o < c$: $|Y_{i,o}| \le |\hat P_i\mathrm{OV}|\,|\tilde U_o|$ and $|D_{q,o}| \le |e_q|\,|\tilde U_o|$;
* tokens below the first row: X of their mean token, less $\max_t|W_E[t] - \mathrm{mean}|\,\|\mathrm{OV}\|_F$ times
  $|\tilde U_y| + \max_o|\tilde U_o|$.

Contents:
    Margins — lower bounds of X + Y parts and D parts.
    make_margins — from the weights.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.rules.band.scores import norms
from pessimal.kernel.rules.rivals import exclusive_max
from pessimal.kernel.tables import optional, product, read_out
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Margins:
    """Lower bounds by class of positions (the last position is the last class), token and target; targets from `first`.

    Attributes:
        near: over rivals o >= c, `[classes + 1, rows, targets]`.
        far: over rivals o < c, the same shape, or None if c = 0.
        below_near, below_far: the same for every token below the first row and any class, `[targets]`, or None.
        direct_near: of D over rivals o >= c, `[d_vocab, targets]`.
        direct_far: of D over rivals o < c, or None if c = 0.
        joint: margins of near pairs jointly over rivals o >= c, by class, `[classes + 1, pairs, near]`: the target is
            the token plus j; or None. Past the last target: of no meaning.
    """

    near: AbstractEnclosure
    far: AbstractEnclosure | None
    below_near: AbstractEnclosure | None
    below_far: AbstractEnclosure | None
    direct_near: AbstractEnclosure
    direct_far: AbstractEnclosure | None
    joint: AbstractEnclosure | None


# Below every logit; if it is not, a margin only becomes smaller.
LOWEST = -(2**62)


def make_margins(weights: Weights, options: BandOptions, pairs: np.ndarray, arith: AbstractArithmetic) -> Margins:
    """Margins of the rows `options.row` .. d_vocab - 1.

    Args:
        weights: the model.
        options: what to look at.
        pairs: place of (q, row) among the pairs of the band, or -1, `[d_vocab, rows]`.
        arith: the arithmetic.
    """
    k, c = weights.architecture.shape.k, options.rivals_from
    embed, positions = arith.matrix(weights["W_E"]).enclose(), arith.matrix(weights["W_pos"][:k]).enclose()
    ov = (arith.matrix(weights["W_V"]) @ arith.matrix(weights["W_O"])).enclose()
    unembed = read_out(weights, arith).enclose()
    mean_position, residual = _mean(positions, arith), _direct(weights, embed + positions[k - 1], arith)
    centre, mean_residual = _mean(unembed.transpose(1, 0), arith), _mean(residual, arith)
    spread = unembed - centre.reshape(-1, 1)
    width = norms(spread.transpose(1, 0))
    bias = None if weights.architecture.ln_final else optional(weights, "b_U", arith)

    def logits(rows: AbstractEnclosure) -> AbstractEnclosure:
        """X of some rows of W_E."""
        x = product(product(rows + mean_position, ov) + mean_residual, unembed)
        return x if bias is None else x + bias.enclose()

    moved = product(positions - mean_position, ov)
    shift, reach = product(moved, spread[:, c:]), norms(moved)
    centred = residual - mean_residual
    direct = product(centred, spread[:, c:])
    parts = _Classes(options, logits(embed[options.row :]), shift, reach, width, arith)
    own = direct[:, options.first - c : options.d_vocab - c]
    below_near, below_far = None, None
    if options.row:
        mean_below = _mean(embed[: options.row], arith)
        radius = norms(embed[: options.row] - mean_below).max(0) * norms(ov.reshape(1, -1))
        below = _Classes(options, logits(mean_below.reshape(1, -1)), shift, reach, width, arith)
        mine = width[options.first : options.d_vocab]
        below_near = below.near().min(0)[0] - radius * (mine + width[c:].max(0))
        if c:
            below_far = below.far().min(0)[0] - radius * (mine + width[:c].max(0))
    return Margins(
        near=parts.near(),
        far=parts.far() if c else None,
        below_near=below_near,
        below_far=below_far,
        direct_near=own - exclusive_max(direct, arith)[:, options.first - c : options.d_vocab - c],
        direct_far=own - (norms(centred) * width[:c].max(0)).reshape(-1, 1) if c else None,
        joint=parts.joint(direct, pairs) if options.rival == "joint" else None,
    )


def _mean(rows: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    return rows.sum(0) * arith.fraction(Fraction(1, rows.shape[0]))


def _direct(weights: Weights, last: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """d_q: the residual of the last position without attention; b_V passes through it whole."""
    b_o, b_v = optional(weights, "b_O", arith), optional(weights, "b_V", arith)
    last = last if b_o is None else last + b_o.enclose()
    return last if b_v is None else last + (b_v @ arith.matrix(weights["W_O"])).enclose()


class _Classes:
    """Margins of X + Y, class by class."""

    def __init__(
        self,
        options: BandOptions,
        x: AbstractEnclosure,
        shift: AbstractEnclosure,
        reach: AbstractEnclosure,
        width: AbstractEnclosure,
        arith: AbstractArithmetic,
    ) -> None:
        self.options, self.arith = options, arith
        self.x, self.width = x, width
        self.members = [*options.members, np.array([shift.shape[0] - 1])]
        self.low = [shift[i].min(0) for i in self.members]
        self.high = [shift[i].max(0) for i in self.members]
        self.reach = [reach[i].max(0) for i in self.members]

    def _own(self, low: AbstractEnclosure) -> AbstractEnclosure:
        """X + Y of the target, `[rows, targets]`."""
        first, c = self.options.first, self.options.rivals_from
        return self.x[:, first : self.options.d_vocab] + low[first - c : self.options.d_vocab - c]

    def near(self) -> AbstractEnclosure:
        """Over rivals o >= c."""
        o = self.options
        targets = slice(o.first - o.rivals_from, o.d_vocab - o.rivals_from)
        return self.arith.stack(
            [
                self._own(low) - exclusive_max(self.x[:, o.rivals_from :] + high, self.arith)[:, targets]
                for low, high in zip(self.low, self.high, strict=True)
            ]
        )

    def far(self) -> AbstractEnclosure:
        """Over rivals o < c."""
        c = self.options.rivals_from
        return self.arith.stack(
            [
                self._own(low) - (self.x[:, :c] + self.width[:c] * reach).max(1).reshape(-1, 1)
                for low, reach in zip(self.low, self.reach, strict=True)
            ]
        )

    def joint(self, direct: AbstractEnclosure, pairs: np.ndarray) -> AbstractEnclosure:
        """X + Y + D over rivals o >= c, targets t .. t + G - 1 of every pair (q, t)."""
        o = self.options
        q, row = np.nonzero(pairs >= 0)
        target = o.row + row[:, np.newaxis] + np.arange(o.near)
        inside = (target >= o.first) & (target < o.d_vocab)
        column = np.clip(target, o.first, o.d_vocab - 1) - o.rivals_from
        columns = np.arange(direct.shape[1])
        outside = ~(columns[:, np.newaxis] == np.where(inside, column, -1)[:, np.newaxis, :]).any(2)
        each = np.arange(q.size)[:, np.newaxis]
        margins = []
        for low, high in zip(self.low, self.high, strict=True):
            logit = (self.x[:, o.rivals_from :] + high)[row] + direct[q]
            rival = logit.where(outside, LOWEST).max(1).reshape(-1, 1)
            if o.near > 1:
                window = logit[each, column].where(inside, LOWEST)
                rival = exclusive_max(window, self.arith).maximum(rival)
            own = self._own(low)[row[:, np.newaxis], column + o.rivals_from - o.first] + direct[q[:, np.newaxis], column]
            margins.append(own - rival)
        return self.arith.stack(margins)
