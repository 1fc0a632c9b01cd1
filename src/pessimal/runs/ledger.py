"""The ledger of a run: one JSON object per line, appended whole, checked once when it is read.

A process may die at any moment: a last line without its newline is a torn write if it is the beginning of a row.
Readers skip it, the next append cuts it off. Anything else that is no row is an error that names its line, never
skipped.

Contents:
    Ledger — the rows, where they stand, and what they record about their models.
    read_ledger — all of it.
    append_row — one more row.
    repair_ledger — finish or cut off a last line.
    read_object — one JSON object without NaN or infinity.
    RunFolderError — one clear sentence naming the file and line.
    MODEL_RECORD — the key of a row that carries what was recorded about its model.
    dumps — a record as one line without its newline.
"""

import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pessimal.runs.notices import notice_once
from pessimal.runs.rows import RowError, require_row, said

MODEL_RECORD = "model_record"
# A row has about a kilobyte.
MAX_LINE = 1 << 22
# Every row begins so, and so does every torn one that is long enough.
START = b'{"'


class RunFolderError(ValueError):
    """A file of the run folder is missing, malformed or misnamed; the message is one sentence."""


@dataclass(frozen=True)
class Ledger:
    """What a ledger holds.

    Attributes:
        rows: one per proof, oldest first, without the records of models.
        lines: the line number of each row.
        models: what the rows record about their models, by name of the weights.
        repeated: how many lines said again what an earlier one said; they are not among the rows.
    """

    rows: tuple[dict[str, Any], ...]
    lines: tuple[int, ...]
    models: Mapping[str, dict[str, Any]]
    repeated: int


def read_ledger(path: Path) -> Ledger:
    """Read a ledger; an absent one is empty. Rows that say the same as an earlier one are counted once, and told.

    Raises:
        RunFolderError: a line other than a torn last one is no row, or the ledger is no file.
    """
    rows, lines, models = [], [], {}
    seen: set[tuple[Any, ...]] = set()
    repeated = 0
    for number, row in _numbered_rows(path):
        record = row.pop(MODEL_RECORD, None)
        if record is not None:
            models.setdefault(row["weights"], record)
        words = said(row)
        if words in seen:
            repeated += 1
            continue
        seen.add(words)
        rows.append(row)
        lines.append(number)
    if repeated:
        notice_once(
            f"{path} repeats {repeated} results (an earlier version let two writers in); each is counted once",
            (path.resolve(), repeated),
        )
    return Ledger(tuple(rows), tuple(lines), models, repeated)


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add one row in one write; safe with other appenders, and cuts off a torn last line.

    Raises:
        RowError: it is no row.
        ValueError: it holds a NaN or an infinity.
        TypeError: it holds something JSON does not know.
    """
    line = dumps(row) + b"\n"
    require_row(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    _require_file(path)
    with path.open("a+b", buffering=0) as ledger:
        fcntl.flock(ledger, fcntl.LOCK_EX)
        _repair(ledger.fileno(), path)
        rest = memoryview(line)
        while rest:
            rest = rest[ledger.write(rest) :]
        os.fsync(ledger.fileno())


def repair_ledger(path: Path) -> None:
    """Make a ledger end with a whole line, for whoever holds the folder and may have nothing to append."""
    if path.is_file():
        with path.open("a+b", buffering=0) as ledger:
            fcntl.flock(ledger, fcntl.LOCK_EX)
            _repair(ledger.fileno(), path)


def dumps(record: Mapping[str, Any]) -> bytes:
    """A record as one line without its newline."""
    return json.dumps(dict(record), allow_nan=False, separators=(",", ":")).encode("ascii")


def read_object(data: bytes, where: str) -> dict[str, Any]:
    """Parse one JSON object, without NaN or infinity, whose strings can be written again.

    Raises:
        RunFolderError: it is something else; the message begins with `where`.
    """
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_not_a_number, parse_float=_finite)
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise RunFolderError(f"{where} is not valid JSON") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{where} is not a JSON object")
    return value


def _numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with their line numbers."""
    _require_file(path)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{path}: {error.strerror or 'cannot be read'}") from None
    with file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            where = f"{path.name} line {number}"
            if len(line) > MAX_LINE:
                raise RunFolderError(f"{where} is longer than {MAX_LINE} bytes, so it is no row of a ledger")
            if not line.endswith(b"\n") and _is_torn(line):
                return
            if line.strip():
                yield number, _row(line, where)


def _require_file(path: Path) -> None:
    """A pipe under the ledger's name would wait for ever."""
    if path.exists() and not path.is_file():
        raise RunFolderError(f"{path} is not a file")


def _row(line: bytes, where: str) -> dict[str, Any]:
    row = read_object(line, where)
    try:
        require_row(row)
    except RowError as error:
        raise RunFolderError(f"{where}: {error}") from None
    record = row.get(MODEL_RECORD)
    if record is not None and not isinstance(record, dict):
        raise RunFolderError(f"{where}: {MODEL_RECORD} is not an object")
    return row


def _is_torn(tail: bytes) -> bool:
    """Whether a last line without newline is the beginning of a row. No proper beginning of an object is an object."""
    if not (tail.startswith(START) or START.startswith(tail)):
        return False
    try:
        read_object(tail, "")
    except RunFolderError:
        return True
    return False


def _repair(descriptor: int, path: Path) -> None:
    """Make the locked ledger end with a newline: finish a complete last line, cut off a torn one."""
    size = os.fstat(descriptor).st_size
    tail = b""
    start = size
    while start > 0 and b"\n" not in tail:
        step = min(start, 1 << 16)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
        if len(tail) > 2 * MAX_LINE:
            raise RunFolderError(f"the last line of {path.name} is longer than {MAX_LINE} bytes, so it is no row")
    last = tail.rpartition(b"\n")[2]
    if not last:
        return
    if _is_torn(last):
        os.ftruncate(descriptor, size - len(last))
    else:
        # Complete, or not ours: the next reader says which.
        os.write(descriptor, b"\n")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_a_number(text)


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(text)
