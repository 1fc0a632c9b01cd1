"""The largest of all others.

Contents:
    exclusive_max — the largest of the other entries, or of those outside a window.
    LOWEST — what stands for the largest of none.
"""

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure

# Stands for the logit of a rival that does not exist; if a logit is below it, a margin only becomes smaller.
LOWEST = -(2**62)


def exclusive_max(x: AbstractEnclosure, arith: AbstractArithmetic, below: int = 0, above: int = 0) -> AbstractEnclosure:
    """Entry o of the result is the largest entry of the last axis before o - below or after o + above, or `LOWEST`.

    Cost: 3n - 2 per row of length n >= 2.
    """
    n = x.shape[-1]
    forward = x.cumulative_max(-1)
    backward = x[..., ::-1].cumulative_max(-1)[..., ::-1]
    running = arith.stack([forward, backward])
    o = np.arange(n)
    first, last = o - below - 1, o + above + 1
    none_before, none_after = first < 0, last >= n
    first, last = np.maximum(first, 0), np.minimum(last, n - 1)
    before = running[np.where(none_before, 1, 0), ..., np.where(none_before, last, first)]
    after = running[np.where(none_after, 0, 1), ..., np.where(none_after, first, last)]
    axes = (*range(1, len(x.shape)), 0)
    return before.maximum(after).transpose(*axes).where(~(none_before & none_after), LOWEST)
