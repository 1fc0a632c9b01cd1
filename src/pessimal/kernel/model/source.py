"""Where the tables below the terms come from.

Contents:
    AbstractTables — weights to heads and direct path; the one obligation of a source.
    ExactTables — the tables of the weights themselves.
    Tables — heads and direct path.
    Sourced — what knows of a model the tables of a source.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.model.heads import Head, separable_heads
from pessimal.spec.weights import Weights

Tables = tuple[list[Head], AbstractEnclosure]
Some = TypeVar("Some", bound="Sourced")


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


@dataclass(frozen=True, eq=False)
class Sourced:
    """What knows of a model the tables of a source, and nothing else.

    Attributes:
        source: of the tables; None is the weights themselves.
    """

    source: AbstractTables | None = field(default=None, kw_only=True)

    def with_source(self: Some, source: AbstractTables) -> Some:
        """The same with tables from elsewhere."""
        return replace(self, source=source)

    def tables(self, weights: Weights, semantics: str, arith: AbstractArithmetic) -> Tables:
        """Heads and direct path."""
        return (self.source or ExactTables(semantics)).tables(weights, arith)
