"""The sub-cubic rule gives what its theorems say, part by part: against loops written from the docstrings.

The loops use floats, so parts must agree within rounding; the counts of the whole rule must be equal. No class of the
models is nearer to a tie than rounding reaches (the loops check it).
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise, product
from math import comb, exp, floor, inf, prod, sqrt

import numpy as np
import pytest

from models import BIASES, Sizes, build, planted_tensors, random_tensors
from pessimal.kernel.arithmetic import ARITHMETICS, CountingArithmetic, Float64Arithmetic
from pessimal.kernel.arithmetic.counting import Counted
from pessimal.kernel.cost import n_strata
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES, Hints
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.rules.published.sub_cubic.attention import Cells, odds
from pessimal.kernel.rules.published.sub_cubic.averaging import AVERAGINGS, DROP, MAX_POINTS, MEAN, make_averaging
from pessimal.kernel.rules.published.sub_cubic.differences import spectral
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS
from pessimal.kernel.rules.published.sub_cubic.paths import Paths, model_paths
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.kernel.rules.published.sub_cubic.rule import COUNTS, GAPS, target_tables
from pessimal.kernel.rules.published.sub_cubic.splits import CROSS
from pessimal.spec import Overrides, Weights
from pessimal.spec.question import Question
from pessimal.strategies.sub_cubic import PUBLISHED, pack_halfwords

RULE = RULES["sub-cubic"]
ONE = 2**15
KINDS = {(kind.direct, kind.attention, kind.attention_error): kind for kind in PUBLISHED.values()}
EXACT = "exact_EQKE+max_diff_exact"
SIZES = (Sizes(3, 5, 7, 2, 4), Sizes(5, 7, 11, 3, 2), Sizes(5, 5, 7, 2, 3), Sizes(4, 5, 7, 3, 3), Sizes(5, 6, 7, 2, 4))


@cache
def model(number: int) -> Weights:
    """Neither perfect nor hopeless: plain, all biases, scale 1 and unused positions, LayerNorm, random."""
    sizes = SIZES[number]
    if number == 4:
        return build(random_tensors(sizes, 3, biases=("b_Q", "b_V"), scale=0.6))
    t = planted_tensors(
        sizes, sharpness=(4.0, 8.0, 1.0, 8.0)[number], noise=(0.01, 0.003, 0.01, 0.001)[number], seed=number
    )
    t["W_pos"][:, 4] = np.random.default_rng(number).permutation(np.linspace(-0.5, 0.5, sizes.k))
    t["W_K"][0, 4, 0] = sqrt(sizes.d)
    if number == 1:
        t |= random_tensors(sizes, 5, biases=BIASES, scale=0.01) | t
    if number == 2:
        # The spread of EVOU grows with the token, so that it matters which tokens the gap leaves.
        t["W_O"][0, 1] = 0
        t["b_U"] = -(np.arange(sizes.o, dtype=np.float32) ** 2)
        t["W_pos"] = np.concatenate([t["W_pos"], np.ones((2, sizes.m), dtype=np.float32)])
        return build(t, overrides=Overrides(k=sizes.k, attn_scale="1"))
    if number == 3:
        t["W_E"][:, 5] -= t["W_E"].sum(1)  # nearly centred, so that the centring does little
        t["W_O"][0, :, 5] -= t["W_O"][0].sum(1)
        t["ln_final_w"] = np.linspace(0.998, 1.002, sizes.m).astype(np.float32)
        t["b_U"] = np.full(sizes.o, 0.75, dtype=np.float32)
    return build(t)


MODELS = range(len(SIZES))
SEEDS = 12


@dataclass(frozen=True)
class Numbers:
    """The paths, from the docstring of `paths.py`."""

    query: np.ndarray
    key: np.ndarray
    w_q: np.ndarray
    w_k: np.ndarray
    eqke: np.ndarray
    key_bias: np.ndarray
    eqkp: np.ndarray
    direct: np.ndarray
    unembed: np.ndarray
    evou: np.ndarray
    pvou: np.ndarray
    scale: float


@cache
def numbers(number: int) -> Numbers:
    weights, sizes = model(number), SIZES[number]

    def tensor(name: str, *shape: int) -> np.ndarray:
        array = weights.get(name)
        return np.zeros(shape) if array is None else np.asarray(array, dtype=np.float64)

    embed, positions = tensor("W_E"), tensor("W_pos")[: sizes.k]
    mean = sum(positions) / sizes.k
    query, key = embed + positions[-1], embed + mean
    w_q, w_k, b_q = tensor("W_Q"), tensor("W_K"), tensor("b_Q", sizes.d)
    unembed, b_u = tensor("W_U"), tensor("b_U", sizes.o)
    if weights.architecture.ln_final:
        gain = tensor("ln_final_w")[:, np.newaxis]
        unembed, b_u = sizes.m * gain * unembed - (gain * unembed).sum(0), 0 * b_u
    ov = tensor("W_V") @ tensor("W_O")
    projected = (query @ w_q + b_q) @ w_k.T
    return Numbers(
        query=query,
        key=key,
        w_q=w_q,
        w_k=w_k,
        eqke=projected @ key.T,
        key_bias=b_q @ w_k.T @ key.T,
        eqkp=projected @ (positions - mean).T,
        direct=query + tensor("b_O", sizes.m) + tensor("b_V", sizes.d) @ tensor("W_O"),
        unembed=unembed,
        evou=embed @ ov @ unembed,
        pvou=positions @ ov @ unembed + b_u,
        scale=1.0 if weights.architecture.attn_scale == "1" else 1 / sqrt(sizes.d),
    )


@cache
def paths_of(number: int) -> Paths:
    arith = Float64Arithmetic()
    with arith.running():
        return model_paths(model(number), arith)


def same(enclosure, array) -> bool:
    """The enclosure is narrow, and the array lies within rounding of it."""
    low, high = enclosure.bounds()
    size = 1 + np.abs(array)
    assert low.shape == np.shape(array)
    return bool((high - low < 1e-9 * size).all() and (np.abs(low - array) < 1e-9 * size).all())


def rng_of(matrix: np.ndarray) -> np.ndarray:
    """Row differences, from all pairs."""
    return np.array([max(x - y for x in row for y in row) for row in np.atleast_2d(matrix)])


def arithmetic() -> Float64Arithmetic:
    return Float64Arithmetic()


def random_arrays(number: int, direct: str, error: str, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = model(number).architecture.shape
    arrays = {**DIRECT_PATHS[direct].arrays(shape), **QK_PATHS[error].arrays(shape)}
    return {name: rng.normal(size=size) + 1.5 * (name == "direct_direction") for name, size in arrays.items()}


@cache
def searched(number: int, direct: str, attention: str, error: str, points: int, cross: str, gaps: str) -> Hints:
    kind = KINDS[direct, attention, error](points=points, cross=cross, gaps=gaps)
    return kind.hints(model(number), Question(SIZES[number].task()), no_progress)


# Paths.


@pytest.mark.parametrize("number", MODELS)
def test_paths_are_what_they_say(number):
    n = numbers(number)
    arith = arithmetic()
    with arith.running():
        paths = model_paths(model(number), arith)
        pairs = [
            (paths.query, n.query), (paths.key, n.key), (paths.w_q, n.w_q), (paths.w_k, n.w_k),
            (paths.position_score, n.eqkp), (paths.direct, n.direct), (paths.unembed, n.unembed),
            (paths.value, n.evou), (paths.position_value, n.pvou),
        ]  # fmt: skip
    assert all(same(found, expected) for found, expected in pairs)
    assert n.scale == 1 if paths.scale is None else same(paths.scale, n.scale)
    assert not n.key_bias.any() if paths.key_bias is None else same(paths.key_bias, n.key_bias)


# Direct path.


def direct_loops(n: Numbers, option: str, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(anchor, slack)."""
    v, d = n.direct.shape
    logits = n.direct @ n.unembed
    zero = np.zeros(n.unembed.shape[1])
    if option == "max_diff_exact":
        return zero, rng_of(logits)
    if option == "global_max_diff_exact":
        return zero, np.full(v, max(x - y for x in logits.ravel() for y in logits.ravel()))
    z = np.zeros(d)
    if option == "mean_query+max_diff":
        z = sum(n.direct) / v
    if option == "svd_query+max_diff":
        u = arrays["direct_direction"]
        z = sum(u[q] * n.direct[q] for q in range(v)) / sum(u)
    width = rng_of(n.unembed)
    return z @ n.unembed, np.array([sum(abs(n.direct[q, j] - z[j]) * width[j] for j in range(d)) for q in range(v)])


@pytest.mark.parametrize("option", DIRECT_PATHS)
@pytest.mark.parametrize("number", MODELS)
def test_direct_paths_have_the_slack_and_the_anchor_of_the_theorem(number, option):
    n, arith = numbers(number), arithmetic()
    arrays = random_arrays(number, option, EXACT, number)
    anchor, slack = direct_loops(n, option, arrays)
    with arith.running():
        found = DIRECT_PATHS[option].bound(paths_of(number), Hints({}, arrays), arith)
    assert same(found.slack, slack)
    assert (found.anchor is None and not anchor.any()) or same(found.anchor, anchor)
    logits = n.direct @ n.unembed
    for q, x, y in product(range(n.direct.shape[0]), *[range(n.unembed.shape[1])] * 2):
        assert logits[q, x] - logits[q, y] <= anchor[x] - anchor[y] + slack[q] + 1e-9


@pytest.mark.parametrize("direction", [[0.0, 0.0, 0.0], [1.0, -1.0, 0.0], [1.0, -3.0, 1.0]])
def test_a_direction_without_weight_is_lost(direction):
    arith = arithmetic()
    with arith.running():
        paths = paths_of(0)
        found = DIRECT_PATHS["svd_query+max_diff"].bound(
            paths, Hints({}, {"direct_direction": np.array(direction)}), arith
        )
        assert not arith.integers(np.array([10**9])).enclose().greater(found.slack).any()


# QK circuit.


def deflate(matrix: np.ndarray, u: np.ndarray) -> np.ndarray:
    """X - u a^T with a = X^T u / |u|^2."""
    return matrix - np.outer(u, matrix.T @ u / (u @ u))


def residual_factors(n: Numbers, error: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    if "subproduct" not in error:
        left = deflate(n.query @ n.w_q @ n.w_k.T, arrays["query_direction"])
        return [left, deflate(n.key, arrays["key_direction"]).T]
    left, right = n.query, n.key
    for i in range(2):
        left, right = deflate(left, arrays["query_direction"][i]), deflate(right, arrays["key_direction"][i])
    return [left, deflate(n.w_q, arrays["w_q_direction"]), deflate(n.w_k, arrays["w_k_direction"]).T, right.T]


def multiplied(factors: list[np.ndarray]) -> np.ndarray:
    return np.linalg.multi_dot(factors) if len(factors) > 1 else factors[0]


def max_diff(left: np.ndarray, widths: np.ndarray) -> np.ndarray:
    return np.array([sum(abs(x) * w for x, w in zip(row, widths, strict=True)) for row in left])


def cut(left: np.ndarray, right: np.ndarray, *, mean: bool) -> np.ndarray:
    row = left.mean(0) if mean else np.zeros(left.shape[1])
    return max(row @ right) - min(row @ right) + max_diff(left - row, rng_of(right))


def nested(factors: list[np.ndarray], means: int) -> np.ndarray:
    if len(factors) == 1:
        return rng_of(factors[0])
    first, rest = factors[0], factors[1:]
    row = first.mean(0) if means > 0 else np.zeros(first.shape[1])
    along = row @ multiplied(rest)
    return max(along) - min(along) + max_diff(first - row, nested(rest, means - 1))


def spectral_loops(factors: list[np.ndarray]) -> np.ndarray:
    sigma = np.linalg.svd(multiplied(factors), compute_uv=False)
    power = sum((s / max(sigma)) ** 128 for s in sigma) ** (1 / 128) * max(sigma)
    return np.full(factors[0].shape[0], sqrt(2) * power)


def residual_differences(factors: list[np.ndarray], error: str) -> np.ndarray:
    mean = error.startswith("mean")
    if error == "svd":
        return spectral_loops(factors)
    if error == "max_diff_exact":
        return rng_of(multiplied(factors))
    if error.endswith("recursive"):
        return nested(factors, 3 if error.startswith("mean_recursive") else 1 if mean else 0)
    cuts = [cut(multiplied(factors[:i]), multiplied(factors[i:]), mean=mean) for i in range(1, len(factors))]
    return np.min(cuts, axis=0)


def qk_loops(n: Numbers, error: str, arrays: dict[str, np.ndarray], cross: str) -> tuple[np.ndarray, np.ndarray]:
    """(T, epsilon)."""
    if error == EXACT:
        return n.eqke, np.zeros(n.eqke.shape[0])
    factors = residual_factors(n, error, arrays)
    epsilon = residual_differences(factors, error)
    if cross == "exact" or len(factors) == 4:
        return n.eqke - multiplied(factors), epsilon
    u, w = arrays["query_direction"], arrays["key_direction"]
    left, right = n.query @ n.w_q @ n.w_k.T, n.key
    a, b = left.T @ u / (u @ u), right.T @ w / (w @ w)
    along, across = deflate(right, w) @ a, deflate(left, u) @ b
    extra = [abs(u[q]) * (max(along) - min(along)) + abs(across[q]) * (max(w) - min(w)) for q in range(u.size)]
    return np.outer(u, w) * (a @ b) + n.key_bias, epsilon + np.array(extra)


@pytest.mark.parametrize(
    ("error", "cross"),
    [(error, cross) for error in QK_PATHS for cross in CROSS if cross == "exact" or "subproduct" not in error],
)
@pytest.mark.parametrize("number", [1, 4])
def test_qk_options_have_the_approximation_and_the_error_of_the_theorem(number, error, cross):
    """For random directions and for singular vectors; T + residual is EQKE, and no true difference is larger."""
    n, arith = numbers(number), arithmetic()
    best = searched(number, "max_diff_exact", MEAN, error, 2, cross, "query").arrays
    for arrays in (random_arrays(number, "max_diff", error, 7 + number), best):
        table, epsilon = qk_loops(n, error, arrays, cross)
        with arith.running():
            found = QK_PATHS[error].bound(paths_of(number), Hints({}, arrays), arith, cross)
        assert same(found.approximation, table)
        assert (found.error is None) == (error == EXACT)
        if found.error is not None:
            low, high = found.error.bounds()
            # Powers of a small residual amplify its rounding; no other option does.
            slack = 1e-6 * (1 + epsilon) if error == "svd" else 1e-9 * (1 + epsilon)
            assert (high >= epsilon - 1e-12 * (1 + epsilon)).all()
            assert (np.abs(low - epsilon) < slack).all()
            assert (high - epsilon < slack).all()
        true = rng_of(n.eqke - table)
        assert (true <= epsilon + 1e-9).all()


@pytest.mark.parametrize("zero", ["query_direction", "key_direction"])
def test_a_zero_direction_loses_everything(zero):
    arith = arithmetic()
    arrays = random_arrays(0, "max_diff", "max_diff", 0)
    arrays[zero][...] = 0
    with arith.running():
        found = QK_PATHS["max_diff"].bound(paths_of(0), Hints({}, arrays), arith, "exact")
        assert not arith.integers(np.array([10**9])).enclose().greater(found.error).any()


@pytest.mark.parametrize("exponent", [-260, -100, -20, 0, 20, 100, 240])
@pytest.mark.parametrize("shape", [(3, 2, 5), (2, 5, 7), (4, 1, 3)])
def test_the_spectral_bound_is_that_of_its_traces_at_every_size(exponent, shape):
    """Neither overflow nor underflow of the powers, as long as one trace is a float."""
    rng, arith = np.random.default_rng(1), arithmetic()
    left, right = rng.normal(size=shape[:2]), rng.normal(size=shape[1:])
    with arith.running():
        scaled = left * 2.0**exponent
        found = spectral(arith.matrix(scaled).enclose(), arith.matrix(right).enclose(), arith)
    low, high = (x / 2.0**exponent for x in found.bounds())
    expected = spectral_loops([left, right])
    assert low.shape == (shape[0],)
    assert (np.abs(low / expected - 1) < 1e-8).all()
    assert (np.abs(high / expected - 1) < 1e-8).all()


def test_the_spectral_bound_of_equal_singular_values_shows_its_power():
    """Four equal values give 4 ** (1 / 128) too much: p = 64 for their squares."""
    arith = arithmetic()
    with arith.running():
        unit = arith.matrix(np.eye(4)).enclose()
        low, high = spectral(unit, unit, arith).bounds()
    assert low == pytest.approx(sqrt(2) * 4 ** (1 / 128), rel=1e-12)
    assert high == pytest.approx(sqrt(2) * 4 ** (1 / 128), rel=1e-12)


# Attention.


def offsets(n: Numbers, q: int) -> list[float]:
    return [exp(n.scale * (x - n.eqkp[q, -1])) for x in n.eqkp[q]]


def ratios(n: Numbers, q: int, count: int, *, last_is_right: bool) -> list[float]:
    """All values of (sum over the others) / (sum over the positions M that hold m)."""
    p = offsets(n, q)
    k = len(p)
    found = []
    for others in combinations(range(k - 1), count if last_is_right else count - 1):
        wrong = [*others] if last_is_right else [*others, k - 1]
        found.append(sum(p[i] for i in wrong) / sum(p[i] for i in range(k) if i not in wrong))
    return found


@pytest.mark.parametrize("number", MODELS)
def test_odds_are_the_extremes_over_all_placements(number):
    n, arith = numbers(number), arithmetic()
    v, k = n.eqkp.shape
    with arith.running():
        found = odds(paths_of(number), arith)
    assert len(found) == k - 1
    for count in range(1, k):
        for end, extreme in enumerate((max, min)):
            expected = [[extreme(ratios(n, q, count, last_is_right=last)) for q in range(v)] for last in (True, False)]
            assert same(found[count - 1][end], np.array(expected))


def attention_loops(
    n: Numbers, table: np.ndarray, epsilon: np.ndarray, cell: tuple[int, int, int], highest: int
) -> tuple[float, float]:
    """(least, greatest) attention to m of class (q, m, n), from the docstring of `attention.py`."""
    q, m, count = cell
    rho = ratios(n, q, count, last_is_right=q == m)
    others = [table[q, t] for t in range(highest + 1)]
    d = [table[q, m] - max(others) - epsilon[q], table[q, m] - min(others) + epsilon[q]]
    return 1 / (1 + exp(-n.scale * d[0]) * max(rho)), 1 / (1 + exp(-n.scale * d[1]) * min(rho))


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
@pytest.mark.parametrize("number", MODELS)
def test_ends_of_attention_against_every_sequence(number, error):
    """Attained if the scores are exact; never passed if they are not."""
    n, arith = numbers(number), arithmetic()
    v, k = n.eqkp.shape
    arrays = dict(searched(number, "max_diff", MEAN, error, 2, "exact", "query").arrays)
    table, epsilon = qk_loops(n, error, arrays, "exact")
    with arith.running():
        paths = paths_of(number)
        cells = Cells.of(QK_PATHS[error].bound(paths, Hints({}, arrays), arith, "exact"), paths.scale)
        rho = odds(paths, arith)
    assert list(zip(cells.q.tolist(), cells.m.tolist(), strict=True)) == [(q, m) for q in range(v) for m in range(q, v)]
    for count, gap in product(range(1, k), (1, 2)):
        # Where the gap leaves nothing, or not the query, the cell is computed for token 0 and of no use.
        highest = np.maximum(cells.m - gap, 0)
        with arith.running():
            ends = cells.attention(highest, rho[count - 1], arith)
        expected = []
        for q, m, h in zip(cells.q.tolist(), cells.m.tolist(), highest.tolist(), strict=True):
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


# Averaging.


def target_loops(n: Numbers, anchor: np.ndarray, m: int) -> tuple[list[float], list[float]]:
    """L and R over the rivals of m."""
    rivals = [x for x in range(n.evou.shape[1]) if x != m]
    fixed = [anchor[x] - anchor[m] + max(row[x] - row[m] for row in n.pvou) for x in rivals]
    return fixed, [n.evou[m, x] - n.evou[m, m] for x in rivals]


def g(fixed: list[float], right: list[float], alpha: float) -> float:
    return max(one + alpha * two for one, two in zip(fixed, right, strict=True))


def line_loops(fixed: list[float], right: list[float], points: list[float]) -> list[tuple[float, float]]:
    """(intercept, slope) of every line; no point is `Drop`."""
    if not points:
        return [(max(fixed), max(right))]
    if len(points) == 1:
        (p,) = points
        return [(g(fixed, right, p) - slope * p, slope) for slope in (max(right), min(right))]
    found = []
    for a, b in pairwise(points):
        slope = (g(fixed, right, b) - g(fixed, right, a)) / (b - a)
        found.append((g(fixed, right, a) - slope * a, slope))
    return found


def random_points(rng: np.random.Generator, v: int, n: int, *, whole: bool) -> np.ndarray:
    rows = np.array([np.sort(rng.choice(np.arange(1, 129), n, replace=False)) * 256 for _ in range(v)])
    if whole and n > 1:
        rows[:, 0], rows[:, -1] = 0, ONE
    return rows


def averaging_hints(points: np.ndarray | None) -> Hints:
    if points is None:
        return Hints({"attention": DROP, "points": 0})
    return Hints({"attention": MEAN, "points": points.shape[1]}, {"points": pack_halfwords(points)})


@pytest.mark.parametrize("n_points", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("direct", ["mean_query+max_diff", "max_diff_exact"])
@pytest.mark.parametrize("number", [0, 1])
def test_lines_lie_above_dense_maxima_and_are_those_of_the_theorem(number, direct, n_points):
    n, arith = numbers(number), arithmetic()
    v, rng = n.evou.shape[0], np.random.default_rng(number)
    anchor, _ = direct_loops(n, direct, {})
    points = random_points(rng, v, n_points, whole=number % 2 == 0) if n_points else None
    hints = averaging_hints(points)
    with arith.running():
        bound = DIRECT_PATHS[direct].bound(paths_of(number), Hints(), arith)
        fixed, right = target_tables(paths_of(number), bound)
        averaging = make_averaging(hints)
        lines = averaging.lines(fixed, right, hints, arith)
    assert averaging.n_points == n_points
    assert averaging.n_lines() == lines.slope.shape[1] == max(1, n_points - 1) + (n_points == 1)
    tables = [target_loops(n, anchor, m) for m in range(v)]
    assert same(fixed, np.array([one for one, _ in tables]))
    assert same(right, np.array([two for _, two in tables]))
    expected = []
    for m, (one, two) in enumerate(tables):
        p = [] if points is None else (points[m] / ONE).tolist()
        expected.append(line_loops(one, two, p))
        for alpha in np.linspace(*((p[0], p[-1]) if len(p) > 1 else (0.0, 1.0)), 101):
            assert g(one, two, alpha) <= max(c + s * alpha for c, s in expected[-1]) + 1e-9
    assert same(lines.intercept, np.array(expected)[..., 0])
    assert same(lines.slope, np.array(expected)[..., 1])


def test_chords_hold_strictly_inside_their_range_only():
    """And at the very ends where these are 0 and 1."""
    arith = arithmetic()
    table = arith.matrix(np.ones((2, 3))).enclose()
    hints = averaging_hints(np.array([[0, ONE // 2, ONE], [ONE // 4, ONE // 2, 3 * ONE // 4]]))
    alpha = [0.0, 0.125, 0.25, 0.375, 0.75, 0.875, 1.0]
    with arith.running():
        lines = make_averaging(hints).lines(table, table, hints, arith)
        x = arith.matrix(np.array(alpha * 2)).enclose()
        held = lines.hold_at(x, np.repeat([0, 1], len(alpha)))
        anchored = averaging_hints(np.array([[5], [7]]))
        always = make_averaging(anchored).lines(table, table, anchored, arith).hold_at(x, np.zeros(14, dtype=int))
    assert held.tolist() == [True] * 7 + [0.25 < a < 0.75 for a in alpha]
    assert always.tolist() == [True] * 14


# The whole rule.


def certified_loops(number: int, hints: Hints, gap: np.ndarray, points: np.ndarray | None) -> int:
    """The theorem of `rule.py`, class by class. `gap` is `[k - 1, classes]`."""
    n, o = numbers(number), hints.options
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
        bound = slack[m] + g(*tables[m], 1.0)
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


def whole(number: int, seed: int) -> tuple[Hints, np.ndarray, np.ndarray | None]:
    """Hints of one composition: searched, then some gaps, points and directions replaced at random."""
    rng = np.random.default_rng([number, seed])
    sizes = SIZES[number]
    words = list(KINDS)[(37 * seed + 11 * number) % 100]
    direct, attention, error = words
    cross, gaps, count = (str(rng.choice(x)) for x in (CROSS, GAPS, COUNTS))
    n_points = 0 if attention == DROP else int(rng.choice([1, 2, 3, 6]))
    best = searched(number, *words, n_points, cross, gaps)
    gap = best.halfwords("gap", (sizes.k - 1, n_strata(sizes.v))).copy()
    points = best.halfwords("points", (sizes.v, n_points)).copy() if n_points else None
    arrays = dict(best.arrays)
    if seed % 3:
        replaced = rng.random(gap.shape) < (0.8 if number == 2 else 0.3)
        gap = np.where(replaced, rng.integers(0, sizes.v + 2, gap.shape), gap)
        if points is not None and rng.random() < 0.5:
            points = random_points(rng, sizes.v, n_points, whole=bool(rng.random() < 0.5))
    if seed % 5 == 4:
        arrays |= random_arrays(number, direct, error, seed)
    arrays["gap"] = pack_halfwords(gap)
    if points is not None:
        arrays["points"] = pack_halfwords(points)
    return Hints({**best.options, "count": count, "gaps": gaps}, arrays), gap, points


def certified(number: int, hints: Hints, name: str = "float64", weights: Weights | None = None) -> int:
    arith, task, weights = ARITHMETICS[name](), SIZES[number].task(), weights or model(number)
    RULE.require_covers(weights, Question(task))
    RULE.cost(weights.architecture, Question(task), hints)
    with arith.running():
        bound = RULE.bound(weights, Question(task), hints, arith, no_progress)
    assert bound.decided
    assert bound.wrong_at_least is None
    return task.total() - floor(bound.wrong_at_most)


@pytest.mark.parametrize("number", MODELS[:4])
def test_the_count_is_that_of_the_theorem(number):
    """Equal, for compositions with searched and with damaged hints."""
    found = set()
    for seed in range(SEEDS):
        hints, gap, points = whole(number, seed)
        count = certified(number, hints)
        assert count == certified_loops(number, hints, gap, points), (hints.options, gap, points)
        found.add(count)
    assert len(found) >= 3, found


def test_the_hints_above_cover_every_word():
    used = [
        {value for seed in range(SEEDS) for value in whole(number, seed)[0].options.values()} for number in MODELS[:4]
    ]
    words = {*DIRECT_PATHS, *QK_PATHS, *AVERAGINGS, *CROSS, *GAPS, *COUNTS, 0, 1, 2, 3, 6}
    assert set().union(*used) == words


# Cost.


def dims_loops(words: tuple[str, str, str], v: int, m: int) -> int:
    """Numbers treated as a table (specification, section 6.3)."""
    direct, _, error = words
    of_direct = {"max_diff": v * m + 2, "max_diff_exact": 2 * v, "global_max_diff_exact": 2}
    of_error = {EXACT: v * v, "svd": 2 * v, "max_diff_exact": 4 * v}
    around = v + v * m + 2
    low_rank = 2 * v + 2 * m + v * error.startswith("mean")
    return of_direct.get(direct, around) + of_error.get(error, low_rank) + v + v * v


@pytest.mark.parametrize("number", MODELS)
def test_the_cost_is_what_is_counted_and_what_is_read(number, monkeypatch):
    """Operations, exponentials and hints, for every word; dimensions and memory as documented."""
    exps = []
    real = Counted.exp
    monkeypatch.setattr(Counted, "exp", lambda self: exps.append(prod(self.shape)) or real(self))
    shape = model(number).architecture.shape
    v, k, m, o = shape.d_vocab, shape.k, shape.d_model, shape.d_vocab_out
    rng = np.random.default_rng(0)
    for i in range(20):
        words = (list(DIRECT_PATHS)[i % 5], AVERAGINGS[i // 3 % 2], list(QK_PATHS)[i % 10])
        cross = CROSS[i // 10]
        n_points = 0 if words[1] == DROP else (1, 2, 5)[i % 3]
        arrays = random_arrays(number, words[0], words[2], i)
        read = sum(x.size for x in arrays.values()) + (k - 1) * n_strata(v) + n_points * v
        arrays["gap"] = pack_halfwords(np.zeros((k - 1, n_strata(v)), dtype=np.int64))
        if n_points:
            arrays["points"] = pack_halfwords(random_points(rng, v, n_points, whole=True))
        options = dict(zip(("direct", "attention", "attention_error"), words, strict=True))
        options |= {"cross": cross, "count": "fixed", "gaps": "query", "points": n_points}
        exps.clear()
        arith = CountingArithmetic()
        RULE.bound(model(number), Question(SIZES[number].task()), Hints(options, arrays), arith, no_progress)
        cost, flops = (
            RULE.cost(model(number).architecture, Question(SIZES[number].task()), Hints(options, arrays)),
            arith.tally.flops,
        )
        assert cost.flops == flops, options
        assert cost.checker_ops == shape.n_parameters() + read + 8 * (flops - sum(exps)) + 120 * sum(exps)
        assert cost.unexplained_dims == dims_loops(words, v, m)
        entries = 24 * v * max(v, o) + 4 * k * v * o + 8 * shape.n_parameters()
        lines = 1 if n_points == 0 else max(2, n_points) - (n_points > 1)
        assert cost.bytes_needed == 64 * (entries + n_strata(v) * (12 + 6 * lines))


# Hints.


def test_halfwords_are_read_from_the_lowest_bits_up():
    word = 3 | 2 << 16 | 65535 << 32 | 7 << 48
    negative = np.array([(1 | 65535 << 48) - 2**64], dtype=np.int64)
    hints = Hints({}, {"a": np.array([word, 9 | 4 << 16], dtype=np.int64), "b": negative})
    assert hints.halfwords("a", (2, 3)).tolist() == [[3, 2, 65535], [7, 9, 4]]
    assert hints.halfwords("a", (3, 2)).tolist() == [[3, 2], [65535, 7], [9, 4]]
    assert hints.halfwords("b", (4,)).tolist() == [1, 0, 0, 65535]
    assert hints.halfwords("a", (6,)).dtype == np.int64


@pytest.mark.parametrize(
    "array", [None, np.zeros((2, 3), dtype=np.float32), np.zeros((3, 2)), np.zeros(6), np.full((2, 3), np.inf)]
)
def test_float_hints_are_there_and_are_finite_float64_of_the_shape(array):
    hints = Hints({}, {} if array is None else {"a": array})
    with pytest.raises(Rejected) as refusal:
        hints.floats("a", (2, 3))
    assert refusal.value.reason is Reason.BAD_HINT


@pytest.mark.parametrize("count", [1, 2, 3])
def test_padding_must_be_zero(count):
    for place in range(4):
        hints = Hints({}, {"a": np.array([1 << 16 * place], dtype=np.int64)})
        if place < count:
            assert hints.halfwords("a", (count,))[place] == 1
        else:
            with pytest.raises(Rejected, match="after its last number"):
                hints.halfwords("a", (count,))


@pytest.mark.parametrize(("count", "words"), [(4, 2), (5, 1), (5, 3), (8, 3), (1, 0), (1, 2)])
def test_packed_arrays_have_one_length(count, words):
    with pytest.raises(Rejected, match="must be int64 of shape"):
        Hints({}, {"a": np.zeros(words, dtype=np.int64)}).halfwords("a", (count,))


def rejected(hints: Hints, match: str, number: int = 0) -> None:
    """Both by the cost (before anything is computed) or, where only values are wrong, by the bound."""
    with pytest.raises(Rejected, match=match) as caught:
        certified(number, hints)
    assert caught.value.reason == Reason.BAD_HINT


def rejected_by_form(hints: Hints, match: str) -> None:
    """Already by the cost, before any number is read."""
    with pytest.raises(Rejected, match=match) as caught:
        RULE.cost(model(0).architecture, Question(SIZES[0].task()), hints)
    assert caught.value.reason == Reason.BAD_HINT


def good(attention: str = MEAN, points: int = 3, error: str = "max_diff_subproduct") -> Hints:
    return searched(0, "svd_query+max_diff", attention, error, points, "exact", "query")


def changed(hints: Hints, options: dict | None = None, arrays: dict | None = None) -> Hints:
    return Hints({**hints.options, **(options or {})}, {**hints.arrays, **(arrays or {})})


@pytest.mark.parametrize("row", [[5, 5, 6], [6, 5, 7], [1, 3, 2], [0, 1, ONE + 1]])
def test_points_must_increase_and_stay_below_one(row):
    ok = np.array([[0, 1, ONE]] * 3)
    assert certified(0, changed(good(), None, {"points": pack_halfwords(ok)})) >= 0
    for m in (0, 2):
        bad = ok.copy()
        bad[m] = row
        rejected(changed(good(), None, {"points": pack_halfwords(bad)}), "must increase")


def test_a_single_point_may_be_one_and_no_more():
    hints = good(points=1)
    assert certified(0, changed(hints, None, {"points": pack_halfwords(np.full((3, 1), ONE))})) >= 0
    rejected(changed(hints, None, {"points": pack_halfwords(np.array([[0], [ONE + 1], [0]]))}), "must increase")


@pytest.mark.parametrize("name", ["direct", "attention", "attention_error", "cross", "count", "gaps"])
@pytest.mark.parametrize("value", ["", "Exact", "none", 0, 1])
def test_words_outside_the_lists_are_rejected(name, value):
    rejected(changed(good(), {name: value}), f"option {name} must be one of")


@pytest.mark.parametrize("name", ["direct", "attention", "attention_error", "cross", "count", "gaps", "points"])
def test_every_option_is_needed(name):
    hints = good()
    rejected(Hints({k: x for k, x in hints.options.items() if k != name}, hints.arrays), f"option {name} must be")


@pytest.mark.parametrize("points", [0, -1, MAX_POINTS + 1, "3", 3.0, True])
def test_the_number_of_points_is_bounded(points):
    rejected(changed(good(), {"points": points}), "option points must be an integer from 1 to 64")


def test_as_many_points_as_allowed():
    rows = np.array([np.arange(MAX_POINTS) * 500] * 3)
    assert certified(0, changed(good(), {"points": MAX_POINTS}, {"points": pack_halfwords(rows)})) >= 0


@pytest.mark.parametrize("points", [1, 2, -1])
def test_without_averaging_there_are_no_points(points):
    rejected(changed(good(DROP, 0), {"points": points}), "option points must be an integer from 0 to 0")


def test_exactly_the_hints_that_are_read():
    hints = good()
    assert certified(0, hints) >= 0
    for name in hints.arrays:
        rejected(Hints(hints.options, {k: x for k, x in hints.arrays.items() if k != name}), "exactly these hints")
    rejected(changed(hints, {"more": 1}), "exactly these hints")
    rejected(changed(hints, None, {"more": np.zeros(1)}), "exactly these hints")
    rejected(changed(good(DROP, 0), None, {"points": np.zeros(1, dtype=np.int64)}), "exactly these hints")
    rejected(changed(hints, {"direct": "max_diff"}), "exactly these hints")
    rejected(changed(hints, {"attention_error": EXACT}), "exactly these hints")
    rejected(changed(hints, {"attention_error": "max_diff"}), "exactly these hints")


@pytest.mark.parametrize("name", ["direct_direction", "query_direction", "key_direction", "w_q_direction"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_directions_must_be_finite_float64_of_their_shape(name, value):
    array = good().arrays[name]
    bad = array.copy()
    bad.flat[-1] = value
    rejected_by_form(changed(good(), None, {name: bad}), "not finite")
    rejected_by_form(changed(good(), None, {name: array.astype(np.float32)}), "must be float64")
    rejected_by_form(changed(good(), None, {name: array.ravel()[:-1]}), "must be float64")
    rejected_by_form(changed(good(), None, {name: array[np.newaxis]}), "must be float64")


@pytest.mark.parametrize(
    "array", [np.zeros(4, np.int64), np.zeros(6, np.int64), np.zeros(5), np.zeros((5, 1), np.int64)]
)
def test_gaps_have_one_length(array):
    """Three rows of six classes: eighteen numbers in five words."""
    assert good().arrays["gap"].shape == (5,)
    rejected_by_form(changed(good(), None, {"gap": array}), "array gap must be int64")


PERFECT = build(planted_tensors(SIZES[0], sharpness=30.0, gain=16.0))


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
    assert certified(0, with_gap(0, 0, 1), weights=PERFECT) == 3**4


@pytest.mark.parametrize(("q", "m"), [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)])
def test_a_gap_counts_its_sequences_and_a_wrong_one_gives_the_class_up(q, m):
    """0, more than m, and a query between m - g and m give the class up; nothing else changes."""
    for gap in (0, 1, 2, 3, 65535):
        count = certified(0, with_gap(q, m, gap), weights=PERFECT)
        assert count == 3**4 - size(q, m, 1) + size(q, m, gap), gap


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("m", [0, 1, 2])
def test_a_gap_above_the_target_gives_up_classes_that_any_attention_would_certify(m, count):
    """One token fewer than none is not minus one token, whose square would count."""
    tensors = planted_tensors(SIZES[0], gain=1.0)
    tensors["b_U"] = np.where(np.arange(SIZES[0].o) == m, 1000, 0).astype(np.float32)
    weights = build(tensors)
    place = [(a, b) for a in range(3) for b in range(a, 3)].index((m, m))
    counts = []
    for value in (0, m + 1, m + 2):
        gap = np.zeros((3, 6), dtype=np.int64)
        gap[1, place] = value
        hints = changed(with_gap(0, 0, 0), {"count": count}, {"gap": pack_halfwords(gap)})
        counts.append(certified(0, hints, weights=weights))
    assert counts == [1, 1, 1]


@pytest.mark.parametrize("sizes", [Sizes(3, 5, 7, 2, 3, 2), Sizes(3, 5, 7, 2, 1), Sizes(3, 1, 7, 2, 3)])
def test_models_outside_the_theorem_are_refused(sizes):
    with pytest.raises(Rejected) as caught:
        RULE.require_covers(build(random_tensors(sizes, 0)), Question(sizes.task()))
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL


def test_layer_norm_before_attention_is_refused():
    with pytest.raises(Rejected, match="ln1_w"):
        RULE.require_covers(build(random_tensors(SIZES[0], 0, norms=("ln1_w",))), Question(SIZES[0].task()))


def test_gaps_by_target_and_by_query_differ_on_these_models():
    """And the counts, fixed and published, too: otherwise equality with the loops says little."""
    for name, words in (("gaps", GAPS), ("count", COUNTS)):
        changes = 0
        for seed in range(SEEDS):
            hints, _, _ = whole(2, seed)
            changes += len({certified(2, changed(hints, {name: word})) for word in words}) > 1
        assert changes, name


def test_compositions_are_all_there():
    """A hundred, and each accepted by both arithmetics."""
    assert len(KINDS) == prod(len(x) for x in (DIRECT_PATHS, AVERAGINGS, QK_PATHS)) == 100
    for words in list(KINDS)[::19]:
        hints = searched(0, *words, 0 if words[1] == DROP else 2, "exact", "query")
        assert certified(0, hints, "arb") == certified(0, hints)
