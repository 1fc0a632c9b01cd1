r"""Sequences that the fast pass of brute force cannot decide: straight from the specification, in Arb.

They are taken some at a time, through precisions of 128, 512 and 2,048 bits, each with the model converted once. The
work is bounded: beyond `MAX_WORK` products, counted at 128 bits, sequences stay undecided.

Theorem. Every wrong sequence that is added is in `by_stratum`; those of them that are not in `ties` are wrong.

*Proof.* Arb's balls contain the logits of the specification at every precision, and a comparison of balls holds only if
it holds of all their points. A sequence leaves `by_stratum` out only if its target is certainly larger than every
rival, and `ties` only if some rival is certainly larger. ∎

Under `float32` nothing is evaluated: what the enclosures leave open may fall either way from one execution to the next,
so it counts as wrong below and as undecided above.

Contents:
    Undecided — collects, evaluates, counts.
    undecided_ops — what a checker has to expect.
    ArbReals — the real numbers of the specification in Arb.
    products_per_sequence — the work for one sequence.
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

from pessimal.kernel.cost import OPS_PER_FLOP
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.spec.architecture import ModelShape
from pessimal.spec.model import AbstractReals, ForwardPass
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights

PRECISIONS = (128, 512, 2048)
# A product takes 30 to 150 ns at 128 bits, longer in proportion above.
MAX_WORK = 1 << 25
BLOCK = 1 << 16


class ArbReals(AbstractReals):
    """The specification's real numbers as Arb balls at FLINT's current precision."""

    def number(self, value: Fraction) -> Any:
        """A rational as a ball."""
        return flint.arb(flint.fmpq(value.numerator, value.denominator))

    def exp(self, x: Any) -> Any:
        """The exponential of a ball."""
        return x.exp()

    def sqrt(self, x: Any) -> Any:
        """The square root of a ball."""
        return x.sqrt()

    def relu(self, x: Any) -> Any:
        """The larger of 0 and x."""
        return x.max(0)

    def matrix(self, rows: list[list[Any]]) -> Any:
        """A matrix of FLINT."""
        return flint.arb_mat(rows)

    def product(self, rows: list[list[Any]], matrix: Any) -> list[list[Any]]:
        """A product of matrices by FLINT."""
        return list((flint.arb_mat(rows) * matrix).table())


def products_per_sequence(shape: ModelShape) -> int:
    """Products of a forward pass that sequences do not share: attention, W_O, MLP, W_U, comparisons."""
    s = shape
    heads = s.n_heads * (s.k * (2 * s.d_head + 4) + s.d_head * s.d_model)
    return heads + s.d_mlp * (s.d_model + s.d_vocab_out) + (s.d_model + 1) * s.d_vocab_out


def undecided_ops(shape: ModelShape, question: Question, sequences: int) -> int:
    """Operations of a checker for as many undecided sequences, at most: conversions and products."""
    if question.semantics != REAL:
        return 0
    longer = sum(precision // PRECISIONS[0] for precision in PRECISIONS)
    work = min(MAX_WORK, sequences * products_per_sequence(shape) * longer)
    return len(PRECISIONS) * shape.n_parameters() + OPS_PER_FLOP * work


class Undecided:
    """Decides sequences, some at a time.

    Attributes:
        by_stratum: weight of the sequences counted as wrong here, ties among them, by last token and right output.
        ties: weight of those that stayed undecided at every precision, or for want of work.
        budget_left: products that may still be spent, at the first precision.
    """

    def __init__(self, weights: Weights, question: Question, *, decides: bool = True) -> None:
        """`decides`: otherwise nothing is evaluated, as under `float32`."""
        self.weights = weights
        self.task = question.task
        self.weighing = weighing_of(question)
        self.budget_left = MAX_WORK if decides and question.semantics == REAL else 0
        self.by_stratum: Counter[tuple[int, int]] = Counter()
        self.ties = 0
        shape = weights.architecture.shape
        self._each = products_per_sequence(shape)
        self._block = max(1, BLOCK // (shape.d_vocab_out + shape.d_mlp + shape.d_model))
        self._models: dict[int, ForwardPass] = {}

    @property
    def wrong(self) -> int:
        """Weight of all sequences counted as wrong here."""
        return sum(self.by_stratum.values())

    def add(self, earlier: Int[np.ndarray, "n k_1"], q: int) -> None:
        """Decide sequences given by their tokens before the last, and the last token q."""
        for begin in range(0, len(earlier), self._block):
            part = earlier[begin : begin + self._block]
            tokens = np.concatenate([part, np.full((len(part), 1), q)], axis=1)
            target = self.task.target(tokens)
            right, wrong = self._decide(tokens.tolist(), target.tolist())
            for y in np.unique(target[~right]).tolist():
                of_target = ~right & (target == y)
                self.by_stratum[q, y] += self.weighing.sequences(part[of_target], q)
                self.ties += self.weighing.sequences(part[of_target & ~wrong], q)

    def add_token_product(self, allowed: Sequence[np.ndarray], q: int) -> None:
        """Decide a whole product of token sets of one stratum."""
        if prod(len(tokens) for tokens in allowed) * self._each <= self.budget_left:
            rows = list(cartesian(*(tokens.tolist() for tokens in allowed)))
            self.add(np.array(rows, dtype=np.int64).reshape(len(rows), len(allowed)), q)
            return
        first = np.array([[*(tokens[0] for tokens in allowed), q]], dtype=np.int64)
        weight = self.weighing.token_product(allowed, q)
        self.by_stratum[q, int(self.task.target(first)[0])] += weight
        self.ties += weight

    def _decide(self, tokens: list[list[int]], target: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Which sequences are right and which are wrong; neither where no precision decides."""
        right, wrong = np.zeros(len(tokens), dtype=bool), np.zeros(len(tokens), dtype=bool)
        for precision in PRECISIONS:
            pending = np.flatnonzero(~right & ~wrong).tolist()
            needed = len(pending) * self._each * (precision // PRECISIONS[0])
            if not pending or needed > self.budget_left:
                break
            self.budget_left -= needed
            with flint.ctx.workprec(precision):
                if precision not in self._models:
                    self._models[precision] = ForwardPass(self.weights, ArbReals())
                logits = self._models[precision].logits([tokens[i] for i in pending])
                for i, values in zip(pending, logits, strict=True):
                    right_logit, rivals = values[target[i]], values[: target[i]] + values[target[i] + 1 :]
                    right[i] = all(right_logit > rival for rival in rivals)
                    wrong[i] = any(rival > right_logit for rival in rivals)
        return right, wrong
