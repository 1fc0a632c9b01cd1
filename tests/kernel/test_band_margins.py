"""Margins and weights of the band proof against exact ones: over every rival, position and token, in fractions.

With one channel the bounds by norms are products of two numbers and are attained, so a lost summand shows.
"""

from dataclasses import replace
from fractions import Fraction

import flint
import numpy as np
import pytest

from models import Sizes, build, random_tensors
from oracle import fractions
from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.rules.band.parts import make_parts
from pessimal.kernel.rules.band.scores import make_scores
from pessimal.kernel.rules.band.values import Margins, make_margins
from pessimal.spec import Weights

SIZES = (Sizes(5, 7, 1, 1, 3), Sizes(7, 11, 1, 1, 4), Sizes(5, 7, 2, 1, 3), Sizes(7, 7, 3, 2, 3))


def some_options(sizes: Sizes, seed: int) -> BandOptions:
    """Half of them look at few rows only, so that tokens lie below the first one."""
    rng = np.random.default_rng(seed)
    first = int(rng.integers(2, sizes.v))
    labels = rng.integers(0, int(rng.integers(1, sizes.k)), sizes.k - 1)
    return BandOptions(
        first=first,
        near=int(rng.integers(1, first)) if seed % 2 else int(rng.integers(1, sizes.v + 1)),
        cells=2,
        rivals_from=int(rng.integers(0, min(first, sizes.o - 2) + 1)),
        rivals_below=int(rng.integers(0, 3)),
        rivals_above=int(rng.integers(0, 3)),
        position_scores="exact",
        rival=str(rng.choice(["centred", "joint"])),
        classes=np.unique(labels, return_inverse=True)[1].astype(np.int64),
        directions=rng.normal(size=(2, sizes.m)),
        d_vocab=sizes.v,
    )


class Exact:
    """X + Y and D of the docstring of `values.py`, as differences over outputs."""

    def __init__(self, weights: Weights) -> None:
        t = {name: fractions(array[0] if array.ndim == 3 else array) for name, array in weights.tensors.items()}
        ov, unembed = t["W_V"] @ t["W_O"], t["W_U"]
        mean = t["W_E"].sum(0) * Fraction(1, len(t["W_E"]))
        residual = mean + t["W_pos"][-1] + t["b_O"] + t["b_V"][0] @ t["W_O"]
        value = (t["W_E"] + t["W_pos"][:, np.newaxis]) @ ov + residual
        logits, direct = value @ unembed + t["b_U"], (t["W_E"] - mean) @ unembed
        # Axes: position, token, target, rival; and query, target, rival.
        self.value = logits[..., np.newaxis] - logits[..., np.newaxis, :]
        self.direct = direct[..., np.newaxis] - direct[..., np.newaxis, :]


def margins_of(weights: Weights, options: BandOptions, arithmetic: str) -> tuple[Margins, np.ndarray]:
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        parts = make_parts(weights, arith)
        place = make_scores(weights, parts, options, arith).place
        return make_margins(weights, parts, options, place, arith), place


def lower(enclosure) -> np.ndarray:
    return fractions(enclosure.bounds()[0])


def rivals_of(options: BandOptions, sizes: Sizes, y: int, problem: int) -> tuple[list[int], list[int]]:
    """Near and far rivals of a target in one problem: the first has all outside the window, the others one each."""
    c, window = options.rivals_from, [y + one for one in options.window]
    if problem:
        one = window[problem - 1]
        return ([one] if c <= one < sizes.o else []), []
    return [o for o in range(c, sizes.o) if o != y and o not in window], list(range(c))


def check(weights: Weights, sizes: Sizes, options: BandOptions, arithmetic: str) -> int:
    """Every bound against the smallest exact margin it stands for; how many of them bound tokens below the rows."""
    (margins, place), exact = margins_of(weights, options, arithmetic), Exact(weights)
    members = [*options.members, np.array([sizes.k - 1])]
    targets, rows = range(options.first, sizes.v), range(options.row, sizes.v)
    for number, problem in enumerate(margins.problems):
        near, direct = lower(problem.near), lower(problem.direct_near)
        far = None if problem.far is None else (lower(problem.far), lower(problem.direct_far))
        joint = None if problem.joint is None else lower(problem.joint)
        for j, y in enumerate(targets):
            o_near, o_far = rivals_of(options, sizes, y, number)
            assert bool(problem.exists[j]) == (bool(o_near) or not number)
            for some, bounds in ((o_near, (near, direct)), (o_far, far)):
                if not some or bounds is None:
                    continue
                assert (bounds[1][:, j] <= exact.direct[:, y, some].min(1)).all()
                for c, mine in enumerate(members):
                    least = exact.value[mine][:, options.row :, y][..., some].min((0, 2))
                    assert (bounds[0][c, :, j] <= least).all()
            if joint is not None and o_near:
                for q, t in np.argwhere(place >= 0).tolist():
                    ahead = y - rows[t]
                    if not 0 <= ahead < options.near:
                        continue
                    for c, mine in enumerate(members[:-1]):
                        least = (exact.value[mine][:, rows[t], y, o_near] + exact.direct[q, y, o_near]).min()
                        assert joint[c, place[q, t], ahead] <= least
    return check_below(margins, exact, sizes, options)


def check_below(margins: Margins, exact: Exact, sizes: Sizes, options: BandOptions) -> int:
    """Tokens below the first row, and D over all rivals."""
    c, seen = options.rivals_from, 0
    ends = [None if one is None else lower(one) for one in (margins.below, margins.below_far)]
    lowest = lower(margins.lowest)
    assert (ends[0] is None) == (options.row == 0)
    assert (ends[1] is None) == (options.row == 0 or c == 0)
    for j, y in enumerate(range(options.first, sizes.v)):
        near, far = [o for o in range(c, sizes.o) if o != y], list(range(c))
        assert (lowest[:, j] <= exact.direct[:, y, near].min(1)).all()
        for end, some in zip(ends, (near, far), strict=True):
            if end is not None:
                assert end[j] <= exact.value[:, : options.row, y][..., some].min()
                seen += 1
    return seen


@pytest.mark.parametrize("sizes", SIZES)
def test_no_bound_exceeds_an_exact_margin(sizes):
    """Near and far rivals, one by one and all others, jointly and apart; tokens below the first row."""
    seen = 0
    for seed in range(16):
        weights = build(random_tensors(sizes, seed, biases=("b_V", "b_O", "b_U")))
        seen += check(weights, sizes, some_options(sizes, seed), sorted(ARITHMETICS)[seed % 4 // 2])
    assert seen >= 16


def test_tokens_below_the_rows_are_bounded_to_within_what_one_channel_allows():
    """One channel, no positions: the bound is attained, or nearly, so the test above would see a summand less."""
    sizes, closest = SIZES[0], []
    for seed in range(40):
        tensors = random_tensors(sizes, seed, biases=("b_V", "b_O", "b_U"))
        tensors |= {name: 0 * tensors[name] for name in ("W_pos", "b_V", "b_O", "b_U")}
        weights, options = build(tensors), some_options(sizes, 2 * seed + 1)
        (margins, _), exact = margins_of(weights, options, "float64"), Exact(weights)
        if margins.below is None:
            continue
        for j, y in enumerate(range(options.first, sizes.v)):
            near = [o for o in range(options.rivals_from, sizes.o) if o != y]
            least = exact.value[:, : options.row, y][..., near].min()
            closest.append(float((least - lower(margins.below)[j]) / (abs(least) + 1)))
    assert min(closest) >= 0
    assert sorted(closest)[2] < 1e-6


def is_below(end: float, score: Fraction) -> bool:
    """Whether exp(score) is certainly not under a float."""
    with flint.ctx.workprec(400):
        return bool(flint.arb(flint.fmpq(score.numerator, score.denominator)).exp() > flint.arb(end))


def is_above(end: float, score: Fraction) -> bool:
    """Whether exp(score) is certainly not over a float."""
    with flint.ctx.workprec(400):
        return bool(flint.arb(flint.fmpq(score.numerator, score.denominator)).exp() < flint.arb(end))


class ExactScores:
    """s(q, t) less that of the last token, and s(q, P_i) less that of the mean position; d_head = 1, so c = 1."""

    def __init__(self, weights: Weights) -> None:
        t = {name: fractions(array[0] if array.ndim == 3 else array) for name, array in weights.tensors.items()}
        query = (t["W_E"] + t["W_pos"][-1]) @ t["W_Q"] + t["b_Q"][0]
        back = query @ t["W_K"].T
        mean = t["W_pos"].sum(0) * Fraction(1, len(t["W_pos"]))
        self.token = back @ (t["W_E"] - t["W_E"][-1]).T
        self.position = back @ (t["W_pos"] - mean).T


@pytest.mark.parametrize("position_scores", ["exact", "rank-one"])
@pytest.mark.parametrize("sizes", SIZES[:3])
def test_no_weight_leaves_its_bounds(sizes, position_scores):
    """Of near tokens, of far ones, of queries below the rows, of positions by class."""
    for seed in range(12):
        weights = build(random_tensors(sizes, seed, biases=("b_Q",)))
        options = replace(some_options(sizes, seed), position_scores=position_scores)
        exact, arith = ExactScores(weights), ARITHMETICS[sorted(ARITHMETICS)[seed % 4 // 2]]()
        with arith.running():
            scores = make_scores(weights, make_parts(weights, arith), options, arith)
        low, high = scores.band.bounds()
        for (q, row), at in np.ndenumerate(scores.place):
            assert (at >= 0) == (q < options.row + row + options.near)
            if at >= 0:
                score = exact.token[q, options.row + row]
                assert not score or (is_below(low[at], score) and is_above(high[at], score))
        for q in range(sizes.v):
            for j, y in enumerate(range(options.first_far, sizes.v) if scores.heaviest else ()):
                assert is_above(scores.heaviest.bounds()[1][q, j], max(exact.token[q, : y - options.near + 1]))
            for c, members in enumerate([*options.members, np.array([sizes.k - 1])]):
                assert is_below(scores.least.bounds()[0][c, q], min(exact.position[q, members]))
                assert is_above(scores.greatest.bounds()[1][c, q], max(exact.position[q, members]))
        assert (scores.heaviest is None) == (options.n_far == 0)
        assert (scores.unseen is None) == (options.row == 0 or options.n_far == 0)
        for q in range(options.row):
            assert is_above(scores.unseen.bounds()[1][q], exact.token[q, q])
