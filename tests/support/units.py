"""Work for the engines of `pessimal.runs`, importable by their workers.

Contents:
    three — three results.
    dies — kills its worker a number of times before it gets further.
    fails — one result, then a bug.
    lasts — results for minutes, one every tenth of a second.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pessimal.runs.executors import run_units


def three(unit: str) -> Iterator[str]:
    """Three results that name the unit."""
    for number in range(3):
        yield f"{unit}{number}"


def dies(unit: tuple[str, int, int]) -> Iterator[int]:
    """Results from `first` to 2; before each of them the worker dies until it has died `times` times."""
    folder, times, first = unit
    for number in range(first, 3):
        deaths = Path(folder) / f"deaths{number}"
        before = len(deaths.read_bytes()) if deaths.exists() else 0
        if before < times:
            deaths.write_bytes(b"x" * (before + 1))
            os._exit(9)
        yield number


def after(unit: tuple[str, int, int], result: int) -> tuple[str, int, int]:
    """What is left of it."""
    return unit[0], unit[1], result + 1


def fails(unit: str) -> Iterator[str]:
    """A bug in one unit of several."""
    yield f"{unit} begins"
    if unit == "bad":
        raise KeyError(unit)
    yield f"{unit} ends"


def lasts(unit: str) -> Iterator[str]:
    """Work for minutes."""
    for number in range(3000):
        time.sleep(0.1)
        yield f"{unit}{number}"


if __name__ == "__main__":
    for _, result in run_units(lasts, ["a", "b"], workers=2, engine=sys.argv[1]):
        sys.stdout.write(f"{result}\n")
        sys.stdout.flush()
