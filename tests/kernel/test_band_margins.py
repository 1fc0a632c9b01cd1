"""Margins and weights of the band proof against exact ones: over every rival, position and token, in fractions.

With one channel the bounds by norms are products of two numbers and are attained, so a lost summand shows.
"""

from dataclasses import replace
from fractions import Fraction

import flint
import numpy as np
import pytest

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.rules.band.centred_rows import make_centred_rows
from pessimal.kernel.rules.band.margins import Margins, make_margins
from pessimal.kernel.rules.band.options import BandOptions
from pessimal.kernel.rules.band.scores import make_scores
from pessimal.spec import Weights
from support.models import Sizes, build, random_tensors
from support.oracle import fractions

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
        far="worst",
        common_step=None,
        classes=np.unique(labels, return_inverse=True)[1].astype(np.int64),
        directions=rng.normal(size=(2, sizes.m)),
        d_vocab=sizes.v,
    )


class Exact:
    """X + Y and D of the docstring of `margins.py`, as differences over outputs."""

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
        centred = make_centred_rows(weights, arith)
        place = make_scores(weights, centred, options, arith).pair_index
        return make_margins(weights, centred, options, place, arith), place


def lower(enclosure) -> np.ndarray:
    return fractions(enclosure.bounds()[0])


def rivals_of(options: BandOptions, sizes: Sizes, y: int, group: int) -> tuple[list[int], list[int]]:
    """Near and far rivals of a target in one group: the first has all outside the window, the others one each."""
    c, window = options.rivals_from, [y + one for one in options.window]
    if group:
        one = window[group - 1]
        return ([one] if c <= one < sizes.o else []), []
    return [o for o in range(c, sizes.o) if o != y and o not in window], list(range(c))


def check(weights: Weights, sizes: Sizes, options: BandOptions, arithmetic: str) -> int:
    """Every bound against the smallest exact margin it stands for; how many of them bound tokens below the rows."""
    (margins, place), exact = margins_of(weights, options, arithmetic), Exact(weights)
    members = [*options.members, np.array([sizes.k - 1])]
    targets, rows = range(options.first, sizes.v), range(options.first_row, sizes.v)
    for number, group in enumerate(margins.groups):
        near, direct = lower(group.near), lower(group.direct_near)
        far = None if group.far is None else (lower(group.far), lower(group.direct_far))
        joint = None if group.joint is None else lower(group.joint)
        for j, y in enumerate(targets):
            o_near, o_far = rivals_of(options, sizes, y, number)
            assert bool(group.exists[j]) == (bool(o_near) or not number)
            for some, bounds in ((o_near, (near, direct)), (o_far, far)):
                if not some or bounds is None:
                    continue
                assert (bounds[1][:, j] <= exact.direct[:, y, some].min(1)).all()
                for c, mine in enumerate(members):
                    least = exact.value[mine][:, options.first_row :, y][..., some].min((0, 2))
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
    assert (ends[0] is None) == (options.first_row == 0)
    assert (ends[1] is None) == (options.first_row == 0 or c == 0)
    for j, y in enumerate(range(options.first, sizes.v)):
        near, far = [o for o in range(c, sizes.o) if o != y], list(range(c))
        assert (lowest[:, j] <= exact.direct[:, y, near].min(1)).all()
        for end, some in zip(ends, (near, far), strict=True):
            if end is not None:
                assert end[j] <= exact.value[:, : options.first_row, y][..., some].min()
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
            least = exact.value[:, : options.first_row, y][..., near].min()
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
            scores = make_scores(weights, make_centred_rows(weights, arith), options, arith)
        low, high = scores.band.bounds()
        for (q, row), at in np.ndenumerate(scores.pair_index):
            assert (at >= 0) == (q < options.first_row + row + options.near)
            if at >= 0:
                score = exact.token[q, options.first_row + row]
                assert not score or (is_below(low[at], score) and is_above(high[at], score))
        for q in range(sizes.v):
            for j, y in enumerate(range(options.first_far, sizes.v) if scores.greatest_far_weight else ()):
                assert is_above(
                    scores.greatest_far_weight.bounds()[1][q, j], max(exact.token[q, : y - options.near + 1])
                )
            for c, members in enumerate([*options.members, np.array([sizes.k - 1])]):
                assert is_below(scores.least.bounds()[0][c, q], min(exact.position[q, members]))
                assert is_above(scores.greatest.bounds()[1][c, q], max(exact.position[q, members]))
        assert (scores.greatest_far_weight is None) == (options.n_far == 0)
        assert (scores.below_rows is None) == (options.first_row == 0 or options.n_far == 0)
        for q in range(options.first_row):
            assert is_above(scores.below_rows.bounds()[1][q], exact.token[q, q])
