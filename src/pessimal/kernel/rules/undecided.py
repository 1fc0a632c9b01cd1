"""Sequences that the fast pass of brute force cannot decide: straight from the specification, in Arb.

Under `float32` nothing is evaluated: what the enclosures leave open may fall either way from one execution to the next,
so it counts as wrong below and as undecided above.

Contents:
    Undecided — collects, evaluates, counts.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product as cartesian
from math import prod
from typing import Any

import flint
import numpy as np
from jaxtyping import Int

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


class Undecided:
    """Decides sequences one by one.

    Attributes:
        wrong: sequences counted as wrong here, ties among them.
        ties: sequences that stayed undecided at every precision, or came after the evaluation limit.
        limit: how many may be evaluated.
    """

    def __init__(self, weights: Weights, question: Question) -> None:
        self.weights = weights
        self.task = question.task
        self.limit = MAX_EVALUATIONS if question.semantics == REAL else 0
        self.wrong = 0
        self.ties = 0
        self.evaluations = 0

    def add(self, others: Int[np.ndarray, "n k_1"], q: int) -> None:
        """Decide sequences given by their tokens before the last, and the last token q."""
        if not self._gives_up(len(others)):
            for row in others.tolist():
                self._add_one([*row, q])

    def add_box(self, allowed: Sequence[np.ndarray], q: int) -> None:
        """Decide a whole box."""
        if self._gives_up(prod(len(tokens) for tokens in allowed)):
            return
        for row in cartesian(*(tokens.tolist() for tokens in allowed)):
            self._add_one([*row, q])

    def _gives_up(self, count: int) -> bool:
        """Past the evaluation limit, count everything as wrong and undecided."""
        if self.evaluations + count <= self.limit:
            return False
        self.wrong += count
        self.ties += count
        return True

    def _add_one(self, tokens: list[int]) -> None:
        verdict = self._right(tokens)
        self.wrong += verdict is not True
        self.ties += verdict is None

    def _right(self, tokens: list[int]) -> bool | None:
        """True, False, or None if no precision decides."""
        self.evaluations += 1
        y = int(self.task.target(np.array(tokens)))
        for precision in PRECISIONS:
            with flint.ctx.workprec(precision):
                values = logits(self.weights, tokens, ArbReals())
                rivals = [value for o, value in enumerate(values) if o != y]
                if all(values[y] > rival for rival in rivals):
                    return True
                if any(rival > values[y] for rival in rivals):
                    return False
        return None
