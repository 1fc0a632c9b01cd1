"""Counting on a grid: terms rounded to multiples of a step, sequences counted by polynomials in integers.

Contents:
    Counts — what one stratum contributes.
    GridProblem, grid_problem — the integer terms of one stratum.
"""

from dataclasses import dataclass
from functools import reduce

import flint
import numpy as np

from pessimal.kernel.counting.moments import IndependentMoments
from pessimal.kernel.strata.program import Letters, Program
from pessimal.kernel.terms.stratum import StratumTerms
from pessimal.spec.machine import DEAD

# Floats below this are exact integers after rounding, with room to add 4,096 of them.
LARGEST = 2.0**50


@dataclass(frozen=True)
class Counts:
    """A polynomial with counts as coefficients; `power` is set if it is one power of X: multiplying is a shift then."""

    coefficients: flint.fmpz_poly
    power: int | None = None

    def __add__(self, other: "Counts") -> "Counts":
        """Counts of two disjoint sets."""
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
        weight: weights of the near tokens, `[I', G]`; None if each is one.
        far_weight: weights of all far tokens together, I' of them, if there is `weight`.
    """

    program: Program
    terms: np.ndarray
    letter: np.ndarray
    far: int
    n_far: int
    threshold: int
    weight: np.ndarray | None = None
    far_weight: tuple[int, ...] = ()

    def count(self, cells: int) -> int | None:
        """Weight of the sequences whose terms sum to at most the threshold; None if it takes `cells` or more cells."""
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
                lowest = least[min(i, len(least) - 1)]
                parts = [self._letter(i, places.get(one), one, lowest, budget) for one in sorted(letters)]
                known[i, letters] = parts[0] if len(parts) == 1 else reduce(Counts.__add__, parts)
            return known[i, letters]

        def plus(a: Counts, b: Counts) -> Counts:
            return a + b

        def times(a: Counts, b: Counts) -> Counts:
            return a.times(b, budget + 1)

        if shared and n > 1 and (self.weight is None or len(self.weight) == 1):
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
        places = np.zeros(0, dtype=np.int64) if places is None else places
        chosen = self.terms[min(i, len(self.terms) - 1), places] - least
        places, chosen = places[chosen <= budget], chosen[chosen <= budget]
        if self.weight is not None:
            return self._weighed(min(i, len(self.weight) - 1), places, chosen, (self.far - least) if far else None)
        if chosen.size == 1 and not far:
            power = int(chosen[0])
            return Counts(flint.fmpz_poly([1]).left_shift(power), power)
        total = flint.fmpz_poly(np.bincount(chosen, minlength=1).tolist())
        return Counts(total + flint.fmpz_poly([self.n_far]).left_shift(self.far - least) if far else total)

    def _weighed(self, i: int, places: np.ndarray, chosen: np.ndarray, far: int | None) -> Counts:
        """The polynomial of one letter with weights; `far` is the power of the far tokens, if they count."""
        found = [0] * (max([0, *chosen.tolist(), *([] if far is None else [far])]) + 1)
        if self.weight is not None:
            for power, weight in zip(chosen.tolist(), self.weight[i, places].tolist(), strict=True):
                found[power] += weight
        if far is not None:
            found[far] += self.far_weight[i]
        return Counts(flint.fmpz_poly(found))


def grid_problem(
    terms: StratumTerms,
    ends: np.ndarray,
    far: np.ndarray,
    last: np.ndarray,
    row: int,
    rounding: np.ufunc,
    moments: IndependentMoments,
) -> GridProblem | None:
    """Integer terms from bounds of g / h on one side; None where they are lost.

    Args:
        terms: the stratum's group.
        ends: bounds of the near terms, `[I, pairs]`.
        far: bounds of the far term, `[Y]`.
        last: bounds of the query's term, `[Y]`.
        row: which stratum of the group.
        rounding: floor of lower bounds, or ceil of upper bounds.
        moments: knows the weights of tokens.
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
        **moments.token_weights(terms, row),
    )
