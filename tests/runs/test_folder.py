"""The run folder survives torn writes and several writers, and names no machine."""

import getpass
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from pessimal.report import ReportError, render
from pessimal.runs import RunFolder, RunFolderError, write_atomic
from pessimal.runs.index import build_index
from support.ledgers import TESTS_ENVIRONMENT, row

ROWS = [
    row("m", strategy="cubic", correct=str(64**20 - 1), total=str(64**20), seconds=0.5),
    row("m", strategy="\u03c1-sets", verdict="REJECTED", reason="bad-hint", correct=None, accuracy_lower_bound=None),
]
OTHER = row("m", strategy="exact")


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def ledger(run: RunFolder) -> Path:
    return run.path / "results.jsonl"


def test_rows_come_back_in_order(run):
    for one in ROWS:
        run.append(one)
    assert run.results() == ROWS


def test_missing_folder_has_no_rows(run):
    assert run.results() == []
    assert run.provenance() is None
    assert run.circuits("m") is None


@pytest.mark.parametrize("cut", range(1, 20))
def test_torn_last_line_is_skipped_and_repaired(run, cut):
    """Whatever part of the last line was lost, readers keep the rest and the next append lands on its own line."""
    for one in ROWS:
        run.append(one)
    ledger(run).write_bytes(ledger(run).read_bytes()[:-cut])
    kept = ROWS if cut == 1 else ROWS[:1]
    assert run.results() == kept
    run.append(OTHER)
    assert run.results() == [*kept, OTHER]
    assert ledger(run).read_bytes().endswith(b"}\n")


def test_torn_only_line_longer_than_one_read(run):
    run.path.mkdir()
    ledger(run).write_bytes(b'{"a": "' + b"x" * 200_000)
    assert run.results() == []
    run.append(ROWS[0])
    assert run.results() == ROWS[:1]


def changed(**values) -> bytes:
    return json.dumps(OTHER | values).encode()


def without(key: str) -> bytes:
    return json.dumps({name: value for name, value in OTHER.items() if name != key}).encode()


BROKEN = {
    "no JSON": b"{broken",
    "text": b"see notes",
    "an empty object": b"{}",
    "an empty list": b"[]",
    "a list": b"[1]",
    "NaN": b'{"a": NaN}',
    "an infinity in digits": changed().replace(b"0.25", b"1e999"),
    "nesting": b"[" * 100_000,
    "nesting in a row": changed(options=0).replace(b'"options": 0', b'"options": ' + b"[" * 100_000),
    "a byte that is not UTF-8": b"\xff",
    "UTF-16": json.dumps(OTHER).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + changed(),
    "zeros": b"\0" * 100,
    "half a surrogate pair": changed(task=0).replace(b'"task": 0', b'"task": "\\ud800"'),
    "a number for a name": changed(weights=3),
    "a name that leads elsewhere": changed(weights="../m"),
    "no name": without("weights"),
    "no strategy": without("strategy"),
    "no digest": without("weights_sha256"),
    "a short digest": changed(weights_sha256="ab"),
    "another verdict": changed(verdict="verified?"),
    "verified without a count": changed(correct=None),
    "verified without a length": changed(flops=None),
    "more than all": changed(correct="17", total="16"),
    "of nothing": changed(correct="0", total="0"),
    "a bound above its count": changed(correct="1", total="4", accuracy_lower_bound=0.5),
    "a huge integer": changed(flops=0).replace(b'"flops": 0', b'"flops": ' + b"9" * 5000),
    "a large integer under an unknown key": changed(own=10**500),
    "a long count": changed(correct="9" * 4001),
    "a negative length": changed(flops=-1),
    "a flag for a length": changed(flops=True),
    "a number for a reason": changed(reason=3),
    "text for seconds": changed(seconds="fast"),
    "a list for options": changed(options=[]),
    "text for assumptions": changed(assumptions="none"),
    "a key for SQL": changed(**{'a" int, "b': 1}),
    "a text for the record of its model": changed(model_record="m"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_line_that_is_no_row_is_an_error_naming_it_for_every_reader(run, kind):
    run.append(ROWS[0])
    with ledger(run).open("ab") as file:
        file.write(BROKEN[kind] + b"\n")
    run.append(ROWS[1])
    for read in (run.results, lambda: build_index(run), lambda: render(run.path, run.path / "page.html")):
        with pytest.raises(ValueError, match=r"^results\.jsonl line 2\b[^\n]{5,200}$") as caught:
            read()
        assert isinstance(caught.value, RunFolderError | ReportError)


@pytest.mark.parametrize("tail", [b"see notes", b"[]", b"\0\0\0", b"\xff", b"{}"])
def test_a_last_line_that_is_no_beginning_of_a_row_is_never_cut_off(run, tail):
    run.append(ROWS[0])
    with ledger(run).open("ab") as file:
        file.write(tail)
    with pytest.raises(RunFolderError, match="line 2"):
        run.results()
    run.append(ROWS[1])
    assert tail in ledger(run).read_bytes()


def test_a_line_of_hundred_megabytes_is_an_error_and_is_not_read_whole(run):
    run.append(ROWS[0])
    with ledger(run).open("ab") as file:
        file.write(b'{"')
        file.truncate(100_000_000)
    tracemalloc.start()
    with pytest.raises(RunFolderError, match="line 2 is longer than"):
        run.results()
    with pytest.raises(RunFolderError, match="longer than"):
        run.append(ROWS[1])
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
    assert ledger(run).stat().st_size == 100_000_000


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo])
def test_a_ledger_that_is_no_file_is_an_error(run, make):
    run.path.mkdir()
    make(ledger(run))
    for use in (run.results, lambda: run.append(OTHER)):
        with pytest.raises(RunFolderError, match=r"results\.jsonl is not a file"):
            use()


def test_what_is_no_row_is_not_appended(run):
    for kind in ({}, {"weights": "m"}, OTHER | {"flops": 1.5}):
        with pytest.raises(ValueError, match=r"lacks|flops"):
            run.append(kind)
    assert not run.path.exists()


def test_rows_that_repeat_a_proof_are_counted_once_and_told(run, caplog):
    for one in (ROWS[0], ROWS[1], ROWS[0] | {"seconds": 9.0}, OTHER):
        run.append(one)
    assert run.results() == [*ROWS, OTHER]
    assert run.results() == [*ROWS, OTHER]
    assert run.ledger().lines == (1, 2, 4)
    assert [record.getMessage() for record in caplog.records if "repeats 1 results" in record.getMessage()] != []
    assert len(caplog.records) == 1
    with sqlite3.connect(build_index(run)) as database:
        assert database.execute("SELECT count(*) FROM results").fetchone() == (3,)


def test_the_index_holds_integers_that_sqlite_cannot(run):
    run.append(OTHER | {"flops": 10**30})
    with sqlite3.connect(build_index(run)) as database:
        assert database.execute("SELECT flops FROM results").fetchone() == (str(10**30),)


def test_row_that_json_cannot_hold_is_refused_and_leaves_no_trace(run):
    run.append(ROWS[0])
    with pytest.raises(ValueError, match="JSON"):
        run.append(OTHER | {"seconds": float("nan")})
    assert run.results() == ROWS[:1]


APPEND_MANY = """
import sys
from pathlib import Path
from support.ledgers import row
from pessimal.runs import RunFolder

for number in range(50):
    one = row("m", certificate=f"{sys.argv[2]} {number}", padding="x" * 10_000)
    RunFolder(Path(sys.argv[1])).append(one)
"""


def test_two_appenders_lose_nothing(run):
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND_MANY, str(run.path), name], env=TESTS_ENVIRONMENT)
        for name in "ab"
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    rows = run.results()
    assert len(rows) == 100
    for writer in "ab":
        mine = [one["certificate"] for one in rows if one["certificate"].startswith(writer)]
        assert mine == [f"{writer} {number}" for number in range(50)]


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
