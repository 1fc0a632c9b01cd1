"""The closed list of words by which an explanation says what a table is like, and their numbers.

R rows and C columns; every word but `table` takes R numbers more, the range of each row.

| word | numbers | S |
|---|---|---|
| `table` | RC | the table itself |
| `noise` | 0 | zero |
| `array` | RC | given |
| `rank=r` | r (R + C) | a product |
| `rising`, `falling`, `monotone` | R + C | a gain per row, not negative, times a profile that rises, or falls |
| `linear=up`, `linear=down`, `linear` | R or 1 | a slope times the column's number; its sign as said |
| `same` | C | one row for all |
| `diagonal`, `shift=s` | 2R | zero, and in each row the column of its own number, or s further, is kept |
| `column=t` | R | zero, and column t is kept |
| `threshold` | R or 1, twice | a step up, or down, from the column of the row's own number on |
| `periodic=k` | Rk or k | depends on the column modulo k |

Contents:
    WORDS, Said — how the numbers of each are read, and from what.
    stand_in — a word and its arrays to what stands for a table.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.hints import Hints
from pessimal.kernel.model.stand_ins import StandIn
from pessimal.kernel.rejection import Reason, Rejected

RISES, FALLS, EITHER = 1, -1, 0


@dataclass(frozen=True)
class Said:
    """A word about one table.

    Attributes:
        hints: have its arrays, `PATH_name`.
        path: which table.
        shape: R and C.
        value: what stands behind the `=` of the word, or empty.
        read: names of the arrays that were read.
    """

    hints: Hints
    path: str
    shape: tuple[int, int]
    value: str
    read: set[str] = field(default_factory=set)

    def refused(self, why: str) -> Rejected:
        """What to raise."""
        return Rejected(Reason.BAD_HINT, f"{self.path}: {why}")

    def number(self, low: int, high: int) -> int:
        """The word's number, in a range."""
        digits = self.value.isascii() and self.value.removeprefix("-").isdigit() and len(self.value) < len("-1000000")
        if not digits or not low <= int(self.value) <= high:
            raise self.refused(f"{self.value[:40]!r} is not a number from {low} to {high}")
        return int(self.value)

    def floats(self, name: str, *shapes: tuple[int, int]) -> Float[np.ndarray, "_ _"]:
        """An array of one of some shapes, finite."""
        full = f"{self.path}_{name}"
        self.read.add(full)
        given = self.hints.arrays.get(full)
        shape = next((one for one in shapes if given is not None and given.shape == one), shapes[0])
        return self.hints.floats(full, shape)

    def sign(self) -> int:
        """`up`, `down`, or nothing."""
        if self.value not in ("", "up", "down"):
            raise self.refused(f"{self.value[:40]!r} is neither up nor down")
        return {"": EITHER, "up": RISES, "down": FALLS}[self.value]


def _signed(said: Said, sign: int, numbers: Float[np.ndarray, "..."], what: str) -> Float[np.ndarray, "..."]:
    """The numbers, none of which has the other sign."""
    if (sign * numbers < 0).any():
        raise said.refused(f"a {what} has the wrong sign")
    return numbers


def _table(said: Said) -> StandIn:
    rows, columns = said.shape
    return StandIn(rows * columns, exact=True)


def _noise(said: Said) -> StandIn:
    return StandIn(said.shape[0])


def _array(said: Said) -> StandIn:
    rows, columns = said.shape
    return StandIn(rows + rows * columns, (said.floats("array", said.shape),))


def _rank(said: Said) -> StandIn:
    rows, columns = said.shape
    rank = said.number(1, min(said.shape))
    factors = said.floats("left", (rows, rank)), said.floats("right", (rank, columns))
    return StandIn(rows + rank * (rows + columns), factors)


def _monotone(sign: int) -> Callable[[Said], StandIn]:
    def read(said: Said) -> StandIn:
        rows, columns = said.shape
        gain, profile = said.floats("gain", (rows, 1)), said.floats("profile", (1, columns))
        _signed(said, RISES, gain, "gain")
        steps = np.sign(profile[0, 1:] - profile[0, :-1])
        either = sign or (RISES if (steps >= 0).all() else FALLS)
        _signed(said, either, steps, "step of the profile")
        return StandIn(2 * rows + columns, (gain, profile))

    return read


def _linear(said: Said) -> StandIn:
    rows, columns = said.shape
    slope = _signed(said, said.sign(), said.floats("slope", (rows, 1), (1, 1)), "slope")
    numbers = np.arange(columns, dtype=np.float64)[np.newaxis]
    return StandIn(rows + slope.size, (np.broadcast_to(slope, (rows, 1)), numbers))


def _same(said: Said) -> StandIn:
    rows, columns = said.shape
    return StandIn(rows + columns, (np.ones((rows, 1)), said.floats("row", (1, columns))))


def _diagonal(said: Said) -> StandIn:
    return _kept(said, np.arange(said.shape[0]))


def _shift(said: Said) -> StandIn:
    return _kept(said, np.arange(said.shape[0]) + said.number(-max(said.shape), max(said.shape)))


def _kept(said: Said, column: Int[np.ndarray, " R"]) -> StandIn:
    """The middle of each row's other columns is free beside the entries that are kept."""
    rows, columns = said.shape
    return StandIn(3 * rows, (), np.where((column >= 0) & (column < columns), column, -1))


def _column(said: Said) -> StandIn:
    rows, columns = said.shape
    return StandIn(2 * rows, (), np.full(rows, said.number(0, columns - 1)))


def _threshold(said: Said) -> StandIn:
    rows, columns = said.shape
    step = said.floats("step", (rows, 1), (1, 1))
    beyond = np.arange(columns) >= np.arange(rows)[:, np.newaxis]
    return StandIn(rows + 2 * step.size, (np.where(beyond, step, 0.0),))


def _periodic(said: Said) -> StandIn:
    rows, columns = said.shape
    period = said.number(1, columns)
    pattern = said.floats("pattern", (rows, period), (1, period))
    tiled = np.broadcast_to(pattern[:, np.arange(columns) % period], said.shape)
    return StandIn(rows + pattern.size, (np.ascontiguousarray(tiled),))


WORDS: dict[str, Callable[[Said], StandIn]] = {
    "table": _table,
    "noise": _noise,
    "array": _array,
    "rank": _rank,
    "rising": _monotone(RISES),
    "falling": _monotone(FALLS),
    "monotone": _monotone(EITHER),
    "linear": _linear,
    "same": _same,
    "diagonal": _diagonal,
    "shift": _shift,
    "column": _column,
    "threshold": _threshold,
    "periodic": _periodic,
}
WITH_VALUE = ("rank", "shift", "column", "periodic")


def stand_in(hints: Hints, path: str, shape: tuple[int, int]) -> tuple[StandIn, set[str]]:
    """What the option of a path says of a table of some shape, and the names of the arrays that it says it with.

    Raises:
        Rejected: bad-hint.
    """
    text = hints.options.get(path)
    word, _, value = str(text).partition("=")
    if not isinstance(text, str) or word not in WORDS:
        raise Rejected(Reason.BAD_HINT, f"option {path} must be one of {', '.join(WORDS)}")
    said = Said(hints, path, shape, value)
    if bool(value) != (word in WITH_VALUE) and not (word == "linear" and value):
        raise said.refused(f"{word} needs a number, as {word}=1" if not value else f"{word} takes no value")
    return WORDS[word](said), said.read
