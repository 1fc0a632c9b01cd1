"""All commands: parse, run, turn every error into one line, an exit code and, with `--json`, one object.

Contents:
    run — words to an exit code.
    interrupted — what an interrupt ends with.
    Failure — how a command ended that has no verdict of a checker.
"""

import errno
from pathlib import Path
from typing import NamedTuple

from pessimal.cli.parsing import Parsed, parse
from pessimal.cli.terminal import (
    INTERRUPTED,
    RESOURCES,
    USAGE,
    VERIFIED,
    UnreadableError,
    one_line,
    print_json,
    say,
)
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.runs import RunFolderError
from pessimal.runs.config import ConfigError
from pessimal.runs.outputs import OutputError
from pessimal.spec import WeightsError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPIPE}

# Every expected error of the library is a ValueError whose text is one sentence for the user.
REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (OutputError, "unwritable"),
    ((UnreadableError, WeightsError, RunFolderError, ConfigError, UnicodeDecodeError), "unreadable"),
    (ValueError, "usage"),
)


class Failure(NamedTuple):
    """How a command ended that has no verdict of a checker."""

    code: int
    verdict: str
    reason: str
    detail: str


def run(args: list[str]) -> int:
    """Parse and run a command; the exit code is the verdict.

    Raises:
        KeyboardInterrupt: as it comes.
    """
    try:
        return _answer(parse(args), args)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - an escaping exception would exit 1, which means rejected
        failure = _failure(error, args)
        say(f"pessimal: {failure.detail}")
        _print_failure(args, failure)
        return failure.code


def _answer(asked: Parsed, args: list[str]) -> int:
    """Run the command, or print what was asked for instead."""
    if asked.command is not None:
        return int(asked.command.run())
    print(asked.text)
    if "--json" in args and asked.record is not None:
        print_json(dict(asked.record))
    return VERIFIED


def interrupted(args: list[str]) -> int:
    """Say so."""
    say("pessimal: interrupted; nothing half-written was left behind")
    _print_failure(args, Failure(INTERRUPTED, "ERROR", "interrupted", "interrupted"))
    return INTERRUPTED


def _failure(error: BaseException, args: list[str]) -> Failure:
    """Exit code, reason and sentence of an error."""
    text = str(error)
    if isinstance(error, Rejected):
        code = RESOURCES if error.reason is Reason.RESOURCES else USAGE
        return Failure(code, "REJECTED", str(error.reason), error.detail)
    if isinstance(error, MemoryError):
        advice = "; try a smaller --max-bytes or another strategy" if args[:1] in (["prove"], ["check"]) else ""
        return Failure(RESOURCES, "ERROR", "resources", f"out of memory{advice}")
    if isinstance(error, ModuleNotFoundError):
        return Failure(USAGE, "ERROR", "usage", f"this needs the package {error.name}, which is not installed")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        reason = "unwritable" if error.errno in FULL else "unreadable"
        return Failure(USAGE, "ERROR", reason, f"{where}{error.strerror or text or type(error).__name__}")
    for kinds, reason in REASONS:
        if isinstance(error, kinds):
            return Failure(USAGE, "ERROR", reason, text)
    return Failure(USAGE, "ERROR", "internal", f"a fault of the program: {type(error).__name__}: {text}{_place(error)}")


def _place(error: BaseException) -> str:
    """Where an error was raised, for whoever mends it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" ({Path(trace.tb_frame.f_code.co_filename).name} line {trace.tb_lineno})"


def _print_failure(args: list[str], failure: Failure) -> None:
    """The object of `--json`."""
    if "--json" in args:
        print_json({"verdict": failure.verdict, "reason": failure.reason, "detail": one_line(failure.detail)})
