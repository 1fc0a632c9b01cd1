r"""Search over the prefixes of a stratum where next tokens are looked up among those ranked by their terms.

A rival is *open* for a prefix if it may win with some of its completions and is not sure to win with all. For each open
rival the tokens of a move are ranked by their terms, the largest first: some leading ones leave the rival sure to win,
some more let it win still. Two places in one order are two sets of tokens, held in bits, and unions over rivals are
unions of bits. So nothing is done token by token at the last position before the query.

Theorem. Every sequence of the stratum is right, or in the weight `Tally.wrong` and wrong, or in the weight
`Tally.not_certified`, or handed on as undecided.

*Proof.* For a rival let a be the sum of `high` over the tokens of a prefix and the query, M and m the largest and the
smallest sum of `high` over the paths from a state to the end, and e the sum, over all positions, of the largest `high`
less `low`. Of a prefix and a next token with term T that lead to that state, every completion has a sum of `high` of at
most a + T + M, and a sum of `low` of at least a + T + m - e. Where the first is negative the rival loses in all of
them, where the second is not it wins in all of them (`integers.py`). So the tokens that let it win have
$-T \le a + M$, those that leave it sure to win $-T \le a + m - e$, and both are the first ones in the order of -T.

By induction over the length of prefixes, a rival that is not open for a prefix loses in all of its completions; before
any token all are open. Next tokens are those of the moves from the prefix's state, each of one move. Those that leave
an open rival sure to win are wrong, and the weight of their completions is added to `wrong`. Of the others those that
let some open rival win are prefixes with these as the open rivals, or handed on if they are complete, and the rest is
right: open rivals lose with them, and so do all others. Without budget the weight of the completions of the longer
prefixes, or of everything that may follow the prefixes at hand, is added to `not_certified` instead. ∎

Places are searched for all rivals at once, their orders one after the other: rival o lies o times 2**(b + 3) higher.
With b = `bits_for` the terms and sums of one stratum are, rounding units apart, at most 2**b, raised sums at least
-3 * 2**b, so a sum of one rival is above all terms of the one before and below all of the one after.

Contents:
    Tally — what may be spent, what was certainly wrong, what is not certified.
    bits_for — the size of integers that leaves room for the orders.
    n_ranked — how many terms are ranked for a rival.
    search_ranked — one stratum.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt64

from pessimal.kernel.counting.integers import BITS, IntegerStratum, longer_prefixes, token_sets
from pessimal.kernel.strata.program import Letters, Program
from pessimal.kernel.strata.strata import Strata
from pessimal.kernel.strata.weighing import WORD, AbstractWeighing
from pessimal.spec.distribution import Uniform

CHUNK = 1 << 8


@dataclass
class Tally:
    """What may be spent, and what became of the sequences that are not right.

    Attributes:
        budget_left: tries: one for every prefix, open rival and move that are looked up, one for a sequence that is
            undecided, and, where sequences do not weigh one each, for a prefix that is weighed.
        wrong: weight of the certainly wrong sequences.
        not_certified: weight of the sequences given up because no budget was left.
    """

    budget_left: int
    wrong: int = 0
    not_certified: int = 0

    def takes(self, tries: int) -> bool:
        """Spend so many; whether they were left, if not, nothing is spent."""
        fits = tries <= self.budget_left
        self.budget_left -= tries if fits else 0
        return fits


@dataclass(frozen=True)
class _Open:
    """Pairs of a rival and a prefix that it is open for, rival by rival, prefixes rising.

    Attributes:
        rival, prefix: numbers, `[m]`.
        total: sum of `high` so far, `[m]`.
    """

    rival: Int[np.ndarray, " m"]
    prefix: Int[np.ndarray, " m"]
    total: Int[np.ndarray, " m"]

    def chunks(self, n: int) -> Iterator[tuple[int, "_Open"]]:
        """Some of n prefixes at a time: the number of the first, and the pairs."""
        for first in range(0, n, CHUNK):
            part = (self.prefix >= first) & (self.prefix < first + CHUNK) if n > CHUNK else slice(None)
            yield first, _Open(self.rival[part], self.prefix[part] - first, self.total[part])


@dataclass(frozen=True)
class _Move:
    """The tokens of one move, ranked by rival.

    Attributes:
        target: the state that it leads to.
        tokens: that it reads, `[T]`.
        term: of every rival and token, `[rivals, T]`.
        order: -term, rising for each rival, one rival after the other, `[rivals * T]`.
        leading: sets of the first 0 .. T tokens of each rival's order, `[rivals, T + 1, words]`.
        may, sure: what is added to a sum before it is looked up, `[rivals]`.
    """

    target: int
    tokens: Int[np.ndarray, " T"]
    term: Int[np.ndarray, "rivals T"]
    order: Int[np.ndarray, " rivals_T"]
    leading: UInt64[np.ndarray, "rivals T_1 words"]
    may: Int[np.ndarray, " rivals"]
    sure: Int[np.ndarray, " rivals"]

    def reached(self, opened: _Open, raised: Int[np.ndarray, " rivals"]) -> UInt64[np.ndarray, "m words"]:
        """The tokens of every pair whose terms make up for the sum, raised by so much."""
        place = np.searchsorted(self.order, opened.total + raised[opened.rival], side="right")
        return np.asarray(self.leading[opened.rival, place - opened.rival * self.tokens.size])

    def union(self, n: int, opened: _Open, sets: UInt64[np.ndarray, "m words"]) -> UInt64[np.ndarray, "n words"]:
        """Of n prefixes, the tokens in the set of some rival."""
        by_rival = np.zeros((len(self.term), n, sets.shape[1]), dtype=np.uint64)
        by_rival[opened.rival, opened.prefix] = sets
        return np.asarray(np.bitwise_or.reduce(by_rival, axis=0))

    def contains(self, sets: UInt64[np.ndarray, "n words"]) -> Bool[np.ndarray, "n T"]:
        """Which tokens are in each set."""
        return np.unpackbits(sets.view(np.uint8), axis=1, count=self.tokens.size, bitorder="little").view(bool)


@dataclass
class _Search:
    """Depth-first search of one stratum, some prefixes at a time.

    Attributes:
        most, least, completions: extremes of sums of `high`, and weights, after i + 1 tokens, by state.
        error: sum of the largest `high` less `low`, `[rivals]`.
        undecided: takes what integers do not decide, by tokens before the query.
    """

    stratum: IntegerStratum
    program: Program
    tokens: dict[Letters, Int[np.ndarray, " n"]]
    weighing: AbstractWeighing
    tally: Tally
    most: list[dict[int, np.ndarray]]
    least: list[dict[int, np.ndarray]]
    completions: list[dict[int, Any]]
    error: Int[np.ndarray, " rivals"]
    undecided: Callable[[Int[np.ndarray, "n k_1"]], None]
    known: dict[tuple[int, int], list[_Move]] = field(default_factory=dict)

    @cached_property
    def alike(self) -> bool:
        """Whether every sequence weighs one."""
        return self.weighing.question.distribution.name == Uniform.name

    def moves(self, i: int, state: int) -> list[_Move]:
        """Those of position i from a state."""
        if (i, state) not in self.known:
            layer = self.program.layers[i]
            self.known[i, state] = [self._move(i, to, letters) for (source, to), letters in layer if source == state]
        return self.known[i, state]

    def _move(self, i: int, target: int, letters: Letters) -> _Move:
        tokens, n = self.tokens[letters], self.error.size
        term = self.stratum.high[i, tokens].T
        ranks = np.argsort(-term, axis=1)
        leading = np.zeros((n, tokens.size + 1, -(-tokens.size // WORD)), dtype=np.uint64)
        np.bitwise_or.accumulate(_singles(tokens.size)[ranks], axis=1, out=leading[:, 1:])
        higher = np.arange(n) << bits_for(n) + 3
        order = higher[:, np.newaxis] + np.sort(-term, axis=1)
        may, sure = self.most[i][target] + higher, self.least[i][target] - self.error + higher
        return _Move(target, tokens, term, order.reshape(-1), leading, may, sure)

    def visit(self, i: int, state: int, prefix: Int[np.ndarray, "n i"], opened: _Open) -> None:
        """Look up the tokens at position i of prefixes that lead to one state; their tries are spent."""
        moves = self.moves(i, state)
        for first, part in opened.chunks(len(prefix)):
            here = prefix[first : first + CHUNK]
            wrong = [move.union(len(here), part, move.reached(part, move.sure)) for move in moves]
            if not (self.alike or self.tally.takes(sum(int(np.bitwise_count(sets).sum()) for sets in wrong))):
                full = [~np.zeros_like(sets) for sets in wrong]
                self.tally.not_certified += sum(map(self._weight, [i] * len(moves), moves, [here] * len(moves), full))
                continue
            for move, sets in zip(moves, wrong, strict=True):
                self.tally.wrong += self._weight(i, move, here, sets)
                self._extend(i, move, here, part, move.reached(part, move.may) & ~sets[part.prefix])

    def _weight(self, i: int, move: _Move, prefix: Int[np.ndarray, "n i"], sets: UInt64[np.ndarray, "n words"]) -> int:
        """Of the completions of every prefix with a token of its set."""
        if self.alike:
            return int(np.bitwise_count(sets).sum()) * int(self.completions[i][move.target])
        longer = longer_prefixes(prefix, move.tokens, np.flatnonzero(move.contains(sets)))
        return self.weighing.prefixes(longer, self.completions[i][move.target])

    def _extend(
        self, i: int, move: _Move, prefix: Int[np.ndarray, "n i"], opened: _Open, sets: UInt64[np.ndarray, "m words"]
    ) -> None:
        """Go on with the tokens that let some rival win."""
        if not sets.any():
            return
        union, last = move.union(len(prefix), opened, sets), i == len(self.program.layers) - 1
        pairs = int(np.bitwise_count(union if last else sets).sum())
        if not self.tally.takes(pairs if last else pairs * len(self.moves(i + 1, move.target))):
            self.tally.not_certified += self._weight(i, move, prefix, union)
            return
        inside = move.contains(union).reshape(-1)
        longer = longer_prefixes(prefix, move.tokens, np.flatnonzero(inside))
        if last:
            self.undecided(longer)
            return
        pair, token = np.nonzero(move.contains(sets))
        rival, number = opened.rival[pair], np.cumsum(inside) - 1
        at = number[opened.prefix[pair] * move.tokens.size + token]
        self.visit(i + 1, move.target, longer, _Open(rival, at, opened.total[pair] + move.term[rival, token]))


@cache
def _singles(n: int) -> UInt64[np.ndarray, "n words"]:
    """The sets of one of n tokens."""
    alone = np.eye(n, WORD * -(-n // WORD), dtype=bool)
    return np.packbits(alone, axis=1, bitorder="little").view(np.uint64)


def bits_for(rivals: int) -> int:
    """Of integers, such that the orders of so many rivals one after the other stay below 2**62."""
    return BITS - rivals.bit_length()


def n_ranked(strata: Strata, q: int, y: int) -> int:
    """How many terms are ranked for a rival, and extremes added up."""
    layers = strata.program(q, y).layers
    return sum(strata.count(y, letters) + 1 for layer in layers for _, letters in layer)


def search_ranked(
    weighing: AbstractWeighing,
    stratum: IntegerStratum,
    at: tuple[int, int],
    tally: Tally,
    undecided: Callable[[Int[np.ndarray, "n k_1"]], None],
) -> None:
    """One stratum (q, y), in integers of `bits_for`: sequences go to the tally, or on by their tokens before q."""
    program, rivals = weighing.strata.program(*at), np.arange(stratum.high_last.size)
    tokens = token_sets(program, weighing.strata.letter[at[1]])

    def extremes(extreme: np.ufunc) -> list[dict[int, np.ndarray]]:
        of = {letters: extreme.reduce(stratum.high[:, some], axis=1) for letters, some in tokens.items()}
        return [*program.completions(lambda i, letters: of[letters][i], extreme, np.add), {0: np.zeros_like(rivals)}]

    if not tally.takes(rivals.size * len(program.layers[0])):
        tally.not_certified += weighing.stratum(*at)
        return
    most, least, completions = extremes(np.maximum), extremes(np.minimum), weighing.completions(program, *at)
    error = (stratum.high - stratum.low).max(1).sum(0) + stratum.high_last - stratum.low_last
    search = _Search(stratum, program, tokens, weighing, tally, most, least, completions, error, undecided)
    first = _Open(rivals, np.zeros_like(rivals), stratum.high_last)
    search.visit(0, 0, np.zeros((1, 0), dtype=np.int64), first)
