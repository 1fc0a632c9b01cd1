r"""R3: grid counting, two-sided.

Theorem. Let $g_i(t)$ be lower bounds of the terms of stratum $(q, y)$ for one problem (`terms.py`) and $h > 0$ a step.
A wrong sequence has $\sum_i g_i(t_i) \le 0$, so with $n_i(t) = \lfloor g_i(t) / h \rfloor$

$$ \textstyle\sum_{i<K-1} n_i(t_i) \le T = \lfloor -g_{K-1}(q) / h \rfloor , $$

and the sequences of the stratum with that property are counted exactly, in integers: the coefficients up to T of the
sum over the paths of its program (`strata.py`) of products of polynomials $\sum_{t \in \ell(e_i)} X^{n_i(t)}$; with
independent positions every $X^{n_i(t)}$ has the weight $w_i(t)$, and the result is a weight.

Upper bound on accuracy (`sides` = 2; every rival, each position, one head, so that the terms are the true ones): with
$\lceil g_i(t)/h \rceil$ everywhere, a sequence with $\sum_i \lceil g_i(t_i)/h \rceil \le 0$ is certainly wrong. The
wrong sequences of a stratum include those against each rival, so the largest count over rivals is a lower bound.

A problem may have a tilt instead of a step, or both: the exponential moment bounds it too (R2), and the smaller bound
counts. Problems of a stratum are summed (R4) and capped by its size.

Soundness: for all weights and tasks, independent positions; steps and tilts are any non-negative dyadics (a zero step
    means no grid). A problem whose terms are lost, or whose threshold is `cells` or more above the smallest sum, is
    given up to the moment.
Cost: counted over shapes for terms and moments; a product with the polynomial of n tokens is n shifted additions of
    `cells` entries (ADR 0006), and as many products where tokens have weights.
Source: new; specification `counting-proofs.md`, R3 and R4.
"""

from fractions import Fraction
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_FLOP, Cost, counted_cost
from pessimal.kernel.counting.grid import GridProblem, grid_problem
from pessimal.kernel.counting.moments import IndependentMoments
from pessimal.kernel.counting.tilts import TILTS, tilts
from pessimal.kernel.hints import Hints, dyadics
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighed, weighing_of
from pessimal.kernel.terms.builder import stratum_terms
from pessimal.kernel.terms.options import TermOptions
from pessimal.kernel.terms.stratum import StratumTerms
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import Product, Uniform
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights

STEPS = ("step_mantissa", "step_exponent")
MAX_CELLS = 1 << 16


class GridCountRule(AbstractRule):
    """R3 with the options of R4 to R6 and R8."""

    name: ClassVar[str] = "grid-count"
    distributions: ClassVar[tuple[str, ...]] = (Uniform.name, Product.name)

    def _read(
        self, hints: Hints, task: AbstractTask, n_heads: int, d_vocab_out: int
    ) -> tuple[TermOptions, np.ndarray, np.ndarray, int, bool]:
        """Term options, steps, cells, and whether both sides are bounded; checked."""
        options = TermOptions.read(hints, task, n_heads, d_vocab_out)
        mantissa, exponent = dyadics(hints, STEPS, (n_heads * options.problems, strata_of(task).number))
        if mantissa.min() < 0:
            raise Rejected(Reason.BAD_HINT, "a step is negative")
        both = hints.number("sides", 1, 2) == 2
        exact_terms = options.rival == "every" and not options.pooled and options.near == task.d_vocab
        if both and not (exact_terms and n_heads == 1):
            raise Rejected(Reason.BAD_HINT, "sides=2 needs rival=every, position=each, near=d_vocab and one head")
        return options, mantissa, exponent, hints.number("cells", 1, MAX_CELLS), both

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """Counted, and the polynomial products; the form of every hint is checked here."""
        task = question.task
        s = architecture.shape
        names, arrays = TermOptions.names(hints, s.n_heads)
        hints.only({*names, "cells", "sides"}, {*TILTS, *STEPS, *arrays})
        options, mantissa, _, cells, both = self._read(hints, task, s.n_heads, s.d_vocab_out)
        tilts(hints, task, options, s.n_heads)
        entries = 4 * s.k * s.d_vocab * s.d_vocab_out * s.n_heads + 64 * cells
        entries += 3 * options.problems * (s.k - 1) * s.d_vocab * (task.n_outputs + options.near)
        rest = counted_cost(
            architecture,
            lambda weights, arith: self.bound(weights, question, hints, arith, no_progress),
            dims=s.n_heads * (3 * s.d_vocab**2 + 2 * s.k * s.d_vocab),
            hints=2 * (3 * s.n_heads - 1) * options.problems * strata_of(task).number,
            entries=entries,
        )
        products = (1 + both) * cells * _additions(question, (mantissa > 0).sum(0), options)
        cost = Cost(rest.flops + products, rest.checker_ops + OPS_PER_FLOP * products, rest.unexplained_dims,
                    rest.bytes_needed)  # fmt: skip
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
        """Sum over strata of min(size, bounds of all problems and heads); and the lower bound on wrong sequences."""
        task = question.task
        shape = weights.architecture.shape
        options, mantissa, exponent, cells, both = self._read(hints, task, shape.n_heads, shape.d_vocab_out)
        tilt_mantissa, tilt_exponent = tilts(hints, task, options, shape.n_heads)
        weighing, problems, moments = weighing_of(question), options.problems, _moments(question, arith)
        strata = weighing.strata
        upper, lower = [Fraction(0)] * strata.number, 0
        for head, terms in stratum_terms(weights, question, options, arith):
            rows = slice(head * problems, (head + 1) * problems)
            place = (rows, terms.number)
            tilt = arith.dyadic(-tilt_mantissa[place].ravel(), tilt_exponent[place].ravel()).reshape(problems, -1)
            values = moments.moment(terms, tilt).reshape(-1).upper()
            scale = moments.scale(terms)
            counts = _counts(terms, mantissa[place], exponent[place], moments, cells, both=both)
            for row, number in enumerate(terms.number.tolist()):
                size = weighing.stratum(int(terms.query[row]), int(terms.outputs[row]))
                for r in range(problems):
                    value = values[r * len(scale) + row]
                    bound = Fraction(size) if value is None else value * scale[row]
                    upper[number] += min(bound, counts[0].get((r, row), size))
                lower += max(counts[1].get((r, row), 0) for r in range(problems))
            progress(int(terms.query[-1]) + 1, task.d_vocab)
        wrong: dict[tuple[int, int], Fraction] = {}
        for q, y in np.argwhere(strata.place >= 0).tolist():
            # SOUND: a vacuous bound gives the whole stratum up.
            wrong[q, y] = min(Fraction(weighing.stratum(q, y)), upper[strata.place[q, y]])
        return CountBound(sum(wrong.values(), Fraction(0)), lower if both else None, decided=False, strata=wrong)


def _moments(question: Question, arith: AbstractArithmetic) -> IndependentMoments:
    return IndependentMoments(weighing_of(question), arith)


Found = dict[tuple[int, int], int]


def _counts(
    terms: StratumTerms,
    mantissa: np.ndarray,
    exponent: np.ndarray,
    moments: IndependentMoments,
    cells: int,
    *,
    both: bool,
) -> tuple[Found, Found]:
    """Counts of the problems with a step: at most this many wrong, and (if `both`) at least this many."""
    found: tuple[Found, Found] = ({}, {})
    for r in np.flatnonzero((mantissa > 0).any(1)).tolist():
        active = np.flatnonzero(mantissa[r] > 0)
        # Strata without a step are divided by one and not looked at.
        m, e = np.where(mantissa[r] > 0, mantissa[r], 1), np.where(mantissa[r] > 0, exponent[r], 0)
        step = moments.arith.dyadic(m, e)
        rows = np.nonzero(terms.letter != DEAD)[0]
        near = (terms.near[r] / step[rows]).bounds()
        far, last = (terms.far[r] / step).bounds(), (terms.last[r] / step).bounds()
        for side, rounding in ((0, np.floor), (1, np.ceil))[: 1 + both]:
            for row in active.tolist():
                problem = grid_problem(terms, near[side], far[side], last[side], row, rounding, moments)
                count = None if problem is None else problem.count(cells)
                if count is not None:
                    found[side][r, row] = count * moments.last(int(terms.query[row]))
    return found


def _additions(question: Question, active: np.ndarray, options: TermOptions) -> int:
    """Tokens added to a polynomial, over all problems with a step: `cells` additions each, and products by weights."""
    strata, total = strata_of(question.task), 0
    rows = [len(rows) for rows in question.distribution.arrays().values()]
    by_power = options.pooled and rows in ([], [1])
    for q, y in zip(*np.nonzero(strata.place >= 0), strict=True):
        problems = int(active[strata.place[q, y]])
        if problems:
            program = strata.program(int(q), int(y))
            layers = (program.loop,) * (2 * len(program.layers).bit_length()) if by_power else program.layers[1:]
            total += problems * sum(strata.count(int(y), letters) for layer in layers for _, letters in layer)
    return total * (2 if rows else 1)


__all__ = ["GridCountRule", "GridProblem"]
