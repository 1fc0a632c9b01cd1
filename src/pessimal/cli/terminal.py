"""What a person sees: progress on stderr, verdicts on stdout.

Contents:
    Watch — progress bar on a terminal, sparse plain lines otherwise.
    print_json — the object of `--json`, always the last line of stdout.
    exit_code — of a verdict.
    say — one line on stderr.
    show — one line on stdout, or on stderr where stdout is an output file.
    one_line — text without anything that would break a line.
    unreadable — errors of reading one file, as such.
    say_claim — a verified claim in English, and its worst stratum.
    NAMES, exit codes.
    UnreadableError — a file cannot be read, or does not hold what it should.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pessimal.kernel.rejection import Reason
from pessimal.kernel.verdict import Verdict, Verified
from pessimal.report.numbers import nearest
from pessimal.spec.claim import decimal_down, decimal_up

VERIFIED, REJECTED, USAGE, RESOURCES, INTERRUPTED = 0, 1, 2, 3, 130
PLAIN_INTERVAL = 10.0

# Longer counts hide the sentence that they stand in.
MANY = 10**20


def exit_code(verdict: Verdict) -> int:
    """The exit code of a verdict."""
    if isinstance(verdict, Verified):
        return VERIFIED
    return RESOURCES if verdict.reason is Reason.RESOURCES else REJECTED


class UnreadableError(ValueError):
    """A file cannot be read, or does not hold what it should; one sentence."""


@contextmanager
def unreadable() -> Iterator[None]:
    """Turn errors of reading a file into `UnreadableError`."""
    try:
        yield
    except ValueError as error:
        raise UnreadableError(str(error)) from None


def one_line(text: str) -> str:
    """Text with whatever is not printed (line ends and escapes in the names of files) escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def say(text: str) -> None:
    """One line on stderr."""
    if sys.stderr is not None:
        print(one_line(text), file=sys.stderr, flush=True)


def show(text: str, *, aside: bool = False) -> None:
    """One line on stdout; on stderr if `aside`, because an output file is written to stdout."""
    if aside:
        say(text)
    else:
        print(one_line(text), flush=True)


def say_claim(verdict: Verified) -> None:
    """What was verified, and where the bound is lowest, on stderr."""
    task, distribution = str(verdict.question.task), verdict.question.distribution
    if distribution.arrays():
        task += f" under the distribution {distribution}"
    say(verdict.claim.sentence(task, verdict.certificate.weights_sha256))
    most = verdict.correct_at_most
    if most is not None:
        share = decimal_up(Fraction(most, verdict.claim.total))
        say("No more are: the count is exact." if most == verdict.claim.amount else f"At most {share} of them are.")
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

    def __init__(self, label: str, units: str = "") -> None:
        """`units` of the work where there are few and each takes long: they are counted then."""
        self.label, self.units = label, units
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

    def restart(self) -> None:
        """The work begins anew, as where a longer proof is tried."""
        self.started = time.monotonic()
        if self.bar is not None:
            self.bar.reset(self.task)

    def __call__(self, done: int, total: int) -> None:
        """Note that `done` of `total` units are finished."""
        if self.bar is not None:
            counted = f"{self.label} ({done} of {total} {self.units})" if self.units else self.label
            self.bar.update(self.task, completed=100.0 * done / total, total=100.0, description=counted)
        elif time.monotonic() - self.last > PLAIN_INTERVAL:
            self.last = time.monotonic()
            share = f"{done} of {total} {self.units}" if self.units else f"{100 * done // total}%"
            after = self.last - self.started
            left = f", about {nearest(after * (total - done) / done, '.0f')} s left" if done else ""
            say(f"{self.label}: {share} after {nearest(after, '.0f')} s{left}")
