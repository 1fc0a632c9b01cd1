"""The hundred published sub-cubic strategies: direct path x attention averaging x QK error, with searched gaps.

Contents:
    SubCubic — the options that all of them share.
    PUBLISHED — the hundred, by name.
    published_name — the name of a composition.
    pattern — how the names are made.
"""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.rules.published.sub_cubic.averaging import AVERAGINGS, DROP, MAX_POINTS, read_averaging
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.kernel.rules.published.sub_cubic.rule import COUNTS, GAPS
from pessimal.kernel.rules.published.sub_cubic.splits import CROSS
from pessimal.search.gaps import (
    Above,
    GapSearch,
    attention_ranges,
    chord_points,
    dense_lines,
    gaps_for_targets,
    lines_above,
    smallest_gaps,
)
from pessimal.search.halfwords import pack_halfwords
from pessimal.search.midpoints import middle
from pessimal.search.sub_cubic import workbench
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy, StrategyError


def published_name(direct: str, attention: str, attention_error: str) -> str:
    """`EUPU-<direct>--attn-<attention>--attn-err-<error>` in lower case, underscores as dashes."""
    return f"eupu-{direct}--attn-{attention}--attn-err-{attention_error}".replace("_", "-").lower()


@dataclass(frozen=True)
class SubCubic(AbstractStrategy):
    """A composition; subclasses fix the three published factors.

    Attributes:
        points: where chords follow the right token's path; 1 for the sign-aware mean+diff; 0 only without averaging.
        count: `fixed` counts the tokens 0 .. m - g, `published` one fewer.
        gaps: `query` bounds the other tokens' path by each class's own gap, `target` by the smallest of its target.
        cross: `exact` keeps the cross terms of the rank-one split in the approximation, `bounded` in the error.

    Soundness: `kernel.rules.published.sub_cubic`, for every gap, point and direction.
    Cost: `kernel.rules.published.sub_cubic.rule`; counted over shapes.
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
        """Refuse words and numbers that the rule does not know."""
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
        """Directions of the splits, gaps and points of the classes."""
        bench = workbench(weights)
        search = bench.gap_search(self.direct, self.attention_error, self.cross)
        arrays = bench.advice(self.direct, self.attention_error)
        with np.errstate(all="ignore"):
            points = None if self.attention == DROP else self._points(search)
            gap = self._gaps(search, self._above(search, points), question.task.k)
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

    def _gaps(self, search: GapSearch, above: Above, k: int) -> np.ndarray:
        if self.gaps == "query":
            return smallest_gaps(search, above)
        n_free = np.arange(1, k)[:, np.newaxis] - (search.q < search.m)

        def weight(gap: np.ndarray) -> np.ndarray:
            return np.where(gap > 0, (search.m - gap + 1.0) ** n_free, 0.0)

        return gaps_for_targets(search, above, weight)

    def _points(self, search: GapSearch) -> np.ndarray:
        """Where the lines touch G, `[1, v, T]`."""
        above, _ = dense_lines(search)
        gap = smallest_gaps(search, above)
        if self.n_points > 1:
            return chord_points(search, gap, self.n_points)
        low, high = attention_ranges(search, gap)
        return np.asarray(np.rint((low + high) * 2**14).astype(np.int64)[..., np.newaxis])

    def _above(self, search: GapSearch, points: np.ndarray | None) -> Above:
        """The kernel's lines, as floats."""
        arith = Float64Arithmetic()
        options: dict[str, int | str] = {"attention": self.attention, "points": self.n_points}
        hints = Hints(options, {} if points is None else {"points": pack_halfwords(points[0])})
        with arith.running():
            fixed, right = (arith.matrix(x[0]).enclose() for x in (search.fixed, search.right))
            lines = read_averaging(hints, fixed.shape[0], self.n_points).lines(fixed, right, arith)
        ends = None if lines.ends is None else (_exact(lines.ends[0]), _exact(lines.ends[1]))
        return lines_above(search, middle(lines.intercept)[np.newaxis], middle(lines.slope)[np.newaxis], ends)


def _exact(points: AbstractEnclosure) -> np.ndarray:
    """Points as floats, multiples of 2**-15 again, `[1, v]`."""
    return np.asarray(np.rint(middle(points) * 2**15) / 2**15)[np.newaxis]


def pattern() -> str:
    """How the published names are made, and of which words."""
    direct, attention, error = (
        ", ".join(word.replace("_", "-").lower() for word in words) for words in (DIRECT_PATHS, AVERAGINGS, QK_PATHS)
    )
    return f"eupu-A--attn-B--attn-err-C (A: {direct}; B: {attention}; C: {error})"


def _direct_length(direct: str) -> str:
    """What a direct path costs."""
    return "O(v^2 d)" if direct.endswith("exact") else "O(v d)"


def _error_length(error: str) -> str:
    """What a QK error costs."""
    if error.endswith("exact"):
        return "O(v^2 d)"
    return "O(v^2 + v d + d^2)" if error.endswith("recursive") else "O(v d^2 + v^2)"


def _published() -> dict[str, type[SubCubic]]:
    """The hundred compositions, in the published order."""
    classes: dict[str, type[SubCubic]] = {}
    for direct, attention, error in product(DIRECT_PATHS, reversed(AVERAGINGS), QK_PATHS):
        name = published_name(direct, attention, error)
        camel = "".join(word.capitalize() for word in name.replace("+", "-").split("-"))
        classes[name] = type(
            camel,
            (SubCubic,),
            {
                "__doc__": f"Direct path by {direct}, attention by {attention}, QK error by {error}.",
                "name": name,
                "asymptotic": f"{_direct_length(direct)} + {_error_length(error)} + O(v^2 (d + K))",
                "summary": f"published: direct path {direct}, QK error {error}",
                "direct": direct,
                "attention": attention,
                "attention_error": error,
            },
        )
    return classes


PUBLISHED = _published()
