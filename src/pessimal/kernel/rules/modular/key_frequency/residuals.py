r"""What the rule `key-frequency` knows of a model before it looks at inputs (notation: rule.py).

Lengths of what few directions leave over come from the Gram matrix (`docs/modular-addition.md#few-directions`).

Contents:
    norms — lengths of rows, from above.
    halved — half of a matrix.
    residual_rows — what the two tokens add to the residual before the MLP.
    Inputs — pre-activations, their errors and ranges.
    Outputs — what every neuron writes at the key frequencies, and bounds of what it writes beside them.
"""

from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.arithmetic.trigonometry import circle, circle_integers
from pessimal.kernel.model.tensors import optional, plus_attention_biases, plus_exact, present
from pessimal.kernel.rules.modular.key_frequency.options import KeyFrequencyOptions
from pessimal.kernel.rules.modular.quadrature import root_above
from pessimal.spec.weights import Weights


def norms(array: AbstractEnclosure, less: AbstractEnclosure | None = None) -> AbstractEnclosure:
    """No less than the root of each row's squared norm, less a number that the caller knows to be no larger."""
    squares = (array * array).sum(1)
    return root_above(squares if less is None else squares - less)


def halved(matrix: AbstractMatrix, arith: AbstractArithmetic) -> AbstractMatrix:
    """Half of a matrix, exact."""
    return matrix.scale_rows(arith.matrix(np.full(matrix.shape[0], 0.5)))


def residual_rows(weights: Weights, arith: AbstractArithmetic) -> list[AbstractMatrix]:
    """rho_0 and rho_1, `[p, d_model]` each, exact."""
    embed, position = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][:2])
    tokens, places = [], []
    for head in range(weights.architecture.shape.n_heads):
        w_v, w_o = (arith.matrix(present(weights, name, head)) for name in ("W_V", "W_O"))
        tokens.append(embed @ w_v @ w_o)
        places.append(position @ w_v @ w_o)
    token, place = reduce(add, tokens), reduce(add, places)
    first, second = (halved(token + place[i : i + 1], arith) for i in range(2))
    return [first, second + embed + plus_attention_biases(position[1:], weights, arith)]


class Inputs:
    """Pre-activations of the neurons, position by position.

    Attributes:
        rows: rho_0 and rho_1.
        pre: their pre-activations, b_in with the second, `[p, f]` each; approximate with directions.
        error: e, with which a pre-activation is within e_i of the sum of its two approximations, `[f]`, or None.
        reach: no neuron's pre-activation is larger in magnitude, `[f]`.
        top: no neuron's activation is larger, `[f]`.
    """

    def __init__(self, weights: Weights, options: KeyFrequencyOptions, arith: AbstractArithmetic) -> None:
        w_in = arith.matrix(weights["W_in"])
        zero = arith.fraction(Fraction(0))
        self.rows = residual_rows(weights, arith)
        self.error: AbstractEnclosure | None = None
        if options.directions is None:
            self.pre = [(rho @ w_in).enclose() for rho in self.rows]
        else:
            directions = arith.matrix(options.directions)
            gram = directions.transpose() @ directions
            read = directions.transpose() @ w_in
            twice = read + read - gram @ read
            seen = [rho @ directions for rho in self.rows]
            self.pre = [(a @ twice).enclose() for a in seen]
            inner = (read.enclose() * twice.enclose()).sum(0)
            off_directions = norms(w_in.transpose().enclose(), inner)
            sizes = []
            for rho, a in zip(self.rows, seen, strict=True):
                inner = (a.enclose() * (a + a - a @ gram).enclose()).sum(1)
                sizes.append(norms(rho.enclose(), inner).max(0))
            self.error = off_directions * reduce(add, sizes)
        self.pre[1] = plus_exact(self.pre[1], optional(weights, "b_in", arith))
        highest = reduce(add, [table.max(0) for table in self.pre])
        lowest = reduce(add, [table.min(0) for table in self.pre])
        if self.error is not None:
            highest, lowest = highest + self.error, lowest - self.error
        self.top = highest.maximum(zero)
        self.reach = highest.maximum(-lowest)


class Outputs:
    """What neurons write, at the key frequencies and beside them.

    Attributes:
        cos, sin: of all multiples of 2 pi / p, `[p]`.
        angle: k c mod p, `[n, p]`.
        writes: g, cosine parts before sine parts, `[f, 2 n]`.
        linear: what a residual row writes at the key frequencies by the linear half and the skip, `[m, 2 n]`.
        bias: the same of b_in, `[1, 2 n]`, or None.
        beside: U less what is written at the key frequencies, less its mean, `[m, p]`.
        centre, radius: the MLP's logits beside the key frequencies are within `radius` of `centre`, `[p]` each.
    """

    def __init__(
        self, weights: Weights, options: KeyFrequencyOptions, inputs: Inputs, arith: AbstractArithmetic
    ) -> None:
        p = weights.architecture.shape.d_vocab
        w_in, w_out, unembed = (arith.matrix(weights[name]) for name in ("W_in", "W_out", "W_U"))
        self.cos, self.sin = circle(p, arith)
        self.angle = options.frequencies[:, np.newaxis] * np.arange(p) % p
        # Any numbers would do here: what they leave out is in the remainder.
        table = np.concatenate([wave[self.angle] for wave in circle_integers(p)]) * (2.0**-51 / p)
        written = unembed @ arith.matrix(table.T)
        exact = w_out @ written
        self.writes = exact.enclose()
        self.linear = halved(w_in @ exact, arith) + written
        b_in = optional(weights, "b_in", arith)
        self.bias = None if b_in is None else halved(b_in @ exact, arith)
        waves = arith.concatenate([self.cos[self.angle], self.sin[self.angle]], axis=0)
        beside = unembed.enclose() - written.enclose() @ waves
        # Only differences of logits matter: any number may be taken from all of a row, here the mean.
        mean = beside.sum(1) * Fraction(1, p)
        self.beside = beside - mean.reshape(-1, 1)
        half = inputs.top * Fraction(1, 2)
        self.centre = (half.reshape(1, -1) @ w_out.enclose() @ self.beside)[0]
        sizes = self._sizes(options, w_out, written, exact, arith)
        self.radius = (sizes * half.reshape(-1, 1)).sum(0)

    def _sizes(
        self,
        options: KeyFrequencyOptions,
        w_out: AbstractMatrix,
        written: AbstractMatrix,
        exact: AbstractMatrix,
        arith: AbstractArithmetic,
    ) -> AbstractEnclosure:
        """Bounds of what each neuron writes beside the key frequencies, `[f, p]`."""
        if options.shrink is None:
            return (w_out.enclose() @ self.beside).absolute()
        gamma = exact @ arith.matrix(options.shrink)
        gram = written.transpose() @ written
        inner = (gamma.enclose() * (exact + exact - gamma @ gram).enclose()).sum(1)
        across = norms(w_out.enclose(), inner)
        lengths = norms(self.beside.T)
        seen = (gamma.enclose() @ (written.transpose().enclose() @ self.beside)).absolute()
        return seen + across.reshape(-1, 1) * lengths
