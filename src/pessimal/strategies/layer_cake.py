"""Mean probability and cross-entropy by moments at several margins."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.rules.layer_cake import LEVELS, MAX_LEVELS, TILTS
from pessimal.kernel.terms.options import POSITIONS, THRESHOLDS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.spec.claim import LOSS, MEAN_PROBABILITY
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy
from pessimal.strategies.moment_search import MomentSearch

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
    Source: new (the layer-cake formula on R2).
    """

    name: ClassVar[str] = "layer-cake"
    rule: ClassVar[str] = "layer-cake"
    claims: ClassVar[tuple[str, ...]] = (MEAN_PROBABILITY, LOSS)
    asymptotic: ClassVar[str] = "O(levels v^2 (d + K v))"
    source: ClassVar[str] = "new (layer cake, R2)"
    summary: ClassVar[str] = "mean probability or cross-entropy from counts at several margins"

    rival: str | None = None
    position: str = "each"
    levels: int = 10

    def __post_init__(self) -> None:
        """Refuse unknown words and numbers out of range."""
        self._require_words(rival=RIVALS, position=POSITIONS)
        self._require_numbers(1, MAX_LEVELS // 2, "levels")

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """Levels, and the best tilts for each."""
        numbers = _quarters(self.levels)
        if question.quantity == LOSS and self.levels > 1:
            # How far below zero a margin lies matters to a loss: wrong answers are rarely given up at the worst one.
            below = self.levels // 3 + 1
            numbers = np.concatenate([-_quarters(below + 1)[:0:-1], _quarters(self.levels - below)])
        rival = self.rival or ("joint" if weights.architecture.shape.n_heads == 1 else "centred")
        options: dict[str, str | int] = {"rival": rival, "position": self.position, "near": question.task.d_vocab}
        search, found = MomentSearch(weights, question), []
        thresholds: dict[str, np.ndarray] = {}
        if weights.architecture.shape.n_heads > 1:
            # One for all levels: those that suit a margin of zero.
            settled = search.find(options, coarse=True).hints.arrays
            thresholds = {name: settled[name] for name in THRESHOLDS}
        for number in numbers.tolist():
            found.append(search.find(options, coarse=True, level=(number, -QUARTERS), thresholds=thresholds).hints)
            progress(len(found), len(numbers))
        arrays = {name: np.concatenate([one.arrays[name] for one in found]) for name in TILTS}
        levels = dict(zip(LEVELS, (numbers, np.full(len(numbers), -QUARTERS)), strict=True))
        return Hints({**options, "levels": len(numbers)}, {**found[0].arrays, **arrays, **levels})


def _quarters(count: int) -> Int[np.ndarray, " count"]:
    """Numbers from 0 to `HIGHEST`, in units of 2**-QUARTERS, quadratically spaced and distinct."""
    spaced = HIGHEST * (np.arange(count) / max(count - 1, 1)) ** 2 * 2**QUARTERS
    return np.asarray(np.maximum(np.rint(spaced).astype(np.int64), np.arange(count)))
