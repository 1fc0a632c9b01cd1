"""Reproductions that read runs of modular addition: files read or trained, every number from the results file."""

import json
from pathlib import Path

import numpy as np
import pytest

from pessimal.analysis.modular.logits import wrong_margins
from pessimal.circuits.modular.forward import forward
from pessimal.reproductions import REPRODUCTIONS, ReproductionError, reproduce
from pessimal.reproductions.modular.modular_runs import Attempt, bound_row, modular_run, read_keys, strategies_of
from pessimal.reproductions.run import draw, find_config
from pessimal.train import ModularConfig
from support.modular import ATTENDED, ModularSizes, modular_weights, random_modular

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("training-length", "modular-addition")
TINY = """
recipe = "pizza"
p = 5
d_model = 7
d_head = 2
n_heads = 3
d_mlp = 11
ratio = 0.8
epochs = 30
every = 15
checkpoints = "models"
"""
STRATEGY = '[[strategies]]\nstrategy = "sparse-output"\noptions = { form = "low-rank", rank = 3 }\n'


def written(tmp_path, extra, strategy=STRATEGY):
    folder = tmp_path / "experiments" / "some"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.toml"
    path.write_text(TINY + extra + strategy)
    return path


def untimed(found):
    """Results without how long they took."""
    if isinstance(found, dict):
        return {key: untimed(value) for key, value in found.items() if key != "seconds"}
    return [untimed(one) for one in found] if isinstance(found, list) else found


@pytest.mark.parametrize(
    ("name", "extra"), [("training-length", "seeds = [0, 1]\n"), ("modular-addition", 'key_frequencies = "output"\n')]
)
def test_a_run_is_trained_once_and_everything_is_drawn_from_its_results(name, extra, tmp_path):
    pytest.importorskip("torch")
    config = written(tmp_path, extra)
    paths = reproduce(REPRODUCTIONS[name], config, tmp_path / "out")
    files = {path: path.stat().st_mtime_ns for path in (config.parent / "models").glob("*.safetensors")}
    assert len(files) == 2 * (2 if name == "training-length" else 1)
    before = {path: path.read_bytes() for path in paths[1:]}
    assert {".md", ".csv", ".tex", ".svg"} <= {path.suffix for path in before}
    for path in before:
        path.unlink()
    assert {path: path.read_bytes() for path in draw(REPRODUCTIONS[name], tmp_path / "out")} == before
    results = json.loads(paths[0].read_text())["results"]
    for row in results.get("models", results.get("checkpoints")):
        assert [bound["verdict"] for bound in row["bounds"]] == ["VERIFIED"]
        exact = row["exact"]["certified"] if name == "training-length" else row["accuracy"]
        assert row["bounds"][0]["certified"] <= exact
    again = reproduce(REPRODUCTIONS[name], config, tmp_path / "again")
    assert untimed(json.loads(again[0].read_text())["results"]) == untimed(results)
    assert {path: path.stat().st_mtime_ns for path in (config.parent / "models").glob("*.safetensors")} == files


def test_a_strategy_that_refuses_is_a_row(tmp_path):
    pytest.importorskip("torch")
    config = written(tmp_path, 'key_frequencies = "output"\n', '[[strategies]]\nstrategy = "cubic"\n')
    paths = reproduce(REPRODUCTIONS["modular-addition"], config, tmp_path / "out")
    rows = json.loads(paths[0].read_text())["results"]["checkpoints"]
    assert all(row["bounds"][0]["certified"] is None and row["bounds"][0]["refused"] for row in rows)
    assert "refused" in (tmp_path / "out" / "progress.md").read_text()


def test_a_strategy_is_tried_at_the_epochs_it_names(tmp_path):
    pytest.importorskip("torch")
    config = written(tmp_path, 'key_frequencies = "output"\n', STRATEGY + "at = [15]\n" + STRATEGY)
    paths = reproduce(REPRODUCTIONS["modular-addition"], config, tmp_path / "out")
    results = json.loads(paths[0].read_text())["results"]
    tried = {row["epoch"]: [bound is not None for bound in row["bounds"]] for row in results["checkpoints"]}
    assert tried == {15: [True, True], 30: [False, True]}
    assert len(results["strategies"]) == 2
    with pytest.raises(ReproductionError, match="leave at out"):
        reproduce(
            REPRODUCTIONS["training-length"], written(tmp_path, "", STRATEGY + "at = [15]\n"), tmp_path / "length"
        )


def test_a_model_of_three_tokens_is_proved_for_the_task_of_its_run(tmp_path):
    """Whatever task its file names."""
    sizes = ModularSizes(5, 7, 2, 3, k=3, equals=True)
    weights = modular_weights(random_modular(sizes, 0), ATTENDED | {"task": "modular-addition"})
    run = modular_run({"recipe": "grokking", "p": 5, "epochs": 1}, 0, tmp_path)
    row = bound_row(weights, run.config.spec_task, Attempt("brute-force", {}))
    assert (row.refused, row.verdict, row.total) == (None, "VERIFIED", "25")
    right = wrong_margins(forward(weights).logits) > 0
    assert row.correct == str(right.sum())


def test_a_checkpoint_says_which_pairs_it_was_trained_on(tmp_path):
    pytest.importorskip("torch")
    record = {"p": 5, "d_model": 7, "d_head": 2, "n_heads": 1, "d_mlp": 3, "epochs": 2, "every": 1, "ratio": 0.8}
    run = modular_run(record, 3, tmp_path)
    stated = [(epoch, dict(weights.metadata)) for epoch, weights in run.weights()]
    assert [epoch for epoch, _ in stated] == [1, 2]
    assert {(one["train_ratio"], one["seed"]) for _, one in stated} == {("0.8", "3")}
    assert [one["epoch"] for _, one in stated] == ["1", "2"]
    pairs = ModularConfig(p=5).tokens()[ModularConfig(p=5).trained_on(3)]
    assert np.argwhere(run.trained()).tolist() == pairs.tolist()
    with pytest.raises(ReproductionError, match=r"trained on a share of 0\.8, not 0\.5"):
        list(modular_run({**record, "ratio": 0.5}, 3, tmp_path).weights())


SHIPPED = [path for name in NAMES for path in sorted((ROOT / "experiments" / name).glob("*.toml"))]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_configurations_are_readable(path):
    reproduction = REPRODUCTIONS[path.parent.name]
    assert find_config(path.stem, reproduction.configs) == path
    config = read_keys(path, reproduction.keys)
    assert modular_run(config, 0, path.parent).config.epochs >= 400
    strategies_of(config)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: modular_run({"recipe": "max"}, 0, Path()), "recipe 'max' is not one of pizza, clock, grokking"),
        (lambda: modular_run({"p": 9}, 0, Path()), "p=9 is not a prime"),
        (lambda: modular_run({"every": 0}, 0, Path()), "every=0"),
        (lambda: modular_run({"at": [20_000]}, 0, Path()), "checkpoints"),
        (lambda: strategies_of({"strategies": [{"strategy": "guess"}]}), "'guess' is unknown"),
        (lambda: strategies_of({"strategies": [{"strategy": "sparse-output", "options": {"form": "x"}}]}), "form='x'"),
        (lambda: strategies_of({"strategies": [{"strategy": "cubic", "at": 5}]}), "at=5 is not a list of epochs"),
        (lambda: read_keys(None, frozenset()), "configuration file of its own"),
        (lambda: read_keys(Path("nowhere.toml"), frozenset()), r"nowhere\.toml"),
    ],
)
def test_a_bad_configuration_is_refused_in_a_sentence(call, complaint):
    with pytest.raises(ReproductionError, match=complaint):
        call()


def test_unknown_keys_are_named(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("speed = 3\n")
    with pytest.raises(ReproductionError, match="unknown speed"):
        read_keys(path, frozenset({"recipe"}))
