r"""R2: exponential moment (Chernoff) with hinted tilts.

Theorem. Let $g_i(t)$ be lower bounds of the terms of stratum $(q, y)$ (`terms.py`). For every $\lambda \ge 0$ the
number of its wrong sequences is at most

$$ e^{-\lambda g_{K-1}(q)} \sum_{\text{paths}} \prod_{i<K-1} \sum_{t \in \ell(e_i)} e^{-\lambda g_i(t)}, $$

the sum over the paths $e_0 .. e_{K-2}$ of the stratum's program (`strata.py`). *Proof.* A wrong sequence has
$\sum_i g_i \le 0$, so $e^{-\lambda\sum_i g_i} \ge 1$; every sequence of the stratum lies on exactly one path; the sum
over the sequences of a path of a product of one factor per position is the product of the sums. All terms are
positive, nothing is subtracted. The sum over paths is one pass over the program's layers, or a matrix power where all
positions share their term. Factors are divided by the number n of tokens the output allows, so the result is a
fraction of $n^{K-1}$ and neither overflows nor underflows with K.

For Max-of-K and $q < y$ with $A' = \sum_{t<y}$, $a$ the term of y and $A = A' + a$ the pass is
$H \leftarrow HA_i + Ua_i,\; U \leftarrow UA'_i$: the sum over the place of the first y.

Soundness: for all weights and tasks; for every hint: `tilt` is any non-negative dyadic (negative ones are rejected),
    thresholds any dyadics, the options any of the words. A lost entry (NaN, infinity) gives its stratum up.
Cost: counted by running the rule over shapes; about 5 operations per (stratum, token, position, problem).
Source: new; specification `counting-proofs.md`, R2, R4, R5, R6, R8 and the far tokens of R7.
"""

from fractions import Fraction
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Cost, counted_cost
from pessimal.kernel.heads import require_separable
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Hints, Progress, no_progress
from pessimal.kernel.rules.terms import StratumTerms, TermOptions, dyadics, joined, stratum_terms
from pessimal.kernel.strata import Letters, Strata, strata_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights

TILTS = ("tilt_mantissa", "tilt_exponent")
SHORT_TILT = "tilt"
# Exponents of short tilts: 1 .. 2**13 - 1, less this.
SHORT_BIAS = 1001


def moment(
    terms: StratumTerms, tilt: AbstractEnclosure, arith: AbstractArithmetic, n_tokens: np.ndarray
) -> AbstractEnclosure:
    """The bound of every stratum and problem, as a fraction of n_tokens**(K-1); `tilt` is -lambda; both `[R, Y]`."""
    problems, n_y = terms.last.shape
    rows = np.nonzero(terms.letter != DEAD)[0]
    factor = (terms.near * tilt[:, rows].reshape(problems, 1, rows.size)).exp()[:, :, terms.pair]  # [R, I, Y, G]
    ones = arith.integers(np.ones(n_y, dtype=np.int64)).enclose()
    inverse = ones / arith.integers(n_tokens).enclose()
    far = None
    if terms.n_far.any():
        count = arith.integers(terms.n_far).enclose()
        far = ((terms.far * tilt).exp().where(terms.n_far > 0, 0) * count).reshape(problems, 1, n_y)
    known: dict[Letters, AbstractEnclosure] = {}

    def summed(letters: Letters) -> AbstractEnclosure:
        """Sum over the tokens with some letters, over the number of tokens, `[R, I, Y]`."""
        if letters not in known:
            first, *rest = sorted(letters)
            if rest:
                total = summed(frozenset({first}))
                for letter in rest:
                    total = total + summed(frozenset({letter}))
            else:
                total = factor.sum_where(terms.letter == first)
                total = (total if far is None or first != 0 else total + far) * inverse
            known[letters] = total
        return known[letters]

    def plus(a: AbstractEnclosure, b: AbstractEnclosure) -> AbstractEnclosure:
        return a + b

    def times(a: AbstractEnclosure, b: AbstractEnclosure) -> AbstractEnclosure:
        return a * b

    if terms.near.shape[1] == 1:
        paths = terms.program.power(lambda letters: summed(letters)[:, 0], plus, times)
    else:
        paths = terms.program.run(lambda i, letters: summed(letters)[:, i], plus, times)
    return paths * (terms.last * tilt).exp()


def tilts(hints: Hints, task: AbstractTask, options: TermOptions, n_heads: int) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas and exponents of lambda, `[heads * R, strata]`, checked: 0 <= m <= 2**53, |e| <= 1000.

    Two encodings: the arrays of `TILTS`, or `SHORT_TILT`, 16 bits each: the lower three are m - 8, the upper thirteen
    e + 1001, and 0 there makes the tilt zero.
    """
    shape = (n_heads * options.problems, strata_of(task).number)
    if SHORT_TILT in hints.arrays:
        numbers = hints.halfwords(SHORT_TILT, shape)
        zero = numbers < 8
        pair = np.where(zero, 0, 8 + numbers % 8), np.where(zero, 0, numbers // 8 - SHORT_BIAS)
        hints = Hints(arrays=dict(zip(TILTS, pair, strict=True)))
    mantissa, exponent = dyadics(hints, TILTS, shape)
    if mantissa.min() < 0:
        raise Rejected(Reason.BAD_HINT, "a tilt is negative")
    return mantissa, exponent


def token_counts(strata: Strata, terms: StratumTerms) -> np.ndarray:
    """How many tokens each output allows, `[Y]`."""
    return np.asarray(np.array([sum(counts) for counts in strata.letter_counts])[terms.outputs])


class ExponentialMomentRule(AbstractRule):
    """R2 with the options of R4, R5, R6 and R8."""

    name: ClassVar[str] = "exponential-moment"

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Counted; the form of every hint is checked here."""
        task = question.task
        s = architecture.shape
        names, arrays = TermOptions.names(hints, s.n_heads)
        short = SHORT_TILT in hints.arrays
        hints.only(names, {*((SHORT_TILT,) if short else TILTS), *arrays})
        options = TermOptions.read(hints, task, s.n_heads, s.d_vocab_out)
        tilts(hints, task, options, s.n_heads)
        positions = 1 if options.pooled else s.k - 1
        entries = 2 * s.k * s.d_vocab * s.d_vocab_out * s.n_heads
        entries += options.problems * positions * s.d_vocab * (task.n_outputs + options.near)
        number = strata_of(task).number
        return counted_cost(
            architecture,
            lambda weights, arith: self.bound(weights, question, hints, arith, no_progress),
            dims=s.n_heads * (3 * s.d_vocab**2 + 2 * s.k * s.d_vocab),
            hints=((2 - short) * s.n_heads + (len(arrays) or 1) * (s.n_heads - 1)) * options.problems * number,
            entries=entries,
        )

    def require_covers(self, weights: Weights, question: Question) -> None:
        """No final biases, at least two positions; every task, any number of heads."""
        require_separable(weights, question, one_head=False)

    def bound(
        self,
        weights: Weights,
        question: Question,
        hints: Hints,
        arith: AbstractArithmetic,
        progress: Progress,
    ) -> CountBound:
        """Sum over strata of min(size, bounds of all problems and heads), exact."""
        task = question.task
        shape = weights.architecture.shape
        options = TermOptions.read(hints, task, shape.n_heads, shape.d_vocab_out)
        mantissa, exponent = tilts(hints, task, options, shape.n_heads)
        strata, problems = strata_of(task), options.problems
        wrong: list[Fraction | None] = [Fraction(0)] * strata.number
        done = 0
        for head, terms in joined(stratum_terms(weights, question, options, arith), arith):
            rows = slice(head * problems, (head + 1) * problems)
            place = (rows, terms.number)
            tilt = arith.dyadic(-mantissa[place].ravel(), exponent[place].ravel())
            n_tokens = token_counts(strata, terms)
            bound = moment(terms, tilt.reshape(problems, -1), arith, n_tokens).sum(0).upper()
            for number, n, value in zip(terms.number.tolist(), n_tokens.tolist(), bound, strict=True):
                so_far = wrong[number]
                # SOUND: one lost bound loses the stratum.
                lost = value is None or so_far is None
                wrong[number] = None if lost else so_far + value * n ** (task.k - 1)
            done += terms.number.size
            progress(done, strata.number * shape.n_heads)
        total = Fraction(0)
        for q, y in zip(*(side.tolist() for side in np.nonzero(strata.place >= 0)), strict=True):
            size, value = strata.size(q, y), wrong[strata.place[q, y]]
            # SOUND: a lost or vacuous bound gives the whole stratum up.
            total += size if value is None else min(size, value)
        return CountBound(wrong_at_most=total, wrong_at_least=None, decided=False)
