r"""R2: exponential moment (Chernoff) with hinted tilts.

Theorem. Let $g_i(t)$ be lower bounds of the terms of stratum $(q, y)$ (`terms.py`). For every $\lambda \ge 0$ the
number of its wrong sequences is at most

$$ e^{-\lambda g_{K-1}(q)} \sum_{\text{paths}} \prod_{i<K-1} \sum_{t \in \ell(e_i)} e^{-\lambda g_i(t)}, $$

the sum over the paths $e_0 .. e_{K-2}$ of the stratum's program (`strata.py`), and their weight under a distribution
is at most the sum with weights (`moments.py`). *Proof.* A wrong sequence has $\sum_i g_i \le 0$, so
$e^{-\lambda\sum_i g_i} \ge 1$, and its weight is at most its weight times that; all other terms are not negative. The
sum over the stratum is computed as `moments.py` says.

For Max-of-K and $q < y$ with $A' = \sum_{t<y}$, $a$ the term of y and $A = A' + a$ the pass is
$H \leftarrow HA_i + Ua_i,\; U \leftarrow UA'_i$: the sum over the place of the first y.

Soundness: for all weights, tasks and distributions; for every hint: `tilt` is any non-negative dyadic (negative ones
    are rejected), thresholds any dyadics, the options any of the words. A lost entry (NaN, infinity) gives its stratum
    up.
Cost: counted by running the rule over shapes; about 5 operations per (stratum, token, position, problem).
Source: new; specification `counting-proofs.md`, R2, R4, R5, R6, R8 and the far tokens of R7.
"""

from fractions import Fraction
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import Cost, counted_cost
from pessimal.kernel.counting.moments import moments_of
from pessimal.kernel.counting.tilts import SHORT_TILT, TILTS, positions_apart, require_no_far, tilts
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighed, weighing_of
from pessimal.kernel.terms.builder import stratum_terms
from pessimal.kernel.terms.options import TermOptions
from pessimal.kernel.terms.stratum import joined
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import DISTRIBUTIONS, Markov
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


class ExponentialMomentRule(AbstractRule):
    """R2 with the options of R4, R5, R6 and R8."""

    name: ClassVar[str] = "exponential-moment"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Counted; the form of every hint is checked here."""
        task = question.task
        s = architecture.shape
        names, arrays = TermOptions.names(hints, s.n_heads)
        short = SHORT_TILT in hints.arrays
        hints.only(names, {*((SHORT_TILT,) if short else TILTS), *arrays})
        options = TermOptions.read(hints, task, s.n_heads, s.d_vocab_out)
        tilts(hints, task, options, s.n_heads)
        require_no_far(question, options)
        positions = positions_apart(question, options)
        entries = 4 * s.k * s.d_vocab * s.d_vocab_out * s.n_heads
        entries += options.problems * positions * s.d_vocab * (task.n_outputs + options.near)
        if isinstance(question.distribution, Markov):
            entries += 3 * options.problems * s.d_vocab**2
        number = strata_of(task).number
        cost = counted_cost(
            architecture,
            lambda weights, arith: self.bound(weights, question, hints, arith, no_progress),
            dims=s.n_heads * (3 * s.d_vocab**2 + 2 * s.k * s.d_vocab),
            hints=((2 - short) * s.n_heads + (len(arrays) or 1) * (s.n_heads - 1)) * options.problems * number,
            entries=entries,
        )
        return weighed(cost, question, decisions=0)

    def require_conditions(self, weights: Weights, question: Question) -> None:
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
        require_no_far(question, options)
        moments, problems, strata = moments_of(question, arith), options.problems, strata_of(task)
        wrong: list[Fraction | None] = [Fraction(0)] * strata.number
        done = 0
        found = stratum_terms(weights, question, options, arith)
        for head, terms in joined(found, arith, positions_apart(question, options)):
            rows = slice(head * problems, (head + 1) * problems)
            place = (rows, terms.number)
            tilt = arith.dyadic(-mantissa[place].ravel(), exponent[place].ravel())
            bound = moments.moment(terms, tilt.reshape(problems, -1)).sum(0).upper()
            for number, scale, value in zip(terms.number.tolist(), moments.scale(terms), bound, strict=True):
                so_far = wrong[number]
                # SOUND: one lost bound loses the stratum.
                wrong[number] = None if value is None or so_far is None else so_far + value * scale
            done += terms.number.size
            progress(done, strata.number * shape.n_heads)
        weighing = weighing_of(question)
        capped: dict[tuple[int, int], Fraction] = {}
        for q, y in np.argwhere(strata.place >= 0).tolist():
            size, bounded = Fraction(weighing.stratum(q, y)), wrong[strata.place[q, y]]
            # SOUND: a lost or vacuous bound gives the whole stratum up.
            capped[q, y] = size if bounded is None else min(size, bounded)
        total = sum(capped.values(), Fraction(0))
        return CountBound(wrong_at_most=total, wrong_at_least=None, decided=False, strata=capped)
