r"""Tilts that make the exponential-moment bound small.

For one stratum the logarithm of the bound is a convex function of $\lambda$, so it has one minimum on a logarithmic
axis as well: golden-section search, all strata of a query and all rivals at once. The result is rounded to four bits
of mantissa; the optimum is flat, so that costs next to nothing and makes the certificate independent of the last bits
of the search.

Contents:
    TiltProblem — the terms of the strata of one query, as plain numbers.
    best_tilts — tilts and the bounds they give.
    quantise — four-bit mantissa and exponent.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

GOLDEN = (5**0.5 - 1) / 2
ITERATIONS = 28
LOG2_BELOW, LOG2_ABOVE = 10.0, 9.0
MANTISSA_BITS = 4


@dataclass(frozen=True)
class TiltProblem:
    """Terms g of strata (q, y), y = q .. d_vocab - 1, in plain float64.

    Attributes:
        near: `[R, I, Y, G]`.
        valid: which near tokens exist, `[Y, G]`.
        far: one value for all far tokens, `[R, Y]`.
        n_far: their number, `[Y]`.
        last: term of the query token, `[R, Y]`.
        k: sequence length.
    """

    near: Float[np.ndarray, "R I Y G"]
    valid: Bool[np.ndarray, "Y G"]
    far: Float[np.ndarray, "R Y"]
    n_far: Int[np.ndarray, " Y"]
    last: Float[np.ndarray, "R Y"]
    k: int

    def log_bound(self, log2_tilt: Float[np.ndarray, "R Y"]) -> Float[np.ndarray, "R Y"]:
        """Natural logarithm of the bound on the number of wrong sequences."""
        tilt = np.exp2(log2_tilt)
        x = np.where(self.valid, -tilt[:, np.newaxis, :, np.newaxis] * self.near, -np.inf)
        with np.errstate(divide="ignore"):
            far = (-tilt * self.far + np.log(self.n_far))[:, np.newaxis]
        seen = x[..., 0]
        largest = np.maximum(x[..., 1:].max(-1, initial=-np.inf), far)
        shift = np.where(np.isfinite(largest), largest, 0.0)
        rest = np.exp(x[..., 1:] - shift[..., np.newaxis]).sum(-1) + np.exp(far - shift)
        with np.errstate(divide="ignore"):
            unseen = np.log(rest) + shift
        both = np.logaddexp(seen, unseen)
        n_positions = seen.shape[1]
        h, u, free = seen[:, 0], unseen[:, 0], both[:, 0]
        for i in range(1, self.k - 1):
            j = min(i, n_positions - 1)
            h = np.logaddexp(h + both[:, j], u + seen[:, j])
            u = u + unseen[:, j]
            free = free + both[:, j]
        h[:, 0] = free[:, 0]
        return h - tilt * self.last


def best_tilts(problem: TiltProblem) -> tuple[Float[np.ndarray, "R Y"], Float[np.ndarray, "R Y"]]:
    """log2 of the best tilts and the logarithm of the bounds they give."""
    own = np.abs(problem.near[..., 0]).mean(1)
    centre = -np.log2(np.maximum(own, 1e-290))
    left, right = centre - LOG2_BELOW, centre + LOG2_ABOVE
    with np.errstate(all="ignore"):
        inner_left, inner_right = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
        at_left, at_right = problem.log_bound(inner_left), problem.log_bound(inner_right)
        for _ in range(ITERATIONS):
            go_left = at_left <= at_right
            left, right = np.where(go_left, left, inner_left), np.where(go_left, inner_right, right)
            kept = np.where(go_left, inner_left, inner_right)
            kept_value = np.where(go_left, at_left, at_right)
            fresh = np.where(go_left, right - GOLDEN * (right - left), left + GOLDEN * (right - left))
            value = problem.log_bound(fresh)
            inner_left, inner_right = np.where(go_left, fresh, kept), np.where(go_left, kept, fresh)
            at_left, at_right = np.where(go_left, value, kept_value), np.where(go_left, kept_value, value)
    best = np.where(at_left <= at_right, inner_left, inner_right)
    return best, np.minimum(at_left, at_right)


def quantise(log2_tilt: Float[np.ndarray, "R Y"]) -> tuple[Int[np.ndarray, "R Y"], Int[np.ndarray, "R Y"]]:
    """Mantissa (0, or 8 to 16) and exponent of the nearest tilt with four significant bits; 0 where not finite."""
    finite = np.isfinite(log2_tilt) & (np.abs(log2_tilt) < 900)
    exponent = np.where(finite, np.floor(log2_tilt), 0.0) - (MANTISSA_BITS - 1)
    mantissa = np.rint(np.exp2(np.where(finite, log2_tilt, 0.0) - exponent))
    return np.where(finite, mantissa, 0.0).astype(np.int64), exponent.astype(np.int64)
