"""Parts of brute force one by one: integer strata against fractions and loops, blocks, chunks, the evaluation limit."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.counting import undecided
from pessimal.kernel.counting.integers import IntegerStratum, token_products
from pessimal.kernel.counting.undecided import Undecided
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules import RULES, brute_force
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.strata.strata import Strata
from pessimal.spec import MaxOfK, Weights
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.strategies import PUBLISHED, Band, Comparisons, Exact, ExponentialMoment, GridCount, LayerCake, LayerCount
from pessimal.strategies.explanation import Explanation
from support.bounds import bound_in
from support.models import BIASES, Sizes, build, planted_tensors, random_tensors
from support.oracle import true_count


def open_sequences(stratum, allowed):
    """All that the first pass leaves open, whatever the blocks."""
    return np.concatenate(
        [np.zeros((0, len(allowed)), dtype=np.int64), *brute_force.not_certainly_right(stratum, allowed)]
    )


def tables(k: int, v: int, o: int, seed: int, spread: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of G, some entries equal, of scales up to 2**+-spread."""
    rng = np.random.default_rng(seed)
    middle = np.ldexp(rng.uniform(-1, 1, (k, v, o)), rng.integers(-spread, spread + 1, (k, v, o)))
    middle[rng.integers(0, 4, (k, v, o)) == 0] = 0
    width = np.abs(middle) * rng.integers(0, 2, (k, v, o)) * 2.0**-30
    return middle - width, middle + width


def up_to(y: int, v: int = 5) -> np.ndarray:
    """Letters of Max-of-K: 0 below y, 1 at y, dead above."""
    t = np.arange(v)
    return np.where(t < y, 0, np.where(t == y, 1, -1))


def max_products(k: int, q: int, y: int) -> list[list[np.ndarray]]:
    strata = Strata(MaxOfK(k, 5))
    return list(token_products(strata.program(q, y), strata.letter[y]))


@pytest.mark.parametrize("spread", [0, 3, 40, 900])
@pytest.mark.parametrize(("k", "q", "y"), [(2, 0, 1), (3, 1, 1), (4, 0, 2), (7, 2, 4), (8, 1, 2)])
def test_integer_differences_are_outward_and_fit(k, q, y, spread):
    """low < 2**s (G_o - G_y) < high within four units, at the stated scale s; k of them stay within 2**58."""
    lo, hi = tables(k, 5, 7, 10 * k + spread, spread)
    lo[0, 0, 0], hi[0, 0, 0] = -np.ldexp(1 - 2.0**-50, spread + 3), -np.ldexp(1 - 2.0**-50, spread + 3)
    with np.errstate(all="ignore"):
        stratum = IntegerStratum(lo, hi, q, y, up_to(y))
    assert not stratum.lost
    unit = Fraction(2) ** (58 - 1 - k.bit_length() - (spread + 3))
    rivals = [o for o in range(7) if o != y]
    largest = 0
    for r, o in enumerate(rivals):
        for i, t in [(i, t) for i in range(k - 1) for t in range(y + 1)] + [(k - 1, q)]:
            high = int(stratum.high[i, t, r] if i < k - 1 else stratum.high_last[r])
            low = int(stratum.low[i, t, r] if i < k - 1 else stratum.low_last[r])
            above = (Fraction(hi[i, t, o]) - Fraction(lo[i, t, y])) * unit
            below = (Fraction(lo[i, t, o]) - Fraction(hi[i, t, y])) * unit
            # a float between 2**53 and 2**54 has an even step, so outward may mean two units on each side
            slack = 4 + 2 * max(1, int(np.ldexp(1.0, 57 - k.bit_length() - 52)))
            assert above < high <= above + slack
            assert below - slack <= low < below
            largest = max(largest, abs(high), abs(low))
    assert k * largest <= 2**58 + 64 * k
    assert stratum.high.shape == stratum.low.shape == (k - 1, 5, 6)


@pytest.mark.parametrize("side", [0, 1])
def test_one_wide_entry_sets_the_scale(side):
    """An entry far out on one side only: the scale follows it, whichever side and however small the others."""
    lo, hi = -np.ones((3, 5, 7)), np.ones((3, 5, 7))
    lo[1, 1, 2], hi[1, 1, 2] = ((-(2.0**40)), 1.0) if side == 0 else (-1.0, 2.0**40)
    stratum = IntegerStratum(lo, hi, 1, 3, up_to(3))
    assert not stratum.lost
    assert 2**50 < max(np.abs(stratum.high).max(), np.abs(stratum.low).max()) < 2**58


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_stratum_with_a_lost_entry_is_lost_unless_its_tokens_avoid_it(bad, side):
    """NaN or infinity at either end, at a token up to y; beyond y it does not matter."""
    ends = tables(3, 5, 7, 1, 3)
    ends[side][1, 3, 2] = bad
    with np.errstate(all="ignore"):
        assert IntegerStratum(*ends, 1, 3, up_to(3)).lost
        assert IntegerStratum(*ends, 1, 4, up_to(4)).lost
        assert not IntegerStratum(*ends, 1, 2, up_to(2)).lost


@pytest.mark.parametrize("block", [1, 2, 3, 5, 7, 1 << 16])
@pytest.mark.parametrize(("k", "q", "y"), [(2, 0, 2), (2, 2, 2), (3, 1, 3), (3, 2, 2), (4, 1, 3), (5, 0, 2), (5, 2, 2)])
def test_blocks_find_exactly_the_sequences_that_loops_find(monkeypatch, block, k, q, y):
    """Every row whose largest sum may reach zero, once, for every size of block; and which are certainly wrong."""
    monkeypatch.setattr(brute_force, "BLOCK", block)
    lo, hi = tables(k, 5, 7, k + 7 * q + y, 1)
    lo, hi = lo - (np.arange(7) != y) * 0.4, hi - (np.arange(7) != y) * 0.4
    stratum = IntegerStratum(lo, hi, q, y, up_to(y))
    seen = 0
    for allowed in max_products(k, q, y):
        rows = open_sequences(stratum, allowed)
        assert rows.shape[1] == k - 1
        wrong = stratum.certainly_wrong(rows)
        expected = {}
        for row in product(*(tokens.tolist() for tokens in allowed)):
            high = stratum.high_last + sum(stratum.high[i, t] for i, t in enumerate(row))
            low = stratum.low_last + sum(stratum.low[i, t] for i, t in enumerate(row))
            if (high >= 0).any():
                expected[row] = bool((low >= 0).any())
        assert sorted(map(tuple, rows.tolist())) == sorted(expected)
        assert {tuple(row): bool(w) for row, w in zip(rows.tolist(), wrong, strict=True)} == expected
        seen += len(expected)
    assert seen


def wrong_in(weights: Weights, task: AbstractTask, arithmetic: str = "float64") -> tuple[Fraction, int | None]:
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        result = bound_in("brute-force", weights, Question(task), Hints(), arith)
    return result.wrong_at_most, result.wrong_at_least


def tied(k: int) -> tuple[Weights, AbstractTask]:
    """Every logit is zero."""
    sizes = Sizes(3, 5, 2, 2, k)
    return build({n: np.zeros_like(a) for n, a in random_tensors(sizes, 0).items()}), sizes.task()


@pytest.mark.parametrize(("limit", "evaluated"), [(8, 0), (9, 9), (10, 9), (17, 9), (18, 18), (27, 27)])
def test_past_the_limit_of_work_everything_counts_as_wrong_and_undecided(monkeypatch, limit, evaluated):
    """Groups of nine: one that would exceed the limit is given up whole, in both ways of adding."""
    each = undecided.products_per_sequence(Sizes(3, 5, 7, 2, 3).model_shape())
    monkeypatch.setattr(undecided, "MAX_WORK", limit * each)
    weights = build(planted_tensors(Sizes(3, 5, 7, 2, 3), sharpness=40.0, gain=8.0))
    nine = [np.arange(3), np.arange(3)]
    for by_box in (True, False):
        collected = Undecided(weights, Question(Sizes(3, 5, 7, 2, 3).task()))
        for q in range(3):
            if by_box:
                collected.add_token_product(nine, q)
            else:
                collected.add(np.array(list(product(range(3), repeat=2))), q)
        assert collected.budget_left == (limit - evaluated) * each
        assert (collected.wrong, collected.ties) == (27 - evaluated, 27 - evaluated)


def test_an_evaluated_tie_is_wrong_and_undecided_and_a_wrong_sequence_only_wrong():
    """One sequence each."""
    weights, task = tied(2)
    collected = Undecided(weights, Question(task))
    collected.add(np.array([[1]]), 2)
    assert (collected.wrong, collected.ties) == (1, 1)
    each = undecided.products_per_sequence(weights.architecture.shape)
    assert undecided.MAX_WORK - collected.budget_left == (1 + 4 + 16) * each
    sizes = Sizes(3, 5, 7, 2, 2)
    tensors = planted_tensors(sizes, sharpness=40.0, gain=8.0)
    tensors["W_U"] = tensors["W_U"][:, [1, 0, 2, 3, 4]]
    collected = Undecided(build(tensors), Question(sizes.task()))
    for token, wrong in ((2, 0), (1, 1), (0, 2)):
        collected.add(np.array([[token]]), token)
        assert (collected.wrong, collected.ties) == (wrong, 0)


def test_the_limits_of_undecided_sequences():
    """2^25 products at 128 bits, and as much less at 512 and 2,048."""
    assert undecided.MAX_WORK == 2**25
    assert undecided.PRECISIONS == (128, 512, 2048)


@pytest.mark.parametrize("bits", [60, 200, 600, 1200])
def test_margins_far_below_the_first_precision_are_decided(bits):
    """A bias of one unit in 2**bits decides a tie of large logits: right for one sign, wrong for the other."""
    sizes = Sizes(1, 2, 2, 1, 1)
    tensors = {n: np.zeros(a.shape, dtype=np.float64) for n, a in random_tensors(sizes, 0, biases=BIASES).items()}
    tensors["W_E"][0] = 1, 2.0 ** -(bits // 2)
    tensors["W_U"][:, 0] = 3, 0
    small = 2.0 ** -(bits - bits // 2)
    for sign, wrong in ((-1, 0), (1, 1)):
        tensors["W_U"][:, 1] = 3, sign * small
        weights = build(tensors)
        assert wrong_in(weights, sizes.task()) == (wrong, wrong)


@pytest.mark.parametrize(("gap", "found", "wrong"), [(-2, 0, 0), (-1, 0, 0), (0, 9, 9), (1, 9, 9)])
def test_a_sum_of_exactly_zero_is_passed_on_and_one_unit_below_is_not(gap, found, wrong):
    """The integers stand for open bounds: zero may be reached, minus one may not."""
    lo, hi = tables(3, 5, 7, 3, 1)
    stratum = IntegerStratum(lo, hi, 2, 2, up_to(2))
    for name in ("high", "low", "high_last", "low_last"):
        setattr(stratum, name, np.zeros_like(getattr(stratum, name)) - 5)
    for name in ("high", "low"):
        getattr(stratum, name)[:, :, 3] = 1
        getattr(stratum, f"{name}_last")[3] = gap - 2
    (allowed,) = max_products(3, 2, 2)
    assert len(open_sequences(stratum, allowed)) == found
    assert stratum.certainly_wrong(np.array(list(product(range(3), repeat=2)))).sum() == wrong


@pytest.mark.parametrize("heads", [1, 2])
def test_the_first_pass_alone_decides_models_without_near_ties(monkeypatch, heads):
    """No sequence is evaluated one by one, in either path, and the count is that of the oracle, from both sides."""
    monkeypatch.setattr(undecided, "MAX_WORK", 0)
    weights = build(random_tensors(Sizes(3, 5, 7, 2, 3, heads), 5))
    wrong = 27 - true_count(weights)
    assert 0 < wrong < 27
    for arithmetic in ARITHMETICS:
        assert wrong_in(weights, Sizes(3, 5, 7, 2, 3, heads).task(), arithmetic) == (wrong, wrong)


@pytest.mark.parametrize("k", [2, 3])
def test_strata_whose_tables_overflow_are_decided_one_by_one(k):
    """Logits beyond 1e308: nothing is left out, and nothing is decided by an infinity."""
    sizes = Sizes(3, 5, 7, 2, k)
    tensors = {n: a.astype(np.float64) for n, a in random_tensors(sizes, 6).items()}
    for name in ("W_V", "W_U"):
        tensors[name] = tensors[name] * 1e200
    weights = build(tensors)
    wrong = sizes.task().total() - true_count(weights)
    assert 0 < wrong < sizes.task().total()
    assert wrong_in(weights, sizes.task()) == (wrong, wrong)


@pytest.mark.parametrize("rule", sorted(name for name in RULES if "causal-softmax" in RULES[name].attention))
def test_progress_rises_to_the_total(rule):
    """(done, total) pairs: rising, never past the total, ending there."""
    sizes, seen = Sizes(3, 5, 7, 2, 3), []
    weights, arith = build(planted_tensors(sizes)), ARITHMETICS["float64"]()
    searched = {
        "exponential-moment": ExponentialMoment("plain", "each", 2),
        "sub-cubic": next(iter(PUBLISHED.values()))(),
        "grid-count": GridCount(cells=16),
        "exact": Exact(),
        "comparisons": Comparisons(),
        "explanation": Explanation(dict.fromkeys(("EQKE", "EQKP", "EVOU", "PVOU", "EU"), "table")),
        "layer-cake": LayerCake("plain", levels=3),
        "layer-count": LayerCount(levels=3),
        "band": Band(budget=2**14),
    }
    question = Question(sizes.task(), quantity=RULES[rule].quantities[0])
    hints = searched[rule].hints(weights, question, no_progress) if rule in searched else Hints()
    with arith.running():
        bound_in(rule, weights, question, hints, arith, lambda done, total: seen.append((done, total)))
    # One step per target, query or level; the sub-cubic rule counts other tokens, 1 to K - 1, band has two halves, and
    # the moment counts strata, block by block: two programs, with and without far tokens. No rival is live here, so that
    # comparisons tell of the end alone.
    assert len(set(seen)) == {
        "sub-cubic": 2,
        "band": 2,
        "exponential-moment": 4,
        "comparisons": 1,
        "explanation": 2,
    }.get(rule, 3)
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] == seen[0][1]
    assert rule in ("exponential-moment", "explanation") or seen[0][0] * len(set(seen)) == seen[-1][0]


@pytest.mark.parametrize("sizes", [Sizes(2, 3, 5, 3, 14), Sizes(5, 7, 5, 2, 6), Sizes(17, 19, 5, 2, 4)])
def test_several_chunks_count_what_one_head_counts(sizes):
    """A second head of zeros sends the model through the general path, in more than one chunk; the count is the same."""
    tensors = planted_tensors(sizes, sharpness=1.0, gain=0.5, noise=0.3, seed=3)
    two = {n: np.concatenate([a, 0 * a]) if a.ndim == 3 else a for n, a in tensors.items()}
    found = wrong_in(build(two), sizes.task())
    assert found == wrong_in(build(tensors), sizes.task())
    assert 0 < found[0] < sizes.task().total()


@pytest.mark.parametrize("sizes", [[2] * 20, [64, 64, 64], [3, 200, 7], [2], [], [1, 1], [300, 300]])
def test_positions_are_fixed_or_stand_in_one_of_two_groups(sizes):
    """Each once; groups of several positions are small, and few choices are left for many tokens of two."""
    outer, first, second = brute_force._groups(sizes)
    assert sorted([*outer, *first, *second]) == list(range(len(sizes)))
    for group in (first, second):
        assert len(group) <= 1 or np.prod([sizes[i] for i in group]) <= brute_force.GROUP
    if sizes == [2] * 20:
        assert len(outer) == 4
