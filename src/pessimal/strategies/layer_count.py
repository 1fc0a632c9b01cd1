"""Mean probability and cross-entropy by counts on a grid at several margins."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.counting.layers import LEVELS, MAX_LEVELS
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.source import ExactTables, Tables
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.rules.layer_count import MAX_CELLS, MAX_WORK, LayerCountRule, LevelWork, Lowered
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.nodes import NodeTerms
from pessimal.spec.claim import LOSS, MEAN_PROBABILITY
from pessimal.spec.question import Question
from pessimal.spec.tasks.max_of_k import MaxOfK
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy

# Levels are multiples of 2**-EIGHTHS, closest together here.
MIDDLE, EIGHTHS = 2.75, 3
NEAR = 8
# Halvings of levels and of cells, where a budget asks for a shorter proof.
FEWER, COARSER = 3, 4
# So few levels lie within the range, not at its ends.
FEW = 4

Counted = TypeVar("Counted", int, np.ndarray)


@dataclass(frozen=True)
class LayerCount(AbstractStrategy):
    """Count sequences by their margin over each rival, in layers, on a grid; for claims about the softmax.

    Attributes:
        levels: number of margins: for a loss from -9 to 14.5 nats, for a probability from -1 on, closer together where
            most is to be gained.
        cells: degrees of the polynomials.
        near: tokens next to the target that are treated one by one while rivals are pruned; of Max-of-K only
            (default: 8).
        budget: largest number of flops; takes fewer levels and cells (default: any).

    Soundness: `kernel.rules.layer_count`, for all levels and limits.
    Cost: for every rival within reach of the highest level its terms at every level, and about v + cells**2 operations
        for every count.
    Source: new.
    """

    name: ClassVar[str] = "layer-count"
    rule: ClassVar[str] = "layer-count"
    claims: ClassVar[tuple[str, ...]] = (MEAN_PROBABILITY, LOSS)
    asymptotic: ClassVar[str] = "O(v^3 + levels K live rivals (v + cells^2))"
    source: ClassVar[str] = "new (layer cake of counts on a grid)"
    summary: ClassVar[str] = "mean probability or cross-entropy from each rival's counts at several margins"

    levels: int = 20
    cells: int = 64
    near: int | None = None
    budget: int | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._require_numbers(1, MAX_LEVELS, "levels")
        self._require_numbers(1, MAX_CELLS, "cells")
        self._require_numbers(1, None, "near")

    def least_flops(self, weights: Weights, question: Question) -> int:
        """Of a proof with one level that looks at no node."""
        return self._flops(self._blank(question), weights, question)

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """The work that is needed; with a budget, fewer cells and then fewer levels."""
        arith, shortest = Float64Arithmetic(), 0
        with arith.running():
            tables = ExactTables(question.semantics).tables(weights, arith)
            for fewer in range(FEWER if self.budget is not None else 1):
                numbers = _levels(max(1, self.levels >> fewer), question.quantity)
                for found in self._found(tables, (weights, question), numbers, arith, progress):
                    shortest = self._flops(found, weights, question)
                    if self.budget is None or shortest <= self.budget:
                        return found
        blank = self._blank(question)
        if self.budget is not None and self._flops(blank, weights, question) <= self.budget:
            return blank
        raise Rejected(Reason.RESOURCES, f"a budget of {self.budget} flops is too small: these options need {shortest}")

    def _found(
        self,
        tables: Tables,
        model: tuple[Weights, Question],
        numbers: Int[np.ndarray, " L"],
        arith: Float64Arithmetic,
        progress: Progress,
    ) -> Iterator[Hints]:
        """With these levels, the nodes that are looked at, the terms that are made, and what the counts take.

        With all cells first, then coarser; without the counts, if even so the proof is too long.
        """
        (weights, question), strata = model, strata_of(model[1].task)
        cells = [max(1, self.cells >> coarser) for coarser in range(COARSER if self.budget is not None else 1)]
        most = 2 * strata.stratum_count * weights.architecture.shape.d_vocab_out
        minima = np.full(len(strata.programs[0]), most)
        every = self._hints(question, numbers, 1, LevelWork(minima, MAX_WORK, MAX_WORK))
        read = LayerCountRule().read(every, weights.architecture, question)
        nodes, left = NodeTerms(tables, strata, read.near, arith), minima.copy()
        grids = [Lowered(nodes, question, read.levels, one, arith) for one in cells]
        live = list(grids[0].live(left))
        entries = sum(grids[0].entries(at[1], rivals.size) for at, rivals in live)
        # Another arithmetic may leave a hair more open.
        looked_at = np.minimum(_and_spare(minima - left, 1), most)
        made = min(_and_spare(entries, grids[0].entries(0, 1)), MAX_WORK)
        without = self._hints(question, numbers, cells[-1], LevelWork(looked_at, made, 0))
        if self.budget is not None and self._flops(without, weights, question) > self.budget:
            yield without
            return
        additions, each = [0] * len(cells), [0] * len(cells)
        for done, (at, rivals) in enumerate(live):
            open_sums, alive = 0, grids[0].fillings(at)[1]
            fillings = [grid.fillings(at)[0] for grid in grids]
            for sums in grids[0].sums(at, rivals, alive):
                open_sums += 0 if sums is None else fillings[0].undecided(*sums)[0].size
            for place, counted in enumerate(fillings):
                additions[place] += counted.each * open_sums
                each[place] = max(each[place], counted.each)
            progress(done + 1, len(live))
        for place, one in enumerate(cells):
            spent = min(_and_spare(additions[place], each[place]), MAX_WORK)
            yield self._hints(question, numbers, one, LevelWork(looked_at, made, spent))

    def _blank(self, question: Question) -> Hints:
        """Those of the shortest proof: nothing is counted."""
        nothing = LevelWork(np.zeros(len(strata_of(question.task).programs[0]), dtype=np.int64), 0, 0)
        return self._hints(question, _levels(1, question.quantity), 1, nothing)

    def _hints(self, question: Question, levels: Int[np.ndarray, " L"], cells: int, work: LevelWork) -> Hints:
        """Of levels in eighths."""
        v = question.task.d_vocab
        # Far tokens are those of Max-of-K.
        near = min(NEAR if self.near is None else self.near, v) if isinstance(question.task, MaxOfK) else v
        options = {"near": near, "levels": len(levels), "cells": cells}
        options |= {"entries": work.entries, "additions": work.additions}
        arrays = dict(zip(LEVELS, (levels, np.full(len(levels), -EIGHTHS)), strict=True))
        return Hints(options, {**arrays, "minima": work.minima})


def _and_spare(n: Counted, one: int) -> Counted:
    """A little more, and some units."""
    more: Counted = n + n // 1024 + 16 * one
    return more


def _levels(count: int, quantity: str) -> Int[np.ndarray, " L"]:
    """Levels in eighths of a nat, from -9 or -1 to 14.5, distinct."""
    # How far below zero a margin lies matters to a loss, but to no probability.
    lowest = -1.0 if quantity == LOSS else -0.5
    x = np.linspace(lowest, 1.0, count + 2)[1:-1] if count < FEW else np.linspace(lowest, 1.0, count)
    nats = MIDDLE + 7.0 * x + 4.75 * x**5
    rounded = np.rint(nats * 2**EIGHTHS).astype(np.int64)
    return np.asarray(np.maximum.accumulate(rounded - np.arange(count)) + np.arange(count))
