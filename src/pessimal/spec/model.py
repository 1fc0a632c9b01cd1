r"""The forward pass in exact arithmetic: what every claim is about.

Straight from the architecture, some sequences at a time, in whatever real numbers the caller brings: exact rationals
for the linear part, enclosures where `exp` and `sqrt` appear. With $x_i = W_E[t_i] + W_{pos}[i]$,
$n_i = \mathrm{LN}_1(x_i)$ (or $x_i$) and last position $L = K-1$, for every head $h$

$$s_i = c\,\langle n_L W_Q + b_Q,\; n_i W_K + b_K\rangle,\qquad a = \mathrm{softmax}(s),\qquad
z = \sum_i a_i (n_i W_V + b_V),$$
$$r = x_L + b_O + \sum_h z_h W_O,\qquad r' = r + \mathrm{ReLU}(r W_{in} + b_{in}) W_{out} + b_{out},\qquad
\mathrm{logits} = \mathrm{LN}_f(r') W_U + b_U ,$$

where without an MLP $r' = r$, and with uniform attention $a_i = 1/K$ whatever the scores;
$\mathrm{LN}(x) = w\,(x - \bar x)/\sqrt{\overline{(x-\bar x)^2} + \varepsilon} + b$, and RMSNorm is the same without
the means $\bar x$. Only the last position is read,
which sees all positions, so the causal mask removes nothing. Row-vector convention throughout: $x W$.
Sums of stored floats (`W_E + W_pos`) are exact here; a float32 execution rounds them.

Contents:
    AbstractReals — the numbers: from a fraction, exp, square root, ReLU, matrix products.
    ForwardPass — a model in some reals: its tensors are converted once.
    logits — the last position's logits of one sequence.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from pessimal.spec.architecture import LAYER_NORM, UNIFORM
from pessimal.spec.weights import Weights

Number = Any
Vector = list[Number]
HEADS = ("W_Q", "W_K", "W_V", "W_O")


class AbstractReals(ABC):
    """Real numbers as the caller represents them; they support + - * / among themselves."""

    @abstractmethod
    def number(self, value: Fraction) -> Number:
        """The real number that a rational is."""

    @abstractmethod
    def exp(self, x: Number) -> Number:
        """The exponential of a number."""

    @abstractmethod
    def sqrt(self, x: Number) -> Number:
        """The square root of a non-negative number."""

    @abstractmethod
    def relu(self, x: Number) -> Number:
        """The larger of 0 and x."""

    def matrix(self, rows: list[Vector]) -> Any:
        """A right factor of `product`."""
        return rows

    def product(self, rows: list[Vector], matrix: Any) -> list[Vector]:
        """Rows times a matrix."""
        columns = [list(column) for column in zip(*matrix, strict=True)]
        return [[_dot(row, column) for column in columns] for row in rows]


class ForwardPass:
    """The model in some real numbers.

    Args:
        weights: the model.
        reals: the numbers to compute in, at one precision.
    """

    def __init__(self, weights: Weights, reals: AbstractReals) -> None:
        self.architecture, self.reals = weights.architecture, reals
        self._numbers = {name: _numbers(array.tolist(), reals) for name, array in weights.tensors.items()}
        scale = weights.architecture.scale()
        self._scale = reals.number(Fraction(1) if scale is None else scale)
        if scale is None:
            self._scale = self._scale / reals.sqrt(reals.number(Fraction(weights.architecture.shape.d_head)))
        self._matrices = {
            name: [reals.matrix(matrix) for matrix in array] if name in HEADS else reals.matrix(array)
            for name, array in self._numbers.items()
            if name.startswith("W_") and name not in {"W_E", "W_pos"}
        }

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[Vector]:
        """Logits at the last position of some sequences of K tokens: `d_vocab_out` numbers each."""
        arch = self.architecture
        # Row r of x, n and what follows from them is one token at one position; sequences share these.
        places = sorted({place for tokens in sequences for place in enumerate(tokens)})
        row = {place: r for r, place in enumerate(places)}
        sees = [[row[place] for place in enumerate(tokens)] for tokens in sequences]
        embed, position = self._numbers["W_E"], self._numbers["W_pos"]
        x = [_plus(embed[t], position[i]) for i, t in places]
        n = [self._norm("ln1", arch.ln1, vector) for vector in x] if arch.ln1 else x
        residual = [_plus(x[rows[-1]], self._numbers.get("b_O")) for rows in sees]
        for head in range(arch.shape.n_heads):
            out = self.reals.product(self._attended(head, n, sees), self._matrices["W_O"][head])
            residual = [_plus(vector, more) for vector, more in zip(residual, out, strict=True)]
        if arch.shape.d_mlp:
            hidden = [[self.reals.relu(x) for x in pre] for pre in self._affine(residual, "W_in", "b_in")]
            after = self._affine(hidden, "W_out", "b_out")
            residual = [_plus(vector, more) for vector, more in zip(residual, after, strict=True)]
        if arch.ln_final:
            residual = [self._norm("ln_final", arch.ln_final, vector) for vector in residual]
        return self._affine(residual, "W_U", "b_U")

    def _attended(self, head: int, n: list[Vector], sees: list[list[int]]) -> list[Vector]:
        """The values of one head mixed by its attention, z, for every sequence."""
        values = self._affine(n, "W_V", "b_V", head)
        weight: dict[tuple[int, int], Number] = {}
        if self.architecture.attention != UNIFORM:
            queries, keys = self._affine(n, "W_Q", "b_Q", head), self._affine(n, "W_K", "b_K", head)
            for last, i in {(rows[-1], i) for rows in sees for i in rows}:
                weight[last, i] = self.reals.exp(self._scale * _dot(queries[last], keys[i]))
        one = self.reals.number(Fraction(1))
        mixed = []
        for rows in sees:
            w: Vector = [weight.get((rows[-1], i), one) for i in rows]
            total = sum(w[1:], w[0])
            a = [each / total for each in w]
            mixed.append([_dot(a, list(column)) for column in zip(*(values[i] for i in rows), strict=True)])
        return mixed

    def _affine(self, rows: list[Vector], name: str, bias: str, head: int | None = None) -> list[Vector]:
        """Rows times a matrix plus a bias; of one head where a head is named."""
        matrix, added = self._matrices[name], self._numbers.get(bias)
        if head is not None:
            matrix, added = matrix[head], None if added is None else added[head]
        return [_plus(row, added) for row in self.reals.product(rows, matrix)]

    def _norm(self, site: str, kind: str, row: Vector) -> Vector:
        size = self.reals.number(Fraction(len(row)))
        mean = sum(row[1:], row[0]) / size
        centred = [x - mean for x in row] if kind == LAYER_NORM else row
        variance = _dot(centred, centred) / size
        deviation = self.reals.sqrt(variance + self.reals.number(self.architecture.ln_eps))
        out = [x / deviation for x in centred]
        gain = self._numbers.get(f"{site}_w")
        if gain is not None:
            out = [x * w for x, w in zip(out, gain, strict=True)]
        return _plus(out, self._numbers.get(f"{site}_b"))


def logits(weights: Weights, tokens: Sequence[int], reals: AbstractReals) -> Vector:
    """Logits at the last position, one per output token.

    Args:
        weights: the model.
        tokens: K token numbers.
        reals: the numbers to compute in.

    Returns:
        `d_vocab_out` numbers, in logits.
    """
    return ForwardPass(weights, reals).logits([tokens])[0]


def _numbers(nested: Any, reals: AbstractReals) -> Any:
    if isinstance(nested, list):
        return [_numbers(item, reals) for item in nested]
    return reals.number(Fraction(nested))


def _dot(left: Vector, right: Vector) -> Number:
    products = [a * b for a, b in zip(left, right, strict=True)]
    return sum(products[1:], products[0])


def _plus(row: Vector, bias: Vector | None) -> Vector:
    return row if bias is None else [a + b for a, b in zip(row, bias, strict=True)]
