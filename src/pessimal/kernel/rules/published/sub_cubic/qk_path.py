r"""The QK circuit, approximated per pair and bounded per query: factor C of the published strategies.

Theorem (every class). For the `approximation` T and `error` $\varepsilon$ of a class, with $R = \mathrm{EQKE} - T$,

$$ R[q, i] - R[q, j] \le \varepsilon_q \quad\text{for all } q, i, j . $$

*Proof.* `splits.py` gives R as a product of factors plus a part whose row differences are known. For a product,
$\max_{ij}\big((MB)_{qi} - (MB)_{qj}\big) \le \sum_k |M_{qk}|\,\mathrm{rng}(B)_k$ with
$\mathrm{rng}(B)_k = \max_j B_{kj} - \min_j B_{kj}$ (max-diff), for every place to cut the product in two; also
$\mathrm{rng}(MB)_q \le \mathrm{rng}(\bar mB) + \mathrm{rng}((M - 1\bar m)B)_q$ for every row $\bar m$ (mean+diff); and
$\sqrt2\,\sigma_1(R)$, since $R[q,i] - R[q,j] = e_q^TR(e_i - e_j)$.

$\sigma_1$ is bounded, not computed: with $G = A'^TA'$, $H = B'B'^T$ the eigenvalues of $GH$ are the
$\sigma_i(A'B')^2 \ge 0$, so $\sigma_1^2 \le (\mathrm{tr}\,(GH)^p)^{1/p}$ for $p = 2^6$, at most 2.8% above
$\sigma_1$ at rank 32.

Contents:
    QKBound — approximation and error.
    AbstractQKPath — the interface.
    ExactScores and the nine options on a split — the published ten.
    QK_PATHS — by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import matmul
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.tensors import product
from pessimal.kernel.rules.published.sub_cubic.differences import (
    every_cut,
    every_cut_flops,
    recursive,
    recursive_flops,
    spectral,
    spectral_flops,
)
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, spread, spread_flops
from pessimal.kernel.rules.published.sub_cubic.splits import (
    key_bias_flops,
    query_factor,
    query_factor_flops,
    rank_one_hints,
    rank_one_split,
    rank_one_split_flops,
    subproduct_hints,
    subproduct_split,
    subproduct_split_flops,
    with_key_bias,
)
from pessimal.spec.architecture import Architecture, ModelShape


@dataclass(frozen=True)
class QKBound:
    """Bound on the QK circuit.

    Attributes:
        approximation: T, `[d_vocab_q, d_vocab]`, scores before c_attn.
        error: epsilon, `[d_vocab_q]`, or None for zero.
    """

    approximation: AbstractEnclosure
    error: AbstractEnclosure | None


class AbstractQKPath(ABC):
    """A way to approximate EQKE."""

    name: ClassVar[str]
    asymptotic: ClassVar[str]

    @abstractmethod
    def arrays(self, shape: ModelShape) -> Mapping[str, tuple[int, ...]]:
        """Float64 hints that the option reads, with their shapes."""

    @abstractmethod
    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic, cross: str) -> QKBound:
        """Approximation and error."""

    @abstractmethod
    def flops(self, arch: Architecture, cross: str) -> int:
        """Operations of `bound`."""

    @abstractmethod
    def unexplained_dims(self, shape: ModelShape) -> int:
        """Numbers of the QK circuit that the option treats as a table (specification, section 6.3)."""


class ExactScores(AbstractQKPath):
    """T = EQKE, no error.

    Soundness: trivial. Cost: O(v^2 d). Source: Gross et al. 2024.
    """

    name: ClassVar[str] = "exact_EQKE+max_diff_exact"
    asymptotic: ClassVar[str] = "O(v^2 d)"

    def arrays(self, shape: ModelShape) -> Mapping[str, tuple[int, ...]]:
        """None."""
        del shape
        return {}

    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic, cross: str) -> QKBound:
        """Approximation and error."""
        del hints, arith, cross
        return QKBound(with_key_bias(product(query_factor(paths), paths.key.transpose(1, 0)), paths), None)

    def flops(self, arch: Architecture, cross: str) -> int:
        """Operations of `bound`."""
        del cross
        v, m = arch.shape.d_vocab, arch.shape.d_model
        return query_factor_flops(arch.shape) + matmul(v, m, v) + key_bias_flops(arch)

    def unexplained_dims(self, shape: ModelShape) -> int:
        """The whole table."""
        return shape.d_vocab**2


class AbstractRankOne(AbstractQKPath):
    """A rank-one deflation; subclasses bound the residual A' B'."""

    def arrays(self, shape: ModelShape) -> Mapping[str, tuple[int, ...]]:
        """One query and one key direction."""
        return rank_one_hints(shape)

    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic, cross: str) -> QKBound:
        """Approximation and error."""
        split = rank_one_split(paths, hints, arith, cross)
        left, right = split.factors
        error = self.residual(left, right, arith)
        return QKBound(split.approximation, error if split.extra is None else error + split.extra)

    def flops(self, arch: Architecture, cross: str) -> int:
        """Operations of `bound`."""
        v, m = arch.shape.d_vocab, arch.shape.d_model
        return rank_one_split_flops(arch, cross) + self.residual_flops(v, m, v) + (cross == "bounded") * v

    @abstractmethod
    def residual(
        self, left: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic
    ) -> AbstractEnclosure:
        """Row differences of `left @ right`, `[rows]`."""

    @abstractmethod
    def residual_flops(self, rows: int, inner: int, columns: int) -> int:
        """Operations of `residual`."""


class Svd(AbstractRankOne):
    """sqrt(2) sigma_1 of the residual. Soundness: module docstring. Cost: O(v d^2). Source: Gross et al. 2024."""

    name: ClassVar[str] = "svd"
    asymptotic: ClassVar[str] = "O(v d^2 + v^2)"

    def residual(
        self, left: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic
    ) -> AbstractEnclosure:
        """The spectral bound."""
        return spectral(left, right, arith)

    def residual_flops(self, rows: int, inner: int, columns: int) -> int:
        """Operations of `residual`."""
        return spectral_flops(rows, inner, columns)

    def unexplained_dims(self, shape: ModelShape) -> int:
        """The two directions."""
        return 2 * shape.d_vocab


class MaxDiff(AbstractRankOne):
    """Max-diff of the residual. Soundness: module docstring. Cost: O(v d^2). Source: Gross et al. 2024."""

    name: ClassVar[str] = "max_diff"
    asymptotic: ClassVar[str] = "O(v d^2 + v^2)"
    mean: ClassVar[bool] = False

    def residual(
        self, left: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic
    ) -> AbstractEnclosure:
        """The only cut."""
        return every_cut([left, right], arith, mean=self.mean)

    def residual_flops(self, rows: int, inner: int, columns: int) -> int:
        """Operations of `residual`."""
        return every_cut_flops([(rows, inner), (inner, columns)], mean=self.mean)

    def unexplained_dims(self, shape: ModelShape) -> int:
        """Directions, and two numbers per residual dimension; the mean row besides."""
        return 2 * shape.d_vocab + 2 * shape.d_model + self.mean * shape.d_vocab


class MeanMaxDiff(MaxDiff):
    """Max-diff besides the mean row. Soundness: module docstring. Cost: O(v d^2). Source: Gross et al. 2024."""

    name: ClassVar[str] = "mean+max_diff"
    mean: ClassVar[bool] = True


class MaxDiffExact(AbstractRankOne):
    """The residual multiplied out. Soundness: trivial. Cost: O(v^2 d). Source: Gross et al. 2024."""

    name: ClassVar[str] = "max_diff_exact"
    asymptotic: ClassVar[str] = "O(v^2 d)"

    def residual(
        self, left: AbstractEnclosure, right: AbstractEnclosure, arith: AbstractArithmetic
    ) -> AbstractEnclosure:
        """Its own row differences."""
        del arith
        return spread(product(left, right), 1)

    def residual_flops(self, rows: int, inner: int, columns: int) -> int:
        """Operations of `residual`."""
        return matmul(rows, inner, columns) + spread_flops(rows, columns)

    def unexplained_dims(self, shape: ModelShape) -> int:
        """Directions, and the extremes of every row."""
        return 4 * shape.d_vocab


class Subproduct(AbstractQKPath):
    """Two deflations and one of W_Q W_K^T; the least max-diff over the cuts of the four residual factors.

    Soundness: module docstring. Cost: O(v d^2 + v^2). Source: Gross et al. 2024.
    """

    name: ClassVar[str] = "max_diff_subproduct"
    asymptotic: ClassVar[str] = "O(v d^2 + v^2)"
    mean: ClassVar[bool] = False

    def arrays(self, shape: ModelShape) -> Mapping[str, tuple[int, ...]]:
        """Two directions per side, one per matrix."""
        return subproduct_hints(shape)

    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic, cross: str) -> QKBound:
        """Approximation and error."""
        split = subproduct_split(paths, hints, arith, cross)
        return QKBound(split.approximation, self.residual(split.factors, arith))

    def flops(self, arch: Architecture, cross: str) -> int:
        """Operations of `bound`."""
        s = arch.shape
        v, m, h = s.d_vocab, s.d_model, s.d_head
        return subproduct_split_flops(arch, cross) + self.residual_flops([(v, m), (m, h), (h, m), (m, v)])

    def residual(self, factors: tuple[AbstractEnclosure, ...], arith: AbstractArithmetic) -> AbstractEnclosure:
        """Row differences of the product, `[rows]`."""
        return every_cut(factors, arith, mean=self.mean)

    def residual_flops(self, shapes: list[tuple[int, int]]) -> int:
        """Operations of `residual`."""
        return every_cut_flops(shapes, mean=self.mean)

    def unexplained_dims(self, shape: ModelShape) -> int:
        """As with one deflation."""
        return 2 * shape.d_vocab + 2 * shape.d_model + self.mean * shape.d_vocab


class MeanSubproduct(Subproduct):
    """The same with the mean row split off. Soundness: module docstring. Cost: O(v d^2). Source: Gross et al. 2024."""

    name: ClassVar[str] = "mean+max_diff_subproduct"
    mean: ClassVar[bool] = True


class Recursive(Subproduct):
    """Nested max-diffs. Soundness: module docstring. Cost: O(v^2 + v d + d^2). Source: Gross et al. 2024."""

    name: ClassVar[str] = "max_diff_subproduct_recursive"
    asymptotic: ClassVar[str] = "O(v^2 + v d + d^2)"
    means: ClassVar[int] = 0

    def residual(self, factors: tuple[AbstractEnclosure, ...], arith: AbstractArithmetic) -> AbstractEnclosure:
        """From the right, one factor after another."""
        return recursive(factors, arith, means=self.means)

    def residual_flops(self, shapes: list[tuple[int, int]]) -> int:
        """Operations of `residual`."""
        return recursive_flops(shapes, means=self.means)


class MeanRecursive(Recursive):
    """Mean row of the first factor split off. Soundness: module docstring. Cost: as `Recursive`. Source: the same."""

    name: ClassVar[str] = "mean+max_diff_subproduct_recursive"
    mean: ClassVar[bool] = True
    means: ClassVar[int] = 1


class EveryMeanRecursive(Recursive):
    """Mean rows split off everywhere. Soundness: module docstring. Cost: as `Recursive`. Source: the same."""

    name: ClassVar[str] = "mean_recursive+max_diff_subproduct_recursive"
    mean: ClassVar[bool] = True
    means: ClassVar[int] = 3


QK_PATHS: dict[str, AbstractQKPath] = {
    option.name: option
    for option in (
        Svd(), MaxDiff(), Subproduct(), Recursive(), MeanMaxDiff(), MeanSubproduct(), MeanRecursive(),
        EveryMeanRecursive(), ExactScores(), MaxDiffExact(),
    )
}  # fmt: skip
