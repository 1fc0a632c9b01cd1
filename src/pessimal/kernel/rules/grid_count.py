r"""R3: grid counting, two-sided.

Theorem. Let $g_i(t)$ be lower bounds of the terms of stratum $(q, y)$ for one problem (`terms.py`) and $h > 0$ a step.
A wrong sequence has $\sum_i g_i(t_i) \le 0$, so with $n_i(t) = \lfloor g_i(t) / h \rfloor$

$$ \textstyle\sum_{i<K-1} n_i(t_i) \le T = \lfloor -g_{K-1}(q) / h \rfloor , $$

and the sequences of the stratum with that property are counted exactly, in integers: the coefficients up to T of the
sum over the paths of its program (`strata.py`) of products of polynomials $\sum_{t \in \ell(e_i)} X^{n_i(t)}$.

Upper bound on accuracy (`sides` = 2; every rival, each position, one head, so that the terms are the true ones): with
$\lceil g_i(t)/h \rceil$ everywhere, a sequence with $\sum_i \lceil g_i(t_i)/h \rceil \le 0$ is certainly wrong. The
wrong sequences of a stratum include those against each rival, so the largest count over rivals is a lower bound.

A problem may have a tilt instead of a step, or both: the exponential moment bounds it too (R2), and the smaller bound
counts. Problems of a stratum are summed (R4) and capped by its size.

Soundness: for all weights and tasks; steps and tilts are any non-negative dyadics (a zero step means no grid). A
    problem whose terms are lost, or whose threshold is `cells` or more above the smallest sum, is given up to the
    moment.
Cost: counted over shapes for terms and moments; a product with the polynomial of n tokens is n shifted additions of
    `cells` entries (ADR 0006).
Source: new; specification `counting-proofs.md`, R3 and R4.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import ClassVar

import flint
import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_FLOP, Cost, counted_cost
from pessimal.kernel.heads import require_separable
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.exponential_moment import TILTS, moment, tilts, token_counts
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Hints, Progress, no_progress
from pessimal.kernel.rules.terms import StratumTerms, TermOptions, dyadics, stratum_terms
from pessimal.kernel.strata import Letters, Program, strata_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights

STEPS = ("step_mantissa", "step_exponent")
MAX_CELLS = 1 << 16
# Floats below this are exact integers after rounding, with room to add 4,096 of them.
LARGEST = 2.0**50


@dataclass(frozen=True)
class Counts:
    """A polynomial with counts as coefficients; `power` is set if it is one power of X: multiplying is a shift then."""

    coefficients: flint.fmpz_poly
    power: int | None = None

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.coefficients + other.coefficients)

    def times(self, other: "Counts", length: int) -> "Counts":
        """The product, coefficients below `length`."""
        if other.power is not None:
            return Counts(self.coefficients.left_shift(other.power).truncate(length))
        return Counts(self.coefficients.mul_low(other.coefficients, length))


@dataclass(frozen=True)
class GridProblem:
    """Integer terms of one stratum and problem.

    Attributes:
        program: which letters may stand where.
        terms: n_i(t) of the near tokens, `[I, G]`; I is K - 1, or 1 when positions share them.
        letter: letters of the near tokens, `[G]`, or `DEAD`.
        far: n of every far token (letter 0).
        n_far: how many of them there are.
        threshold: T.
    """

    program: Program
    terms: np.ndarray
    letter: np.ndarray
    far: int
    n_far: int
    threshold: int

    def count(self, cells: int) -> int | None:
        """Sequences whose terms sum to at most the threshold; None if that takes `cells` or more cells."""
        near = self.letter != DEAD
        least = self._least(near)
        shared = len(least) == 1
        n = len(self.program.layers)
        budget = self.threshold - (n * least[0] if shared else sum(least))
        if budget < 0:
            return 0
        if budget >= cells:
            return None
        places = {letter: np.flatnonzero(self.letter == letter) for letter in set(self.letter[near].tolist())}
        known: dict[tuple[int, Letters], Counts] = {}

        def polynomial(i: int, letters: Letters) -> Counts:
            """The sum of X**(n - least) over the tokens with some letters, up to the budget."""
            if (i, letters) not in known:
                parts = [self._letter(i, places.get(one), one, least[i], budget) for one in sorted(letters)]
                known[i, letters] = parts[0] if len(parts) == 1 else reduce(Counts.__add__, parts)
            return known[i, letters]

        def plus(a: Counts, b: Counts) -> Counts:
            return a + b

        def times(a: Counts, b: Counts) -> Counts:
            return a.times(b, budget + 1)

        if shared and n > 1:
            total = self.program.power(lambda letters: polynomial(0, letters), plus, times)
        else:
            total = self.program.run(polynomial, plus, times)
        return int(total.coefficients(1))

    def _least(self, near: np.ndarray) -> list[int]:
        """Smallest term of every position."""
        least = [int(row[near].min()) for row in self.terms]
        return [min(one, self.far) for one in least] if self.n_far else least

    def _letter(self, i: int, places: np.ndarray | None, letter: int, least: int, budget: int) -> Counts:
        """The polynomial of one letter."""
        far = letter == 0 and self.n_far and self.far - least <= budget
        chosen = np.zeros(0, dtype=np.int64) if places is None else self.terms[i, places] - least
        chosen = chosen[chosen <= budget]
        if chosen.size == 1 and not far:
            power = int(chosen[0])
            return Counts(flint.fmpz_poly([1]).left_shift(power), power)
        total = flint.fmpz_poly(np.bincount(chosen, minlength=1).tolist())
        return Counts(total + flint.fmpz_poly([self.n_far]).left_shift(self.far - least) if far else total)


def grid_problem(
    terms: StratumTerms, ends: np.ndarray, far: np.ndarray, last: np.ndarray, row: int, rounding: np.ufunc
) -> GridProblem | None:
    """Integer terms from bounds of g / h on one side; None where they are lost.

    Args:
        terms: the stratum's group.
        ends: bounds of the near terms, `[I, pairs]`.
        far: bounds of the far term, `[Y]`.
        last: bounds of the query's term, `[Y]`.
        row: which stratum of the group.
        rounding: floor of lower bounds, or ceil of upper bounds.
    """
    near = rounding(ends[:, terms.pair[row]])
    alive = terms.letter[row] != DEAD
    n_far = int(terms.n_far[row])
    numbers = np.concatenate([near[:, alive].ravel(), [last[row]], [far[row]] * (n_far > 0)])
    if not (np.abs(numbers) < LARGEST).all():  # NaN included
        return None
    return GridProblem(
        program=terms.program,
        terms=np.where(alive, near, 0.0).astype(np.int64),
        letter=terms.letter[row],
        far=int(rounding(far[row])) if n_far else 0,
        n_far=n_far,
        # ROUND: the lower end allows a larger threshold, the upper end's ceiling a smaller one.
        threshold=-int(np.ceil(last[row])),
    )


class GridCountRule(AbstractRule):
    """R3 with the options of R4 to R6 and R8."""

    name: ClassVar[str] = "grid-count"

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
        products = (1 + both) * cells * _additions(task, (mantissa > 0).sum(0), options)
        return Cost(rest.flops + products, rest.checker_ops + OPS_PER_FLOP * products, rest.unexplained_dims,
                    rest.bytes_needed)  # fmt: skip

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
        """Sum over strata of min(size, bounds of all problems and heads); and the lower bound on wrong sequences."""
        task = question.task
        shape = weights.architecture.shape
        options, mantissa, exponent, cells, both = self._read(hints, task, shape.n_heads, shape.d_vocab_out)
        tilt_mantissa, tilt_exponent = tilts(hints, task, options, shape.n_heads)
        strata, problems = strata_of(task), options.problems
        upper, lower = [Fraction(0)] * strata.number, 0
        for head, terms in stratum_terms(weights, question, options, arith):
            rows = slice(head * problems, (head + 1) * problems)
            place = (rows, terms.number)
            tilt = arith.dyadic(-tilt_mantissa[place].ravel(), tilt_exponent[place].ravel()).reshape(problems, -1)
            n_tokens = token_counts(strata, terms)
            moments = moment(terms, tilt, arith, n_tokens).reshape(-1).upper()
            scale = [n ** (task.k - 1) for n in n_tokens.tolist()]
            counts = _counts(terms, mantissa[place], exponent[place], arith, cells, both=both)
            for row, number in enumerate(terms.number.tolist()):
                size = strata.size(int(terms.query[row]), int(terms.outputs[row]))
                for r in range(problems):
                    value = moments[r * len(scale) + row]
                    bound = Fraction(size) if value is None else value * scale[row]
                    upper[number] += min(bound, counts[0].get((r, row), size))
                lower += max(counts[1].get((r, row), 0) for r in range(problems))
            progress(int(terms.query[-1]) + 1, task.d_vocab)
        wrong = Fraction(0)
        for q, y in zip(*np.nonzero(strata.place >= 0), strict=True):
            # SOUND: a vacuous bound gives the whole stratum up.
            wrong += min(Fraction(strata.size(int(q), int(y))), upper[strata.place[q, y]])
        return CountBound(wrong, lower if both else None, decided=False)


Found = dict[tuple[int, int], int]


def _counts(
    terms: StratumTerms,
    mantissa: np.ndarray,
    exponent: np.ndarray,
    arith: AbstractArithmetic,
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
        step = arith.dyadic(m, e)
        rows = np.nonzero(terms.letter != DEAD)[0]
        near = (terms.near[r] / step[rows]).bounds()
        far, last = (terms.far[r] / step).bounds(), (terms.last[r] / step).bounds()
        for side, rounding in ((0, np.floor), (1, np.ceil))[: 1 + both]:
            for row in active.tolist():
                problem = grid_problem(terms, near[side], far[side], last[side], row, rounding)
                count = None if problem is None else problem.count(cells)
                if count is not None:
                    found[side][r, row] = count
    return found


def _additions(task: AbstractTask, active: np.ndarray, options: TermOptions) -> int:
    """Tokens added to a polynomial, over all problems with a step: `cells` additions each."""
    strata, total = strata_of(task), 0
    for q, y in zip(*np.nonzero(strata.place >= 0), strict=True):
        problems = int(active[strata.place[q, y]])
        if problems:
            program = strata.program(int(q), int(y))
            layers = (
                program.layers[1:] if not options.pooled else (program.loop,) * (2 * len(program.layers).bit_length())
            )
            total += problems * sum(strata.count(int(y), letters) for layer in layers for _, letters in layer)
    return total


__all__ = ["GridCountRule", "GridProblem"]
