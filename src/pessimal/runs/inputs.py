"""Reading files that somebody names: never more than a limit, whatever the file is.

The size that a file states is believed of regular files only: devices and pipes state none. The path `-` is standard
input.

Contents:
    read_at_most — the first bytes of a file.
    read_whole — all bytes, if they are within a limit.
    read_text — likewise as text, with or without a byte-order mark.
    shown — what a file is called in messages.
    TooLargeError — there is more than the limit.
"""

import stat
from collections.abc import Callable
from io import BytesIO, FileIO, RawIOBase
from pathlib import Path

STDIN = "-"
MAX_TEXT_BYTES = 1 << 26
CHUNK = 1 << 20


class TooLargeError(ValueError):
    """A file has more bytes than may be read."""


def shown(path: Path) -> str:
    """The name of a file, without its folder."""
    return "standard input" if str(path) == STDIN else path.name


def stem_of(path: Path) -> str:
    """What files made from this one are called."""
    return "stdin" if str(path) == STDIN else path.stem


def read_at_most(path: Path, limit: int, begins: Callable[[bytes], bool] = lambda _: True) -> bytes:
    """The first `limit` bytes of a file, or all if it is shorter.

    Args:
        path: the file, or `-`.
        limit: how much to read.
        begins: whether the file can be what it should, by its first bytes; if not, no more than these are read.

    Raises:
        OSError: it cannot be read.
    """
    # A BytesIO hands out its buffer without a copy, and grows with what there is, not with the limit.
    found = BytesIO()
    with _opened(path) as file:
        while found.tell() < limit:
            part = file.read(min(CHUNK, limit - found.tell()))
            if not part or (found.write(part) == found.tell() and not begins(part)):
                break
    return found.getvalue()


def _opened(path: Path) -> RawIOBase:
    return FileIO(0, "rb", closefd=False) if str(path) == STDIN else FileIO(path, "rb")


def read_whole(path: Path, limit: int) -> bytes:
    """All bytes of a file.

    Raises:
        TooLargeError: it has more than `limit` bytes; no more than one above it were read.
        OSError: it cannot be read.
    """
    if str(path) != STDIN:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size > limit:
            raise TooLargeError(f"larger than {limit} bytes")
    data = read_at_most(path, limit + 1)
    if len(data) > limit:
        raise TooLargeError(f"larger than {limit} bytes")
    return data


def read_text(path: Path) -> str:
    """The text of a UTF-8 file; a byte-order mark, as some editors write, is passed over.

    Raises:
        ValueError: too large, or not UTF-8.
        OSError: it cannot be read.
    """
    return read_whole(path, MAX_TEXT_BYTES).decode("utf-8-sig")
