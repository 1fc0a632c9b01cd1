"""The hundred published sub-cubic strategies: direct path x attention averaging x QK error, with searched gaps.

Contents:
    SubCubic — the options that all of them share.
    PUBLISHED — the hundred, by name.
    published_name — the name of a composition.
"""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.rules.published.sub_cubic.attention import Cells, odds
from pessimal.kernel.rules.published.sub_cubic.averaging import AVERAGINGS, DROP, MAX_POINTS, make_averaging
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, model_paths, spread
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.kernel.rules.published.sub_cubic.rule import COUNTS, GAPS, target_tables
from pessimal.kernel.rules.published.sub_cubic.splits import CROSS
from pessimal.search.directions import direct_direction, qk_directions
from pessimal.search.gaps import (
    Above,
    GapProblem,
    attention_ranges,
    chord_points,
    dense_lines,
    gaps_for_targets,
    lines_above,
    smallest_gaps,
)
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy, StrategyError
from pessimal.strategies.midpoints import middle


def published_name(direct: str, attention: str, attention_error: str) -> str:
    """`EUPU-<direct>--attn-<attention>--attn-err-<error>` in lower case, underscores as dashes."""
    return f"eupu-{direct}--attn-{attention}--attn-err-{attention_error}".replace("_", "-").lower()


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
        self._cells: dict[tuple[str, str], Cells] = {}
        self._direct: dict[str, tuple[np.ndarray, ...]] = {}

    def advice(self, direct: str, attention_error: str) -> dict[str, np.ndarray]:
        """The directions that a composition reads."""
        shape = self.weights.architecture.shape
        wanted = {**DIRECT_PATHS[direct].arrays(shape), **QK_PATHS[attention_error].arrays(shape)}
        return {name: self.directions[name] if len(size) == self.directions[name].ndim else self.directions[name][0]
                for name, size in wanted.items()}  # fmt: skip

    def cells(self, attention_error: str, cross: str) -> Cells:
        """The QK circuit under one option."""
        key = (attention_error, cross)
        if key not in self._cells:
            hints = Hints({}, self.advice("max_diff", attention_error))
            with self.arith.running():
                qk = QK_PATHS[attention_error].bound(self.paths, hints, self.arith, cross)
                self._cells[key] = Cells.of(qk, self.paths.scale)
        return self._cells[key]

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

    def problem(self, direct: str, attention_error: str, cross: str) -> GapProblem:
        """What the gaps of one composition depend on."""
        cells = self.cells(attention_error, cross)
        fixed, right, slack = self.direct(direct)
        below = (cells.q < cells.m).astype(np.int64)
        ratios = [np.stack([middle(rho[side])[below, cells.q] for rho in self.odds]) for side in range(2)]
        error = np.zeros(cells.q.size) if cells.error is None else middle(cells.error)
        return GapProblem(
            q=cells.q,
            m=cells.m,
            target_score=middle(cells.target_score)[np.newaxis],
            greatest=middle(cells.greatest)[np.newaxis],
            least=middle(cells.least)[np.newaxis],
            error=error[np.newaxis],
            scale=1.0 if cells.scale is None else float(middle(cells.scale)),
            odds_greatest=ratios[0][np.newaxis],
            odds_least=ratios[1][np.newaxis],
            fixed=fixed[np.newaxis],
            right=right[np.newaxis],
            widest=self.widest[np.newaxis],
            slack=slack[cells.q][np.newaxis],
        )


_recent: list[Workbench] = []


def workbench(weights: Weights) -> Workbench:
    """The workbench of a model; the last one is kept, so that strategies run one after another share it."""
    if not _recent or _recent[0].weights is not weights:
        _recent[:] = [Workbench(weights)]
    return _recent[0]


@dataclass(frozen=True)
class SubCubic(AbstractStrategy):
    """A composition; subclasses fix the three published factors.

    Attributes:
        points: where chords follow the right token's path; 1 for the sign-aware mean+diff; 0 only without averaging.
        count: `fixed` counts the tokens 0 .. m - g, `published` one fewer.
        gaps: `query` bounds the other tokens' path by each class's own gap, `target` by the smallest of its target.
        cross: `exact` keeps the cross terms of the rank-one split in the approximation, `bounded` in the error.

    Soundness: `kernel.rules.published.sub_cubic`, for every gap, point and direction.
    Cost: `kernel.rules.published.sub_cubic.rule.SubCubicRule.cost`.
    Source: Gross et al. 2024; chords, count, gaps by query and cross terms are new.
    """

    rule: ClassVar[str] = "sub-cubic"
    source: ClassVar[str] = "Gross et al. 2024"
    direct: ClassVar[str]
    attention: ClassVar[str]
    attention_error: ClassVar[str]

    points: int | None = None
    count: str = "fixed"
    gaps: str = "query"
    cross: str = "exact"

    def __post_init__(self) -> None:
        """Refuse unknown words."""
        self._require_words(count=COUNTS, gaps=GAPS, cross=CROSS)
        low, high = (0, 0) if self.attention == DROP else (1, MAX_POINTS)
        if self.points is not None and not low <= self.points <= high:
            raise StrategyError(f"option points={self.points} is not from {low} to {high} for {self.attention}")

    @property
    def n_points(self) -> int:
        """Points used: both ends of attention where there is averaging, unless the option says otherwise."""
        if self.points is not None:
            return self.points
        return 0 if self.attention == DROP else 2

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """Directions, gaps and points."""
        bench = workbench(weights)
        problem = bench.problem(self.direct, self.attention_error, self.cross)
        arrays = bench.advice(self.direct, self.attention_error)
        with np.errstate(all="ignore"):
            points = None if self.attention == DROP else self._points(problem)
            gap = self._gaps(problem, self._above(problem, points), question.task.k)
        progress(1, 1)
        arrays["gap"] = pack_halfwords(gap[0])
        if points is not None:
            arrays["points"] = pack_halfwords(points[0])
        options: dict[str, int | str] = {
            "direct": self.direct,
            "attention": self.attention,
            "attention_error": self.attention_error,
            "cross": self.cross,
            "count": self.count,
            "gaps": self.gaps,
            "points": self.n_points,
        }
        return Hints(options, arrays)

    def _gaps(self, problem: GapProblem, above: Above, k: int) -> np.ndarray:
        if self.gaps == "query":
            return smallest_gaps(problem, above)
        others = np.arange(1, k)[:, np.newaxis] - (problem.q < problem.m)

        def weight(gap: np.ndarray) -> np.ndarray:
            return np.where(gap > 0, (problem.m - gap + 1.0) ** others, 0.0)

        return gaps_for_targets(problem, above, weight)

    def _points(self, problem: GapProblem) -> np.ndarray:
        """Where the lines touch G, `[1, v, T]`."""
        above, _ = dense_lines(problem)
        gap = smallest_gaps(problem, above)
        if self.n_points > 1:
            return chord_points(problem, gap, self.n_points)
        low, high = attention_ranges(problem, gap)
        return np.asarray(np.rint((low + high) * 2**14).astype(np.int64)[..., np.newaxis])

    def _above(self, problem: GapProblem, points: np.ndarray | None) -> Above:
        """The kernel's lines, as floats."""
        arith = Float64Arithmetic()
        options: dict[str, int | str] = {"attention": self.attention, "points": self.n_points}
        hints = Hints(options, {} if points is None else {"points": pack_halfwords(points[0])})
        with arith.running():
            fixed, right = (arith.matrix(x[0]).enclose() for x in (problem.fixed, problem.right))
            lines = make_averaging(hints).lines(fixed, right, hints, arith)
        ends = None if lines.ends is None else (_exact(lines.ends[0]), _exact(lines.ends[1]))
        return lines_above(problem, middle(lines.intercept)[np.newaxis], middle(lines.slope)[np.newaxis], ends)


def _exact(points: AbstractEnclosure) -> np.ndarray:
    """Points as floats, multiples of 2**-15 again, `[1, v]`."""
    return np.asarray(np.rint(middle(points) * 2**15) / 2**15)[np.newaxis]


def pack_halfwords(numbers: np.ndarray) -> np.ndarray:
    """Numbers 0 .. 2**16 - 1, four to an int64 (`kernel.rules.interface.Hints.halfwords`)."""
    flat = np.concatenate([numbers.ravel(), np.zeros(-numbers.size % 4, dtype=np.int64)])
    return flat.astype("<u2").view("<i8").astype(np.int64)


def pattern() -> str:
    """How the published names are made, and of which words."""
    direct, attention, error = (
        ", ".join(word.replace("_", "-").lower() for word in words) for words in (DIRECT_PATHS, AVERAGINGS, QK_PATHS)
    )
    return f"eupu-A--attn-B--attn-err-C (A: {direct}; B: {attention}; C: {error})"


def _published() -> dict[str, type[SubCubic]]:
    """The hundred compositions, in the published order."""
    found: dict[str, type[SubCubic]] = {}
    for direct, attention, error in product(DIRECT_PATHS, reversed(AVERAGINGS), QK_PATHS):
        name = published_name(direct, attention, error)
        camel = "".join(word.capitalize() for word in name.replace("+", "-").split("-"))
        found[name] = type(
            camel,
            (SubCubic,),
            {
                "__doc__": f"Direct path by {direct}, attention by {attention}, QK error by {error}.",
                "name": name,
                "asymptotic": f"{DIRECT_PATHS[direct].asymptotic} + {QK_PATHS[error].asymptotic} + O(v^2 (d + K))",
                "summary": f"published: direct path {direct}, QK error {error}",
                "direct": direct,
                "attention": attention,
                "attention_error": error,
            },
        )
    return found


PUBLISHED = _published()
