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
from pessimal.kernel.rules.band.options import MAX_CELLS, MAX_RIVALS, WORDS
from pessimal.kernel.rules.band.rule import BandRule
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.search.band_starts import BAND_STARTS
from pessimal.search.classes import contiguous_classes
from pessimal.search.climb import climb
from pessimal.search.plain import PlainArithmetic
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy, OutOfTimeError

DEFAULT_BUDGET = 2**21
# Directions are multiples of this, and a step of the search must certify this much more.
DIRECTION_STEP = 2.0**-12
GAIN = 1e-6
# Above this budget and number of positions, positions have terms of their own and share a grid.
SEPARATE, MANY = 2**23, 8
# Options that older certificates do not have.
NONE_ADDED = {"far": 0, "common_step": 0}
# Proofs that a search looks at.
USUAL = 150
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
        far: `worst`, all far tokens together, or `each`.
        common_step: 0 for a grid for every class of holders; r > 0 for one, made for the r-th largest room.
        budget: largest number of flops (default: 2**21).

    Soundness: `kernel.rules.band`, for every hint.
    Cost: from 2**18; most of it is the matrix products of the rows that the band touches.
    Source: new.
    """

    name: ClassVar[str] = "band"
    rule: ClassVar[str] = "band"
    asymptotic: ClassVar[str] = "O(d^3 + v d (rows + rivals) + v^2 (near + cells^2 log K))"
    source: ClassVar[str] = "new"
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
    far: str | None = None
    common_step: int | None = None
    budget: int = DEFAULT_BUDGET

    def __post_init__(self) -> None:
        """Refuse unknown words and numbers that fit no model."""
        self._require_words(**WORDS)
        self._require_numbers(1, 4096, "near", "classes")
        self._require_numbers(1, MAX_CELLS, "cells")
        self._require_numbers(0, MAX_RIVALS, "rivals_below", "rivals_above")
        self._require_numbers(0, 4096, "common_step")

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """The best hints that the budget allows."""
        return _Search(self, weights, question, progress).best()

    def least_flops(self, weights: Weights, question: Question) -> int:
        """Of the shortest proof with these options."""
        return _Search(self, weights, question, no_progress).shortest()[0]


class _Search:
    """Local search over the options that were left open."""

    def __init__(self, asked: Band, weights: Weights, question: Question, progress: Progress) -> None:
        self.weights, self.question, self.progress, self.budget = weights, question, progress, asked.budget
        self.rule, self.arith, self.done = BandRule(), PlainArithmetic(), 0
        self.most = -inf
        self.found: dict[str, int] | None = None
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
        separate = self.budget > SEPARATE and self.k > MANY
        starts = self._separate_starts() if separate else self._starts()
        steps = self._separate_steps() if separate else self._steps()
        starts = [*({**start, **self.fixed} for start in starts), self.shortest()[1]]
        try:
            return self._hints(climb(starts, steps, self._score, kept=2, gain=GAIN))
        except OutOfTimeError:
            if self.found is None:
                raise
            return self._hints(self.found)
        except ValueError:
            raise Rejected(
                Reason.RESOURCES,
                f"a budget of {self.budget} flops is too small: these options need {self.shortest()[0]}",
            ) from None

    def shortest(self) -> tuple[int, dict[str, int]]:
        """Flops and options of the shortest proof: the last targets alone, looked at as little as can be."""
        found = []
        last = self.v - 1
        for first, low, near, rank_one, joint in product((last, 0), (last, 0), (1, 2), (0, 1), (0, 1)):
            point = {
                **dict.fromkeys(("rivals_below", "rivals_above"), 0),
                "first": first,
                "near": min(near, self.v),
                "cells": 1,
                "rivals_from": low,
                "classes": 1,
                "position_scores": rank_one,
                "rival": joint,
                **NONE_ADDED,
                **self.fixed,
            }
            point["rivals_from"] = min(point["rivals_from"], point["first"], self.columns - 2)
            if self._allowed(point):
                found.append((self._flops(point), point))
        if not found:
            raise Rejected(Reason.BAD_HINT, "these options fit no band proof of this model")
        return min(found, key=lambda one: one[0])

    def _flops(self, point: Mapping[str, int]) -> int:
        return self.rule.read(self._hints(point), self.weights.architecture, self.question).cost().flops

    def _starts(self) -> list[dict[str, int]]:
        """Recipes for this vocabulary, and wide and narrow bands with few and many targets."""
        few, more, many, last = min(2, self.k - 1), min(3, self.k - 1), min(4, self.k - 1), self.v - 1
        points = [(first * self.v // 64, low * self.v // 64, *shape) for first, low, *shape in BAND_STARTS]
        # near, cells, classes, rivals below and above, rank-one scores of positions, joint
        shapes = ((2, 4, 1, 0, 0, 1, 0), (4, 6, 1, 0, 0, 1, 0), (7, 10, 1, 0, 0, 0, 0), (6, 10, few, 1, 0, 0, 0),
                  (8, 16, more, 2, 1, 0, 0), (7, 6, more, 0, 0, 0, 0), (5, 4, more, 1, 0, 0, 0),
                  (7, 4, many, 0, 0, 0, 0), (7, 6, few, 1, 0, 0, 0))  # fmt: skip
        for part in (64, 40, 28, 20, 14, 8, 3):
            first = min(self.v - max(1, self.v * part // 64), last)
            points += [(first, max(0, first - 1 - 3 * shape[3]), *shape) for shape in shapes]
        starts = []
        for first, low, near, cells, classes, below, above, rank_one, joint in points:
            starts.append(
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
                    **NONE_ADDED,
                }
            )
        return starts

    def _separate_starts(self) -> list[dict[str, int]]:
        """Most positions by themselves on one grid, and each far token by itself, for budgets that allow it."""
        shared = {"rivals_above": 0, "position_scores": 0, "far": 1, "common_step": self.k // 4}
        # classes less than positions, near, cells, rivals below, joint
        shapes = ((0, 5, 9, 0, 0), (0, 2, 10, 1, 1), (0, 4, 17, 0, 1), (0, 5, 15, 0, 1),
                  (0, 6, 14, 1, 1), (0, 6, 18, 1, 1), (3, 5, 11, 1, 0))  # fmt: skip
        starts = []
        for part, (less, near, cells, below, joint) in product((20, 28, 36, 41), shapes):
            first = min(part * self.v // 64, self.v - 1)
            starts.append(
                {
                    "first": first,
                    "near": min(near, self.v),
                    "cells": cells,
                    "rivals_from": min(max(0, first - 5), self.columns - 2),
                    "rivals_below": below,
                    "classes": max(1, self.k - 1 - less),
                    "rival": joint,
                    **shared,
                }
            )
        return starts

    def _separate_steps(self) -> list[dict[str, int]]:
        """Single steps, and pairs of which one pays for the other."""
        wide = max(1, self.v // 16)
        firsts = [{"first": n, "rivals_from": n} for n in (-wide, -1, 1, wide)]
        single = [{name: n} for name in ("near", "cells", "common_step") for n in (-1, 1)]
        single += [{"cells": 4}, {"common_step": 4}, {"common_step": -4}, {"rivals_from": -wide}, {"rivals_from": wide}]
        more = [{"rivals_below": 1}, {"rival": 1}, {"near": 1}, {"classes": 2}, {"first": -wide, "rivals_from": -wide}]
        less = [{name: -n for name, n in step.items()} for step in more]
        cells = (-6, -2, -1, -1, -1, 6, 2, 1, 1, 1)
        paid = [{**step, "cells": n} for step, n in zip([*more, *less], cells, strict=True)]
        single += [{"classes": n} for n in (-1, 1)] + [{"rivals_below": -1}, {"rival": -1}]
        steps = [*single, *firsts, *paid, *more[:2]]
        return [step for step in steps if not set(step) & set(self.fixed)]

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
        tops = {**LARGEST, "first": self.v - 1, "classes": self.k - 1, "position_scores": 1, "rival": 1, "far": 1}
        tops["common_step"] = self.k - 1
        tops["rivals_from"] = min(point["first"], self.columns - 2)
        tops["near"] = min(self.v, LARGEST["near"])
        lows = {"near": 1, "cells": 1, "classes": 1}
        free = [name for name in point if name not in self.fixed or name in {"first", "rivals_from", "classes"}]
        return all(lows.get(name, 0) <= point[name] <= tops[name] for name in free)

    def _score(self, point: dict[str, int]) -> float:
        """Certified share of all sequences, without rounding; minus infinity beyond the budget."""
        if not self._allowed(point):
            return -inf
        instance = self.rule.read(self._hints(point), self.weights.architecture, self.question)
        if instance.cost().flops > self.budget:
            return -inf
        with self.arith.running():
            bound = instance.bound(self.weights, self.arith)
        share = 1 - float(bound.wrong_at_most / self.question.task.total())
        if share > self.most:
            self.most, self.found = share, point
        self.done += 1
        self.progress(*_part(self.done))
        return share

    def _hints(self, point: Mapping[str, int]) -> Hints:
        options: dict[str, int | str] = {
            name: WORDS[name][value] if name in WORDS else value for name, value in point.items() if name != "classes"
        }
        # What is as it always was is not said.
        if not point["far"]:
            del options["far"]
        options["common_step"] = point["common_step"] - 1
        if not point["common_step"]:
            del options["common_step"]
        classes = contiguous_classes(self.position_scores, point["classes"])
        names = ("query_direction", "key_direction")
        return Hints(options, {"classes": classes, **dict(zip(names, self.directions, strict=True))})


def _part(done: int) -> tuple[int, int]:
    """How much of a search is over after so many proofs: most end before one and a half times the usual number."""
    return (9 * done, 10 * USUAL) if done <= USUAL else (10 * done - USUAL, 10 * done)


def _rank_one(weights: Weights, k: int) -> tuple[list[Float[np.ndarray, " m"]], Float[np.ndarray, " k_1"]]:
    """Directions of the largest singular value of W_Q W_K^T, and the mean score of every position before the last."""
    w_q, w_k, embed = (np.asarray(weights[name], dtype=np.float64) for name in ("W_Q", "W_K", "W_E"))
    positions = np.asarray(weights["W_pos"][:k], dtype=np.float64)
    qk = w_q @ w_k.T
    u, s, w = np.linalg.svd(qk)
    sign = np.sign(u[np.argmax(np.abs(u[:, 0])), 0]) * np.sqrt(s[0])
    query = (embed + positions[-1]).mean(0)
    rounded = [np.rint(direction * sign / DIRECTION_STEP) * DIRECTION_STEP for direction in (u[:, 0], w[0])]
    return rounded, (positions @ qk.T @ query)[:-1]
