"""Cells of a cover: within the flops, where they matter; rough counts are about those of the rule."""

import math
from itertools import product

import numpy as np
import pytest

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.counting.conditioned import ConditionedCounts, Grid
from pessimal.kernel.strata.strata import strata_of
from pessimal.search.cells import Prices
from pessimal.search.orders import CoveredStratum, Order, Price
from pessimal.search.rough import RoughCounts
from pessimal.spec.tasks import MaxOfK

N, M = 7, 11


def some_prices(seed: int) -> Prices:
    """Of strata whose weights differ by orders of magnitude, most of them with two ways."""
    rng = np.random.default_rng(seed)
    nobody = np.zeros(0, dtype=np.int64)
    part = CoveredStratum((0, 1), nobody, Order(nobody, nobody), Price(nobody, nobody * 1.0, nobody * 1.0))
    rows = np.sort(np.append(np.arange(N), rng.choice(N, M - N, replace=False)))
    size = (10.0 ** rng.uniform(-9, -2, N))[rows]
    cells = np.broadcast_to([6, 10, 32, 64, 500], (M, 5))
    least, lost = size * rng.uniform(0, 0.2, M), size * rng.uniform(0.1, 3, M)
    spent = rng.uniform(0, 1e4, (M, 1)) + rng.uniform(1, 1e3, (M, 1)) * cells
    return Prices(
        rows=rows.tolist(), parts=[part] * M, size=size, entries=rng.integers(100, 9000, M).astype(float), cells=cells,
        left=least[:, np.newaxis] + lost[:, np.newaxis] / cells, spent=spent,
    )  # fmt: skip


def open_and_flops(prices: Prices, ways: list[int], grids: list[int]) -> tuple[float, float]:
    """What is left open, strata that are not counted included; and operations, those for terms included."""
    left = dict(zip(prices.rows, prices.size, strict=True))
    left |= {prices.rows[way]: prices.left[way, grid] for way, grid in zip(ways, grids, strict=True)}
    return sum(left.values()), float((prices.entries[ways] + prices.spent[ways, grids]).sum())


def taken(prices: Prices, flops: float) -> tuple[list[int], list[int]]:
    """Ways and grids, by where their cells and entries are."""
    chosen, entries = prices.chosen(0.0, flops)
    rows = [row for row, _, _ in chosen]
    assert rows == sorted(set(rows))
    grids = [prices.cells[0].tolist().index(cells) for _, _, cells in chosen]
    ways = [[way for way, own in enumerate(prices.rows) if own == row] for row in rows]
    (right,) = [one for one in product(*ways) if int(prices.entries[list(one)].sum()) == entries][:1]
    return list(right), grids


@pytest.mark.parametrize("seed", range(5))
def test_cells_stay_within_the_flops_and_more_flops_leave_less_open(seed):
    prices, last = some_prices(seed), np.inf
    for flops in (0, 1e4, 1e5, 1e6, 1e7, 1e9):
        ways, grids = taken(prices, flops)
        left, spent = open_and_flops(prices, ways, grids)
        assert spent <= flops
        assert left <= last
        last = left
    assert len(ways) == N


@pytest.mark.parametrize("seed", range(5))
def test_no_other_choice_leaves_less_open(seed):
    """Against many choices of ways and grids, at no more than the cost."""
    prices, rng = some_prices(seed), np.random.default_rng(seed)
    for flops in (1e4, 4e4, 2e5):
        best = taken(prices, flops)
        left, spent = open_and_flops(prices, *best)
        for _ in range(1000):
            grids = dict(zip(*best, strict=True))
            for way in rng.choice(M, 2).tolist():
                grids = {other: grid for other, grid in grids.items() if prices.rows[other] != prices.rows[way]}
                grids |= {way: int(rng.integers(0, 5))} if rng.random() < 0.8 else {}
            other, cost = open_and_flops(prices, list(grids), list(grids.values()))
            assert cost > spent or other >= left - 1e-15


@pytest.mark.parametrize("conditioned", [1, 2])
@pytest.mark.parametrize("cells", [9, 200])
@pytest.mark.parametrize("weighed", [False, True])
def test_rough_counts_are_about_those_of_the_rule(weighed, cells, conditioned):
    """Within one in a thousand of the stratum, and the rule's are no smaller than the truth."""
    rng, v, k = np.random.default_rng(0), 7, 5
    strata, at = strata_of(MaxOfK(k, v)), (3, 5)
    weights = rng.integers(1, 7, (k - 1, v)).tolist() if weighed else None
    program, letter = strata.program(*at), strata.letter[at[1]]
    counts = ConditionedCounts(program, letter, weights, Grid(cells, conditioned), v, Float64Arithmetic())
    terms, last = rng.integers(-(10**6), 2 * 10**6, (k - 1, v, 11)), rng.integers(-(10**6), 10**6, 11)
    rough = RoughCounts(counts).weights_of(terms, last, cells)
    size = sum(counts.size(end.state) * math.prod(end.shape) for end in counts.endings)
    for j in range(11):
        found = counts.fillings(terms[:, :, j], int(last[j]), floor=True)
        assert abs(sum(float(part.bounds()[1].sum()) for part in found) - rough[j]) <= 0.001 * size
