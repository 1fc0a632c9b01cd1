"""The run folder survives torn writes and several writers, and names no machine."""

import getpass
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pessimal.runs import RunFolder, RunFolderError, write_atomic

ROWS = [
    {"strategy": "cubic", "correct": str(64**20), "seconds": 0.5},
    {"strategy": "\u03c1-sets", "reason": None},
]


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def ledger(run: RunFolder) -> Path:
    return run.path / "results.jsonl"


def test_rows_come_back_in_order(run):
    for row in ROWS:
        run.append(row)
    assert run.results() == ROWS


def test_missing_folder_has_no_rows(run):
    assert run.results() == []
    assert run.provenance() is None
    assert run.circuits("m") is None


@pytest.mark.parametrize("cut", range(1, 20))
def test_torn_last_line_is_skipped_and_repaired(run, cut):
    """Whatever part of the last line was lost, readers keep the rest and the next append lands on its own line."""
    for row in ROWS:
        run.append(row)
    ledger(run).write_bytes(ledger(run).read_bytes()[:-cut])
    kept = ROWS if cut == 1 else ROWS[:1]
    assert run.results() == kept
    run.append({"strategy": "exact"})
    assert run.results() == [*kept, {"strategy": "exact"}]
    assert ledger(run).read_bytes().endswith(b"}\n")


def test_torn_only_line_longer_than_one_read(run):
    run.path.mkdir()
    ledger(run).write_bytes(b'{"a": "' + b"x" * 200_000)
    assert run.results() == []
    run.append(ROWS[0])
    assert run.results() == ROWS[:1]


@pytest.mark.parametrize("line", [b"{broken", b"[1]", b'{"a": NaN}', b"[" * 100_000, b"\xff"])
def test_broken_line_in_the_middle_is_an_error_naming_it(run, line):
    run.append(ROWS[0])
    with ledger(run).open("ab") as file:
        file.write(line + b"\n")
    run.append(ROWS[1])
    with pytest.raises(RunFolderError, match="line 2"):
        run.results()


def test_row_that_json_cannot_hold_is_refused_and_leaves_no_trace(run):
    run.append(ROWS[0])
    with pytest.raises(ValueError, match="JSON"):
        run.append({"seconds": float("nan")})
    assert run.results() == ROWS[:1]


APPEND_MANY = """
import sys
from pathlib import Path
from pessimal.runs import RunFolder

for number in range(50):
    RunFolder(Path(sys.argv[1])).append({"writer": sys.argv[2], "number": number, "padding": "x" * 10_000})
"""


def test_two_appenders_lose_nothing(run):
    writers = [subprocess.Popen([sys.executable, "-c", APPEND_MANY, str(run.path), name]) for name in "ab"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    rows = run.results()
    assert len(rows) == 100
    for writer in "ab":
        assert [row["number"] for row in rows if row["writer"] == writer] == list(range(50))


def test_circuits_come_back_by_stem(run):
    written = run.write_circuits("max4.seed1", {"head": 0})
    assert written == run.path / "circuits" / "max4.seed1.json"
    assert run.circuit_stems() == ["max4.seed1"]
    assert run.circuits("max4.seed1") == {"head": 0}
    assert run.circuits("other") is None


@pytest.mark.parametrize("stem", ["", ".", "..", "../x", "a/b", "a\\b", "a\0b"])
def test_stem_never_leaves_the_folder(run, stem):
    with pytest.raises(RunFolderError, match="cannot name a file"):
        run.write_circuits(stem, {})
    (run.path / "circuits").mkdir(parents=True)
    (run.path / "x.json").write_text("{}")
    assert run.circuits(stem) is None


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    target = tmp_path / "file.json"
    write_atomic(target, b"old")

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_provenance_says_versions_but_no_machine_and_no_path(run):
    run.write_provenance()
    record = run.provenance()
    assert record is not None
    assert record["python"] == platform.python_version()
    assert record["machine"] == platform.machine()
    assert record["utc"].endswith("+00:00")
    assert set(record) == {"pessimal", "python", "numpy", "machine", "system", "commit", "dirty", "utc"}
    text = json.dumps(record)
    assert "/" not in text
    assert platform.node() not in text
    assert getpass.getuser() not in text
