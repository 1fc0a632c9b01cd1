"""Training of modular addition: the forward pass is the specification, seeds are their own, files are read back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import pessimal as ps
from pessimal.train import RECIPES, ModularConfig, save_models, train_modular
from pessimal.train.modular import ModularModel, initial_tensors
from support.oracle import specified_logits

TINY = ModularConfig(p=5, d_model=7, d_head=3, n_heads=2, d_mlp=11, epochs=3, warm_up=2)
TINY_EQUALS = replace(TINY, equals=True, attention="causal-softmax")
CONFIGS = {"uniform": TINY, "softmax": replace(TINY, attention="causal-softmax"), "equals": TINY_EQUALS}


def test_defaults_are_the_published_recipes():
    pizza, clock, grokking = (RECIPES[name] for name in ("pizza", "clock", "grokking"))
    assert (pizza.p, pizza.attention, pizza.d_mlp, pizza.epochs, pizza.ratio) == (59, "uniform", 512, 10_000, 0.8)
    assert sum(int(np.prod(shape)) for shape in pizza.shapes().values()) == 212_608
    assert (clock.p, clock.attention) == (59, "causal-softmax")
    assert (grokking.p, grokking.k, grokking.d_vocab, grokking.ratio) == (113, 3, 114, 0.3)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_logits_are_those_of_the_specification(name, tmp_path):
    """Float64 tensors in torch against the specification on every input, after saving and reading."""
    config = CONFIGS[name]
    *_, models = train_modular(config, [3])
    (path,) = save_models(models, tmp_path)
    weights = ps.load_weights(path)
    tensors = {n: torch.from_numpy(a.astype(np.float64))[None] for n, a in models[0].tensors.items()}
    tokens = config.tokens()
    found = ModularModel(config, tensors).logits(torch.from_numpy(tokens)[None])[0].numpy()
    for one, row in zip(tokens.tolist(), found, strict=True):
        expected = [float(x.mid()) for x in specified_logits(weights, one)]
        assert np.allclose(row, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_seeds_beside_a_seed_do_not_change_what_it_draws(name):
    config = CONFIGS[name]
    alone = [models[0] for models in train_modular(config, [7])]
    beside = [models[1] for models in train_modular(config, [1, 7])]
    for one, two in zip(alone, beside, strict=True):
        assert all(np.allclose(a, two.tensors[n], rtol=1e-4, atol=1e-6) for n, a in one.tensors.items())


def test_the_training_set_is_a_share_of_all_pairs_and_differs_between_seeds():
    first, second = TINY.trained_on(0), TINY.trained_on(1)
    assert len(first) == len(set(first.tolist())) == 20
    assert first.tolist() != second.tolist()
    assert {tuple(pair) for pair in TINY.tokens().tolist()} == {(a, b) for a in range(5) for b in range(5)}


def test_checkpoints_are_kept_and_named(tmp_path):
    config = replace(TINY, checkpoints=(1, 2))
    names = [path.name for models in train_modular(config, [0]) for path in save_models(models, tmp_path)]
    stem = "modular-addition_p5_uniform_seed0"
    assert names == [f"{stem}_epoch1.safetensors", f"{stem}_epoch2.safetensors", f"{stem}.safetensors"]


def test_a_small_adder_learns_and_is_certified(tmp_path):
    """p = 7 from all pairs: every pair right, by enumeration."""
    config = ModularConfig(p=7, d_model=24, d_head=6, d_mlp=48, epochs=400, ratio=1.0, weight_decay=0.1)
    *_, models = train_modular(config, [0])
    (path,) = save_models(models, tmp_path)
    weights = ps.load_weights(path)
    proof = ps.prove(weights, ps.task_of(weights)[0], ps.BruteForce())
    assert proof.claim.correct == proof.claim.total == 49


def test_biases_start_at_zero_and_matrices_do_not():
    drawn = initial_tensors(TINY, 0)
    assert not drawn["b_in"].any()
    assert not drawn["b_out"].any()
    assert all(a.any() for n, a in drawn.items() if not n.startswith("b_"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("p", 12), ("p", 1), ("attention", "none"), ("ratio", 0.0), ("ratio", 1.5), ("d_mlp", 0), ("epochs", 0),
     ("checkpoints", (4,)), ("equals", True), ("device", "tpu"), ("learning_rate", float("nan"))],
)  # fmt: skip
def test_a_bad_value_is_refused_in_a_sentence_that_names_it(field, value):
    with pytest.raises(ValueError, match="third token" if field == "equals" else field):
        replace(TINY, **{field: value})


def test_files_name_their_task_and_reach_the_proof(tmp_path):
    """Two tokens: all pairs; with "=": all pairs with it behind them."""
    for config, name in ((TINY, "modular-addition"), (replace(TINY, equals=True, attention="causal-softmax"),
                                                      "modular-addition-equals")):  # fmt: skip
        assert config.metadata()["task"] == config.spec_task.name == name
        *_, models = train_modular(replace(config, epochs=2, checkpoints=()), [0])
        (path,) = save_models(models, tmp_path / name)
        weights = ps.load_weights(path)
        task, assumed = ps.task_of(weights)
        assert (task, assumed) == (config.spec_task, [])
        assert ps.prove(weights, task, ps.BruteForce()).claim.total == 25
    assert RECIPES["grokking"].spec_task.n_outputs == 113
