"""Exact counting on a grid where it matters, exponential moments elsewhere.

Contents:
    GridCount — bracket of the accuracy.
    quantised_up — mantissa and exponent of the next larger number with eight significant bits.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.counting.tilts import TILTS
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.grid_count import MAX_CELLS, STEPS
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.terms.builder import stratum_terms
from pessimal.kernel.terms.options import POSITIONS, TermOptions
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.kernel.terms.stratum import StratumTerms
from pessimal.search.moments import MomentSearch, blank_hints, tilt_search
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy

STEP_BITS = 8


@dataclass(frozen=True)
class GridCount(AbstractStrategy):
    """Bracket of the accuracy: the moment bound where it is negligible, a grid for all other rival groups.

    Attributes:
        rival: `every` (two-sided with one head), or one pessimal rival: `plain`, `centred`, `joint`.
        position: `each` or `pessimal`.
        cells: grid cells per rival group (default: 1,024 up to K = 8, 256 above).
        negligible: share of all sequences that rival groups without a grid may add in total (default: 1e-5 up to K = 8,
            1e-4 above).

    Soundness: `kernel.rules.grid_count`, for every step and tilt.
    Cost: `cells` additions per token, position and rival group with a grid.
    Source: new.
    """

    name: ClassVar[str] = "grid-count"
    rule: ClassVar[str] = "grid-count"
    asymptotic: ClassVar[str] = "O(v^3 (d + K cells))"
    source: ClassVar[str] = "new"
    summary: ClassVar[str] = "counts wrong sequences on a grid; lower and upper bound"

    rival: str = "every"
    position: str = "each"
    cells: int | None = None
    negligible: float | None = None

    def __post_init__(self) -> None:
        """Refuse unknown words and numbers out of range."""
        self._require_words(rival=RIVALS, position=POSITIONS)
        self._require_numbers(1, MAX_CELLS, "cells")
        self._require_numbers(0, 1, "negligible")

    def least_flops(self, weights: Weights, question: Question) -> int:
        """Of a proof without any grid."""
        task = question.task
        options: dict[str, str | int] = {"rival": self.rival, "position": self.position, "near": task.d_vocab}
        blank = blank_hints(weights.architecture, task, options)
        steps = dict.fromkeys(STEPS, np.zeros_like(blank.arrays[TILTS[0]]))
        return self._flops(
            Hints({**options, "cells": self.cells or 1, "sides": 1}, {**blank.arrays, **steps}), weights, question
        )

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """Tilts for all rival groups, steps for those whose moment bound matters."""
        task = question.task
        options: dict[str, str | int] = {"rival": self.rival, "position": self.position, "near": task.d_vocab}
        small = task.k <= 8
        cells = self.cells or (1024 if small else 256)
        arith = Float64Arithmetic()
        heads = weights.architecture.shape.n_heads
        with arith.running():
            search = MomentSearch(weights, question)
            moments = search.find(options, coarse=True)
            wrong, hints = moments.wrong, moments.hints
            active = _active(wrong, self.negligible if self.negligible is not None else 1e-5 if small else 1e-4)
            read = TermOptions.read(hints, question, weights.architecture.shape)
            mantissa, exponent = np.zeros(wrong.shape, dtype=np.int64), np.zeros(wrong.shape, dtype=np.int64)
            for head, terms in stratum_terms(weights, question, read, arith, tables=search.tables):
                groups_and_strata = (slice(head * read.n_groups, (head + 1) * read.n_groups), terms.stratum_index)
                mantissa[groups_and_strata], exponent[groups_and_strata] = quantised_up(_steps(terms, cells))
                progress(int(terms.query[-1]) + 1, task.d_vocab)
        mantissa[~active] = 0
        exponent[~active] = 0
        two_sided = self.rival == "every" and self.position == "each" and heads == 1
        extra: dict[str, str | int] = {"cells": cells, "sides": 1 + two_sided}
        return Hints({**options, **extra}, {**hints.arrays, **dict(zip(STEPS, (mantissa, exponent), strict=True))})


def _active(wrong: Float[np.ndarray, "groups strata"], negligible: float) -> Bool[np.ndarray, "groups strata"]:
    """All rival groups but those that add least and no more than `negligible` together."""
    flat = np.nan_to_num(wrong.ravel(), nan=1.0, posinf=1.0)
    order = np.argsort(flat)
    active = np.ones(flat.size, dtype=bool)
    active[order[np.cumsum(flat[order]) <= negligible]] = False
    return np.asarray(active.reshape(wrong.shape))


def _steps(terms: StratumTerms, cells: int) -> Float[np.ndarray, "R Y"]:
    """The smallest steps whose thresholds fit the cells; NaN where every sequence is right."""
    plain = tilt_search(terms, 0.0)
    near = np.where(terms.letter >= 0, plain.near[:, :, plain.pair], np.inf).min(-1)
    least = np.minimum(near, np.where(plain.n_far > 0, plain.far, np.inf)[:, np.newaxis])
    n = len(terms.program.layers)
    total = least.sum(1) if least.shape[1] == n else n * least[:, 0]
    reach = -plain.last - total
    return np.asarray(np.where(reach > 0, reach / max(cells - n - 2, 1), np.nan))


def quantised_up(values: Float[np.ndarray, "*n"]) -> tuple[Int[np.ndarray, "*n"], Int[np.ndarray, "*n"]]:
    """Mantissa and exponent of the next larger number with eight significant bits; 0 where there is none."""
    fine = np.isfinite(values) & (values > 0)
    safe = np.where(fine, values, 1.0)
    exponent = np.clip(np.frexp(safe)[1] - STEP_BITS, -900, 900)
    mantissa = np.ceil(np.ldexp(safe, -exponent) * (1 + 2.0**-40))
    return np.where(fine, mantissa, 0).astype(np.int64), np.where(fine, exponent, 0).astype(np.int64)
