"""How the models of a folder were trained, so that training can be resumed and is never mixed up.

A weights file states its architecture, its task and its seed, not the steps, batches and rates it was trained with.
`training.jsonl` beside the files does, one line per file, written before the file: a file whose bytes a line describes
is finished, a line without its file was killed.

Contents:
    TrainingLog — what was trained into a folder.
"""

import fcntl
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pessimal.runs.ledger import MAX_LINE, RunFolderError, dumps, read_object

NAME = "training.jsonl"


class TrainingLog:
    """The log of a folder of checkpoints."""

    def __init__(self, folder: Path) -> None:
        """Read it.

        Raises:
            RunFolderError: a line other than a torn last one is no entry of such a log.
        """
        self.folder = folder
        self.path = folder / NAME
        self._entries: dict[tuple[str, str], dict[str, Any]] = {}
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
                    # Whatever has no newline is a torn write; the file it was about is looked at for itself.
                    if line.endswith(b"\n") and line.strip():
                        self._read(line, f"{NAME} line {number}")
        except FileNotFoundError:
            pass

    def _read(self, line: bytes, where: str) -> None:
        entry = read_object(line, where)
        name, digest, training = (entry.get(key) for key in ("file", "sha256", "training"))
        if not (isinstance(name, str) and isinstance(digest, str) and isinstance(training, dict)):
            raise RunFolderError(f"{where} does not hold file, sha256 and training")
        self._entries[name, digest] = training

    def finished(self, name: str, training: Mapping[str, Any]) -> Path | None:
        """The file of that name if it is there and was trained so; None if it is not there.

        Raises:
            RunFolderError: it was trained otherwise, or nothing says how.
        """
        path = self.folder / name
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return None
        known = self._entries.get((name, digest))
        if known is None:
            raise RunFolderError(
                f"{path} is there, and {NAME} does not say how it was trained; move it away or choose another folder"
            )
        different = [key for key in training | known if known.get(key) != training.get(key)]
        if different:
            raise RunFolderError(
                f"{path} was trained with {', '.join(f'{key}={known.get(key)}' for key in different)}, not"
                f" {', '.join(str(training.get(key)) for key in different)}; move it away or choose another folder"
            )
        return path

    def note(self, name: str, digest: str, training: Mapping[str, Any]) -> None:
        """Say how a file of that digest, about to be written, was trained; safe with others who write here."""
        line = dumps({"file": name, "sha256": digest, "training": dict(training)}) + b"\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b", buffering=0) as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            size = os.fstat(log.fileno()).st_size
            if size and os.pread(log.fileno(), 1, size - 1) != b"\n":
                _cut_torn_line(log.fileno(), size)
            log.write(line)
            os.fsync(log.fileno())


def _cut_torn_line(descriptor: int, size: int) -> None:
    start = max(0, size - MAX_LINE)
    end = os.pread(descriptor, size - start, start).rfind(b"\n")
    os.ftruncate(descriptor, start + end + 1)
