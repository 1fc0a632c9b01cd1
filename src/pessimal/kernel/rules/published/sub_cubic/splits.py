r"""Low-rank approximations of EQKE that are exact up to a residual product.

Theorem (two-sided deflation). For all $X, Y, S$ and all vectors $u, w, a, b$, with $X' = X - ua^T$, $Y' = Y - wb^T$,

$$ XSY^T = X'SY'^T + u\,(Y S^Ta)^T + \big(XSb - u\,(a^TSb)\big)\,w^T . $$

*Proof.* Multiply out $X'SY'^T$. ∎

Here $a = X^Tu/|u|^2$, $b = Y^Tw/|w|^2$, so $X'$, $Y'$ are orthogonal to the hints
$u, w$ when those are singular vectors; the identity needs nothing of them. A zero hint loses everything.

The published rank-1 split keeps only $u(a^TSb)w^T$ and drops $u\,(a^TSY'^T)$ and $(X'Sb)\,w^T$, which vanish for exact
singular vectors only. `cross="exact"` keeps them in the approximation; `cross="bounded"` leaves them out and adds
their row differences to the error, at most $|u_q|\,\mathrm{rng}(Y'S^Ta) + |X'Sb|_q\,\mathrm{rng}(w)$.

Contents:
    Split — approximation, extra error, residual factors.
    no_split — EQKE itself.
    rank_one_split — one deflation of A B^T, A = E_q W_Q W_K^T.
    subproduct_split — two deflations and one of W_Q W_K^T.
    SplitKind, NO_SPLIT, RANK_ONE, SUBPRODUCT — a split with the hints it reads.
    coefficients, direction, query_factor, with_key_bias — what splits are made with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, outer, spread
from pessimal.spec.architecture import ModelShape

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
    return (u.reshape(1, -1) @ x) / (u * u).sum(0)


def direction(hints: Hints, name: str, shape: tuple[int, ...], arith: AbstractArithmetic) -> AbstractEnclosure:
    """A hinted direction, exact."""
    return arith.matrix(hints.floats(name, shape)).enclose()


def query_factor(paths: Paths) -> AbstractEnclosure:
    """A = E_q W_Q W_K^T, `[d_vocab, d_model]`."""
    return paths.query @ paths.w_q @ paths.w_k.T


def with_key_bias(table: AbstractEnclosure, paths: Paths) -> AbstractEnclosure:
    """The table plus b_Q W_K^T E_k^T, the same for every query."""
    return table if paths.key_bias is None else table + paths.key_bias


def no_split(paths: Paths, hints: Hints, arith: AbstractArithmetic, cross: str) -> Split:
    """EQKE itself; nothing is left over."""
    del hints, arith, cross
    return Split(with_key_bias(query_factor(paths) @ paths.key.T, paths), (), None)


def rank_one_split(paths: Paths, hints: Hints, arith: AbstractArithmetic, cross: str) -> Split:
    """One deflation of A E_k^T by the hinted query and key directions."""
    v = paths.query.shape[0]
    u, w = (direction(hints, name, (v,), arith) for name in ("query_direction", "key_direction"))
    left, right = query_factor(paths), paths.key
    a, b = coefficients(left, u), coefficients(right, w)
    left_rest, right_rest = left - outer(u, a), right - outer(w, b)
    core = a @ b.T
    extra = None
    if cross == "exact":
        along = right @ a.T
        across = (left @ b.T).reshape(-1) - u * core[0]
        approximation = outer(u, along) + outer(across, w)
    else:
        along = (right_rest @ a.T).reshape(-1)
        across = (left_rest @ b.T).reshape(-1)
        approximation = outer(u * core[0], w)
        extra = u.absolute() * spread(along, 0) + across.absolute() * spread(w, 0)
    return Split(with_key_bias(approximation, paths), (left_rest, right_rest.T), extra)


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
        a_s = a @ paths.w_q @ paths.w_k.T
        s_b = paths.w_q @ (paths.w_k.T @ b.T)
        along = (right @ a_s.T).reshape(-1)
        across = (left @ s_b).reshape(-1) - u[i] * (a @ s_b)[0]
        terms += [(u[i], along), (across, w[i])]
        left, right = left - outer(u[i], a), right - outer(w[i], b)
    q_side, k_side = (direction(hints, name, (m,), arith) for name in ("w_q_direction", "w_k_direction"))
    c, e = coefficients(paths.w_q, q_side), coefficients(paths.w_k, k_side)
    down = (left @ q_side.reshape(-1, 1)).reshape(-1)
    terms.append((down, (right @ (paths.w_k @ c.T)).reshape(-1)))
    rest = (paths.w_q @ e.T).reshape(-1) - q_side * (c @ e.T)[0]
    terms.append(((left @ rest.reshape(-1, 1)).reshape(-1), (right @ k_side.reshape(-1, 1)).reshape(-1)))
    approximation = reduce(add, (outer(column, row) for column, row in terms))
    w_q, w_k = paths.w_q - outer(q_side, c), paths.w_k - outer(k_side, e)
    factors = (left, w_q, w_k.T, right.T)
    return Split(with_key_bias(approximation, paths), factors, None)


@dataclass(frozen=True)
class SplitKind:
    """A way to split EQKE.

    Attributes:
        split: from factors and hints, exact or bounded cross terms.
        arrays: float64 hints that it reads, with their shapes, by shape of the model.
    """

    split: Callable[[Paths, Hints, AbstractArithmetic, str], Split]
    arrays: Callable[[ModelShape], Mapping[str, tuple[int, ...]]]


def _sub_directions(s: ModelShape) -> Mapping[str, tuple[int, ...]]:
    """Hints of the subproduct split: two directions per side, one per matrix."""
    two, one = (2, s.d_vocab), (s.d_model,)
    return {"query_direction": two, "key_direction": two, "w_q_direction": one, "w_k_direction": one}


NO_SPLIT = SplitKind(no_split, lambda _: {})
RANK_ONE = SplitKind(rank_one_split, lambda s: {"query_direction": (s.d_vocab,), "key_direction": (s.d_vocab,)})
SUBPRODUCT = SplitKind(subproduct_split, _sub_directions)
