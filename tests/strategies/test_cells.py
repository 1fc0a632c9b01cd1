"""Cells of a cover: within the flops, where they matter; rough counts are about those of the rule."""

import numpy as np
import pytest

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.counting.conditioned import ConditionedCounts
from pessimal.kernel.strata.strata import strata_of
from pessimal.search.cells import FEWEST, Prices
from pessimal.search.orders import CoveredStratum, Order, Price
from pessimal.search.rough import RoughCounts
from pessimal.spec.tasks import MaxOfK

N = 23


def some_prices(seed: int) -> Prices:
    """Of strata whose weights differ by orders of magnitude."""
    rng = np.random.default_rng(seed)
    nobody = np.zeros(0, dtype=np.int64)
    part = CoveredStratum((0, 1), nobody, Order(nobody, nobody), Price(0, 0, 0, 0))
    size = 10.0 ** rng.uniform(-9, -2, N)
    return Prices(
        rows=list(range(N)), parts=[part] * N, size=size, entries=rng.integers(100, 9000, N).astype(float),
        least=size * rng.uniform(0, 0.2, N), lost=size * rng.uniform(0.1, 3, N), fixed=rng.uniform(0, 1e4, N),
        each=rng.uniform(1, 1e3, N),
    )  # fmt: skip


def open_and_flops(prices: Prices, chosen: list) -> tuple[float, float]:
    """What is left open, strata that are not counted included; and additions and operations for terms."""
    cells = {row: n for row, _, n in chosen}
    left = [prices.least[i] + prices.lost[i] / cells[i] if i in cells else prices.size[i] for i in range(N)]
    return sum(left), sum(prices.entries[i] + prices.fixed[i] + prices.each[i] * n for i, n in cells.items())


@pytest.mark.parametrize("seed", range(5))
def test_cells_stay_within_the_flops_and_more_flops_leave_less_open(seed):
    prices, last = some_prices(seed), np.inf
    for flops in (0, 1e4, 1e5, 1e6, 1e7, 1e9):
        chosen, entries = prices.chosen(0.0, flops, 500)
        left, spent = open_and_flops(prices, chosen)
        assert spent <= flops
        assert left <= last
        assert entries == sum(int(prices.entries[row]) for row, _, _ in chosen)
        assert all(FEWEST <= n <= 500 for _, _, n in chosen)
        last = left
    assert len(chosen) == N


@pytest.mark.parametrize("seed", range(5))
def test_no_even_share_of_the_flops_leaves_less_open(seed):
    """As many cells for every stratum that is counted, at the same cost."""
    prices = some_prices(seed)
    chosen, _ = prices.chosen(0.0, 1e6, 10**6)
    left, spent = open_and_flops(prices, chosen)
    for most in range(1, N + 1):
        rows = np.argsort(-prices.size)[:most]
        even = (spent - (prices.entries + prices.fixed)[rows].sum()) / prices.each[rows].sum()
        if even >= FEWEST:
            assert left <= open_and_flops(prices, [(int(row), None, even) for row in rows])[0]


@pytest.mark.parametrize("weighed", [False, True])
def test_rough_counts_are_about_those_of_the_rule(weighed):
    """Within two in a hundred of the stratum, and the rule's are no smaller than the truth."""
    rng, v, k, cells = np.random.default_rng(0), 7, 5, 200
    strata, at = strata_of(MaxOfK(k, v)), (3, 5)
    weights = rng.integers(1, 7, (k - 1, v)).tolist() if weighed else None
    program, letter = strata.program(*at), strata.letter[at[1]]
    counts = ConditionedCounts(program, letter, weights, cells, Float64Arithmetic())
    terms, last = rng.integers(-(10**6), 2 * 10**6, (k - 1, v, 11)), rng.integers(-(10**6), 10**6, 11)
    rough = RoughCounts(counts).weights_of(terms, last, cells)
    size = sum(counts.size(pair.state) * pair.first.size * pair.second.size for pair in counts.pairs)
    for j in range(11):
        found = counts.fillings(terms[:, :, j], int(last[j]), floor=True)
        assert abs(sum(float(part.bounds()[1].sum()) for part in found) - rough[j]) <= 0.02 * size
