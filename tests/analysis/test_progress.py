"""Progress measures of grokking: exact on logits, neurons and curves whose answer is known."""

import re

import flint
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from pessimal.analysis.modular.logits import wrong_margins
from pessimal.analysis.modular.progress import (
    excluded_by_frequency,
    excluded_loss,
    fourier_norms,
    fve_clock,
    gini,
    losses,
    progress,
    restricted_loss,
    squared_weights,
    sum_part,
)
from pessimal.analysis.modular.progress_neurons import ablations, read_shares
from pessimal.analysis.modular.progress_phases import Curves, Phases, phases
from pessimal.circuits.modular.forward import forward
from pessimal.circuits.modular.tables import output_map
from pessimal.circuits.modular.waves import block, clusters, fourier_basis
from support.modular import ModularSizes, modular_weights, quadratic_modular, random_modular

P, KEYS, ALPHA = 13, (2, 5), {2: 3.0, 5: 1.5}
# A projection sums p^3 numbers of size 5 pairwise or p at a time: errors stay below 1e-14 of their size.
CLOSE = {"rtol": 0, "atol": 1e-13}
A, B, C = np.meshgrid(*[np.arange(P)] * 3, indexing="ij")
EVERY = np.ones((P, P), dtype=bool)
SOME = np.random.default_rng(0).random((P, P)) < 0.3


def wave(k, residue, shift=0.0):
    return np.cos(2 * np.pi / P * (k * residue % P) + shift)


def clock(alpha=ALPHA):
    """Sums of cos(w_k(a+b-c))."""
    return sum(size * wave(k, A + B - C) for k, size in alpha.items())


def clock_loss(alpha, p=P):
    """Its loss, the same for every pair, in Arb."""
    with flint.ctx.workprec(600):
        total = flint.arb(0)
        for d in range(p):
            angles = {k: flint.arb.cos_pi_fmpq(flint.fmpq(2 * k * d, p)) for k in alpha}
            total += sum((size * (angles[k] - 1) for k, size in alpha.items()), flint.arb(0)).exp()
        return float(total.log().mid())


def test_the_loss_of_a_sum_of_cosines_is_its_closed_form():
    np.testing.assert_allclose(losses(clock()), clock_loss(ALPHA), rtol=1e-13)
    assert (wrong_margins(clock()) > 0).all()


def test_a_loss_far_below_an_ulp_of_the_logits_keeps_its_digits():
    """Logits of several hundred; the loss is tiny and not zero."""
    large = {2: 200.0, 5: 100.0}
    expected = clock_loss(large)
    assert 0 < expected < 1e-20
    # The exponent is a difference of numbers of size 300: 1e-13 of absolute error.
    np.testing.assert_allclose(losses(clock(large)), expected, rtol=1e-12)


def test_restricted_loss_of_a_pure_circuit_is_its_full_loss():
    assert restricted_loss(clock(), KEYS) == pytest.approx(clock_loss(ALPHA), rel=1e-13)


def test_excluded_loss_of_a_pure_circuit_is_that_of_a_uniform_guess():
    for pairs in (EVERY, SOME):
        assert excluded_loss(clock(), KEYS, pairs) == pytest.approx(np.log(P), rel=1e-13)


def outside_noise():
    """Anything without its sum part and its mean over pairs."""
    noise = np.random.default_rng(1).normal(size=(P, P, P))
    noise -= noise.mean((0, 1))
    return noise - sum_part(noise, KEYS)


OUTSIDE = {
    "another frequency": lambda: 2 * wave(3, A + B - C),
    "the difference": lambda: 2 * wave(2, A - B - C, 0.3),
    "one summand": lambda: wave(5, A + C, 0.7),
    "noise": outside_noise,
}


@pytest.mark.parametrize("name", sorted(OUTSIDE))
def test_what_lies_outside_the_circuit_does_not_change_the_restricted_loss(name):
    changed = clock() + OUTSIDE[name]()
    assert restricted_loss(changed, KEYS) == pytest.approx(clock_loss(ALPHA), rel=1e-12)
    assert abs(losses(changed).mean() - clock_loss(ALPHA)) > 1e-3


def test_the_restricted_loss_keeps_the_mean_over_pairs():
    bias = np.linspace(0, 2, P)
    assert restricted_loss(clock() + bias, KEYS) == pytest.approx(float(losses(clock() + bias).mean()), rel=1e-12)


def test_the_restricted_loss_of_some_pairs_is_their_mean():
    biased = clock() + np.linspace(0, 2, P)
    expected = float(losses(biased)[SOME].mean())
    assert restricted_loss(biased, KEYS, SOME) == pytest.approx(expected, rel=1e-12)
    assert restricted_loss(biased, KEYS) != pytest.approx(expected, rel=1e-6)


def test_excluding_one_frequency_leaves_the_others():
    found = excluded_by_frequency(clock(), KEYS, SOME)
    assert found[2] == pytest.approx(clock_loss({5: ALPHA[5]}), rel=1e-12)
    assert found[5] == pytest.approx(clock_loss({2: ALPHA[2]}), rel=1e-12)


def test_what_is_memorised_stays_when_the_circuit_is_excluded():
    """One logit of 40 at the pair (0, 0) leaks 2/p of its mean over the p pairs of sum 0 into each frequency."""
    bump = np.zeros((P, P, P))
    bump[0, 0, 0] = 40.0
    only = np.zeros((P, P), dtype=bool)
    only[0, 0] = True
    left = 40 - 2 * 40 / P * 2 / P
    assert excluded_loss(clock() + bump, KEYS, only) == pytest.approx(np.log1p((P - 1) * np.exp(-left)), rel=1e-12)


def test_the_sum_part_is_the_projection_on_the_published_directions():
    """(cos cos - sin sin)/sqrt 2 and (sin cos + cos sin)/sqrt 2 of the Fourier basis in both summands."""
    noise = np.random.default_rng(2).normal(size=(P, P, P))
    basis, expected = fourier_basis(P), np.zeros((P, P, P))
    for k in KEYS:
        cos, sin = basis[2 * k - 1], basis[2 * k]
        for direction in (
            (np.outer(cos, cos) - np.outer(sin, sin)) / 2**0.5,
            (np.outer(sin, cos) + np.outer(cos, sin)) / 2**0.5,
        ):
            expected += direction[..., None] * np.einsum("ab,abc->c", direction, noise)
    np.testing.assert_allclose(sum_part(noise, KEYS), expected, **CLOSE)
    np.testing.assert_allclose(sum_part(expected, KEYS), expected, **CLOSE)


def test_a_pure_circuit_is_all_clock_and_its_quadrature_not_at_all():
    assert fve_clock(clock() + 7.0, KEYS) == pytest.approx(1, rel=1e-13)
    assert fve_clock(wave(2, A + B - C, np.pi / 2), KEYS) == pytest.approx(0, abs=1e-13)
    assert fve_clock(wave(2, A + B - C) + wave(3, A + B - C), KEYS) == pytest.approx(0.5, rel=1e-13)
    assert fve_clock(np.zeros((P, P, P)), KEYS) == 0.0


def test_gini_is_zero_of_equal_and_largest_of_one_hot_numbers():
    assert gini(np.full(7, 0.3)) == pytest.approx(0, abs=1e-15)
    assert gini(np.eye(7)[3]) == pytest.approx(1 - 1 / 7, rel=1e-15)
    # sum over pairs of |x_i - x_j| / (2 n^2 mean) = 20 / (2 * 16 * 2.5)
    assert gini(np.array([4.0, 1.0, 3.0, 2.0])) == pytest.approx(0.25, rel=1e-15)
    assert gini(np.array([40.0, 10.0, 30.0, 20.0])) == pytest.approx(0.25, rel=1e-15)


def test_fourier_norms_find_the_frequency_of_an_embedding():
    matrix = np.outer(np.cos(2 * np.pi * 3 * np.arange(P) / P), [3.0, 4.0])
    expected = np.zeros(P)
    expected[5] = 5 * (P / 2) ** 0.5
    np.testing.assert_allclose(fourier_norms(matrix), expected, atol=1e-13)


def test_progress_of_a_right_model():
    weights = modular_weights(quadratic_modular(7))
    trained = np.eye(7, dtype=bool)
    found = progress(weights, trained, [1, 3])
    assert found.accuracy == found.train_accuracy == found.test_accuracy == 1.0
    loss = losses(forward(weights).logits)
    assert found.full_loss == pytest.approx(loss.mean())
    assert found.train_loss == pytest.approx(loss[trained].mean())
    assert found.test_loss == pytest.approx(loss[~trained].mean())
    assert found.squared_weights == squared_weights(weights) == sum((a**2.0).sum() for a in weights.tensors.values())
    assert set(found.record()["excluded_by_frequency"]) == {"1", "3"}
    whole = progress(weights, np.ones((7, 7), dtype=bool), [1, 3])
    assert whole.test_loss is whole.test_accuracy is None


def test_read_directions_that_add_angles_have_share_one():
    a, b = A[..., 0], B[..., 0]
    c = np.arange(P)
    neurons = np.stack([2 + wave(2, a + b), wave(2, a + b, -np.pi / 2), wave(5, a - b), wave(5, a + b)], axis=2)
    out = np.stack([wave(2, c), wave(2, c, -np.pi / 2), wave(5, c), wave(5, c, -np.pi / 2)])
    found = read_shares(neurons, out, KEYS)
    # The sine direction of frequency 5 reads its cosine.
    np.testing.assert_allclose([*found[2], *found[5]], [1, 1, 0, 0], **CLOSE)


@pytest.fixture(scope="module")
def model():
    return modular_weights(random_modular(ModularSizes(7, 11, 3, 13, h=2), 5, scale=0.4))


def test_ablations_are_those_of_the_activations(model):
    """Against projections written out as matrices over the pairs."""
    before, h, out, basis = forward(model).logits, forward(model).hidden, output_map(model), fourier_basis(7)
    found = ablations(model, [1, 3])

    def projection(k):
        rows = [np.outer(x, y).ravel() for x in basis[block(int(k))] for y in basis[block(k)]]
        return np.transpose(rows[1:]) @ np.array(rows[1:])

    def loss(activations):
        return float(losses(before + (activations.reshape(7, 7, -1) - h) @ out).mean())

    flat = h.reshape(49, -1)
    for k in (1, 3):
        assert found["without_frequency"][k] == pytest.approx(loss(flat - projection(k) @ flat), rel=1e-11)
    read = out @ basis[[1, 2, 5, 6]].T
    onto = read @ np.linalg.pinv(read)
    assert found["read_span"] == pytest.approx(loss(flat @ onto), rel=1e-11)
    assert found["read_complement"] == pytest.approx(loss(flat - flat @ onto), rel=1e-11)
    kept = (projection(1) + projection(3)) @ before.reshape(49, 7) + before.mean((0, 1))
    assert found["key_blocks"] == pytest.approx(float(losses(kept.reshape(7, 7, 7)).mean()), rel=1e-11)
    assert found["full"] == float(losses(before).mean())
    assert found["sum_directions"] == restricted_loss(before, [1, 3])


def test_only_neurons_above_the_share_are_replaced(model):
    assert ablations(model, [1], share=1.0)["polynomial_neurons"] == float(losses(forward(model).logits).mean())
    h, basis = forward(model).hidden, fourier_basis(7)
    labels = clusters(h)
    replaced = np.empty_like(h)
    for i, k in enumerate(labels.frequency):
        rows = basis[block(int(k))]
        replaced[..., i] = rows.T @ (rows @ h[..., i] @ rows.T) @ rows
    expected = float(losses(forward(model).logits + (replaced - h) @ output_map(model)).mean())
    assert ablations(model, [1], share=0.0)["polynomial_neurons"] == pytest.approx(expected, rel=1e-11)


def test_all_frequencies_together_are_all_that_is_read(model):
    assert ablations(model, [1, 2, 3])["read_span"] == pytest.approx(
        float(losses(forward(model).logits).mean()), rel=1e-11
    )


GROKKED = Curves(
    epochs=[100, 200, 300, 400, 500, 600, 700],
    train_accuracy=[0.5, 1, 1, 1, 1, 1, 1],
    test_accuracy=[0, 0, 0.1, 0.4, 0.9, 1, 1],
    excluded_loss=[2, 1e-4, 1e-5, 3, 9.5, 10, 6],
)


def changed(**values):
    names = ("epochs", "train_accuracy", "test_accuracy", "excluded_loss")
    return Curves(**({name: getattr(GROKKED, name) for name in names} | values))


def test_phases_end_where_the_rule_says():
    """Excluded loss lowest at 300, nine tenths of its largest value at 500; right on all test pairs from 600."""
    assert phases(GROKKED) == Phases(300, 500, 600)
    assert phases(GROKKED, answered=0.9) == Phases(300, 500, 500)


def test_memorisation_does_not_end_before_the_training_pairs_are_right():
    late = changed(train_accuracy=[0.5, 0.6, 0.7, 0.8, 1, 1, 1])
    assert phases(late) == Phases(500, 500, 600)
    assert phases(changed(train_accuracy=[1, 1, 1, 1, 1, 1, 0.5])) == Phases(None, None, None)


def test_a_phase_that_the_run_does_not_reach_has_no_end():
    unanswered = [0, 0, 0, 0, 0.9, 0.9, 0.9]
    assert phases(changed(test_accuracy=unanswered)) == Phases(300, 500, None)
    rising = [2, 1e-4, 1e-5, 3, 4, 5, 5.1]
    assert phases(changed(test_accuracy=unanswered, excluded_loss=rising)) == Phases(300, None, None)


def test_an_excluded_loss_that_rises_on_after_the_test_pairs_are_right_does_not_hide_the_phases():
    rising = [2, 1e-4, 1e-5, 3, 4, 4.9, 5]
    assert phases(changed(excluded_loss=rising)) == Phases(300, 600, 600)


def test_test_pairs_that_are_wrong_again_have_not_been_cleaned_up():
    assert phases(changed(test_accuracy=[0, 0, 0.1, 0.4, 1, 0.9, 1])) == Phases(300, 500, 700)


def test_a_run_that_generalises_at_once_ends_its_phases_at_once():
    ones = [1.0] * 7
    fast = changed(train_accuracy=ones, test_accuracy=ones, excluded_loss=[5, 5.4, 5.3, 5.3, 5.2, 5.2, 5.1])
    assert phases(fast) == Phases(100, 100, 100)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"epochs": [100, 200, 300, 400, 500, 600, 600]}, "epochs do not rise"),
        ({"test_accuracy": [1, 0]}, "one value per checkpoint"),
        ({"excluded_loss": [2, 1, float("nan"), 1, 4, 5, 5]}, "excluded_loss holds a NaN"),
    ],
)
def test_bad_curves_are_refused(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        changed(**values)
    with pytest.raises(ValueError, match="at least one checkpoint"):
        Curves([], [], [], [])


NAN = np.full((P, P, P), np.nan)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: losses(np.zeros((5, 5, 7))), r"logits of shape \[5, 5, 7\]"),
        (lambda: losses(np.zeros((9, 9, 9))), "p=9 is not an odd prime"),
        (lambda: losses(NAN), "a logit is NaN or infinite"),
        (lambda: restricted_loss(NAN, KEYS), "a logit is NaN or infinite"),
        (lambda: restricted_loss(clock(), []), "there are no key frequencies"),
        (lambda: excluded_by_frequency(clock(), [], EVERY), "there are no key frequencies"),
        (lambda: restricted_loss(clock(), [2, 2]), r"\[2, 2\] are not distinct numbers from 1 to 6"),
        (lambda: fve_clock(clock(), [7]), r"\[7\] are not distinct numbers from 1 to 6"),
        (lambda: excluded_loss(clock(), KEYS, ~EVERY), "at least one true entry"),
        (lambda: excluded_loss(clock(), KEYS, np.ones((5, 5), dtype=bool)), r"shape \[13, 13\]"),
        (lambda: gini(np.zeros(5)), "not all zero"),
        (lambda: gini(np.array([1.0, -1.0])), "none negative"),
        (lambda: clusters(np.full((P, P, 2), np.inf)), "an activation is NaN"),
        (lambda: clusters(np.zeros((5, 7, 2))), r"activations of shape \[5, 7, 2\]"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, complaint):
    """Where shapes are checked at run time, that check speaks first."""
    with pytest.raises((ValueError, TypeCheckError)) as refused:
        call()
    assert isinstance(refused.value, TypeCheckError) or re.search(complaint, str(refused.value))


def test_pairs_of_another_modulus_are_refused():
    with pytest.raises(ValueError, match=r"shape \[7, 7\]"):
        progress(modular_weights(quadratic_modular(7)), EVERY, [1])
