"""Runs: what a run leaves on disk, and where it came from. Knows files, not mathematics.

Contents:
    folder.py — the run folder: ledger, circuit files, provenance.
    inputs.py — reading what a user names, up to a limit.
    outputs.py — writing what a user names, losing nothing.
    provenance.py — versions, commit and time of a run, without machine names or paths.
"""

from pessimal.runs.folder import RunFolder, RunFolderError
from pessimal.runs.outputs import write_atomic
from pessimal.runs.provenance import provenance

__all__ = ["RunFolder", "RunFolderError", "provenance", "write_atomic"]
