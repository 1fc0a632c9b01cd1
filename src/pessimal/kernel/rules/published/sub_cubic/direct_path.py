r"""The direct path, bounded per query: factor A of the published strategies.

Theorem (every class). For the `anchor` $\mu$ and `slack` $b$ of a class,

$$ D_x(q) - D_y(q) \le \mu_x - \mu_y + b_q \quad\text{for all } q, x, y . $$

*Proof.* With $D = EU$ and any vector $z$, $D_x(q) - D_y(q) = (zU)_x - (zU)_y + \sum_j (E_{qj} - z_j)(U_{jx} - U_{jy})$
and the last sum is at most $\sum_j |E_{qj} - z_j|\,(\max_x U_{jx} - \min_x U_{jx})$. The exact classes take
$\max_x D_x(q) - \min_x D_x(q)$ from the product itself.

Contents:
    DirectBound — anchor and slack.
    AbstractDirectPath — the interface.
    MaxDiff, MeanQueryMaxDiff, SvdQueryMaxDiff, MaxDiffExact, GlobalMaxDiffExact — the five published options.
    DIRECT_PATHS — by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import matmul
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.tensors import product
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, spread, spread_flops
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


class AbstractDirectPath(ABC):
    """A way to bound the direct path."""

    name: ClassVar[str]
    asymptotic: ClassVar[str]

    def arrays(self, shape: ModelShape) -> Mapping[str, tuple[int, ...]]:
        """Float64 hints that the option reads, with their shapes."""
        del shape
        return {}

    @abstractmethod
    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
        """Anchor and slack."""

    @abstractmethod
    def flops(self, shape: ModelShape) -> int:
        """Operations of `bound`."""

    @abstractmethod
    def unexplained_dims(self, shape: ModelShape) -> int:
        """Numbers of the direct path that the option treats as a table (specification, section 6.3)."""


def _around(paths: Paths, centre: AbstractEnclosure | None) -> DirectBound:
    """Max-diff around a vector z, `[1, d_model]`, or around zero."""
    residual = paths.direct if centre is None else paths.direct - centre
    width = spread(paths.unembed, 1).reshape(-1, 1)
    slack = product(residual.absolute(), width).reshape(-1)
    return DirectBound(None if centre is None else product(centre, paths.unembed)[0], slack)


def _around_flops(shape: ModelShape, *, centred: bool) -> int:
    v, m, o = shape.d_vocab, shape.d_model, shape.d_vocab_out
    return v * m + spread_flops(m, o) + matmul(v, m, 1) + centred * (v * m + matmul(1, m, o))


class MaxDiff(AbstractDirectPath):
    """z = 0: the absolute values of the query times the spread of U.

    Soundness: module docstring. Cost: O(v d). Source: Gross et al. 2024.
    """

    name: ClassVar[str] = "max_diff"
    asymptotic: ClassVar[str] = "O(v d)"

    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
        """Anchor and slack."""
        del hints, arith
        return _around(paths, None)

    def flops(self, shape: ModelShape) -> int:
        """Operations of `bound`."""
        return _around_flops(shape, centred=False)

    def unexplained_dims(self, shape: ModelShape) -> int:
        """The residuals, and the two numbers of a spread."""
        return shape.d_vocab * shape.d_model + 2


class MeanQueryMaxDiff(AbstractDirectPath):
    """z = mean query; then max-diff of what is left.

    Soundness: module docstring, for every z. Cost: O(v d). Source: Gross et al. 2024.
    """

    name: ClassVar[str] = "mean_query+max_diff"
    asymptotic: ClassVar[str] = "O(v d)"

    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
        """Anchor and slack."""
        del hints
        mean = paths.direct.sum(0) * arith.fraction(Fraction(1, paths.direct.shape[0]))
        return _around(paths, mean.reshape(1, -1))

    def flops(self, shape: ModelShape) -> int:
        """Operations of `bound`."""
        return shape.d_vocab * shape.d_model + _around_flops(shape, centred=True)

    def unexplained_dims(self, shape: ModelShape) -> int:
        """The anchor's logits besides those of `max_diff`."""
        return shape.d_vocab + shape.d_vocab * shape.d_model + 2


class SvdQueryMaxDiff(AbstractDirectPath):
    r"""z = $\sum_q u_q E_q / \sum_q u_q$ for a hinted direction u over queries.

    The published option subtracts $u^TE$ itself, about $\sqrt v$ times too long: valid, and nearly vacuous.
    Soundness: module docstring, for every z; if the weights may sum to zero, z is lost and nothing is certified.
    Cost: O(v d). Source: Gross et al. 2024, normalised here.
    """

    name: ClassVar[str] = "svd_query+max_diff"
    asymptotic: ClassVar[str] = "O(v d)"

    def arrays(self, shape: ModelShape) -> Mapping[str, tuple[int, ...]]:
        """The direction."""
        return {"direct_direction": (shape.d_vocab,)}

    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
        """Anchor and slack."""
        weight = arith.matrix(hints.floats("direct_direction", (paths.direct.shape[0],))).enclose()
        return _around(paths, product(weight.reshape(1, -1), paths.direct) / weight.sum(0))

    def flops(self, shape: ModelShape) -> int:
        """Operations of `bound`."""
        v, m = shape.d_vocab, shape.d_model
        return v - 1 + matmul(1, v, m) + m + _around_flops(shape, centred=True)

    def unexplained_dims(self, shape: ModelShape) -> int:
        """As with the mean query."""
        return MeanQueryMaxDiff().unexplained_dims(shape)


class MaxDiffExact(AbstractDirectPath):
    """The spread of every row of EU.

    Soundness: module docstring. Cost: O(v^2 d). Source: Gross et al. 2024.
    """

    name: ClassVar[str] = "max_diff_exact"
    asymptotic: ClassVar[str] = "O(v^2 d)"

    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
        """Anchor and slack."""
        del hints, arith
        return DirectBound(None, spread(product(paths.direct, paths.unembed), 1))

    def flops(self, shape: ModelShape) -> int:
        """Operations of `bound`."""
        v, m, o = shape.d_vocab, shape.d_model, shape.d_vocab_out
        return matmul(v, m, o) + spread_flops(v, o)

    def unexplained_dims(self, shape: ModelShape) -> int:
        """Largest and smallest logit of every query."""
        return 2 * shape.d_vocab


class GlobalMaxDiffExact(AbstractDirectPath):
    """The spread of all of EU, the same for every query.

    Soundness: module docstring. Cost: O(v^2 d). Source: Gross et al. 2024.
    """

    name: ClassVar[str] = "global_max_diff_exact"
    asymptotic: ClassVar[str] = "O(v^2 d)"

    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic) -> DirectBound:
        """Anchor and slack."""
        del hints, arith
        logits = product(paths.direct, paths.unembed)
        v, o = logits.shape
        return DirectBound(None, spread(logits.reshape(v * o), 0).reshape(1)[np.zeros(v, dtype=np.int64)])

    def flops(self, shape: ModelShape) -> int:
        """Operations of `bound`."""
        v, m, o = shape.d_vocab, shape.d_model, shape.d_vocab_out
        return matmul(v, m, o) + spread_flops(1, v * o)

    def unexplained_dims(self, shape: ModelShape) -> int:
        """Two numbers."""
        del shape
        return 2


DIRECT_PATHS: dict[str, AbstractDirectPath] = {
    option.name: option
    for option in (MeanQueryMaxDiff(), SvdQueryMaxDiff(), MaxDiff(), MaxDiffExact(), GlobalMaxDiffExact())
}
