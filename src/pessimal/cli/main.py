"""Entry point: interrupts and streams first, then the commands.

This module imports nothing heavy: an interrupt while the rest is imported, which takes a second, ends the process at
once, in silence but for one line. From then on an interrupt is a `KeyboardInterrupt`, and when the exit code is known
it changes nothing any more.

Contents:
    main — run the command line and return the exit code.
"""

import _signal as signal  # the names of `signal` itself take longer to import than all of this
import os
import sys

INTERRUPTED = 130
STARTING, RUNNING, DONE = range(3)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0 verified or done, 1 rejected, 2 usage, unreadable input, an output that cannot be written or a fault of the
    program, 3 resources, 130 interrupted. It is the verdict whatever becomes of what is printed. With `--json` the last
    line of stdout is one object in every case; where there is no verdict of a checker it has `"verdict": "ERROR"` and a
    reason of usage, unreadable, unwritable, resources, interrupted, internal.

    Args:
        argv: the words; left out, those of this process, whose streams and signals are then looked after as well.
    """
    if argv is not None:
        from pessimal.cli.streams import escaping_streams

        with escaping_streams():
            return _run(argv)
    args = sys.argv[1:]
    with _Interrupts(as_json="--json" in args) as interrupts:
        from pessimal.cli.streams import escaping_streams, fill_descriptors

        fill_descriptors()
        from pessimal.cli import commands

        with escaping_streams():
            try:
                interrupts.phase = RUNNING
                code = commands.run(args)
                interrupts.phase = DONE
            except KeyboardInterrupt:
                interrupts.phase = DONE
                code = commands.interrupted(args)
    return code


def _run(args: list[str]) -> int:
    from pessimal.cli import commands

    try:
        return commands.run(args)
    except KeyboardInterrupt:
        return commands.interrupted(args)


class _Interrupts:
    """What Ctrl-C does, by phase; nothing is changed for a process that was started with interrupts ignored."""

    def __init__(self, *, as_json: bool) -> None:
        self.phase = STARTING
        self.as_json = as_json

    def __enter__(self) -> "_Interrupts":
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        # Kept to the end: the verdict stands, and the interpreter has little left to do.
        self.phase = DONE

    def _handle(self, _number: int, _frame: object) -> None:
        if self.phase == RUNNING:
            raise KeyboardInterrupt
        if self.phase == STARTING:
            # Nothing was begun. Leaving at once is safe, and an exception might be swallowed inside an import.
            try:
                os.write(2, b"pessimal: interrupted\n")
                if self.as_json:
                    os.write(1, b'{"verdict": "ERROR", "reason": "interrupted", "detail": "interrupted"}\n')
            finally:
                os._exit(INTERRUPTED)
