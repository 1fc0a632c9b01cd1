"""The band proof, and the search for the best one within a budget."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import product
from math import inf
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.band import BandRule
from pessimal.kernel.rules.band.options import MAX_CELLS, MAX_RIVALS, WORDS
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.search.classes import contiguous_classes
from pessimal.search.climb import climb
from pessimal.spec.architecture import Architecture
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy
from pessimal.strategies.plain import PlainArithmetic
from pessimal.strategies.recipes import RECIPES

DEFAULT_BUDGET = 2**21
# Directions are multiples of this, and a step of the search must certify this much more.
DIRECTION_STEP = 2.0**-12
GAIN = 1e-6
LARGEST = {"near": 64, "cells": 64, "rivals_below": 12, "rivals_above": 4}


@dataclass(frozen=True)
class Band(AbstractStrategy):
    """Count certainly right sequences in a band of tokens below each target; open options are searched.

    Attributes:
        first: targets below this one are given up.
        near: tokens closer to the target than this are treated one by one.
        cells: cells of the grid.
        rivals_from: rivals below this token are bounded by norms on the direct path.
        rivals_below, rivals_above: rivals this close to the target are looked at one by one.
        classes: number of classes of positions that share their terms.
        position_scores: `exact` or `rank-one`.
        rival: `centred`, or `joint` with the direct path, for the rivals that share a bound.
        budget: largest number of flops (default: 2**21).

    Soundness: `kernel.rules.band`, for every hint.
    Cost: from 2**18; most of it is the matrix products of the rows that the band touches.
    Source: new; specification `short-proofs.md`, with a grid in place of the moment.
    """

    name: ClassVar[str] = "band"
    rule: ClassVar[str] = "band"
    asymptotic: ClassVar[str] = "O(d^3 + v d (rows + rivals) + v^2 (near + cells^2 log K))"
    source: ClassVar[str] = "new (R3, R5-R7)"
    summary: ClassVar[str] = "counts in a band of tokens below each target, within a budget"

    first: int | None = None
    near: int | None = None
    cells: int | None = None
    rivals_from: int | None = None
    rivals_below: int | None = None
    rivals_above: int | None = None
    classes: int | None = None
    position_scores: str | None = None
    rival: str | None = None
    budget: int = DEFAULT_BUDGET

    def __post_init__(self) -> None:
        """Refuse unknown words and numbers that fit no model."""
        self._require_words(**WORDS)
        self._require_numbers(1, 4096, "near", "classes")
        self._require_numbers(1, MAX_CELLS, "cells")
        self._require_numbers(0, MAX_RIVALS, "rivals_below", "rivals_above")

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """The best hints that the budget allows."""
        return _Search(self, weights, question, progress).best()


class _Search:
    """Local search over the options that were left open."""

    def __init__(self, asked: Band, weights: Weights, question: Question, progress: Progress) -> None:
        self.weights, self.question, self.progress, self.budget = weights, question, progress, asked.budget
        self.rule, self.arith, self.done = BandRule(), PlainArithmetic(), 0
        self.k, self.v = question.task.k, question.task.d_vocab
        self.columns = weights.architecture.shape.d_vocab_out
        self.directions, self.position_scores = _rank_one(weights, self.k)
        numbers = {f.name: getattr(asked, f.name) for f in fields(asked) if f.name != "budget"}
        self.fixed = {
            name: WORDS[name].index(value) if name in WORDS else value
            for name, value in numbers.items()
            if value is not None
        }

    def best(self) -> Hints:
        """Raise `Rejected(resources)` if nothing fits the budget."""
        starts = [{**start, **self.fixed} for start in self._starts()]
        try:
            return self._hints(climb(starts, self._steps(), self._score, kept=2, gain=GAIN))
        except ValueError:
            raise Rejected(
                Reason.RESOURCES, f"a budget of {self.budget} flops is too small for a band proof of this model"
            ) from None

    def _starts(self) -> list[dict[str, int]]:
        """Recipes for this vocabulary, and wide and narrow bands with few and many targets."""
        few, more, many, last = min(2, self.k - 1), min(3, self.k - 1), min(4, self.k - 1), self.v - 1
        points = [(first * self.v // 64, low * self.v // 64, *shape) for first, low, *shape in RECIPES]
        # near, cells, classes, rivals below and above, rank-one scores of positions, joint
        shapes = ((2, 4, 1, 0, 0, 1, 0), (4, 6, 1, 0, 0, 1, 0), (7, 10, 1, 0, 0, 0, 0), (6, 10, few, 1, 0, 0, 0),
                  (8, 16, more, 2, 1, 0, 0), (7, 6, more, 0, 0, 0, 0), (5, 4, more, 1, 0, 0, 0),
                  (7, 4, many, 0, 0, 0, 0), (7, 6, few, 1, 0, 0, 0))  # fmt: skip
        for part in (64, 40, 28, 20, 14, 8, 3):
            first = min(self.v - max(1, self.v * part // 64), last)
            points += [(first, max(0, first - 1 - 3 * shape[3]), *shape) for shape in shapes]
        found = []
        for first, low, near, cells, classes, below, above, rank_one, joint in points:
            found.append(
                {
                    "first": first,
                    "near": min(near, self.v),
                    "cells": cells,
                    "rivals_from": min(low, first, self.columns - 2),
                    "rivals_below": below,
                    "rivals_above": above,
                    "classes": min(classes, self.k - 1),
                    "position_scores": rank_one,
                    "rival": joint,
                }
            )
        return found

    def _steps(self) -> list[dict[str, int]]:
        """Single steps, and pairs of which one pays for the other."""
        wide = max(1, self.v // 16)
        firsts = [{"first": n, "rivals_from": n} for n in (-wide, -1, 1, wide)] + [{"first": n} for n in (-1, 1)]
        rivals = [{"rivals_from": n} for n in (-wide, -1, 1, wide)]
        shapes = [{"near": n} for n in (-1, 1)] + [{"cells": n} for n in (-2, -1, 1, 2)]
        steps = [*firsts, *rivals, *shapes, {"near": 2, "cells": -1}, {"near": -2, "cells": 1}]
        steps += [{**a, **b} for a, b in [*product(firsts[1:3], shapes), *product(rivals[1:3], shapes)]]
        # Targets that matter little at large K pay for a better proof of the others.
        spent = ({"cells": 4}, {"near": 2}, {"classes": 1}, {"rivals_below": 1}, {"rival": 1}, {"near": 1, "cells": 2})
        gaps = [{"first": n * wide, "rivals_from": n * wide} for n in (2, 6)]
        steps += [{**a, **b} for a, b in product(gaps, spent)]
        steps += [{"first": n, "rivals_from": m} for n, m in ((-1, 1), (1, -1), (-2, 0), (2, 0), (-2, -1), (2, 1))]
        steps += [{"classes": n} for n in (-1, 1)] + [{"classes": 1, "cells": -n} for n in (2, 4, 8)]
        steps += [{"rivals_below": n} for n in (-1, 1)] + [{"rivals_above": n} for n in (-1, 1)]
        steps += [{"rivals_below": 1, "rivals_above": 1}, {"rivals_below": 1, "cells": -4}, {"classes": -1, "cells": 4}]
        steps += [{"rivals_below": 1, "classes": -1}, {"rivals_below": -1, "classes": 1}]
        steps += [{name: change} for name in ("position_scores", "rival") for change in (-1, 1)]
        return [step for step in steps if not set(step) & set(self.fixed)]

    def _allowed(self, point: Mapping[str, int]) -> bool:
        tops = {**LARGEST, "first": self.v - 1, "classes": self.k - 1, "position_scores": 1, "rival": 1}
        tops["rivals_from"] = min(point["first"], self.columns - 2)
        tops["near"] = min(self.v, LARGEST["near"])
        lows = {"near": 1, "cells": 1, "classes": 1}
        free = [name for name in point if name not in self.fixed or name in {"first", "rivals_from", "classes"}]
        return all(lows.get(name, 0) <= point[name] <= tops[name] for name in free)

    def _score(self, point: dict[str, int]) -> float:
        """Certified share of all sequences, without rounding; minus infinity beyond the budget."""
        if not self._allowed(point):
            return -inf
        hints = self._hints(point)
        if _flops(self.weights.architecture, self.question.task, tuple(sorted(point.items())), hints) > self.budget:
            return -inf
        with self.arith.running():
            bound = self.rule.bound(self.weights, self.question, hints, self.arith, no_progress)
        self.done += 1
        self.progress(self.done, self.done + 50)
        return 1 - float(bound.wrong_at_most / self.question.task.total())

    def _hints(self, point: Mapping[str, int]) -> Hints:
        options: dict[str, int | str] = {
            name: WORDS[name][value] if name in WORDS else value for name, value in point.items() if name != "classes"
        }
        classes = contiguous_classes(self.position_scores, point["classes"])
        names = ("query_direction", "key_direction")
        return Hints(options, {"classes": classes, **dict(zip(names, self.directions, strict=True))})


_FLOPS: dict[tuple[Architecture, AbstractTask, tuple[tuple[str, int], ...]], int] = {}


def _flops(arch: Architecture, task: AbstractTask, point: tuple[tuple[str, int], ...], hints: Hints) -> int:
    """Length of the proof; the sizes of the classes depend on the model only by which positions they hold."""
    sizes = tuple((f"class {c}", int(n)) for c, n in enumerate(np.bincount(hints.arrays["classes"])))
    key = (arch, task, (*point, *sizes))
    if key not in _FLOPS:
        _FLOPS[key] = BandRule().cost(arch, Question(task), hints).flops
    return _FLOPS[key]


def _rank_one(weights: Weights, k: int) -> tuple[list[Float[np.ndarray, " m"]], Float[np.ndarray, " k_1"]]:
    """Directions of the largest singular value of W_Q W_K^T, and the mean score of every position before the last."""
    w_q, w_k, embed = (np.asarray(weights[name], dtype=np.float64) for name in ("W_Q", "W_K", "W_E"))
    positions = np.asarray(weights["W_pos"][:k], dtype=np.float64)
    qk = w_q @ w_k.T
    u, s, w = np.linalg.svd(qk)
    sign = np.sign(u[np.argmax(np.abs(u[:, 0])), 0]) * np.sqrt(s[0])
    query = (embed + positions[-1]).mean(0)
    rounded = [np.rint(one * sign / DIRECTION_STEP) * DIRECTION_STEP for one in (u[:, 0], w[0])]
    return rounded, (positions @ qk.T @ query)[:-1]
