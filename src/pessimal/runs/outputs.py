"""Writing files that somebody names, so that nothing is lost.

A regular file is replaced in one step, through symbolic links and with its mode; a device, a pipe or an open
descriptor (`-`, `/dev/stdout`, `/dev/fd/3`) is written into, because a rename would remove it.

Contents:
    write_atomic — bytes to a path.
    Output — a path with the flag that named it and the kind of file that goes there.
    Kind, CERTIFICATE, STRATA, PAGE, COQ — how to tell what a file is.
    require_writable — refuse outputs that are inputs, other files or not writable, before the work starts.
    require_kind, require_folder_writable, is_same_file, real — its parts, for folders (`own_files.py`).
    takes_stdout — whether an output is this process's standard output.
    OutputError — one sentence naming the flag and the path.
    status_of — what stands at a path, links followed.
    why — an error of the system in words.
"""

import contextlib
import errno
import os
import secrets
import select
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pessimal.runs.inputs import STDIN

STDOUT = "-"
HEAD = 1 << 16
MAX_LINKS = 40


class OutputError(ValueError):
    """An output cannot be written, or would destroy something; one sentence."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: with its article.
        fits: whether a file that begins so is of this kind.
    """

    name: str
    fits: Callable[[bytes], bool]


CERTIFICATE = Kind("a certificate", lambda head: b'"format":"pessimal-certificate/' in head[8:])
STRATA = Kind("a table of strata", lambda head: head[:2] in {b"q,", b"[\n", b"[{"} and b"wrong_at_most" in head)
PAGE = Kind("a report", lambda head: b"<title>Proven accuracy" in head or b"<title>Evidence" in head)
COQ = Kind("a Coq file of a certificate", lambda head: head.startswith(b"(** A lower bound on the accuracy"))


@dataclass(frozen=True)
class Output:
    """A file that a command will write.

    Attributes:
        flag: how the user named it.
        path: what the user wrote.
        kind: what will be written.
    """

    flag: str
    path: Path
    kind: Kind

    def __str__(self) -> str:
        """Flag and path, as the user wrote them."""
        return f"{self.flag} {self.path}"

    def write(self, data: bytes) -> None:
        """Write it.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            write_atomic(self.path, data)
        except OSError as error:
            raise OutputError(f"{self}: {why(error)}") from None


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a regular file in one step: a reader sees the old file or the new one, never a part.

    A symbolic link stays, and the file it names is replaced; an existing file keeps its mode. What is no regular file
    is written into.

    Args:
        path: where to write; its folder is created if needed. `-` is standard output.
        data: the whole file.

    Raises:
        OSError: it cannot be written; names the path that was given.
    """
    try:
        descriptor = _descriptor(path)
        status = _status(path)
        if descriptor is not None:
            _write_all(descriptor, data)
        elif status is None or stat.S_ISREG(status.st_mode):
            _replace(real(path), status, data)
        else:
            opened = os.open(path, os.O_WRONLY)
            try:
                _write_all(opened, data)
            finally:
                os.close(opened)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


def real(path: Path) -> Path:
    """A path with its links followed; one that leads round in a circle stays as it is."""
    try:
        return path.resolve()
    except RuntimeError:
        return path.absolute()


def _replace(target: Path, status: os.stat_result | None, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            if status is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def _status(path: Path) -> os.stat_result | None:
    """What stands at a path, links followed; None if nothing does."""
    try:
        return os.fstat(1) if str(path) == STDOUT else path.stat()
    except FileNotFoundError:
        return None


def _descriptor(path: Path) -> int | None:
    """The open descriptor of this process that a path names, as `/dev/stdout` does, or None."""
    if str(path) == STDOUT:
        return 1
    at, folder = path.absolute(), Path("/proc/self/fd").resolve()
    for _ in range(MAX_LINKS):
        if at.name.isdecimal() and real(at.parent) == folder:
            return int(at.name)
        if not at.is_symlink():
            break
        at = at.parent / at.readlink()
    # The shell's `> file` with the same file as output: a rename would lose what is printed.
    with contextlib.suppress(OSError):
        ours, status = os.fstat(1), path.stat()
        if os.path.samestat(ours, status) and (stat.S_ISREG(ours.st_mode) or stat.S_ISFIFO(ours.st_mode)):
            return 1
    return None


def takes_stdout(path: Path | None) -> bool:
    """Whether what is written there goes to standard output."""
    return path is not None and _descriptor(path) == 1


def require_writable(outputs: Sequence[Output], inputs: Mapping[str, Path], *, force: bool = False) -> None:
    """Refuse, before any work, outputs that are inputs, each other, files of another kind, or cannot be written.

    Args:
        outputs: what will be written.
        inputs: what is read, by the flag or argument that names it.
        force: replace files of other kinds, and write into disks.

    Raises:
        OutputError: the first complaint.
    """
    readers = [name for name, path in inputs.items() if str(path) == STDIN]
    if len(readers) > 1:
        raise OutputError(f"{' and '.join(readers)} cannot both be standard input")
    for place, output in enumerate(outputs):
        for name, path in inputs.items():
            if is_same_file(output.path, os.fstat(0) if str(path) == STDIN else status_of(path)):
                raise OutputError(f"{output} is {name}, which would be lost")
        for other in outputs[:place]:
            mine, theirs = real(output.path), real(other.path)
            both = takes_stdout(output.path) and takes_stdout(other.path)
            if both or mine == theirs or is_same_file(output.path, status_of(other.path)):
                raise OutputError(f"{output} is also {other.flag}")
            if mine in theirs.parents or theirs in mine.parents:
                inner, outer = (output, other) if theirs in mine.parents else (other, output)
                raise OutputError(f"{inner} would lie in {outer}, which is to be a file")
        try:
            require_kind(output, force=force)
        except OSError as error:
            raise OutputError(f"{output}: {why(error)}") from None


def status_of(path: Path) -> os.stat_result | None:
    """What stands at a path, links followed; None if that cannot be said."""
    with contextlib.suppress(OSError):
        return path.stat()
    return None


def is_same_file(output: Path, status: os.stat_result | None) -> bool:
    """Whether an output is that regular file, by whatever name; devices and pipes lose nothing."""
    mine = os.fstat(1) if str(output) == STDOUT else status_of(output)
    return None not in {mine, status} and os.path.samestat(mine, status) and stat.S_ISREG(mine.st_mode)


def require_kind(output: Output, *, force: bool) -> None:
    """Raise unless the output can be written, as far as that can be known before."""
    path = output.path
    descriptor = _descriptor(path)
    if descriptor is not None:
        os.fstat(descriptor)
        return
    status = _status(path)
    if status is None:
        require_folder_writable(real(path).parent)
        return
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file")
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if stat.S_ISBLK(status.st_mode) and not force:
        raise OutputError(f"{output} is a disk; --force writes over it")
    if not stat.S_ISREG(status.st_mode):
        return
    if status.st_size and not force:
        with path.open("rb") as file:
            if not output.kind.fits(file.read(HEAD)):
                raise OutputError(f"{output} exists and is not {output.kind.name}; --force replaces it")
    require_folder_writable(real(path).parent)


def require_folder_writable(folder: Path) -> None:
    """Make and remove a file in the folder, or in the nearest one above it that exists."""
    while not os.path.lexists(folder):
        folder = folder.parent
    probe = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        probe.open("xb").close()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def why(error: OSError) -> str:
    """An error of the system in words."""
    return error.strerror or "cannot be written"
