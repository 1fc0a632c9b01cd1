r"""Smallest gaps that make the classes of the sub-cubic rule pass, for many models at once.

A class (q, m, n) with gap g is certified when
$W(g) = b_q + \max_{ends}[\,\hat G_m(\alpha) + (1 - \alpha)\,w\,] < 0$ (kernel, `published/sub_cubic/rule.py`). A larger
gap leaves fewer other tokens: the range of attention shrinks and w falls, so W falls with g, and the smallest gap is
found by bisection, all classes of all models together: about log2(v) evaluations in place of v.

Shapes: B models, N = K - 1 numbers of other tokens, C = v(v+1)/2 pairs (q, m), J lines.

Contents:
    GapSearch — what the bound of a class depends on.
    class_bounds — W for given gaps.
    smallest_gaps — bisection.
    gaps_for_targets — the same when all queries of a target share one w.
    dense_lines, chord_points — G at all attentions, and the points whose chords follow it best.
    attention — least and greatest attention to m, given the highest other token.
    attention_ranges — least and greatest attention over the certified classes of every target, `[B, v]`.
    lines_above — the largest of J lines.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

POINT_BITS = 15
# The checker's enclosures are wider than these floats by far less than this, in logits.
MARGIN = 1e-9
Above = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class GapSearch:
    """One composition on B models; float64 midpoints of the kernel's tables.

    Attributes:
        q, m: pairs, `[C]`.
        target_score: T[q, m] per pair, `[B, C]`.
        greatest, least: running extremes of T[q, :k+1], `[B, v, v]`.
        error: epsilon per pair, `[B, C]`.
        scale: c_attn.
        odds_greatest, odds_least: rho per n and pair, `[B, N, C]`.
        fixed, right: L and R per target and rival, `[B, v, R]`.
        widest: running maximum of rng(EVOU), `[B, v]`.
        slack: b per pair, `[B, C]`.
    """

    q: Int[np.ndarray, " C"]
    m: Int[np.ndarray, " C"]
    target_score: Float[np.ndarray, "B C"]
    greatest: Float[np.ndarray, "B v v"]
    least: Float[np.ndarray, "B v v"]
    error: Float[np.ndarray, "B C"]
    scale: float
    odds_greatest: Float[np.ndarray, "B N C"]
    odds_least: Float[np.ndarray, "B N C"]
    fixed: Float[np.ndarray, "B v R"]
    right: Float[np.ndarray, "B v R"]
    widest: Float[np.ndarray, "B v"]
    slack: Float[np.ndarray, "B C"]

    @property
    def largest_gap(self) -> Int[np.ndarray, " C"]:
        """The largest gap of every pair; zero where there is no class."""
        return np.where(self.q == self.m, self.m, self.m - self.q)


def attention(p: GapSearch, highest: Int[np.ndarray, "B N C"]) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest attention to m when the other tokens are 0 .. highest, `[B, N, C]`."""
    shape = highest.shape
    index = (p.q * p.greatest.shape[2] + highest).reshape(shape[0], -1)
    ends = []
    for table, ratio, sign in ((p.greatest, p.odds_greatest, 1.0), (p.least, p.odds_least, -1.0)):
        extreme = np.take_along_axis(table.reshape(shape[0], -1), index, 1).reshape(shape)
        gain = extreme - p.target_score[:, np.newaxis] + sign * p.error[:, np.newaxis]
        ends.append(1 / (1 + np.exp(np.minimum(p.scale * gain, 700.0)) * ratio))
    return ends[0], ends[1]


def class_bounds(
    p: GapSearch, above: Above, gap: Int[np.ndarray, "B N C"], width_gap: Int[np.ndarray, "B N C"] | None = None
) -> Float[np.ndarray, "B N C"]:
    """The bound W of every class for given gaps.

    Args:
        p: the models.
        above: attention `[B, N, C]` to an upper bound of G_m there, infinite where it has none.
        gap: gaps, at most `p.largest_gap`.
        width_gap: gaps that w is taken from, if other than `gap`.
    """
    highest = np.maximum(p.m - gap, 0)
    at = highest if width_gap is None else np.maximum(p.m - width_gap, 0)
    width = np.take_along_axis(p.widest, at.reshape(at.shape[0], -1), 1).reshape(at.shape)
    sides = [above(alpha) + (1 - alpha) * width for alpha in attention(p, highest)]
    return np.asarray(np.maximum(*sides) + p.slack[:, np.newaxis])


def smallest_gaps(
    p: GapSearch, above: Above, floor: Int[np.ndarray, "B N C"] | None = None
) -> Int[np.ndarray, "B N C"]:
    """The smallest gap that certifies each class; 0 where none does.

    Args:
        p: the models.
        above: upper bound of G_m.
        floor: if given, no gap below it, and w is taken from it.
    """
    low = np.ones(p.odds_least.shape, dtype=np.int64) if floor is None else floor.copy()
    high = np.broadcast_to(p.largest_gap, low.shape).copy()

    def fails(gap: np.ndarray) -> np.ndarray:
        return ~(class_bounds(p, above, gap, floor) < -MARGIN)

    hopeless = (high < low) | fails(np.maximum(high, 1))
    low = np.minimum(low, high)
    while (low < high).any():
        middle = (low + high) // 2
        failed = fails(np.maximum(middle, 1))
        low = np.where(failed, np.minimum(middle + 1, high), low)
        high = np.where(failed, high, middle)
    return np.where(hopeless, 0, high)


def gaps_for_targets(
    p: GapSearch, above: Above, weight: Callable[[np.ndarray], np.ndarray]
) -> Int[np.ndarray, "B N C"]:
    """Gaps when w comes from the smallest gap of all queries of the same (m, n).

    Every possible smallest gap is tried; the one with the largest total `weight` (sequences of a gap table) per
    (m, n) is kept. Cost: v bisections.
    """
    shape = p.odds_least.shape
    n_tokens = p.widest.shape[1]
    best, best_value = np.zeros(shape, dtype=np.int64), np.full((*shape[:2], n_tokens), -1.0)
    for floor in range(1, n_tokens):
        gap = smallest_gaps(p, above, np.full(shape, floor, dtype=np.int64))
        value = np.zeros_like(best_value)
        for b, n in np.ndindex(*shape[:2]):
            value[b, n] = np.bincount(p.m, weights=weight(gap)[b, n], minlength=n_tokens)
        better = value > best_value
        best_value = np.where(better, value, best_value)
        best = np.where(better[..., p.m], gap, best)
    return best


def dense_lines(p: GapSearch, n_points: int = 257) -> tuple[Above, Float[np.ndarray, "B v D"]]:
    """Interpolation of G between many points (above G, being convex), and the table."""
    grid = np.linspace(0, 1, n_points)
    table = np.stack([(p.fixed + a * p.right).max(2) for a in grid], axis=2)

    def above(alpha: np.ndarray) -> np.ndarray:
        at = np.clip(np.nan_to_num(alpha), 0, 1) * (n_points - 1)
        left = np.minimum(at.astype(np.int64), n_points - 2)
        flat = table.reshape(table.shape[0], -1)
        index = (p.m * n_points + left).reshape(left.shape[0], -1)
        start = np.take_along_axis(flat, index, 1).reshape(left.shape)
        end = np.take_along_axis(flat, index + 1, 1).reshape(left.shape)
        return np.asarray(start + (at - left) * (end - start))

    return above, table


def attention_ranges(p: GapSearch, gap: Int[np.ndarray, "B N C"]) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest attention over the certified classes of every target, `[B, v]`; (0, 1) where there is none."""
    least, greatest = attention(p, np.maximum(p.m - gap, 0))
    shape = (gap.shape[0], p.widest.shape[1])
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    for b in range(gap.shape[0]):
        for n in range(gap.shape[1]):
            used = gap[b, n] > 0
            np.minimum.at(low[b], p.m[used], least[b, n, used])
            np.maximum.at(high[b], p.m[used], greatest[b, n, used])
    empty = ~(low <= high)
    return np.where(empty, 0.0, low), np.where(empty, 1.0, high)


def chord_points(
    p: GapSearch, gap: Int[np.ndarray, "B N C"], n_points: int, n_grid: int = 129
) -> Int[np.ndarray, "B v T"]:
    """Points on the range of every target, in units of 2**-15: both ends, then where the chords are furthest off.

    Returns:
        Strictly increasing points.
    """
    unit = 2**POINT_BITS
    low, high = attention_ranges(p, gap)
    first = np.clip(np.floor(low * unit) - 1, 0, unit - n_points).astype(np.int64)
    last = np.clip(np.ceil(high * unit) + 1, first + n_points - 1, unit).astype(np.int64)
    if n_points == 2:
        return np.stack([first, last], axis=2)
    fraction = np.linspace(0, 1, max(n_grid, n_points))
    grid = np.rint(first[..., np.newaxis] + (last - first)[..., np.newaxis] * fraction).astype(np.int64)
    values = np.stack(
        [(p.fixed + p.right * (grid[:, :, d, np.newaxis] / unit)).max(2) for d in range(grid.shape[2])], 2
    )
    out = np.empty((*first.shape, n_points), dtype=np.int64)
    for b, m in np.ndindex(*first.shape):
        out[b, m] = _greedy(grid[b, m], values[b, m], n_points)
    return out


def _greedy(grid: np.ndarray, values: np.ndarray, n_points: int) -> np.ndarray:
    """Indices 0 and the last, then the worst place of the current chords, one at a time."""
    chosen = [0, grid.size - 1]
    while len(chosen) < n_points:
        where = np.sort(chosen)
        excess = np.interp(grid, grid[where], values[where]) - values
        excess[np.isin(grid, grid[where])] = -1.0
        worst = int(excess.argmax())
        if excess[worst] < 0:
            break
        chosen.append(worst)
    points = np.unique(grid[chosen])
    if points.size == n_points:
        return points
    free = np.setdiff1d(np.arange(grid[0], grid[-1] + 1), points)[: n_points - points.size]
    return np.sort(np.concatenate([points, free]))


def lines_above(
    p: GapSearch,
    intercept: Float[np.ndarray, "B v J"],
    slope: Float[np.ndarray, "B v J"],
    ends: tuple[np.ndarray, np.ndarray] | None,
) -> Above:
    """The largest of J lines; infinite where attention is outside `ends`, `[B, v]` each."""

    def above(alpha: np.ndarray) -> np.ndarray:
        value = np.full(alpha.shape, -np.inf)
        for j in range(intercept.shape[2]):
            line = intercept[:, np.newaxis, p.m, j] + slope[:, np.newaxis, p.m, j] * alpha
            np.maximum(value, line, out=value)
        if ends is not None:
            low, high = (end[:, np.newaxis, p.m] for end in ends)
            value[((alpha <= low) & (low > 0)) | ((alpha >= high) & (high < 1))] = np.inf
        return value

    return above
