r"""Grid counting: terms rounded to a grid, sequences counted exactly, from below and from above.

Theorem. Let $g_i(t)$ be lower bounds of the terms of stratum $(q, y)$ for one group of rivals (`terms/`) and $h > 0$ a
step. With $n_i(t) = \lfloor g_i(t) / h \rfloor$ every sequence that is wrong against the group has

$$ \textstyle\sum_{i<K-1} n_i(t_i) \le T = \lfloor -g_{K-1}(q) / h \rfloor . $$

The sequences of the stratum with that property are counted exactly, in integers (`counting/grid.py`): the coefficients
up to T of the sum over the paths of its program (`strata.py`) of products of polynomials
$\sum_{t \in \ell(e_i)} X^{n_i(t)}$; with independent positions every $X^{n_i(t)}$ has the weight $w_i(t)$, and the
result is a weight.

Upper bound on accuracy (`sides` = 2; every rival, each position, one head, so that the terms are the true ones): with
$\lceil g_i(t)/h \rceil$ everywhere, a sequence with $\sum_i \lceil g_i(t_i)/h \rceil \le 0$ is certainly wrong. The
wrong sequences of a stratum include those against each rival, so the largest count over rivals is a lower bound.

*Proof.* A sequence wrong against the group has $\sum_i g_i(t_i) \le 0$, so
$\sum_{i<K-1} n_i(t_i) \le \sum_{i<K-1} g_i(t_i) / h \le -g_{K-1}(q) / h$, and the left side is an integer. A wrong
sequence is wrong against some group and for some head, so counts are added. For the upper bound,
$\sum_i g_i(t_i) \le h\sum_i\lceil g_i(t_i)/h\rceil \le 0$ with the true terms against one rival. ∎

A group may have a tilt instead of a step, or both: the exponential moment bounds it too, and the smaller bound counts.
Groups of a stratum are summed and capped by its size.

Soundness: for all weights and tasks, independent positions; steps and tilts are any non-negative dyadics (a zero step
    means no grid). A group whose terms are lost, or whose threshold is `cells` or more above the smallest sum, is
    given up to the moment.
Cost: counted over shapes for terms and moments; a product with the polynomial of n tokens is n shifted additions of
    `cells` entries (ADR 0006), and as many products where tokens have weights.
Source: new.

Contents:
    GridCountInstance, GridCountRule — about one question, and about all.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_FLOP, Uncounted
from pessimal.kernel.counting.grid import grid_terms
from pessimal.kernel.counting.moments import IndependentMoments
from pessimal.kernel.counting.tilts import TILTS, tilts
from pessimal.kernel.hints import Dyadics, Hints
from pessimal.kernel.model.heads import separable_numbers
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.model.source import Sourced
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.unlayered import unlayered
from pessimal.kernel.strata.weighing import WORD, weighing_of
from pessimal.kernel.terms.builder import stratum_terms
from pessimal.kernel.terms.options import TermOptions
from pessimal.kernel.terms.stratum import StratumTerms
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import Product, Uniform
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights

STEPS = ("step_mantissa", "step_exponent")
MAX_CELLS = 1 << 16


@dataclass(frozen=True, eq=False)
class GridCountInstance(Sourced, AbstractInstance):
    """The theorem about one question.

    Attributes:
        options: which terms are bounded.
        tilts, steps: lambda and h by rival group and stratum, `[heads * R, strata]`; a step of zero is no grid.
        cells: how far above the smallest sum a threshold may be.
        two_sided: whether wrong sequences are bounded from below too.
        n_hints: how many numbers of advice the certificate holds.
    """

    options: TermOptions
    tilts: Dyadics
    steps: Dyadics
    cells: int
    two_sided: bool
    n_hints: int

    @property
    def length(self) -> Hashable:
        """The options, and which groups of which strata have a grid."""
        return *self.options.words, self.cells, self.two_sided, self.n_hints, (self.steps.mantissa > 0).tobytes()

    def uncounted(self) -> Uncounted:
        """The operations of the polynomial products."""
        active = (self.steps.mantissa > 0).sum(0)
        products = (1 + self.two_sided) * self.cells * _additions(self.question, active, self.options)
        # Counts are integers as long as the number of sequences; a polynomial for every state before and after a
        # position, and one for every letter, which is a list of Python first.
        bits, moves = self.question.total().bit_length(), strata_of(self.question.task).recogniser.moves
        n_bytes = self.cells * (2 * len(moves) * (16 + bits // 8) + 48 * moves.shape[1])
        ops = OPS_PER_FLOP * products * (1 + bits // WORD)
        return Uncounted(separable_numbers(self.architecture), self.n_hints, products, ops, n_bytes=n_bytes)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """Sum over strata of min(size, bounds of all groups and heads); and the lower bound on wrong sequences."""
        question, options, groups = self.question, self.options, self.options.n_groups
        weighing = weighing_of(question)
        moments, strata = IndependentMoments(question, arith), weighing.strata
        upper, lower = [Fraction(0)] * strata.stratum_count, 0
        for head, terms in stratum_terms(
            weights, question, options, arith, self.tables(weights, question.semantics, arith)
        ):
            groups_and_strata = (slice(head * groups, (head + 1) * groups), terms.stratum_index)
            values = moments.moment(terms, (-self.tilts[groups_and_strata]).enclosed(arith)).reshape(-1).upper()
            whole = moments.whole(terms)
            counts = _counts(terms, self.steps[groups_and_strata], moments, self.cells, two_sided=self.two_sided)
            for row, index in enumerate(terms.stratum_index.tolist()):
                size = weighing.stratum(int(terms.query[row]), int(terms.outputs[row]))
                for r in range(groups):
                    value = values[r * len(whole) + row]
                    bound = Fraction(size) if value is None else value * whole[row]
                    upper[index] += min(bound, counts[0].get((r, row), size))
                lower += max(counts[1].get((r, row), 0) for r in range(groups))
            progress(int(terms.query[-1]) + 1, question.task.d_vocab)
        return CountBound.of(weighing.capped(upper), decided=False, at_least=lower if self.two_sided else None)


class GridCountRule(AbstractRule):
    """Counting on a grid with the options of `terms/`."""

    name: ClassVar[str] = "grid-count"
    distributions: ClassVar[tuple[str, ...]] = (Uniform.name, Product.name)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """No final biases, at least two positions; every task, any number of heads."""
        require_separable(weights, question, one_head=False)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> GridCountInstance:
        """Options, tilts, steps, and thresholds where there are several heads."""
        s, task = architecture.shape, question.task
        names, arrays = TermOptions.names(hints, s.n_heads)
        hints.only({*names, "cells", "sides"}, {*TILTS, *STEPS, *arrays})
        options = TermOptions.read(hints, question, s)
        shape = (s.n_heads * options.n_groups, strata_of(task).stratum_count)
        two_sided = hints.number("sides", 1, 2) == 2
        exact_terms = options.rival == "every" and not options.pooled and options.near == task.d_vocab
        if two_sided and not (exact_terms and s.n_heads == 1):
            raise Rejected(Reason.BAD_HINT, "sides=2 needs rival=every, position=each, near=d_vocab and one head")
        return GridCountInstance(
            architecture,
            question,
            options,
            tilts=tilts(hints, task, options, s.n_heads),
            steps=hints.dyadics("step", shape).require_not_negative("step"),
            cells=hints.number("cells", 1, MAX_CELLS),
            two_sided=two_sided,
            n_hints=2 * (3 * s.n_heads - 1) * options.n_groups * shape[1],
        )


GroupCounts = dict[tuple[int, int], int]


def _counts(
    terms: StratumTerms, steps: Dyadics, moments: IndependentMoments, cells: int, *, two_sided: bool
) -> tuple[GroupCounts, GroupCounts]:
    """Counts of the groups with a step: at most this many wrong, and (if `two_sided`) at least this many."""
    counts: tuple[GroupCounts, GroupCounts] = ({}, {})
    for r in np.flatnonzero((steps.mantissa > 0).any(1)).tolist():
        mantissa, exponent = steps[r].mantissa, steps[r].exponent
        active = np.flatnonzero(mantissa > 0)
        # Strata without a step are divided by one and not looked at.
        step = Dyadics(np.where(mantissa > 0, mantissa, 1), np.where(mantissa > 0, exponent, 0)).enclosed(moments.arith)
        rows = np.nonzero(terms.letter != DEAD)[0]
        near = (terms.near[r] / step[rows]).bounds()
        far, last = (terms.far[r] / step).bounds(), (terms.last[r] / step).bounds()
        for side, rounding in ((0, np.floor), (1, np.ceil))[: 1 + two_sided]:
            for row in active.tolist():
                grid = grid_terms(terms, near[side], far[side], last[side], row, rounding, moments)
                count = None if grid is None else grid.count(cells)
                if count is not None:
                    counts[side][r, row] = count * moments.last(int(terms.query[row]))
    return counts


def _additions(question: Question, active: np.ndarray, options: TermOptions) -> int:
    """Tokens added to a polynomial, over all groups with a step: `cells` additions each, and products by weights."""
    strata, total = strata_of(question.task), 0
    rows = [len(rows) for rows in question.distribution.arrays().values()]
    by_power = options.pooled and rows in ([], [1])
    for q, y in zip(*np.nonzero(strata.stratum_index >= 0), strict=True):
        groups = int(active[strata.stratum_index[q, y]])
        if groups:
            program = strata.program(int(q), int(y))
            layers = program.layers[1:]
            if by_power and program.source is not None:
                layers = (unlayered(program.source)[0],) * (2 * len(program.layers).bit_length())
            total += groups * sum(strata.count(int(y), letters) for layer in layers for _, letters in layer)
    return total * (2 if rows else 1)
