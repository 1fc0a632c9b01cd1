"""The run folder: an append-only ledger of results and a few whole files.

Layout:
    results.jsonl         one JSON object per line: the object of `pessimal check`, plus `certificate`
                          (file name) and `weights` (file stem)
    circuits/<stem>.json  `analysis.circuit_record` of that model, `analysis.evidence` if it adds modulo p
    provenance.json       versions, commit, processor type, time

A process may die at any moment. Whole files are written to a temporary name and renamed. A ledger line is one
write under an exclusive lock; a last line without its newline is a torn write: readers skip it unless it is
complete, and the next append repairs it. A broken line anywhere else is an error, never skipped.

Contents:
    RunFolder — writer and reader.
    RunFolderError — one clear sentence naming the file and line.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from pessimal.runs.outputs import write_atomic
from pessimal.runs.provenance import provenance


class RunFolderError(ValueError):
    """A file of the run folder is missing, malformed or misnamed; the message is one sentence."""


@dataclass(frozen=True)
class RunFolder:
    """One run on disk.

    Attributes:
        path: the folder; created by the first write.
    """

    LEDGER: ClassVar[str] = "results.jsonl"
    CIRCUITS: ClassVar[str] = "circuits"
    PROVENANCE: ClassVar[str] = "provenance.json"
    path: Path

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row to the ledger; safe with other appenders, and repairs a torn last line.

        Raises:
            ValueError: the row holds a NaN or an infinity.
            TypeError: the row holds something JSON does not know.
        """
        line = _dumps(dict(row)) + b"\n"
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / self.LEDGER).open("a+b") as ledger:
            fcntl.flock(ledger, fcntl.LOCK_EX)
            _repair(ledger.fileno())
            ledger.write(line)
            ledger.flush()
            os.fsync(ledger.fileno())

    def results(self) -> list[dict[str, Any]]:
        """All rows of the ledger, oldest first; none if there is no ledger.

        Raises:
            RunFolderError: a line other than a torn last one is not a JSON object.
        """
        try:
            data = (self.path / self.LEDGER).read_bytes()
        except FileNotFoundError:
            return []
        *lines, tail = data.split(b"\n")
        rows = [_object(line, f"{self.LEDGER} line {n}") for n, line in enumerate(lines, 1) if line.strip()]
        if _is_object(tail):
            rows.append(_object(tail, self.LEDGER))
        return rows

    def write_circuits(self, stem: str, record: Mapping[str, Any]) -> Path:
        """Write the circuit file of one model.

        Args:
            stem: file stem of the weights; becomes the name of the circuit file.
            record: what `analysis.circuit_record` or `analysis.evidence` returns.

        Returns:
            The file written.

        Raises:
            RunFolderError: the stem is not a plain file name.
        """
        if stem in {"", ".", ".."} or any(c in stem for c in "/\\\0"):
            raise RunFolderError(f"weights name {stem!r} cannot name a file")
        path = self.path / self.CIRCUITS / f"{stem}.json"
        write_atomic(path, _dumps(dict(record)) + b"\n")
        return path

    def circuit_stems(self) -> list[str]:
        """Models that have a circuit file, sorted."""
        return sorted(path.stem for path in (self.path / self.CIRCUITS).glob("*.json") if path.name[0] != ".")

    def circuits(self, stem: str) -> dict[str, Any] | None:
        """Circuit file of one model, or None if there is none.

        Raises:
            RunFolderError: the file is not a JSON object.
        """
        # A ledger may come from elsewhere: its stems select among the files present and never make a path.
        if stem not in self.circuit_stems():
            return None
        name = f"{stem}.json"
        return _object((self.path / self.CIRCUITS / name).read_bytes(), f"{self.CIRCUITS}/{name}")

    def write_whole_file(self, name: str, record: Mapping[str, Any]) -> Path:
        """Write one JSON object under a name inside the folder, in one step."""
        path = self.path / name
        write_atomic(path, _dumps(dict(record)) + b"\n")
        return path

    def whole_file(self, name: str) -> dict[str, Any] | None:
        """Read what `write_whole_file` wrote, or None if there is none.

        Raises:
            RunFolderError: the file is not a JSON object.
        """
        try:
            return _object((self.path / name).read_bytes(), name)
        except FileNotFoundError:
            return None

    def write_provenance(self) -> None:
        """Record versions, commit, processor type and time of this process."""
        write_atomic(self.path / self.PROVENANCE, _dumps(provenance()) + b"\n")

    def provenance(self) -> dict[str, Any] | None:
        """What `write_provenance` wrote, or None.

        Raises:
            RunFolderError: the file is not a JSON object.
        """
        try:
            data = (self.path / self.PROVENANCE).read_bytes()
        except FileNotFoundError:
            return None
        return _object(data, self.PROVENANCE)


def _dumps(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode("ascii")


def _repair(descriptor: int) -> None:
    """Make the locked ledger end with a newline: finish a complete last line, cut off a torn one."""
    size = os.fstat(descriptor).st_size
    tail, start = b"", size
    while start > 0 and b"\n" not in tail:
        step = min(start, 1 << 16)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
    torn = tail.rpartition(b"\n")[2]
    if not torn:
        return
    # No proper beginning of a JSON object is itself one, so a line that parses lacks only its newline.
    if _is_object(torn):
        os.write(descriptor, b"\n")
    else:
        os.ftruncate(descriptor, size - len(torn))


def _is_object(data: bytes) -> bool:
    with contextlib.suppress(RunFolderError):
        _object(data, "")
        return True
    return False


def _object(data: bytes, where: str) -> dict[str, Any]:
    """Parse one JSON object, without NaN or infinity."""
    try:
        value = json.loads(data, parse_constant=_not_a_number)
    except (ValueError, RecursionError):
        raise RunFolderError(f"{where} is not valid JSON") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{where} is not a JSON object")
    return value


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(text)
