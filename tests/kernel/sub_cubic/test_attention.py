"""The ends of attention: extremes over all placements, and never passed by any sequence."""

from itertools import combinations, product
from math import exp

import numpy as np
import pytest

from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.published.sub_cubic.attention import Pairs, odds
from pessimal.kernel.rules.published.sub_cubic.averaging import MEAN
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from support.sub_cubic import EXACT, MODELS, Numbers, arithmetic, numbers, paths_of, same, searched
from support.sub_cubic_loops import attention_loops, offsets, qk_loops, ratios


@pytest.mark.parametrize("case", MODELS)
def test_odds_are_the_extremes_over_all_placements(case):
    n, arith = numbers(case), arithmetic()
    v, k = n.eqkp.shape
    with arith.running():
        found = odds(paths_of(case), arith)
    assert len(found) == k - 1
    for count in range(1, k):
        for end, extreme in enumerate((max, min)):
            expected = [[extreme(ratios(n, q, count, last_is_right=last)) for q in range(v)] for last in (True, False)]
            assert same(found[count - 1][end], np.array(expected))


def every_attention(n: Numbers, cell: tuple[int, int, int], highest: int, *, free: bool) -> list[float]:
    """Attention to m, for all placements and all other tokens; `free` does not make the last position hold q."""
    q, m, count = cell
    p, found = offsets(n, q), []
    k = len(p)
    for places in combinations(range(k - 1), count if q == m else count - 1):
        wrong = [*places] if q == m else [*places, k - 1]
        for tokens in product(range(highest + 1), repeat=len(wrong)):
            if q < m and not free and tokens[-1] != q:
                continue
            held = dict(zip(wrong, tokens, strict=True))
            weights = [p[i] * exp(n.scale * n.eqke[q, held.get(i, m)]) for i in range(k)]
            found.append(sum(weights[i] for i in range(k) if i not in held) / sum(weights))
    return found


@pytest.mark.parametrize("error", [EXACT, "mean+max_diff", "max_diff_subproduct"])
@pytest.mark.parametrize("case", MODELS)
def test_ends_of_attention_against_every_sequence(case, error):
    """Attained if the scores are exact; never passed if they are not."""
    n, arith = numbers(case), arithmetic()
    v, k = n.eqkp.shape
    arrays = dict(searched(case, "max_diff", MEAN, error, 2, "exact", "query").arrays)
    table, epsilon = qk_loops(n, error, arrays, "exact")
    with arith.running():
        paths = paths_of(case)
        pairs = Pairs.of(QK_PATHS[error].bound(paths, Hints({}, arrays), arith, "exact"), paths.scale)
        rho = odds(paths, arith)
    assert list(zip(pairs.q.tolist(), pairs.m.tolist(), strict=True)) == [(q, m) for q in range(v) for m in range(q, v)]
    for count, gap in product(range(1, k), (1, 2)):
        # Where the gap leaves nothing, or not the query, the cell is computed for token 0 and of no use.
        highest = np.maximum(pairs.m - gap, 0)
        with arith.running():
            ends = pairs.attention(highest, rho[count - 1])
        expected = []
        for q, m, h in zip(pairs.q.tolist(), pairs.m.tolist(), highest.tolist(), strict=True):
            expected.append(attention_loops(n, table, epsilon, (q, m, count), h))
            if m < gap or (q != m and q > h):
                continue
            least, greatest = expected[-1]
            relaxed = every_attention(n, (q, m, count), h, free=True)
            true = every_attention(n, (q, m, count), h, free=False)
            assert least <= min(true) + 1e-12
            assert max(true) <= greatest + 1e-12
            if error == EXACT:
                assert min(relaxed) == pytest.approx(least, rel=1e-9, abs=1e-12)
                assert max(relaxed) == pytest.approx(greatest, rel=1e-9, abs=1e-12)
        for found, column in zip(ends, np.array(expected).T, strict=True):
            assert same(found, column)
