"""The truth about tiny models, by enumeration in Arb at rising precision.

Two implementations of the forward pass: the specification's own (`pessimal.spec.model`), and `Equations`, written
from the architecture equations with FLINT matrices and no code in common. Tests compare the two, then count with
`Equations`, which is faster. A sequence that no precision decides is a tie, and a tie counts as wrong.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import flint
import numpy as np

from pessimal.spec import Uniform, Weights
from pessimal.spec.model import AbstractReals, logits
from pessimal.spec.question import Question
from support.distributions import chance

PRECISIONS = (160, 640, 2560)
RIGHT, WRONG, TIE = "right", "wrong", "tie"


class Arb(AbstractReals):
    """The specification's numbers as Arb balls."""

    def number(self, value: Fraction) -> flint.arb:
        return flint.arb(flint.fmpq(value.numerator, value.denominator))

    def exp(self, x: flint.arb) -> flint.arb:
        return x.exp()

    def sqrt(self, x: flint.arb) -> flint.arb:
        return x.sqrt()

    def relu(self, x: flint.arb) -> flint.arb:
        return x.max(0)


def specified_logits(weights: Weights, tokens: Sequence[int], precision: int = 200) -> list[flint.arb]:
    """Logits by the specification."""
    with flint.ctx.workprec(precision):
        return logits(weights, tokens, Arb())


class Equations:
    """Logits from the equations: all projections once per (position, token), then one softmax per sequence."""

    def __init__(self, weights: Weights, precision: int) -> None:
        self.precision = precision
        self.arch = weights.architecture
        self.tensors = weights.tensors
        s = self.arch.shape
        with flint.ctx.workprec(precision):
            self.unembed, self.b_u = self._matrix("W_U"), self._row("b_U")
            self.x = [
                flint.arb_mat([[flint.arb(e) + flint.arb(p) for e, p in zip(row, here, strict=True)] for row in embed])
                for here in self.tensors["W_pos"][: s.k].tolist()
                for embed in [self.tensors["W_E"].tolist()]
            ]
            normed = [self._norm_rows("ln1", x) if self.arch.ln1 else x for x in self.x]
            self.heads = []
            c = 1 / flint.arb(s.d_head).sqrt()
            if self.arch.attn_scale != "1/sqrt(d_head)":
                c = flint.arb(flint.fmpq(*Fraction(self.arch.attn_scale).as_integer_ratio()))
            for h in range(s.n_heads):
                q = self._affine(normed[-1], "W_Q", "b_Q", h) * c
                keys = [self._affine(n, "W_K", "b_K", h) for n in normed]
                uniform = self.arch.attention == "uniform"
                scores = [q * key.transpose() * (0 if uniform else 1) for key in keys]
                out = [self._affine(n, "W_V", "b_V", h) * self._matrix("W_O", h) for n in normed]
                self.heads.append((scores, [rows(one) for one in out]))
            self.last = rows(self.x[-1])
            self.b_o = self._row("b_O")

    def _matrix(self, name: str, head: int | None = None) -> flint.arb_mat:
        array = self.tensors[name] if head is None else self.tensors[name][head]
        return flint.arb_mat([[flint.arb(x) for x in row] for row in array.tolist()])

    def _row(self, name: str, head: int | None = None) -> list[flint.arb] | None:
        if name not in self.tensors:
            return None
        array = self.tensors[name] if head is None else self.tensors[name][head]
        return [flint.arb(x) for x in array.tolist()]

    def _affine(self, x: flint.arb_mat, matrix: str, bias: str, head: int) -> flint.arb_mat:
        y, row = x * self._matrix(matrix, head), self._row(bias, head)
        return y if row is None else y + flint.arb_mat([row] * y.nrows())

    def _norm(self, site: str, x: list[flint.arb]) -> list[flint.arb]:
        n = len(x)
        eps = flint.arb(flint.fmpq(self.arch.ln_eps.numerator, self.arch.ln_eps.denominator))
        # n**2 * variance = n * sum x**2 - (sum x)**2
        total, squares = sum(x, flint.arb(0)), sum((a * a for a in x), flint.arb(0))
        if getattr(self.arch, site) == "rms":
            total = flint.arb(0)
        scale = n / (n * squares - total * total + n * n * eps).sqrt()
        gain = self._row(f"{site}_w") or [flint.arb(1)] * n
        bias = self._row(f"{site}_b") or [flint.arb(0)] * n
        return [(a - total / n) * scale * g + b for a, g, b in zip(x, gain, bias, strict=True)]

    def _norm_rows(self, site: str, x: flint.arb_mat) -> flint.arb_mat:
        return flint.arb_mat([self._norm(site, row) for row in rows(x)])

    def __call__(self, tokens: Sequence[int]) -> list[flint.arb]:
        """Logits of one sequence."""
        with flint.ctx.workprec(self.precision):
            q = tokens[-1]
            r = list(self.last[q])
            if self.b_o is not None:
                r = [a + b for a, b in zip(r, self.b_o, strict=True)]
            for scores, values in self.heads:
                s = [scores[i][q, t] for i, t in enumerate(tokens)]
                top = max(s, key=lambda x: x.mid())
                e = [(x - top).exp() for x in s]
                z = sum(e, flint.arb(0))
                for j in range(len(r)):
                    mixed = sum(
                        (w * values[i][t][j] for i, (w, t) in enumerate(zip(e, tokens, strict=True))), flint.arb(0)
                    )
                    r[j] = r[j] + mixed / z
            if s_mlp := self.arch.shape.d_mlp:
                pre = flint.arb_mat([r]) * self._matrix("W_in")
                pre += flint.arb_mat([self._row("b_in") or [flint.arb(0)] * s_mlp])
                hidden = flint.arb_mat([[(abs(x) + x) / 2 for x in pre.entries()]])
                out = (hidden * self._matrix("W_out")).entries()
                after = self._row("b_out") or [flint.arb(0)] * len(r)
                r = [a + b + c for a, b, c in zip(r, out, after, strict=True)]
            if self.arch.ln_final:
                r = self._norm("ln_final", r)
            out = (flint.arb_mat([r]) * self.unembed).entries()
            return out if self.b_u is None else [a + b for a, b in zip(out, self.b_u, strict=True)]


def rows(matrix: flint.arb_mat) -> list[list[flint.arb]]:
    """The rows of a FLINT matrix."""
    return [list(row) for row in matrix.tolist()]


def decide(values: Sequence[Any], target: int) -> str | None:
    """Right, wrong, or None if these enclosures do not say."""
    rivals = [value for o, value in enumerate(values) if o != target]
    if all(values[target] > rival for rival in rivals):
        return RIGHT
    if any(rival > values[target] for rival in rivals):
        return WRONG
    return None


def sequences(v: int, k: int) -> Iterator[tuple[int, ...]]:
    """All v**k sequences."""
    return product(range(v), repeat=k)


def verdicts(weights: Weights, target: Callable[[tuple[int, ...]], int] = max) -> dict[tuple[int, ...], str]:
    """Verdict of every sequence: right, wrong or tie. The target is the largest token unless stated."""
    s = weights.architecture.shape
    found: dict[tuple[int, ...], str] = {}
    left = list(sequences(s.d_vocab, s.k))
    for precision in PRECISIONS:
        model = Equations(weights, precision)
        for tokens in left:
            with flint.ctx.workprec(precision):
                verdict = decide(model(tokens), target(tokens))
            if verdict is not None:
                found[tokens] = verdict
        left = [tokens for tokens in left if tokens not in found]
        if not left:
            break
    return found | dict.fromkeys(left, TIE)


def true_count(weights: Weights, target: Callable[[tuple[int, ...]], int] = max) -> int:
    """Number of certainly right sequences."""
    return sum(verdict == RIGHT for verdict in verdicts(weights, target).values())


def wrong_weights(weights: Weights, question: Question) -> dict[tuple[int, int], Fraction]:
    """Weight of the sequences that are wrong or tied, by last token and right output: the truth for `check_rule`."""
    task = question.task
    found: defaultdict[tuple[int, int], Fraction] = defaultdict(Fraction)
    total, uniform = question.total(), question.distribution == Uniform()
    for tokens, verdict in verdicts(weights, lambda t: int(task.target(np.array(t)))).items():
        if verdict != RIGHT:
            weight = 1 if uniform else chance(question.distribution, tokens) * total
            found[tokens[-1], int(task.target(np.array(tokens)))] += weight
    return dict(found)


def margin(weights: Weights, tokens: Sequence[int], precision: int = 640) -> flint.arb:
    """Target logit less the largest rival logit of one sequence."""
    with flint.ctx.workprec(precision):
        values = Equations(weights, precision)(tokens)
        y = max(tokens)
        rivals = [value for o, value in enumerate(values) if o != y]
        best = rivals[0]
        for rival in rivals[1:]:
            best = best.max(rival)
        return values[y] - best


def exact(ball: flint.arb) -> Fraction:
    """The midpoint of a ball as a fraction."""
    mantissa, exponent = ball.mid().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def fractions(array: np.ndarray) -> np.ndarray:
    """The exact values of a float array."""
    out = np.empty(array.shape, dtype=object)
    out.flat = [Fraction(x) for x in array.ravel().tolist()]
    return out
