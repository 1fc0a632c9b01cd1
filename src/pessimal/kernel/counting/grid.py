r"""Counting on a grid: terms rounded to multiples of a step, sequences counted by polynomials in integers.

Theorem. `GridTerms.count` is the weight of the sequences of a stratum with $\sum_{i<K-1} n_i(t_i) \le T$, or None.

*Proof.* With $l_i = \min_t n_i(t)$ the condition is $\sum(n_i(t_i) - l_i) \le T - \sum l_i$, the budget; below zero
there is none. Every sequence lies on one path of the program, and the product over its positions of the sums, over the
tokens of a move, of their weights times $X^{n_i(t) - l_i}$ has for every sequence of the path its weight times
$X^{\sum(n_i(t_i) - l_i)}$. No exponent is negative, so powers above the budget may be dropped at every step, and the
coefficients left add up to the weight asked for. Equal positions allow repeated squaring. ∎

Contents:
    Counts — what one stratum contributes.
    GridTerms, grid_terms — the integer terms of one stratum and rival group.
"""

from dataclasses import dataclass
from operator import add

import flint
import numpy as np

from pessimal.kernel.counting.moments import IndependentMoments
from pessimal.kernel.strata.program import Letters, LetterSums, Program
from pessimal.kernel.strata.unlayered import power
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
class GridTerms:
    """Integer terms of one stratum and rival group.

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

    def count(self, grid_size: int) -> int | None:
        """Weight of the sequences whose terms sum to at most the threshold; None if the grid is too small."""
        near = self.letter != DEAD
        least = self._least(near)
        shared = len(least) == 1
        n = len(self.program.layers)
        budget = self.threshold - (n * least[0] if shared else sum(least))
        if budget < 0:
            return 0
        if budget >= grid_size:
            return None
        places = {letter: np.flatnonzero(self.letter == letter) for letter in set(self.letter[near].tolist())}

        def at(i: int) -> LetterSums[Counts]:
            """The sums of X**(n - least) over tokens at position i, up to the budget."""
            lowest = least[min(i, len(least) - 1)]
            return LetterSums(lambda kind: self._letter(i, places.get(kind), kind, lowest, budget), add)

        held: dict[int, LetterSums[Counts]] = {}

        def polynomial(i: int, letters: Letters) -> Counts:
            """Those of one position at a time are held."""
            if i not in held:
                held.clear()
                held[i] = at(i)
            return held[i](letters)

        def times(a: Counts, b: Counts) -> Counts:
            return a.times(b, budget + 1)

        if shared and n > 1 and (self.weight is None or len(self.weight) == 1):
            total = power(self.program, lambda letters: polynomial(0, letters), add, times)
        else:
            total = self.program.run(polynomial, add, times)
        return int(total.coefficients(1))

    def _least(self, near: np.ndarray) -> list[int]:
        """Smallest term of every position."""
        least = [int(row[near].min()) for row in self.terms]
        return [min(term, self.far) for term in least] if self.n_far else least

    def _letter(self, i: int, places: np.ndarray | None, letter: int, least: int, budget: int) -> Counts:
        """The polynomial of one letter."""
        far = letter == 0 and self.n_far and self.far - least <= budget
        places = np.zeros(0, dtype=np.int64) if places is None else places
        chosen = self.terms[min(i, len(self.terms) - 1), places] - least
        places, powers = places[chosen <= budget], chosen[chosen <= budget].tolist()
        if self.weight is None and len(powers) == 1 and not far:
            return Counts(flint.fmpz_poly([1]).left_shift(powers[0]), powers[0])
        coefficients = [0] * (max([0, *powers, *([self.far - least] if far else [])]) + 1)
        weights, far_weight = [1] * len(powers), self.n_far
        if self.weight is not None:
            row = min(i, len(self.weight) - 1)
            weights, far_weight = self.weight[row, places].tolist(), self.far_weight[row]
        for degree, weight in zip(powers, weights, strict=True):
            coefficients[degree] += weight
        if far:
            coefficients[self.far - least] += far_weight
        return Counts(flint.fmpz_poly(coefficients))


def grid_terms(
    terms: StratumTerms,
    ends: np.ndarray,
    far: np.ndarray,
    last: np.ndarray,
    row: int,
    rounding: np.ufunc,
    moments: IndependentMoments,
) -> GridTerms | None:
    """Integer terms of one stratum and rival group from bounds of g / h on one side; None where they are lost.

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
    return GridTerms(
        program=terms.program,
        terms=np.where(alive, near, 0.0).astype(np.int64),
        letter=terms.letter[row],
        far=int(rounding(far[row])) if n_far else 0,
        n_far=n_far,
        # ROUND: the lower end allows a larger threshold, the upper end's ceiling a smaller one.
        threshold=-int(np.ceil(last[row])),
        **moments.token_weights(terms, row),
    )
