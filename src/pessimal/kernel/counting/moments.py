r"""Exponential moments of a stratum: $\sum_t w(t)\, e^{-\lambda \sum_i g_i(t_i)}$ over its sequences, by one pass.

Independent positions (`spec.distribution.Product`; one for all tokens under `Uniform`). Every sequence of the stratum
lies on exactly one path $e_0 .. e_{K-2}$ of its program, and the sum over the sequences of a path of a product of one
factor per position is the product of the sums:

$$ w_{K-1}(q)\, e^{-\lambda g_{K-1}(q)} \sum_{\text{paths}} \prod_{i<K-1} \sum_{t \in \ell(e_i)}
   w_i(t)\, e^{-\lambda g_i(t)} . $$

Chains (`Markov`). The pass carries the last token besides the state: with $f_i(t) = e^{-\lambda g_i(t)}$ and transition
probabilities p, $h_0(s, t) = p_0(t) f_0(t)$, $h_{i+1}(s', t') = f_{i+1}(t') \sum_{(s,t)} h_i(s, t)\, p(t, t')$ over the
moves $s \to s'$ by a letter of $t'$, and the moment is $e^{-\lambda g_{K-1}(q)} \sum_t h_{K-2}(s, t)\, p(t, q)$ at the
end.

All terms are positive, nothing is subtracted. Factors of independent positions are divided by the weight n_i of the
tokens that the output allows, so a moment is a fraction of $w_{K-1}(q) \prod n_i$; that of a chain is a probability.
Neither overflows nor underflows with K.

Contents:
    AbstractMoments — moments of strata, and what they are fractions of.
    IndependentMoments, ChainMoments — the two passes.
    moments_of — by question.
"""

from abc import ABC, abstractmethod
from math import prod
from typing import Any

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.strata.program import Letters, Program
from pessimal.kernel.strata.weighing import AbstractWeighing, Independent, weighing_of
from pessimal.kernel.terms.stratum import StratumTerms
from pessimal.spec.distribution import Markov
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question


class AbstractMoments(ABC):
    """Moments under one distribution."""

    @abstractmethod
    def moment(self, terms: StratumTerms, tilt: AbstractEnclosure) -> AbstractEnclosure:
        """Of every problem and stratum, as a fraction of `scale`; `tilt` is -lambda; both `[R, Y]`."""

    @abstractmethod
    def scale(self, terms: StratumTerms) -> list[int]:
        """What the moments of every stratum are fractions of, exact, `[Y]`."""


class IndependentMoments(AbstractMoments):
    """Independent positions; without weights where every token weighs one."""

    def __init__(self, weighing: AbstractWeighing, arith: AbstractArithmetic) -> None:
        self.weighing, self.arith = weighing, arith
        strata, n = weighing.strata, weighing.question.task.k - 1
        self._weights: np.ndarray | None = None
        self._table: AbstractEnclosure | None = None
        # Weight of the tokens that each output allows, `[n_outputs]`, or `[I', n_outputs]` with weights.
        self._allowed = np.array([sum(counts) for counts in strata.letter_counts])
        if isinstance(weighing, Independent):
            # [I', d_vocab]: one row if all positions share it, else one for each position before the last.
            rows = weighing.distribution.weights
            self._weights = rows if len(rows) == 1 else rows[:-1]
            self._table = arith.integers(self._weights).enclose()
            # SOUND: at most 4,096 weights of at most 2**48, so int64 holds the sums.
            self._allowed = np.stack([np.where(strata.letter != DEAD, row, 0).sum(1) for row in self._weights])
        columns = self._allowed.reshape(-1, strata.letter.shape[0]).T.tolist()
        self._before = [column[0] ** n if len(column) == 1 else prod(column) for column in columns]

    def scale(self, terms: StratumTerms) -> list[int]:
        """The weight of the tokens allowed, over all positions, times that of the query."""
        places = zip(terms.query.tolist(), terms.outputs.tolist(), strict=True)
        return [self.last(q) * self._before[y] for q, y in places]

    def last(self, q: int) -> int:
        """Weight of the query token."""
        return self.weighing.last(q) if isinstance(self.weighing, Independent) else 1

    def token_weights(self, terms: StratumTerms, row: int) -> dict[str, Any]:
        """Weights of the near tokens of a stratum, `[I', G]`, and of its far tokens; nothing without weights."""
        if self._weights is None:
            return {}
        far = self._far(terms)[:, row].tolist()
        return {"weight": self._weights[:, terms.token[terms.pair[row]]], "far_weight": tuple(far)}

    def _far(self, terms: StratumTerms) -> np.ndarray:
        """Weight of the far tokens, `[Y]`, or `[I', Y]` with weights."""
        if self._weights is None:
            return terms.n_far
        near = np.where(terms.letter != DEAD, self._weights[:, terms.token[terms.pair]], 0).sum(-1)
        return np.asarray(np.where(terms.n_far > 0, self._allowed[:, terms.outputs] - near, 0))

    def moment(self, terms: StratumTerms, tilt: AbstractEnclosure) -> AbstractEnclosure:
        """One pass over the program, or a matrix power where all positions share term and weights."""
        arith = self.arith
        problems, n_y = terms.last.shape
        rows = np.nonzero(terms.letter != DEAD)[0]
        factor = (terms.near * tilt[:, rows].reshape(problems, 1, rows.size)).exp()
        if self._table is not None:
            factor = factor * self._table[:, terms.token]
        factor = factor[:, :, terms.pair]  # [R, I, Y, G]
        ones = arith.integers(np.ones(n_y, dtype=np.int64)).enclose()
        inverse = ones / arith.integers(self._allowed[..., terms.outputs]).enclose()
        far = None
        if terms.n_far.any():
            count = arith.integers(self._far(terms)).enclose()
            far = (terms.far * tilt).exp().where(terms.n_far > 0, 0).reshape(problems, 1, n_y) * count
        known: dict[Letters, AbstractEnclosure] = {}

        def summed(letters: Letters) -> AbstractEnclosure:
            """Sum over the tokens with some letters, over what is allowed, `[R, I, Y]`."""
            if letters not in known:
                first, *rest = sorted(letters)
                if rest:
                    total = summed(frozenset({first}))
                    for letter in rest:
                        total = total + summed(frozenset({letter}))
                else:
                    total = factor.sum_where(terms.letter == first)
                    total = (total if far is None or first != 0 else total + far) * inverse
                known[letters] = total
            return known[letters]

        if factor.shape[1] == 1:
            paths = terms.program.power(lambda letters: summed(letters)[:, 0], _plus, _times)
        else:
            paths = terms.program.run(lambda i, letters: summed(letters)[:, i], _plus, _times)
        return paths * (terms.last * tilt).exp()


Part = tuple[np.ndarray, AbstractEnclosure]


class ChainMoments(AbstractMoments):
    """A Markov chain; no far tokens, as their transitions differ."""

    def __init__(self, question: Question, distribution: Markov, arith: AbstractArithmetic) -> None:
        self.arith, self._total = arith, question.total()
        initial, transition = distribution.initial, distribution.transition
        self._start = arith.integers(initial).enclose() / arith.integers(initial.sum(keepdims=True)).enclose()
        rows = transition.sum(1, keepdims=True)
        self._step = arith.integers(transition).enclose() / arith.integers(rows).enclose()

    def scale(self, terms: StratumTerms) -> list[int]:
        """W: moments are probabilities."""
        return [self._total] * len(terms.outputs)

    def moment(self, terms: StratumTerms, tilt: AbstractEnclosure) -> AbstractEnclosure:
        """Stratum by stratum."""
        problems, _ = terms.last.shape
        rows = np.nonzero(terms.letter != DEAD)[0]
        factor = (terms.near * tilt[:, rows].reshape(problems, 1, rows.size)).exp()
        found = []
        for row in range(len(terms.outputs)):
            alive = np.flatnonzero(terms.letter[row] != DEAD)
            pair = terms.pair[row, alive]
            paths = self._paths(terms.program, factor[:, :, pair], terms.token[pair], terms.letter[row, alive])
            found.append(self._flow(paths, terms.query[row : row + 1])[:, 0])
        return self.arith.stack(found, axis=1) * (terms.last * tilt).exp()

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
        total = None
        for tokens, h in parts:
            step = self._step[tokens][:, to]
            one = (h.reshape(*h.shape, 1) * step).sum(1)
            total = one if total is None else total + one
        if total is None:
            raise ValueError("a state of a program is reached by some move")
        return total


def _plus(a: AbstractEnclosure, b: AbstractEnclosure) -> AbstractEnclosure:
    return a + b


def _times(a: AbstractEnclosure, b: AbstractEnclosure) -> AbstractEnclosure:
    return a * b


def moments_of(question: Question, arith: AbstractArithmetic) -> AbstractMoments:
    """The pass for a question's distribution."""
    if isinstance(question.distribution, Markov):
        return ChainMoments(question, question.distribution, arith)
    return IndependentMoments(weighing_of(question), arith)
