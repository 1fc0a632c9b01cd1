"""One stratum against its live rivals: differences in integers, and the fillings of its positions.

Contents:
    LiveStrata — the strata of a question.
"""

from functools import cached_property

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.counting.conditioned import ConditionedCounts
from pessimal.kernel.counting.integers import BITS, IntegerStratum
from pessimal.kernel.model.source import Tables
from pessimal.kernel.strata.strata import Strata, strata_of
from pessimal.kernel.strata.weighing import as_product
from pessimal.kernel.terms.nodes import NodeTerms
from pessimal.spec.distribution import Product, Uniform
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question


class LiveStrata:
    """The strata of a question.

    Attributes:
        nodes: the tables.
        question: task and distribution.
    """

    def __init__(self, tables: Tables, near: int, question: Question, arith: AbstractArithmetic) -> None:
        self.question, self._arith = question, arith
        self.strata: Strata = strata_of(question.task)
        self.nodes = NodeTerms(tables, self.strata, near, arith)

    def entries(self, y: int, rivals: Int[np.ndarray, " live"]) -> int:
        """Terms of a stratum against some rivals."""
        return self.question.task.k * int((self.strata.letter[y] != DEAD).sum()) * int(rivals.size)

    def integers(
        self,
        at: tuple[int, int],
        rivals: Int[np.ndarray, " live"],
        bits: int = BITS,
        positions: Int[np.ndarray, " k_1"] | None = None,
    ) -> IntegerStratum:
        """Differences of the rivals' terms to the target's, positions as given. Cost: three operations an entry."""
        q, y = at
        letter, nodes = self.strata.letter[y], self.nodes
        alive, used = np.flatnonzero(letter != DEAD), np.append(rivals, y)
        logits = nodes.value[:, alive][:, :, used] + nodes.ahead[q, used]
        margin = (logits[:, :, :-1] - logits[:, :, -1:]) * nodes.weight[q][:, alive].reshape(-1, alive.size, 1)
        ends = []
        for end in margin.bounds():
            padded = np.zeros((end.shape[0], letter.size, rivals.size + 1))
            padded[:, alive, 1:] = end
            ends.append(padded)
        stratum = IntegerStratum(ends[0], ends[1], q, 0, letter, bits)
        if positions is not None and not stratum.lost:
            stratum.high, stratum.low = stratum.high[positions], stratum.low[positions]
        return stratum

    def reordered(self, last: Int[np.ndarray, " 2"]) -> Int[np.ndarray, " k_1"]:
        """The positions before the query, with these two at the end."""
        return np.append(np.setdiff1d(np.arange(self.question.task.k - 1), last), last)

    def fillings(self, at: tuple[int, int], positions: Int[np.ndarray, " k_1"], cells: int) -> ConditionedCounts:
        """Of the positions before the two that are conditioned on."""
        q, y = at
        weights = None if self._product is None else [self._product.position(i).tolist() for i in positions.tolist()]
        return ConditionedCounts(self.strata.program(q, y), self.strata.letter[y], weights, cells, self._arith)

    @cached_property
    def _product(self) -> Product | None:
        """The weights of independent positions; None if all sequences weigh one."""
        return None if self.question.distribution.name == Uniform.name else as_product(self.question)

    def last_weight(self, q: int) -> int:
        """Weight of the query."""
        return 1 if self._product is None else int(self._product.position(self.question.task.k - 1)[q])

    def pair_weights(
        self, counts: ConditionedCounts, positions: Int[np.ndarray, " k_1"]
    ) -> list[AbstractEnclosure] | None:
        """Weights of the pairs of tokens at the positions that are conditioned on; None if all weigh one."""
        if self._product is None:
            return None
        one, other = (self._product.position(int(i)).astype(object) for i in positions[-2:])
        pairs = [np.outer(one[pair.first], other[pair.second]) for pair in counts.pairs]
        return [self._arith.integers(pair).enclose() for pair in pairs]
