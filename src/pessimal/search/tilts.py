r"""Tilts that make the exponential-moment bound small.

For one stratum the logarithm of the bound is a convex function of $\lambda$, so it has one minimum on a logarithmic
axis as well: golden-section search, many strata and all rivals at once. The result is rounded to four bits
of mantissa; the optimum is flat, so that costs next to nothing and makes the certificate independent of the last bits
of the search.

Contents:
    Paths — what is known of a program here.
    TiltSearch — the terms of the strata of one query, as plain numbers.
    best_tilts, coarse_tilts — tilts and the bounds they give.
    quantise — four-bit mantissa and exponent.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

GOLDEN = (5**0.5 - 1) / 2
ITERATIONS = 16
# Leave a seventh of a doubling, which is what four bits of mantissa resolve.
FEW_ITERATIONS = 9
LOG2_BELOW, LOG2_ABOVE = 10.0, 9.0
MANTISSA_BITS = 4


@runtime_checkable
class Paths(Protocol):
    """Sums over paths of products of one factor per position (`kernel.strata.program.Program`)."""

    def run(
        self,
        factor: Callable[[int, frozenset[int]], np.ndarray],
        add: Callable[[np.ndarray, np.ndarray], np.ndarray],
        multiply: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """The sum over paths of the products of their factors."""
        ...


@dataclass(frozen=True)
class TiltSearch:
    """Terms g of strata that share a program, in plain float64 (`kernel.terms.stratum.StratumTerms`).

    Attributes:
        near: `[R, I, pairs]`.
        pair: index of the j-th near token of a stratum, `[Y, G]`.
        letter: its letter, -1 where there is none, `[Y, G]`.
        far: one value for all far tokens, `[R, Y]`.
        n_far: their number, `[Y]`.
        last: term of the query token, `[R, Y]`.
        program: which letters may stand where.
        floor: logarithms of bounds below this one are as good as it: the smallest tilt that reaches it is the best,
            because larger ones come closer to an overflow.
        log_near, log_far, log_last: logarithms of the probabilities of the tokens, by position before the last (or one
            row for all), and of the query; None where every token counts one.
    """

    near: Float[np.ndarray, "R I P"]
    pair: Int[np.ndarray, "Y G"]
    letter: Int[np.ndarray, "Y G"]
    far: Float[np.ndarray, "R Y"]
    n_far: Int[np.ndarray, " Y"]
    last: Float[np.ndarray, "R Y"]
    program: Paths
    floor: float = -np.inf
    log_near: Float[np.ndarray, "W P"] | None = None
    log_far: Float[np.ndarray, "W Y"] | None = None
    log_last: Float[np.ndarray, " Y"] | None = None

    def log_bound(self, log2_tilt: Float[np.ndarray, "R Y"]) -> Float[np.ndarray, "R Y"]:
        """Natural logarithm of the bound on the number, or the probability, of wrong sequences; or `floor`."""
        tilt = np.exp2(log2_tilt)
        x = -tilt[:, np.newaxis, self.rows] * self.near
        if self.log_near is not None:
            x = x + self.log_near
        known: dict[frozenset[int], np.ndarray] = {}

        def summed(i: int, letters: frozenset[int]) -> np.ndarray:
            if letters not in known:
                first, *rest = sorted(letters)
                value = self._summed_letter(x, tilt, first)
                for letter in rest:
                    value = np.logaddexp(value, self._summed_letter(x, tilt, letter))
                known[letters] = value
            return known[letters][:, min(i, x.shape[1] - 1)]

        log_bound = self.program.run(summed, np.logaddexp, np.add) - tilt * self.last
        return np.asarray(np.maximum(log_bound if self.log_last is None else log_bound + self.log_last, self.floor))

    @cached_property
    def rows(self) -> Int[np.ndarray, " P"]:
        """Stratum of every pair."""
        return np.nonzero(self.letter >= 0)[0]

    @cached_property
    def _segments(self) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Per letter: its pairs, where each stratum that has some begins among them, and these strata."""
        letters = self.letter[self.letter >= 0]
        segments = {}
        for letter in np.unique(letters).tolist():
            pairs = np.flatnonzero(letters == letter)
            strata, starts = np.unique(self.rows[pairs], return_index=True)
            segments[letter] = (pairs, starts, strata)
        return segments

    def _summed_letter(self, x: np.ndarray, tilt: np.ndarray, letter: int) -> np.ndarray:
        """Log of the sum of exp(x) over the tokens with a letter, `[R, I, Y]`."""
        total = np.full((*x.shape[:2], self.pair.shape[0]), -np.inf)
        if letter in self._segments:
            pairs, starts, strata = self._segments[letter]
            part = x[:, :, pairs]
            top = np.maximum.reduceat(part, starts, axis=2)
            top = np.where(np.isfinite(top), top, 0.0)
            lengths = np.diff(np.append(starts, pairs.size))
            scaled = np.exp(part - np.repeat(top, lengths, axis=2))
            total[:, :, strata] = np.log(np.add.reduceat(scaled, starts, axis=2)) + top
        if letter == 0 and self.n_far.any():
            far = np.log(self.n_far)[np.newaxis] if self.log_far is None else self.log_far
            total = np.logaddexp(total, far - (tilt * self.far)[:, np.newaxis])
        return total


def coarse_tilts(search: TiltSearch) -> tuple[Float[np.ndarray, "R Y"], Float[np.ndarray, "R Y"]]:
    """Tilts searched on the mean term over positions: K - 1 times cheaper than `best_tilts`, and nearly as good."""
    mean = replace(search, near=search.near.mean(1, keepdims=True))
    tilts, _ = best_tilts(mean)
    with np.errstate(all="ignore"):
        return tilts, search.log_bound(tilts)


def best_tilts(
    search: TiltSearch, iterations: int = ITERATIONS
) -> tuple[Float[np.ndarray, "R Y"], Float[np.ndarray, "R Y"]]:
    """log2 of the best tilts and the logarithm of the bounds they give; `iterations` + 2 evaluations."""
    typical = np.abs(search.near[:, :, search.pair[:, 0]]).mean(1)
    centre = -np.log2(np.maximum(typical, 1e-290))
    left, right = centre - LOG2_BELOW, centre + LOG2_ABOVE
    with np.errstate(all="ignore"):
        inner_left, inner_right = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
        at_left, at_right = search.log_bound(inner_left), search.log_bound(inner_right)
        for _ in range(iterations):
            go_left = at_left <= at_right
            left, right = np.where(go_left, left, inner_left), np.where(go_left, inner_right, right)
            kept = np.where(go_left, inner_left, inner_right)
            kept_value = np.where(go_left, at_left, at_right)
            fresh = np.where(go_left, right - GOLDEN * (right - left), left + GOLDEN * (right - left))
            value = search.log_bound(fresh)
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
