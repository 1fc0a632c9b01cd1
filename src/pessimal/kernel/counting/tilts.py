"""The tilts of a certificate, in either encoding, and what a distribution asks of them.

Contents:
    tilts — mantissas and exponents by rival group and stratum.
    require_no_far, positions_apart — conditions of moments under a distribution.
"""

import numpy as np

from pessimal.kernel.hints import Hints, dyadics
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.options import TermOptions
from pessimal.spec.distribution import Markov
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask

TILTS = ("tilt_mantissa", "tilt_exponent")


SHORT_TILT = "tilt"


# Exponents of short tilts: 1 .. 2**13 - 1, less this.
SHORT_BIAS = 1001


def tilts(hints: Hints, task: AbstractTask, options: TermOptions, n_heads: int) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas and exponents of lambda, `[heads * R, strata]`, checked: 0 <= m <= 2**53, |e| <= 1000.

    Two encodings: the arrays of `TILTS`, or `SHORT_TILT`, 16 bits each: the lower three are m - 8, the upper thirteen
    e + 1001, and 0 there makes the tilt zero.
    """
    shape = (n_heads * options.problems, strata_of(task).number)
    if SHORT_TILT in hints.arrays:
        numbers = hints.halfwords(SHORT_TILT, shape)
        zero = numbers < 8
        pair = np.where(zero, 0, 8 + numbers % 8), np.where(zero, 0, numbers // 8 - SHORT_BIAS)
        hints = Hints(arrays=dict(zip(TILTS, pair, strict=True)))
    mantissa, exponent = dyadics(hints, TILTS, shape)
    if mantissa.min() < 0:
        raise Rejected(Reason.BAD_HINT, "a tilt is negative")
    return mantissa, exponent


def require_no_far(question: Question, options: TermOptions) -> None:
    """Raise `Rejected(bad-hint)` for far tokens under a chain, whose transitions differ."""
    if isinstance(question.distribution, Markov) and options.near < question.task.d_vocab:
        raise Rejected(Reason.BAD_HINT, f"near={options.near} lumps far tokens, which have no common transition")


def positions_apart(question: Question, options: TermOptions) -> int:
    """How many positions have terms or weights of their own."""
    alike = options.pooled and all(len(rows) == 1 for rows in question.distribution.arrays().values())
    return 1 if alike else question.task.k - 1
