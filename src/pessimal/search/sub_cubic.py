"""What the search for sub-cubic proofs reads: the tables of one model, built once and shared by all compositions.

Contents:
    Workbench — the tables of one model.
    workbench — that of a model, kept for the next strategy.
"""

import numpy as np

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.published.sub_cubic.attention import Pairs, odds
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, model_paths, spread
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.kernel.rules.published.sub_cubic.rule import target_tables
from pessimal.search.directions import direct_direction, qk_directions
from pessimal.search.gaps import GapSearch
from pessimal.search.midpoints import middle
from pessimal.spec.weights import Weights


class Workbench:
    """The kernel's tables of one model, built once and shared by all compositions."""

    def __init__(self, weights: Weights) -> None:
        """Paths, odds, and directions; the rest on demand."""
        self.weights = weights
        self.arith = Float64Arithmetic()
        with self.arith.running():
            self.paths: Paths = model_paths(weights, self.arith)
            self.odds = odds(self.paths, self.arith)
            self.widest = middle(spread(self.paths.value, 1).cumulative_max(0))
        query, key, w_q, w_k = (middle(x) for x in (self.paths.query, self.paths.key, self.paths.w_q, self.paths.w_k))
        self.directions = qk_directions(query, key, w_q, w_k)
        self.directions["direct_direction"] = direct_direction(middle(self.paths.direct), middle(self.paths.unembed))
        self._pairs: dict[tuple[str, str], Pairs] = {}
        self._direct: dict[str, tuple[np.ndarray, ...]] = {}

    def advice(self, direct: str, attention_error: str) -> dict[str, np.ndarray]:
        """The directions that a composition reads."""
        shape = self.weights.architecture.shape
        wanted = {**DIRECT_PATHS[direct].arrays(shape), **QK_PATHS[attention_error].arrays(shape)}
        return {name: self.directions[name] if len(size) == self.directions[name].ndim else self.directions[name][0]
                for name, size in wanted.items()}  # fmt: skip

    def pairs(self, attention_error: str, cross: str) -> Pairs:
        """The QK circuit under one option."""
        key = (attention_error, cross)
        if key not in self._pairs:
            hints = Hints({}, self.advice("max_diff", attention_error))
            with self.arith.running():
                qk = QK_PATHS[attention_error].bound(self.paths, hints, self.arith, cross)
                self._pairs[key] = Pairs.of(qk, self.paths.scale)
        return self._pairs[key]

    def direct(self, direct: str) -> tuple[np.ndarray, ...]:
        """L, R and b under one option."""
        if direct not in self._direct:
            hints = Hints({}, self.advice(direct, "exact_EQKE+max_diff_exact"))
            with self.arith.running():
                bound = DIRECT_PATHS[direct].bound(self.paths, hints, self.arith)
                fixed, right = target_tables(self.paths, bound)
            self._direct[direct] = (middle(fixed), middle(right), middle(bound.slack))
        return self._direct[direct]

    def direct_logits(self) -> np.ndarray:
        """EU, `[v, d_vocab_out]`, about."""
        return np.asarray(middle(self.paths.direct) @ middle(self.paths.unembed))

    def residual_singular_value(self) -> float:
        """Largest singular value of the rank-one residual, as computed: no bound."""
        return float(self.eqke_singular_values()[1])

    def eqke_singular_values(self) -> np.ndarray:
        """Singular values of EQKE, descending, as computed."""
        query = middle(self.paths.query) @ middle(self.paths.w_q)
        key = middle(self.paths.key) @ middle(self.paths.w_k)
        return np.asarray(np.linalg.svd(query @ key.T, compute_uv=False))

    def gap_search(self, direct: str, attention_error: str, cross: str) -> GapSearch:
        """What the gaps of one composition depend on."""
        pairs = self.pairs(attention_error, cross)
        fixed, right, slack = self.direct(direct)
        below = (pairs.q < pairs.m).astype(np.int64)
        ratios = [np.stack([middle(rho[side])[below, pairs.q] for rho in self.odds]) for side in range(2)]
        error = np.zeros(pairs.q.size) if pairs.error is None else middle(pairs.error)
        return GapSearch(
            q=pairs.q,
            m=pairs.m,
            target_score=middle(pairs.target_score)[np.newaxis],
            greatest=middle(pairs.greatest)[np.newaxis],
            least=middle(pairs.least)[np.newaxis],
            error=error[np.newaxis],
            scale=1.0 if pairs.scale is None else float(middle(pairs.scale)),
            odds_greatest=ratios[0][np.newaxis],
            odds_least=ratios[1][np.newaxis],
            fixed=fixed[np.newaxis],
            right=right[np.newaxis],
            widest=self.widest[np.newaxis],
            slack=slack[pairs.q][np.newaxis],
        )


_recent: list[Workbench] = []


def workbench(weights: Weights) -> Workbench:
    """The workbench of a model; the last one is kept, so that strategies run one after another share it."""
    if not _recent or _recent[0].weights is not weights:
        _recent[:] = [Workbench(weights)]
    return _recent[0]
