r"""Weights of sets of sequences, exact: how much of a stratum, or of what a search leaves open, occurs.

A set of sequences is given by the moves of a program (`strata.py`), layer by layer, by prefixes, or as a product of
token sets. Its weight is the sum of the weights of its sequences (`spec/distribution.py`). *Independent positions*:
the weight is a product, so it passes through a program like a count, every set of letters weighing what its tokens
weigh at that position. *Chains*: what follows depends on the last token, so a state carries one weight per last token.

What is computed here comes from the question alone, like the sizes of strata: it is charged to the checker's
operations, not to the length of the proof.

Contents:
    AbstractWeighing — exact weights under one distribution.
    Independent, Chain — positions by themselves, and each after the last.
    as_product — the weights of independent positions.
    weighed — the cost of weights.
    weighing_of — the weighing of a question.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from operator import add, mul
from typing import Any

import numpy as np
from jaxtyping import Int

from pessimal.kernel.cost import OPS_PER_FLOP, Cost
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.strata.program import Letters, Moves, Program
from pessimal.kernel.strata.strata import strata_of
from pessimal.spec.distribution import Markov, Product, Uniform
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question

WORD = 64


class AbstractWeighing(ABC):
    """Exact weights under one distribution.

    Attributes:
        question: task and distribution.
        strata: the strata of the task.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.strata = strata_of(question.task)
        self._stratum: dict[tuple[int, ...], Any] = {}

    @property
    def number_of_passes(self) -> int:
        """Layers to pass for the weights of all strata."""
        outputs = self.question.task.n_outputs
        return int(outputs * self.strata.recogniser.moves.shape[1] * max(self.question.task.k - 1, 1))

    @abstractmethod
    def ops(self) -> int:
        """Operations for the weights of all strata, at most."""

    def memory(self) -> int:
        """Bytes of the weights held, about."""
        task = self.question.task
        return 64 * task.n_outputs * task.d_vocab

    @abstractmethod
    def stratum(self, q: int, y: int) -> int:
        """Weight of stratum (q, y)."""

    @abstractmethod
    def paths(self, layers: Sequence[Moves], q: int, y: int) -> int:
        """Weight of the sequences of stratum (q, y) that take these moves only; K - 1 layers."""

    @abstractmethod
    def completions(self, program: Program, q: int, y: int) -> list[dict[int, Any]]:
        """Weight of what may follow i + 1 tokens, the query included, by state: for `prefixes`."""

    @abstractmethod
    def prefixes(self, tokens: Int[np.ndarray, "n i"], after: Any) -> int:
        """Weight of some prefixes, each followed by completions."""

    @abstractmethod
    def token_product(self, allowed: Sequence[Int[np.ndarray, " _"]], q: int) -> int:
        """Weight of a product of token sets before the last token q."""

    def sequences(self, earlier: Int[np.ndarray, "n k_1"], q: int) -> int:
        """Weight of sequences given by their tokens before the last, and the last one."""
        tokens = np.concatenate([earlier, np.full((len(earlier), 1), q)], axis=1)
        return int(self.question.distribution.weigh(tokens).sum()) if len(earlier) else 0

    def capped(self, bounds: Sequence[Fraction | None]) -> dict[tuple[int, int], Fraction]:
        """Bounds of all strata, in the order of their numbers, none above the weight of its stratum."""
        capped = {}
        for (q, y), bound in zip(np.argwhere(self.strata.stratum_index >= 0).tolist(), bounds, strict=True):
            size = Fraction(self.stratum(q, y))
            # SOUND: a lost or vacuous bound gives the whole stratum up.
            capped[q, y] = size if bound is None else min(size, bound)
        return capped


class Independent(AbstractWeighing):
    """Independent positions; under the uniform distribution every token weighs one."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self.distribution = as_product(question)
        self._letters: dict[tuple[int, int], list[int]] = {}

    def ops(self) -> int:
        """Tokens into letters for every position and output, and two operations per pass and pair of letters."""
        task, letters = self.question.task, self.strata.recogniser.moves.size
        return len(self.distribution.weights) * task.d_vocab * task.n_outputs + 2 * letters * self.number_of_passes

    def by_letter(self, i: int, y: int) -> list[int]:
        """Weight of the tokens with each letter at position i."""
        key = (min(i, len(self.distribution.weights) - 1), y)
        if key not in self._letters:
            letter = self.strata.letter[y]
            alive = letter != DEAD
            weights = np.zeros(self.strata.recogniser.moves.shape[1], dtype=np.int64)
            np.add.at(weights, letter[alive], self.distribution.position(i)[alive])
            self._letters[key] = weights.tolist()
        return self._letters[key]

    def letters(self, i: int, y: int, letters: Letters) -> int:
        """Weight of the tokens with some letters at position i."""
        weights = self.by_letter(i, y)
        return sum(weights[letter] for letter in letters)

    def last(self, q: int) -> int:
        """Weight w_{K-1}(q) of the last token."""
        return int(self.distribution.position(self.question.task.k - 1)[q])

    def stratum(self, q: int, y: int) -> int:
        """Weight of what leads to the query, which queries with one letter share, times the query's."""
        letter = int(self.strata.letter[y, q])
        if letter == DEAD:
            return 0
        if (y,) not in self._stratum:
            self._stratum[y,] = self.strata.before_last(y, lambda i: self.by_letter(i, y))
        return int(self._stratum[y,][letter]) * self.last(q)

    def paths(self, layers: Sequence[Moves], q: int, y: int) -> int:
        """One pass over the layers, times the weight of the query."""
        sums = Program(tuple(layers)).prefixes(lambda i, letters: self.letters(i, y, letters), add, mul)
        return (sums[-1].get(0, 0) if sums else 1) * self.last(q)

    def completions(self, program: Program, q: int, y: int) -> list[dict[int, Any]]:
        """One pass over the layers from the end."""
        last = self.last(q)
        completions = program.completions(lambda i, letters: self.letters(i, y, letters), add, mul)
        return [*({state: weight * last for state, weight in states.items()} for states in completions), {0: last}]

    def prefixes(self, tokens: Int[np.ndarray, "n i"], after: Any) -> int:
        """The sum of the prefixes' weights, times the completions that all of them share."""
        return int(self.question.distribution.weigh(tokens).sum()) * int(after) if len(tokens) else 0

    def token_product(self, allowed: Sequence[Int[np.ndarray, " _"]], q: int) -> int:
        """The product over positions of the weights of the token sets."""
        weight = self.last(q)
        for i, tokens in enumerate(allowed):
            weight *= int(self.distribution.position(i)[tokens].sum())
        return weight


class Chain(AbstractWeighing):
    """A Markov chain; weights by last token are arrays of Python integers, `[d_vocab]`."""

    def __init__(self, question: Question, distribution: Markov) -> None:
        super().__init__(question)
        self.distribution = distribution

    def ops(self) -> int:
        """Two operations per pass, pair of letters and transition; and the queries."""
        task, letters = self.question.task, self.strata.recogniser.moves.size
        return 2 * task.d_vocab**2 * (letters * self.number_of_passes + task.n_outputs * letters)

    def memory(self) -> int:
        """The transitions as Python integers, and what the passes keep of them."""
        v, digits = self.question.task.d_vocab, self.distribution.common_total.bit_length() // 8
        return (v * v + 8 * v * self.question.task.n_outputs) * (64 + digits)

    def _among(self, y: int, letters: Letters) -> np.ndarray:
        return np.flatnonzero(np.isin(self.strata.letter[y], sorted(letters)))

    def _arrivals(self, layers: Sequence[Moves], y: int) -> np.ndarray:
        """Weight of the paths to the end of these layers by their last token."""
        d_vocab = self.question.task.d_vocab

        def tokens_or_start(i: int, letters: Letters) -> np.ndarray:
            tokens = self._among(y, letters)
            return tokens if i else _placed(self.distribution.initial[tokens].astype(object), tokens, d_vocab)

        def step(weight: np.ndarray, tokens: np.ndarray) -> np.ndarray:
            before = np.flatnonzero(weight)
            return _placed(weight[before] @ self.distribution.scaled[np.ix_(before, tokens)], tokens, d_vocab)

        sums = Program(tuple(layers)).prefixes(tokens_or_start, add, step)
        none = np.zeros(d_vocab, dtype=object)
        return sums[-1].get(0, none) if sums else none

    def stratum(self, q: int, y: int) -> int:
        """What leads to the query, which queries with one letter share, and the step to it."""
        program = self.strata.program(q, y)
        if program.empty:
            return 0
        if not program.layers:
            return self.token_product([], q)
        key = (int(self.strata.letter[y, q]), y)
        if key not in self._stratum:
            self._stratum[key] = self._arrivals(program.layers, y)
        return int(self._stratum[key] @ self.distribution.scaled[:, q])

    def paths(self, layers: Sequence[Moves], q: int, y: int) -> int:
        """One pass over the layers, and the step to the query."""
        return int(self._arrivals(layers, y) @ self.distribution.scaled[:, q])

    def completions(self, program: Program, q: int, y: int) -> list[dict[int, Any]]:
        """One pass over the layers from the end; an array by last token for every state."""
        after: list[dict[int, Any]] = [{0: self.distribution.scaled[:, q]}]
        for layer in reversed(program.layers[1:]):
            before: dict[int, np.ndarray] = {}
            for (source, target), letters in layer:
                tokens = self._among(y, letters)
                step = self.distribution.scaled[:, tokens] @ after[0][target][tokens]
                before[source] = before[source] + step if source in before else step
            after.insert(0, before)
        return after

    def prefixes(self, tokens: Int[np.ndarray, "n i"], after: Any) -> int:
        """The weight of each prefix times the completions of its last token."""
        return int((self.distribution.weigh(tokens) * after[tokens[:, -1]]).sum()) if len(tokens) else 0

    def token_product(self, allowed: Sequence[Int[np.ndarray, " _"]], q: int) -> int:
        """One pass over the token sets, and the step to the query."""
        if not allowed:
            return int(self.distribution.initial[q])
        weight = self.distribution.initial[allowed[0]].astype(object)
        for before, tokens in zip(allowed, [*allowed[1:], np.array([q])], strict=True):
            weight = weight @ self.distribution.scaled[np.ix_(before, tokens)]
        return int(weight[0])


def _placed(weights: np.ndarray, tokens: np.ndarray, d_vocab: int) -> np.ndarray:
    """Weights by token, zero elsewhere."""
    by_token = np.zeros(d_vocab, dtype=object)
    by_token[tokens] = weights
    return by_token


def as_product(question: Question) -> Product:
    """The distribution of independent positions, every token weighing one if they are all alike."""
    ones = np.ones((1, question.task.d_vocab), dtype=np.int64)
    return question.distribution if isinstance(question.distribution, Product) else Product(ones)


def weighed(cost: Cost, question: Question, *, decisions: int, passes: int = 1) -> Cost:
    """The cost of a rule with that of weights added; nothing where every sequence weighs one.

    Args:
        cost: the same rule for equally likely sequences.
        question: with the distribution.
        decisions: how many decisions are weighed, at one product and one addition each.
        passes: how often the weights of all strata are passed through.
    """
    if question.distribution.name == Uniform.name:
        return cost
    weighing = weighing_of(question)
    # Weights are long integers: an operation on them takes as many steps as they have words, a weight one per token.
    words = 1 + question.total().bit_length() // WORD
    ops = weighing.ops() * passes * words + sum(array.size for array in question.distribution.arrays().values())
    return replace(
        cost,
        flops=cost.flops + 2 * decisions,
        checker_ops=cost.checker_ops + OPS_PER_FLOP * (ops + 2 * decisions * question.task.k * words),
        bytes_needed=cost.bytes_needed + weighing.memory(),
    )


@lru_cache(maxsize=4)
def weighing_of(question: Question) -> AbstractWeighing:
    """The weighing of a question, built once.

    Raises:
        Rejected: task-mismatch, for a distribution of another kind.
    """
    distribution = question.distribution
    if isinstance(distribution, Uniform | Product):
        return Independent(question)
    if isinstance(distribution, Markov):
        return Chain(question, distribution)
    raise Rejected(Reason.TASK_MISMATCH, f"no weights for the distribution {distribution.name}")
