"""Runs: what a run leaves on disk, and where it came from. Knows files, not mathematics.

Contents:
    folder.py — the run folder: ledger, circuit files, provenance.
    inputs.py — reading what a user names, up to a limit.
    ledger.py, rows.py — reading and appending its rows, and what a row is.
    lock.py — one writer per folder.
    notices.py — lines for whoever started the run.
    outputs.py — writing what a user names, losing nothing.
    training.py — how the models of a folder were trained.
    provenance.py — versions, commit and time of a run, without machine names or paths.
    cluster.py — the engine `dask`.
    config.py — sweep configurations.
    executors.py — where independent units of work run.
    index.py — the ledger of a sweep as a SQLite table, for queries.
    interrupts.py — Ctrl-C while workers are at work.
    own_files.py — the files that commands write into a folder under names of their own, and what must not stand.
    processes.py — the engine `local`.
    work.py — what the engines share.
"""

from pessimal.runs.folder import RunFolder
from pessimal.runs.ledger import RunFolderError
from pessimal.runs.lock import FolderInUseError, one_writer
from pessimal.runs.outputs import write_atomic
from pessimal.runs.provenance import provenance

__all__ = ["FolderInUseError", "RunFolder", "RunFolderError", "one_writer", "provenance", "write_atomic"]
