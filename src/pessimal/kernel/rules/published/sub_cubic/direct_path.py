r"""The direct path, bounded per query: factor A of the published strategies.

Theorem (every class). For the `anchor` $\mu$ and `slack` $b$ of a class,

$$ D_x(q) - D_y(q) \le \mu_x - \mu_y + b_q \quad\text{for all } q, x, y . $$

*Proof.* With $D = EU$ and any vector $z$, $D_x(q) - D_y(q) = (zU)_x - (zU)_y + \sum_j (E_{qj} - z_j)(U_{jx} - U_{jy})$
and the last sum is at most $\sum_j |E_{qj} - z_j|\,(\max_x U_{jx} - \min_x U_{jx})$. The exact classes take
$\max_x D_x(q) - \min_x D_x(q)$ from the product itself. ∎

| name | z |
|---|---|
| `max_diff` | zero |
| `mean_query+max_diff` | the mean query |
| `svd_query+max_diff` | $\sum_q u_q E_q / \sum_q u_q$ for a hinted direction u over queries |
| `max_diff_exact` | none: the spread of every row of EU |
| `global_max_diff_exact` | none: the spread of all of EU, the same for every query |

The published $u^TE$ is about $\sqrt v$ times too long: valid, and nearly vacuous. If the hinted weights may sum to
zero, z is lost and nothing is certified.

Soundness: for every z. Cost: O(v d), where EU is multiplied out O(v^2 d). Source: Gross et al. 2024.

Contents:
    DirectBound — anchor and slack.
    DirectPath — a way to bound the direct path.
    DIRECT_PATHS — the five published ones, by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, spread
from pessimal.spec.architecture import ModelShape


@dataclass(frozen=True)
class DirectBound:
    """Bound on the direct path.

    Attributes:
        anchor: mu, `[d_vocab_out]`, in logits, or None for zero.
        slack: b, `[d_vocab]`, in logits.
    """

    anchor: AbstractEnclosure | None
    slack: AbstractEnclosure


@dataclass(frozen=True)
class DirectPath:
    """A way to bound the direct path.

    Attributes:
        name: as published.
        bound: anchor and slack.
        tables: by shape, the numbers of the direct path that are treated as a table.
        direction: the float64 hint that is read, one number per token, or None.
    """

    name: str
    bound: Callable[[Paths, Hints, AbstractArithmetic], DirectBound]
    tables: Callable[[ModelShape], int]
    direction: str | None = None

    def arrays(self, shape: ModelShape) -> Mapping[str, tuple[int, ...]]:
        """Float64 hints that are read, with their shapes."""
        return {} if self.direction is None else {self.direction: (shape.d_vocab,)}


def _around(paths: Paths, centre: AbstractEnclosure | None) -> DirectBound:
    """Max-diff around a vector z, `[1, d_model]`, or around zero."""
    residual = paths.direct if centre is None else paths.direct - centre
    width = spread(paths.unembed, 1).reshape(-1, 1)
    slack = (residual.absolute() @ width).reshape(-1)
    return DirectBound(None if centre is None else (centre @ paths.unembed)[0], slack)


def _around_zero(paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
    del hints, arith
    return _around(paths, None)


def _around_mean(paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
    del hints, arith
    mean = paths.direct.sum(0) * Fraction(1, paths.direct.shape[0])
    return _around(paths, mean.reshape(1, -1))


def _around_hint(paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
    weight = arith.matrix(hints.floats("direct_direction", (paths.direct.shape[0],))).enclose()
    return _around(paths, (weight.reshape(1, -1) @ paths.direct) / weight.sum(0))


def _multiplied_out(paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
    del hints, arith
    return DirectBound(None, spread(paths.direct @ paths.unembed, 1))


def _multiplied_out_globally(paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
    del hints, arith
    logits = paths.direct @ paths.unembed
    v, o = logits.shape
    return DirectBound(None, spread(logits.reshape(v * o), 0).reshape(1)[np.zeros(v, dtype=np.int64)])


def _residuals(s: ModelShape) -> int:
    """The residuals, and the two numbers of a spread."""
    return s.d_vocab * s.d_model + 2


def _residuals_and_anchor(s: ModelShape) -> int:
    return _residuals(s) + s.d_vocab


DIRECT_PATHS: dict[str, DirectPath] = {
    path.name: path
    for path in (
        DirectPath("mean_query+max_diff", _around_mean, _residuals_and_anchor),
        DirectPath("svd_query+max_diff", _around_hint, _residuals_and_anchor, "direct_direction"),
        DirectPath("max_diff", _around_zero, _residuals),
        DirectPath("max_diff_exact", _multiplied_out, lambda s: 2 * s.d_vocab),
        DirectPath("global_max_diff_exact", _multiplied_out_globally, lambda _: 2),
    )
}
