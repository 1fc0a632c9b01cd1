"""One writer per run folder.

The lock is the operating system's (`flock`) on the file `run.lock` of the folder, held as long as the writer lives: it
ends with its process, however that ends. The file says who holds it and is removed at the end; one that is left over
names a writer that was killed, which is said. Where the file system knows no such locks, a second file that only one
process can create stands in for it; that one outlives a killed writer, and nobody but a person removes it.

Contents:
    one_writer — hold the lock of a folder.
    LOCK — name of the file.
    FolderInUseError — someone else writes there, or the file is no lock.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pessimal.runs.notices import notice
from pessimal.runs.own_files import LOCK_NAME, is_lock

LOCK = LOCK_NAME
STAND_IN = "run.lock.held"
POLL_SECONDS = 0.2
MAX_RECORD = 4096
BUSY = {errno.EAGAIN, errno.EACCES}
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class FolderInUseError(ValueError):
    """Another process writes in the folder, or its lock is somebody's file; the message is one sentence."""


@contextmanager
def one_writer(folder: Path, command: str, *, wait: bool) -> Iterator[None]:
    """Hold a run folder, which is created if need be.

    Args:
        folder: the folder.
        command: what the writer is called, such as `pessimal sweep`.
        wait: wait for another writer, saying so once; otherwise refuse.

    Raises:
        FolderInUseError: someone else writes there, and `wait` is off or the file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    descriptor = _acquired(path, command, wait=wait)
    held = path if descriptor is not None else folder / STAND_IN
    try:
        if descriptor is not None:
            _write_owner(descriptor, command)
        yield
    finally:
        held.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)


def _acquired(path: Path, command: str, *, wait: bool) -> int | None:
    """The open, locked file; None where the stand-in was created instead."""
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        kept = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one before removes its file while holding it: what was locked may have no name any more.
            if _is_named(descriptor, path):
                _require_lock(descriptor, path)
                _tell_of_the_one_before(path, _owner(descriptor))
                kept = True
                return descriptor
        except OSError as error:
            if error.errno in NO_LOCKS:
                _require_lock(descriptor, path)
                _create_stand_in(path, command)
                return None
            if error.errno not in BUSY:
                raise
            owner = _owner(descriptor) or "another process"
            if not wait:
                raise FolderInUseError(
                    f"{path.parent} is in use by {owner}; wait until that ends, or choose another folder"
                ) from None
            if not told:
                notice(f"waiting for {owner}, which writes in {path.parent}")
                told = True
            time.sleep(POLL_SECONDS)
        finally:
            if not kept:
                os.close(descriptor)


def _create_stand_in(path: Path, command: str) -> None:
    """Create the file that stands in for a lock, or refuse."""
    place = path.with_name(STAND_IN)
    path.unlink(missing_ok=True)
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        owner = _owner(descriptor) or "another process"
        os.close(descriptor)
        raise FolderInUseError(
            f"{path.parent}/{STAND_IN} says that {owner} writes there; if that has ended, delete the file"
            " (this file system has no locks, so nobody else can tell)"
        ) from None
    _write_owner(descriptor, command)
    os.close(descriptor)


def _is_named(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _require_lock(descriptor: int, path: Path) -> None:
    """Raise if the file was there before and is no lock: it is removed at the end."""
    if not is_lock(os.pread(descriptor, MAX_RECORD, 0)):
        raise FolderInUseError(f"{path} is no lock of a run; move it away, or choose another folder")


def _tell_of_the_one_before(path: Path, owner: str | None) -> None:
    if owner is not None:
        name = f"{path.parent}/{LOCK}"
        notice(f"{name} was left behind by {owner}, which no longer holds it; going on from what is there")


def _write_owner(descriptor: int, command: str) -> None:
    """Say in the file who holds it."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    record = json.dumps({"command": command, "pid": os.getpid(), "since": since})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, record.encode() + b"\n", 0)


def _owner(descriptor: int) -> str | None:
    """Who wrote the file, in words; None if it is empty."""
    data = os.pread(descriptor, MAX_RECORD, 0)
    if not data:
        return None
    try:
        record = json.loads(data)
        command, pid, since = (record[key] for key in ("command", "pid", "since"))
    except (ValueError, RecursionError, TypeError, KeyError):
        return "another process"
    if not (isinstance(pid, int) and all(isinstance(x, str) and x.isprintable() for x in (command, since))):
        return "another process"
    return f"{command[:80]} (process {pid}, since {since[:40]})"
