"""Ctrl-C while workers are at work.

The signal reaches the whole process group. Workers are started with it blocked, so the parent alone answers: the first
one asks to stop and is answered by a line within a moment, a second one leaves at once.

Contents:
    Interrupts — notes the first, lets the second through.
    blocked — start processes that do not see the signal.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType, TracebackType

from pessimal.runs.notices import notice

INTERRUPTED = 130
# A progress bar hides it, and has no chance to bring it back.
SHOW_CURSOR = b"\x1b[?25h\n"
STOPPING = "stopping; finished proofs are kept; press Ctrl-C again to leave now"
# How long an engine may wait before it looks whether it was asked to stop.
LOOK_SECONDS = 0.2


class Interrupts:
    """Within it, an interrupt is a request that the engine looks at; outside, whatever it was before.

    Attributes:
        asked: whether there was one.
    """

    def __init__(self) -> None:
        self.asked = False
        self._told = False
        self._before: object = None

    def __enter__(self) -> "Interrupts":
        """Take the signal over, in the main thread of a process that does not ignore it."""
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if handler not in (signal.SIG_IGN, None):
                self._before = handler
                signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signal back."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.asked:
            # Whatever is in the way, workers included, is not worth waiting for: they end when their parent does.
            with contextlib.suppress(OSError):
                if os.isatty(2):
                    os.write(2, SHOW_CURSOR)
            os._exit(INTERRUPTED)
        self.asked = True

    def stop(self) -> bool:
        """Whether to stop now; says so the first time."""
        if self.asked and not self._told:
            self._told = True
            notice(STOPPING)
        return self.asked


@contextmanager
def blocked() -> Iterator[None]:
    """Processes and threads started within it, and theirs, do not see interrupts; one that comes is answered after."""
    # Starting the tracker lets the signal through again; started before, it does not.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
