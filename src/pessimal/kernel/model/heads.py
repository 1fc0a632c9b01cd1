r"""Heads as the separable margin sees them.

For one head and query q every position i and token t has a positive weight $w_i(q, t)$ and a value $V_i(t)$, and the
head's output is $\sum_i w_i(q, t_i)\,V_i(t_i) / \sum_i w_i(q, t_i)$ (`tables.py`). Without LayerNorm before attention
the weight is a token factor times a position factor; with it, weights are a table of their own.

Under `float32` the same tables enclose those of every execution (`rounding.py`): weights, values and the direct path
are widened by their rounding radii, once, here. Everything built on them then speaks about every execution.

Contents:
    Head — weights by query, values.
    separable_heads — the heads of a model and its direct path.
    separable_heads_flops — their cost.
"""

from dataclasses import dataclass
from fractions import Fraction

from pessimal.kernel.arithmetic.counting import CountingArithmetic
from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import blank_weights
from pessimal.kernel.model.rounding import HeadRounding, rounding
from pessimal.kernel.model.tables import additive_tables, additive_tables_flops, path_tables, path_tables_flops
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.architecture import Architecture
from pessimal.spec.semantics import REAL
from pessimal.spec.weights import Weights


@dataclass(frozen=True)
class Head:
    """One head.

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
        token, position = _both(self.factors)
        return position[q].reshape(-1, 1) * token[q]

    def extreme_weights(self, q: int, n: int) -> tuple[AbstractEnclosure, AbstractEnclosure]:
        """Least and greatest w_i(q, t) over the first n positions, `[d_vocab]` each."""
        if self.table is not None:
            return self.table[q, :n].min(0), self.table[q, :n].max(0)
        token, position = _both(self.factors)
        return token[q] * position[q, :n].min(0), token[q] * position[q, :n].max(0)

    def greatest_weight(self, q: int, n: int) -> AbstractEnclosure:
        """Greatest w_i(q, t) over the first n positions, `[d_vocab]`."""
        if self.table is not None:
            return self.table[q, :n].max(0)
        token, position = _both(self.factors)
        return token[q] * position[q, :n].max(0)

    def last_weight(self, q: int) -> AbstractEnclosure:
        """w_{K-1}(q, q), shape ()."""
        if self.table is not None:
            return self.table[q, -1, q]
        token, position = _both(self.factors)
        return token[q, q] * position[q, -1]


def _both(
    factors: tuple[AbstractEnclosure, AbstractEnclosure] | None,
) -> tuple[AbstractEnclosure, AbstractEnclosure]:
    if factors is None:
        raise Rejected(Reason.UNSUPPORTED_MODEL, "a head without weights")
    return factors


def separable_heads(
    weights: Weights, arith: AbstractArithmetic, semantics: str
) -> tuple[list[Head], AbstractEnclosure]:
    """The heads and D, `[d_vocab, d_vocab_out]`, of a model that `require_separable` accepts.

    Cost: `separable_heads_flops`.
    """
    heads, direct = _real_heads(weights, arith)
    if semantics == REAL:
        return heads, direct
    radii = rounding(weights, arith)
    executed = [_executed(*pair, arith) for pair in zip(heads, radii.heads, strict=True)]
    return executed, direct.widened(radii.direct)


def _executed(head: Head, radii: HeadRounding, arith: AbstractArithmetic) -> Head:
    """The tables that some execution may have."""
    zero = arith.fraction(Fraction(0))
    token, position = zero.widened(radii.token_log).exp(), zero.widened(radii.position_log).exp()
    (k, n_out), v = radii.position_value.shape, radii.token_value.shape[0]
    value = head.value.widened(radii.token_value + radii.position_value.reshape(k, 1, n_out))
    if head.table is None:
        own_token, own_position = _both(head.factors)
        return Head(value, (own_token * token, own_position * position), None)
    return Head(value, None, head.table * (token.reshape(v, 1, v) * position.reshape(v, k, 1)))


def _real_heads(weights: Weights, arith: AbstractArithmetic) -> tuple[list[Head], AbstractEnclosure]:
    """The same in real arithmetic."""
    arch = weights.architecture
    if arch.ln1 or arch.shape.n_heads > 1:
        tables = path_tables(weights, arith)
        pairs = zip(tables.value, tables.weight, strict=True)
        return [Head(value, None, weight) for value, weight in pairs], tables.direct
    one = additive_tables(weights, arith)
    k, n_out = one.position_value.shape
    value = one.token_value.reshape(1, *one.token_value.shape) + one.position_value.reshape(k, 1, n_out)
    return [Head(value, (one.token_weight, one.position_weight), None)], one.direct


def separable_heads_flops(arch: Architecture, semantics: str) -> tuple[int, int]:
    """Operations of `separable_heads`, and how many of them are exponentials; with rounding, counted over shapes."""
    if semantics != REAL:
        arith = CountingArithmetic()
        separable_heads(blank_weights(arch), arith, semantics)
        return arith.tally.flops, arith.tally.exps
    s = arch.shape
    if arch.ln1 or s.n_heads > 1:
        return path_tables_flops(arch)
    flops, exps = additive_tables_flops(arch)
    return flops + s.k * s.d_vocab * s.d_vocab_out, exps
