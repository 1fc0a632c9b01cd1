"""Neurons of exact waves; the forward pass against the specification, and its gradient against finite differences."""

import dataclasses
from types import MappingProxyType

import numpy as np
import pytest

from pessimal.circuits.modular.forward import forward, input_gradients, tokens
from pessimal.circuits.modular.tables import folded_tables, modulus, neurons_of
from pessimal.circuits.modular.waves import ModularError
from support.modular import ALL_BIASES, ModularSizes, modular_weights, random_modular
from support.oracle import specified_logits

P, M, D, F, H = 7, 11, 3, 13, 2
SOFTMAX = {"attention": "causal-softmax", "act_fn": "relu"}


def model(kind: str, seed: int = 0, scale: float = 0.5):
    """Random weights: uniform, softmax over two tokens, or softmax over two tokens and "="."""
    tensors = random_modular(ModularSizes(P, M, D, F, h=H), seed, scale=scale)
    if kind == "equals":
        rng = np.random.default_rng(seed + 1)
        tensors["W_E"] = (scale * rng.normal(size=(P + 1, M))).astype(np.float32)
        tensors["W_pos"] = (scale * rng.normal(size=(3, M))).astype(np.float32)
    return modular_weights(tensors, None if kind == "uniform" else SOFTMAX)


KINDS = pytest.mark.parametrize("kind", ["uniform", "softmax", "equals"])


def test_neurons_of_exact_waves_are_recovered():
    """Frequencies, phases and amplitudes are those planted; the tables have no other frequency."""
    rng = np.random.default_rng(3)
    k, n = rng.integers(1, 6, size=17), 17
    phi, psi, r, s = (rng.uniform(low, high, size=n) for low, high in ((-3, 3), (-3, 3), (1, 2), (1, 2)))
    angle = 2 * np.pi / 11 * np.outer(np.arange(11), k)
    found = neurons_of(r * np.cos(angle + phi) + 0.25, 2 * r * np.cos(angle + phi), (s * np.cos(angle + psi)).T)
    assert found.frequency.tolist() == found.output_frequency.tolist() == k.tolist()
    assert found.phi == pytest.approx(phi)
    assert found.phi_left == pytest.approx(found.phi_right)
    assert found.psi == pytest.approx(psi)
    assert found.r_right == pytest.approx(2 * r)
    assert found.r == pytest.approx(1.5 * r)
    assert found.s == pytest.approx(s)
    assert found.offset == pytest.approx(np.full(n, 0.25))
    assert found.explained_input == pytest.approx(found.input_energy)
    assert found.explained_output == pytest.approx(found.output_energy)


def test_second_frequency_of_a_planted_second_wave():
    angle = 2 * np.pi / 11 * np.arange(11)
    table = (np.cos(2 * angle) + 0.125 * np.cos(4 * angle + 1))[:, np.newaxis]
    found = neurons_of(table, table, np.cos(2 * angle)[np.newaxis])
    assert (found.frequency[0], found.second[0]) == (2, 4)
    assert found.second_energy / found.explained_input == pytest.approx(0.125**2)


def test_silent_neurons_are_not_live():
    angle = 2 * np.pi / 5 * np.arange(5)
    table = np.stack([np.cos(angle), np.cos(2 * angle), 0 * angle], axis=1)
    found = neurons_of(table, table, (table * [1, 1e-9, 1]).T)
    assert found.live.tolist() == [True, False, False]
    assert found.of(2).size == 0


def specified():
    """Kinds of attention, scales, with biases and without."""
    sizes = ModularSizes(5, 7, 2, 11, h=3)
    yield "uniform", modular_weights(random_modular(sizes, 1))
    yield "no biases", modular_weights(random_modular(sizes, 2, biases=()))
    yield "softmax", modular_weights(random_modular(sizes, 3, biases=ALL_BIASES), SOFTMAX)
    yield "unscaled", modular_weights(random_modular(sizes, 3, scale=0.5), {**SOFTMAX, "attn_scale": "1"})
    yield "equals", modular_weights(random_modular(ModularSizes(5, 7, 2, 11, k=3, h=2, equals=True), 4), SOFTMAX)


@pytest.mark.parametrize("weights", [pytest.param(one, id=name) for name, one in specified()])
def test_logits_are_those_of_the_specification(weights):
    """Float64 against Arb on every pair: sums of fewer than a hundred terms."""
    found, inputs = forward(weights).logits, tokens(weights)
    assert inputs.shape == (5, 5, weights.architecture.shape.k)
    for a in range(5):
        for b in range(5):
            assert inputs[a, b].tolist() == [a, b, 5][: inputs.shape[2]]
            expected = [float(x.mid()) for x in specified_logits(weights, inputs[a, b].tolist())]
            np.testing.assert_allclose(found[a, b], expected, rtol=0, atol=1e-13 * np.abs(found).max())


@KINDS
def test_some_inputs_and_the_own_embedding_change_nothing(kind):
    weights = model(kind)
    whole, inputs = forward(weights), tokens(weights)
    some = forward(weights, inputs[2, 3:], weights["W_E"].astype(np.float64))
    for part, of in ((some.hidden, whole.hidden), (some.from_mlp, whole.from_mlp), (some.logits, whole.logits)):
        np.testing.assert_allclose(part, of[2, 3:], rtol=0, atol=1e-13 * np.abs(of).max())


def test_folded_tables_add_up_to_the_forward_pass():
    weights = model("uniform")
    tables, passed = folded_tables(weights), forward(weights)
    pre = tables.left[:, np.newaxis] + tables.right
    assert np.maximum(pre, 0) == pytest.approx(passed.hidden, abs=1e-9)
    assert tables.skip_left[:, np.newaxis] + tables.skip_right == pytest.approx(passed.skip, abs=1e-9)


@KINDS
@pytest.mark.parametrize("scale", [0.2, 0.7])
def test_gradient_is_the_limit_of_differences(kind, scale):
    """Gradients by the row of a and by the row of b, which differ, against central differences of the embedding."""
    weights = model(kind, seed=5, scale=scale)
    inputs, c = tokens(weights)[1, 4:5], np.array([2])
    gradient = input_gradients(weights, inputs, c)
    W_E, step = weights["W_E"].astype(np.float64), 1e-6
    for position, token in enumerate((1, 4)):
        for axis in range(M):
            shifted = [W_E.copy(), W_E.copy()]
            shifted[0][token, axis] -= step
            shifted[1][token, axis] += step
            low, high = (forward(weights, inputs, one).logits[0, 2] for one in shifted)
            assert gradient[0, position, axis] == pytest.approx((high - low) / (2 * step), rel=1e-5, abs=1e-7)


def test_modulus_of_models_with_and_without_the_third_token():
    assert modulus(model("uniform")) == modulus(model("equals")) == P
    for task in ("modular-addition", "modular_addition_equals"):
        tensors = random_modular(ModularSizes(P, M, D, F, k=3, equals=True), 0)
        assert modulus(modular_weights(tensors, SOFTMAX | {"task": task})) == P


def refused():
    sizes = ModularSizes(P, M, D, F, h=H)
    plain = random_modular(sizes, 0)
    uniform = {"attention": "uniform", "act_fn": "relu"}
    gains = {"ln1_w": np.ones(M, np.float32), "ln_final_w": np.ones(M, np.float32)}
    yield modular_weights(plain, uniform | {"task": "max-of-k"}), "trained for 'max-of-k'"
    yield modular_weights(random_modular(ModularSizes(P, M, D, 0), 0), {"attention": "uniform"}), "no MLP"
    yield modular_weights(plain | gains, SOFTMAX), "LayerNorms"
    yield modular_weights(random_modular(ModularSizes(P, M, D, F, k=4), 0)), "k=4"
    yield modular_weights(random_modular(ModularSizes(P, M, D, F, k=3), 0)), "k=3, d_vocab=7"
    for p in (2, 4, 9):
        yield modular_weights(random_modular(ModularSizes(p, M, D, F), 0)), f"p={p} is not an odd prime"
    weights = modular_weights(plain)
    nan = {**weights.tensors, "W_in": np.full_like(weights["W_in"], np.nan)}
    yield dataclasses.replace(weights, tensors=MappingProxyType(nan)), "'W_in' holds a NaN"


@pytest.mark.parametrize(("weights", "message"), list(refused()), ids=lambda x: x if isinstance(x, str) else "")
def test_other_models_are_refused_in_one_sentence(weights, message):
    with pytest.raises(ModularError, match=message) as caught:
        modulus(weights)
    assert "\n" not in str(caught.value)


def test_softmax_attention_has_no_folded_tables():
    with pytest.raises(ModularError, match="softmax"):
        folded_tables(model("softmax"))
