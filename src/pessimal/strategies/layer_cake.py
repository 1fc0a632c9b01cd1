"""Mean probability and cross-entropy by moments at several margins."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.counting.layers import LEVELS, MAX_LEVELS
from pessimal.kernel.counting.tilts import TILTS
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.terms.options import POSITIONS, THRESHOLDS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.search.moments import MomentSearch, blank_hints
from pessimal.spec.claim import LOSS, MEAN_PROBABILITY
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy

# Levels are multiples of 2**-2, up to this.
HIGHEST, QUARTERS = 16.0, 2


@dataclass(frozen=True)
class LayerCake(AbstractStrategy):
    """Count sequences by margin, in layers; for claims about the softmax.

    Attributes:
        rival: `plain`, `centred`, `joint` or `every`, as for exponential moments; left open, `joint` with one head and
            `centred` with several. `every` is tighter, and d_vocab times longer.
        position: `each` or `pessimal`.
        levels: number of margins, from 0 to 16 nats, closer together near 0; for a loss a third of them below 0.

    Soundness: `kernel.rules.layer_cake`, for all levels and tilts.
    Cost: `levels` times the moments of `exponential-moment`.
    Source: new (the layer-cake formula on exponential moments).
    """

    name: ClassVar[str] = "layer-cake"
    rule: ClassVar[str] = "layer-cake"
    claims: ClassVar[tuple[str, ...]] = (MEAN_PROBABILITY, LOSS)
    asymptotic: ClassVar[str] = "O(levels v^2 (d + K v))"
    source: ClassVar[str] = "new (layer cake of moments)"
    summary: ClassVar[str] = "mean probability or cross-entropy from counts at several margins"

    rival: str | None = None
    position: str = "each"
    levels: int = 10

    def __post_init__(self) -> None:
        """Refuse unknown words and numbers out of range."""
        self._require_words(rival=RIVALS, position=POSITIONS)
        self._require_numbers(1, MAX_LEVELS // 2, "levels")

    def least_flops(self, weights: Weights, question: Question) -> int:
        """The length of all its proofs."""
        blank = blank_hints(weights.architecture, question.task, self._options(weights, question))
        levels, thresholds = self.levels, {name: blank.arrays[name] for name in THRESHOLDS if name in blank.arrays}
        arrays = {name: np.tile(blank.arrays[name], (levels, 1)) for name in TILTS}
        heights = dict(zip(LEVELS, (np.arange(levels), np.zeros(levels, dtype=np.int64)), strict=True))
        return self._flops(
            Hints({**blank.options, "levels": levels}, {**thresholds, **arrays, **heights}), weights, question
        )

    def _options(self, weights: Weights, question: Question) -> dict[str, str | int]:
        """Of the terms."""
        rival = self.rival or ("joint" if weights.architecture.shape.n_heads == 1 else "centred")
        return {"rival": rival, "position": self.position, "near": question.task.d_vocab}

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """Levels, and the best tilts for each."""
        numbers = _quarters(self.levels)
        if question.quantity == LOSS and self.levels > 1:
            # How far below zero a margin lies matters to a loss: wrong answers are rarely given up at the worst one.
            below = self.levels // 3 + 1
            numbers = np.concatenate([-_quarters(below + 1)[:0:-1], _quarters(self.levels - below)])
        options = self._options(weights, question)
        search, results = MomentSearch(weights, question), []
        thresholds: dict[str, np.ndarray] = {}
        if weights.architecture.shape.n_heads > 1:
            # One for all levels: those that suit a margin of zero.
            settled = search.find(options, coarse=True).hints.arrays
            thresholds = {name: settled[name] for name in THRESHOLDS}
        for number in numbers.tolist():
            results.append(search.find(options, coarse=True, level=(number, -QUARTERS), thresholds=thresholds).hints)
            progress(len(results), len(numbers))
        arrays = {name: np.concatenate([result.arrays[name] for result in results]) for name in TILTS}
        levels = dict(zip(LEVELS, (numbers, np.full(len(numbers), -QUARTERS)), strict=True))
        return Hints({**options, "levels": len(numbers)}, {**results[0].arrays, **arrays, **levels})


def _quarters(count: int) -> Int[np.ndarray, " count"]:
    """Numbers from 0 to `HIGHEST`, in units of 2**-QUARTERS, quadratically spaced and distinct."""
    spaced = HIGHEST * (np.arange(count) / max(count - 1, 1)) ** 2 * 2**QUARTERS
    return np.asarray(np.maximum(np.rint(spaced).astype(np.int64), np.arange(count)))
