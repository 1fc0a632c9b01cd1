r"""Low-rank approximations of EQKE that are exact up to a residual product.

Theorem (two-sided deflation). For all $X, Y, S$ and all vectors $u, w, a, b$, with $X' = X - ua^T$, $Y' = Y - wb^T$,

$$ XSY^T = X'SY'^T + u\,(Y S^Ta)^T + \big(XSb - u\,(a^TSb)\big)\,w^T . $$

*Proof.* Multiply out $X'SY'^T$. Here $a = X^Tu/|u|^2$, $b = Y^Tw/|w|^2$, so $X'$, $Y'$ are orthogonal to the hints
$u, w$ when those are singular vectors; the identity needs nothing of them. A zero hint loses everything.

The published rank-1 split keeps only $u(a^TSb)w^T$ and drops $u\,(a^TSY'^T)$ and $(X'Sb)\,w^T$, which vanish for exact
singular vectors only. `cross="exact"` keeps them in the approximation; `cross="bounded"` leaves them out and adds
their row differences to the error, at most $|u_q|\,\mathrm{rng}(Y'S^Ta) + |X'Sb|_q\,\mathrm{rng}(w)$.

Contents:
    Split — approximation, extra error, residual factors.
    rank_one_split — one deflation of A B^T, A = E_q W_Q W_K^T.
    subproduct_split — two deflations and one of W_Q W_K^T.
"""

from dataclasses import dataclass

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import matmul
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.tensors import product
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, outer, spread, spread_flops
from pessimal.spec.architecture import Architecture, ModelShape

CROSS = ("exact", "bounded")


@dataclass(frozen=True)
class Split:
    """EQKE = approximation + product of the factors + a part whose row differences are at most `extra`.

    Attributes:
        approximation: T, `[d_vocab, d_vocab]`.
        factors: residual factors; their product is `[d_vocab, d_vocab]`.
        extra: `[d_vocab]`, or None for zero.
    """

    approximation: AbstractEnclosure
    factors: tuple[AbstractEnclosure, ...]
    extra: AbstractEnclosure | None


def coefficients(x: AbstractEnclosure, u: AbstractEnclosure) -> AbstractEnclosure:
    """X^T u / |u|^2 as one row, `[1, d]`; lost if u may be zero."""
    return product(u.reshape(1, -1), x) / (u * u).sum(0)


def coefficients_flops(n: int, d: int) -> int:
    """Operations of `coefficients`."""
    return matmul(1, n, d) + 2 * n - 1 + d


def direction(hints: Hints, name: str, shape: tuple[int, ...], arith: AbstractArithmetic) -> AbstractEnclosure:
    """A hinted direction, exact."""
    return arith.matrix(hints.floats(name, shape)).enclose()


def query_factor(paths: Paths) -> AbstractEnclosure:
    """A = E_q W_Q W_K^T, `[d_vocab, d_model]`."""
    return product(product(paths.query, paths.w_q), paths.w_k.transpose(1, 0))


def query_factor_flops(shape: ModelShape) -> int:
    """Operations of `query_factor`."""
    v, m, h = shape.d_vocab, shape.d_model, shape.d_head
    return matmul(v, m, h) + matmul(v, h, m)


def with_key_bias(table: AbstractEnclosure, paths: Paths) -> AbstractEnclosure:
    """The table plus b_Q W_K^T E_k^T, the same for every query."""
    return table if paths.key_bias is None else table + paths.key_bias


def key_bias_flops(arch: Architecture) -> int:
    """Operations of `with_key_bias`."""
    return ("b_Q" in arch.biases) * arch.shape.d_vocab**2


def rank_one_split(paths: Paths, hints: Hints, arith: AbstractArithmetic, cross: str) -> Split:
    """One deflation of A E_k^T by the hinted query and key directions."""
    v = paths.query.shape[0]
    u, w = (direction(hints, name, (v,), arith) for name in ("query_direction", "key_direction"))
    left, right = query_factor(paths), paths.key
    a, b = coefficients(left, u), coefficients(right, w)
    left_rest, right_rest = left - outer(u, a), right - outer(w, b)
    both = product(a, b.transpose(1, 0))
    extra = None
    if cross == "exact":
        along = product(right, a.transpose(1, 0))
        across = product(left, b.transpose(1, 0)).reshape(-1) - u * both[0]
        approximation = outer(u, along) + outer(across, w)
    else:
        along = product(right_rest, a.transpose(1, 0)).reshape(-1)
        across = product(left_rest, b.transpose(1, 0)).reshape(-1)
        approximation = outer(u * both[0], w)
        extra = u.absolute() * spread(along, 0) + across.absolute() * spread(w, 0)
    return Split(with_key_bias(approximation, paths), (left_rest, right_rest.transpose(1, 0)), extra)


def rank_one_split_flops(arch: Architecture, cross: str) -> int:
    """Operations of `rank_one_split`."""
    s = arch.shape
    v, m = s.d_vocab, s.d_model
    flops = query_factor_flops(s) + 2 * coefficients_flops(v, m) + 4 * v * m + matmul(1, m, 1) + key_bias_flops(arch)
    flops += 2 * matmul(v, m, 1)
    if cross == "exact":
        return flops + 2 * v + 3 * v * v
    return flops + v + v * v + 2 * v + 2 * spread_flops(1, v) + 3 * v


def subproduct_split(paths: Paths, hints: Hints, arith: AbstractArithmetic, cross: str) -> Split:
    """Two deflations of E_q S E_k^T, S = W_Q W_K^T, then one of S; cross terms are always exact.

    The residual factors are E_q'', W_Q', W_K'^T, E_k''^T; the approximation is a sum of six products of vectors.
    """
    del cross
    v, m = paths.query.shape
    u, w = (direction(hints, name, (2, v), arith) for name in ("query_direction", "key_direction"))
    left, right = paths.query, paths.key
    terms: list[tuple[AbstractEnclosure, AbstractEnclosure]] = []
    for i in range(2):
        a, b = coefficients(left, u[i]), coefficients(right, w[i])
        a_s = product(product(a, paths.w_q), paths.w_k.transpose(1, 0))
        s_b = product(paths.w_q, product(paths.w_k.transpose(1, 0), b.transpose(1, 0)))
        along = product(right, a_s.transpose(1, 0)).reshape(-1)
        across = product(left, s_b).reshape(-1) - u[i] * product(a, s_b)[0]
        terms += [(u[i], along), (across, w[i])]
        left, right = left - outer(u[i], a), right - outer(w[i], b)
    q_side, k_side = (direction(hints, name, (m,), arith) for name in ("w_q_direction", "w_k_direction"))
    c, e = coefficients(paths.w_q, q_side), coefficients(paths.w_k, k_side)
    down = product(left, q_side.reshape(-1, 1)).reshape(-1)
    terms.append((down, product(right, product(paths.w_k, c.transpose(1, 0))).reshape(-1)))
    rest = product(paths.w_q, e.transpose(1, 0)).reshape(-1) - q_side * product(c, e.transpose(1, 0))[0]
    terms.append((product(left, rest.reshape(-1, 1)).reshape(-1), product(right, k_side.reshape(-1, 1)).reshape(-1)))
    approximation = outer(*terms[0])
    for column, row in terms[1:]:
        approximation = approximation + outer(column, row)
    w_q, w_k = paths.w_q - outer(q_side, c), paths.w_k - outer(k_side, e)
    factors = (left, w_q, w_k.transpose(1, 0), right.transpose(1, 0))
    return Split(with_key_bias(approximation, paths), factors, None)


def subproduct_split_flops(arch: Architecture, cross: str) -> int:
    """Operations of `subproduct_split`."""
    del cross
    s = arch.shape
    v, m, h = s.d_vocab, s.d_model, s.d_head
    one = 2 * coefficients_flops(v, m) + 2 * (matmul(1, m, h) + matmul(1, h, m))
    one += 2 * matmul(v, m, 1) + matmul(1, m, 1) + 2 * v + 4 * v * m
    flops = 2 * one + 2 * coefficients_flops(m, h) + 2 * matmul(m, h, 1) + matmul(1, h, 1) + 2 * m
    flops += 4 * matmul(v, m, 1) + 11 * v * v + 4 * m * h
    return flops + key_bias_flops(arch)


def rank_one_hints(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Hints of `rank_one_split`."""
    return {"query_direction": (shape.d_vocab,), "key_direction": (shape.d_vocab,)}


def subproduct_hints(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Hints of `subproduct_split`."""
    two = (2, shape.d_vocab)
    one = (shape.d_model,)
    return {"query_direction": two, "key_direction": two, "w_q_direction": one, "w_k_direction": one}
