"""What the command line says of itself: the commands in groups, an example of each, the version.

Contents:
    COMMANDS — every command by its name.
    GROUPS — what they are for.
    EXAMPLES — command lines that show what is usual.
    root_help — what `pessimal --help` prints.
    help_of — what `pessimal COMMAND --help` prints.
    version_text, version_record — what a bug report should say.
"""

import os
import platform
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import metadata
from io import StringIO
from typing import Any

import pessimal
from pessimal.cli.analyse import Analyse
from pessimal.cli.check import Check
from pessimal.cli.convert import Convert
from pessimal.cli.demo import Demo
from pessimal.cli.formal import Formal
from pessimal.cli.frontier import Frontier
from pessimal.cli.info import Info
from pessimal.cli.prove import Prove
from pessimal.cli.report import Report
from pessimal.cli.reproduce import Reproduce
from pessimal.cli.strategies import Strategies
from pessimal.cli.sweep import Sweep
from pessimal.cli.tables import LEAST_COLUMNS, columns
from pessimal.cli.task import Task
from pessimal.cli.train import Train

GROUPS: dict[str, dict[str, type]] = {
    "Daily: a model to a proof": {
        "info": Info,
        "prove": Prove,
        "check": Check,
        "strategies": Strategies,
        "task": Task,
        "convert": Convert,
        "demo": Demo,
    },
    "Study: many proofs, many models": {
        "frontier": Frontier,
        "analyse": Analyse,
        "sweep": Sweep,
        "train": Train,
        "reproduce": Reproduce,
    },
    "Publish: for other people": {
        "report": Report,
        "formal": Formal,
    },
}
COMMANDS: dict[str, type] = {name: kind for group in GROUPS.values() for name, kind in group.items()}
EXAMPLES: dict[str, tuple[str, ...]] = {
    "info": (
        "pessimal info model.safetensors",
        "pessimal info model.pt --task max-of-k --json",
    ),
    "prove": (
        "pessimal prove model.safetensors",
        "pessimal prove model.safetensors --strategy band --option near=7 --out model.cert",
        "pessimal prove model.safetensors --budget 2^20 --out - > model.cert",
    ),
    "check": (
        "pessimal check model.cert --weights model.safetensors",
        "pessimal check model.cert model.safetensors --arithmetic arb",
        "pessimal check model.cert --weights model.safetensors --task max-of-k --at-least 16000000/16777216",
    ),
    "strategies": (
        "pessimal strategies",
        "pessimal strategies --task modular-addition",
        "pessimal strategies --claim loss --json",
    ),
    "task": ("pessimal task mine.py:largest --k 4 --d-vocab 64 --out mine.json",),
    "convert": (
        "pessimal convert model.pt --out model.safetensors",
        "pessimal convert model.npz --fact act_fn=relu --fact task=modular-addition --out model.safetensors",
    ),
    "demo": (
        "pessimal demo",
        "pessimal demo --weights weights --out demo-out",
    ),
    "frontier": (
        "pessimal frontier model.safetensors --out run",
        "pessimal frontier model.safetensors --budgets 2^18 2^20 1e7 --out run",
    ),
    "analyse": ("pessimal analyse model.safetensors --out run && pessimal report run",),
    "sweep": ("pessimal sweep sweep.toml --out results --workers 4",),
    "train": (
        "pessimal train max-of-k --k 4 --d-vocab 64 --seeds 0:8 --out weights",
        "pessimal train modular-addition --recipe pizza --out weights",
    ),
    "train modular-addition": ("pessimal train modular-addition --recipe clock --seeds 0:4 --out weights",),
    "reproduce": ("pessimal reproduce main-table --smoke",),
    "report": (
        "pessimal report run --out report.html",
        "pessimal report run --weights model.safetensors --out report.html",
    ),
    "formal": ("pessimal formal export model.cert --weights model.safetensors --out coq",),
}
SUMMARY = "Compact, checkable proofs of model performance."
USAGE = "usage: pessimal COMMAND ...\n       pessimal COMMAND --help\n       pessimal --version"
START = (
    "pessimal info model.safetensors",
    "pessimal prove model.safetensors --out model.cert",
    "pessimal check model.cert --weights model.safetensors",
)
INDENT = "  "
NAME_WIDTH = max(map(len, COMMANDS)) + 2
# Whatever computes what a verdict rests on, or is asked for in a report of a fault.
PACKAGES = ("numpy", "python-flint")


def root_help() -> str:
    """The commands in groups, and how to begin."""
    lines = [USAGE, "", SUMMARY]
    for title, group in GROUPS.items():
        lines += ["", f"{title}"]
        for name, kind in group.items():
            head = f"{INDENT}{name:<{NAME_WIDTH}}"
            text = " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())
            lines += textwrap.wrap(text, columns(), initial_indent=head, subsequent_indent=" " * len(head))
    return "\n".join([*lines, "", *_examples(START)])


def help_of(called: str, render: Callable[[], object]) -> str:
    """What a command is for, its arguments and examples.

    Args:
        called: the command.
        render: prints what it is for and its arguments, and raises `SystemExit`.
    """
    kept = _Kept(sys.stdout)
    with _wide_enough(), suppress(SystemExit), redirect_stdout(kept):
        render()
    lines = kept.getvalue().rstrip().splitlines()
    return "\n".join([*(_wrapped(line.rstrip()) for line in lines), "", *_examples(EXAMPLES[called])])


def _wrapped(line: str) -> str:
    """A line of tyro's, which wraps what stands in boxes and nothing else."""
    if len(line) <= columns() or "\x1b" in line:
        return line
    return textwrap.fill(line, columns(), subsequent_indent=" " * 7 * line.startswith("usage:"))


class _Kept(StringIO):
    """Text that is written, with the colours and frames that the stream in whose place it stands would have."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def isatty(self) -> bool:
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding or "ascii"


def _examples(lines: tuple[str, ...]) -> list[str]:
    """Command lines to copy: never broken."""
    return ["Examples" if lines[1:] else "Example", *(f"{INDENT}{line}" for line in lines)]


def version_record() -> dict[str, str]:
    """The versions of this package, of what it computes with, and of Python."""
    found = {"pessimal": pessimal.__version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "python": platform.python_version()}


def version_text() -> str:
    """The same, one on a line."""
    return "\n".join(f"{name} {version}" for name, version in version_record().items())


@contextmanager
def _wide_enough() -> Iterator[None]:
    """Pretend a least width while tyro writes: below it, it never comes to an end."""
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
