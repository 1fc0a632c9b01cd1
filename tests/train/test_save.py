"""Files of trained models: readable by the specification, deterministic, never half written."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from pessimal.spec import read_weights
from pessimal.train import TrainConfig, TrainedModel, file_name, model_bytes, save_models
from pessimal.train.draw import initial_matrices

TINY = TrainConfig(k=3, d_vocab=7, d_model=5, d_head=2)
SHIPPED = Path(__file__).parents[2] / "weights"


@pytest.fixture
def model():
    drawn = initial_matrices(TINY, 123)
    return TrainedModel(TINY, 123, {name: a[0] if a.ndim == 3 else a for name, a in drawn.items()}, 0.5)


def test_the_specification_reads_what_was_saved(model, tmp_path):
    (path,) = save_models([model], tmp_path / "new" / "folder")
    assert path.name == "max3_v7_seed123.safetensors"
    weights = read_weights(path.read_bytes())
    shape = weights.architecture.shape
    assert (shape.k, shape.d_vocab, shape.d_vocab_out, shape.d_model, shape.d_head) == (3, 7, 7, 5, 2)
    assert weights.architecture.assumed == ()
    for name, matrix in model.tensors.items():
        np.testing.assert_array_equal(weights[name], matrix)
    assert weights.metadata["task"] == "max-of-k"
    assert weights.metadata["seed"] == "123"


def test_the_safetensors_library_reads_what_was_saved(model):
    tensors = load(model_bytes(model))
    assert set(tensors) == set(model.tensors)
    for name, matrix in model.tensors.items():
        np.testing.assert_array_equal(tensors[name], matrix)


def test_the_bytes_do_not_depend_on_the_order_of_the_tensors(model):
    backwards = replace(model, tensors=dict(reversed(model.tensors.items())))
    assert model_bytes(backwards) == model_bytes(model)
    digest = hashlib.sha256(model_bytes(model)).hexdigest()
    assert digest == hashlib.sha256(model_bytes(replace(model, loss=0.25))).hexdigest()


def test_an_interruption_leaves_the_old_file_and_no_other(model, tmp_path, monkeypatch):
    (path,) = save_models([model], tmp_path)
    before = path.read_bytes()

    def interrupted(self, data):
        with self.open("wb") as file:
            file.write(data[:50])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    changed = replace(model, tensors={**model.tensors, "W_E": model.tensors["W_E"] + 1})
    with pytest.raises(KeyboardInterrupt):
        save_models([changed], tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_shipped_weights_are_read_and_named_after_their_contents():
    paths = sorted(SHIPPED.glob("max*_v64_seed*.safetensors"))
    assert len(paths) >= 14
    for path in paths:
        weights = read_weights(path.read_bytes())
        shape = weights.architecture.shape
        config = TrainConfig(k=shape.k, d_vocab=shape.d_vocab, d_model=shape.d_model, d_head=shape.d_head)
        tensors = {name: weights[name] for name in config.matrix_shapes()}
        model = TrainedModel(config, int(weights.metadata["seed"]), tensors, 0.0)
        assert path.name == file_name(model)
        assert path.read_bytes() == model_bytes(model)


@pytest.mark.parametrize("k", [4, 5, 10, 20])
def test_shipped_models_answer_as_well_as_the_table_says(k):
    pytest.importorskip("torch")
    from pessimal.train import sampled_accuracy  # noqa: PLC0415

    config = TrainConfig(k=k)
    weights = read_weights((SHIPPED / f"max{k}_v64_seed123.safetensors").read_bytes())
    tensors = {name: weights[name] for name in config.matrix_shapes()}
    assert sampled_accuracy(TrainedModel(config, 123, tensors, 0.0), n_sequences=10_000) > 0.99
