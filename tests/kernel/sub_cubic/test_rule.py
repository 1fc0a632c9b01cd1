"""The sub-cubic rule counts what its theorem says: equal to the count by loops, class by class.

The loops use floats; no class of the models is nearer to a tie than rounding reaches (they check it).
"""

from math import comb, inf, prod

import numpy as np
import pytest

from pessimal.kernel.cost import n_strata
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.published.sub_cubic.averaging import AVERAGINGS, DROP, MEAN
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.kernel.rules.published.sub_cubic.rule import COUNTS, GAPS
from pessimal.kernel.rules.published.sub_cubic.splits import CROSS
from pessimal.spec.question import Question
from pessimal.strategies.sub_cubic import pack_halfwords
from support.models import Sizes, build, planted_tensors, random_tensors
from support.sub_cubic import (
    ALIKE,
    CASES,
    EXACT,
    KINDS,
    ONE,
    RULE,
    certified,
    changed,
    numbers,
    random_arrays,
    random_points,
    rng_of,
    searched,
)
from support.sub_cubic_loops import attention_loops, direct_loops, largest, line_loops, qk_loops, target_loops

SEEDS = 12
SIZES = CASES["plain"].sizes


def certified_loops(case: int, hints: Hints, gap: np.ndarray, points: np.ndarray | None) -> int:
    """The theorem of `rule.py`, class by class. `gap` is `[k - 1, classes]`."""
    n, o = numbers(case), hints.options
    v, k = n.eqkp.shape
    anchor, slack = direct_loops(n, o["direct"], hints.arrays)
    table, epsilon = qk_loops(n, o["attention_error"], hints.arrays, o["cross"])
    tables = [target_loops(n, anchor, m) for m in range(v)]
    lines = [line_loops(*tables[m], [] if points is None else (points[m] / ONE).tolist()) for m in range(v)]
    pairs = [(q, m) for q in range(v) for m in range(q, v)]
    width = rng_of(n.evou)
    nearest = inf
    certified = 0
    for m in range(v):
        bound = slack[m] + largest(*tables[m], 1.0)
        nearest = min(nearest, abs(bound))
        certified += bound < 0
    for count in range(1, k):
        highest = {}
        for (q, m), x in zip(pairs, gap[count - 1].tolist(), strict=True):
            if 1 <= x <= m and (q == m or q <= m - x):
                highest[q, m] = m - x
        for (q, m), h in highest.items():
            ends = attention_loops(n, table, epsilon, (q, m, count), h)
            if points is not None and points.shape[1] > 1:
                first, last = points[m, 0] / ONE, points[m, -1] / ONE
                nearest = min(nearest, *(abs(a - x) for a in ends for x in (first, last) if x not in {0, 1}), 1)
                if any((a <= first and first > 0) or (a >= last and last < 1) for a in ends):
                    continue
            reach = h if o["gaps"] == "query" else max(x for (_, y), x in highest.items() if y == m)
            w = max(width[: reach + 1])
            bound = slack[q] + max(max(c + s * a for c, s in lines[m]) + (1 - a) * w for a in ends)
            nearest = min(nearest, abs(bound))
            if bound < 0:
                j = count if q == m else count - 1
                certified += comb(k - 1, j) * (h + (o["count"] == "fixed")) ** j
    assert nearest > 1e-10, "a class of this model is too near a tie to be judged with floats"
    return certified


def whole(case: int, seed: int) -> tuple[Hints, np.ndarray, np.ndarray | None]:
    """Hints of one composition: searched, then some gaps, points and directions replaced at random."""
    rng = np.random.default_rng([CASES[case].seed, seed])
    sizes = CASES[case].sizes
    words = list(KINDS)[(37 * seed + 11 * CASES[case].seed) % 100]
    direct, attention, error = words
    cross, gaps, count = (str(rng.choice(x)) for x in (CROSS, GAPS, COUNTS))
    n_points = 0 if attention == DROP else int(rng.choice([1, 2, 3, 6]))
    best = searched(case, *words, n_points, cross, gaps)
    gap = best.halfwords("gap", (sizes.k - 1, n_strata(sizes.v))).copy()
    points = best.halfwords("points", (sizes.v, n_points)).copy() if n_points else None
    arrays = dict(best.arrays)
    if seed % 3:
        replaced = rng.random(gap.shape) < (0.8 if case == "spreading-values" else 0.3)
        gap = np.where(replaced, rng.integers(0, sizes.v + 2, gap.shape), gap)
        if points is not None and rng.random() < 0.5:
            points = random_points(rng, sizes.v, n_points, whole=bool(rng.random() < 0.5))
    if seed % 5 == 4:
        arrays |= random_arrays(case, direct, error, seed)
    arrays["gap"] = pack_halfwords(gap)
    if points is not None:
        arrays["points"] = pack_halfwords(points)
    return Hints({**best.options, "count": count, "gaps": gaps}, arrays), gap, points


@pytest.mark.parametrize("case", ALIKE)
def test_the_count_is_that_of_the_theorem(case):
    """Equal, for compositions with searched and with damaged hints."""
    found = set()
    for seed in range(SEEDS):
        hints, gap, points = whole(case, seed)
        count = certified(case, hints)
        assert count == certified_loops(case, hints, gap, points), (hints.options, gap, points)
        found.add(count)
    assert len(found) >= 3, found


@pytest.mark.parametrize("case", ["plain", "spreading-values"])
def test_classes_whose_greatest_attention_passes_the_last_point_are_given_up(case):
    """The last point of every target is lowered to at least four fifths, below the greatest attention of classes that were certified."""
    best, sizes = searched(case, "max_diff_exact", MEAN, EXACT, 2, "exact", "query"), CASES[case].sizes
    gap = best.halfwords("gap", (sizes.k - 1, n_strata(sizes.v)))
    counts = []
    for seed in range(8):
        points = best.halfwords("points", (sizes.v, 2)).copy()
        points[:, 0] = 0
        points[:, 1] = (points[:, 1] * (1 - 0.2 * np.random.default_rng(seed).random(sizes.v))).astype(np.int64)
        hints = changed(best, arrays={"points": pack_halfwords(points)})
        counts.append(certified(case, hints))
        assert counts[-1] == certified_loops(case, hints, gap, points), points
    assert max(counts) < certified(case, best)


def test_the_hints_above_cover_every_word():
    used = [{value for seed in range(SEEDS) for value in whole(case, seed)[0].options.values()} for case in ALIKE]
    words = {*DIRECT_PATHS, *QK_PATHS, *AVERAGINGS, *CROSS, *GAPS, *COUNTS, 0, 1, 2, 3, 6}
    assert set().union(*used) == words


PERFECT = build(planted_tensors(SIZES, sharpness=30.0, gain=16.0))


def with_gap(q: int, m: int, value: int) -> Hints:
    """On the perfect model every gap is 1, but one class has `value` for every n."""
    pairs = [(a, b) for a in range(3) for b in range(a, 3)]
    gap = np.full((3, 6), 1)
    gap[:, pairs.index((q, m))] = value
    options = {
        "direct": "max_diff_exact", "attention": MEAN, "attention_error": EXACT, "cross": "exact", "count": "fixed",
        "gaps": "query", "points": 2,
    }  # fmt: skip
    return Hints(options, {"gap": pack_halfwords(gap), "points": pack_halfwords(np.array([[0, ONE]] * 3))})


def size(q: int, m: int, gap: int) -> int:
    """Sequences of the classes n = 1 .. 3 of (q, m) that obey the gap, K = 4."""
    tokens = m - gap + 1
    if not 1 <= gap <= m or (q < m and q > m - gap):
        return 0
    return sum(comb(3, j) * tokens**j for j in (range(1, 4) if q == m else range(3)))


def test_every_sequence_of_a_perfect_model_is_counted():
    assert certified("plain", with_gap(0, 0, 1), weights=PERFECT) == 3**4


@pytest.mark.parametrize(("q", "m"), [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)])
def test_a_gap_counts_its_sequences_and_a_wrong_one_gives_the_class_up(q, m):
    """0, more than m, and a query between m - g and m give the class up; nothing else changes."""
    for gap in (0, 1, 2, 3, 65535):
        count = certified("plain", with_gap(q, m, gap), weights=PERFECT)
        assert count == 3**4 - size(q, m, 1) + size(q, m, gap), gap


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("m", [0, 1, 2])
def test_a_gap_above_the_target_gives_up_classes_that_any_attention_would_certify(m, count):
    """One token fewer than none is not minus one token, whose square would count."""
    tensors = planted_tensors(SIZES, gain=1.0)
    tensors["b_U"] = np.where(np.arange(SIZES.o) == m, 1000, 0).astype(np.float32)
    weights = build(tensors)
    place = [(a, b) for a in range(3) for b in range(a, 3)].index((m, m))
    counts = []
    for value in (0, m + 1, m + 2):
        gap = np.zeros((3, 6), dtype=np.int64)
        gap[1, place] = value
        hints = changed(with_gap(0, 0, 0), {"count": count}, {"gap": pack_halfwords(gap)})
        counts.append(certified("plain", hints, weights=weights))
    assert counts == [1, 1, 1]


@pytest.mark.parametrize("sizes", [Sizes(3, 5, 7, 2, 3, 2), Sizes(3, 5, 7, 2, 1), Sizes(3, 1, 7, 2, 3)])
def test_models_outside_the_theorem_are_refused(sizes):
    with pytest.raises(Rejected) as caught:
        RULE.require_covers(build(random_tensors(sizes, 0)), Question(sizes.task()))
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL


def test_layer_norm_before_attention_is_refused():
    with pytest.raises(Rejected, match="ln1_w"):
        RULE.require_covers(build(random_tensors(SIZES, 0, norms=("ln1_w",))), Question(SIZES.task()))


def test_gaps_by_target_and_by_query_differ_on_these_models():
    """And the counts, fixed and published, too: otherwise equality with the loops says little."""
    for name, words in (("gaps", GAPS), ("count", COUNTS)):
        changes = 0
        for seed in range(SEEDS):
            hints, _, _ = whole("spreading-values", seed)
            changes += len({certified("spreading-values", changed(hints, {name: word})) for word in words}) > 1
        assert changes, name


def test_compositions_are_all_there():
    """A hundred, and each accepted by both arithmetics."""
    assert len(KINDS) == prod(len(x) for x in (DIRECT_PATHS, AVERAGINGS, QK_PATHS)) == 100
    for words in list(KINDS)[::19]:
        hints = searched("plain", *words, 0 if words[1] == DROP else 2, "exact", "query")
        assert certified("plain", hints, "arb") == certified("plain", hints)
