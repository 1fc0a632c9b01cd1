"""Where the tables below the terms come from.

Contents:
    AbstractTables — weights to heads and direct path; the one obligation of a source.
    ExactTables — the tables of the weights themselves.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.model.heads import Head, separable_heads
from pessimal.spec.weights import Weights

Tables = tuple[list[Head], AbstractEnclosure]


class AbstractTables(ABC):
    """A source of tables. Its obligation is all that counting rules know of a model.

    For every query q (under float32, for every sequence) the model has tables w, V, D of its own
    (`docs/separable-margin.md#tables`), of which every row may be shifted: a real number added to all outputs of
    V_i(t), or to all outputs of D(q), changes no margin. Some such tables lie within the enclosures.
    """

    @abstractmethod
    def tables(self, weights: Weights, arith: AbstractArithmetic) -> Tables:
        """The heads and D, `[d_vocab, d_vocab_out]`, of a model that `require_separable` accepts."""


@dataclass(frozen=True)
class ExactTables(AbstractTables):
    """The tables of the weights themselves, no row shifted.

    Attributes:
        semantics: real arithmetic, or every float32 execution.
    """

    semantics: str

    def tables(self, weights: Weights, arith: AbstractArithmetic) -> Tables:
        """As `separable_heads`."""
        return separable_heads(weights, arith, self.semantics)
