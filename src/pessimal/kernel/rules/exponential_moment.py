r"""R2: exponential moment (Chernoff) with hinted tilts.

Theorem. Let $g_i(t) = w_i(q,t)\,m_i(t)$ be lower bounds of the terms of the separable margin
$Z(\mathrm{logit}_y - \mathrm{logit}_o) = \sum_i g_i(t_i)$ (specification, section 1). For every $\lambda \ge 0$ the
number of sequences of stratum $(q, y)$ that are wrong against $o$ is at most

$$ e^{-\lambda g_{K-1}(q)} \sum_{j<K-1} \Big[\prod_{i<j} A'_i\Big]\, a_j\, \Big[\prod_{i>j} A_i\Big],\quad
A'_i = \sum_{t<y} e^{-\lambda g_i(t)},\; a_i = e^{-\lambda g_i(y)},\; A_i = A'_i + a_i, $$

and at most $e^{-\lambda g_{K-1}(q)}\prod_i A_i$ if $q = y$. *Proof.* A wrong sequence has $\sum_i g_i \le 0$, so
$e^{-\lambda\sum_i g_i} \ge 1$; summing this over the boxes "first y at position j" (strata.py), every sum over the
sequences of a box of a product of one factor per position is the product of the sums. All terms are positive, nothing
is subtracted. The sum over $j$ is carried as two states, "y seen" $H$ and "not yet" $U$:
$H \leftarrow HA_i + Ua_i,\; U \leftarrow UA'_i$. Factors are divided by $y + 1$, so the result is a
fraction of $(y+1)^{K-1}$ and neither overflows nor underflows with K.

Far tokens: hint `near` = G. For $t \le y - G$, $g_i(t) \ge \min(0, m)\,w$ with $m$ the smallest margin and
$w$ the largest weight over those tokens and all positions: one term, times their number.

Pessimal position (R6): $m = \min_i m_i$, $g(t) = \min(w_{lo}m, w_{hi}m)$ with $w_{lo}, w_{hi}$ the extremes over
positions: a lower bound of every $g_i(t)$, so all positions share one $A$.

Soundness: for all weights; for every hint: `tilt` is any non-negative dyadic (negative ones are rejected), `near` any
    width, `rival` and `position` any of the words. A lost entry (NaN, infinity) gives its stratum up.
Cost: `cost.exponential_moment_cost`; with G and R problems about 5 R I G v**2 / 2 besides the tables.
Source: new; specification `counting-proofs.md`, R2, R4, R5, R6 and the far tokens of R7.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Cost, exponential_moment_cost, n_strata
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Hints, Progress
from pessimal.kernel.rules.rivals import RIVALS, make_rivals
from pessimal.kernel.strata import stratum_size
from pessimal.kernel.tables import AdditiveTables, additive_tables, require_single_additive_head
from pessimal.spec.architecture import Architecture
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights

POSITIONS = ("each", "pessimal")
MAX_MANTISSA = 2**53
MAX_EXPONENT = 1000


@dataclass(frozen=True)
class StratumTerms:
    """Lower bounds of the terms of all strata (q, y), y = q .. d_vocab - 1 (Y of them), for R problems each.

    Attributes:
        near: g of tokens y - delta, `[R, I, Y, G]`; I is K - 1, or 1 when all positions share the pessimal term.
        valid: which (y, delta) are tokens at all, `[Y, G]`.
        far: g of every token at or below y - G, `[R, Y]`.
        n_far: how many such tokens there are, `[Y]`.
        last: g of the query token at the last position, `[R, Y]`.
    """

    near: AbstractEnclosure
    valid: Bool[np.ndarray, "Y G"]
    far: AbstractEnclosure
    n_far: np.ndarray
    last: AbstractEnclosure


def stratum_terms(
    tables: AdditiveTables, arith: AbstractArithmetic, hints: Hints
) -> Iterator[tuple[int, StratumTerms]]:
    """Terms of all strata, one query at a time."""
    d_vocab, k = tables.position_weight.shape
    near = hints.number("near", 1, d_vocab)
    pessimal = hints.word("position", POSITIONS) == "pessimal"
    rivals = make_rivals(hints.word("rival", RIVALS), tables, arith, pessimal_position=pessimal)
    zero = arith.fraction(Fraction(0))
    heaviest = tables.token_weight.cumulative_max(1)
    most = tables.position_weight[:, : k - 1].max(1)
    least = tables.position_weight[:, : k - 1].min(1) if pessimal else None
    shared_lowest: AbstractEnclosure | None = None
    for q in range(d_vocab):
        y = np.arange(q, d_vocab)
        tokens = y[:, np.newaxis] - np.arange(near)
        n_far = np.maximum(y - near + 1, 0)
        margin, direct = rivals.at_query(q)
        band = margin[:, :, np.maximum(tokens, 0), y[:, np.newaxis]]
        if direct is None or shared_lowest is None:
            shared_lowest = margin.min(1).cumulative_min(1)
        far_margin = shared_lowest[:, np.maximum(n_far - 1, 0), y]
        if direct is not None:
            band = band + direct.reshape(direct.shape[0], 1, -1, 1)
            far_margin = far_margin + direct
        token = tables.token_weight[q]
        if least is not None:
            low, high = (token * least[q])[np.maximum(tokens, 0)], (token * most[q])[np.maximum(tokens, 0)]
            g = (band * low).minimum(band * high)
        else:
            position = tables.position_weight[q, : k - 1].reshape(-1, 1)
            g = band * (position * token)[:, np.maximum(tokens, 0)]
        far = far_margin.minimum(zero) * (heaviest[q, np.maximum(n_far - 1, 0)] * most[q])
        last = rivals.at_last(q) * (tables.token_weight[q, q] * tables.position_weight[q, k - 1])
        yield q, StratumTerms(g, tokens >= 0, far, n_far, last)


def _states(
    seen: AbstractEnclosure, unseen: AbstractEnclosure, k: int
) -> tuple[AbstractEnclosure | None, AbstractEnclosure]:
    """H (None if no stratum has q < y) and F of K - 1 positions.

    `seen` = a and `unseen` = A' are `[R, I, Y]`; H is for Y > 0, F = prod A_i for Y = 0.
    """
    a, rest = seen[:, :, 1:], unseen[:, :, 1:]
    both, free = a + rest, seen[:, :, 0] + unseen[:, :, 0]
    some = seen.shape[2] > 1
    if seen.shape[1] == k - 1 and k > 2:
        h, u, f = a[:, 0], rest[:, 0], free[:, 0]
        for i in range(1, k - 1):
            f = f * free[:, i]
            h = h * both[:, i] + u * a[:, i]
            if i < k - 2:
                u = u * rest[:, i]
        return (h if some else None), f
    h1, u1, t1, f1 = a[:, 0], rest[:, 0], both[:, 0], free[:, 0]
    h, u, t, f = h1, u1, t1, f1
    for bit in bin(k - 1)[3:]:  # powers by doubling; each state pair composes: (H, U, T)(H', U', T')
        h, u, t, f = h * (t + u), u * u, t * t, f * f
        if bit == "1":
            h, u, t, f = h * t1 + u * h1, u * u1, t * t1, f * f1
    return (h if some else None), f


def _fractions(
    terms: StratumTerms,
    tilt: AbstractEnclosure,
    inverse: AbstractEnclosure,
    arith: AbstractArithmetic,
    k: int,
) -> list[Fraction | None]:
    """Wrong fraction of $(y+1)^{K-1}$ for every y of one query, summed over rivals. `tilt` is -lambda, `[R, Y]`."""
    n_problems, n_y = terms.last.shape
    factor = (terms.near * tilt.reshape(n_problems, 1, n_y, 1)).exp().where(terms.valid, 0)
    count = arith.integers(terms.n_far).enclose()
    far = (terms.far * tilt).exp().where(terms.n_far > 0, 0) * count
    seen = factor[..., 0] * inverse
    unseen = (factor[..., 1:].sum(-1) + far.reshape(n_problems, 1, n_y)) * inverse
    head = (terms.last * tilt).exp()
    h, f = _states(seen, unseen, k)
    out = (head[:, 0] * f).sum(0).reshape(1).upper()
    if h is not None:
        out += (head[:, 1:] * h).sum(0).upper()
    return out


class ExponentialMomentRule(AbstractRule):
    """R2 with the options of R4, R5 and R6."""

    name: ClassVar[str] = "exponential-moment"

    def cost(self, architecture: Architecture, hints: Hints) -> Cost:
        """Closed form; the tilts' shapes are part of it, so they are checked here."""
        shape = architecture.shape
        hints.only({"rival", "position", "near"}, {"tilt_mantissa", "tilt_exponent"})
        rival = hints.word("rival", RIVALS)
        position = hints.word("position", POSITIONS)
        near = hints.number("near", 1, shape.d_vocab)
        problems = shape.d_vocab_out - 1 if rival == "every" else 1
        for name in ("tilt_mantissa", "tilt_exponent"):
            hints.integers(name, (problems, n_strata(shape.d_vocab)))
        return exponential_moment_cost(architecture, rival, position, near)

    def require_covers(self, weights: Weights) -> None:
        """One head, additive scores, no final biases, at least two positions."""
        require_single_additive_head(weights)

    def tilts(self, hints: Hints, d_vocab: int, n_problems: int) -> tuple[np.ndarray, np.ndarray]:
        """Mantissas and exponents of lambda, checked: 0 <= m <= 2**53, |e| <= 1000."""
        mantissa, exponent = (
            hints.integers(name, (n_problems, n_strata(d_vocab))) for name in ("tilt_mantissa", "tilt_exponent")
        )
        if mantissa.min() < 0:
            raise Rejected(Reason.BAD_HINT, "a tilt is negative")
        if mantissa.max() > MAX_MANTISSA or exponent.min() < -MAX_EXPONENT or exponent.max() > MAX_EXPONENT:
            raise Rejected(Reason.BAD_HINT, "a tilt is out of range: mantissa at most 2**53, exponent at most 1000")
        return mantissa, exponent

    def bound(
        self,
        weights: Weights,
        task: AbstractTask,
        hints: Hints,
        arith: AbstractArithmetic,
        progress: Progress,
    ) -> CountBound:
        """Sum over strata of min(size, bound), exact."""
        d_vocab, k = task.d_vocab, task.k
        problems = weights.architecture.shape.d_vocab_out - 1 if hints.options.get("rival") == "every" else 1
        mantissa, exponent = self.tilts(hints, d_vocab, problems)
        tables = additive_tables(weights, arith)
        ones = arith.integers(np.ones(d_vocab, dtype=np.int64)).enclose()
        inverse = ones / arith.integers(np.arange(1, d_vocab + 1)).enclose()
        wrong = Fraction(0)
        offset = 0
        for q, terms in stratum_terms(tables, arith, hints):
            n_y = d_vocab - q
            part = slice(offset, offset + n_y)
            offset += n_y
            tilt = arith.dyadic(-mantissa[:, part].ravel(), exponent[:, part].ravel()).reshape(problems, n_y)
            for y, value in zip(range(q, d_vocab), _fractions(terms, tilt, inverse[q:], arith, k), strict=True):
                size = stratum_size(k, q, y)
                # SOUND: a lost or vacuous bound gives the whole stratum up.
                wrong += size if value is None else min(Fraction(size), value * (y + 1) ** (k - 1))
            progress(q + 1, d_vocab)
        return CountBound(wrong_at_most=wrong, wrong_at_least=None, decided=False)
