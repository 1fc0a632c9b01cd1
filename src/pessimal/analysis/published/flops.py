"""Proof length in the literature's convention: what its counter charges for its own verifier.

The published counter charges 1 per element of every elementwise operation, of every in-place assignment and copy, n - 1
per reduction, a c (2b - 1) per product, softmax 5n - 2, and for a singular value decomposition what checking one would
cost. Python loops and indexing are free. The counts below follow the released verifier step by step with gap 1
everywhere, as shapes alone; they exist to fill the "published convention" column of the reproduction tables, beside our
own `flops` (`kernel.cost`).

Three things are inferred from the recorded totals rather than read off the verifier: the tolerance test of a
decomposition (three operations per entry), two or four passes over the table of an exact direct path, and three passes
over the dense table of the subproduct split.

Contents:
    published_flops — items and their operations for one composition.
    Sizes — d_vocab, K, d_model (= d_head).
"""

from dataclasses import dataclass

from pessimal.kernel.rules.published.sub_cubic.averaging import DROP


@dataclass(frozen=True)
class Sizes:
    """d_vocab, K, d_model (= d_head)."""

    v: int
    k: int
    d: int


def _product(a: int, b: int, c: int) -> int:
    return a * c * (2 * b - 1)


def _spread(rows: int, n: int) -> int:
    return rows * (2 * (n - 1) + 1)


def _classes(s: Sizes) -> int:
    """Cells (q, m), q <= m, m >= 1: those with classes n >= 1 at gap 1."""
    return s.v * (s.v + 1) // 2 - 1


def _tables(s: Sizes) -> dict[str, int]:
    v, k, d = s.v, s.k, s.d
    positions = 2 * k * d + v * d + k * d + v * d  # two means, keys, centred positions, queries
    eqkp = _product(d, d, k) + _product(d, d, k) + _product(v, d, k)
    path = 2 * _product(v, d, d) + _product(v, d, v)
    return {
        "embeddings": positions + k * d + v * d,
        "EQKP": eqkp,
        "EVOU": path,
        "PVOU": 2 * _product(k, d, d) + _product(k, d, v),
        "dense T": v * v,
    }


def _extremes(s: Sizes) -> dict[str, int]:
    v, k = s.v, s.k
    cells = _classes(s)
    scan = v * (2 * v + 4 * (v - 1))
    gaps = 2 * v * v * k + 2 * k * cells
    shifted = 6 * v * v * k
    upper = v * (v - 1) // 2
    softmax = 0
    for n in range(k):
        right = k - n
        each = 3 * (k - 1) + 2 + 4 * right + 2 * k + 2 * (5 * k - 2) + 2 * (right - 1) + 2
        softmax += each * (v if n == 0 else cells)
    skipped = 2 * k * upper + 2 * upper + 2 * (k - 1)
    return {
        "running extremes": scan + gaps,
        "error added": shifted,
        "softmax": v * k + v * (k - 2) + softmax + skipped,
    }


def _largest_wrong_logit(s: Sizes, *, averaged: bool) -> dict[str, int]:
    v, k, d = s.v, s.k, s.d
    cells = _classes(s)
    before = v * v * k + _spread(v, v) + v * v + v
    per_target = k * v + v + v * (k - 1) + _product(1, d, v) + 2 * v + v + 1 + (v - 1) + 1 + v + 1 + v + 1 + (v - 1) + 1
    wrong = sum((k - 1) * (m - 1) for m in range(1, v))
    per_class = 2 * v + 1 + 1 + (v - 1) + 3 + 1
    return {
        "targets": before + v * per_target,
        "classes": (v - 1) * (k - 1) * per_class + wrong + 10 * (k - 1) * cells,
        "mean attention": averaged * (v - 1) * (k - 1) * 3 * v,
    }


def _direct(s: Sizes, direct: str) -> int:
    v, d = s.v, s.d
    if direct == "global_max_diff_exact":
        return _product(v, d, v) + 2 * (v * v - 1) + 1 + 4 * v * v
    if direct == "max_diff_exact":
        return _product(v, d, v) + _spread(v, v) + 2 * v * v
    around = v * d + _product(1, d, v) + v * d + _spread(d, v) + _product(v, d, 1)
    return around + (v * d if direct != "svd_query+max_diff" else 0)


def _svd(rows: int, columns: int) -> int:
    """Checking a thin decomposition: U S V^T again, two Gram matrices, three comparisons with a tolerance."""
    n = min(rows, columns)
    again = rows * n + _product(rows, n, columns)
    grams = _product(n, rows, n) + _product(n, columns, n)
    return again + grams + 3 * (rows * columns + 2 * n * n) + 2 * n * n


def _svd_of_product(s: Sizes) -> int:
    """Of A B with inner size d: both factors, the middle, and the outer products."""
    v, d = s.v, s.d
    middle = 2 * d * d + _product(d, d, d) + _svd(d, d)
    return 2 * _svd(v, d) + middle + _product(v, d, d) + _product(d, d, v)


def _rank_one(s: Sizes) -> int:
    v, d = s.v, s.d
    return 2 * _product(v, d, d) + _svd_of_product(s) + 2 * v * v + v + 1


def _subproduct(s: Sizes) -> int:
    v, d = s.v, s.d
    project = _product(1, v, d) + 2 * v - 1 + v + v * d * 2
    inner = _product(1, d, d) + d + (2 * d - 1) + 2 * d * d
    chains = 8 * _product(1, d, d) + 4 * _product(1, d, v) + 6 * _product(v, d, 1) + 4 * v
    dense = (1 + 2 + 8 * 2 + 3) * v * v  # a template, the first term, eight more, three passes that are inferred
    return 4 * project + 2 * inner + 2 * chains // 2 + dense


def _cuts(shapes: list[tuple[int, int]], *, mean: bool) -> int:
    """The least over all cuts; the partial products from either side are made once."""
    rows, columns = shapes[0][0], shapes[-1][1]
    total = sum(_product(rows, *shape) + _product(*shape, columns) for shape in shapes[1:-1])
    for _, inner in shapes[:-1]:
        total += rows * inner + _spread(inner, columns) + _product(rows, inner, 1)
        total += mean * (2 * rows * inner + _product(1, inner, columns) + _spread(1, columns) + rows)
    return total + rows * (len(shapes) - 2)


def _recursive(shapes: list[tuple[int, int]], means: int) -> int:
    (rows, inner), columns = shapes[0], shapes[-1][1]
    if len(shapes) == 1:
        return _spread(rows, columns)
    total = _recursive(shapes[1:], max(means - 1, 0)) + rows * inner + _product(rows, inner, 1)
    if means:
        chain = sum(_product(1, a, b) for a, b in shapes[1:])
        total += 2 * rows * inner + chain + _spread(1, columns)
    return total


def _attention_error(s: Sizes, word: str) -> int:
    v, d = s.v, s.d
    two, four = [(v, d), (d, v)], [(v, d), (d, d), (d, d), (d, v)]
    if word == "exact_EQKE+max_diff_exact":
        return 2 * _product(v, d, d) + _product(v, d, v)
    if word == "svd":
        return _rank_one(s) + _svd_of_product(s) + 1
    if word == "max_diff_exact":
        return _rank_one(s) + _product(v, d, v) + _spread(v, v)
    if word.endswith("recursive"):
        means = {"max_diff_subproduct_recursive": 0, "mean+max_diff_subproduct_recursive": 1}.get(word, 3)
        return _subproduct(s) + _recursive(four, means)
    if word.endswith("subproduct"):
        return _subproduct(s) + _cuts(four, mean=word.startswith("mean"))
    return _rank_one(s) + _cuts(two, mean=word.startswith("mean"))


def published_flops(v: int, k: int, d: int, composition: tuple[str, str, str]) -> dict[str, int]:
    """Operations of the published verifier by item.

    Args:
        v: d_vocab.
        k: sequence length.
        d: d_model and d_head.
        composition: the published words for the direct path, attention, and attention error.
    """
    s = Sizes(v, k, d)
    direct, attention, error = composition
    return {
        **_tables(s),
        "attention error": _attention_error(s, error),
        **_extremes(s),
        "direct path": _direct(s, direct),
        **_largest_wrong_logit(s, averaged=attention != DROP),
    }
