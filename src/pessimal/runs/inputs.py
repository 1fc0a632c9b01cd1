"""Reading files that somebody names: never more than a limit, whatever the file is.

The size that a file states is believed of regular files only: devices and pipes state none. The path `-` is standard
input.

Contents:
    read_at_most — the first bytes of a file.
    read_whole — all bytes, if they are within a limit.
    read_text — likewise as text, with or without a byte-order mark.
    kind_of — what a file is that should be text and is not.
    shown — what a file is called in messages.
    TooLargeError — there is more than the limit.
    stem_of — what files made from this one are called.
"""

import stat
from collections.abc import Callable
from io import BytesIO, FileIO, RawIOBase
from pathlib import Path

from pessimal.conversion.first_bytes import recognise

STDIN = "-"
MAX_TEXT_BYTES = 1 << 26
CHUNK = 1 << 20
HEAD = 1 << 16
TEXTS = ("a JSON file", "a text file", "an empty file")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class TooLargeError(ValueError):
    """A file has more bytes than may be read."""


def kind_of(path: Path) -> str:
    """What a file is that should be text and is not, to be put before the words that say so; empty if not known."""
    if str(path) == STDIN or not path.is_file():
        return ""
    kind = recognise(read_at_most(path, HEAD))
    return "" if kind is None or kind.name in TEXTS else f"{kind.name}, "


def shown(path: Path) -> str:
    """The name of a file, without its folder."""
    return "standard input" if str(path) == STDIN else path.name or str(path)


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
    """The text of a file in UTF-8, or in UTF-16 if it begins with the mark of that; marks are passed over.

    Raises:
        ValueError: too large, or no such text.
        OSError: it cannot be read.
    """
    data = read_whole(path, MAX_TEXT_BYTES)
    # Editors and shells of Windows write such marks.
    return data.decode("utf-16" if data[:2] in UTF_16 else "utf-8-sig")
