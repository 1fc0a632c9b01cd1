r"""Exponential moments of a stratum: $\sum_t w(t)\, e^{-\lambda \sum_i g_i(t_i)}$ over its sequences, by one pass.

Independent positions (`spec.distribution.Product`; one for all tokens under `Uniform`), paths $e_0 .. e_{K-2}$:

$$ w_{K-1}(q)\, e^{-\lambda g_{K-1}(q)} \sum_{\text{paths}} \prod_{i<K-1} \sum_{t \in \ell(e_i)}
   w_i(t)\, e^{-\lambda g_i(t)} . $$

Chains (`Markov`). The pass carries the last token besides the state: with $f_i(t) = e^{-\lambda g_i(t)}$ and transition
probabilities p, $h_0(s, t) = p_0(t) f_0(t)$, $h_{i+1}(s', t') = f_{i+1}(t') \sum_{(s,t)} h_i(s, t)\, p(t, t')$ over the
moves $s \to s'$ by a letter of $t'$, and the moment is $e^{-\lambda g_{K-1}(q)} \sum_t h_{K-2}(s, t)\, p(t, q)$ at the
end.

*Proof.* Every sequence of the stratum lies on exactly one path of its program, and the sum over the sequences of a path
of a product of one factor per position is the product of the sums. For chains, by induction $h_i(s, t)$ is the sum over
the prefixes that end in t and lead to s of their probabilities times their factors; the next token adds a transition, a
factor and a move. ∎

All terms are positive, nothing is subtracted. Factors of independent positions are divided by the weight n_i of the
tokens that the output allows, so a moment is a fraction of $w_{K-1}(q) \prod n_i$; that of a chain is a probability.
Neither overflows nor underflows with K.

Contents:
    AbstractMoments — moments of strata, and what they are fractions of.
    IndependentMoments, ChainMoments — the two passes.
    moments_of — the pass for a question.
    added_moments — bounds of all strata, added up over heads and groups of rivals.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import reduce
from math import prod
from operator import add, mul
from typing import Any

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.hints import Dyadics
from pessimal.kernel.strata.program import LetterSums, Program
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.unlayered import power
from pessimal.kernel.strata.weighing import as_product
from pessimal.kernel.terms.stratum import StratumTerms
from pessimal.spec.distribution import Markov, Uniform
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question


class AbstractMoments(ABC):
    """Moments under one distribution.

    Attributes:
        arith: the arithmetic.
    """

    arith: AbstractArithmetic

    @abstractmethod
    def moment(self, terms: StratumTerms, tilt: AbstractEnclosure) -> AbstractEnclosure:
        """Moments of every rival group and stratum, as fractions of `whole`; `tilt` is -lambda; both `[R, Y]`."""

    @abstractmethod
    def whole(self, terms: StratumTerms) -> list[int]:
        """What the moments of every stratum are fractions of, exact, `[Y]`."""


class IndependentMoments(AbstractMoments):
    """Independent positions; without weights where every token weighs one."""

    def __init__(self, question: Question, arith: AbstractArithmetic) -> None:
        self.arith = arith
        strata, n, distribution = strata_of(question.task), question.task.k - 1, as_product(question)
        self._query: list[int] = distribution.position(n).tolist()
        # [I', d_vocab]: one row if all positions share it, else one for each position before the last.
        rows = distribution.weights
        self._weights = rows if len(rows) == 1 else rows[:-1]
        uniform = isinstance(question.distribution, Uniform)
        self._table = None if uniform else arith.integers(self._weights).enclose()
        # Weight of the tokens that each output allows, `[I', n_outputs]`.
        # SOUND: at most 4,096 weights of at most 2**48, so int64 holds the sums.
        self._allowed = np.stack([np.where(strata.letter != DEAD, row, 0).sum(1) for row in self._weights])
        columns = self._allowed.T.tolist()
        self._before = [column[0] ** n if len(column) == 1 else prod(column) for column in columns]

    def whole(self, terms: StratumTerms) -> list[int]:
        """The weight of the tokens allowed, over all positions, times that of the query."""
        strata = zip(terms.query.tolist(), terms.outputs.tolist(), strict=True)
        return [self._query[q] * self._before[y] for q, y in strata]

    def last(self, q: int) -> int:
        """Weight of the query token."""
        return self._query[q]

    def token_weights(self, terms: StratumTerms, row: int) -> dict[str, Any]:
        """Weights of the near tokens of a stratum, `[I', G]`, and of its far tokens; nothing without weights."""
        if self._table is None:
            return {}
        far = self._far(terms)[:, row].tolist()
        return {"weight": self._weights[:, terms.token[terms.pair[row]]], "far_weight": tuple(far)}

    def _far(self, terms: StratumTerms) -> np.ndarray:
        """Weight of the far tokens, `[I', Y]`."""
        near = np.where(terms.letter != DEAD, self._weights[:, terms.token[terms.pair]], 0).sum(-1)
        return np.asarray(np.where(terms.n_far > 0, self._allowed[:, terms.outputs] - near, 0))

    def moment(self, terms: StratumTerms, tilt: AbstractEnclosure) -> AbstractEnclosure:
        """One pass over the program, or a matrix power where all positions share term and weights."""
        arith = self.arith
        n_groups, n_y = terms.last.shape
        rows = np.nonzero(terms.letter != DEAD)[0]
        factor = (terms.near * tilt[:, rows].reshape(n_groups, 1, rows.size)).exp()
        if self._table is not None:
            factor = factor * self._table[:, terms.token]
        factor = factor[:, :, terms.pair]  # [R, I, Y, G]
        ones = arith.integers(np.ones(n_y, dtype=np.int64)).enclose()
        inverse = ones / arith.integers(self._allowed[..., terms.outputs]).enclose()
        far = None
        if terms.n_far.any():
            count = arith.integers(self._far(terms)).enclose()
            far = (terms.far * tilt).exp().where(terms.n_far > 0, 0).reshape(n_groups, 1, n_y) * count

        def of_letter(letter: int) -> AbstractEnclosure:
            """Sum over the tokens with a letter, over what is allowed, `[R, I, Y]`."""
            total = factor.sum_where(terms.letter == letter)
            total = total if far is None or letter != 0 else total + far
            return total * inverse

        summed = LetterSums(of_letter, add)
        if factor.shape[1] == 1:
            paths = power(terms.program, lambda letters: summed(letters)[:, 0], add, mul)
        else:
            paths = terms.program.run(lambda i, letters: summed(letters)[:, i], add, mul)
        moments: AbstractEnclosure = paths * (terms.last * tilt).exp()
        return moments


Part = tuple[np.ndarray, AbstractEnclosure]


class ChainMoments(AbstractMoments):
    """A Markov chain; no far tokens, as their transitions differ."""

    def __init__(self, question: Question, distribution: Markov, arith: AbstractArithmetic) -> None:
        self.arith, self._total = arith, question.total()
        initial, transition = distribution.initial, distribution.transition
        self._start = arith.integers(initial).enclose() / arith.integers(initial.sum(keepdims=True)).enclose()
        rows = transition.sum(1, keepdims=True)
        self._step = arith.integers(transition).enclose() / arith.integers(rows).enclose()

    def whole(self, terms: StratumTerms) -> list[int]:
        """W for every stratum, because moments are probabilities here."""
        return [self._total] * len(terms.outputs)

    def moment(self, terms: StratumTerms, tilt: AbstractEnclosure) -> AbstractEnclosure:
        """The passes of the strata, one after another."""
        n_groups, _ = terms.last.shape
        rows = np.nonzero(terms.letter != DEAD)[0]
        factor = (terms.near * tilt[:, rows].reshape(n_groups, 1, rows.size)).exp()
        by_stratum = []
        for row in range(len(terms.outputs)):
            alive = np.flatnonzero(terms.letter[row] != DEAD)
            pair = terms.pair[row, alive]
            paths = self._paths(terms.program, factor[:, :, pair], terms.token[pair], terms.letter[row, alive])
            by_stratum.append(self._flow(paths, terms.query[row : row + 1])[:, 0])
        return self.arith.stack(by_stratum, axis=1) * (terms.last * tilt).exp()

    def _paths(self, program: Program, factor: AbstractEnclosure, token: np.ndarray, letter: np.ndarray) -> list[Part]:
        """The pass of one stratum, before the query; `factor` is f, `[R, I, n]`, of the tokens the output allows."""
        # By state, the last tokens of each move into it and their h: moves into one state are not added up before the
        # next step, so that no zero is multiplied.
        states: dict[int, list[Part]] = {}
        for i, layer in enumerate(program.layers):
            after: dict[int, list[Part]] = {}
            f = factor[:, min(i, factor.shape[1] - 1)]
            for (source, target), letters in layer:
                chosen = np.flatnonzero(np.isin(letter, sorted(letters)))
                to = token[chosen]
                arrived = self._start[to] if i == 0 else self._flow(states[source], to)
                after.setdefault(target, []).append((to, arrived * f[:, chosen]))
            states = after
        return states[0]

    def _flow(self, parts: list[Part], to: np.ndarray) -> AbstractEnclosure:
        """Sum over the last tokens t of h(t) p(t, t'), `[R, to]`."""
        arrived = ((h.reshape(*h.shape, 1) * self._step[tokens][:, to]).sum(1) for tokens, h in parts)
        return reduce(add, arrived)


def moments_of(question: Question, arith: AbstractArithmetic) -> AbstractMoments:
    """The pass for a question's distribution."""
    if isinstance(question.distribution, Markov):
        return ChainMoments(question, question.distribution, arith)
    return IndependentMoments(question, arith)


def added_moments(
    terms_by_head: Iterable[tuple[int, StratumTerms]],
    moments: AbstractMoments,
    tilts: Dyadics,
    progress: Callable[[int, int], None],
) -> list[Fraction | None]:
    """By stratum, W times the moments of all heads and groups of rivals; None where one of them is lost or missing.

    Args:
        terms_by_head: heads and terms, in any order.
        moments: the pass.
        tilts: lambda, `[heads * R, strata]`, R groups.
        progress: told how many strata of how many are done, head by head.
    """
    n_tilts, n_strata = tilts.mantissa.shape
    total: list[Fraction | None] = [Fraction(0)] * n_strata
    added, done = np.zeros(n_strata, dtype=np.int64), 0
    for head, terms in terms_by_head:
        groups = terms.last.shape[0]
        tilt = (-tilts[head * groups : (head + 1) * groups, terms.stratum_index]).enclosed(moments.arith)
        bound = moments.moment(terms, tilt).sum(0).upper()
        for index, whole, value in zip(terms.stratum_index.tolist(), moments.whole(terms), bound, strict=True):
            so_far = total[index]
            # SOUND: one lost bound loses the stratum.
            total[index] = None if value is None or so_far is None else so_far + value * whole
        added[terms.stratum_index] += groups
        done += terms.stratum_index.size
        progress(done, tilts.mantissa.size // groups)
    # SOUND: a stratum some of whose terms were not given is lost.
    return [value if groups == n_tilts else None for value, groups in zip(total, added.tolist(), strict=True)]
