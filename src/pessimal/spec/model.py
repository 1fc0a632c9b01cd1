r"""The forward pass in exact arithmetic: what every claim is about.

Straight from the architecture, one sequence at a time, in whatever real numbers the caller brings: exact rationals
for the linear part, enclosures where `exp` and `sqrt` appear. With $x_i = W_E[t_i] + W_{pos}[i]$,
$n_i = \mathrm{LN}_1(x_i)$ (or $x_i$) and last position $L = K-1$, for every head $h$

$$s_i = c\,\langle n_L W_Q + b_Q,\; n_i W_K + b_K\rangle,\qquad a = \mathrm{softmax}(s),\qquad
z = \sum_i a_i (n_i W_V + b_V),$$
$$r = x_L + b_O + \sum_h z_h W_O,\qquad r' = r + \mathrm{ReLU}(r W_{in} + b_{in}) W_{out} + b_{out},\qquad
\mathrm{logits} = \mathrm{LN}_f(r') W_U + b_U ,$$

where without an MLP $r' = r$, and with uniform attention $a_i = 1/K$ whatever the scores;
$\mathrm{LN}(x) = w\,(x - \bar x)/\sqrt{\overline{(x-\bar x)^2} + \varepsilon} + b$. Only the last position is read,
which sees all positions, so the causal mask removes nothing. Row-vector convention throughout: $x W$.
Sums of stored floats (`W_E + W_pos`) are exact here; a float32 execution rounds them.

Contents:
    AbstractReals — the numbers: from a fraction, exp, square root, ReLU.
    logits — the last position's logits of one sequence.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from pessimal.spec.architecture import UNIFORM
from pessimal.spec.weights import Weights

Number = Any
Vector = list[Number]


class AbstractReals(ABC):
    """Real numbers as the caller represents them; they support + - * / among themselves."""

    @abstractmethod
    def number(self, value: Fraction) -> Number:
        """The rational `value`."""

    @abstractmethod
    def exp(self, x: Number) -> Number:
        """The exponential."""

    @abstractmethod
    def sqrt(self, x: Number) -> Number:
        """The square root of a non-negative number."""

    @abstractmethod
    def relu(self, x: Number) -> Number:
        """The larger of 0 and x."""


def logits(weights: Weights, tokens: Sequence[int], reals: AbstractReals) -> Vector:
    """Logits at the last position, one per output token.

    Args:
        weights: the model.
        tokens: K token numbers.
        reals: the numbers to compute in.

    Returns:
        `d_vocab_out` numbers, in logits.
    """
    arch = weights.architecture
    shape = arch.shape

    def tensor(name: str, head: int = 0) -> Any:
        array = weights.get(name, head)
        return None if array is None else _numbers(array.tolist(), reals)

    w_e, w_pos = tensor("W_E"), tensor("W_pos")
    x = [[e + p for e, p in zip(w_e[t], w_pos[i], strict=True)] for i, t in enumerate(tokens)]
    n = [_layer_norm(weights, "ln1", row, reals) if arch.ln1 else row for row in x]
    scale = reals.number(Fraction(1))
    if arch.attn_scale == "1/sqrt(d_head)":
        scale = scale / reals.sqrt(reals.number(Fraction(shape.d_head)))
    residual = _plus(x[-1], tensor("b_O"))
    for head in range(shape.n_heads):
        values = [_plus(_times(row, tensor("W_V", head)), tensor("b_V", head)) for row in n]
        if arch.attention == UNIFORM:
            weight = [reals.number(Fraction(1)) for _ in n]
        else:
            q = _plus(_times(n[-1], tensor("W_Q", head)), tensor("b_Q", head))
            keys = [_plus(_times(row, tensor("W_K", head)), tensor("b_K", head)) for row in n]
            weight = [reals.exp(scale * _dot(q, key)) for key in keys]
        total = sum(weight[1:], weight[0])
        z = [_dot([w / total for w in weight], list(column)) for column in zip(*values, strict=True)]
        residual = _plus(residual, _times(z, tensor("W_O", head)))
    if shape.d_mlp:
        hidden = [reals.relu(x) for x in _plus(_times(residual, tensor("W_in")), tensor("b_in"))]
        residual = _plus(_plus(residual, _times(hidden, tensor("W_out"))), tensor("b_out"))
    if arch.ln_final:
        residual = _layer_norm(weights, "ln_final", residual, reals)
    return _plus(_times(residual, tensor("W_U")), tensor("b_U"))


def _numbers(nested: Any, reals: AbstractReals) -> Any:
    if isinstance(nested, list):
        return [_numbers(item, reals) for item in nested]
    return reals.number(Fraction(nested))


def _dot(left: Vector, right: Vector) -> Number:
    products = [a * b for a, b in zip(left, right, strict=True)]
    return sum(products[1:], products[0])


def _times(row: Vector, matrix: list[Vector]) -> Vector:
    return [_dot(row, list(column)) for column in zip(*matrix, strict=True)]


def _plus(row: Vector, bias: Vector | None) -> Vector:
    return row if bias is None else [a + b for a, b in zip(row, bias, strict=True)]


def _layer_norm(weights: Weights, site: str, row: Vector, reals: AbstractReals) -> Vector:
    size = reals.number(Fraction(len(row)))
    mean = sum(row[1:], row[0]) / size
    centred = [x - mean for x in row]
    variance = _dot(centred, centred) / size
    deviation = reals.sqrt(variance + reals.number(weights.architecture.ln_eps))
    out = [x / deviation for x in centred]
    gain, bias = weights.get(f"{site}_w"), weights.get(f"{site}_b")
    if gain is not None:
        out = [x * w for x, w in zip(out, _numbers(gain.tolist(), reals), strict=True)]
    return out if bias is None else _plus(out, _numbers(bias.tolist(), reals))
