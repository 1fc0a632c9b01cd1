"""Sequences that the fast pass of brute force cannot decide: straight from the specification, in Arb.

Under `float32` nothing is evaluated: what the enclosures leave open may fall either way from one execution to the next,
so it counts as wrong below and as undecided above.

Contents:
    Undecided — collects, evaluates, counts.
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import product as cartesian
from math import prod
from typing import Any

import flint
import numpy as np
from jaxtyping import Int

from pessimal.kernel.weighing import weighing_of
from pessimal.spec.model import AbstractReals, logits
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights

PRECISIONS = (128, 512, 2048)
MAX_EVALUATIONS = 1 << 14


class ArbReals(AbstractReals):
    """The specification's real numbers as Arb balls at FLINT's current precision."""

    def number(self, value: Fraction) -> Any:
        """A rational."""
        return flint.arb(flint.fmpq(value.numerator, value.denominator))

    def exp(self, x: Any) -> Any:
        """The exponential."""
        return x.exp()

    def sqrt(self, x: Any) -> Any:
        """The square root."""
        return x.sqrt()

    def relu(self, x: Any) -> Any:
        """The larger of 0 and x."""
        return x.max(0)


class Undecided:
    """Decides sequences one by one.

    Attributes:
        by_stratum: weight of the sequences counted as wrong here, ties among them, by last token and right output.
        ties: weight of those that stayed undecided at every precision, or came after the evaluation limit.
        limit: how many may be evaluated.
    """

    def __init__(self, weights: Weights, question: Question) -> None:
        self.weights = weights
        self.task = question.task
        self.weighing = weighing_of(question)
        self.limit = MAX_EVALUATIONS if question.semantics == REAL else 0
        self.by_stratum: Counter[tuple[int, int]] = Counter()
        self.ties = 0
        self.evaluations = 0

    @property
    def wrong(self) -> int:
        """Weight of all sequences counted as wrong here."""
        return sum(self.by_stratum.values())

    def add(self, others: Int[np.ndarray, "n k_1"], q: int) -> None:
        """Decide sequences given by their tokens before the last, and the last token q."""
        if not len(others):
            return
        target = self._targets(others, q)
        if self._room_for(len(others)):
            for row, y in zip(others.tolist(), target.tolist(), strict=True):
                self._add_one([*row, q], y)
            return
        for y in np.unique(target).tolist():
            self._give_up(self.weighing.sequences(others[target == y], q), q, y)

    def add_box(self, allowed: Sequence[np.ndarray], q: int) -> None:
        """Decide a whole box of one stratum."""
        if self._room_for(prod(len(tokens) for tokens in allowed)):
            rows = list(cartesian(*(tokens.tolist() for tokens in allowed)))
            self.add(np.array(rows, dtype=np.int64).reshape(len(rows), len(allowed)), q)
            return
        first = np.array([[tokens[0] for tokens in allowed]], dtype=np.int64)
        self._give_up(self.weighing.box(allowed, q), q, int(self._targets(first, q)[0]))

    def _targets(self, others: Int[np.ndarray, "n k_1"], q: int) -> Int[np.ndarray, " n"]:
        return self.task.target(np.concatenate([others, np.full((len(others), 1), q)], axis=1))

    def _room_for(self, count: int) -> bool:
        return self.evaluations + count <= self.limit

    def _give_up(self, weight: int, q: int, y: int) -> None:
        """Past the evaluation limit, count everything as wrong and undecided."""
        self.by_stratum[q, y] += weight
        self.ties += weight

    def _add_one(self, tokens: list[int], y: int) -> None:
        verdict = self._right(tokens, y)
        if verdict is not True:
            weight = self.weighing.sequences(np.array([tokens[:-1]], dtype=np.int64), tokens[-1])
            self.by_stratum[tokens[-1], y] += weight
            self.ties += weight if verdict is None else 0

    def _right(self, tokens: list[int], y: int) -> bool | None:
        """True, False, or None if no precision decides."""
        self.evaluations += 1
        for precision in PRECISIONS:
            with flint.ctx.workprec(precision):
                values = logits(self.weights, tokens, ArbReals())
                rivals = [value for o, value in enumerate(values) if o != y]
                if all(values[y] > rival for rival in rivals):
                    return True
                if any(rival > values[y] for rival in rivals):
                    return False
        return None
