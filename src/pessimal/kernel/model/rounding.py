r"""Float32 rounding: how far the tables of any execution can be from the real ones.

Theorem. Take any execution that `spec.semantics.assumptions` allows, any sequence with
query q, and the tables $w, V, D$ of `tables.py` in real arithmetic. There are numbers, which may depend on execution
and sequence,

$$ \hat w_i \in w_i(q,t_i)\,e^{\pm(A(q,t_i)+B(q,i))},\quad \hat V_{i,o} \in V_i(t_i)_o \pm (R(t_i)_o + R'(i)_o),\quad
   \hat D_o \in D(q)_o \pm R_D(q)_o, $$

such that the computed logits are $\hat D_o + \sum_h \sum_i \hat w_i\hat V_{i,o} / \sum_i \hat w_i$. So an execution is
the real model with other tables, and a rule that is sound for all tables within enclosures, sequence by sequence,
covers it once the enclosures are widened by these radii.

With $u = 2^{-24}$, $\gamma_n = nu/(1-nu)$, m = d_model, d = d_head, H heads, and every |.| entrywise:

* a projection $y = xW + b$ of a rounded x: $|\hat y - y| \le \delta = \gamma_{m+2}(|x||W| + |b|) + \eta$;
  $y^+ = |y| + \delta$. For keys and values $|x_i(t)| \le |W_E[t]| + |W_{pos}[i]|$ splits this into token and position.
* scores: $c\,[\delta_q\cdot k^+ + q^+\cdot(\delta_k + \gamma_{d+9}k^+)]$; the 9 are up to 8 roundings of the scaling,
  wherever it stands, and the shift. The shift costs $u(\max|s| + 64)$ more, exp and division $\kappa$.
* values: $(1+\tau)[(\delta_v + (\gamma_K + \tau)v^+)\,|W_OU| + \gamma_{Hd+K+m+3}\,(v^+|W_O|)|U|]$, where
  $\tau$ bounds how far the attention of an execution sums from one.
* direct path: $\gamma_{Hd+m+5}(|x|+|b_O|)|U| + \gamma_{m+1}|b_U|$, and a share of the values for flushed attention.

A query for which some intermediate number may reach $2^{127}$ is lost.

*Proof.* of `docs/float32.md#3-derivation`

Contents:
    gamma, attention_error — constants of the derivation, as fractions.
    HeadRounding, Rounding — the radii.
    rounding — weights to radii.
    executed — the tables that some execution may have.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import add

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure, AbstractMatrix
from pessimal.kernel.model.heads import Head, factors_of
from pessimal.kernel.model.requirements import float32_complaints, require_none
from pessimal.kernel.model.tensors import attention_scale, optional, present
from pessimal.spec.semantics import EXP_ULPS, SHIFT
from pessimal.spec.weights import Weights

UNIT = Fraction(1, 2**24)
# Above everything that gradual underflow can add to one quantity: at most 2**15 terms of 2**-150, doubled on the way.
UNDERFLOW = Fraction(1, 2**120)
LIMIT = Fraction(2**127)
EXP_ERROR = Fraction(EXP_ULPS, 2**23)
# A flushed exp is at most 2**-126, the sum of a row at least 2**-94 (docs/float32.md, section 3).
FLUSHED = Fraction(1, 2**31)


def gamma(n: int) -> Fraction:
    """How far n roundings can move a product, relatively: n u / (1 - n u)."""
    return n * UNIT / (1 - n * UNIT)


def attention_error(k: int) -> tuple[Fraction, Fraction]:
    """Kappa, the error of exp and division as a logarithm; tau, how far attention sums from one."""
    one_weight = EXP_ERROR + 3 * UNIT
    total = EXP_ERROR + gamma(k) + Fraction(k, 2**32)
    return one_weight * Fraction(17, 16), (one_weight + total) * Fraction(17, 16)


@dataclass(frozen=True)
class HeadRounding:
    """Rounding radii of one head.

    Attributes:
        token_log: A, `[d_vocab, d_vocab]`, a relative radius of weights as a logarithm.
        position_log: B, `[d_vocab, k]`.
        token_value: R, `[d_vocab, d_vocab_out]`, in logits.
        position_value: R', `[k, d_vocab_out]`, in logits.
    """

    token_log: AbstractEnclosure
    position_log: AbstractEnclosure
    token_value: AbstractEnclosure
    position_value: AbstractEnclosure


@dataclass(frozen=True)
class Rounding:
    """Rounding radii of a model.

    Attributes:
        heads: one per head.
        direct: R_D, `[d_vocab, d_vocab_out]`, in logits; lost where a number may overflow.
    """

    heads: list[HeadRounding]
    direct: AbstractEnclosure


@dataclass(frozen=True)
class _Projected:
    """A computed vector per row: bounds of its error, of itself, and of what is summed on the way, `[rows, d]`."""

    error: AbstractEnclosure
    size: AbstractEnclosure
    summed: AbstractEnclosure


def _greatest(token: AbstractEnclosure, position: AbstractEnclosure) -> AbstractEnclosure:
    """Column maxima over all tokens and positions, `[1, d]`."""
    return (token.max(0) + position.max(0)).reshape(1, -1)


def _absolute(matrix: AbstractMatrix) -> AbstractEnclosure:
    return matrix.enclose().absolute()


class _Bounds:
    """The radii of one model; every array of the derivation is computed once."""

    def __init__(self, weights: Weights, arith: AbstractArithmetic) -> None:
        self.weights, self.arith = weights, arith
        self.shape = weights.architecture.shape
        k = self.shape.k
        self.embed, self.position = arith.matrix(weights["W_E"]), arith.matrix(weights["W_pos"][:k])
        self.last = self.embed + self.position[k - 1 :]
        self.abs_embed, self.abs_position = _absolute(self.embed), _absolute(self.position)
        self.abs_last = _absolute(self.last)
        self.unembed = arith.matrix(weights["W_U"])
        self.abs_unembed = _absolute(self.unembed)
        self.eta = arith.fraction(UNDERFLOW)
        scale = attention_scale(weights, arith)
        self.scale = arith.fraction(Fraction(1)) if scale is None else scale

    def gamma(self, n: int) -> AbstractEnclosure:
        return self.arith.fraction(gamma(n))

    def tensor(self, name: str, head: int) -> AbstractMatrix:
        return self.arith.matrix(present(self.weights, name, head))

    def project(self, name: str, x: AbstractMatrix, abs_x: AbstractEnclosure, head: int, *, bias: bool) -> _Projected:
        """|xW + b| of the rows of x, with its error; b and underflow only if `bias`."""
        w = self.tensor(f"W_{name}", head)
        exact, summed = x @ w, abs_x @ _absolute(w)
        b = optional(self.weights, f"b_{name}", self.arith, head) if bias else None
        if b is not None:
            exact, summed = exact + b, summed + _absolute(b)
        error = summed * self.gamma(self.shape.d_model + 2)
        error = error + self.eta if bias else error
        return _Projected(error, _absolute(exact) + error, summed)

    def head(self, head: int) -> tuple[HeadRounding, AbstractEnclosure, AbstractEnclosure]:
        """Radii of a head; per query the largest number met, `[d_vocab, 1]`; the residual it adds, `[1, d_model]`."""
        query = self.project("Q", self.last, self.abs_last, head, bias=True)
        keys = [self.project("K", *x, head, bias=b) for x, b in self._sides()]
        values = [self.project("V", *x, head, bias=b) for x, b in self._sides()]
        dots = query.size @ _greatest(keys[0].size, keys[1].size).T
        token_log, position_log = (self._score(query, key) for key in keys)
        token_value, position_value = (self._value(value, head) for value in values)
        kappa, _ = attention_error(self.shape.k)
        # |s| <= 2 c |q||k|: what the shift's own rounding can be of; SHIFT + 1 covers its second order.
        shift = (dots * self.scale * (2 * UNIT)) + (kappa + UNIT * (SHIFT + 1) + UNDERFLOW)
        largest = _greatest(values[0].size, values[1].size) * 2
        residual = largest @ _absolute(self.tensor("W_O", head))
        met = dots + query.summed.max(1).reshape(-1, 1)
        for side in (keys, values):
            met = met + _greatest(side[0].summed, side[1].summed).max(1).reshape(1, 1)
        radii = HeadRounding(token_log, position_log + shift, token_value, position_value)
        return radii, met, residual

    def _sides(self) -> list[tuple[tuple[AbstractMatrix, AbstractEnclosure], bool]]:
        """Token parts, and position parts, which carry the biases."""
        return [((self.embed, self.abs_embed), False), ((self.position, self.abs_position), True)]

    def _score(self, query: _Projected, key: _Projected) -> AbstractEnclosure:
        """Error of the scaled scores of every query, `[d_vocab, rows]`."""
        key_error = key.error + key.size * self.gamma(self.shape.d_head + 9)
        error = query.error @ key.size.T + query.size @ key_error.T
        return error * self.scale

    def _value(self, value: _Projected, head: int) -> AbstractEnclosure:
        """Error of the values in logits, `[rows, d_vocab_out]`."""
        s = self.shape
        w_o = self.tensor("W_O", head)
        _, tau = attention_error(s.k)
        mixed = value.error + value.size * (gamma(s.k) + tau)
        late = (value.size @ _absolute(w_o)) * self.gamma(s.n_heads * s.d_head + s.k + s.d_model + 3)
        error = mixed @ _absolute(w_o @ self.unembed) + late @ self.abs_unembed
        return error * (1 + tau)

    def direct(
        self, heads: list[HeadRounding], met: AbstractEnclosure, residual: AbstractEnclosure
    ) -> AbstractEnclosure:
        """Error of the direct path, `[d_vocab, d_vocab_out]`, lost where a number may reach `LIMIT`."""
        s = self.shape
        b_o, b_u = optional(self.weights, "b_O", self.arith), optional(self.weights, "b_U", self.arith)
        skipped = self.abs_last if b_o is None else self.abs_last + _absolute(b_o)
        logits = skipped @ self.abs_unembed
        tiny = self.abs_unembed.sum(0).reshape(1, -1) * self.eta + self.eta
        radius = logits * self.gamma(s.n_heads * s.d_head + s.d_model + 5) + tiny
        summed = logits + residual @ self.abs_unembed
        if b_u is not None:
            radius, summed = radius + _absolute(b_u) * self.gamma(s.d_model + 1), summed + _absolute(b_u)
        _, tau = attention_error(s.k)
        for head in heads:
            most = _greatest(head.token_value, head.position_value)
            radius = radius + most * (s.k * FLUSHED / tau)
        met = met + summed.max(1).reshape(-1, 1) + (skipped + residual).max(1).reshape(-1, 1)
        met = met + _greatest(self.abs_embed, self.abs_position).max(1).reshape(1, 1)
        limit = self.arith.fraction(LIMIT)
        # SOUND: the quotient is at least one, and lost unless four times the sum of all sizes is below the limit.
        return radius * (limit / (limit - met * 4))


def rounding(weights: Weights, arith: AbstractArithmetic) -> Rounding:
    """Rounding radii of a model.

    Raises:
        Rejected: unsupported-model, with the `float32_complaints`.

    Soundness: every factor is an upper bound of magnitudes; `arith` rounds outward.
    Cost: about 2v(m + d)(3d + o) + 4v^2 d per head.
    """
    require_none(float32_complaints(weights))
    bounds = _Bounds(weights, arith)
    by_head = [bounds.head(h) for h in range(weights.architecture.shape.n_heads)]
    heads = [radii for radii, _, _ in by_head]
    met, residual = (
        reduce(add, parts) for parts in ([largest for _, largest, _ in by_head], [added for _, _, added in by_head])
    )
    return Rounding(heads, bounds.direct(heads, met, residual))


def executed(
    weights: Weights, heads: list[Head], direct: AbstractEnclosure, arith: AbstractArithmetic
) -> tuple[list[Head], AbstractEnclosure]:
    """Heads and direct path that contain those of every execution."""
    radii = rounding(weights, arith)
    widened = [_executed(*pair, arith) for pair in zip(heads, radii.heads, strict=True)]
    return widened, direct.widened(radii.direct)


def _executed(head: Head, radii: HeadRounding, arith: AbstractArithmetic) -> Head:
    """The tables that some execution may have."""
    zero = arith.fraction(Fraction(0))
    token, position = zero.widened(radii.token_log).exp(), zero.widened(radii.position_log).exp()
    (k, n_out), v = radii.position_value.shape, radii.token_value.shape[0]
    value = head.value.widened(radii.token_value + radii.position_value.reshape(k, 1, n_out))
    if head.table is None:
        own_token, own_position = factors_of(head.factors)
        return Head(value, (own_token * token, own_position * position), None)
    return Head(value, None, head.table * (token.reshape(v, 1, v) * position.reshape(v, k, 1)))
