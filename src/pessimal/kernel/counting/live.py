"""One stratum against its live rivals: differences in integers, and the fillings of its positions.

Contents:
    LiveStrata — the strata of a question.
    Rivals — of an output.
"""

from functools import cached_property, reduce
from math import inf

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.counting.conditioned import ConditionedCounts, Grid
from pessimal.kernel.counting.integers import BITS, IntegerStratum
from pessimal.kernel.model.source import Tables
from pessimal.kernel.strata.strata import Strata, strata_of
from pessimal.kernel.strata.weighing import as_product
from pessimal.kernel.terms.nodes import NodeTerms, Others
from pessimal.spec.distribution import Product, Uniform
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question

# None is all of them at once.
Rivals = Int[np.ndarray, " live"] | None


class LiveStrata:
    """The strata of a question.

    Attributes:
        nodes: the tables.
        question: task and distribution.
    """

    def __init__(
        self, tables: Tables, near: int, question: Question, arith: AbstractArithmetic, *, others: Others = "none"
    ) -> None:
        """`others`: how all rivals of an output are counted at once."""
        self.question, self._arith = question, arith
        self.strata: Strata = strata_of(question.task)
        self.nodes = NodeTerms(tables, self.strata, near, arith, others=others)

    def entries(self, y: int, rivals: Rivals) -> int:
        """Terms of a stratum against some rivals."""
        return self.question.task.k * self._n_terms(y, rivals) * (1 if rivals is None else rivals.size)

    def _n_terms(self, y: int, rivals: Rivals) -> int:
        return self.nodes.n_terms(y) if rivals is None else int((self.strata.letter[y] != DEAD).sum())

    def integers(
        self,
        at: tuple[int, int],
        rivals: Rivals,
        bits: int = BITS,
        positions: Int[np.ndarray, " k_1"] | None = None,
    ) -> IntegerStratum:
        """Differences of the rivals' terms to the target's, positions as given. Cost: three operations an entry.

        Of all rivals at once, no less than each one's: nothing can be said from below then.
        """
        q, y = at
        letter = self.strata.letter[y]
        ends = self._at_once(q, y) if rivals is None else self._differences(q, y, rivals)
        # After the target's own, zero.
        low, high = (np.concatenate([np.zeros((*end.shape[:2], 1)), end], axis=2) for end in ends)
        stratum = IntegerStratum(low, high, q, 0, letter, bits)
        if positions is not None and not stratum.lost:
            stratum.high, stratum.low = stratum.high[positions], stratum.low[positions]
        return stratum

    def _differences(self, q: int, y: int, rivals: Int[np.ndarray, " live"]) -> list[np.ndarray]:
        """Ends, `[k, d_vocab, live]`."""
        letter, nodes = self.strata.letter[y], self.nodes
        alive, used = np.flatnonzero(letter != DEAD), np.append(rivals, y)
        logits = nodes.value[:, alive][:, :, used] + nodes.ahead[q, used]
        margin = (logits[:, :, :-1] - logits[:, :, -1:]) * nodes.weight[q][:, alive].reshape(-1, alive.size, 1)
        ends = [np.zeros((end.shape[0], letter.size, rivals.size)) for end in margin.bounds()]
        for padded, end in zip(ends, margin.bounds(), strict=True):
            padded[:, alive] = end
        return ends

    def _at_once(self, q: int, y: int) -> list[np.ndarray]:
        """The upper end, `[k, d_vocab, 1]`, for both."""
        terms, last = self.nodes.at_once(q, y)
        query = np.zeros((1, terms.shape[1]))
        query[0, q] = last
        return [-np.concatenate([terms, query])[:, :, np.newaxis]] * 2

    def reordered(self, last: Int[np.ndarray, " n"]) -> Int[np.ndarray, " k_1"]:
        """The positions before the query, with these at the end."""
        return np.append(np.setdiff1d(np.arange(self.question.task.k - 1), last), last)

    def fillings(
        self,
        at: tuple[int, int],
        rivals: Rivals,
        positions: Int[np.ndarray, " k_1"],
        grid: Grid,
        allowed: int | float = inf,
    ) -> ConditionedCounts:
        """Of the positions before those, at the end, that are conditioned on; `allowed`: operations."""
        q, y = at
        weights = None if self._product is None else [self._product.position(i).tolist() for i in positions.tolist()]
        program, letter = self.strata.program(q, y), self.strata.letter[y]
        return ConditionedCounts(program, letter, weights, grid, self._n_terms(y, rivals), self._arith, allowed)

    @cached_property
    def _product(self) -> Product | None:
        """The weights of independent positions; None if all sequences weigh one."""
        return None if self.question.distribution.name == Uniform.name else as_product(self.question)

    def last_weight(self, q: int) -> int:
        """Weight of the query."""
        return 1 if self._product is None else int(self._product.position(self.question.task.k - 1)[q])

    def ending_weights(
        self, counts: ConditionedCounts, positions: Int[np.ndarray, " k_1"]
    ) -> list[AbstractEnclosure] | None:
        """Weights of the tokens at the positions that are conditioned on; None if all weigh one."""
        product = self._product
        if product is None:
            return None
        found = []
        for end in counts.endings:
            at = positions[-len(end.tokens) :].tolist()
            own = [product.position(i).astype(object)[tokens] for i, tokens in zip(at, end.tokens, strict=True)]
            found.append(self._arith.integers(reduce(np.multiply.outer, own)).enclose())
        return found
