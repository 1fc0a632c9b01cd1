"""How the terms of a certificate are chosen: rivals, positions, near tokens, thresholds of heads.

Contents:
    TermOptions — read from hints.
"""

from dataclasses import dataclass

import numpy as np

from pessimal.kernel.hints import Dyadics, Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.rivals import RIVALS, n_groups
from pessimal.spec.architecture import ModelShape
from pessimal.spec.distribution import Markov
from pessimal.spec.question import Question
from pessimal.spec.tasks.max_of_k import MaxOfK

POSITIONS = ("each", "pessimal")
THRESHOLDS = ("threshold_mantissa", "threshold_exponent")
SHORT_THRESHOLD = "threshold"
# Short thresholds are multiples of 2**-8 from -128 on, in logits.
SHORT_STEP, SHORT_ZERO = -8, 1 << 15


@dataclass(frozen=True)
class TermOptions:
    """Options and thresholds of a certificate.

    Attributes:
        rival: a name of `RIVALS`.
        position: `each` or `pessimal`.
        near: number of tokens next to the target that are treated one by one.
        n_groups: R, groups of rivals per stratum.
        thresholds: of all heads but the last, `[heads - 1, R, strata]`.
        least: strata of smaller outputs have no terms; whoever reads it gives them up.
    """

    rival: str
    position: str
    near: int
    n_groups: int
    thresholds: Dyadics
    least: int = 0

    @property
    def pooled(self) -> bool:
        """Whether all positions share one term."""
        return self.position == "pessimal"

    @staticmethod
    def names(hints: Hints, n_heads: int) -> tuple[set[str], set[str]]:
        """Names of the options and of the arrays that are read."""
        thresholds = {SHORT_THRESHOLD} if SHORT_THRESHOLD in hints.arrays else set(THRESHOLDS)
        return {"rival", "position", "near"}, thresholds if n_heads > 1 else set()

    @property
    def words(self) -> tuple[str, str, int, int]:
        """What the number of operations depends on."""
        return self.rival, self.position, self.near, self.least

    @classmethod
    def read(cls, hints: Hints, question: Question, shape: ModelShape) -> "TermOptions":
        """Check the form of the hints.

        Raises:
            Rejected: bad-hint.
        """
        task, n_heads = question.task, shape.n_heads
        rival, position = hints.word("rival", RIVALS), hints.word("position", POSITIONS)
        near = hints.number("near", 1, task.d_vocab)
        if near < task.d_vocab and not isinstance(task, MaxOfK):
            raise Rejected(Reason.BAD_HINT, f"near={near} lumps far tokens, which is done for {MaxOfK.name} only")
        if rival == "joint" and n_heads > 1:
            raise Rejected(Reason.BAD_HINT, "rival=joint covers one head")
        if near < task.d_vocab and isinstance(question.distribution, Markov):
            raise Rejected(Reason.BAD_HINT, f"near={near} lumps far tokens, which have no common transition")
        groups = n_groups(rival, shape.d_vocab_out)
        sizes = (n_heads - 1, groups, strata_of(task).stratum_count)
        empty = np.zeros(sizes, dtype=np.int64)
        thresholds = _thresholds(hints, sizes) if n_heads > 1 else Dyadics(empty, empty)
        least = hints.number("least", 0, task.n_outputs) if "least" in hints.options else 0
        return cls(rival, position, near, groups, thresholds, least)


def _thresholds(hints: Hints, shape: tuple[int, ...]) -> Dyadics:
    """The thresholds, in either encoding: 16 bits each, or the arrays of `THRESHOLDS`."""
    if SHORT_THRESHOLD not in hints.arrays:
        return hints.dyadics("threshold", shape)
    return Dyadics(hints.halfwords(SHORT_THRESHOLD, shape) - SHORT_ZERO, np.full(shape, SHORT_STEP))
