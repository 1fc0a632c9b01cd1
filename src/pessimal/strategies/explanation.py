"""Somebody's explanation of a model, counted without any other knowledge of it.

Contents:
    Explanation — the strategy.
    Told — an explanation with its numbers.
    float_tables — the tables of all paths.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.source import AbstractTables
from pessimal.kernel.model.story import Story, StoryTables, path_shapes
from pessimal.kernel.model.tables import additive_paths
from pessimal.kernel.rules.interface import Progress
from pessimal.search.fits import fitted
from pessimal.search.midpoints import middle
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies.comparisons import Comparisons
from pessimal.strategies.interface import AbstractStrategy


@dataclass(frozen=True, eq=False)
class Told:
    """An explanation with its numbers.

    Attributes:
        words: by path, of the closed list (`kernel/model/words.py`).
        arrays: `PATH_name`, those that the words take.
    """

    words: Mapping[str, str]
    arrays: Mapping[str, np.ndarray]

    def hints(self, count: Hints, by: str) -> Hints:
        """Those of the rule `explanation`, from those of the rule that counts."""
        return Hints({**count.options, **self.words, "by": by}, {**count.arrays, **self.arrays})

    def story(self, weights: Weights) -> Story:
        """As the kernel reads it; raises `Rejected(bad-hint)`."""
        return Story.read(Hints(self.words, self.arrays), weights.architecture)[0]


@dataclass(frozen=True)
class _ByStory(Comparisons):
    """The count of what an explanation says."""

    name: ClassVar[str] = "explanation"
    rule: ClassVar[str] = "explanation"

    told: Told = field(kw_only=True)
    tables: StoryTables = field(kw_only=True)

    def _source(self, question: Question) -> AbstractTables:
        del question
        return self.tables

    def _flops(self, hints: Hints, weights: Weights, question: Question) -> int:
        return super()._flops(self.told.hints(hints, Comparisons.rule), weights, question)


@dataclass(frozen=True, eq=False)
class Explanation(AbstractStrategy):
    """Something simpler for every path of a model: how often is it right by that alone?

    Attributes:
        words: by path (`EQKE`, `EQKP`, `EVOU`, `PVOU`, `EU`) a word of the closed list; a path left out is `noise`.
        arrays: `PATH_name`, numbers for words; those left out are fitted to the tables. Scores are those before they
            are multiplied by the attention scale.
        count: how to count; the default compares with the largest other logit, token by token.

    Soundness: `kernel.rules.explanation`, for every word and number.
    Cost: the tables, a few operations for each of their entries, and the count.
    Source: new.
    """

    name: ClassVar[str] = "explanation"
    rule: ClassVar[str] = "explanation"
    asymptotic: ClassVar[str] = "O(v^2 d + v^2 K o + count)"
    source: ClassVar[str] = "new"
    summary: ClassVar[str] = "somebody's explanation, counted without any other knowledge of the model"

    words: Mapping[str, str]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    count: Comparisons = field(default_factory=lambda: Comparisons(way="joint"))

    def told(self, weights: Weights) -> Told:
        """With all its numbers, for one model."""
        words = dict.fromkeys(path_shapes(weights.architecture.shape), "noise") | dict(self.words)
        arrays = dict(self.arrays)
        for path, table in float_tables(weights).items():
            word, _, value = words[path].partition("=")
            if not any(name.startswith(f"{path}_") for name in arrays):
                arrays |= {f"{path}_{name}": array for name, array in fitted(word, value, table).items()}
        return Told(words, arrays)

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """The words, their numbers, and advice for the count."""
        told = self.told(weights)
        tables = StoryTables(told.story(weights), question.semantics)
        own = {one.name: getattr(self.count, one.name) for one in fields(self.count)}
        return told.hints(
            _ByStory(**own, told=told, tables=tables).hints(weights, question, progress), Comparisons.rule
        )


def float_tables(weights: Weights) -> dict[str, np.ndarray]:
    """The tables of all paths in float64, scores not yet times the attention scale."""
    arith = Float64Arithmetic()
    with arith.running():
        paths, direct = additive_paths(weights, arith)
        found = [middle(table.enclose()) for table in (*chain(*(head.tables for head in paths)), direct)]
    return dict(zip(path_shapes(weights.architecture.shape), found, strict=True))
