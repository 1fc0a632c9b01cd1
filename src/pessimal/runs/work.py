"""What the engines share: the work, and the failures that wait until the rest is done.

Contents:
    Work — a function, its units, and what is left of one after a result.
    Failures — what went wrong, for the end.
    EngineError — the work cannot be run as asked.
    one_thread_each — settings that worker processes inherit.
    no_rest — a unit with one result is the same whatever has arrived.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pessimal.runs.notices import notice

Unit = TypeVar("Unit")
Result = TypeVar("Result")
ATTEMPTS = 3
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class EngineError(ValueError):
    """The work cannot be run as asked; the message is one sentence."""


def no_rest(unit: Any, result: Any) -> Any:
    """A unit with one result is the same whatever has arrived."""
    del result
    return unit


@dataclass
class Failures:
    """What went wrong, first things first; raised when everything else is done."""

    found: list[BaseException] = field(default_factory=list)

    def add(self, unit: object, error: BaseException) -> None:
        """Note a failure, and say so: the rest may take hours."""
        self.found.append(error)
        notice(f"{unit} failed ({type(error).__name__}: {str(error)[:200]}); the others go on")

    def died(self, unit: object) -> None:
        """Note a unit that killed its worker every time."""
        error = EngineError(f"the worker died {ATTEMPTS} times on {unit}; finished results are kept")
        self.found.append(error)
        notice(f"the worker died {ATTEMPTS} times on {unit}; the others go on")

    def throw(self) -> None:
        """Raise the first failure, if there was one."""
        if self.found:
            raise self.found[0]


@dataclass(frozen=True)
class Work(Generic[Unit, Result]):
    """What is to be done.

    Attributes:
        function: the results of one unit.
        units: the units.
        rest: what is left of a unit after one of its results.
        failures: what went wrong so far.
    """

    function: Callable[[Unit], Iterable[Result]]
    units: list[Unit]
    rest: Callable[[Unit, Result], Unit]
    failures: Failures


def one_thread_each() -> None:
    """One thread per worker; the processes inherit it."""
    for name in THREADS:
        os.environ.setdefault(name, "1")
