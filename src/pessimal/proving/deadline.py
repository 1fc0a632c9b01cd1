"""Time for a search, in seconds of a clock on the wall.

Contents:
    Deadline — ends what runs within it when its time is up.
    Alarm — what asks it in the main thread.
    read_seconds — a time as people write it.
"""

import gc
import math
import signal
import threading
import time
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
            self.ask()

        return told

    def ask(self) -> None:
        """Raises when the time is up, once: who catches it has the time to make something of what was found.

        Raises:
            OutOfTimeError: the time is up.
        """
        if not self.passed and time.monotonic() >= self.end:
            self.passed = True
            raise OutOfTimeError

    def running(self) -> "Alarm":
        """While it runs the alarm is set, where that disturbs nobody."""
        return Alarm(self)


class Alarm:
    """Asks a deadline in the main thread, from its end on until somebody listens.

    A class and not a generator: an error raised while a generator is left would leave the alarm set.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._set = False

    def _ring(self, _number: int, frame: FrameType | None) -> None:
        # Where an error would be lost, or leave the alarm half set, the next alarm asks.
        within = frame is not None and frame.f_code in (Alarm.__enter__.__code__, Alarm.__exit__.__code__)
        if not (within or _loses_errors(frame)):
            self._deadline.ask()

    def __enter__(self) -> None:
        """Sets it, in the main thread, where nobody else uses alarms."""
        main = threading.current_thread() is threading.main_thread()
        if not (main and self._deadline.seconds is not None and hasattr(signal, "setitimer")):
            return
        if signal.getsignal(signal.SIGALRM) != signal.SIG_DFL:
            return
        self._set = True
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, max(self._deadline.end - time.monotonic(), 1e-3), 0.02)

    def __exit__(self, *_error: object) -> None:
        """Takes it down."""
        if self._set:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            # Ignoring forgets an alarm still under way, which would end the process once the default is back.
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
