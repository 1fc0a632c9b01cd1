"""Zip archives, as far as torch and NumPy write them: entries stored or deflated, one disk, no passwords.

Everything is checked before it is used: entries lie apart from each other inside the file, sizes are those stated, and
nothing is unpacked further than a budget allows.

Contents:
    Archive — the entries of an archive, read by name.
    MAX_ENTRIES — the largest number of entries.
"""

import struct
import zlib
from dataclasses import dataclass

from pessimal.conversion.interface import Budget, ConversionError, said

MAX_ENTRIES = 100_000
END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
END_BYTES, LOCATOR_BYTES, END_64_BYTES, CENTRAL_BYTES, LOCAL_BYTES = 22, 20, 56, 46, 30
MAX_COMMENT = 1 << 16
STORED, DEFLATED = 0, 8
ENCRYPTED = 1
UNKNOWN_32 = 0xFFFFFFFF
SIZES_64 = 1


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry: where its bytes lie and what they should come to."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    header: int


class Archive:
    """The entries of an archive.

    Attributes:
        names: the entries in the order of the archive's directory.
        budget: what may come out of it.
    """

    def __init__(self, data: bytes) -> None:
        """Read the directory.

        Raises:
            ConversionError: not an archive, or one that is made to mislead.
        """
        self._data = data
        self.budget = Budget(len(data))
        count, start, end = _directory(data)
        self._entries: dict[str, _Entry] = {}
        at = start
        for _ in range(count):
            entry, at = _central(data, at, end)
            if entry.name in self._entries:
                raise ConversionError(f"the zip archive has two entries {said(entry.name)}")
            self._entries[entry.name] = entry
        self.names = tuple(self._entries)
        self._starts = self._places(start)

    def __contains__(self, name: str) -> bool:
        """Whether there is such an entry."""
        return name in self._entries

    def size(self, name: str) -> int:
        """Number of bytes of an entry, unpacked."""
        return self._entries[name].size

    def read(self, name: str) -> bytes | memoryview:
        """The bytes of an entry, not copied if they are stored as they are.

        Raises:
            ConversionError: they are not those that the archive promises, or too many.
        """
        entry = self._entries[name]
        self.budget.take(entry.size)
        start = self._starts[name]
        packed = memoryview(self._data)[start : start + entry.packed]
        if entry.method == DEFLATED:
            try:
                data: bytes | memoryview = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.size + 1)
            except zlib.error:
                raise ConversionError(f"entry {said(name)} of the zip archive is damaged") from None
        else:
            data = packed
        if len(data) != entry.size:
            raise ConversionError(f"entry {said(name)} of the zip archive has another size than stated")
        if zlib.crc32(data) != entry.crc:
            raise ConversionError(f"entry {said(name)} of the zip archive is damaged: its checksum does not match")
        return data

    def _places(self, end: int) -> dict[str, int]:
        """Where the bytes of every entry begin; they may not overlap, which small archives of huge content do."""
        starts = {}
        free = 0
        for entry in sorted(self._entries.values(), key=lambda one: one.header):
            head = self._data[entry.header : entry.header + LOCAL_BYTES]
            if entry.header < free or len(head) < LOCAL_BYTES or not head.startswith(LOCAL):
                raise ConversionError(f"entry {said(entry.name)} of the zip archive overlaps another or is not there")
            name, extra = struct.unpack("<HH", head[26:30])
            starts[entry.name] = entry.header + LOCAL_BYTES + name + extra
            free = starts[entry.name] + entry.packed
            if free > end:
                raise ConversionError(f"entry {said(entry.name)} of the zip archive overlaps another or is not there")
        return starts


def _directory(data: bytes) -> tuple[int, int, int]:
    """Number of entries, beginning and end of the directory."""
    at = data.rfind(END, max(0, len(data) - END_BYTES - MAX_COMMENT))
    if at < 0 or len(data) < at + END_BYTES:
        raise ConversionError("a zip archive without its directory: it was cut off (was it downloaded to the end?)")
    count, size, start = struct.unpack("<HII", data[at + 10 : at + 20])
    before = data[max(0, at - LOCATOR_BYTES) : at]
    if before.startswith(LOCATOR_64) and len(before) == LOCATOR_BYTES:
        (at,) = struct.unpack("<Q", before[8:16])
        record = data[at : at + END_64_BYTES]
        if len(record) < END_64_BYTES or not record.startswith(END_64):
            raise ConversionError("a zip archive whose directory is damaged")
        count, size, start = struct.unpack("<QQQ", record[32:56])
    if count > MAX_ENTRIES:
        raise ConversionError(f"a zip archive with more than {MAX_ENTRIES} entries")
    if start + size > at:
        raise ConversionError("a zip archive whose directory is damaged")
    return count, start, start + size


def _central(data: bytes, at: int, end: int) -> tuple[_Entry, int]:
    """One entry of the directory, and where the next begins."""
    head = data[at : min(end, at + CENTRAL_BYTES)]
    if len(head) < CENTRAL_BYTES or not head.startswith(CENTRAL):
        raise ConversionError("a zip archive whose directory is damaged")
    flags, method = struct.unpack("<HH", head[8:12])
    crc, packed, size, n_name, n_extra, n_comment = struct.unpack("<IIIHHH", head[16:34])
    (header,) = struct.unpack("<I", head[42:46])
    first = at + CENTRAL_BYTES
    after = first + n_name + n_extra + n_comment
    if after > end:
        raise ConversionError("a zip archive whose directory is damaged")
    name = data[first : first + n_name].decode("utf-8", "replace")
    if flags & ENCRYPTED:
        raise ConversionError(f"entry {said(name)} of the zip archive is encrypted; unpack it first")
    if method not in {STORED, DEFLATED}:
        raise ConversionError(
            f"entry {said(name)} of the zip archive is packed by method {method}; stored and deflated are read"
        )
    wide = [value == UNKNOWN_32 for value in (size, packed, header)]
    if any(wide):
        found = iter(_sizes_64(data[first + n_name : first + n_name + n_extra], sum(wide)))
        size, packed, header = (
            next(found) if is_wide else value for is_wide, value in zip(wide, (size, packed, header), strict=True)
        )
    return _Entry(name, method, crc, packed, size, header), after


def _sizes_64(extra: bytes, count: int) -> tuple[int, ...]:
    """The first numbers of 64 bits in the extra field of an entry."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[at : at + 4])
        if kind == SIZES_64 and length >= 8 * count and at + 4 + 8 * count <= len(extra):
            return struct.unpack(f"<{count}Q", extra[at + 4 : at + 4 + 8 * count])
        at += 4 + length
    raise ConversionError("a zip archive whose directory is damaged")
