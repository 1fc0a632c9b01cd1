"""All commands: parse, run, turn every error into one line, an exit code and, with `--json`, one object.

Contents:
    run — words to an exit code.
    interrupted — what an interrupt ends with.
"""

import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from pessimal.cli.analyse import Analyse
from pessimal.cli.check import Check
from pessimal.cli.demo import Demo
from pessimal.cli.formal import Formal
from pessimal.cli.frontier import Frontier
from pessimal.cli.info import Info
from pessimal.cli.prove import Prove
from pessimal.cli.report import Report
from pessimal.cli.reproduce import Reproduce
from pessimal.cli.strategies import Strategies
from pessimal.cli.sweep import Sweep
from pessimal.cli.terminal import INTERRUPTED, RESOURCES, USAGE, UnreadableError, one_line, print_json, say
from pessimal.cli.train import Train
from pessimal.cli.train_modular import TrainModular
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.runs import RunFolderError
from pessimal.runs.config import ConfigError
from pessimal.runs.outputs import OutputError
from pessimal.spec import WeightsError
from pessimal.spec.tasks import ModularAddition

Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Prove, tyro.conf.subcommand("prove")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Strategies, tyro.conf.subcommand("strategies")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Frontier, tyro.conf.subcommand("frontier")]
    | Annotated[Analyse, tyro.conf.subcommand("analyse")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Formal, tyro.conf.subcommand("formal")]
)
# Below this the help never comes to an end: tyro 1.0 wraps lines of no width for ever.
LEAST_COLUMNS = 40
NOT_UNDERSTOOD = "the command line is not understood"
# Of a complaint of tyro: lines of its frame, and how much of one is said again.
FRAME = re.compile("[─-]{3}")
MAX_COMPLAINT = 400
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
    said = StringIO()
    try:
        with _kept(said) if "--json" in args else nullcontext():
            command = _parse(args)
        return int(command.run())
    except KeyboardInterrupt:
        raise
    except SystemExit as stop:
        # Help (0) or words that are none of a command's (2), said already.
        code = stop.code if isinstance(stop.code, int) else USAGE if stop.code else 0
        if code:
            _print_failure(args, Failure(code, "ERROR", "usage", _complaint(said.getvalue())))
        return code
    except BaseException as error:  # noqa: BLE001 - an escaping exception would exit 1, which means rejected
        failure = _failure(error, args)
        say(f"pessimal: {failure.detail}")
        _print_failure(args, failure)
        return failure.code


def interrupted(args: list[str]) -> int:
    """Say so."""
    say("pessimal: interrupted; nothing half-written was left behind")
    _print_failure(args, Failure(INTERRUPTED, "ERROR", "interrupted", "interrupted"))
    return INTERRUPTED


def _parse(args: list[str]) -> Command:
    # This task is trained by other recipes than the tasks that read one sequence at a time.
    modular = args[:2] == ["train", ModularAddition.name]
    with _wide_enough():
        command: Command = tyro.cli(
            TrainModular if modular else Command,  # type: ignore[arg-type]
            prog=f"pessimal train {ModularAddition.name}" if modular else "pessimal",
            description=None if modular else "Compact, checkable proofs of model performance.",
            args=args[2:] if modular else args,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.CascadeSubcommandArgs),
        )
    return command


@contextmanager
def _kept(said: StringIO) -> Iterator[None]:
    """Keep what is written to stderr, and write it there at the end."""
    try:
        with redirect_stderr(said):
            yield
    finally:
        if sys.stderr is not None:
            sys.stderr.write(said.getvalue())


def _complaint(box: str) -> str:
    """What tyro says of words that are no command's, in one line without its frame."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()
    # Where lines cannot be drawn, the title stands above a row of dashes.
    lines = lines[1:] if len(lines) > 1 and FRAME.search(lines[1]) else lines
    inner = (re.sub(r"^\W*[│|+] ?|[│|+]\s*$", "", line).strip() for line in lines if not FRAME.search(line))
    words = re.split("Argument helptext|For full helptext|Perhaps you meant", " ".join(filter(None, inner)))[0].strip()
    return f"{NOT_UNDERSTOOD}: {words}"[:MAX_COMPLAINT] if words else NOT_UNDERSTOOD


@contextmanager
def _wide_enough() -> Iterator[None]:
    """Pretend a least width while tyro writes."""
    kept = os.environ.get("COLUMNS")
    if shutil.get_terminal_size().columns >= LEAST_COLUMNS:
        yield
        return
    os.environ["COLUMNS"] = str(LEAST_COLUMNS)
    try:
        yield
    finally:
        if kept is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = kept


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
