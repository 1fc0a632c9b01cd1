r"""Least and greatest attention to the right token.

Class (q, m, n): query q, largest token m, n positions (the last one among them if q < m) that hold other tokens, all
of them at most m - g. With offsets $p_i = e^{c(\mathrm{EQKP}[q,i] - \mathrm{EQKP}[q,K-1])}$ and token scores $a$, the
attention to the positions M that hold m is

$$ \alpha = \Big(1 + \frac{\sum_{i \notin M} e^{a_{t_i}}p_i}{e^{a_m}\sum_{i \in M}p_i}\Big)^{-1}
\ge \Big(1 + e^{-d}\,\rho\Big)^{-1},\quad d = a_m - \max_{k \le m-g} a_k,\quad
\rho = \max_M \frac{\sum_{i \notin M}p_i}{\sum_{i \in M}p_i} . $$

*Proof.* Every $e^{a_{t_i}} \le e^{a_m - d}$, and the ratio is largest when M holds the smallest offsets. The greatest
attention is symmetric, with the smallest score and the largest offsets. With scores known up to
$\mathrm{EQKE} = T + R$, $R[q,i] - R[q,j] \le \varepsilon_q$, d changes by at most $\varepsilon_q$. ∎

Contents:
    odds — rho for every n, at both ends.
    Pairs — the pairs q <= m, and the attention to m for one n.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.rules.published.sub_cubic.paths import Paths
from pessimal.kernel.rules.published.sub_cubic.qk_path import QKBound


def _scaled(x: AbstractEnclosure, scale: AbstractEnclosure | None) -> AbstractEnclosure:
    return x if scale is None else x * scale


def odds(paths: Paths, arith: AbstractArithmetic) -> list[tuple[AbstractEnclosure, AbstractEnclosure]]:
    """(greatest, least) rho for n = 1 .. K - 1; each `[2, d_vocab]`: q = m, then q < m."""
    v, k = paths.position_score.shape
    last = paths.position_score[:, k - 1].reshape(v, 1)
    weight = _scaled(paths.position_score[:, : k - 1] - last, paths.scale).exp().sort()
    low, high = weight.cumulative_sum(1), weight[:, ::-1].cumulative_sum(1)
    one = arith.fraction(Fraction(1))

    def plus_one(sums: AbstractEnclosure, j: int) -> AbstractEnclosure:
        """One more than the sum of the first j columns."""
        return sums[:, j - 1] + one if j else one

    by_count = []
    for n in range(1, k):
        ends = []
        for right, wrong in ((low, high), (high, low)):
            same = wrong[:, n - 1] / plus_one(right, k - 1 - n)
            ends.append(arith.stack([same, plus_one(wrong, n - 1) / right[:, k - n - 1]]))
        by_count.append((ends[0], ends[1]))
    return by_count


@dataclass(frozen=True)
class Pairs:
    """All pairs q <= m, in one row of `n_strata` entries.

    Attributes:
        q, m: query and target of every pair.
        target_score: T[q, m].
        greatest, least: running extremes of T[q, :k+1] over k, `[d_vocab, d_vocab]`.
        error: epsilon_q per pair, or None.
        scale: c_attn or None.
    """

    q: np.ndarray
    m: np.ndarray
    target_score: AbstractEnclosure
    greatest: AbstractEnclosure
    least: AbstractEnclosure
    error: AbstractEnclosure | None
    scale: AbstractEnclosure | None

    @classmethod
    def of(cls, qk: QKBound, scale: AbstractEnclosure | None) -> "Pairs":
        """All pairs, from a bound on the QK circuit."""
        table = qk.approximation
        q, m = np.triu_indices(table.shape[0])
        error = None if qk.error is None else qk.error[q]
        return cls(q, m, table[q, m], table.cumulative_max(1), table.cumulative_min(1), error, scale)

    def attention(
        self, highest: np.ndarray, rho: tuple[AbstractEnclosure, AbstractEnclosure]
    ) -> tuple[AbstractEnclosure, AbstractEnclosure]:
        """(least, greatest) attention when the other tokens are 0 .. highest, `[pairs]`."""
        below = (self.q < self.m).astype(np.int64)
        ends = []
        for extreme, ratio, sign in ((self.greatest, rho[0], 1), (self.least, rho[1], -1)):
            gain = extreme[self.q, highest] - self.target_score
            if self.error is not None:
                gain = gain + self.error if sign > 0 else gain - self.error
            ends.append(1 / (_scaled(gain, self.scale).exp() * ratio[below, self.q] + 1))
        return ends[0], ends[1]
