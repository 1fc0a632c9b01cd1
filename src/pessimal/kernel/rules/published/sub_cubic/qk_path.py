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
$\sigma_1$ at rank 32. ∎

Every class is a split (`splits.py`) and a bound on what the split leaves over (`differences.py`):

| name | split | what is left over |
|---|---|---|
| `exact_EQKE+max_diff_exact` | none: T = EQKE | nothing |
| `svd` | rank one | $\sqrt2\,\sigma_1$ |
| `max_diff`, `mean+max_diff` | rank one | max-diff of the only cut, without and with the mean row split off |
| `max_diff_exact` | rank one | multiplied out |
| `max_diff_subproduct`, `mean+...` | two deflations, and one of $W_QW_K^T$ | the least max-diff over all cuts |
| `..._recursive` | the same | nested max-diffs; mean rows split off nowhere, at the first factor, everywhere |

| symbol | name in the code | shape |
|---|---|---|
| T | `QKBound.approximation`, `Split.approximation` | `[v, v]` |
| $\varepsilon$ | `QKBound.error` | `[v]` |
| M, B | neighbours in `Split.factors` | `[v, ..]`, `[.., v]` |
| $\mathrm{rng}(B)$ | `spread(B, 1)` | `[..]` |
| $\bar m$ | `mean_row` | `[1, ..]` |

Soundness: for every hint. Cost: O(v^2 d) where something is multiplied out, else O(v d^2 + v^2).
Source: Gross et al. 2024.

Contents:
    QKBound — approximation and error.
    QKPath — a split, and a bound on what it leaves over.
    QK_PATHS — the published ten, by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.published.sub_cubic.differences import (
    Factors,
    every_cut,
    multiplied_out,
    recursive,
    spectral,
)
from pessimal.kernel.rules.published.sub_cubic.paths import Paths
from pessimal.kernel.rules.published.sub_cubic.splits import NO_SPLIT, RANK_ONE, SUBPRODUCT, SplitKind
from pessimal.spec.architecture import ModelShape


@dataclass(frozen=True)
class QKBound:
    """Bound on the QK circuit.

    Attributes:
        approximation: T, `[d_vocab_q, d_vocab]`, scores before c_attn.
        error: epsilon, `[d_vocab_q]`, or None for zero.
    """

    approximation: AbstractEnclosure
    error: AbstractEnclosure | None


@dataclass(frozen=True)
class QKPath:
    """A way to approximate EQKE.

    Attributes:
        name: as published.
        kind: how EQKE is split.
        residual: row differences of the product of the factors that the split leaves over, `[rows]`.
        tables: by shape, the numbers of the QK circuit that are treated as a table.
    """

    name: str
    kind: SplitKind
    residual: Callable[[Factors], AbstractEnclosure]
    tables: Callable[[ModelShape], int]

    def arrays(self, shape: ModelShape) -> Mapping[str, tuple[int, ...]]:
        """Float64 hints that are read, with their shapes."""
        return self.kind.arrays(shape)

    def bound(self, paths: Paths, hints: Hints, arith: AbstractArithmetic, cross: str) -> QKBound:
        """Approximation and error of the QK circuit."""
        split = self.kind.split(paths, hints, arith, cross)
        if not split.factors:
            return QKBound(split.approximation, None)
        error = self.residual(split.factors)
        return QKBound(split.approximation, error if split.extra is None else error + split.extra)


def _directions(s: ModelShape) -> int:
    """Two directions, and two numbers per residual dimension."""
    return 2 * s.d_vocab + 2 * s.d_model


def _with_mean(s: ModelShape) -> int:
    """The numbers of `_directions`, and of the mean row."""
    return _directions(s) + s.d_vocab


_CUTS, _NESTED = partial(every_cut, mean=False), partial(recursive, means=0)
_MEAN_CUTS, _MEAN_NESTED, _MEANS_NESTED = (
    partial(every_cut, mean=True), partial(recursive, means=1), partial(recursive, means=3),
)  # fmt: skip

QK_PATHS: dict[str, QKPath] = {
    path.name: path
    for path in (
        QKPath("svd", RANK_ONE, spectral, lambda s: 2 * s.d_vocab),
        QKPath("max_diff", RANK_ONE, _CUTS, _directions),
        QKPath("max_diff_subproduct", SUBPRODUCT, _CUTS, _directions),
        QKPath("max_diff_subproduct_recursive", SUBPRODUCT, _NESTED, _directions),
        QKPath("mean+max_diff", RANK_ONE, _MEAN_CUTS, _with_mean),
        QKPath("mean+max_diff_subproduct", SUBPRODUCT, _MEAN_CUTS, _with_mean),
        QKPath("mean+max_diff_subproduct_recursive", SUBPRODUCT, _MEAN_NESTED, _with_mean),
        QKPath("mean_recursive+max_diff_subproduct_recursive", SUBPRODUCT, _MEANS_NESTED, _with_mean),
        QKPath("exact_EQKE+max_diff_exact", NO_SPLIT, multiplied_out, lambda s: s.d_vocab**2),
        QKPath("max_diff_exact", RANK_ONE, multiplied_out, lambda s: 4 * s.d_vocab),
    )
}
