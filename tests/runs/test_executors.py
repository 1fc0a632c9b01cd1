"""Engines: workers may die, fail and be interrupted; what has arrived is kept, and the others go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pessimal.runs.executors import EngineError, run_units
from support import units
from support.ledgers import TESTS_ENVIRONMENT


def taken(results, kept):
    """All results until an error, which is raised."""
    for _, result in results:
        kept.append(result)


def test_every_result_of_every_unit_arrives_once_and_in_the_order_of_its_unit():
    found = list(run_units(units.three, ["a", "b", "c", "d"], workers=2))
    assert len(found) == 12
    for unit in "abcd":
        assert [result for one, result in found if one[0] == unit] == [f"{unit}{number}" for number in range(3)]


def test_no_units_need_no_worker():
    assert list(run_units(units.three, [], engine="dask")) == []
    with pytest.raises(EngineError, match="at least 1"):
        list(run_units(units.three, ["a"], workers=0))


def test_a_worker_killed_at_every_result_loses_nothing(tmp_path):
    """Four deaths in all: none of them at the same place more than twice."""
    found = [result for _, result in run_units(units.dies, [(str(tmp_path), 2, 1)], workers=1, rest=units.after)]
    assert found == [1, 2]
    assert [(tmp_path / f"deaths{n}").read_bytes() for n in (1, 2)] == [b"xx"] * 2


def test_a_unit_that_always_kills_its_worker_is_named_after_the_others_are_done(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    asked = [(str(tmp_path / "bad"), 99, 0), (str(tmp_path / "good"), 0, 0)]
    kept: list[int] = []
    with pytest.raises(EngineError, match=r"^the worker died 3 times on \('.*bad'[^\n]*; finished results are kept$"):
        taken(run_units(units.dies, asked, workers=1, rest=units.after), kept)
    assert kept == [0, 1, 2]
    assert (tmp_path / "bad" / "deaths0").read_bytes() == b"xxx"


def test_a_bug_in_one_unit_takes_no_result_from_the_others_and_is_raised_as_it_was():
    kept: list[str] = []
    with pytest.raises(KeyError, match="bad") as caught:
        taken(run_units(units.fails, ["bad", "good", "better"], workers=1), kept)
    assert kept == ["bad begins", "good begins", "good ends", "better begins", "better ends"]
    assert "units.py" in "".join(caught.value.__notes__)


def test_workers_end_with_their_results_abandoned():
    results = run_units(units.lasts, ["a"], workers=1)
    next(results)
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 2


@pytest.mark.slow
def test_a_cluster_loses_nothing_either(tmp_path):
    """One unit fails, one kills its worker for good; the third is whole, the first keeps what it had."""
    kept: list[object] = []
    with pytest.raises(KeyError):
        taken(run_units(units.fails, ["bad", "good"], engine="dask", workers=1), kept)
    assert sorted(map(str, kept)) == ["bad begins", "good begins", "good ends"]
    asked = [(str(tmp_path / name), times, 2) for name, times in (("bad", 99), ("good", 2))]
    for folder, _, _ in asked:
        Path(folder).mkdir()
    kept.clear()
    with pytest.raises(EngineError, match="died 3 times"):
        taken(run_units(units.dies, asked, engine="dask", workers=1), kept)
    assert kept == [2]


def started(engine: str) -> subprocess.Popen:
    """Endless work in a process group of its own, when its first results have come."""
    process = subprocess.Popen(
        [sys.executable, units.__file__, engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=TESTS_ENVIRONMENT,
        start_new_session=True,
        # A shell without job control starts background jobs with interrupts ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    if engine == "local":
        assert {process.stdout.readline() for _ in range(4)} & {"a0\n", "b0\n"}
    else:
        time.sleep(6)
    return process


def ended(process: subprocess.Popen, seconds: float) -> str:
    """Its stderr, and that its whole group ends within some seconds."""
    begun = time.monotonic()
    _, err = process.communicate(timeout=30)
    while time.monotonic() - begun < seconds:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return err
        # Orphans that nobody waits for stay in the table; they are done all the same.
        states = subprocess.run(
            ["ps", "-o", "stat=", "--no-headers", "-g", str(process.pid)],
            capture_output=True, text=True, check=False,
        ).stdout.split()  # fmt: skip
        if all(state.startswith("Z") for state in states):
            return err
        time.sleep(0.05)
    raise AssertionError("processes of the group are still there")


@pytest.mark.parametrize("engine", ["local", pytest.param("dask", marks=pytest.mark.slow)])
def test_an_interrupt_of_the_whole_group_is_answered_at_once_and_workers_say_nothing(engine):
    process = started(engine)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    first = process.stderr.readline()
    assert time.monotonic() - begun < 1.5
    assert first == "pessimal: stopping; finished proofs are kept; press Ctrl-C again to leave now\n"
    err = ended(process, 5)
    # What the interpreter says of the interrupt that the program does not catch, and nothing else.
    assert err.count("Traceback") == 1
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "Process Spawn" not in err


@pytest.mark.slow
def test_a_second_interrupt_leaves_at_once():
    process = started("local")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    for _ in range(50):
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    err = ended(process, 3)
    assert process.returncode in {130, -signal.SIGINT}
    assert err.count("stopping") <= 1


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed():
    process = started("local")
    process.kill()
    ended(process, 5)
