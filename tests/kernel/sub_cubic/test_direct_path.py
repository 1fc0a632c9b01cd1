"""Five bounds on the direct path: slack and anchor of the theorem, and no logit difference above them."""

from itertools import product

import numpy as np
import pytest

from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS
from support.sub_cubic import CASES, EXACT, MODELS, arithmetic, numbers, paths_of, random_arrays, same
from support.sub_cubic_loops import direct_loops


@pytest.mark.parametrize("option", DIRECT_PATHS)
@pytest.mark.parametrize("case", MODELS)
def test_direct_paths_have_the_slack_and_the_anchor_of_the_theorem(case, option):
    n, arith = numbers(case), arithmetic()
    arrays = random_arrays(case, option, EXACT, CASES[case].seed)
    anchor, slack = direct_loops(n, option, arrays)
    with arith.running():
        found = DIRECT_PATHS[option].bound(paths_of(case), Hints({}, arrays), arith)
    assert same(found.slack, slack)
    assert (found.anchor is None and not anchor.any()) or same(found.anchor, anchor)
    logits = n.direct @ n.unembed
    for q, x, y in product(range(n.direct.shape[0]), *[range(n.unembed.shape[1])] * 2):
        assert logits[q, x] - logits[q, y] <= anchor[x] - anchor[y] + slack[q] + 1e-9


@pytest.mark.parametrize("direction", [[0.0, 0.0, 0.0], [1.0, -1.0, 0.0], [1.0, -3.0, 1.0]])
def test_a_direction_without_weight_is_lost(direction):
    arith = arithmetic()
    with arith.running():
        paths = paths_of("plain")
        found = DIRECT_PATHS["svd_query+max_diff"].bound(
            paths, Hints({}, {"direct_direction": np.array(direction)}), arith
        )
        assert not arith.integers(np.array([10**9])).enclose().greater(found.slack).any()
