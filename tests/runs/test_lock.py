"""One writer per run folder: others wait or are refused in one sentence; what a killed writer leaves is told."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from pessimal.runs import FolderInUseError, one_writer
from pessimal.runs.lock import LOCK, STAND_IN
from support.ledgers import TESTS_ENVIRONMENT

HOLD = """
import sys, time
from pathlib import Path
from pessimal.runs import one_writer

with one_writer(Path(sys.argv[1]), "pessimal sweep", wait=False):
    print("held", flush=True)
    time.sleep(60)
"""


def told(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_second_writer_is_refused_in_a_sentence_that_names_the_first(tmp_path):
    folder = tmp_path / "run"
    with one_writer(folder, "pessimal sweep", wait=False):
        with pytest.raises(
            FolderInUseError, match=rf"run is in use by pessimal sweep \(process {os.getpid()}, since 20"
        ):
            one_writer(folder, "pessimal frontier", wait=False).__enter__()
        assert json.loads((folder / LOCK).read_bytes())["command"] == "pessimal sweep"
    assert list(folder.iterdir()) == []
    with one_writer(folder, "pessimal frontier", wait=False):
        pass


def test_a_second_writer_that_waits_says_so_once_and_comes_after_the_first(tmp_path, caplog):
    order = []

    def second():
        with one_writer(tmp_path, "pessimal report", wait=True):
            order.append("second")

    with one_writer(tmp_path, "pessimal frontier", wait=True):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.7)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert [line.split(" (")[0] for line in told(caplog)] == ["pessimal: waiting for pessimal frontier"]
    assert list(tmp_path.iterdir()) == []


def test_many_writers_take_turns(tmp_path):
    """A lock that is removed at its end is never held twice."""
    inside, most = [], []

    def enter():
        for _ in range(5):
            with one_writer(tmp_path, "pessimal analyse", wait=True):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 20


def test_what_a_killed_writer_leaves_is_told_and_does_not_stop_the_next(tmp_path, caplog):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=TESTS_ENVIRONMENT
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(FolderInUseError, match=f"process {holder.pid}"):
        one_writer(tmp_path, "pessimal sweep", wait=False).__enter__()
    holder.kill()
    holder.communicate()
    assert (tmp_path / LOCK).is_file()
    with one_writer(tmp_path, "pessimal sweep", wait=False):
        (line,) = told(caplog)
    assert f"run.lock was left behind by pessimal sweep (process {holder.pid}, since " in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["x", "{}", "[" * 5000, '{"mine": 1}', "\x1b[31m\0"])
def test_a_file_of_that_name_that_is_no_lock_is_somebodys_and_stays(tmp_path, monkeypatch, text):
    def unsupported(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / LOCK).write_text(text)
    # Likewise where the file system knows no locks.
    for flock in (fcntl.flock, unsupported):
        monkeypatch.setattr(fcntl, "flock", flock)
        with pytest.raises(FolderInUseError, match=r"run\.lock is no lock of a run; move it away"):
            one_writer(tmp_path, "pessimal sweep", wait=True).__enter__()
        assert (tmp_path / LOCK).read_text() == text


@pytest.mark.parametrize("text", ["", "{", '{"comm', '{"command": "x', '{"command": 1, "pid": 1, "since": "x"}'])
def test_a_lock_file_that_was_torn_or_left_behind_is_no_lock(tmp_path, caplog, text):
    (tmp_path / LOCK).write_text(text)
    with one_writer(tmp_path, "pessimal sweep", wait=False):
        pass
    assert ["left behind by another process" in line for line in told(caplog)] == [True] * bool(text)


def test_where_there_are_no_locks_a_file_stands_in_and_only_a_person_removes_it(tmp_path, monkeypatch):
    def unsupported(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with one_writer(tmp_path, "pessimal sweep", wait=False):
        for wait in (True, False):
            with pytest.raises(FolderInUseError, match=f"{STAND_IN} says that pessimal sweep .* delete the file"):
                one_writer(tmp_path, "pessimal frontier", wait=wait).__enter__()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / STAND_IN).write_text("")
    with pytest.raises(FolderInUseError, match="another process"):
        one_writer(tmp_path, "pessimal sweep", wait=False).__enter__()
    assert (tmp_path / STAND_IN).is_file()


def test_a_folder_that_cannot_be_written_is_an_operating_system_error(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OSError, match="run"):
        one_writer(tmp_path / "run", "pessimal sweep", wait=False).__enter__()
