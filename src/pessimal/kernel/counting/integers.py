r"""One stratum in integers: rival differences rounded outward to a common exponent, so that their sums are exact.

Theorem. With $G_i(t)_o = w_i(q,t)(V_i(t)_o + D(q)_o)$ a sequence is wrong against o exactly if
$\sum_i (G_i(t_i)_o - G_i(t_i)_y) \ge 0$. If its sum of `high` is negative for every rival it is right; if its sum of
`low` is not negative for some rival it is wrong.

*Proof.* $\sum_i G_i(t_i)_o$ is the logit of o times the denominator of the softmax
(`docs/separable-margin.md#the-margin`). Multiplied by a power of two, the ends of G are moved outward to integers, so
`high` is at least, `low` at most a difference times that power; the integers are small enough for sums without
overflow. ∎

Contents:
    RivalBounds — bounds of G of one query.
    IntegerStratum — the tables of one query and output.
    token_products — the stratum as disjoint products of token sets.
    token_sets — tokens by set of letters.
    longer_prefixes — prefixes with one more token.
"""

from collections.abc import Iterator
from functools import reduce

import numpy as np
from jaxtyping import Bool, Int

from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.strata.program import Letters, Program
from pessimal.spec.machine import DEAD
from pessimal.spec.semantics import REAL

BITS = 58


class RivalBounds:
    r"""Bounds of $G_i(t)_o$ of one query, `[k, d_vocab, d_vocab_out]`, up to a summand shared by all outputs.

    Only differences over outputs are used. The weights of a float32 execution are known up to a relative error, which
    multiplies all of G; so the logit of the target is taken off before the product, target by target.
    """

    def __init__(self, logits: AbstractEnclosure, weight: AbstractEnclosure, semantics: str) -> None:
        """`logits` are V_i(t) + D(q); `weight` is `[k, d_vocab, 1]`."""
        self._logits, self._weight = logits, weight
        self._shared = (logits * weight).bounds() if semantics == REAL else None

    def of(self, y: int) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds for target y."""
        if self._shared is not None:
            return self._shared
        is_rival = np.arange(self._logits.shape[2]) != y
        margin = (self._logits - self._logits[:, :, y : y + 1]).where(is_rival, 0)
        return (margin * self._weight).bounds()


class IntegerStratum:
    """Differences G_o - G_y of one stratum as integers, rounded up (`high`) and down (`low`).

    Attributes:
        lost: some entry is not finite; nothing else may be used then.
        high, low: `[K-1, d_vocab, rivals]`; zero for tokens that the output rules out.
        high_last, low_last: of the query token, `[rivals]`.
    """

    def __init__(
        self, lo: np.ndarray, hi: np.ndarray, q: int, y: int, letter: Int[np.ndarray, " d_vocab"], bits: int = BITS
    ) -> None:
        """`lo`, `hi` bound G: `[k, d_vocab, d_vocab_out]`; `letter` is the output's; sums stay below 2**bits."""
        k = lo.shape[0]
        alive = np.flatnonzero(letter != DEAD)
        used_lo, used_hi = lo[:, alive], hi[:, alive]
        self.lost = not (np.isfinite(used_lo).all() and np.isfinite(used_hi).all())
        if self.lost:
            return
        greatest = max(float(np.abs(used_lo).max()), float(np.abs(used_hi).max()))
        # |G| * 2**exponent <= 2**bits / 2k, so k differences stay below 2**bits plus k units of rounding.
        exponent = bits - 1 - k.bit_length() - int(np.frexp(greatest)[1])
        floor = np.floor(np.nextafter(np.ldexp(used_lo, exponent), -np.inf)).astype(np.int64)  # ROUND: downwards
        ceiling = np.ceil(np.nextafter(np.ldexp(used_hi, exponent), np.inf)).astype(np.int64)  # ROUND: upwards
        rivals = np.delete(np.arange(lo.shape[2]), y)
        high = np.zeros((k, lo.shape[1], rivals.size), dtype=np.int64)
        low = high.copy()
        high[:, alive] = ceiling[:, :, rivals] - floor[:, :, y : y + 1]
        low[:, alive] = floor[:, :, rivals] - ceiling[:, :, y : y + 1]
        self.high, self.low = high[:-1], low[:-1]
        self.high_last, self.low_last = high[-1, q], low[-1, q]

    def certainly_wrong(self, earlier: Int[np.ndarray, "n k_1"]) -> Bool[np.ndarray, " n"]:
        """Whether some rival certainly reaches the target."""
        total = np.broadcast_to(self.low_last, (earlier.shape[0], self.low_last.size)).copy()
        for i in range(earlier.shape[1]):
            total += self.low[i, earlier[:, i]]
        return np.asarray((total >= 0).any(1))


def token_sets(program: Program, letter: Int[np.ndarray, " d_vocab"]) -> dict[Letters, Int[np.ndarray, " n"]]:
    """Tokens of every set of letters that the program reads."""
    sets = {letters for layer in program.layers for _, letters in layer}
    of_letter = {kind: letter == kind for kind in frozenset().union(*sets)}
    return {letters: np.flatnonzero(reduce(np.logical_or, map(of_letter.__getitem__, letters))) for letters in sets}


def token_products(program: Program, letter: Int[np.ndarray, " d_vocab"]) -> Iterator[list[Int[np.ndarray, " n"]]]:
    """The paths of a stratum's program: for every position before the last, the tokens it may hold."""
    tokens = token_sets(program, letter)
    n = len(program.layers)
    if program.empty:
        return

    def walk(i: int, state: int) -> Iterator[list[Int[np.ndarray, " n"]]]:
        if i == n:
            yield []
            return
        for (source, target), letters in program.layers[i]:
            if source == state:
                for rest in walk(i + 1, target):
                    yield [tokens[letters], *rest]

    yield from walk(0, 0)


def longer_prefixes(
    prefix: Int[np.ndarray, "n i"], tokens: Int[np.ndarray, " T"], chosen: Int[np.ndarray, " m"]
) -> Int[np.ndarray, "m i_1"]:
    """Some of the prefixes with one more token, numbered prefix by prefix."""
    return np.column_stack([prefix[chosen // len(tokens)], tokens[chosen % len(tokens)]])
