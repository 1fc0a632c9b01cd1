"""What a person sees: progress on stderr, verdicts on stdout.

Contents:
    Watch — progress bar on a terminal, sparse plain lines otherwise.
    print_json — the object of `--json`, always the last line of stdout.
    say — one line on stderr.
    say_claim — a verified claim in English, and its worst stratum.
    NAMES, exit codes.
"""

import json
import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pessimal.kernel.check import Verdict
from pessimal.spec.claim import decimal_down

VERIFIED, REJECTED, USAGE, RESOURCES, INTERRUPTED = 0, 1, 2, 3, 130
PLAIN_INTERVAL = 10.0

# Longer counts hide the sentence that they stand in.
MANY = 10**20


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def say_claim(verdict: Verdict) -> None:
    """What was verified, and where the bound is lowest, on stderr."""
    if verdict.claim is None or verdict.task is None or verdict.question is None:
        return
    task, distribution = str(verdict.task), verdict.question.distribution
    if distribution.arrays():
        task += f" under the distribution {distribution}"
    say(verdict.claim.sentence(task, verdict.weights_sha256))
    worst = verdict.worst_stratum
    if worst is not None:
        counts = f" (at most {worst.wrong_at_most} of {worst.total} wrong)" if worst.total < MANY else ""
        say(
            f"Lowest bound: last token {worst.q}, right output {worst.y}: at least {decimal_down(worst.accuracy)}"
            f" of them right{counts}."
        )


def print_json(record: dict[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    print(json.dumps(record, allow_nan=False), flush=True)


class Watch:
    """Progress of long work: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.started = self.last = time.monotonic()
        console = Console(stderr=True)
        self.bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f}%"))
            self.bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self.task = self.bar.add_task(label)

    def __enter__(self) -> "Watch":
        """Start the bar."""
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Note that `done` of `total` units are finished."""
        if self.bar is not None:
            self.bar.update(self.task, completed=100.0 * done / total, total=100.0)
        elif time.monotonic() - self.last > PLAIN_INTERVAL:
            self.last = time.monotonic()
            say(f"{self.label}: {100 * done // total}% after {self.last - self.started:.0f} s")
