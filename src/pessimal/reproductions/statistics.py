"""Sums over models that tables print.

Contents:
    Spread — a mean and how much the numbers vary.
    Summary — that, and where the numbers lie.
    summary, summary_of — mean, spread, least, median and greatest of some numbers; of one number at least.
    mean_down — the mean, rounded down.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median, stdev

from pessimal.records import float_down
from pessimal.reproductions.record import Rows


@dataclass(frozen=True)
class Spread(Rows):
    """A mean and how much the numbers vary.

    Attributes:
        mean: rounded down.
        std: standard deviation, one degree of freedom less.
    """

    mean: float
    std: float


@dataclass(frozen=True)
class Summary(Spread):
    """Where some numbers lie.

    Attributes:
        min, median, max: least, middle and greatest number.
    """

    min: float
    median: float
    max: float


def summary(values: Sequence[float]) -> Summary | None:
    """Mean, standard deviation (one degree of freedom less), least, median, greatest; None if there is nothing."""
    return summary_of(values) if values else None


def summary_of(numbers: Iterable[float]) -> Summary:
    """What `summary` says of one number or more."""
    values = list(numbers)
    spread = stdev(values) if len(values) > 1 else 0.0
    return Summary(mean_down(values), spread, min(values), median(values), max(values))


def mean_down(values: Iterable[float]) -> float:
    """The mean, rounded down, so that a mean of lower bounds is one."""
    exact = [Fraction(value) for value in values]
    return float_down(sum(exact, Fraction()) / len(exact))
