"""One known sequence made wrong by a hair: no rule may count it, and brute force must count exactly.

`W_U`, `b_U` and `W_E` are stored as float64 here, so that a margin of 1e-9 of a logit, or one unit in the last place,
can be set. The oracle verifies every planted margin.
"""

from fractions import Fraction
from math import floor

import flint
import numpy as np
import pytest

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.spec import Weights
from pessimal.spec.question import Question
from pessimal.strategies import ExponentialMoment
from support.bounds import bound_in
from support.models import PLANTABLE, Sizes, build, planted_tensors
from support.oracle import RIGHT, Equations, exact, margin, verdicts

MODELS = [
    pytest.param(sizes, seed, marks=[pytest.mark.slow] if seed else [])
    for sizes in PLANTABLE
    if sizes.k > 1
    for seed in (0, 1)
]


def perfect(sizes: Sizes, seed: int) -> dict[str, np.ndarray]:
    """Every sequence right by a wide margin, margins all different; float64 where the tests make small changes."""
    tensors = planted_tensors(sizes, sharpness=40.0, gain=8.0, noise=0.003, seed=seed)
    tensors["b_U"] = np.zeros(sizes.o)
    for name in ("W_E", "W_U"):
        tensors[name] = tensors[name].astype(np.float64)
    return tensors


def logits_of(tensors: dict[str, np.ndarray], tokens: tuple[int, ...]) -> list[Fraction]:
    return [exact(x) for x in Equations(build(tensors), 400)(tokens)]


def narrowest(tensors: dict[str, np.ndarray], sizes: Sizes, target: int, rival: int) -> tuple[int, ...]:
    """The sequence of this target that is closest to losing against this rival."""
    model = Equations(build(tensors), 200)
    mine = [t for t in verdicts(build(tensors)) if max(t) == target]
    return min(mine, key=lambda t: exact(model(t)[target] - model(t)[rival]))


def every_bound(weights: Weights, sizes: Sizes) -> dict[str, int]:
    """Certified count of every rule, option and arithmetic."""
    task = sizes.task()
    runs = [(rule, rule, Hints()) for rule in ("brute-force", "cubic", "position-minima")]
    runs.append(("exact", "exact", Hints({"nodes": 1 << 20})))
    for rival in RIVALS:
        for position in POSITIONS:
            hints = ExponentialMoment(rival, position, sizes.v).hints(weights, Question(task), no_progress)
            runs.append((f"{rival} {position}", "exponential-moment", hints))
    found = {}
    for name, rule, hints in runs:
        for arithmetic, kind in ARITHMETICS.items():
            arith = kind()
            with arith.running():
                result = bound_in(rule, weights, Question(task), hints, arith)
            found[f"{name} {arithmetic}"] = task.total() - floor(result.wrong_at_most)
    return found


def assert_sound_and_exact(weights: Weights, sizes: Sizes) -> int:
    truth = sum(v == RIGHT for v in verdicts(weights).values())
    for name, value in every_bound(weights, sizes).items():
        assert value <= truth, name
        if name.startswith("brute-force"):
            assert value == truth
    return truth


@pytest.mark.parametrize(("sizes", "seed"), MODELS)
def test_the_unspoilt_models_are_nearly_fully_certified(sizes, seed):
    """The rules have something to lose: without the planted failure they certify all but a few."""
    weights, total = build(perfect(sizes, seed)), sizes.task().total()
    for name, value in every_bound(weights, sizes).items():
        assert value >= total - 1 - (total // 20), name


@pytest.mark.parametrize("relative", [1e-6, 1e-9])
@pytest.mark.parametrize(("sizes", "seed"), MODELS)
def test_a_sequence_wrong_by_a_hair_is_never_counted(sizes, seed, relative):
    """b_U lifted until one sequence loses by 1e-6 or 1e-9 of its logit: certified <= total - 1."""
    tensors = perfect(sizes, seed)
    rng = np.random.default_rng(seed)
    target = int(rng.integers(0, sizes.v))
    rival = int((target + 1 + rng.integers(0, sizes.o - 1)) % sizes.o)
    tokens = narrowest(tensors, sizes, target, rival)
    values = logits_of(tensors, tokens)
    size = max(1, abs(values[target]))
    tensors["b_U"][rival] = float(values[target] - values[rival] + size * Fraction(relative))
    weights = build(tensors)
    found = margin(weights, tokens)
    assert -2 * size * relative < found < 0
    assert assert_sound_and_exact(weights, sizes) <= sizes.task().total() - 1
    assert verdicts(weights)[tokens] != RIGHT


@pytest.mark.parametrize("relative", [1e-6, 1e-9])
@pytest.mark.parametrize(("sizes", "seed"), MODELS)
def test_a_failure_planted_in_the_unembedding_is_never_counted(sizes, seed, relative):
    """One entry of W_U moved until a sequence loses by a hair."""
    tensors = perfect(sizes, seed)
    target, rival = sizes.v - 1, 0
    tokens = narrowest(tensors, sizes, target, rival)
    before = logits_of(tensors, tokens)
    tensors["W_U"][2, rival] += 1
    slope = logits_of(tensors, tokens)[rival] - before[rival]
    size = max(1, abs(before[target]))
    step = (before[target] - before[rival] + size * Fraction(relative)) / slope
    tensors["W_U"][2, rival] += float(step) - 1
    weights = build(tensors)
    assert -2 * size * relative < margin(weights, tokens) < 0
    assert assert_sound_and_exact(weights, sizes) <= sizes.task().total() - 1


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(("sizes", "seed"), MODELS)
def test_margins_within_an_ulp_of_zero_are_decided_truly(sizes, seed, side):
    """b_U at the two floats around an exact tie: the margin is below two ulps of the bias, on a known side."""
    tensors = perfect(sizes, seed)
    target, rival = sizes.v - 1, sizes.o - 1
    if target == rival:
        rival -= 1
    tokens = narrowest(tensors, sizes, target, rival)
    values = logits_of(tensors, tokens)
    needed = values[target] - values[rival]
    nearest = float(needed)
    below = nearest if Fraction(nearest) < needed else float(np.nextafter(nearest, -np.inf))
    tensors["b_U"][rival] = below if side > 0 else float(np.nextafter(below, np.inf))
    weights = build(tensors)
    found = exact(margin(weights, tokens))
    assert 0 < side * found < Fraction(float(np.spacing(abs(nearest)))) * 2
    truth = assert_sound_and_exact(weights, sizes)
    assert (verdicts(weights)[tokens] == RIGHT) == (side > 0)
    if sizes.o > sizes.v:
        assert (truth == sizes.task().total()) == (side > 0)


@pytest.mark.parametrize(("sizes", "seed"), MODELS[::2])
def test_both_sides_of_a_sign_change_in_the_embedding_are_decided_truly(sizes, seed):
    """Bisecting one entry of W_E to two neighbouring floats between which a sequence turns wrong."""
    tensors = perfect(sizes, seed)
    tokens = (*(0,) * (sizes.k - 1), sizes.v - 1)
    right, wrong = float(tensors["W_E"][sizes.v - 1, 0]), -5.0

    def is_right(value: float) -> bool:
        changed = tensors | {"W_E": tensors["W_E"].copy()}
        changed["W_E"][sizes.v - 1, 0] = value
        with flint.ctx.workprec(400):
            values = Equations(build(changed), 400)(tokens)
            return all(values[sizes.v - 1] > x for o, x in enumerate(values) if o != sizes.v - 1)

    assert is_right(right)
    assert not is_right(wrong)
    while np.nextafter(right, wrong) != wrong:
        middle = right / 2 + wrong / 2
        right, wrong = (middle, wrong) if is_right(middle) else (right, middle)
    for value in (right, wrong):
        tensors["W_E"][sizes.v - 1, 0] = value
        weights = build(tensors)
        assert_sound_and_exact(weights, sizes)
        assert (verdicts(weights)[tokens] == RIGHT) == (value == right)
