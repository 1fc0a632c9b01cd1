"""The run folder: an append-only ledger of results and a few whole files.

Layout:
    results.jsonl         one JSON object per line: the object of `pessimal check`, plus `certificate`
                          (file name) and `weights` (file stem); see `rows.py` and `ledger.py`
    circuits/<stem>.json  `analysis.circuit_record` of that model, `analysis.evidence` if it adds modulo p
    provenance.json       versions, commit, processor type, time

A process may die at any moment: whole files are written to a temporary name and renamed, ledger lines are appended in
one write. Whoever writes holds the folder's lock (`lock.py`).

Contents:
    RunFolder — writer and reader.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pessimal.runs.ledger import Ledger, RunFolderError, append_row, dumps, read_ledger, read_object, repair_ledger
from pessimal.runs.outputs import write_atomic
from pessimal.runs.provenance import provenance


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
            ValueError: it is no row, or holds a NaN or an infinity.
            TypeError: it holds something JSON does not know.
        """
        append_row(self.path / self.LEDGER, row)

    def repair(self) -> None:
        """Finish or cut off the ledger's last line; for a writer that resumes."""
        repair_ledger(self.path / self.LEDGER)

    def ledger(self) -> Ledger:
        """The ledger; empty if there is none.

        Raises:
            RunFolderError: a line is no row, other than a torn last one.
        """
        return read_ledger(self.path / self.LEDGER)

    def results(self) -> list[dict[str, Any]]:
        """All rows of the ledger, oldest first, each proof once; none if there is no ledger.

        Raises:
            RunFolderError: a line is no row, other than a torn last one.
        """
        return list(self.ledger().rows)

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
        write_atomic(path, dumps(record) + b"\n")
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
        return read_object((self.path / self.CIRCUITS / name).read_bytes(), f"{self.CIRCUITS}/{name}")

    def write_whole_file(self, name: str, record: Mapping[str, Any]) -> Path:
        """Write one JSON object under a name inside the folder, in one step."""
        path = self.path / name
        write_atomic(path, dumps(record) + b"\n")
        return path

    def whole_file(self, name: str) -> dict[str, Any] | None:
        """Read what `write_whole_file` wrote, or None if there is none.

        Raises:
            RunFolderError: the file is not a JSON object.
        """
        try:
            return read_object((self.path / name).read_bytes(), name)
        except FileNotFoundError:
            return None

    def write_provenance(self) -> None:
        """Record versions, commit, processor type and time of this process."""
        write_atomic(self.path / self.PROVENANCE, dumps(provenance()) + b"\n")

    def provenance(self) -> dict[str, Any] | None:
        """What `write_provenance` wrote, or None.

        Raises:
            RunFolderError: the file is not a JSON object.
        """
        try:
            data = (self.path / self.PROVENANCE).read_bytes()
        except FileNotFoundError:
            return None
        return read_object(data, self.PROVENANCE)
