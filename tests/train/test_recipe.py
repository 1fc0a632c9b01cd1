"""Configurations, seed lists and what a seed draws: everything of training that needs no torch."""

import subprocess
import sys

import numpy as np
import pytest

from pessimal.train import TrainConfig, parse_seeds
from pessimal.train.draw import HELD_OUT_STREAM, TrainingTokens, held_out_tokens, initial_matrices

TINY = TrainConfig(k=3, d_vocab=7, d_model=5, d_head=2, batch_size=11, steps=13)


def test_defaults_are_the_published_recipe():
    config = TrainConfig()
    assert (config.k, config.d_vocab, config.d_model, config.d_head) == (4, 64, 32, 32)
    assert (config.steps, config.batch_size) == (3000, 128)
    assert (config.learning_rate, config.weight_decay) == (1e-3, 0.01)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", "median-of-k"),
        ("k", 0),
        ("d_vocab", 5000),
        ("d_model", 0),
        ("d_head", -1),
        ("steps", 0),
        ("batch_size", 0),
        ("threads", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", -1e-3),
        ("weight_decay", float("inf")),
        ("device", "tpu"),
    ],
)
def test_a_bad_value_is_refused_in_a_sentence_that_names_it(field, value):
    with pytest.raises(ValueError, match=field) as caught:
        TrainConfig(**{field: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0:8", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("1,2,5", [1, 2, 5]),
        ("0:3,50,123", [0, 1, 2, 50, 123]),
        (" 7 , 3:5 ", [7, 3, 4]),
        ("4294967295", [4294967295]),
    ],
)
def test_seed_lists_are_read_in_order(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "1,",
        "a",
        "-1",
        "1.5",
        "8:0",
        "3:3",
        "0:",
        ":8",
        "0:8:2",
        "1,1",
        "0:3,2",
        "²",
        "0:999999999",
        "9" * 30,
    ],
)
def test_junk_seed_lists_are_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match="seed") as caught:
        parse_seeds(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 140


def test_initial_matrices_have_the_published_spread():
    """std(W) = 0.8 / sqrt(d_model) for every matrix."""
    for name, matrix in initial_matrices(TrainConfig(k=20), 123).items():
        assert matrix.dtype == np.float32
        assert matrix.std() == pytest.approx(0.8 / 32**0.5, rel=0.1), name
        assert abs(matrix.mean()) < 0.03, name


def test_the_three_streams_of_a_seed_and_the_streams_of_two_seeds_differ():
    training = TrainingTokens(TINY, 0).block().reshape(-1, TINY.k)
    held_out = held_out_tokens(TINY, 0, len(training))
    assert (training != held_out).any()
    assert (training != TrainingTokens(TINY, 1).block().reshape(-1, TINY.k)).any()
    assert HELD_OUT_STREAM not in (0, 1)


def test_tokens_are_uniform_over_the_vocabulary():
    counts = np.bincount(held_out_tokens(TINY, 5, 70_000).ravel(), minlength=7)
    assert counts.min() > 29_000
    assert counts.max() < 31_000


def test_importing_the_package_does_not_import_torch():
    code = "import sys, pessimal.train as t; t.TrainConfig(); t.parse_seeds('0:8'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
