r"""Layer cake: sums over sequences of the probability of another output, or of losses, from counts at several margins.

Let $m(t) = \min_{o \ne y}(\mathrm{logit}_y - \mathrm{logit}_o)$ be the margin of a sequence of stratum $(q, y)$, n the
number of outputs, and $\mu_1 < \dots < \mu_L$ any levels.

Theorem. (b) Let S be the weight of the stratum, $N_l \ge N_{\mu_l}$, capped by S, with $N_\mu$ the weight of the
sequences with $m(t) \le \mu$, and $\pi(\mu) = 1 / (1 + (n-1)e^{-\mu})$. The probabilities of the right output add up,
with weights, to at least

$$ \sum_l (\pi(\mu_l) - \pi(\mu_{l-1}))\,(S - N_l), \qquad \pi(\mu_0) = 0 . $$

(c) With $\ell(\mu) = \log(1 + (n-1)e^{-\mu})$ and $\Lambda$ at least every loss and every $\ell(\mu_l)$, the losses
add up to at most

$$ \ell(\mu_L)\,S + \sum_l (\ell(\mu_{l-1}) - \ell(\mu_l))\,N_l, \qquad \ell(\mu_0) = \Lambda . $$

(d) Rivals one by one. Over the R = n - 1 rivals of a stratum let $N_l$ be the sum of the weights of the sequences with
$m_o(t) \le \mu_l$, $m_o$ the margin over o. Then (b) and (c) hold with n = 2 and S counted R times; and with all n
outputs too, with $N_l$ capped by S: the smaller result is taken.

*Proof.* (b) If $m(t) > \mu$, the softmax of the right output is
$1/(1 + \sum_{o \ne y} e^{-(\mathrm{logit}_y - \mathrm{logit}_o)}) > \pi(\mu)$. So it is at least
$\sum_l (\pi(\mu_l) - \pi(\mu_{l-1}))\,[m(t) > \mu_l]$: the levels below the margin are the first ones, and their
differences add up to $\pi$ of the last of them; all differences are positive. (c) Likewise
$-\log \mathrm{softmax}_y < \ell(\mu)$ if $m(t) > \mu$, and $\le \Lambda$ always. With $\min(\ell, \Lambda)$ for $\ell$,
a loss is at most $\ell(\mu_L) + \sum_l (\ell(\mu_{l-1}) - \ell(\mu_l))\,[m(t) \le \mu_l]$. (d)
$1 - \mathrm{softmax}_y \le \sum_o 1/(1+e^{m_o})$ and $-\log\mathrm{softmax}_y \le \sum_o \log(1+e^{-m_o})$, because
$x/(1+x)$ and $\log(1+x)$ are subadditive. Every summand is that of a model with two outputs; (b) and (c) are added up
over the rivals. A sequence with a margin of at most $\mu$ is counted for some rival. ∎

A rival that is not counted because all its margins lie above $\mu_L$ still has its share, S times the last height.

The sums are evaluated as $\sum_{l=0}^{L} f_l\,(N_{l+1} - N_l)$ with $N_0 = 0$, $N_{L+1} = S$, N made to increase (a
bound for a higher level bounds a lower one), and f an upper bound of $1 - \pi(\mu_l)$, or of
$\min(\ell(\mu_l), \Lambda)$: every share is at least 0, so an upper bound of f is enough.

$\Lambda$: a loss is at most $\log n + \max(0, \max_o(\mathrm{logit}_o - \mathrm{logit}_y))$. The difference is at most
the largest of $D(q)_o - D(q)_y$ plus, per head, that of $V_i(t)_o - V_i(t)_y$, as attention is a mean; both at most the
range over all outputs. Logarithms: $\log z \le a + ze^{-a} - 1$ for every a, with equality at $a = \log z$ (the
exponential is convex); a is a float64 near it. $\log(1 + x) \le x$ is used where it is smaller.

| symbol | name in the code | shape |
|---|---|---|
| $\mu_l$ | `levels`, `values_of` | `[L]` |
| $N_l$ | `at_most`, made to increase by `_increasing` | `[L]` |
| S, how often it counts | `whole`; `copies` | |
| $f_l$ | `Heights.of` | `[L + 1]` |
| $\Lambda$ | `Heights.worst_loss` | by query |

Contents:
    LEVELS, MAX_LEVELS, read_levels, values_of — levels from hints, and as rationals.
    require_nats — that margins are known in nats.
    Heights — what a sequence adds at most, between two levels.
    log_upper — upper bound of a logarithm.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import exp, isfinite, log

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.hints import Dyadics, Hints
from pessimal.kernel.model.source import Tables
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.claim import LOSS, MEAN_PROBABILITY
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights

LEVELS = ("level_mantissa", "level_exponent")
MAX_LEVELS = 64


def read_levels(hints: Hints) -> Dyadics:
    """The levels, `[L]`, checked to increase."""
    levels = hints.dyadics("level", (hints.number("levels", 1, MAX_LEVELS),))
    if any(low >= high for low, high in pairwise(values_of(levels))):
        raise Rejected(Reason.BAD_HINT, "levels must increase")
    return levels


def values_of(levels: Dyadics) -> list[Fraction]:
    """The levels as fractions."""
    pairs = zip(levels.mantissa.tolist(), levels.exponent.tolist(), strict=True)
    return [m * Fraction(2) ** e for m, e in pairs]


def require_nats(name: str, weights: Weights, question: Question) -> None:
    """Raise `Rejected(unsupported-model)` unless the tables of the model hold margins in nats."""
    if question.semantics != REAL:
        # SOUND: the layers are margins in nats, and how far rounding moves those is not proved.
        raise Rejected(
            Reason.UNSUPPORTED_MODEL,
            f"{name} is proved for real arithmetic, not semantics {question.semantics}: how far rounding moves"
            " a margin in nats is not",
        )
    if weights.architecture.ln_final:
        # SOUND: the tables then hold the logits times a positive number that differs between sequences.
        raise Rejected(
            Reason.UNSUPPORTED_MODEL, "under a final LayerNorm margins are known up to a positive factor only"
        )


Layer = tuple[Fraction | None, Fraction | None]


class Heights:
    """What a sequence adds at most: below the lowest level, and above each.

    Attributes:
        ways: n and how often S counts: all outputs, once; and two, R times, where R rivals are counted one by one.
        layers: by n and level, upper bounds of (n-1) e^-mu and of the loss l(mu), None where lost.
    """

    def __init__(self, quantity: str, levels: Dyadics, rivals: int, tables: Tables, arith: AbstractArithmetic) -> None:
        """`rivals`: how many are counted one by one, or 1; `tables`: of the model."""
        self._quantity, outputs = quantity, tables[1].shape[1]
        self._of: dict[tuple[int, int], list[Fraction]] = {}
        self.ways = [(outputs, 1), *([(2, rivals)] if rivals > 1 else [])]
        self.layers: dict[int, list[Layer]] = {n: [] for n, _ in self.ways}
        for index, value in enumerate(values_of(levels)):
            level = levels[index : index + 1].enclosed(arith)
            for n, layers in self.layers.items():
                layers.append(_odds_and_loss(level, value, n))
        self._range = _logit_ranges(tables) if quantity == LOSS else []
        self._log = {n: log_upper(arith.fraction(Fraction(n)), log(n)) for n, _ in self.ways}

    def of(self, q: int, n: int) -> list[Fraction]:
        """Those of a query with n outputs, `[L + 1]`."""
        if (q, n) not in self._of:
            worst = Fraction(1) if self._quantity == MEAN_PROBABILITY else self.worst_loss(q, n)
            self._of[q, n] = [worst, *(_layer(self._quantity, layer, worst) for layer in self.layers[n])]
        return self._of[q, n]

    def worst_loss(self, q: int, n: int) -> Fraction:
        """No loss among n outputs of a sequence with this query is larger."""
        reach, log_n = self._range[q], self._log[n]
        if reach is None or log_n is None:
            raise Rejected(Reason.UNSUPPORTED_MODEL, "the logits are too large to bound the worst loss")
        return max(Fraction(0), reach) + log_n

    def summed(self, at_most: Sequence[Fraction | None], size: Fraction, q: int) -> Fraction:
        """What the sequences of a stratum add up to at most, by the best of the ways.

        Args:
            at_most: bounds on the weight up to each level, added up over rivals; None where lost.
            size: weight of the stratum.
            q: its query.
        """
        return min(_cake(at_most, size * copies, self.of(q, n)) for n, copies in self.ways)


def _cake(counts: Sequence[Fraction | None], whole: Fraction, heights: list[Fraction]) -> Fraction:
    """Sum over the layers of what lies between two levels times its height, the first below the lowest level."""
    below = _increasing(counts, whole)
    # SOUND: `below` increases, so every share is >= 0, and an upper bound of its height is enough.
    shares = [high - low for low, high in pairwise([Fraction(0), *below, whole])]
    return sum((share * height for share, height in zip(shares, heights, strict=True) if share), Fraction(0))


def _increasing(counts: Sequence[Fraction | None], whole: Fraction) -> list[Fraction]:
    """Bounds at each level, capped by the whole, and by those of higher levels: fewer sequences lie below."""
    bounds, least = [], whole
    for value in reversed(counts):
        # SOUND: a lost count gives the stratum up at its level.
        least = least if value is None else min(least, value)
        bounds.append(least)
    return bounds[::-1]


def _layer(quantity: str, layer: Layer, worst: Fraction) -> Fraction:
    """What a sequence above a level adds at most: 1 - pi, or the loss; `worst` where it is lost."""
    odds, loss = layer
    value = loss if quantity == LOSS else None if odds is None else odds / (1 + odds)
    return worst if value is None else min(worst, value)


def _odds_and_loss(level: AbstractEnclosure, value: Fraction, n: int) -> Layer:
    """Upper bounds of (n-1) e^-mu and of log(1 + (n-1) e^-mu)."""
    odds = (-level).exp() * (n - 1)
    upper = odds.upper()[0]
    # Any `near` is sound; outside this range the exponential says enough, or nothing.
    near = log(1 + (n - 1) * exp(-float(max(min(value, Fraction(600)), Fraction(-600)))))
    loss = log_upper((odds + 1).reshape(1)[0], near)
    return upper, loss if upper is None or loss is None else min(loss, upper)


def _logit_ranges(tables: Tables) -> list[Fraction | None]:
    """Upper bounds of the largest difference of two logits, by query."""
    heads, direct = tables
    reach = direct.max(-1) - direct.min(-1)
    for head in heads:
        spread = (head.value.max(-1) - head.value.min(-1)).reshape(-1)
        reach = reach + spread.max(0)
    return reach.upper()


def log_upper(z: AbstractEnclosure, near: float) -> Fraction | None:
    """An upper bound of log z, shape (): z e^-a + a - 1 with a = `near`; None where lost."""
    a = z.number(Fraction(near) if isfinite(near) else Fraction(0))
    return (z * (-a).exp() + a - 1).reshape(1).upper()[0]
