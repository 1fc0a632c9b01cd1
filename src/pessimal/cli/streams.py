"""Standard streams that cannot end a command: the exit code is the verdict, whatever becomes of what is printed.

Contents:
    EscapingStream — a text stream whose writes never raise.
    escaping_streams — stdout and stderr as such for a while.
    fill_descriptors — no file that is opened later becomes standard input, output or error.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class EscapingStream:
    """A text stream: what it cannot encode is escaped, and after an error everything is dropped.

    Attributes:
        error: the first error of writing, or None.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.error: Exception | None = None

    def write(self, text: str) -> int:
        """Write, or drop."""
        if self._inner is not None and self.error is None:
            try:
                self._write(self._inner, text)
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Write what was held back, or drop it."""
        if self._inner is not None and self.error is None:
            try:
                self._inner.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def isatty(self) -> bool:
        """Whether this is a terminal."""
        with suppress(OSError, ValueError):
            return self._inner is not None and self._inner.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        return getattr(self._inner, name)

    @staticmethod
    def _write(inner: Any, text: str) -> None:
        try:
            inner.write(text)
        except UnicodeEncodeError:
            encoding = inner.encoding or "ascii"
            inner.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def _give_up(self, error: Exception) -> None:
        self.error = error
        # The interpreter writes what is still held back when it ends, and would change the exit code for an error.
        with suppress(OSError, ValueError, AttributeError):
            number = self._inner.fileno()
            if number in {1, 2}:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)


@contextmanager
def escaping_streams() -> Iterator[None]:
    """Put `EscapingStream` around stdout and stderr; at the end say on stderr if stdout was lost to a full disk."""
    kept = sys.stdout, sys.stderr
    out, err = EscapingStream(sys.stdout), EscapingStream(sys.stderr)
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield
    finally:
        out.flush()
        # A reader that has gone away knows what it does; anything else is worth a line.
        if isinstance(out.error, OSError) and out.error.errno != errno.EPIPE:
            err.write(f"pessimal: standard output: {out.error.strerror}\n")
        err.flush()
        sys.stdout, sys.stderr = kept


def fill_descriptors() -> None:
    """Open the null device in place of standard streams that were closed when the process started."""
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # noqa: FBT003 - takes no keyword
