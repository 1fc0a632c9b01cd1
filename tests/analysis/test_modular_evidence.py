"""Evidence on models and logits whose answers are known: exact waves, exact clocks, exact pizzas."""

import itertools
import json

import numpy as np
import pytest

from pessimal.analysis.modular import FORMAT, evidence
from pessimal.analysis.modular import logits as forms
from pessimal.analysis.modular.neurons import wave_numbers
from pessimal.analysis.modular.quadrature import (
    angle_term,
    box_bound_abs,
    box_bound_identity,
    boxes,
    moment_bound,
    sup_error,
)
from pessimal.analysis.modular.symmetry import circularity, gradient_symmetricity
from pessimal.circuits.modular.tables import neurons_of
from pessimal.circuits.modular.waves import ModularError
from pessimal.run_folders import circuits_of
from support.modular import ATTENDED, ModularSizes, modular_weights, quadratic_modular, random_modular
from support.sampling import examples
from support.waves import wave_modular

P = 11
KEYS = {2: 23, 5: 31}


def phases(n: int, start: float = 0.1) -> np.ndarray:
    return start + 2 * np.pi / n * np.arange(n)


@pytest.fixture(scope="module")
def record():
    return evidence(modular_weights(wave_modular(P, {k: phases(n) for k, n in KEYS.items()})))


def synthetic(form: str, coefficients: dict[int, float], p: int = P) -> np.ndarray:
    """sum_k C_k [|cos(theta k (a-b)/2)|] cos(theta k (a+b-c)), one logit at a time."""
    theta = 2 * np.pi / p
    a, b, c = np.indices((p, p, p))
    return sum(
        C * (np.abs(np.cos(theta * k * (a - b) / 2)) if form == "pizza" else 1) * np.cos(theta * k * (a + b - c))
        for k, C in coefficients.items()
    )


def test_exact_waves_are_found_exact(record):
    """psi = 2 phi, one wave per neuron, the same frequency in and out, both summands alike: up to float32 weights."""
    neurons = record["neurons"]
    assert record["key_frequencies"] == sorted(KEYS)
    assert neurons["live"] == neurons["neurons"] == record["clustered"] == sum(KEYS.values())
    for name in ("frequency_agreement", "fve_input", "fve_output", "amplitude_ratio"):
        assert neurons[name] == pytest.approx(1, abs=1e-5)
    for name in ("phase_left_right", "phase_doubling", "offset_over_amplitude"):
        assert neurons[name] == pytest.approx(0, abs=1e-5)
    assert record["correct"] == record["correct_without_skip"] == record["inputs"] == P**2


def test_the_wave_network_is_a_pizza_on_every_circle(record):
    """Equispaced phases integrate the product of harmonics up to 2 exactly, and |cos| nearly."""
    assert record["logits"]["fve_pizza"] > 0.999
    assert record["logits"]["fve_clock"] < 0.9
    assert record["logits"]["distance_irrelevance"] < 0.02
    assert record["gradient_symmetricity"] > 0.999
    for row in record["frequencies"]:
        assert row["q_pizza"] > 0.999 > 0.9 > row["q_clock"]
        assert row["quadrature"]["neurons"] == row["cluster"] == KEYS[row["k"]]
        assert row["quadrature"]["sup_error"] < row["quadrature"]["moment_100"] < 0.1
        assert row["quadrature"]["angle"] < 1e-5


def test_the_record_is_json_and_holds_what_is_drawn(record):
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["format"] == FORMAT
    picture = record["drawn"]
    assert [one["k"] for one in picture["circles"]] == [one["k"] for one in picture["quadratures"]] == sorted(KEYS)
    assert all(len(one["x"]) == len(one["y"]) == P for one in picture["circles"])
    for one in picture["quadratures"]:
        assert len(one["edges"]) == len(one["nodes"]) + 1 == len(one["heights"]) + 1 == KEYS[one["k"]] + 1
        assert one["edges"][-1] - one["edges"][0] == pytest.approx(np.pi, rel=1e-3)
    assert [k + 1 for k, share in enumerate(picture["output_spectrum"]) if share > 1e-6] == sorted(KEYS)
    assert np.less_equal(picture["logits"]["low"], picture["logits"]["mean"]).all()
    assert np.less_equal(picture["logits"]["mean"], picture["logits"]["high"]).all()


@pytest.mark.parametrize(("form", "irrelevance"), [("clock", 1), ("pizza", 0)])
def test_synthetic_forms_explain_themselves_and_fix_distance_irrelevance(form, irrelevance):
    """With a constant-free clock the right logit is constant, so its own form needs a term in a + b to vary at all."""
    C = {1: 2.0, 3: 5.0}
    logits = synthetic(form, C)
    fitted = {"clock": forms.clock_form, "pizza": forms.pizza_form}
    assert fitted[form](logits, list(C)).coefficients == pytest.approx(list(C.values()))
    assert fitted[form](logits, list(C)).fve == pytest.approx(1)
    other = fitted["pizza" if form == "clock" else "clock"](logits, list(C))
    assert 0.5 < other.fve < 0.95
    if form == "clock":
        assert np.isnan(forms.distance_irrelevance(logits))
        logits = logits + np.cos(2 * np.pi / P * forms.sums(P))[..., np.newaxis]
    assert forms.distance_irrelevance(logits) == pytest.approx(irrelevance, abs=1e-9)


def test_margins_of_an_exact_clock():
    """Nothing is left over, and every input has the ideal margin min_e sum C_k (1 - cos(theta k e))."""
    C = {1: 2.0, 4: 3.0}
    logits = synthetic("clock", C)
    margins = forms.margins_of(logits, forms.clock_form(logits, list(C)), list(C))
    ideal = min(sum(c * (1 - np.cos(2 * np.pi / P * k * e)) for k, c in C.items()) for e in range(1, P))
    assert margins.ideal == pytest.approx(ideal)
    assert margins.true == pytest.approx(ideal)
    assert margins.residual == pytest.approx(0, abs=1e-12)


def test_ideal_margin_minus_residual_never_exceeds_the_smallest_margin():
    """min (right - wrong) >= min of the form - max of what it leaves out, for any logits."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        logits = forms.centred(synthetic("clock", {2: 4.0}) + rng.normal(size=(P, P, P)))
        margins = forms.margins_of(logits, forms.clock_form(logits, [2, 3]), [2, 3])
        assert margins.ideal - margins.residual <= margins.true + 1e-12


def test_shares_of_forms_never_exceed_one_and_ignore_what_all_classes_share():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(P, P, P))
    shifted = forms.centred(logits + rng.normal(size=(P, P, 1)))
    for fit in (forms.clock_form, forms.pizza_form):
        assert 0 <= fit(forms.centred(logits), [1, 2, 3, 4, 5]).fve <= 1
        assert fit(forms.centred(logits), [2]).fve == pytest.approx(fit(shifted, [2]).fve)


def problems():
    rng = np.random.default_rng(7)
    for number in range(examples(120)):
        n = int(rng.integers(1, 90))
        phi = rng.uniform(-np.pi, np.pi, size=n)
        if number % 3 == 1:
            phi = 0.3 * rng.normal(size=n)
        if number % 3 == 2:
            phi = phases(n) + 0.05 * rng.normal(size=n)
        psi = 2 * phi + rng.choice([0.0, 0.05, 1.0, 3.0]) * rng.normal(size=n)
        weight = rng.exponential(size=n)
        yield phi, psi, weight / weight.sum()


def test_moment_bound_is_never_below_the_error():
    for phi, psi, weight in [*problems(), *few()]:
        for order in (1, 2, 5, 20, 100):
            assert moment_bound(phi, psi, weight, order) >= sup_error(phi, psi, weight, 720)


def few():
    """One to four neurons, where bounds are nearly attained."""
    rng = np.random.default_rng(11)
    for n in (1, 1, 1, 2, 3, 4):
        yield rng.uniform(-np.pi, np.pi, size=n), rng.uniform(-np.pi, np.pi, size=n), np.full(n, 1 / n)


def summed(phi, psi, weight, activation):
    """sup_v of 2 pi sum_i w_i activation(cos(u + phi_i)) cos(v + psi_i) as a complex number, at 720 points u."""
    u = 2 * np.pi / 720 * np.arange(720)
    return u, 2 * np.pi * activation(np.cos(u[:, np.newaxis] + phi)) @ (weight * np.exp(1j * psi))


def test_every_half_has_a_box_bound_of_its_own():
    """|x|/2 against 2/3 cos(2u - v), x/2 against 0, each for psi = 2 phi."""
    for phi, _, weight in [*problems(), *few()]:
        u, half = summed(phi, 2 * phi, weight, lambda x: np.abs(x) / 2)
        assert box_bound_abs(phi, weight) * 2 / 3 >= np.abs(half - 2 / 3 * np.exp(-2j * u)).max()
        _, half = summed(phi, 2 * phi, weight, lambda x: x / 2)
        assert box_bound_identity(phi, weight) * 2 / 3 >= np.abs(half).max()


def test_angle_term_bounds_what_the_output_phases_change_and_is_attained_by_one_neuron():
    for phi, psi, weight in [*problems(), *few()]:
        change = np.subtract(*(summed(phi, one, weight, lambda x: np.maximum(x, 0))[1] for one in (psi, 2 * phi)))
        assert angle_term(phi, psi, weight) * 2 / 3 >= np.abs(change).max()
        if len(phi) == 1:
            assert angle_term(phi, psi, weight) * 2 / 3 == pytest.approx(np.abs(change).max(), rel=1e-4)


def test_both_halves_and_the_angles_are_never_below_the_error():
    for phi, psi, weight in [*problems(), *few()]:
        box = box_bound_abs(phi, weight) + box_bound_identity(phi, weight)
        assert box >= sup_error(phi, 2 * phi, weight, 720)
        assert box + angle_term(phi, psi, weight) >= sup_error(phi, psi, weight, 720)


def test_more_moments_never_loosen_the_bound():
    """|A_m| + |B_m| is at most twice the root, so harmonic M + 1 costs no more than the tail loses."""
    for phi, psi, weight in [*problems(), *few()]:
        ladder = [moment_bound(phi, psi, weight, order) for order in (1, 2, 3, 8, 30)]
        assert all(after <= before + 1e-12 for before, after in itertools.pairwise(ladder))


def test_second_frequencies_are_counted_by_neuron():
    """Three of five neurons have their second wave at 2k, an eighth of the first; the others at another frequency."""
    angle, k = 2 * np.pi / P * np.arange(P)[:, np.newaxis], np.array([1, 2, 5, 1, 4])
    second = np.array([2, 4, 1, 3, 4 * 3 % P])
    table = np.cos(k * angle) + np.cos(second * angle + 1) / 8
    numbers = wave_numbers(neurons_of(table, table, np.cos(k * angle).T), P)
    assert numbers["second_is_double"] == pytest.approx(3 / 5)
    assert numbers["second_amplitude"] == pytest.approx(1 / 8)
    assert numbers["second_of_rest"] == pytest.approx(1)
    assert numbers["fve_input"] == pytest.approx(64 / 65)


def test_boxes_of_equispaced_nodes_are_centred_on_them():
    """n equal boxes of width h around their nodes: distance n h^2 / 4, which no offset improves."""
    n = 13
    laid = boxes(phases(n, 0.2) / 2, np.full(n, 1 / n), np.pi)
    assert (laid.edges[:-1] + laid.edges[1:]) / 2 == pytest.approx(laid.nodes)
    assert laid.distance == pytest.approx(n * (np.pi / n) ** 2 / 4)


def test_the_offset_of_boxes_is_the_best_one():
    rng = np.random.default_rng(2)
    phi, weight = rng.uniform(0, np.pi, size=19), np.full(19, 1 / 19)
    laid = boxes(phi, weight, np.pi)
    for offset in np.linspace(-np.pi, np.pi, 401):
        begin, end = laid.edges[:-1] + offset - laid.nodes, laid.edges[1:] + offset - laid.nodes
        assert laid.distance <= np.sum(end * np.abs(end) - begin * np.abs(begin)) / 2 + 1e-12


def test_circularity_is_one_for_waves_alone():
    tensors = wave_modular(P, {1: phases(5), 3: phases(7)})
    # Equal sizes would leave the principal components undecided between the two frequencies.
    tensors["W_E"][:, :2] *= 3
    assert circularity(modular_weights(tensors)) == pytest.approx(1, abs=1e-6)
    noise = random_modular(ModularSizes(P, 7, 3, 5), 0)
    assert circularity(modular_weights(noise)) < 0.9


def test_gradient_symmetricity_is_one_where_the_summands_enter_alike():
    """The wave network adds both rows with the same large factor, and the last one once more by itself."""
    assert gradient_symmetricity(modular_weights(wave_modular(P, {1: phases(5), 3: phases(7)}))) > 1 - 1e-5
    noise = random_modular(ModularSizes(P, 7, 3, 5), 0, scale=0.3)
    assert gradient_symmetricity(modular_weights(noise)) < 0.9


def test_softmax_models_have_no_neurons_and_all_the_rest():
    tensors = random_modular(ModularSizes(7, 11, 3, 13, h=2), 0, scale=0.4)
    record = evidence(modular_weights(tensors, {"attention": "causal-softmax", "act_fn": "relu"}))
    assert record["neurons"] is None
    assert record["drawn"]["quadratures"] == []
    assert all(row["quadrature"] is None for row in record["frequencies"])
    assert 0 <= record["correct"] <= record["inputs"] == 49
    assert 0 < record["logits"]["fve_clock"] < 1


@pytest.mark.parametrize("task", ["modular-addition", "modular-addition-equals"])
def test_both_tasks_of_modular_addition_are_analysed_as_such(task):
    tensors = random_modular(ModularSizes(7, 11, 3, 13, k=3, equals=True), 0, scale=0.4)
    assert circuits_of(modular_weights(tensors, ATTENDED | {"task": task}))["format"] == FORMAT


def test_a_right_model_that_is_no_wave_counts_as_right():
    """The planted quadratic model answers every pair, with the skip and not without it."""
    record = evidence(modular_weights(quadratic_modular(7)))
    assert record["correct"] == record["inputs"] == 49
    assert record["correct_without_skip"] < 49
    assert record["logits"]["true_margin"] > 0


def test_empty_output_and_overflow_are_one_sentence_each():
    tensors = random_modular(ModularSizes(7, 11, 3, 13), 0)
    with pytest.raises(ModularError, match="key frequencies is empty"):
        evidence(modular_weights(tensors | {"W_out": np.zeros_like(tensors["W_out"])}))
    with pytest.raises(ModularError, match="no neuron"):
        evidence(modular_weights(tensors | {"W_in": np.zeros_like(tensors["W_in"])}))
    huge = {name: array.astype(np.float64) * 1e200 for name, array in tensors.items() if name in {"W_out", "W_U"}}
    with pytest.raises(ModularError, match="overflow"):
        evidence(modular_weights(tensors | huge))


def test_a_modulus_too_large_for_memory_is_refused_before_anything_is_allocated():
    zeros = {name: np.zeros_like(array) for name, array in random_modular(ModularSizes(1009, 2, 1, 3), 0).items()}
    with pytest.raises(ModularError, match="p=1009 is too large"):
        evidence(modular_weights(zeros))
