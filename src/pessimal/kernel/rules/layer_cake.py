r"""Layer cake: mean probability of the right output, and mean cross-entropy, from counts at several margins.

Let $m(t) = \min_{o \ne y}(\mathrm{logit}_y - \mathrm{logit}_o)$ be the margin of a sequence of stratum $(q, y)$, n the
number of outputs, and $\mu_1 < \dots < \mu_L$ any levels.

Theorem. (a) With the direct margin lowered by $\mu$ in the terms (`terms.py`), R2 bounds the weight $N_\mu$ of the
sequences with $m(t) \le \mu$. (b) Let S be the weight of the stratum, $N_l \ge N_{\mu_l}$, capped by S, and
$\pi(\mu) = 1 / (1 + (n-1)e^{-\mu})$. The probabilities of the right output add up, with weights, to at least

$$ \sum_l (\pi(\mu_l) - \pi(\mu_{l-1}))\,(S - N_l), \qquad \pi(\mu_0) = 0 . $$

(c) With $\ell(\mu) = \log(1 + (n-1)e^{-\mu})$ and $\Lambda$ at least every loss and every $\ell(\mu_l)$, the losses
add up to at most

$$ \ell(\mu_L)\,S + \sum_l (\ell(\mu_{l-1}) - \ell(\mu_l))\,N_l, \qquad \ell(\mu_0) = \Lambda . $$

*Proof.* (a) $Z\,(\mathrm{logit}_y - \mathrm{logit}_o - \mu)$ is separable as it is without $\mu$, which comes off the
direct margin because attention adds up to one; it is at most 0 for some o exactly if $m(t) \le \mu$. (b) If
$m(t) > \mu$, the softmax of the right output is $1/(1 + \sum_{o \ne y} e^{-(\mathrm{logit}_y - \mathrm{logit}_o)}) >
\pi(\mu)$. So it is at least $\sum_l (\pi(\mu_l) - \pi(\mu_{l-1}))\,[m(t) > \mu_l]$: the levels below the margin are the
first ones, and their differences add up to $\pi$ of the last of them; all differences are positive. (c) Likewise
$-\log \mathrm{softmax}_y < \ell(\mu)$ if $m(t) > \mu$, and $\le \Lambda$ always. With $\min(\ell, \Lambda)$ for $\ell$,
a loss is at most $\ell(\mu_L) + \sum_l (\ell(\mu_{l-1}) - \ell(\mu_l))\,[m(t) \le \mu_l]$.

(d) Rivals one by one (`rival` = every). With $m_o$ the margin over o, $1 - \mathrm{softmax}_y \le \sum_o 1/(1+e^{m_o})$
and $-\log\mathrm{softmax}_y \le \sum_o \log(1+e^{-m_o})$, because $x/(1+x)$ and $\log(1+x)$ are subadditive. Every
summand is that of a model with two outputs, so (b) and (c) hold for it with n = 2; over the R = n - 1 rivals of a
stratum, N is the sum of the rivals' and S counts R times. The same N, capped by S, also serves (b) and (c) with all
outputs, as a sequence with a margin of at most $\mu$ is counted for some rival; the smaller result is taken.

The sums are evaluated as $\sum_{l=0}^{L} f_l\,(N_{l+1} - N_l)$ with $N_0 = 0$, $N_{L+1} = S$, N made to increase (a
bound for a higher level bounds a lower one), and f an upper bound of $1 - \pi(\mu_l)$, or of
$\min(\ell(\mu_l), \Lambda)$: every share is at least 0, so an upper bound of f is enough.

$\Lambda$: a loss is at most $\log n + \max(0, \max_o(\mathrm{logit}_o - \mathrm{logit}_y))$. The difference is at most
the largest of $D(q)_o - D(q)_y$ plus, per head, that of $V_i(t)_o - V_i(t)_y$, as attention is a mean; both at most the
range over all outputs. Logarithms: $\log z \le a + ze^{-a} - 1$ for every a, with equality at $a = \log z$ (the
exponential is convex); a is a float64 near it. $\log(1 + x) \le x$ is used where it is smaller.

Soundness: for all weights without a final LayerNorm (whose scale multiplies all logits of a sequence, so that only the
    sign of a margin is in the tables), all tasks and distributions; hints: levels are any strictly increasing dyadics
    (others are rejected), tilts any non-negative ones. A lost number gives its stratum up: probability 0, loss
    $\Lambda$; a lost $\Lambda$ is `unsupported-model`.
Cost: counted over shapes: the moments of every level.
Source: new; the layer-cake formula on R2.
"""

from fractions import Fraction
from itertools import pairwise
from math import exp, isfinite, log
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Cost, counted_cost
from pessimal.kernel.counting.moments import moments_of
from pessimal.kernel.counting.tilts import positions_apart, require_no_far
from pessimal.kernel.hints import Hints, dyadics
from pessimal.kernel.model.heads import separable_heads
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighed, weighing_of
from pessimal.kernel.terms.builder import TermBuilder, all_terms
from pessimal.kernel.terms.options import TermOptions
from pessimal.kernel.terms.stratum import joined
from pessimal.spec.architecture import Architecture
from pessimal.spec.claim import LOSS, MEAN_PROBABILITY
from pessimal.spec.distribution import DISTRIBUTIONS, Markov
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights

LEVELS = ("level_mantissa", "level_exponent")
TILTS = ("tilt_mantissa", "tilt_exponent")
MAX_LEVELS = 64
Place = tuple[int, int]


def levels(hints: Hints) -> tuple[np.ndarray, np.ndarray, list[Fraction]]:
    """Mantissas, exponents and values of the levels, `[L]`, checked to increase."""
    count = hints.number("levels", 1, MAX_LEVELS)
    mantissa, exponent = dyadics(hints, LEVELS, (count,))
    values = [Fraction(m) * Fraction(2) ** e for m, e in zip(mantissa.tolist(), exponent.tolist(), strict=True)]
    if any(low >= high for low, high in pairwise(values)):
        raise Rejected(Reason.BAD_HINT, "levels must increase")
    return mantissa, exponent, values


def log_upper(z: AbstractEnclosure, near: float, arith: AbstractArithmetic) -> Fraction | None:
    """An upper bound of log z, shape (): z e^-a + a - 1 with a = `near`; None where lost."""
    a = arith.fraction(Fraction(near)) if isfinite(near) else arith.fraction(Fraction(0))
    one, zero = arith.fraction(Fraction(1)), arith.fraction(Fraction(0))
    return (z * (zero - a).exp() + a - one).reshape(1).upper()[0]


class LayerCakeRule(AbstractRule):
    """Counts at several margins added up."""

    name: ClassVar[str] = "layer-cake"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)
    quantities: ClassVar[tuple[str, ...]] = (MEAN_PROBABILITY, LOSS)

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Counted; the form of every hint is checked here."""
        task, s = question.task, architecture.shape
        names, arrays = TermOptions.names(hints, s.n_heads)
        hints.only({*names, "levels"}, {*TILTS, *LEVELS, *arrays})
        options = TermOptions.read(hints, task, s.n_heads, s.d_vocab_out)
        mantissa, _, _ = levels(hints)
        tilts = _tilts(hints, question, options, len(mantissa), s.n_heads)
        require_no_far(question, options)
        entries = 4 * s.k * s.d_vocab * s.d_vocab_out * s.n_heads
        entries += options.problems * (s.k - 1) * s.d_vocab * (task.n_outputs + options.near)
        entries += 3 * options.problems * s.d_vocab**2 * isinstance(question.distribution, Markov)
        cost = counted_cost(
            architecture,
            lambda weights, arith: _Sums(weights, question, hints, arith, no_progress),
            dims=s.n_heads * (3 * s.d_vocab**2 + 2 * s.k * s.d_vocab),
            hints=2 * (tilts[0].size + len(mantissa)) + sum(hints.arrays[name].size for name in arrays),
            entries=entries,
        )
        # The sums over levels are two operations per stratum and level.
        return weighed(cost, question, decisions=len(mantissa) * strata_of(task).number)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Real arithmetic, no final LayerNorm, at least two positions; every task, any number of heads."""
        if question.semantics != REAL:
            # SOUND: the layers are margins in nats, and how far rounding moves those is not proved.
            raise Rejected(
                Reason.UNSUPPORTED_MODEL,
                f"{self.name} is proved for real arithmetic, not semantics {question.semantics}: how far rounding moves"
                " a margin in nats is not",
            )
        require_separable(weights, question, one_head=False)
        if weights.architecture.ln_final:
            # SOUND: the tables then hold the logits times a positive number that differs between sequences.
            raise Rejected(
                Reason.UNSUPPORTED_MODEL, "under a final LayerNorm margins are known up to a positive factor only"
            )

    def bound(
        self,
        weights: Weights,
        question: Question,
        hints: Hints,
        arith: AbstractArithmetic,
        progress: Progress,
    ) -> CountBound:
        """Sum over strata of the layers, exact once levels and counts are bounded."""
        sums = _Sums(weights, question, hints, arith, progress)
        weighing, total = weighing_of(question), Fraction(0)
        for (q, y), counts in sums.at_most.items():
            size = Fraction(weighing.stratum(q, y))
            total += min(_cake(counts, size * copies, sums.heights(question, q, n)) for n, copies in sums.ways)
        return CountBound(wrong_at_most=total, wrong_at_least=None, decided=False)


def _tilts(
    hints: Hints, question: Question, options: TermOptions, n_levels: int, n_heads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas and exponents of the tilts, `[L * heads * R, strata]`, level by level, checked not negative."""
    shape = (n_levels * n_heads * options.problems, strata_of(question.task).number)
    mantissa, exponent = dyadics(hints, TILTS, shape)
    if mantissa.min() < 0:
        raise Rejected(Reason.BAD_HINT, "a tilt is negative")
    return mantissa, exponent


def _cake(counts: list[Fraction | None], whole: Fraction, heights: list[Fraction]) -> Fraction:
    """Sum over the layers of what lies between two levels times its height, the first below the lowest level."""
    below = _increasing(counts, whole)
    # SOUND: `below` increases, so every share is >= 0, and an upper bound of its height is enough.
    shares = [high - low for low, high in pairwise([Fraction(0), *below, whole])]
    return sum((share * height for share, height in zip(shares, heights, strict=True)), Fraction(0))


def _increasing(counts: list[Fraction | None], whole: Fraction) -> list[Fraction]:
    """Bounds at each level, capped by the whole, and by those of higher levels: fewer sequences lie below."""
    found, least = [], whole
    for value in reversed(counts):
        # SOUND: a lost count gives the stratum up at its level.
        least = least if value is None else min(least, value)
        found.append(least)
    return found[::-1]


Layer = tuple[Fraction | None, Fraction | None]


def _layer(quantity: str, layer: Layer, worst: Fraction) -> Fraction:
    """What a sequence above a level adds at most: 1 - pi, or the loss; `worst` where it is lost."""
    odds, loss = layer
    value = loss if quantity == LOSS else None if odds is None else odds / (1 + odds)
    return worst if value is None else min(worst, value)


class _Sums:
    """What a rule computes in its arithmetic.

    Attributes:
        ways: n and how often S counts: all outputs, once; and two, R times, where rivals are counted one by one.
        at_most: by stratum, bounds on the weight of the sequences with a margin up to each level, added up over rivals,
            None where lost.
        layers: by n and level, upper bounds of (n-1) e^-mu and of the loss l(mu), None where lost.
    """

    def __init__(
        self, weights: Weights, question: Question, hints: Hints, arith: AbstractArithmetic, progress: Progress
    ) -> None:
        shape = weights.architecture.shape
        options = TermOptions.read(hints, question.task, shape.n_heads, shape.d_vocab_out)
        mantissa, exponent, values = levels(hints)
        tilts = _tilts(hints, question, options, len(mantissa), shape.n_heads)
        require_no_far(question, options)
        builder = TermBuilder(weights, question, options, arith)
        moments, problems = moments_of(question, arith), options.problems
        self.ways = [(shape.d_vocab_out, 1), *([(2, problems)] if problems > 1 else [])]
        self.at_most: dict[Place, list[Fraction | None]] = {}
        self.layers: dict[int, list[Layer]] = {n: [] for n, _ in self.ways}
        for number, value in enumerate(values):
            level = arith.dyadic(mantissa[number : number + 1], exponent[number : number + 1])
            for n, layers in self.layers.items():
                layers.append(_odds_and_loss(level, value, n, arith))
            found: dict[Place, Fraction | None] = {}
            lowered = all_terms(builder, level.reshape(1, 1))
            for head, terms in joined(lowered, arith, positions_apart(question, options)):
                begin = (number * shape.n_heads + head) * problems
                place = (slice(begin, begin + problems), terms.number)
                tilt = arith.dyadic(-tilts[0][place].ravel(), tilts[1][place].ravel()).reshape(problems, -1)
                bound = moments.moment(terms, tilt).sum(0).upper()
                places = zip(terms.query.tolist(), terms.outputs.tolist(), strict=True)
                for where, scale, one in zip(places, moments.scale(terms), bound, strict=True):
                    so_far = found.get(where, Fraction(0))
                    found[where] = None if one is None or so_far is None else so_far + one * scale
            for where, bounded in found.items():
                self.at_most.setdefault(where, []).append(bounded)
            progress(number + 1, len(values))
        self._range = _logit_ranges(weights, arith) if question.quantity == LOSS else []
        self._log = {n: log_upper(arith.fraction(Fraction(n)), log(n), arith) for n, _ in self.ways}

    def heights(self, question: Question, q: int, n: int) -> list[Fraction]:
        """What a sequence adds at most: below the lowest level, and above each."""
        worst = Fraction(1) if question.quantity == MEAN_PROBABILITY else self.worst_loss(q, n)
        return [worst, *(_layer(question.quantity, one, worst) for one in self.layers[n])]

    def worst_loss(self, q: int, n: int) -> Fraction:
        """No loss among n outputs of a sequence with this query is larger."""
        reach, log_n = self._range[q], self._log[n]
        if reach is None or log_n is None:
            raise Rejected(Reason.UNSUPPORTED_MODEL, "the logits are too large to bound the worst loss")
        return max(Fraction(0), reach) + log_n


def _odds_and_loss(level: AbstractEnclosure, value: Fraction, n: int, arith: AbstractArithmetic) -> Layer:
    """Upper bounds of (n-1) e^-mu and of log(1 + (n-1) e^-mu)."""
    zero, one = arith.fraction(Fraction(0)), arith.fraction(Fraction(1))
    odds = (zero - level).exp() * arith.fraction(Fraction(n - 1))
    upper = odds.upper()[0]
    # Any `near` is sound; outside this range the exponential says enough, or nothing.
    near = log(1 + (n - 1) * exp(-float(max(min(value, Fraction(600)), Fraction(-600)))))
    loss = log_upper((odds + one).reshape(1)[0], near, arith)
    return upper, loss if upper is None or loss is None else min(loss, upper)


def _logit_ranges(weights: Weights, arith: AbstractArithmetic) -> list[Fraction | None]:
    """Upper bounds of the largest difference of two logits, by query."""
    heads, direct = separable_heads(weights, arith, REAL)
    reach = direct.max(-1) - direct.min(-1)
    for head in heads:
        spread = (head.value.max(-1) - head.value.min(-1)).reshape(-1)
        reach = reach + spread.max(0)
    return reach.upper()
