r"""Sums of terms at most zero, counted on a grid for all tokens at the last few positions before the query.

Theorem. Let $T_i(t)$ and T be integers, the terms of positions $i < K-1$ and of the query, $h > 0$ and $c_i$ any
integers. With $n_i(t) = \lfloor (T_i(t) - c_i)/h \rfloor$ for all but the last few positions, every sequence
with $\sum_i T_i(t_i) + T \le 0$ has, the sums on the left over the other positions,

$$ \textstyle\sum_i n_i(t_i) \le \lfloor (-T - \sum_i c_i - T_{K-3}(t) - T_{K-2}(t')) / h \rfloor , $$

t and t' its tokens at those, here two, and with ceilings for $n_i$, every filling with this has
$\sum_i T_i(t_i) + T \le 0$. So the weight of such fillings is a coefficient of a product of polynomials, summed up: one
polynomial for every state of the program after the other positions, looked up for all tokens at the last ones.

*Proof.* With floors $T_i \ge h n_i + c_i$, and the left side of the inequality is an integer; with ceilings
$T_i \le h n_i + c_i$. A pass over the layers of the other positions multiplies, for each path, the polynomials
$\sum_t w_i(t) X^{n_i(t)}$ of its moves (`strata/program.py`), so the coefficients up to a degree add up to the weight
of the fillings that lead to a state with a sum up to that. ∎

Nothing is rounded at the conditioned positions. The step is the smallest with four leading bits that leaves
`cells` degrees between the smallest sum and zero. Offsets make what the many tokens far from the target lose small.
Degrees count from the least of each position.

Contents:
    Ending — moves of the last positions, and what leads there.
    Grid, ConditionedCounts, OverspentError — the fillings of one stratum.
    commutes — whether positions may change places.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, prod
from operator import add

import flint
import numpy as np
from jaxtyping import Bool, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.counting.integers import token_sets
from pessimal.kernel.strata.program import Letters, LetterSums, Program
from pessimal.spec.machine import DEAD, Recogniser

# A remainder, a subtraction, a division, and a place in the histogram; what a sum is looked up by; and what it takes to
# read a coefficient and add it up.
FLOPS_PER_DEGREE = FLOPS_PER_LOOK = FLOPS_PER_SUM = 4
LARGEST, MAX_LOOKED_UP = 1 << 61, 1 << 22


class OverspentError(Exception):
    """More operations than allowed would be needed."""


@dataclass(frozen=True)
class Ending:
    """Moves one after another, at the last positions.

    Attributes:
        state: before them.
        tokens: what each of them reads.
    """

    state: int
    tokens: tuple[Int[np.ndarray, " _"], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many tokens each move reads."""
        return tuple(len(tokens) for tokens in self.tokens)


@dataclass(frozen=True)
class Grid:
    """What is rounded, and what is not.

    Attributes:
        cells: the largest degree, up to one more for every position.
        conditioned: how many positions before the query are not on the grid, one at least.
    """

    cells: int
    conditioned: int


class ConditionedCounts:
    """Fillings of the positions before the last few, of one stratum.

    Attributes:
        before: the program of the other positions.
        tokens: by letters that a move reads.
        alive: tokens that the stratum's sequences may hold.
        weights: of tokens by position, None if each weighs one.
        endings: every sequence of the stratum takes one.
        n_terms: how many different ones a position has at most.
        spent: operations so far; past `allowed` none is done, and `OverspentError` is raised.
    """

    def __init__(
        self,
        program: Program,
        letter: Int[np.ndarray, " d_vocab"],
        weights: Sequence[Sequence[int]] | None,
        grid: Grid,
        n_terms: int,
        arith: AbstractArithmetic,
        allowed: int | float = inf,
    ) -> None:
        """`weights`: of tokens by position, None if each weighs one; `n_terms`: most different terms of a position."""
        self._program, self.before = program, Program(program.layers[: -grid.conditioned])
        self.weights, self._cells, self.n_terms, self._arith = weights, grid.cells, n_terms, arith
        self.alive, self.tokens = np.flatnonzero(letter != DEAD), token_sets(program, letter)
        self._of_kind = {kind: np.flatnonzero(letter == kind) for kind in set().union(*self.tokens)}
        self.endings = [Ending(0, ())]
        for layer in program.layers[: -grid.conditioned - 1 : -1]:
            self.endings = [
                Ending(source, (self.tokens[letters], *rest.tokens))
                for (source, target), letters in layer
                for rest in self.endings
                if rest.state == target
            ]
        self.spent, self._allowed = 0, allowed
        self._all = self._states(np.zeros((len(self.before.layers), len(letter)), dtype=np.int64), 0)

    def _spend(self, operations: int) -> None:
        self.spent += operations
        if self.spent > self._allowed:
            raise OverspentError

    def size(self, state: int) -> int:
        """Weight of all fillings that lead to a state."""
        return int(self._all[state](1))

    def nothing(self) -> list[AbstractEnclosure]:
        """No weight, by ending, `[A, B, ..]`."""
        return [self._arith.integers(np.zeros(end.shape, dtype=np.int64)).enclose() for end in self.endings]

    def smallest(self, terms: Int[np.ndarray, "k_1 d_vocab n"]) -> Int[np.ndarray, " n"]:
        """The smallest sums of the terms before the query over the sequences of the stratum, of n comparisons."""
        least = self._program.run(lambda i, letters: terms[i, self.tokens[letters]].min(0), np.minimum, np.add)
        return np.asarray(least)

    def fillings(self, terms: Int[np.ndarray, "k_1 d_vocab"], last: int, *, floor: bool) -> list[AbstractEnclosure]:
        """By ending, `[A, B, ..]`, the weight of fillings with a sum of at most zero: at least that, or at most.

        Args:
            terms: T of positions before the query.
            last: T of the query.
            floor: at least that weight; otherwise at most.
        """
        n = len(self.before.layers)
        least, sign = terms[:, self.alive].min(1), 1 if floor else -1
        most = -last - int(least[n:].sum())
        reach = most - int(least[:n].sum())
        step = _round_step(reach, self._cells)
        others = sign * terms[:n]
        self._spend(FLOPS_PER_DEGREE * n * self.n_terms)
        near = terms[:n, self.alive] <= (least[:n] + reach)[:, np.newaxis]
        # SOUND: any offsets are, whose sum is an int64.
        offset = _offsets(others[:, self.alive], near, step) if n * step < LARGEST else np.zeros(n, dtype=np.int64)
        degrees = sign * ((others - offset[:, np.newaxis]) // step)
        lowest, shift = degrees[:, self.alive].min(1), sign * int(offset.sum())
        # Of the least terms at the last positions: no ending looks further up.
        top = max((most - shift) // step - int(lowest.sum()), -1)
        self._spend(FLOPS_PER_SUM * (top + 2) * len(self._all))
        reached = self._states(degrees - lowest[:, np.newaxis], top)
        sums = {state: self._cumulated(reached.get(state, flint.fmpz_poly()), top) for state in self._all}
        found = []
        for end in self.endings:
            self._spend(FLOPS_PER_LOOK * prod(end.shape))
            left = np.array(-last - shift)
            for i, tokens in enumerate(end.tokens, n):
                left = np.subtract.outer(left, terms[i, tokens])
            found.append(sums[end.state][np.maximum(left // step - int(lowest.sum()), -1) + 1])
        return found

    def _cumulated(self, polynomial: flint.fmpz_poly, top: int) -> AbstractEnclosure:
        """Sums of the coefficients up to -1, 0, .. top."""
        coefficients = np.zeros(top + 2, dtype=object)
        own = list(map(int, polynomial.coeffs()))[: top + 1]
        coefficients[1 : 1 + len(own)] = own
        return self._arith.integers(np.cumsum(coefficients)).enclose()

    def _states(self, degrees: Int[np.ndarray, "n d_vocab"], top: int) -> dict[int, flint.fmpz_poly]:
        """By state after the positions, the polynomial of the fillings that lead there, up to a degree."""
        if top < 0:
            return {}
        if not len(degrees):
            return {0: flint.fmpz_poly([1])}
        held: dict[int, LetterSums[flint.fmpz_poly]] = {}

        def factor(i: int, letters: Letters) -> flint.fmpz_poly:
            if i not in held:
                held.clear()
                held[i] = LetterSums(lambda kind: self._of_letter(i, kind, degrees[i], top), add)
            if i:
                self._spend((top + 1) * self._per_coefficient(degrees[i, self.tokens[letters]], top))
            return held[i](letters)

        return self.before.prefixes(factor, add, lambda a, b: a.mul_low(b, top + 1))[-1]

    def _per_coefficient(self, degree: Int[np.ndarray, " n"], top: int) -> int:
        """Operations for each coefficient where a polynomial is multiplied by that of a move with these degrees.

        An addition for a degree that one token has; else a multiplication too.
        """
        tokens_of_degree = np.unique(degree[degree <= top], return_counts=True)[1]
        return int(np.minimum(tokens_of_degree, 2).sum()) if self.weights is None else 2 * tokens_of_degree.size

    def _of_letter(self, i: int, kind: int, degree: Int[np.ndarray, " d_vocab"], top: int) -> flint.fmpz_poly:
        """Tokens with one letter, up to a degree."""
        tokens = self._of_kind[kind]
        tokens = tokens[degree[tokens] <= top]
        if self.weights is None:
            return flint.fmpz_poly(np.bincount(degree[tokens]).tolist())
        coefficients = [0] * (int(degree[tokens].max()) + 1 if tokens.size else 0)
        for token, at in zip(tokens.tolist(), degree[tokens].tolist(), strict=True):
            coefficients[at] += self.weights[i][token]
        return flint.fmpz_poly(coefficients)


def _offsets(terms: Int[np.ndarray, "n m"], near: Bool[np.ndarray, "n m"], step: int) -> Int[np.ndarray, " n"]:
    r"""Of every position the remainder of one of its terms: that by which rounding the near ones down loses least.

    Of n remainders r in order, $\sum_t ((r_t - r_k) \bmod h) = \sum_t r_t - n r_k + h k$. Any offset is sound.
    """
    remainders = np.sort(np.where(near, terms % step, step), axis=1)
    lost = step * np.arange(terms.shape[1]) - near.sum(1)[:, np.newaxis] * remainders
    return np.asarray(remainders[np.arange(len(terms)), lost.argmin(1)])


def _round_step(reach: int, cells: int) -> int:
    """A step of at least reach / cells, with four leading bits, so that a hair more or less is the same step."""
    step = max(1, -(-reach // cells))
    shift = max(0, step.bit_length() - 4)
    return -(-step >> shift) << shift


def commutes(recogniser: Recogniser) -> bool:
    """Whether two letters may always change places, so that a sequence's output depends on its tokens alone."""
    moves, _ = recogniser.with_dead
    then = moves[moves]
    return bool((then == then.transpose(0, 2, 1)).all())
