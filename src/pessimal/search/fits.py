r"""Numbers for the words of an explanation, fitted to a table.

What a word leaves over of a row costs its range, so fits make ranges small, not squares: a gain g of a profile p for a
row x minimises $\max(x - gp) - \min(x - gp)$, which is convex in g.

Contents:
    fitted — the arrays of a word for a table.
    gains — of a profile, row by row.
    isotonic — the nearest sequence that does not fall.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from pessimal.kernel.model.words import EITHER, FALLS, RISES

Table = Float[np.ndarray, "R C"]
Arrays = dict[str, Float[np.ndarray, "_ _"]]
# Halvings of the interval in which a gain lies, and rounds of gains and profiles.
STEPS, ROUNDS = 64, 4
GOLDEN = (5**0.5 - 1) / 2


def fitted(word: str, value: str, table: Table) -> Arrays:
    """The arrays that a word takes, and no arrays for a word that takes none.

    Args:
        word: of the closed list (`kernel/model/words.py`), but for `array`.
        value: what stands behind its `=`, or empty.
        table: rows and columns.
    """
    makes: dict[str, Callable[[Table, str], Arrays]] = {
        "rank": _rank,
        "rising": lambda x, _: _monotone(x, RISES),
        "falling": lambda x, _: _monotone(x, FALLS),
        "monotone": lambda x, _: min(_monotone(x, RISES), _monotone(x, FALLS), key=lambda found: _left_over(x, found)),
        "linear": _linear,
        "same": _same,
        "threshold": _threshold,
        "periodic": _periodic,
    }
    return makes[word](table, value) if word in makes else {}


def gains(table: Table, profile: Float[np.ndarray, "_ C"], sign: int = EITHER) -> Float[np.ndarray, "R 1"]:
    """Of every row the factor of the profile, of its own row or the only one, that leaves the smallest range.

    By golden section: the range is convex, and beyond range(x) / range(p) it is above range(x). `sign`: of the factors.
    """
    span = np.ptp(profile, axis=1, keepdims=True)
    most = np.ptp(table, axis=1, keepdims=True) / np.where(span > 0, span, 1.0)
    low = np.zeros_like(most) if sign == RISES else -most
    high = np.zeros_like(most) if sign == FALLS else most

    def left(gain: Float[np.ndarray, "R 1"]) -> Float[np.ndarray, "R 1"]:
        return np.asarray(np.ptp(table - gain * profile, axis=1, keepdims=True))

    for _ in range(STEPS):
        first, second = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        smaller = left(first) < left(second)
        low, high = np.where(smaller, low, first), np.where(smaller, second, high)
    found = np.where(span > 0, (low + high) / 2, 0.0)
    return np.asarray(np.where(left(found) < left(np.zeros_like(found)), found, 0.0))


def isotonic(values: Float[np.ndarray, " C"]) -> Float[np.ndarray, " C"]:
    """The nearest sequence that does not fall, in squares: neighbours that fall are replaced by their mean."""
    means: list[float] = []
    sizes: list[int] = []
    for value in values.tolist():
        mean, size = value, 1
        while means and means[-1] > mean:
            mean, size = (means[-1] * sizes[-1] + mean * size) / (sizes[-1] + size), sizes.pop() + size
            means.pop()
        means.append(mean)
        sizes.append(size)
    return np.repeat(means, sizes)


def _centred(table: Table) -> Table:
    """Every row less its midrange."""
    return np.asarray(table - (table.max(1, keepdims=True) + table.min(1, keepdims=True)) / 2)


def _left_over(table: Table, arrays: Arrays) -> float:
    """Sum of the ranges that a gain and a profile leave."""
    return float(np.ptp(table - arrays["gain"] * arrays["profile"], axis=1).sum())


def _rank(table: Table, value: str) -> Arrays:
    # Less the mean of each row, not its midrange: what has that rank but for shifts keeps it.
    left, sizes, right = np.linalg.svd(table - table.mean(1, keepdims=True), full_matrices=False)
    rank = int(value)
    found = left[:, :rank] * sizes[:rank], np.ascontiguousarray(right[:rank])
    return {"left": gains(table, found[1]), "right": found[1]} if rank == 1 else {"left": found[0], "right": found[1]}


def _monotone(table: Table, sign: int) -> Arrays:
    """Gains for a profile, the profile for these gains, and again; the best of them."""
    centred, gain = sign * _centred(table), np.ones((len(table), 1))
    tried = []
    for _ in range(ROUNDS):
        weight = max(float((gain**2).sum()), np.finfo(float).tiny)
        profile = sign * isotonic((gain * centred).sum(0) / weight)[np.newaxis]
        gain = gains(table, profile, RISES)
        tried.append({"gain": gain, "profile": profile})
    return min(tried, key=lambda found: _left_over(table, found))


def _linear(table: Table, value: str) -> Arrays:
    numbers = np.arange(table.shape[1], dtype=np.float64)[np.newaxis]
    return {"slope": gains(table, numbers, {"up": RISES, "down": FALLS}.get(value, EITHER))}


def _same(table: Table, _value: str) -> Arrays:
    """The midrange over rows, whose own shifts are free."""
    shifted = _centred(table)
    for _ in range(ROUNDS):
        row = (shifted.max(0) + shifted.min(0)) / 2
        shifted = _centred(shifted - row) + row
    return {"row": row[np.newaxis]}


def _threshold(table: Table, _value: str) -> Arrays:
    rows, columns = table.shape
    beyond = (np.arange(columns) >= np.arange(rows)[:, np.newaxis]).astype(np.float64)
    return {"step": gains(table, beyond)}


def _periodic(table: Table, value: str) -> Arrays:
    parts = [table[:, first :: int(value)] for first in range(int(value))]
    return {"pattern": np.stack([(part.max(1) + part.min(1)) / 2 for part in parts], axis=1)}
