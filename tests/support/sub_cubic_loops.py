"""The theorems of the sub-cubic rule as loops written from their docstrings, in floats.

Contents:
    direct_loops — the direct path: anchor and slack.
    qk_loops — the QK circuit: what is approximated, and the error.
    spectral_loops — the bound on the largest singular value, from all of them.
    offsets, ratios, attention_loops — the ends of attention.
    target_loops, largest, line_loops — the right token's path and the lines above it.
"""

from itertools import combinations, pairwise
from math import exp, sqrt

import numpy as np

from support.sub_cubic import EXACT, Numbers, rng_of


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


def attention_loops(
    n: Numbers, table: np.ndarray, epsilon: np.ndarray, cell: tuple[int, int, int], highest: int
) -> tuple[float, float]:
    """(least, greatest) attention to m of class (q, m, n), from the docstring of `attention.py`."""
    q, m, count = cell
    rho = ratios(n, q, count, last_is_right=q == m)
    others = [table[q, t] for t in range(highest + 1)]
    d = [table[q, m] - max(others) - epsilon[q], table[q, m] - min(others) + epsilon[q]]
    return 1 / (1 + exp(-n.scale * d[0]) * max(rho)), 1 / (1 + exp(-n.scale * d[1]) * min(rho))


def target_loops(n: Numbers, anchor: np.ndarray, m: int) -> tuple[list[float], list[float]]:
    """L and R over the rivals of m."""
    rivals = [x for x in range(n.evou.shape[1]) if x != m]
    fixed = [anchor[x] - anchor[m] + max(row[x] - row[m] for row in n.pvou) for x in rivals]
    return fixed, [n.evou[m, x] - n.evou[m, m] for x in rivals]


def largest(fixed: list[float], right: list[float], alpha: float) -> float:
    return max(one + alpha * two for one, two in zip(fixed, right, strict=True))


def line_loops(fixed: list[float], right: list[float], points: list[float]) -> list[tuple[float, float]]:
    """(intercept, slope) of every line; no point is `Drop`."""
    if not points:
        return [(max(fixed), max(right))]
    if len(points) == 1:
        (p,) = points
        return [(largest(fixed, right, p) - slope * p, slope) for slope in (max(right), min(right))]
    found = []
    for a, b in pairwise(points):
        slope = (largest(fixed, right, b) - largest(fixed, right, a)) / (b - a)
        found.append((largest(fixed, right, a) - slope * a, slope))
    return found
