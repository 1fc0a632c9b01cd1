r"""Exponential moment (Chernoff) with hinted tilts.

Theorem. Let $g_i(t)$ be lower bounds of the terms of stratum $(q, y)$ for one group of rivals and one head
(`builder.py`). For every $\lambda \ge 0$ the number of its sequences with $\sum_i g_i \le 0$ is at most

$$ e^{-\lambda g_{K-1}(q)} \sum_{\text{paths}} \prod_{i<K-1} \sum_{t \in \ell(e_i)} e^{-\lambda g_i(t)}, $$

the sum over the paths $e_0 .. e_{K-2}$ of the stratum's program (`strata.py`), and their weight under a distribution
is at most the sum with weights (`moments.py`). Summed over groups and heads this bounds the wrong sequences.

*Proof.* If $\sum_i g_i \le 0$, then $e^{-\lambda\sum_i g_i} \ge 1$, and the weight of the sequence is at most its
weight times that; all other terms are not negative. The sum over the stratum is computed as `moments.py` says. A wrong
sequence is wrong against some rival, which belongs to some group, and then has $\sum_i g_i \le 0$ for this group and
some head (`docs/separable-margin.md#several-heads`). ∎

Strata of outputs below the hint `least` have no terms and are given up: they count with their whole weight.

For Max-of-K and $q < y$ with $A' = \sum_{t<y}$, $a$ the term of y and $A = A' + a$ the pass is
$H \leftarrow HA_i + Ua_i,\; U \leftarrow UA'_i$: the sum over the place of the first y.

Soundness: for all weights, tasks and distributions; for every hint: `tilt` is any non-negative dyadic (negative ones
    are rejected), thresholds any dyadics, the options any of the words. A lost entry (NaN, infinity) gives its stratum
    up.
Cost: counted by running the rule over shapes; about 5 operations per (stratum, token, position, rival group).
Source: new.

Contents:
    ExponentialMomentInstance, ExponentialMomentRule — about one question, and about all.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import Uncounted
from pessimal.kernel.counting.moments import added_moments, moments_of
from pessimal.kernel.counting.tilts import SHORT_TILT, TILTS, positions_apart, tilts
from pessimal.kernel.hints import Dyadics, Hints
from pessimal.kernel.model.heads import separable_numbers
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.model.source import Sourced
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.kernel.terms.builder import stratum_terms
from pessimal.kernel.terms.options import TermOptions
from pessimal.kernel.terms.stratum import joined
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


@dataclass(frozen=True, eq=False)
class ExponentialMomentInstance(Sourced, AbstractInstance):
    """The theorem about one question.

    Attributes:
        options: which terms are bounded.
        tilts: lambda, `[heads * R, strata]`.
        n_hints: how many numbers of advice the certificate holds.
    """

    options: TermOptions
    tilts: Dyadics
    n_hints: int

    @property
    def length(self) -> Hashable:
        """The options, and how much advice is read."""
        return *self.options.words, self.n_hints

    def uncounted(self) -> Uncounted:
        """The numbers of the tables and of the hints."""
        return Uncounted(separable_numbers(self.architecture), self.n_hints)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """Sum over strata of min(size, bounds of all rival groups and heads), exact."""
        question, options = self.question, self.options
        terms_by_head = stratum_terms(
            weights, question, options, arith, self.tables(weights, question.semantics, arith)
        )
        blocks = joined(terms_by_head, arith, positions_apart(question, options))
        wrong = added_moments(blocks, moments_of(question, arith), self.tilts, progress)
        return CountBound.of(weighing_of(question).capped(wrong), decided=False)


class ExponentialMomentRule(AbstractRule):
    """Chernoff with the options of `terms/`."""

    name: ClassVar[str] = "exponential-moment"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """No final biases, at least two positions; every task, any number of heads."""
        require_separable(weights, question, one_head=False)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> ExponentialMomentInstance:
        """Options, tilts, and thresholds where there are several heads."""
        s = architecture.shape
        names, arrays = TermOptions.names(hints, s.n_heads)
        names |= {"least"} & hints.options.keys()
        short = SHORT_TILT in hints.arrays
        hints.only(names, {*((SHORT_TILT,) if short else TILTS), *arrays})
        options = TermOptions.read(hints, question, s)
        tilt = tilts(hints, question.task, options, s.n_heads)
        n_hints = ((2 - short) * s.n_heads + (len(arrays) or 1) * (s.n_heads - 1)) * tilt.mantissa.size // s.n_heads
        return ExponentialMomentInstance(architecture, question, options, tilt, n_hints)
