"""Waves at the key frequencies: no hint certifies more inputs than are right; enumeration is the oracle."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS, Float64Arithmetic
from pessimal.kernel.arithmetic.trigonometry import circle
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.rules.modular.key_frequency import FORM, READ_OUT
from pessimal.kernel.rules.modular.key_frequency import KeyFrequencyOptions as Options
from pessimal.kernel.rules.modular.key_frequency.rule import Margins
from pessimal.kernel.rules.modular.quadrature import spread
from pessimal.proving import prove
from pessimal.search.profiles import profiles_of
from pessimal.spec.question import Question
from pessimal.strategies import KeyFrequency
from support.bounds import bound, certified, cost_of, counted
from support.modular import (
    MODULAR,
    MODULAR_SIZES,
    ModularSizes,
    modular_weights,
    quadratic_modular,
    random_modular,
    single_wave,
)
from support.oracle import RIGHT, verdicts
from support.sampling import examples
from support.soundness import require_sound

RULE = RULES["key-frequency"]
PAIRS = [sizes for sizes in MODULAR_SIZES if sizes.f and sizes.k == 2]


def hints(p, f, frequencies, kept, fine=(), directions=None, shrink=None) -> Hints:
    """The arrays as the rule reads them; empty ones are left out."""
    arrays = {"frequencies": np.asarray(frequencies, dtype=np.int64)}
    options = {"read_out": READ_OUT[1], "hidden": "neurons", "columns": 0, "frequencies": len(frequencies)}
    for name, numbers in (("kept", kept), ("fine", fine)):
        options[name] = len(numbers)
        if len(numbers):
            arrays[name] = np.asarray(numbers, dtype=np.int64)
    if directions is not None:
        options["columns"], arrays["directions"] = directions.shape[1], directions.astype(np.float64)
    if shrink is not None:
        options["read_out"], arrays["shrink"] = READ_OUT[0], shrink.astype(np.float64)
    return Hints(options, arrays)


def everything(p, f) -> Hints:
    """All frequencies, all pairs, all inputs, nothing approximated."""
    n = (p - 1) // 2
    return hints(p, f, range(1, n + 1), range(f * n), range(p))


def some_hints(tensors: dict[str, np.ndarray], seed: int) -> Hints:
    """Random subsets; Q and T good, spoilt, not orthonormal, or garbage."""
    rng = np.random.default_rng(seed)
    p, m, f = tensors["W_U"].shape[1], *tensors["W_in"].shape
    frequencies = [k for k in range(1, (p - 1) // 2 + 1) if rng.random() < 0.7] or [1]
    kept = np.flatnonzero(rng.random(f * len(frequencies)) < rng.choice([0.0, 0.5, 1.0]))
    fine = np.flatnonzero(rng.random(p) < rng.choice([0.0, 0.5, 1.0]))
    directions = shrink = None
    if rng.random() < 0.7:
        directions = np.linalg.svd(tensors["W_in"].astype(float), full_matrices=False)[0][:, : rng.integers(1, m + 1)]
        directions = directions + rng.choice([0.0, 1e-3, 1.0]) * rng.normal(size=directions.shape)
    if rng.random() < 0.7:
        angle = 2 * np.pi / p * np.outer(np.arange(p), frequencies)
        written = 2 / p * tensors["W_U"].astype(float) @ np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
        shrink = np.linalg.pinv(written.T @ written) * rng.choice([0.0, 1.0, -2.0])
        shrink = shrink + rng.choice([0.0, 1.0]) * rng.normal(size=shrink.shape)
    return with_hidden(hints(p, f, frequencies, kept, fine, directions, shrink), tensors, rng)


def with_hidden(one: Hints, tensors: dict[str, np.ndarray], rng) -> Hints:
    """Neurons one by one, profiles, moments or boxes: sensible for `single_wave`, spoilt, or garbage."""
    f, n = tensors["W_in"].shape[1], len(one.arrays["frequencies"])
    kind = str(rng.choice(["neurons", "profiles", "moment", "box"]))
    options, arrays = dict(one.options), dict(one.arrays)
    if kind == "profiles":
        count = int(rng.integers(1, f + 1))
        options |= {"hidden": "profiles", "profiles": count}
        arrays["profile"] = np.arange(f) % count if rng.random() < 0.5 else rng.integers(0, count, f)
        arrays["scale"], arrays["share"] = rng.choice([0.0, 1.0, -2.0]) + rng.choice([0.0, 1.0]) * rng.normal(
            size=(2, f)
        )
    elif kind in FORM:
        phase = 2 * np.pi / f * (np.arange(f) + 0.3) + rng.choice([0.0, 1e-2, 1.0]) * rng.normal(size=f)
        arrays["read"] = rng.choice([0.5, 1.0, 30.0]) * np.stack([np.cos(phase), np.sin(phase)])
        options |= {"hidden": "quadrature", "form": kind}
        kept = np.zeros(f * n, dtype=bool)
        kept[arrays.get("kept", np.zeros(0, dtype=np.int64))] = True
        if kind == "moment":
            options["terms"] = int(rng.choice([1, 3, 20]))
        else:
            grid, columns = int(rng.choice([5, 512])), [np.flatnonzero(column) for column in kept.reshape(f, n).T]
            options["grid"] = grid
            arrays["offsets"] = rng.integers(-grid, grid, n)
            if kept.any():
                orders = [column[np.argsort(phase[column] % np.pi)] for column in columns]
                arrays["order"] = np.concatenate(orders)
                arrays["nodes"] = np.rint(phase[arrays["order"]] % np.pi / np.pi * grid).astype(np.int64)
    return Hints(options, arrays)


def found_verdicts(weights, p: int) -> dict:
    return verdicts(weights, lambda tokens: sum(tokens) % p)


@settings(max_examples=examples(80))
@given(st.sampled_from(PAIRS), st.integers(0, 2**32 - 1), st.sampled_from(sorted(ARITHMETICS)),
       st.sampled_from([1e-9, 1.0, 1e6]))  # fmt: skip
def test_bound_never_exceeds_the_true_count(sizes, seed, arithmetic, scale):
    """Arbitrary weights and hints."""
    tensors = random_modular(sizes, seed, scale=scale)
    advice = [some_hints(tensors, seed + i) for i in range(3)]
    require_sound("key-frequency", modular_weights(tensors), Question(sizes.task()), arithmetic, advice)


@pytest.mark.parametrize(("p", "neurons"), [(5, 11), (7, 13)])
@pytest.mark.parametrize("make", ["wave", "quadratic"])
def test_planted_models_are_sound_by_stratum(p, neurons, make):
    """Adders with growing noise: no stratum below its wrong inputs, whatever the hints."""
    sizes, useful = ModularSizes(p, 6, 2, neurons), 0
    for seed in range(6):
        noise = 0.02 * seed
        tensors = single_wave(p, neurons, noise, seed) if make == "wave" else quadratic_modular(p, noise, seed)
        weights = modular_weights(tensors)
        wrong: dict[tuple[int, int], int] = {}
        for tokens, verdict in found_verdicts(weights, p).items():
            key = tokens[-1], sum(tokens) % p
            wrong[key] = wrong.get(key, 0) + (verdict != RIGHT)
        f = tensors["W_in"].shape[1]
        for one in (everything(p, f), *(some_hints(tensors, 10 * seed + i) for i in range(4))):
            value = bound("key-frequency", weights, sizes.task(), "float64", one)
            assert all(value.strata.get(key, 0) >= count for key, count in wrong.items())
            useful += value.wrong_at_most < p * p
    assert useful >= 6


SMALL = (ModularSizes(5, 1, 1, 1), ModularSizes(7, 2, 1, 1), ModularSizes(5, 1, 1, 2), *PAIRS)


@settings(max_examples=examples(150))
@given(st.sampled_from(SMALL), st.integers(0, 2**32 - 1))
def test_every_part_of_the_margin_holds(sizes, seed):
    """Per input: z within rho of its approximation, the remainder within its ends, the cost of rho as stated.

    With one neuron and one channel most of these are attained. The tolerance is NumPy's, not the rule's.
    """
    tensors = random_modular(sizes, seed)
    weights, one = modular_weights(tensors), some_hints(tensors, seed)
    options = Options.read(one, weights.architecture.shape)
    arith, p, n = Float64Arithmetic(), sizes.p, len(options.frequencies)
    with arith.running():
        margins = Margins(weights, options, arith)
        alpha, beta = (np.stack(x.bounds()) for x in (margins.alpha, margins.beta))
        parts = [
            margins.rho,
            *(margins.kept.error or ()),
            *([margins.kept.spread_out] if margins.kept.spread_out else []),
        ]
        rho = [x.bounds()[1] for x in parts]
        low, high, second, chord = (x.bounds() for x in (margins.low, margins.high, margins.second, margins.chord))
    angle = 2 * np.pi / p * np.outer(np.arange(p), options.frequencies)
    np.testing.assert_allclose(chord[1], 2 * np.abs(np.sin(angle.T / 2)), atol=1e-6)
    hidden, direct = activations(tensors)
    waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    t = {name: array.astype(float) for name, array in tensors.items()}
    written = 2 / p * t["W_U"] @ waves
    a, b = np.divmod(np.arange(p * p), p)
    y = (a + b) % p
    z = hidden @ t["W_out"] @ written + direct @ written
    rest = hidden @ t["W_out"] @ t["W_U"] + direct @ t["W_U"] - z @ waves.T + t["b_out"] @ t["W_U"] + t["b_U"]
    cos, sin = waves[y, :n], waves[y, n:]
    true = z[:, :n] * cos + z[:, n:] * sin, z[:, n:] * cos - z[:, :n] * sin
    off = np.hypot(
        *(np.maximum(np.maximum(lo - x, x - hi), 0) for x, (lo, hi) in zip(true, (alpha, beta), strict=True))
    )
    by_input = [
        np.broadcast_to(rho[0], (p * p, n)),
        *(x[i] for x, i in zip(rho[1:], (a, b, (a - b) % p), strict=False)),
    ]
    scale = 1 + np.abs(z).max() + np.abs(rest).max()
    assert (off <= sum(by_input) + 1e-9 * scale).all()
    own = low[0][a, y] + second[0][b, y]
    differs = rest[np.arange(p * p), y][:, np.newaxis] - rest
    rival = np.arange(p) != y[:, np.newaxis]
    assert (own[:, np.newaxis] - (high[1][a] + second[1][b]) <= differs + 1e-9 * scale)[rival].all()


@pytest.mark.parametrize("sizes", PAIRS)
def test_a_class_of_differences_takes_the_worst_of_its_inputs(sizes):
    """Term by term: the shared bound is below that of every input."""
    for seed in range(12):
        tensors = random_modular(sizes, seed)
        weights = modular_weights(tensors)
        options = Options.read(some_hints(tensors, seed), weights.architecture.shape)
        arith, first = Float64Arithmetic(), np.arange(sizes.p)
        with arith.running():
            margins = Margins(weights, options, arith)
            for difference in range(sizes.p):
                second = (first - difference) % sizes.p
                ends = [
                    (margins.key(first * sizes.p + second, fine=fine), margins.off(first, second, fine=fine))
                    for fine in (False, True)
                ]
                (coarse, shared), (fine_key, fine_off) = ends
                tiny = 1e-9 * (1 + np.abs(fine_key.bounds()[0]).max())
                assert (coarse.bounds()[0] <= fine_key.bounds()[0] + tiny).all()
                assert (shared.bounds()[1] >= fine_off.bounds()[1] - tiny).all()
                rho = margins.rho.bounds()[1]
                if margins.kept.error:
                    rho = rho + sum(x.bounds()[1][i] for x, i in zip(margins.kept.error, (first, second), strict=True))
                if margins.kept.spread_out is not None:
                    rho = rho + margins.kept.spread_out.bounds()[1][difference]
                assert (fine_off.bounds()[1] >= rho @ margins.chord.bounds()[1] * (1 - 1e-9)).all()


def activations(tensors: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What neurons and the residual are on all inputs, a outermost, in float64."""
    t = {name: array.astype(float) for name, array in tensors.items()}
    p = t["W_E"].shape[0]
    x = t["W_E"] + t["W_pos"][:2, np.newaxis]
    ov = np.einsum("hmd,hdn->mn", t["W_V"], t["W_O"])
    last = x[1] + t["b_O"] + np.einsum("hd,hdm->m", t["b_V"], t["W_O"])
    rows = x[0] @ ov / 2, x[1] @ ov / 2 + last
    residual = (rows[0][:, np.newaxis] + rows[1]).reshape(p * p, -1)
    return np.maximum(residual @ t["W_in"] + t["b_in"], 0), residual


@pytest.mark.parametrize("sizes", PAIRS)
def test_with_everything_kept_the_count_is_exact(sizes):
    """All frequencies and pairs, exact pre-activations, input by input: nothing is left to bound for odd p."""
    for seed in range(4):
        tensors = random_modular(sizes, seed)
        weights = modular_weights(tensors)
        truth = sum(one == RIGHT for one in found_verdicts(weights, sizes.p).values())
        assert certified("key-frequency", weights, sizes.task(), "float64", everything(sizes.p, sizes.f)) == truth


def test_looking_closer_certifies_no_less():
    """Fine differences against coarse ones; all pairs kept against some."""
    for seed in range(6):
        tensors = single_wave(7, 13, 0.1, seed)
        weights, task = modular_weights(tensors), ModularSizes(7, 6, 2, 13).task()
        own = np.arange(13) * 3
        steps = [hints(7, 13, [1, 2, 3], own), hints(7, 13, [1, 2, 3], own, range(7)), everything(7, 13)]
        found = [certified("key-frequency", weights, task, "float64", one) for one in steps]
        assert found == sorted(found)


def pushed_wave(p: int, neurons: int, token: int, output: int, push: float, *, anywhere: bool) -> dict[str, np.ndarray]:
    """The planted wave, and a token that adds to one output: from the first position, or once from each.

    Attention is half. Channel 6 marks the token; the head adds up channel 6 of both positions in channel 7.
    """
    sizes, plain = ModularSizes(p, 8, 3, neurons), single_wave(p, neurons)
    t = {name: np.zeros(sizes.shapes()[name], dtype=np.float32) for name in plain}
    for name, array in plain.items():
        t[name][tuple(slice(n) for n in array.shape)] = array
    t["W_E"][token, 6] = 1
    t["W_V"][0, 6, 2], t["W_O"][0, 2, 7] = 2, 1
    # Less the last position's own mark, what is left is the first one's.
    t["W_U"][7, output], t["W_U"][6, output] = push, 0 if anywhere else -push
    return t


@pytest.mark.parametrize("token", [0, 4])
@pytest.mark.parametrize("push", [-9.0, -0.2, 0.2, 9.0])
@pytest.mark.parametrize("anywhere", [False, True])
def test_what_passes_the_waves_by_counts_for_and_against(anywhere, push, token):
    """An output is pushed up or down beside the key frequency: exactly what is right is certified."""
    p, neurons = 7, 13
    weights = modular_weights(pushed_wave(p, neurons, token, 2, push, anywhere=anywhere))
    right = sum(one == RIGHT for one in verdicts(weights, lambda tokens: sum(tokens) % p).values())
    assert (right < p * p) == (abs(push) > 1)
    own = hints(p, neurons, [1], range(neurons), range(p))
    assert certified("key-frequency", weights, ModularSizes(p, 8, 3, neurons).task(), "float64", own) == right


@pytest.mark.parametrize(("p", "neurons"), [(5, 17), (7, 23)])
def test_a_planted_wave_is_certified_from_its_own_frequency(p, neurons):
    """Through two directions and bounded remainders, by the strategy's own search, and cheaper than everything."""
    weights = modular_weights(single_wave(p, neurons, 1e-4, 0))
    task = ModularSizes(p, 6, 2, neurons).task()
    proof = prove(weights, task, KeyFrequency(frequencies=1, extra=0, columns=2, read_out="bounded"))
    assert proof.claim.correct == p * p
    assert proof.cost.flops < cost_of(RULE, weights.architecture, Question(task), everything(p, neurons)).flops


@pytest.mark.parametrize(
    "options", [{"hidden": "profiles", "profiles": 13}, {"hidden": "quadrature"}, {"hidden": "quadrature", "terms": 0}]
)
def test_a_planted_wave_is_certified_by_profiles_and_by_integrals(options):
    """Many even neurons: the strategy's own profiles, moments and boxes all leave a margin."""
    p, neurons = 5, 97
    weights = modular_weights(single_wave(p, neurons, 1e-5, 0))
    task = ModularSizes(p, 6, 2, neurons).task()
    proof = prove(weights, task, KeyFrequency(frequencies=1, columns=2, read_out="bounded", **options))
    assert proof.claim.correct == p * p


def test_profiles_are_found_up_to_scale():
    """Three profiles, multiples of either sign: three profiles found, and scale times profile is the neuron."""
    rng = np.random.default_rng(3)
    base = rng.normal(size=(3, 10))
    label, factor = np.arange(31) % 3, rng.choice([-1, 1], 31) * rng.uniform(0.5, 2, 31)
    tables = factor[:, np.newaxis] * base[label]
    found = profiles_of(tables, np.ones(31), np.zeros(31, dtype=int), 3)
    profile = np.stack([(found.share[:, np.newaxis] * tables)[found.profile == c].sum(0) for c in range(3)])
    assert len(set(zip(label.tolist(), found.profile.tolist(), strict=True))) == 3
    np.testing.assert_allclose(found.scale[:, np.newaxis] * profile[found.profile], tables, atol=1e-12)


@pytest.mark.parametrize("sizes", PAIRS)
def test_the_cost_is_what_is_counted(sizes):
    """cost() = the operations on this very model; a kept pair costs four per input, less what boxing it costs."""
    tensors = random_modular(sizes, 0)
    weights, question = modular_weights(tensors), Question(sizes.task())
    for seed in range(8):
        one = some_hints(tensors, seed)
        assert cost_of(RULE, weights.architecture, question, one).flops == counted(RULE, weights, question, one)
    few, more = (hints(sizes.p, sizes.f, [1], range(n)) for n in (2, 4))
    assert (
        cost_of(RULE, weights.architecture, question, few).flops
        < cost_of(RULE, weights.architecture, question, more).flops
    )


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
def test_both_arithmetics_agree(arithmetic):
    for seed in range(6):
        tensors = single_wave(5, 11, 0.05 * seed, seed)
        weights, one, task = modular_weights(tensors), some_hints(tensors, seed), ModularSizes(5, 6, 2, 11).task()
        assert certified("key-frequency", weights, task, arithmetic, one) == certified(
            "key-frequency", weights, task, "float64", one
        )


@settings(max_examples=examples(60))
@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_spread_is_no_smaller_than_any_signed_sum(seed, neurons):
    """|sum t_i g_i| over all signs, in every direction that matters; zeros among the arrows."""
    rng = np.random.default_rng(seed)
    arith = Float64Arithmetic()
    d = np.abs(rng.normal(size=neurons)) * (rng.random(neurons) < 0.8)
    g = rng.normal(size=(neurons, 2)) * rng.choice([0.0, 1e-9, 1.0], size=(neurons, 1))
    with arith.running():
        d_, x, y = (arith.matrix(one).enclose() for one in (d, g[:, 0], g[:, 1]))
        reach = spread(d_, x, y).bounds()[1]
    signs = 1 - 2 * (np.arange(2**neurons)[:, np.newaxis] >> np.arange(neurons) & 1)
    longest = np.sqrt((((signs * d) @ g) ** 2).sum(1).max())
    assert longest <= reach * (1 + 1e-12)  # the right side is proved, the left one rounded


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("n", [1, 2, 3, 7, 59, 1009])
def test_the_circle_encloses_cosines_and_sines(n, arithmetic):
    """cos^2 + sin^2 = 1 and the addition theorem by interval; the sign pattern; no more than 2**-49 wide."""
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        cos, sin = circle(n, arith)
        for one, wave in ((cos, np.cos), (sin, np.sin)):
            lo, hi = one.bounds()
            assert (hi - lo <= 2.0**-49).all()
            assert (np.abs(wave(2 * np.pi * np.arange(n) / n) - (lo + hi) / 2) < 1e-13).all()
        lo, hi = (cos * cos + sin * sin).bounds()
        assert ((lo <= 1) & (hi >= 1)).all()
        first = np.arange(n)
        for step in (1, n // 2):
            turned = cos[first] * cos[np.full(n, step % n)] - sin[first] * sin[np.full(n, step % n)]
            lo, hi = (turned - cos[(first + step) % n]).bounds()
            assert ((lo <= 0) & (hi >= 0)).all()


@pytest.mark.parametrize(
    ("change", "arrays"),
    [
        ({"read_out": "third"}, {}), ({"columns": -1}, {}), ({"columns": 2}, {}), ({"frequencies": 0}, {}),
        ({"frequencies": 3}, {}), ({"more": 1}, {}), ({"kept": 1}, {}), ({"fine": 1}, {}),
        ({}, {"frequencies": np.array([2, 1])}), ({}, {"frequencies": np.array([1, 1])}),
        ({}, {"frequencies": np.array([0, 1])}), ({}, {"frequencies": np.array([1, 3])}),
        ({}, {"kept": np.array([0, 22])}), ({}, {"kept": np.array([-1, 3])}), ({}, {"kept": np.array([0.0, 3.0])}),
        ({"hidden": "profiles"}, {}), ({"hidden": "quadrature"}, {}), ({"hidden": "nothing"}, {}),
        ({"hidden": "profiles", "profiles": 2}, {"profile": np.full(11, 2), "scale": np.ones(11), "share": np.ones(11)}),
        ({"hidden": "quadrature", "form": "moment", "terms": 0}, {"read": np.ones((2, 11))}),
        ({"hidden": "quadrature", "form": "moment", "terms": 3}, {"read": np.ones((11, 2))}),
        ({"hidden": "quadrature", "form": "box", "grid": 8},
         {"read": np.ones((2, 11)), "offsets": np.zeros(2, np.int64), "order": np.array([0, 2]), "nodes": np.zeros(2, np.int64)}),
        ({"hidden": "quadrature", "form": "box", "grid": 8},
         {"read": np.ones((2, 11)), "offsets": np.zeros(2, np.int64), "order": np.array([0, 0]), "nodes": np.zeros(2, np.int64)}),
        ({"fine": 1}, {"fine": np.array([5])}), ({"columns": 2}, {"directions": np.full((7, 2), np.nan)}),
        ({"columns": 2}, {"directions": np.zeros((2, 7))}), ({"read_out": "bounded"}, {"shrink": np.zeros((2, 2))}),
    ],
)  # fmt: skip
def test_hints_out_of_form_are_rejected(change, arrays):
    """Unknown words, counts that are not the arrays', falling or repeated numbers, out of range, NaN, transposed."""
    sizes = PAIRS[0]
    good = hints(sizes.p, sizes.f, [1, 2], [0, 3])
    certified("key-frequency", modular_weights(random_modular(sizes, 0)), sizes.task(), "float64", good)
    bad = Hints({**good.options, **change}, {**good.arrays, **arrays})
    with pytest.raises(Rejected) as caught:
        certified("key-frequency", modular_weights(random_modular(sizes, 0)), sizes.task(), "float64", bad)
    assert caught.value.reason == Reason.BAD_HINT


@pytest.mark.parametrize("sizes", ["three-tokens", "no-mlp", "one-token"])
def test_models_outside_the_theorem_are_refused(sizes):
    sizes = MODULAR[sizes]
    with pytest.raises(Rejected) as caught:
        RULE.require_covers(modular_weights(random_modular(sizes, 0)), Question(sizes.task()))
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL


@pytest.mark.parametrize("part", ["alpha", "beta", "low", "high", "second", "shared"])
def test_a_lost_number_certifies_no_input(part):
    """A model that is right on many inputs, with one table lost: nothing is right."""
    weights = modular_weights(single_wave(5, 11, 0.0, 1))
    task = ModularSizes(5, 6, 2, 11).task()
    hints = KeyFrequency().hints(weights, Question(task), no_progress)
    for arithmetic in ARITHMETICS.values():
        arith = arithmetic()
        with arith.running():
            margins = Margins(weights, Options.read(hints, weights.architecture.shape), arith)
            assert any(margins.right(difference, fine=True)[1].any() for difference in range(5))
            table = getattr(margins, part)
            # The root of a number below zero is lost.
            setattr(margins, part, (table - table - arith.fraction(Fraction(1))).sqrt())
            for fine in (False, True):
                assert not any(margins.right(difference, fine=fine)[1].any() for difference in range(5))
