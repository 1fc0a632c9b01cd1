"""Rounding radii are at least those derived: every term of `kernel/model/rounding.py`, in exact fractions.

Executions seldom need all of a radius (`test_float32.py`), so a term that is forgotten could go unnoticed there.
d_head is 1 or 4, so that the factor on the scores is rational.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.model.heads import separable_heads
from pessimal.kernel.model.rounding import rounding
from pessimal.spec import Weights
from pessimal.spec.semantics import EXP_ULPS, FLOAT32, REAL, SHIFT
from support.models import BIASES, Sizes, build, random_tensors
from support.oracle import fractions

U = Fraction(1, 2**24)
ETA = Fraction(1, 2**150)  # a unit of gradual underflow; the kernel allows for many
SIZES = (Sizes(3, 5, 7, 1, 2), Sizes(5, 7, 3, 4, 3), Sizes(3, 5, 7, 4, 5, 2), Sizes(2, 3, 1, 1, 2))


def gamma(n: int) -> Fraction:
    return n * U / (1 - n * U)


def kappa_tau(k: int) -> tuple[Fraction, Fraction]:
    """What exp and division are off by, and how far attention sums from one, to first order."""
    e = Fraction(EXP_ULPS, 2**23)
    return e + 3 * U, 2 * e + 3 * U + gamma(k)


@dataclass(frozen=True)
class Projected:
    """delta and y^+ of the docstring."""

    error: np.ndarray
    size: np.ndarray


class Derived:
    """The radii of one model by the formulas of the docstring."""

    def __init__(self, weights: Weights) -> None:
        self.shape = weights.architecture.shape
        self.t = {name: fractions(array) for name, array in weights.tensors.items()}
        self.scale = Fraction(1, {1: 1, 4: 2}[self.shape.d_head])
        self.kappa, self.tau = kappa_tau(self.shape.k)

    def bias(self, name: str, head: int, n: int) -> np.ndarray:
        return self.t[name][head] if name in self.t else fractions(np.zeros(n))

    def project(self, letter: str, x: np.ndarray, sizes: np.ndarray, head: int, *, bias: bool) -> Projected:
        s, w = self.shape, self.t[f"W_{letter}"][head]
        b = self.bias(f"b_{letter}", head, s.d_head) if bias else fractions(np.zeros(s.d_head))
        error = gamma(s.d_model + 2) * (sizes @ abs(w) + abs(b)) + (ETA if bias else 0)
        return Projected(error, abs(x @ w + b) + error)

    def head(self, h: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """A, B, R, R'."""
        s, embed, place = self.shape, self.t["W_E"], self.t["W_pos"][: self.shape.k]
        query = self.project("Q", embed + place[-1], abs(embed + place[-1]), h, bias=True)
        keys, values = (
            [self.project(letter, x, abs(x), h, bias=bias) for x, bias in ((embed, False), (place, True))]
            for letter in "KV"
        )
        logs = [
            self.scale * (query.error @ key.size.T + query.size @ (key.error + gamma(s.d_head + 9) * key.size).T)
            for key in keys
        ]
        most = keys[0].size.max(0) + keys[1].size.max(0)
        shift = 2 * U * self.scale * (query.size @ most) + self.kappa + U * (SHIFT + 1)
        w_o, unembed = self.t["W_O"][h], self.t["W_U"]
        radii = []
        for value in values:
            mixed = (value.error + (gamma(s.k) + self.tau) * value.size) @ abs(w_o @ unembed)
            late = gamma(s.n_heads * s.d_head + s.k + s.d_model + 3) * (value.size @ abs(w_o)) @ abs(unembed)
            radii.append((1 + self.tau) * (mixed + late))
        return logs[0], logs[1] + shift[:, np.newaxis], radii[0], radii[1]

    def direct(self) -> np.ndarray:
        """R_D but for what several units of underflow add, and overflow."""
        s, t = self.shape, self.t
        b_o, b_u = (t.get(name, fractions(np.zeros(n))) for name, n in (("b_O", s.d_model), ("b_U", s.d_vocab_out)))
        skipped = abs(t["W_E"] + t["W_pos"][s.k - 1]) + abs(b_o)
        radius = gamma(s.n_heads * s.d_head + s.d_model + 5) * skipped @ abs(t["W_U"]) + gamma(s.d_model + 1) * abs(b_u)
        flushed = Fraction(1, 2**32) * s.k / (2 * self.tau)
        for h in range(s.n_heads):
            _, _, token, position = self.head(h)
            radius = radius + flushed * (token.max(0) + position.max(0))
        return radius


def cancelling(sizes: Sizes, biases: tuple[str, ...]) -> Weights:
    """W_O U is zero, so that only the late roundings are left of a value's radius."""
    tensors = random_tensors(sizes, 4, biases=biases)
    tensors["W_O"][..., 1:] = 0
    if sizes.m > 1:
        tensors["W_O"][..., 1], tensors["W_U"][1] = -tensors["W_O"][..., 0], tensors["W_U"][0]
    return build(tensors)


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("biases", [(), BIASES])
@pytest.mark.parametrize("sizes", SIZES)
def test_no_radius_is_below_the_derived_one(sizes, biases, arithmetic):
    drawn = [random_tensors(sizes, seed, biases=biases, scale=scale) for seed, scale in enumerate((1.0, 30.0, 1e-3))]
    for weights in (*(build(one) for one in drawn), cancelling(sizes, biases)):
        derived, arith = Derived(weights), ARITHMETICS[arithmetic]()
        with arith.running():
            found = rounding(weights, arith)
            ends = [
                [fractions(one.bounds()[1]) for one in (h.token_log, h.position_log, h.token_value, h.position_value)]
                for h in found.heads
            ]
            direct = fractions(found.direct.bounds()[1])
        for h, mine in enumerate(ends):
            for end, least in zip(mine, derived.head(h), strict=True):
                assert (end >= least).all()
        assert (direct >= derived.direct()).all()


@pytest.mark.parametrize("sizes", SIZES)
def test_every_table_is_widened_by_its_radii(sizes):
    """Weights by A and B, values by R and R', the direct path by R_D; with one head and with several."""
    weights, arith = build(random_tensors(sizes, 3, biases=BIASES)), ARITHMETICS["arb"]()
    derived = Derived(weights)
    with arith.running():
        (real, plain), (heads, direct) = (separable_heads(weights, arith, one) for one in (REAL, FLOAT32))
        lower, upper = zip(plain.bounds(), direct.bounds(), strict=True)
        radius = derived.direct()
        # Halves: the ends of the real tables are rounded outward themselves.
        assert (fractions(upper[1]) - fractions(upper[0]) >= radius / 2).all()
        assert (fractions(lower[0]) - fractions(lower[1]) >= radius / 2).all()
        for h, (before, after) in enumerate(zip(real, heads, strict=True)):
            token_log, position_log, token, position = derived.head(h)
            both = token + position[:, np.newaxis]
            ends = [
                fractions(b) - fractions(a) for a, b in zip(before.value.bounds(), after.value.bounds(), strict=True)
            ]
            assert (ends[1] >= both / 2).all()
            assert (-ends[0] >= both / 2).all()
            for q in range(sizes.v):
                log = (position_log[q][:, np.newaxis] + token_log[q]) / 2
                low, high = zip(before.weight(q).bounds(), after.weight(q).bounds(), strict=True)
                assert (fractions(high[1]) >= fractions(high[0]) * (1 + log)).all()
                assert (fractions(low[1]) <= fractions(low[0]) * (1 - log / 2)).all()
