"""Tables of residues as sums of waves, key frequencies, and the frequency of every neuron."""

import numpy as np
import pytest

from pessimal.circuits.modular import waves as fourier
from pessimal.circuits.modular.tables import output_map
from pessimal.circuits.modular.waves import ModularError, clusters, fourier_basis, waves
from support.modular import modular_weights
from support.waves import wave_modular

P = 13
A, B = np.indices((P, P))


@pytest.mark.parametrize("p", [3, 13, 113])
def test_the_fourier_basis_is_orthonormal_and_in_the_stated_order(p):
    basis = fourier_basis(p)
    np.testing.assert_allclose(basis @ basis.T, np.eye(p), atol=1e-14 * p)
    t = np.arange(p)
    for k in (1, (p - 1) // 2):
        constant, cosine, sine = basis[fourier.block(k)]
        np.testing.assert_allclose(constant, p**-0.5, atol=1e-15)
        np.testing.assert_allclose(cosine, (2 / p) ** 0.5 * np.cos(2 * np.pi * k * t / p), atol=1e-13)
        np.testing.assert_allclose(sine, (2 / p) ** 0.5 * np.sin(2 * np.pi * k * t / p), atol=1e-13)


@pytest.mark.parametrize("p", [0, 1, 2, 4, 9, 15])
def test_a_basis_asks_for_an_odd_prime(p):
    with pytest.raises(ModularError, match=f"p={p} is not an odd prime"):
        fourier_basis(p)


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


def test_key_frequencies_are_those_written():
    weights = modular_weights(wave_modular(11, {2: np.array([0.1, 1.0]), 5: np.array([0.3, 2.0, 4.0])}))
    assert fourier.key_frequencies(output_map(weights)) == [2, 5]


def test_key_frequencies_have_more_than_the_share():
    c = np.arange(P)
    out = np.stack([5.0 + wave(2, c), wave(6, c, 1.0), 0.05 * wave(4, c)])
    assert fourier.key_frequencies(out, share=0.01) == [2, 6]
    assert fourier.key_frequencies(out) == [2, 4, 6]


def wave(k, residue, shift=0.0):
    return np.cos(2 * np.pi / P * (k * residue % P) + shift)


def test_neurons_belong_to_the_frequency_of_their_block():
    neurons = np.stack(
        [
            1 + wave(3, A) * wave(3, B, 0.4) + wave(3, A, 1.0),
            wave(2, A) + wave(4, A),
            wave(5, A) + 0.3 * wave(1, B),
            np.zeros((P, P)),
            np.full((P, P), 0.1),
        ],
        axis=2,
    )
    found = clusters(neurons)
    # One part in 1.09 of the third neuron's energy; the fourth is dead, the fifth never changes.
    np.testing.assert_allclose(found.share, [1, 0.5, 1 / 1.09, 0, 0], rtol=1e-12)
    assert found.frequency[[0, 2]].tolist() == [3, 5]
    assert found.members() == {3: 1, 5: 1}
    assert found.members(share=0.95) == {3: 1}


def test_an_output_map_without_frequencies_is_refused():
    for out in (np.zeros((3, 5)), np.ones((3, 5)), np.full((3, 5), np.nan)):
        with pytest.raises(ModularError, match="key frequencies is empty"):
            fourier.key_frequencies(out)
