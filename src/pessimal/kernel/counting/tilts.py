"""The tilts of a certificate, in either encoding.

Contents:
    TILTS, SHORT_TILT, SHORT_BIAS — the arrays that hold them.
    tilts — by rival group and stratum.
    positions_apart — how many positions moments keep apart under a distribution.
"""

import numpy as np

from pessimal.kernel.hints import Dyadics, Hints
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.options import TermOptions
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask

TILTS = ("tilt_mantissa", "tilt_exponent")
SHORT_TILT = "tilt"
# Exponents of short tilts: 1 .. 2**13 - 1, less this.
SHORT_BIAS = 1001


def tilts(hints: Hints, task: AbstractTask, options: TermOptions, n_heads: int) -> Dyadics:
    """lambda, `[heads * R, strata]`, checked not to be negative.

    Two encodings: the arrays of `TILTS`, or `SHORT_TILT`, 16 bits each: the lower three are m - 8, the upper thirteen
    e + 1001, and 0 there makes the tilt zero.
    """
    shape = (n_heads * options.n_groups, strata_of(task).stratum_count)
    if SHORT_TILT in hints.arrays:
        numbers = hints.halfwords(SHORT_TILT, shape)
        zero = numbers < 8
        pair = np.where(zero, 0, 8 + numbers % 8), np.where(zero, 0, numbers // 8 - SHORT_BIAS)
        hints = Hints(arrays=dict(zip(TILTS, pair, strict=True)))
    return hints.dyadics("tilt", shape).require_not_negative("tilt")


def positions_apart(question: Question, options: TermOptions) -> int:
    """How many positions have terms or weights of their own."""
    alike = options.pooled and all(len(rows) == 1 for rows in question.distribution.arrays().values())
    return 1 if alike else question.task.k - 1
