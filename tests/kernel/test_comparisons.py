"""Comparisons: trees partition rivals, node minima are below every sum, limits lose and never gain, the truth is a count."""

import tracemalloc
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.inputs import load_weights
from pessimal.kernel.arithmetic import ARITHMETICS, Float64Arithmetic
from pessimal.kernel.check import check
from pessimal.kernel.counting.conditioned import ConditionedCounts, Grid, commutes
from pessimal.kernel.counting.integers import IntegerStratum
from pessimal.kernel.counting.ordered import Order
from pessimal.kernel.counting.pruning import live_rivals
from pessimal.kernel.counting.smallest import smallest_sums
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.source import ExactTables
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.strata.strata import Strata, strata_of
from pessimal.kernel.terms.nodes import NodeTerms
from pessimal.kernel.terms.tree import RivalTree
from pessimal.proving import prove
from pessimal.search.halfwords import pack_halfwords
from pessimal.spec import MaxOfK, Uniform
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.tasks import FirstOfK
from pessimal.strategies import Comparisons
from support.bounds import bound, cost_of
from support.comparisons import covered as cover_of
from support.comparisons import limits
from support.counting_cases import CASES, model_of
from support.distributions import KINDS, some_distribution
from support.models import PLANTABLE, Sizes, build, planted_tensors, random_tensors
from support.oracle import sequences, true_count, wrong_weights
from support.sampling import examples
from support.soundness import require_sound

MUCH = 1 << 30
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("n_out", [1, 2, 3, 5, 7, 8, 11, 64, 65])
def test_siblings_partition_the_rivals_and_children_their_parent(n_out):
    """Down to single outputs every rival of every y is met once, and y never."""
    tree, y = RivalTree(n_out), np.arange(n_out)
    rows, nodes = tree.siblings(y)
    found = [[] for _ in range(n_out)]
    while rows.size:
        leaf = nodes < n_out
        for row, node in zip(rows[leaf].tolist(), nodes[leaf].tolist(), strict=True):
            found[row].append(node)
        parents, nodes = tree.children(nodes[~leaf])
        rows = rows[~leaf][parents]
    assert [sorted(rivals) for rivals in found] == [[o for o in range(n_out) if o != row] for row in range(n_out)]


def leaves(tree: RivalTree, node: int) -> list[int]:
    if node < tree.n_out:
        return [node]
    _, below = tree.children(np.array([node]))
    return [leaf for child in below.tolist() for leaf in leaves(tree, child)]


@pytest.mark.parametrize("n_out", [2, 3, 7, 11])
@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
def test_a_node_has_the_largest_entry_of_its_outputs(n_out, arithmetic):
    arith, tree = ARITHMETICS[arithmetic](), RivalTree(n_out)
    numbers = np.random.default_rng(n_out).integers(-50, 50, (3, n_out))
    with arith.running():
        lo, hi = tree.maxima(arith.integers(numbers).enclose(), arith).bounds()
    for node in range(tree.n_nodes):
        largest = numbers[:, leaves(tree, node)].max(1)
        assert (lo[:, node] <= largest).all()
        assert (largest <= hi[:, node]).all()
    assert leaves(tree, tree.n_nodes - 1) == list(range(n_out))


@settings(max_examples=examples(30))
@given(st.sampled_from([sizes for sizes in PLANTABLE if sizes.k > 1]), st.integers(0, 2**32 - 1), st.booleans())
def test_smallest_sums_are_below_the_sum_of_every_sequence_and_rival(sizes, seed, planted):
    """For every near: row by row, against terms in exact rationals of the ends of the tables."""
    rng = np.random.default_rng(seed)
    tensors = planted_tensors(sizes, sharpness=4.0, noise=0.3, seed=seed) if planted else random_tensors(sizes, seed)
    weights, arith, strata = build(tensors), Float64Arithmetic(), strata_of(sizes.task())
    with arith.running():
        tables = ExactTables(REAL).tables(weights, arith)
        nodes = NodeTerms(tables, strata, int(rng.integers(1, sizes.v + 1)), arith)
        queries, outputs = np.nonzero(strata.stratum_index >= 0)
        row, node = nodes.tree.siblings(outputs)
        low = np.empty(row.size)
        for index, program in enumerate(strata.programs[0]):
            mine = np.flatnonzero(strata.programs[1][outputs[row], queries[row]] == index)
            columns = nodes.columns(np.unique(outputs[row[mine]]))
            terms = nodes.of(queries[row[mine]], outputs[row[mine]], node[mine])
            low[mine] = smallest_sums(program, terms, columns).bounds()[0]
    (head,), direct = tables
    value, ahead = (part.bounds()[1] for part in (head.value, direct))
    for r in rng.choice(row.size, min(row.size, 12), replace=False).tolist():
        q, y = int(queries[row[r]]), int(outputs[row[r]])
        weight = head.weight(q).bounds()[1]
        for tokens in sequences(sizes.v, sizes.k):
            if tokens[-1] == q and max(tokens) == y:
                for o in leaves(nodes.tree, int(node[r])):
                    parts = [
                        Fraction(weight[i, t]) * (Fraction(value[i, t, y]) - Fraction(value[i, t, o])
                        + Fraction(ahead[q, y]) - Fraction(ahead[q, o])) for i, t in enumerate(tokens)
                    ]  # fmt: skip
                    # The ends of the tables are tables too, up to what the bounds were widened by.
                    assert Fraction(low[r]) <= sum(parts) + Fraction(1, 2**30) * sum(map(abs, parts)) + Fraction(
                        1, 2**60
                    )


@settings(max_examples=examples(40))
@given(**CASES)
def test_no_limit_makes_a_bound_exceed_the_truth_or_fall_below_it(task, seed, heads, norms, planted, arithmetic):
    """Every limit on the work, for every task and norm: certified <= right <= what is not certainly wrong."""
    if heads > 1:
        return
    weights, question = model_of(task, seed, 1, norms, planted), Question(task)
    rng, truth = np.random.default_rng(seed), wrong_weights(weights, question)
    advice = [limits(question, weights, rng, scale=scale) for scale in (0, 3, 30, 300, MUCH)]
    require_sound("comparisons", weights, question, arithmetic, advice, truth=truth)
    found = bound("comparisons", weights, task, arithmetic, advice[-1])
    assert found.wrong_at_least <= found.wrong_at_most == sum(truth.values())


@settings(max_examples=examples(100))
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5, 40, 1000]), st.booleans(), st.sampled_from([1, 2, 3]))
def test_conditioned_counts_are_above_and_below_those_of_all_tokens(seed, cells, weighed, conditioned):
    """Random integers, K up to 6, every program of Max-of-K: floors count at least, ceilings at most, what there is."""
    rng = np.random.default_rng(seed)
    v, k = ((3, 6), (2, 6), (3, 5), (5, 4), (5, 3))[seed % 5]
    strata, y = strata_of(MaxOfK(k, v)), int(rng.integers(0, v))
    q, conditioned = int(rng.integers(0, y + 1)), min(conditioned, k - 1)
    n = k - 1 - conditioned
    span = int(rng.choice([2, 9, 10**4, 2**40]))
    terms, last = rng.integers(-span, 2 * span, (k - 1, v)), int(rng.integers(-2 * span, span))
    weights = rng.integers(1, 7, (k - 1, v)) if weighed else np.ones((k - 1, v), dtype=np.int64)
    counts = ConditionedCounts(
        strata.program(q, y), strata.letter[y], weights.tolist() if weighed else None,
        Grid(cells, conditioned), v, Float64Arithmetic(),
    )  # fmt: skip
    parts = counts.fillings(terms, last, floor=True), counts.fillings(terms, last, floor=False)
    above, below = (
        {(end.state, *tokens): count
         for end, part in zip(counts.endings, found, strict=True)
         for tokens, count in zip(product(*map(np.ndarray.tolist, end.tokens)), part.bounds()[side].ravel(), strict=True)}
        for found, side in ((parts[0], 1), (parts[1], 0))
    )  # fmt: skip
    truth, smallest = dict.fromkeys(above, 0), []
    for tokens in sequences(v, k):
        if tokens[-1] == q and max(tokens) == y:
            total = last + sum(int(terms[i, t]) for i, t in enumerate(tokens[:-1]))
            smallest.append(total)
            if total <= 0:
                key = (_state(strata, (q, y), tokens[:n]), *tokens[n:-1])
                truth[key] += int(np.prod([weights[i, t] for i, t in enumerate(tokens[:n])]))
    assert (counts.smallest(terms[:, :, np.newaxis]) + last).tolist() == [min(smallest)]
    assert all(below[key] <= truth[key] <= above[key] for key in truth)


def _state(strata: Strata, at: tuple[int, int], first: tuple[int, ...]) -> int:
    """The state of the program after the first tokens."""
    state, letter = 0, strata.letter[at[1]]
    for i, token in enumerate(first):
        layer = strata.program(*at).layers[i]
        (state,) = [after for (before, after), letters in layer if before == state and int(letter[token]) in letters]
    return state


@settings(max_examples=examples(60))
@given(**CASES, every=st.booleans())
def test_no_cover_makes_a_bound_exceed_the_truth_or_fall_below_it(task, seed, heads, norms, planted, arithmetic, every):
    """Any order, parents, multiples, positions and cells: certified <= right <= what is not certainly wrong."""
    if heads > 1 or task.k < 3:
        return
    weights, question = model_of(task, seed, 1, norms, planted), Question(task)
    rng, free = np.random.default_rng(seed), commutes(strata_of(task).recogniser)
    advice = [cover_of(question, weights, rng, free=free, every=every) for _ in range(3)]
    require_sound("comparisons", weights, question, arithmetic, advice)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "chain" not in kind])
@pytest.mark.parametrize("seed", range(4))
def test_no_cover_exceeds_the_truth_under_a_distribution(kind, seed):
    sizes = Sizes(5, 7, 7, 3, 3 + seed % 2)
    weights = build(planted_tensors(sizes, sharpness=3.0, noise=0.2, seed=seed))
    question = Question(sizes.task(), some_distribution(kind, sizes.k, sizes.v, seed))
    rng = np.random.default_rng(seed)
    advice = [cover_of(question, weights, rng, free=True, every=True) for _ in range(3)]
    require_sound("comparisons", weights, question, "float64", advice)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_count_is_exact_under_every_distribution(kind, seed):
    sizes = Sizes(5, 7, 7, 3, 3)
    weights = build(planted_tensors(sizes, sharpness=3.0, noise=0.3, seed=seed))
    distribution = some_distribution(kind, sizes.k, sizes.v, seed)
    question = Question(sizes.task(), distribution)
    truth = wrong_weights(weights, question)
    require_sound(
        "comparisons", weights, question, "float64", [limits(question, weights, None, scale=MUCH)], truth=truth
    )
    hints = Comparisons().hints(weights, question, no_progress)
    found = bound("comparisons", weights, sizes.task(), "float64", hints, distribution=distribution)
    assert found.wrong_at_most == sum(truth.values()) == found.wrong_at_least


@pytest.mark.parametrize("noise", [0.03, 0.04, 0.05])
@pytest.mark.parametrize("sizes", [Sizes(5, 7, 13, 3, 4), Sizes(7, 11, 19, 3, 3)])
def test_the_work_that_is_stated_is_what_the_count_needs(sizes, noise):
    """One less of anything and something is given up; the searched hints give the count."""
    weights, task = build(planted_tensors(sizes, sharpness=10.0, gain=4.0, noise=noise, seed=5)), sizes.task()
    hints = Comparisons().hints(weights, Question(task), no_progress)
    wrong = task.total() - true_count(weights)
    assert bound("comparisons", weights, task, "float64", hints).wrong_at_most == wrong
    assert 0 < wrong < 3 * task.total() // 4
    for name in ("entries", "tries", "at_once"):
        less = Hints({**hints.options, name: hints.options[name] - 1}, hints.arrays)
        found = bound("comparisons", weights, task, "float64", less)
        assert found.wrong_at_least <= wrong <= found.wrong_at_most
        assert found.wrong_at_least < found.wrong_at_most
        assert cost_of("comparisons", weights.architecture, Question(task), less).flops <= cost_of(
            "comparisons", weights.architecture, Question(task), hints).flops  # fmt: skip
    last = int(np.flatnonzero(hints.arrays["minima"])[-1])
    minima = hints.arrays["minima"].copy()
    minima[last] = 0
    found = bound("comparisons", weights, task, "float64", Hints(hints.options, {"minima": minima}))
    assert found.wrong_at_least <= wrong <= found.wrong_at_most
    assert found.wrong_at_least < found.wrong_at_most


def test_rivals_that_are_pruned_are_most_and_the_tree_is_what_prunes():
    """On a planted model of eleven tokens few rivals are live; near tokens alone lose nothing but work."""
    sizes = Sizes(11, 13, 17, 2, 3)
    weights, task = build(planted_tensors(sizes, sharpness=6.0, noise=0.05, seed=1)), sizes.task()
    lengths = {}
    for near in (2, sizes.v):
        hints = Comparisons(near=near).hints(weights, Question(task), no_progress)
        assert bound("comparisons", weights, task, "float64", hints).wrong_at_most == task.total() - true_count(weights)
        lengths[near] = cost_of("comparisons", weights.architecture, Question(task), hints).flops
    assert lengths[2] < lengths[sizes.v]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"near": 0}, "near"), ({"near": 6}, "near"), ({"entries": -1}, "entries"), ({"tries": 1 << 41}, "tries"),
        ({"at_once": "7"}, "at_once"), ({"nodes": 3}, "exactly these hints"),
    ],
)  # fmt: skip
def test_limits_out_of_form_are_rejected(change, said):
    sizes = Sizes(5, 7, 3, 2, 4)
    arch, good = build(random_tensors(sizes, 1)).architecture, limits(Question(sizes.task()), None, None, scale=3)
    with pytest.raises(Rejected, match=said) as caught:
        RULES["comparisons"].read(Hints({**good.options, **change}, good.arrays), arch, Question(sizes.task()))
    assert caught.value.reason is Reason.BAD_HINT


@pytest.mark.parametrize("minima", [[1], [1, -1, 0], [10**9, 0, 0], [1.0, 0.0, 0.0]])
def test_numbers_of_nodes_out_of_form_are_rejected(minima):
    sizes = Sizes(5, 7, 3, 2, 4)
    arch, good = build(random_tensors(sizes, 1)).architecture, limits(Question(sizes.task()), None, None, scale=3)
    with pytest.raises(Rejected, match="minima"):
        RULES["comparisons"].read(Hints(good.options, {"minima": np.array(minima)}), arch, Question(sizes.task()))


def test_far_tokens_are_those_of_a_maximum():
    sizes = Sizes(5, 7, 3, 2, 4)
    question = Question(FirstOfK(4, 5))
    arch, good = build(random_tensors(sizes, 1)).architecture, limits(question, None, None, scale=3)
    with pytest.raises(Rejected, match="lumps far tokens"):
        RULES["comparisons"].read(Hints({**good.options, "near": 2}, good.arrays), arch, question)
    assert isinstance(sizes.task(), MaxOfK)


@pytest.mark.parametrize("seed", range(5))
def test_terms_of_a_comparison_are_below_those_of_whatever_lies_within_the_ends(seed):
    """Wide ends, as float32 executions have: less a parent, and less a unit where the sum has to be negative."""
    rng = np.random.default_rng(seed)
    low = rng.integers(-50, 50, (3, 5, 4))
    low_last = rng.integers(-50, 50, 4)
    stratum = object.__new__(IntegerStratum)
    stratum.low, stratum.low_last = low, low_last
    stratum.high, stratum.high_last = low + rng.integers(0, 30, low.shape), low_last + rng.integers(0, 9, 4)
    order = Order(np.array([-1, 0, 1, -1]), np.array([0, 5, 16, 7]))
    for j, (p, mu) in enumerate([(-1, 0), (0, 5), (1, 16), (-1, 0)]):
        terms, last = (part[..., j] for part in order.terms(stratum))
        for _ in range(20):
            inside = rng.integers(stratum.low, stratum.high, endpoint=True)
            inside_last = rng.integers(stratum.low_last, stratum.high_last, endpoint=True)
            unit, margins, margin_last = (16 if mu else 1), -inside, -inside_last
            assert (terms <= unit * margins[:, :, j] - mu * margins[:, :, p]).all()
            assert last - bool(mu) <= unit * margin_last[j] - mu * margin_last[p]


BROKEN = {
    "a parent of itself": lambda a, o: a["comparison"].__setitem__(0, 1 + 256 * 16),
    "a later parent": lambda a, o: a["comparison"].__setitem__(0, 2 + 256 * 16),
    "two that are parents of each other": lambda a, o: a["comparison"].__setitem__(slice(0, 2), [2 + 256, 1 + 256]),
    "no output": lambda a, o: a["rival"].__setitem__(0, 60),
    "a rival twice": lambda a, o: a["rival"].__setitem__(1, a["rival"][0]),
    "strata that do not rise": lambda a, o: a["gap"].__setitem__(1, 0),
    "a stratum that is none": lambda a, o: a["gap"].__setitem__(0, 60_000),
    "rivals that do not add up": lambda a, o: a["count"].__setitem__(0, a["count"][0] + 1),
    "the query's position thrice": lambda a, o: a["positions"].__setitem__(0, 3),
    "the query's position": lambda a, o: a["positions"].__setitem__((0, 2), 3),
    "positions the wrong way round": lambda a, o: a["positions"].__setitem__(0, [2, 1, 1]),
    "no cells": lambda a, o: a["cells"].__setitem__(0, 0),
    "too many cells": lambda a, o: a["cells"].__setitem__(0, (1 << 14) + 1),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_cover_is_rejected(fault):
    """Parents that do not come earlier, cycles, rivals that are none or stand twice, positions and strata out of form."""
    sizes = Sizes(5, 7, 3, 2, 4)
    weights, question = build(random_tensors(sizes, 1)), Question(sizes.task())
    good = cover_of(question, weights, np.random.default_rng(2), free=True, every=True)
    RULES["comparisons"].read(good, weights.architecture, question)
    sides = dict.fromkeys(("gap", "count", "cells"), (good.options["strata"],))
    sides |= {"positions": (good.options["strata"], 3)}
    sides |= dict.fromkeys(("rival", "comparison"), (good.options["live"],))
    arrays = {name: good.halfwords(name, side).copy() for name, side in sides.items()}
    options = dict(good.options)
    BROKEN[fault](arrays, options)
    bad = Hints(options, {**good.arrays, **{name: pack_halfwords(numbers) for name, numbers in arrays.items()}})
    with pytest.raises(Rejected) as caught:
        RULES["comparisons"].read(bad, weights.architecture, question)
    assert caught.value.reason is Reason.BAD_HINT


def test_covers_are_for_independent_positions_and_three_of_them():
    for sizes, kind in ((Sizes(5, 7, 3, 2, 2), None), (Sizes(5, 7, 3, 2, 4), "chain")):
        weights = build(random_tensors(sizes, 1))
        good = cover_of(Question(Sizes(5, 7, 3, 2, 4).task()), weights, np.random.default_rng(2), free=True, every=True)
        question = Question(sizes.task(), some_distribution(kind, sizes.k, sizes.v, 1) if kind else Uniform())
        minima = np.zeros(len(strata_of(sizes.task()).programs[0]), dtype=np.int64)
        with pytest.raises(Rejected, match="independent"):
            RULES["comparisons"].read(
                Hints(good.options, {**good.arrays, "minima": minima}), weights.architecture, question
            )


def pruned_one_by_one(nodes: NodeTerms, strata: Strata, arith: Float64Arithmetic) -> dict:
    """Live rivals from single rows, depth first."""
    live = {}
    for q, y in np.argwhere(strata.stratum_index >= 0).tolist():
        waiting = nodes.tree.siblings(np.array([y]))[1].tolist()
        columns, rivals = nodes.columns(np.array([y])), []
        while waiting:
            node = waiting.pop()
            terms = nodes.of(np.array([q]), np.array([y]), np.array([node]))
            if smallest_sums(strata.program(q, y), terms, columns).positive()[0]:
                continue
            if node < nodes.tree.n_out:
                rivals.append(node)
            else:
                waiting += nodes.tree.children(np.array([node]))[1].tolist()
        if rivals:
            live[q, y] = sorted(rivals)
    return live


@pytest.mark.parametrize(("sizes", "planted"), [(Sizes(7, 11, 13, 3, 3), True), (Sizes(3, 5, 2, 7, 4), False)])
def test_blocks_of_any_size_leave_the_same_rivals_live(sizes, planted):
    """As row by row: a few strata at a time, all; and for some outputs what there is for all."""
    tensors = planted_tensors(sizes, sharpness=6.0, noise=0.05, seed=2) if planted else random_tensors(sizes, 2)
    strata, plenty = strata_of(sizes.task()), 1 << 20
    for near in (2, sizes.v):
        arith = Float64Arithmetic()
        with arith.running():
            nodes = NodeTerms(ExactTables(REAL).tables(build(tensors), arith), strata, near, arith)
            expected = pruned_one_by_one(nodes, strata, arith)
            spent = []
            for block in (5 * nodes.row_size, 1 << 19):
                arith.block = arith.cached = block
                minima = np.full(len(strata.programs[0]), plenty)
                found = list(live_rivals(nodes, strata, minima, arith))
                assert {at: rivals.tolist() for at, rivals in found} == expected
                assert len(found) == len(expected)
                spent.append((plenty - minima).tolist())
            outputs = np.arange(1, sizes.v, 2)
            some = live_rivals(nodes, strata, np.full(len(minima), plenty), arith, outputs=outputs)
            assert {at: rivals.tolist() for at, rivals in some} == {
                at: rivals for at, rivals in expected.items() if at[1] in outputs
            }
        assert spent[0] == spent[1]
        assert expected


@pytest.mark.parametrize("block", [1, 500])
def test_a_bound_does_not_depend_on_the_size_of_blocks(block, monkeypatch):
    """Limits that suffice: the count; limits that do not: at least that, whichever strata get the work."""
    sizes = Sizes(7, 11, 19, 3, 3)
    weights, task = build(planted_tensors(sizes, sharpness=10.0, gain=4.0, noise=0.04, seed=5)), sizes.task()
    wrong = task.total() - true_count(weights)
    hints = Comparisons().hints(weights, Question(task), no_progress)
    less = Hints(hints.options, {"minima": hints.arrays["minima"] // 2})
    monkeypatch.setattr(Float64Arithmetic, "block", block)
    monkeypatch.setattr(Float64Arithmetic, "cached", block)
    found = bound("comparisons", weights, task, "float64", hints)
    assert found.wrong_at_least == found.wrong_at_most == wrong
    found = bound("comparisons", weights, task, "float64", less)
    assert found.wrong_at_least <= wrong <= found.wrong_at_most


@pytest.mark.slow
def test_pruning_256_tokens_takes_few_minima_and_the_memory_that_is_stated():
    """From 61 nodes of a stratum the tree leaves rivals in 18,950 of 32,896 strata; memory within a factor of two."""
    weights, task = load_weights(ROOT / "weights" / "max4_v256_seed123.safetensors"), MaxOfK(4, 256)
    options = {"near": 16, "entries": 0, "tries": 0, "at_once": 0}
    hints = Hints(options, {"minima": np.array([236, 1_976_172, 22_906])})
    stated = cost_of("comparisons", weights.architecture, Question(task), hints).bytes_needed
    tracemalloc.start()
    try:
        found = bound("comparisons", weights, task, "float64", hints)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken / 2 <= stated <= 2 * taken, (stated, taken)
    assert sum(wrong > 0 for wrong in found.strata.values()) == 18_950


@pytest.mark.parametrize("seed", range(3))
def test_an_order_counts_most_of_what_is_wrong_once(seed):
    """On a planted model the bracket of a found cover is narrow, and holds the truth."""
    sizes = Sizes(7, 11, 19, 3, 4)
    weights, task = build(planted_tensors(sizes, sharpness=10.0, gain=4.0, noise=0.04, seed=seed)), sizes.task()
    hints = Comparisons(way="order", certain=4).hints(weights, Question(task), no_progress)
    wrong = task.total() - true_count(weights)
    found = bound("comparisons", weights, task, "float64", hints)
    assert found.wrong_at_least <= wrong <= found.wrong_at_most
    assert found.wrong_at_most - found.wrong_at_least < task.total() // 20
    assert len(hints.arrays) == 7


# Correct sequences by branch and bound with all rivals (`exact`), and log2 of the flops that suffice here.
COUNTED = {
    "max4_v64_seed104": (4, 16_773_556, 21.8), "max4_v64_seed50": (4, 16_764_685, 22.1),
    "max5_v64_seed50": (5, 1_073_182_584, 24.0), "max5_v64_seed123": (5, 1_073_270_720, 24.5),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("stem", COUNTED)
def test_shipped_models_are_counted_to_the_sequence(stem):
    """Exact counts of trained models, against those of branch and bound with all rivals."""
    k, correct, length = COUNTED[stem]
    weights = load_weights(ROOT / "weights" / f"{stem}.safetensors")
    proof = prove(weights, MaxOfK(k, 64), Comparisons())
    verdict = check(proof.data, weights)
    assert verdict.verified
    assert verdict.claim.correct == verdict.correct_at_most == correct
    assert proof.cost.flops < 2**length


@pytest.mark.parametrize("times", [1, 10, 30, 100])
@pytest.mark.parametrize("seed", [0, 2])
def test_steep_attention_loses_nothing_of_the_exact_count(seed, times):
    """Scores of hundreds: weights that differ by more than integers hold are decided one sequence at a time."""
    sizes = Sizes(5, 5, 7, 2, 3)
    tensors = dict(planted_tensors(sizes, sharpness=2.0, gain=3.0, noise=0.3, seed=seed))
    weights = build({**tensors, "W_Q": tensors["W_Q"] * np.float32(times)})
    assert prove(weights, sizes.task(), Comparisons()).claim.amount == true_count(weights)


@pytest.mark.parametrize("way", ["order", "at-once"])
def test_where_nothing_is_worth_a_grid_the_rest_is_proved_all_the_same(way):
    """A model without live rivals, and a gap that asks for nothing: a cover of no strata."""
    sizes = Sizes(5, 7, 7, 3, 3)
    planted = build(planted_tensors(sizes, sharpness=9.0, gain=9.0, noise=0.0, seed=1))
    for weights, gap in ((planted, 2e-5), (planted, 1.0), (build(random_tensors(sizes, 3)), 1.0)):
        proof = prove(weights, sizes.task(), Comparisons(way=way, gap=gap))
        assert proof.claim.amount <= true_count(weights)
        assert check(proof.data, weights).verified
