"""Sweeps: the same results for any number of workers and on a Dask cluster; nothing lost; refusals before any work."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pessimal as ps
from pessimal.runs import RunFolder, RunFolderError
from pessimal.runs.config import ConfigError
from pessimal.runs.executors import EngineError, run_units
from pessimal.sweeps import sweep
from pessimal.testing import safetensors_bytes, tiny_adder, tiny_weights
from support.ledgers import TESTS_ENVIRONMENT

STRATEGIES = [
    "cubic",
    "brute-force",
    "eupu-max-diff-exact--attn-mean-query+diff--attn-err-svd",
    "eupu-max-diff--attn-drop-average-query-per-output-logit-reasoning--attn-err-max-diff-subproduct",
]
GOOD = f"""k = 3
d_vocab = 5
checkpoints = "models"
stem = "tiny"
seeds = "0:3"
strategies = {json.dumps(STRATEGIES)}
as_published = true
"""
SHIPPED = Path(__file__).parents[2] / "weights"
TIMES = ("seconds", "prove_seconds")


@pytest.fixture
def config(tmp_path):
    (tmp_path / "models").mkdir()
    for seed in range(3):
        tensors = {name: np.asarray(array) for name, array in tiny_weights(seed).tensors.items()}
        (tmp_path / "models" / f"tiny_seed{seed}.safetensors").write_bytes(safetensors_bytes(tensors))
    path = tmp_path / "sweep.toml"
    path.write_text(GOOD)
    return path


def rows(run):
    """The results without their times, in an order of their own."""
    kept = [{k: v for k, v in row.items() if k not in TIMES} for row in run.results()]
    return sorted(kept, key=lambda row: (row["weights"], row["strategy"]))


def test_results_are_the_same_for_any_number_of_workers_and_on_a_cluster(config, tmp_path):
    one = rows(sweep(config, tmp_path / "one", workers=1))
    assert len(one) == 3 * len(STRATEGIES)
    assert all(row["verdict"] == "VERIFIED" for row in one)
    assert rows(sweep(config, tmp_path / "three", workers=3)) == one
    assert rows(sweep(config, tmp_path / "dask", engine="dask", workers=2)) == one


def test_a_torn_last_line_and_missing_rows_are_done_again_and_nothing_twice(config, tmp_path):
    whole = rows(sweep(config, tmp_path / "out", workers=1))
    ledger = tmp_path / "out" / "results.jsonl"
    data = ledger.read_bytes()
    for length in (len(data) - 3, len(data) // 2, 10):
        ledger.write_bytes(data[:length])
        assert rows(sweep(config, tmp_path / "out", workers=1)) == whole


def test_a_finished_sweep_runs_nothing(config, tmp_path):
    run = sweep(config, tmp_path / "out", workers=1)
    before = (tmp_path / "out" / "results.jsonl").read_bytes()
    seen = []
    sweep(config, tmp_path / "out", workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(12, 12)]
    assert (run.path / "results.jsonl").read_bytes() == before


@pytest.mark.parametrize("engine", ["slurm", ""])
def test_unknown_engines_are_refused(engine):
    with pytest.raises(EngineError, match="local, dask"):
        list(run_units(iter, ["x"], engine=engine))


def test_a_scheduler_without_dask_is_refused():
    with pytest.raises(EngineError):
        list(run_units(iter, ["x"], scheduler="tcp://127.0.0.1:1"))


def test_the_index_answers_queries(config, tmp_path):
    run = sweep(config, tmp_path / "out", workers=1)
    database = sqlite3.connect(run.path / "index.sqlite")
    found = database.execute(
        "SELECT count(*), count(DISTINCT weights) FROM results WHERE strategy = 'cubic'"
    ).fetchone()
    database.close()
    assert found == (3, 3)


BAD = [
    ("k = 3", "k = 4", "line 1: tiny_seed0.safetensors has k=3"),
    ("k = 3", "k = 0", "line 1: .*k=0"),
    ("k = 3", 'k = "3"', "line 1: k must be an integer"),
    ("k = 3", "k = true", "line 1: k must be an integer"),
    ("d_vocab = 5", "d_vocab = 100000", "line 1: .*d_vocab"),
    ("d_vocab = 5", "", "d_vocab is missing"),
    ('stem = "tiny"', 'stem = "small"', "line 3: 3 of 3 checkpoints are missing, the first is small_seed0"),
    ('seeds = "0:3"', 'seeds = "0:4"', "line 3: 1 of 4 checkpoints are missing"),
    ('seeds = "0:3"', 'seeds = "x"', "line 5: seeds 'x'"),
    ('"cubic"', '"quartic"', "line 6: unknown strategy 'quartic'; known: published"),
    (
        "as_published = true",
        "as_publishd = true",
        r"line 7: unknown key 'as_publishd' \(did you mean as_published\?\); known: k",
    ),
    ("as_published = true", "[options]\ncount = 'all'", "line 7: option count"),
    (
        "as_published = true",
        "[options]\ncolour = 1",
        "line 7: unknown option .colour.; the sub-cubic strategies have points",
    ),
    ("k = 3", "k = = 3", "not TOML"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD)
def test_a_bad_configuration_is_refused_with_its_line(config, tmp_path, old, new, message):
    config.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        sweep(config, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_results_of_another_sweep_or_version_are_never_mixed(config, tmp_path):
    sweep(config, tmp_path / "out", workers=1)
    config.write_text(GOOD.replace('"0:3"', '"0:2"'))
    with pytest.raises(RunFolderError, match="made with other seeds"):
        sweep(config, tmp_path / "out", workers=1)
    stored = json.loads((tmp_path / "out" / "sweep.json").read_text())
    (tmp_path / "out" / "sweep.json").write_text(json.dumps(stored | {"format": "pessimal-sweep/0"}))
    with pytest.raises(RunFolderError, match="pessimal-sweep/0"):
        sweep(config, tmp_path / "out", workers=1)
    (tmp_path / "out" / "sweep.json").unlink()
    with pytest.raises(RunFolderError, match="no sweep"):
        sweep(config, tmp_path / "out", workers=1)


def test_a_sweep_proves_the_task_that_files_state_or_the_configuration_names(tmp_path):
    """Adders are certified as adders; a task that no file fits is refused with its line."""
    models = tmp_path / "models"
    models.mkdir()
    for seed in range(2):
        tensors = {name: np.asarray(array) for name, array in tiny_adder(seed).tensors.items()}
        metadata = {"attention": "uniform", "act_fn": "relu", "task": "modular-addition"}
        (models / f"adder_seed{seed}.safetensors").write_bytes(safetensors_bytes(tensors, metadata))
    path = tmp_path / "adders.toml"
    text = GOOD.replace("k = 3", "k = 2").replace('"tiny"', '"adder"').replace("0:3", "0:2")
    text = text.replace(json.dumps(STRATEGIES), '["brute-force", "key-frequency columns=0 read_out=exact"]')
    path.write_text(text)
    found = rows(sweep(path, tmp_path / "run"))
    assert [(row["task"], row["verdict"]) for row in found] == [("modular-addition", "VERIFIED")] * 4
    truth = [ps.prove(tiny_adder(seed), ps.ModularAddition(k=2, d_vocab=5), ps.BruteForce()) for seed in range(2)]
    counted = [int(row["correct"]) for row in found if row["strategy"] == "brute-force"]
    assert counted == [proof.claim.correct for proof in truth]
    path.write_text(text + 'task = "nothing"\n')
    with pytest.raises(ConfigError, match=r"adders.toml line \d+: .*nothing"):
        sweep(path, tmp_path / "other")


def test_the_python_interface_has_the_same_name():
    assert ps.sweep is sweep


@pytest.mark.slow
def test_control_c_during_a_sweep_is_answered_at_once_and_keeps_what_had_arrived(tmp_path):
    """Of two shipped models, the first rows take a second each and the others tens of seconds."""
    config = tmp_path / "sweep.toml"
    config.write_text(
        f'k = 4\nd_vocab = 64\ncheckpoints = "{SHIPPED}"\nstem = "max4_v64"\nseeds = "50,104"\n'
        'strategies = ["cubic", "band"]\n'
    )
    words = ["sweep", str(config), "--out", str(tmp_path / "out"), "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pessimal", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=TESTS_ENVIRONMENT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    ledger = tmp_path / "out" / "results.jsonl"
    while process.poll() is None and (not ledger.exists() or ledger.read_bytes().count(b"\n") < 2):
        time.sleep(0.1)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - begun < 5
    assert process.returncode == 130
    lines = [line for line in err.splitlines() if not line.startswith("proving:")]
    assert lines[0] == "pessimal: stopping; finished proofs are kept; press Ctrl-C again to leave now"
    assert lines[1].startswith("pessimal: interrupted")
    assert len(lines) == 2
    assert out == ""
    run = RunFolder(tmp_path / "out")
    assert sorted(row["strategy"] for row in run.results())[:2] == ["cubic", "cubic"]
    assert len(run.ledger().models) == 2
    assert not (run.path / "run.lock").exists()
