"""Modular addition on all pairs: the specification's logits, and an orthonormal Fourier basis."""

import numpy as np
import pytest

from modular import ModularSizes, modular_weights, random_modular
from oracle import specified_logits
from pessimal.circuits.modular_forward import fourier_basis, hidden, logits, modulus, output_map

SIZES = ModularSizes(5, 7, 2, 11, h=3)
SOFTMAX = {"attention": "causal-softmax", "act_fn": "relu"}


def equals_tensors():
    """Three tokens, the last of which is p."""
    tensors = random_modular(ModularSizes(5, 7, 2, 11, k=3), 4)
    return {**tensors, "W_E": np.concatenate([tensors["W_E"], tensors["W_E"][:1] * 0.5])}


MODELS = {
    "uniform": lambda: modular_weights(random_modular(SIZES, 1)),
    "no biases": lambda: modular_weights(random_modular(SIZES, 2, biases=())),
    "softmax": lambda: modular_weights(random_modular(SIZES, 3), SOFTMAX),
    "unscaled": lambda: modular_weights(random_modular(SIZES, 3, scale=0.5), {**SOFTMAX, "attn_scale": "1"}),
    "equals": lambda: modular_weights(equals_tensors(), SOFTMAX),
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_logits_are_those_of_the_specification(name):
    """Float64 against Arb: sums of fewer than a hundred terms."""
    weights = MODELS[name]()
    found = logits(weights)
    assert found.shape == (5, 5, 5)
    last = [5] * (weights.architecture.shape.k - 2)
    for a in range(5):
        for b in range(5):
            expected = [float(x.mid()) for x in specified_logits(weights, [a, b, *last])]
            np.testing.assert_allclose(found[a, b], expected, rtol=0, atol=1e-13 * np.abs(found).max())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_hidden_values_write_what_the_logits_have_beyond_a_model_without_them(name):
    weights = MODELS[name]()
    tensors = {**weights.tensors, "W_out": 0 * weights["W_out"]}
    silent = modular_weights(tensors, dict(weights.metadata))
    written = hidden(weights) @ output_map(weights)
    np.testing.assert_allclose(logits(weights), logits(silent) + written, rtol=0, atol=1e-12 * np.abs(written).max())
    assert (hidden(weights) >= 0).all()


def test_many_chunks_are_one(monkeypatch):
    weights = MODELS["softmax"]()
    whole = logits(weights), hidden(weights)
    monkeypatch.setattr("pessimal.circuits.modular_forward.CHUNK", 7)
    for one, parts in zip(whole, (logits(weights), hidden(weights)), strict=True):
        np.testing.assert_allclose(one, parts, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("p", [3, 13, 113])
def test_the_fourier_basis_is_orthonormal_and_in_the_stated_order(p):
    basis = fourier_basis(p)
    np.testing.assert_allclose(basis @ basis.T, np.eye(p), atol=1e-14 * p)
    t = np.arange(p)
    for k in (1, (p - 1) // 2):
        np.testing.assert_allclose(basis[2 * k - 1], (2 / p) ** 0.5 * np.cos(2 * np.pi * k * t / p), atol=1e-13)
        np.testing.assert_allclose(basis[2 * k], (2 / p) ** 0.5 * np.sin(2 * np.pi * k * t / p), atol=1e-13)


@pytest.mark.parametrize("p", [0, 1, 2, 4, 9, 15])
def test_a_basis_asks_for_an_odd_prime(p):
    with pytest.raises(ValueError, match=f"p={p} is not an odd prime"):
        fourier_basis(p)


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        (ModularSizes(5, 7, 2, 0), "W_in is missing"),
        (ModularSizes(5, 7, 2, 3, k=3), "this reads 3 of 5"),
        (ModularSizes(9, 7, 2, 3), "p=9 is not an odd prime"),
    ],
)
def test_another_model_is_refused_in_one_sentence(sizes, complaint):
    with pytest.raises(ValueError, match=complaint):
        modulus(modular_weights(random_modular(sizes, 0)))


def test_layer_norms_are_refused():
    tensors = {**random_modular(SIZES, 0), "ln1_w": np.ones(7, dtype=np.float32)}
    with pytest.raises(ValueError, match="no LayerNorm"):
        hidden(modular_weights(tensors))
