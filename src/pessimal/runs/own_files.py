"""The files that commands write into a folder under names of their own, and what must not stand there before.

Nobody names these files, so nobody would notice that one is lost: what stands under such a name must be what a run
writes there, never an input, and never a link that leads out of the folder.

Contents:
    OWN — names and kinds of what every run may write.
    CIRCUITS, MODEL, INDEX — kinds of what some write.
    require_folder — refuse a folder that cannot be written, holds other things, or whose own files are inputs.
    require_own_files — the part of it that is about files.
    require_no_part — refuse an output that would replace a file of a run folder.
    is_lock — whether a file that begins so is the lock of a run.
"""

import errno
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from pessimal.runs.inputs import STDIN, read_at_most
from pessimal.runs.outputs import (
    CERTIFICATE,
    COQ,
    HEAD,
    PAGE,
    STDOUT,
    STRATA,
    Kind,
    Output,
    OutputError,
    is_same_file,
    real,
    require_folder_writable,
    require_kind,
    status_of,
    why,
)

LOCK_START = b'{"command": '


def is_lock(head: bytes) -> bool:
    """Whether a file that begins so is the lock of a run; one may have been torn while it was written."""
    return head.startswith(LOCK_START) or LOCK_START.startswith(head)


LOCK_NAME = "run.lock"
LEDGER_NAME = "results.jsonl"
REPORT_NAME = "report.html"
# What commands write into a folder under names of their own, beside certificates.
OWN = {
    LEDGER_NAME: Kind("a ledger", lambda head: head[:1] == b"{" or not head.strip()),
    "provenance.json": Kind("the provenance of a run", lambda head: b'"pessimal":' in head or head.strip() == b"{}"),
    "sweep.json": Kind("the configuration of a sweep", lambda head: b'"pessimal-sweep/' in head),
    REPORT_NAME: PAGE,
    "results.json": Kind("results of a reproduction", lambda head: b'"reproduction"' in head),
    LOCK_NAME: Kind("the lock of a run", is_lock),
}
CIRCUITS = Kind("a circuit file", lambda head: re.match(rb'\s*\{\s*"format":\s*"pessimal-', head) is not None)
# A copy of what the ledger says, made again if it is damaged.
DAMAGED = re.compile(rb'\s*|\{|\[\]|\{\}|\{"weights": ?"[^"]*"\}?')
MODEL = Kind("the record of a model", lambda head: b'"weights_sha256":' in head or DAMAGED.fullmatch(head) is not None)
INDEX = Kind("the index of a ledger", lambda head: head[:7] == b"SQLite " and b"CREATE TABLE results (" in head)
INDEX_NAME = "index.sqlite"
# A folder that holds one of these is one that a run made.
MARKS = (LEDGER_NAME, "sweep.json", "results.json", "provenance.json")
PARTS = ("circuits", "certificates", "models")
SUFFIXES = (".cert", ".safetensors")
OTHERS = ("run.lock.held", INDEX_NAME, "training.jsonl")


def require_folder(
    flag: str,
    folder: Path,
    inputs: Mapping[str, Path] | None = None,
    files: Mapping[str, Kind] | None = None,
    *,
    of_runs: bool = True,
) -> None:
    """Refuse, before any work, a folder that is a file, cannot be written, or in which something would be lost.

    Args:
        flag: how the user named it.
        folder: the folder; it need not exist.
        inputs: what is read, by the flag or argument that names it.
        files: names below the folder that will be written.
        of_runs: `OWN` will be written too; refuse a folder with files that no run wrote, unless a run wrote there
            before.

    Raises:
        OutputError: one sentence with the flag and the path.
    """
    inputs = inputs or {}
    if str(folder) == STDOUT:
        raise OutputError(f"{flag} {folder}: a folder of files is written, which cannot be standard output")
    try:
        if os.path.lexists(folder) and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder")
        require_folder_writable(real(folder))
    except OSError as error:
        raise OutputError(f"{flag} {folder}: {why(error)}") from None
    require_own_files(flag, folder, inputs, {**(OWN if of_runs else {}), **(files or {})})
    if of_runs:
        _require_run_folder(flag, folder, inputs.values())


def require_own_files(flag: str, folder: Path, inputs: Mapping[str, Path], files: Mapping[str, Kind] = OWN) -> None:
    """Refuse a folder in which a name that will be written stands for an input or anything that no run writes there.

    Raises:
        OutputError: one sentence with the flag and the path.
    """
    known = [(name, None if str(path) == STDIN else status_of(path), real(path)) for name, path in inputs.items()]
    for name, kind in files.items():
        output = Output(flag, folder / name, kind)
        for word, status, path in known:
            if is_same_file(output.path, status) or real(output.path) == path:
                raise OutputError(f"{flag} {folder} would write over {word}, as {name}")
        if os.path.lexists(output.path):
            _require_own(output, folder)


def _require_own(output: Output, folder: Path) -> None:
    """Raise unless what stands there is a file that a run may replace."""
    path = output.path
    if path.is_symlink() and real(folder) not in real(path).parents:
        raise OutputError(f"{output} is a link that leads out of the folder; take another folder")
    try:
        if not path.is_dir() and not stat.S_ISREG(path.stat().st_mode):
            raise OutputError(f"{output} is not a regular file; take another folder")
        require_kind(output, force=False)
    except FileNotFoundError:
        # A lock comes and goes.
        return
    except OSError as error:
        raise OutputError(f"{output}: {why(error)}") from None
    except OutputError:
        raise OutputError(f"{output} exists and is not {output.kind.name}; take another folder") from None


def _require_run_folder(flag: str, folder: Path, inputs: Iterable[Path]) -> None:
    """Raise if a folder that no run marked as its own holds what no run writes."""
    if not folder.is_dir() or any((folder / name).is_file() for name in MARKS):
        return
    read = [status_of(path) for path in inputs if str(path) != STDIN]
    known = {*OWN, *OTHERS, *PARTS}
    for path in sorted(folder.iterdir()):
        ours = path.name in known or path.suffix in SUFFIXES or path.name.startswith(".") or _is_made(path)
        if not ours and not any(is_same_file(path, status) for status in read):
            raise OutputError(
                f"{flag} {folder} is no run folder: it holds {path.name}, which no run wrote; take an empty or a new"
                " folder"
            )


def _is_made(path: Path) -> bool:
    """Whether a file is one that some command writes where it is told."""
    if not path.is_file():
        return False
    try:
        head = read_at_most(path, HEAD)
    except OSError:
        return False
    return any(kind.fits(head) for kind in (CERTIFICATE, STRATA, PAGE, COQ))


def require_no_part(output: Output, folder: Path) -> None:
    """Refuse an output that would replace a file of a run folder, there or still to be written.

    Raises:
        OutputError: one sentence.
    """
    target, home = real(output.path), real(folder)
    reserved = {home / name for name in {*OWN, *OTHERS} - {REPORT_NAME}}
    inside = target.parent == home and target.suffix in SUFFIXES
    if target in reserved or inside or any(home / part in target.parents for part in PARTS):
        raise OutputError(f"{output} is a place of the run folder's own files, which would be lost")
    parts = [path for part in PARTS for path in (folder / part).glob("*")]
    for path in [*reserved, *parts, *(path for suffix in SUFFIXES for path in folder.glob(f"*{suffix}"))]:
        if is_same_file(output.path, status_of(path)):
            raise OutputError(f"{output} is {path.name} of the run folder, which would be lost")
