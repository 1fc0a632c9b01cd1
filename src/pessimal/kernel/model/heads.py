r"""Heads as the separable margin sees them.

For one head and query q every position i and token t has a positive weight $w_i(q, t)$ and a value $V_i(t)$, and the
head's output is $\sum_i w_i(q, t_i)\,V_i(t_i) / \sum_i w_i(q, t_i)$ (`tables.py`). Without LayerNorm before attention
the weight is a token factor times a position factor; with it, weights are a table of their own.

Under `float32` the same tables enclose those of every execution (`rounding.py`): weights, values and the direct path
are widened by their rounding radii, once, here. Everything built on them then speaks about every execution.

Contents:
    Head, factors_of — weights by query, values; the factors of weights that factor.
    additive_head — a head of token and position parts.
    separable_heads, of_semantics — the heads of a model and its direct path; widened for executions.
    separable_numbers — how many numbers their tables hold.
"""

from dataclasses import dataclass

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.model.tables import additive_tables, path_tables
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.architecture import Architecture
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Head:
    """Weights and values of one head.

    Attributes:
        value: V_i(t), `[k, d_vocab, d_vocab_out]`, in logits.
        factors: a(q, t) `[d_vocab, d_vocab]` and pi_i(q) `[d_vocab, k]`, or None if weights do not factor.
        table: w_i(q, t), `[d_vocab, k, d_vocab]`, or None if they do.
    """

    value: AbstractEnclosure
    factors: tuple[AbstractEnclosure, AbstractEnclosure] | None
    table: AbstractEnclosure | None

    def weight(self, q: int) -> AbstractEnclosure:
        """w_i(q, t) of one query, positive, `[k, d_vocab]`. Cost: one product per entry where weights factor."""
        if self.table is not None:
            return self.table[q]
        token, position = factors_of(self.factors)
        return position[q].reshape(-1, 1) * token[q]

    def extreme_weights(self, q: int, n: int) -> tuple[AbstractEnclosure, AbstractEnclosure]:
        """Least and greatest w_i(q, t) over the first n positions, `[d_vocab]` each."""
        if self.table is not None:
            return self.table[q, :n].min(0), self.table[q, :n].max(0)
        token, position = factors_of(self.factors)
        return token[q] * position[q, :n].min(0), token[q] * position[q, :n].max(0)

    def greatest_weight(self, q: int, n: int) -> AbstractEnclosure:
        """Greatest w_i(q, t) over the first n positions, `[d_vocab]`."""
        if self.table is not None:
            return self.table[q, :n].max(0)
        token, position = factors_of(self.factors)
        return token[q] * position[q, :n].max(0)

    def last_weight(self, q: int) -> AbstractEnclosure:
        """Weight w_{K-1}(q, q) of the last token, shape ()."""
        if self.table is not None:
            return self.table[q, -1, q]
        token, position = factors_of(self.factors)
        return token[q, q] * position[q, -1]


def factors_of(
    factors: tuple[AbstractEnclosure, AbstractEnclosure] | None,
) -> tuple[AbstractEnclosure, AbstractEnclosure]:
    """The factors of weights that factor."""
    if factors is None:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "a head without weights")
    return factors


def separable_heads(
    weights: Weights, arith: AbstractArithmetic, semantics: str
) -> tuple[list[Head], AbstractEnclosure]:
    """The heads and D, `[d_vocab, d_vocab_out]`, of a model that `require_separable` accepts.

    Cost: a product of tables per query and token, as counted.
    """
    return of_semantics(semantics, weights, *_real_heads(weights, arith), arith)


def of_semantics(
    semantics: str, weights: Weights, heads: list[Head], direct: AbstractEnclosure, arith: AbstractArithmetic
) -> tuple[list[Head], AbstractEnclosure]:
    """Heads and direct path in real arithmetic as they are, or widened for every float32 execution."""
    if semantics == REAL:
        return heads, direct
    # The radii are read where they are asked for.
    from pessimal.kernel.model.rounding import executed  # noqa: PLC0415

    return executed(weights, heads, direct, arith)


def additive_head(
    token_weight: AbstractEnclosure,
    position_weight: AbstractEnclosure,
    token_value: AbstractEnclosure,
    position_value: AbstractEnclosure,
) -> Head:
    """A head of token and position parts, shapes as in `AdditiveTables`."""
    k, n_out = position_value.shape
    value = token_value.reshape(1, *token_value.shape) + position_value.reshape(k, 1, n_out)
    return Head(value, (token_weight, position_weight), None)


def _real_heads(weights: Weights, arith: AbstractArithmetic) -> tuple[list[Head], AbstractEnclosure]:
    """The heads and D in real arithmetic."""
    arch = weights.architecture
    if arch.ln1 or arch.shape.n_heads > 1:
        tables = path_tables(weights, arith, final_bias=False)
        pairs = zip(tables.value, tables.weight, strict=True)
        return [Head(value, None, weight) for value, weight in pairs], tables.direct
    additive = additive_tables(weights, arith)
    head = additive_head(additive.token_weight, additive.position_weight, additive.token_value, additive.position_value)
    return [head], additive.direct


def separable_numbers(arch: Architecture) -> int:
    """Numbers of the tables of all heads: weights, values and the direct path."""
    s = arch.shape
    return s.n_heads * (3 * s.d_vocab**2 + 2 * s.k * s.d_vocab)
