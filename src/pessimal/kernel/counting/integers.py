r"""One stratum in integers: rival differences rounded outward at a common scale, so that their sums are exact.

$G_i(t)_o = w_i(q,t)(V_i(t)_o + D(q)_o)$; a sequence is wrong against o exactly if
$\sum_i (G_i(t_i)_o - G_i(t_i)_y) \ge 0$.

Contents:
    RivalBounds — bounds of G of one query.
    IntegerStratum — the tables of one query and output.
    boxes — the stratum as disjoint products of token sets.
    token_sets — tokens by set of letters.
"""

from collections.abc import Iterator

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
        others = np.arange(self._logits.shape[2]) != y
        margin = (self._logits - self._logits[:, :, y : y + 1]).where(others, 0)
        return (margin * self._weight).bounds()


class IntegerStratum:
    """Differences G_o - G_y of one stratum as integers, rounded up (`high`) and down (`low`).

    Attributes:
        lost: some entry is not finite; nothing else may be used then.
        high, low: `[K-1, d_vocab, rivals]`; zero for tokens that the output rules out.
        high_last, low_last: of the query token, `[rivals]`.
    """

    def __init__(self, lo: np.ndarray, hi: np.ndarray, q: int, y: int, letter: Int[np.ndarray, " d_vocab"]) -> None:
        """`lo`, `hi` bound G: `[k, d_vocab, d_vocab_out]`; `letter` is the output's."""
        k = lo.shape[0]
        alive = np.flatnonzero(letter != DEAD)
        used_lo, used_hi = lo[:, alive], hi[:, alive]
        self.lost = not (np.isfinite(used_lo).all() and np.isfinite(used_hi).all())
        if self.lost:
            return
        largest = max(float(np.abs(used_lo).max()), float(np.abs(used_hi).max()))
        # |G| * 2**scale <= 2**BITS / 2k, so k differences stay below 2**BITS plus k units of rounding.
        scale = BITS - 1 - k.bit_length() - int(np.frexp(largest)[1])
        floor = np.floor(np.nextafter(np.ldexp(used_lo, scale), -np.inf)).astype(np.int64)  # ROUND: downwards
        ceiling = np.ceil(np.nextafter(np.ldexp(used_hi, scale), np.inf)).astype(np.int64)  # ROUND: upwards
        rivals = np.delete(np.arange(lo.shape[2]), y)
        high = np.zeros((k, lo.shape[1], rivals.size), dtype=np.int64)
        low = high.copy()
        high[:, alive] = ceiling[:, :, rivals] - floor[:, :, y : y + 1]
        low[:, alive] = floor[:, :, rivals] - ceiling[:, :, y : y + 1]
        self.high, self.low = high[:-1], low[:-1]
        self.high_last, self.low_last = high[-1, q], low[-1, q]

    def certainly_wrong(self, others: Int[np.ndarray, "n k_1"]) -> Bool[np.ndarray, " n"]:
        """Whether some rival certainly reaches the target."""
        total = np.broadcast_to(self.low_last, (others.shape[0], self.low_last.size)).copy()
        for i in range(others.shape[1]):
            total += self.low[i, others[:, i]]
        return np.asarray((total >= 0).any(1))


def token_sets(program: Program, letter: Int[np.ndarray, " d_vocab"]) -> dict[Letters, Int[np.ndarray, " n"]]:
    """Tokens of every set of letters that the program reads."""
    sets = {letters for layer in program.layers for _, letters in layer}
    return {letters: np.flatnonzero(np.isin(letter, sorted(letters))) for letters in sets}


def boxes(program: Program, letter: Int[np.ndarray, " d_vocab"]) -> Iterator[list[Int[np.ndarray, " n"]]]:
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
