"""Positions grouped by how alike they are.

Contents:
    contiguous_classes — groups of neighbours along a line.
"""

import numpy as np
from jaxtyping import Float, Int


def contiguous_classes(values: Float[np.ndarray, " n"], number: int) -> Int[np.ndarray, " n"]:
    """Class of every value, largest values first: `number` runs of the sorted values, least total of size times range.

    Exact, by dynamic programming. Cost: n^2 * number.
    """
    order = np.argsort(values, kind="stable")
    line = values[order]
    n = line.size
    cost = np.full((number + 1, n + 1), np.inf)
    cut = np.zeros((number + 1, n + 1), dtype=np.int64)
    cost[0, 0] = 0.0
    for c in range(1, number + 1):
        for end in range(c, n + 1):
            start = np.arange(c - 1, end)
            total = cost[c - 1, start] + (end - start) * (line[end - 1] - line[start])
            cut[c, end] = start[np.argmin(total)]
            cost[c, end] = total.min()
    classes, end = np.zeros(n, dtype=np.int64), n
    for c in range(number, 0, -1):
        begin = int(cut[c, end])
        classes[order[begin:end]] = number - c
        end = begin
    return classes
