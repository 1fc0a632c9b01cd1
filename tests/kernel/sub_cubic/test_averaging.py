"""Lines above the right token's path: those of the theorem, and above it wherever they hold."""

import numpy as np
import pytest

from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.published.sub_cubic.averaging import DROP, MEAN, read_averaging, read_n_points
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS
from pessimal.kernel.rules.published.sub_cubic.rule import target_tables
from pessimal.strategies.sub_cubic import pack_halfwords
from support.sub_cubic import CASES, ONE, arithmetic, numbers, paths_of, random_points, same
from support.sub_cubic_loops import direct_loops, largest, line_loops, target_loops


def averaging_hints(points: np.ndarray | None) -> Hints:
    if points is None:
        return Hints({"attention": DROP, "points": 0})
    return Hints({"attention": MEAN, "points": points.shape[1]}, {"points": pack_halfwords(points)})


@pytest.mark.parametrize("n_points", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("direct", ["mean_query+max_diff", "max_diff_exact"])
@pytest.mark.parametrize("case", ["plain", "biases"])
def test_lines_lie_above_dense_maxima_and_are_those_of_the_theorem(case, direct, n_points):
    n, arith = numbers(case), arithmetic()
    v, rng = n.evou.shape[0], np.random.default_rng(CASES[case].seed)
    anchor, _ = direct_loops(n, direct, {})
    points = random_points(rng, v, n_points, whole=case == "plain") if n_points else None
    hints = averaging_hints(points)
    with arith.running():
        bound = DIRECT_PATHS[direct].bound(paths_of(case), Hints(), arith)
        fixed, right = target_tables(paths_of(case), bound)
        averaging = read_averaging(hints, v, read_n_points(hints))
        lines = averaging.lines(fixed, right, arith)
    assert averaging.n_points == n_points
    assert lines.slope.shape[1] == max(1, n_points - 1) + (n_points == 1)
    tables = [target_loops(n, anchor, m) for m in range(v)]
    assert same(fixed, np.array([one for one, _ in tables]))
    assert same(right, np.array([two for _, two in tables]))
    expected = []
    for m, (one, two) in enumerate(tables):
        p = [] if points is None else (points[m] / ONE).tolist()
        expected.append(line_loops(one, two, p))
        for alpha in np.linspace(*((p[0], p[-1]) if len(p) > 1 else (0.0, 1.0)), 101):
            assert largest(one, two, alpha) <= max(c + s * alpha for c, s in expected[-1]) + 1e-9
    assert same(lines.intercept, np.array(expected)[..., 0])
    assert same(lines.slope, np.array(expected)[..., 1])


def test_chords_hold_strictly_inside_their_range_only():
    """And at the very ends where these are 0 and 1."""
    arith = arithmetic()
    table = arith.matrix(np.ones((2, 3))).enclose()
    hints = averaging_hints(np.array([[0, ONE // 2, ONE], [ONE // 4, ONE // 2, 3 * ONE // 4]]))
    alpha = [0.0, 0.125, 0.25, 0.375, 0.75, 0.875, 1.0]
    with arith.running():
        lines = read_averaging(hints, 2, 3).lines(table, table, arith)
        x = arith.matrix(np.array(alpha * 2)).enclose()
        held = lines.hold_at(x, np.repeat([0, 1], len(alpha)))
        anchored = averaging_hints(np.array([[5], [7]]))
        always = read_averaging(anchored, 2, 1).lines(table, table, arith).hold_at(x, np.zeros(14, dtype=int))
    assert held.tolist() == [True] * 7 + [0.25 < a < 0.75 for a in alpha]
    assert always.tolist() == [True] * 14
