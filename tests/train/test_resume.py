"""Training is resumed: finished models are kept, never replaced by others; what is in the way is told in one sentence."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from pessimal import api
from pessimal.cli.main import main
from pessimal.runs import RunFolderError
from pessimal.runs.training import NAME
from pessimal.train import ModularConfig, TrainConfig, save

TINY = TrainConfig(k=2, d_vocab=3, d_model=4, d_head=2, steps=2, batch_size=4)
ADDER = ModularConfig(p=5, d_model=7, d_head=2, n_heads=3, d_mlp=4, epochs=4, checkpoints=(1, 2), ratio=0.8)


def files(folder):
    """Name to bytes of every model."""
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def counted(monkeypatch):
    """The names that are written."""
    written = []
    write = save._write_whole
    monkeypatch.setattr(save, "_write_whole", lambda path, data: (written.append(path.name), write(path, data))[1])
    return written


class KilledError(BaseException):
    """The end of the process at some place."""


def test_finished_models_are_kept_and_the_others_are_trained(tmp_path, monkeypatch):
    written = counted(monkeypatch)
    first = [path.name for path in api.train(TINY, [0, 1], tmp_path)]
    before = files(tmp_path)
    again = [path.name for path in api.train(TINY, [0, 2, 1], tmp_path)]
    assert again == [*first, "max2_v3_seed2.safetensors"]
    assert written == again
    assert before.items() <= files(tmp_path).items()


@pytest.mark.parametrize("config", [TINY, ADDER], ids=["max", "adder"])
def test_training_killed_before_or_after_any_of_its_writes_is_resumed_to_the_same_files(config, tmp_path, monkeypatch):
    list(api.train(config, [0, 1], tmp_path / "whole"))
    whole = files(tmp_path / "whole")
    for late in (False, True):
        for place in range(len(whole)):
            out = tmp_path / f"out{late}{place}"
            write = save._write_whole
            done = []

            def write_or_die(path, data, *, place=place, late=late, write=write, done=done):
                if len(done) == place and not late:
                    raise KilledError
                done.append(write(path, data))
                if len(done) == place + 1 and late:
                    raise KilledError
                return done[-1]

            with monkeypatch.context() as patch:
                patch.setattr(save, "_write_whole", write_or_die)
                with pytest.raises(KilledError):
                    list(api.train(config, [0, 1], out))
            kept = files(out)
            assert kept.items() <= whole.items()
            assert len(kept) == place + late
            assert sorted(path.name for path in api.train(config, [0, 1], out)) == sorted(whole)
            assert files(out) == whole


def test_models_trained_otherwise_are_not_replaced(tmp_path, capsys):
    list(api.train(TINY, [0], tmp_path))
    before = files(tmp_path)
    for change, said in (({"steps": 3}, "steps=2, not 3"), ({"learning_rate": 0.5}, "learning_rate=0.001, not 0.5")):
        with pytest.raises(RunFolderError, match=f"max2_v3_seed0.safetensors was trained with {said}; move it away"):
            list(api.train(replace(TINY, **change), [1, 0], tmp_path))
    assert files(tmp_path) == before
    words = ["train", "max-of-k", "--k", "2", "--d-vocab", "3", "--d-model", "4", "--d-head", "2", "--steps", "9"]
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_how_many_threads_train_does_not_matter(tmp_path, monkeypatch):
    list(api.train(TINY, [0], tmp_path))
    written = counted(monkeypatch)
    list(api.train(replace(TINY, threads=2, device="cpu"), [0], tmp_path))
    assert written == []


def test_a_longer_run_passes_through_the_checkpoints_of_a_shorter_one(tmp_path):
    list(api.train(ADDER, [0], tmp_path))
    before = files(tmp_path)
    with pytest.raises(RunFolderError, match=r"seed0\.safetensors was trained with epochs=4, not 5"):
        list(api.train(replace(ADDER, epochs=5), [0], tmp_path))
    (tmp_path / "modular-addition_p5_uniform_seed0.safetensors").unlink()
    list(api.train(replace(ADDER, epochs=5), [0], tmp_path))
    assert {name: data for name, data in files(tmp_path).items() if "epoch" in name} == {
        name: data for name, data in before.items() if "epoch" in name
    }


def test_a_file_of_unknown_origin_is_not_replaced(tmp_path):
    (path,) = api.train(TINY, [0], tmp_path)
    for spoil in ((tmp_path / NAME).unlink, lambda: path.write_bytes(b"junk")):
        spoil()
        before = path.read_bytes()
        with pytest.raises(RunFolderError, match=rf"{path.name} is there, and {NAME} does not say"):
            list(api.train(TINY, [0], tmp_path))
        assert path.read_bytes() == before
        path.unlink()
        list(api.train(TINY, [0], tmp_path))


@pytest.mark.parametrize("line", ["{}", "[]", "notes", '{"file": 3, "sha256": "", "training": {}}', "\0"])
def test_a_foreign_line_of_the_log_is_one_sentence_with_its_number(tmp_path, line):
    list(api.train(TINY, [0], tmp_path))
    with (tmp_path / NAME).open("a") as log:
        log.write(f"{line}\n")
    with pytest.raises(RunFolderError, match=rf"^{NAME} line 2 [^\n]+$"):
        list(api.train(TINY, [0], tmp_path))


@pytest.mark.parametrize("cut", [1, 2, 40, -1])
def test_a_torn_line_of_the_log_costs_no_more_than_its_model(tmp_path, cut):
    (path,) = api.train(TINY, [0], tmp_path)
    log = tmp_path / NAME
    whole = log.read_bytes()
    path.unlink()
    log.write_bytes(whole[:-cut] if cut > 0 else b"")
    list(api.train(TINY, [0], tmp_path))
    assert log.read_bytes() == whole
    assert json.loads(whole)["training"]["steps"] == 2
