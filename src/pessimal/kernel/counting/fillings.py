r"""How much of a stratum has a sum of terms of at most zero, for many sums at once, on a grid.

Theorem. Let $T_i(t)$ and T be integers, the terms of the positions $i < n$ before the query and of the query, and
$h > 0$. With $n_i(t) = \lfloor T_i(t)/h \rfloor$ every filling with $\sum_i T_i(t_i) + T \le 0$ has

$$ \textstyle\sum_{i<n-1} n_i(t_i) \le \lfloor (-T - T_{n-1}(t_{n-1})) / h \rfloor . $$

So their weight is at most the sum over the tokens t of the last position of their weight times that of the fillings of
the other positions that lead to where t may follow and have a sum of at most the right side: coefficients, added up, of
a product of polynomials $\sum_t w_i(t) X^{n_i(t)}$ along the paths of the program.

*Proof.* The terms are at least $h n_i$, and the left side is an integer. Every path of the program takes one move of
the last layer; a pass over the layers before multiplies the polynomials of their moves (`strata/program.py`), so the
coefficients up to a degree add up to the weight of the fillings that lead to a state with a sum up to that. ∎

Rounding. Weights and coefficients are float64 numbers that are not negative, so are their sums and products, rounded to
nearest. A float64 x stands for a number of at most $x / (1 - 2^{-53})^m$ if no summand of it went through more than m
roundings, whatever the order of the additions: one rounding loses at most the factor $1 - 2^{-53}$, as whole numbers
do not underflow. That is at most $(1 + m 2^{-52}) x$ for $m \le 2^{52}$. An overflow is no bound.

The step h is the smallest with four leading bits that leaves `cells` degrees between the smallest sum and zero. Degrees
count from the least of each position; higher ones than the threshold allows are dropped. A letter with one token of
weight one is a power of X, and a product with it a shift.

Contents:
    Fillings — those of one stratum.
    Polynomials — many at once.
"""

from dataclasses import dataclass
from operator import add, mul

import numpy as np
from jaxtyping import Bool, Float, Int

from pessimal.kernel.strata.program import Letters, LetterSums, Program


@dataclass(frozen=True)
class Polynomials:
    """Polynomials, one a column, cut off at a common degree.

    Attributes:
        coefficients: of X**0, X**1, .., `[C, S]`.
        power: by column, n if each is X**n alone, `[S]`; C or more stands for none.
    """

    coefficients: Float[np.ndarray, "C S"]
    power: Int[np.ndarray, " S"] | None = None

    def __add__(self, other: "Polynomials") -> "Polynomials":
        """Sums."""
        return Polynomials(self.coefficients + other.coefficients)

    def __mul__(self, other: "Polynomials") -> "Polynomials":
        """Products. Cost: C (C + 1) a column, or C for a shift."""
        if other.power is not None:
            return Polynomials(_shifted(self.coefficients, other.power))
        if self.power is not None:
            return Polynomials(_shifted(other.coefficients, self.power))
        a, b = self.coefficients, other.coefficients
        product, scratch = a[0] * b, np.empty_like(b)
        for j in range(1, len(a)):
            part = np.multiply(a[j], b[:-j], out=scratch[j:])
            product[j:] += part
        return Polynomials(product)


def _shifted(a: Float[np.ndarray, "C S"], power: Int[np.ndarray, " S"]) -> Float[np.ndarray, "C S"]:
    """Columns times X**power."""
    source = np.arange(len(a))[:, np.newaxis] - power
    return np.where(source >= 0, np.take_along_axis(a, np.maximum(source, 0), 0), 0.0)


class Fillings:
    """Fillings of one stratum.

    Attributes:
        letter: of the tokens that occur, rising.
        each: operations for one sum.
    """

    def __init__(
        self, program: Program, letter: Int[np.ndarray, " A"], weights: Float[np.ndarray, "n A"] | None, cells: int
    ) -> None:
        """`weights`: of the tokens by position, None if each weighs one; `cells`: largest degree, about."""
        self.letter, self._program, self._before = letter, program, Program(program.layers[:-1])
        self._weights, self._cells, self._size = weights, cells, cells + len(program.layers)
        letters = frozenset[int]().union(*(chosen for layer in program.layers for _, chosen in layer))
        self._tokens = {kind: slice(*np.searchsorted(letter, (kind, kind + 1)).tolist()) for kind in letters}
        self.each = self._operations()

    def _operations(self) -> int:
        """For one sum: places on the grid, products of polynomials, sums of coefficients, look-ups."""
        n, size, kinds = len(self._program.layers), self._size, self._tokens
        spent = 4 * n * self.letter.size

        def times(a: bool, b: bool) -> bool:  # noqa: FBT001 - whether a factor is a power
            nonlocal spent
            spent += size if a or b else size * (size + 1)
            return False

        def added(*_: bool) -> bool:
            nonlocal spent
            spent += size
            return False

        powers = [LetterSums(self._is_power, added) for _ in self._before.layers]
        self._before.prefixes(lambda i, letters: powers[i](letters), added, times)
        for (_, _), letters in self._program.layers[-1]:
            spent += size + 3 * sum(kinds[kind].stop - kinds[kind].start for kind in letters)
        return spent

    def _is_power(self, kind: int) -> bool:
        """Whether a letter has one token, of weight one."""
        return self._weights is None and self._tokens[kind].stop - self._tokens[kind].start == 1

    @property
    def roundings(self) -> int:
        """How many a summand of a count goes through, at most."""
        return (len(self._program.layers) + 1) * (self._size + 2 * self.letter.size + self._program.n_moves + 3)

    def undecided(
        self, terms: Int[np.ndarray, "n A S"], last: Int[np.ndarray, " S"]
    ) -> tuple[Int[np.ndarray, " U"], Bool[np.ndarray, " S"]]:
        """Which sums are at most zero for some fillings, as far as minima tell, but not for all; and which for all.

        Cost: two comparisons a term.
        """
        low = LetterSums(lambda kind: terms[:, self._tokens[kind]].min(1), np.minimum)
        high = LetterSums(lambda kind: terms[:, self._tokens[kind]].max(1), np.maximum)
        least: np.ndarray = self._program.run(lambda i, letters: low(letters)[i], np.minimum, add)
        greatest: np.ndarray = self._program.run(lambda i, letters: high(letters)[i], np.maximum, add)
        for_all = greatest + last <= 0
        return np.flatnonzero((least + last <= 0) & ~for_all), for_all

    def up_to_zero(self, terms: Int[np.ndarray, "n A S"], last: Int[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
        """Weight of the fillings with a sum of at most zero: at least that, but for the roundings; or not finite.

        Args:
            terms: of the positions before the query.
            last: of the query.
        """
        least = terms.min(1)
        step = _round_steps(-last - least.sum(0), self._cells)
        # In steps, so that what a term is rounded to does not depend on the others.
        offset = least[:-1] // step
        states = self._states(terms[:-1] // step - offset[:, np.newaxis])
        places = np.maximum((-last - terms[-1]) // step - offset.sum(0), -1)
        sums = {state: np.cumsum(held.coefficients, axis=0) for state, held in states.items()}
        total = np.zeros(last.shape)
        for (source, _), letters in self._program.layers[-1]:
            for kind in sorted(letters):
                at = places[self._tokens[kind]]
                found = np.where(at >= 0, np.take_along_axis(sums[source], np.maximum(at, 0), 0), 0.0)
                if self._weights is not None:
                    found *= self._weights[-1, self._tokens[kind], np.newaxis]
                total += found.sum(0)
        return total

    def _states(self, degrees: Int[np.ndarray, "n_1 A S"]) -> dict[int, Polynomials]:
        """By state before the last position, the polynomials of the fillings that lead there."""
        if not self._before.layers:
            one = np.zeros((self._size, degrees.shape[2]))
            one[0] = 1.0
            return {0: Polynomials(one)}
        held: dict[int, LetterSums[Polynomials]] = {}

        def factor(i: int, letters: Letters) -> Polynomials:
            if i not in held:
                held.clear()
                held[i] = LetterSums(lambda kind: self._of_letter(i, kind, degrees[i]), add)
            return held[i](letters)

        states: dict[int, Polynomials] = self._before.prefixes(factor, add, mul)[-1]
        return states

    def _of_letter(self, i: int, kind: int, degrees: Int[np.ndarray, "A S"]) -> Polynomials:
        """Tokens with one letter at one position."""
        tokens, columns = self._tokens[kind], degrees.shape[1]
        chosen = np.minimum(degrees[tokens], self._size)
        places = (chosen * columns + np.arange(columns)).reshape(-1)
        weights = None if self._weights is None else np.repeat(self._weights[i, tokens], columns)
        flat = np.bincount(places, weights, (self._size + 1) * columns)[: self._size * columns]
        coefficients = flat.reshape(self._size, columns).astype(np.float64)
        return Polynomials(coefficients, chosen[0] if self._is_power(kind) else None)


def _round_steps(reach: Int[np.ndarray, " S"], cells: int) -> Int[np.ndarray, " S"]:
    """Steps of at least reach / cells, and 1, with four leading bits.

    A hair more or less is the same step: what is rounded is a little more, so that round numbers are far from where
    the step changes.
    """
    step = np.maximum(-(-(reach + (reach >> 9)) // cells), 1)
    shift = np.maximum(np.frexp(step.astype(np.float64))[1] - 4, 0)
    rounded: np.ndarray = -(-step >> shift) << shift
    return rounded
