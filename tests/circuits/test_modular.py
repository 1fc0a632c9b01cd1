"""Waves mod p, neurons of exact waves, and the forward pass against the loop over heads and finite differences."""

import dataclasses
from types import MappingProxyType

import numpy as np
import pytest

from modular import ModularSizes, modular_weights, random_modular
from pessimal.analysis.accuracy import forward as loop_forward
from pessimal.circuits import fourier
from pessimal.circuits.fourier import NO_CLUSTER, ModularError, cluster_frequencies, fourier_basis, waves
from pessimal.circuits.modular import folded_tables, modulus, neurons_of, output_map
from pessimal.circuits.modular_pass import forward, input_gradients, tokens
from waves import wave_modular

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


@pytest.mark.parametrize("p", [3, 5, 11])
def test_basis_is_orthonormal(p):
    basis = fourier_basis(p)
    assert basis @ basis.T == pytest.approx(np.eye(p), abs=1e-12)


def test_a_table_is_its_mean_and_its_waves():
    """T(a) = mean + sum_k r_k cos(theta k a + phi_k), and the energies add up."""
    table = np.random.default_rng(0).normal(size=(11, 3))
    found = waves(table)
    turn = np.exp(2j * np.pi / 11 * np.outer(np.arange(11), np.arange(1, 6)))
    assert table.mean(0) + (turn @ found).real == pytest.approx(table, abs=1e-12)
    assert 11 / 2 * (np.abs(found) ** 2).sum(0) == pytest.approx(11 * table.var(0))


@pytest.mark.parametrize("k", [1, 4, 5])
def test_a_wave_has_its_amplitude_and_phase(k):
    found = waves(3.0 * np.cos(2 * np.pi / 11 * k * np.arange(11) + 0.7))
    assert np.flatnonzero(np.abs(found) > 1e-12).tolist() == [k - 1]
    assert found[k - 1] == pytest.approx(3.0 * np.exp(0.7j))


def test_folded_frequencies_are_those_of_the_same_cosine():
    angle = 2 * np.pi / 11 * np.arange(11)
    for k in range(1, 40):
        folded = int(fourier.folded_frequency(np.array(k), 11))
        assert 0 <= folded <= 5
        assert np.cos(folded * angle) == pytest.approx(np.cos(k * angle), abs=1e-9)


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


def test_key_frequencies_are_those_written():
    weights = modular_weights(wave_modular(11, {2: np.array([0.1, 1.0]), 5: np.array([0.3, 2.0, 4.0])}))
    assert fourier.key_frequencies(output_map(weights)) == [2, 5]


def test_clusters_follow_the_share_of_the_block():
    """A product of waves of one frequency is in its cluster; half of each of two frequencies, or a constant, in none."""
    angle = 2 * np.pi / 7 * np.arange(7)
    one, two = (np.outer(np.cos(k * angle), np.sin(k * angle)) for k in (2, 3))
    found, share = cluster_frequencies(np.stack([one + np.cos(2 * angle), one + two, np.ones((7, 7))], axis=-1))
    assert found.tolist() == [2, NO_CLUSTER, NO_CLUSTER]
    assert share == pytest.approx([1, 0.5, 0], abs=1e-12)


@KINDS
def test_forward_pass_is_that_of_the_loop_over_heads(kind):
    weights = model(kind)
    inputs = tokens(weights)
    passed = forward(weights, inputs)
    assert passed.logits == pytest.approx(loop_forward(weights, inputs), abs=1e-9)
    assert inputs.shape == (P**2, 3 if kind == "equals" else 2)


def test_folded_tables_add_up_to_the_forward_pass():
    weights = model("uniform")
    tables, passed = folded_tables(weights), forward(weights, tokens(weights))
    pre = tables.left[:, np.newaxis] + tables.right
    assert np.maximum(pre, 0).reshape(P**2, F) == pytest.approx(passed.hidden, abs=1e-9)
    skip = tables.skip_left[:, np.newaxis] + tables.skip_right
    assert skip.reshape(P**2, P) == pytest.approx(passed.skip, abs=1e-9)


@KINDS
@pytest.mark.parametrize("scale", [0.2, 0.7])
def test_gradient_is_the_limit_of_differences(kind, scale):
    """Gradients by the row of a and by the row of b, which differ, against central differences of the embedding."""
    weights = model(kind, seed=5, scale=scale)
    inputs, c = tokens(weights)[[1 * P + 4]], np.array([2])
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


def refused():
    sizes = ModularSizes(P, M, D, F, h=H)
    plain = random_modular(sizes, 0)
    uniform = {"attention": "uniform", "act_fn": "relu"}
    gains = {"ln1_w": np.ones(M, np.float32), "ln_final_w": np.ones(M, np.float32)}
    yield modular_weights(plain, uniform | {"task": "max-of-k"}), "trained for 'max-of-k'"
    yield modular_weights(random_modular(ModularSizes(P, M, D, 0), 0), {"attention": "uniform"}), "no MLP"
    yield modular_weights(plain | gains, SOFTMAX), "LayerNorms"
    yield modular_weights(random_modular(ModularSizes(P, M, D, F, k=4), 0)), "k=4"
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


def test_an_output_map_without_frequencies_is_refused():
    for out in (np.zeros((3, 5)), np.ones((3, 5)), np.full((3, 5), np.nan)):
        with pytest.raises(ModularError, match="key frequencies is empty"):
            fourier.key_frequencies(out)
