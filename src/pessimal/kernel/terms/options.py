"""How the terms of a certificate are chosen: rivals, positions, near tokens, thresholds of heads.

Contents:
    TermOptions — read from hints.
"""

from dataclasses import dataclass

import numpy as np

from pessimal.kernel.hints import Hints, dyadics
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.rivals import RIVALS, n_problems
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks import MaxOfK

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
        problems: R.
        thresholds: mantissas and exponents, `[heads - 1, R, strata]` each.
    """

    rival: str
    position: str
    near: int
    problems: int
    thresholds: tuple[np.ndarray, np.ndarray]

    @property
    def pooled(self) -> bool:
        """Whether all positions share one term."""
        return self.position == "pessimal"

    @staticmethod
    def names(hints: Hints, n_heads: int) -> tuple[set[str], set[str]]:
        """Options and arrays that are read."""
        thresholds = {SHORT_THRESHOLD} if SHORT_THRESHOLD in hints.arrays else set(THRESHOLDS)
        return {"rival", "position", "near"}, thresholds if n_heads > 1 else set()

    @classmethod
    def read(cls, hints: Hints, task: AbstractTask, n_heads: int, d_vocab_out: int) -> "TermOptions":
        """Check the form of the hints.

        Raises:
            Rejected: bad-hint.
        """
        rival, position = hints.word("rival", RIVALS), hints.word("position", POSITIONS)
        near = hints.number("near", 1, task.d_vocab)
        if near < task.d_vocab and not isinstance(task, MaxOfK):
            raise Rejected(Reason.BAD_HINT, f"near={near} lumps far tokens, which is done for {MaxOfK.name} only")
        if rival == "joint" and n_heads > 1:
            raise Rejected(Reason.BAD_HINT, "rival=joint covers one head")
        problems = n_problems(rival, d_vocab_out)
        shape = (n_heads - 1, problems, strata_of(task).number)
        empty = np.zeros(shape, dtype=np.int64)
        thresholds = _thresholds(hints, shape) if n_heads > 1 else (empty, empty)
        return cls(rival, position, near, problems, thresholds)


def _thresholds(hints: Hints, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas and exponents of the thresholds, in either encoding: 16 bits each, or the arrays of `THRESHOLDS`."""
    if SHORT_THRESHOLD not in hints.arrays:
        return dyadics(hints, THRESHOLDS, shape)
    return hints.halfwords(SHORT_THRESHOLD, shape) - SHORT_ZERO, np.full(shape, SHORT_STEP)
