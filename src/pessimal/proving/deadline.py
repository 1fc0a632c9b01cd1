"""Time for a search, in seconds of a clock on the wall.

Contents:
    Deadline — ends what runs within it when its time is up.
    read_seconds — a time as people write it.
"""

import gc
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pessimal.kernel.rules.interface import Progress
from pessimal.strategies.interface import OutOfTimeError, StrategyError

MAX_SECONDS = 10.0**7
# Modules with callbacks for what dies.
WEAK = {"weakref", "_weakrefset"}


def _loses_errors(frame: FrameType | None) -> bool:
    """Whether an error raised there is printed and forgotten: in a finaliser, or what a garbage collection calls."""
    collected = [getattr(called, "__code__", None) for called in gc.callbacks]
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_code in collected:
            return True
        if frame.f_globals.get("__name__") in WEAK:
            return True
        frame = frame.f_back
    return False


def read_seconds(seconds: int | float) -> float:
    """A time that can be waited for.

    Raises:
        StrategyError: it is not positive, or no number.
    """
    if not (math.isfinite(seconds) and 0 < seconds <= MAX_SECONDS):
        raise StrategyError(f"seconds={seconds} is not a time from 0 to {MAX_SECONDS:.0f}")
    return float(seconds)


class Deadline:
    """Raises `OutOfTimeError` once, within `running`, when the time is up.

    A search is asked whenever it tells of its progress. In the main thread an alarm asks as well, because a step of
    a search may take long.

    Attributes:
        passed: whether the time was up before the search was done.
    """

    def __init__(self, seconds: int | float | None) -> None:
        self.seconds = seconds
        self.end = math.inf if seconds is None else time.monotonic() + read_seconds(seconds)
        self.passed = False

    def half(self) -> "Deadline":
        """One when half of the time that is left has passed."""
        return Deadline(None if self.seconds is None else max(self.end - time.monotonic(), 1e-9) / 2)

    def over(self) -> bool:
        """Whether there is no time left."""
        return self.passed or time.monotonic() >= self.end

    def asking(self, progress: Progress) -> Progress:
        """Progress that is told on, and asks."""

        def told(done: int, total: int) -> None:
            progress(done, total)
            self._ask()

        return told

    def _ask(self) -> None:
        # Once: whoever catches it has the time to make something of what was found.
        if not self.passed and time.monotonic() >= self.end:
            self.passed = True
            raise OutOfTimeError

    @contextmanager
    def running(self) -> Iterator[None]:
        """While it runs the alarm is set, where that disturbs nobody."""
        free = self.seconds is not None and threading.current_thread() is threading.main_thread()
        if not free or not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGALRM) != signal.SIG_DFL:
            yield
            return

        def alarm(_number: int, frame: FrameType | None) -> None:
            # Where an error would be lost, the next alarm asks.
            if not _loses_errors(frame):
                self._ask()

        signal.signal(signal.SIGALRM, alarm)
        signal.setitimer(signal.ITIMER_REAL, max(self.end - time.monotonic(), 1e-3), 0.02)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
