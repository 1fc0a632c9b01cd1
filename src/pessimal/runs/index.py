"""The ledger of a sweep as a SQLite table, for queries; rebuilt whole, never the record itself.

Contents:
    build_index — `results.jsonl` to `index.sqlite`.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any

from pessimal.runs.folder import RunFolder
from pessimal.runs.ledger import RunFolderError
from pessimal.runs.outputs import write_atomic

NAME = "index.sqlite"
# Below what SQLite allows.
MAX_COLUMNS = 1000
MOST = 1 << 63


def build_index(run: RunFolder) -> Path:
    """Write `index.sqlite` with one table `results`; its columns are the keys of the rows.

    Integers that SQLite cannot hold become text; lists and objects become JSON text.

    Raises:
        RunFolderError: the ledger is malformed.
    """
    rows = run.results()
    columns = sorted({key for row in rows for key in row})
    memory = sqlite3.connect(":memory:")
    if len(columns) > MAX_COLUMNS:
        raise RunFolderError(f"{run.LEDGER}: its rows have more than {MAX_COLUMNS} different keys")
    names = ", ".join(f'"{name}"' for name in columns) or '"empty"'
    memory.execute(f"CREATE TABLE results ({names})")
    marks = ", ".join("?" for _ in columns)
    memory.executemany(
        f"INSERT INTO results VALUES ({marks})",  # noqa: S608 - one mark per column
        [[_cell(row.get(name)) for name in columns] for row in rows],
    )
    memory.commit()
    path = run.path / NAME
    write_atomic(path, memory.serialize())
    memory.close()
    return path


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, sort_keys=True)
    return str(value) if isinstance(value, int) and abs(value) >= MOST else value
