r"""Strata: the sequences with a given query token and a given largest token.

Stratum $(q, y)$, $q \le y$: last token $q$, largest token $y$. The strata are disjoint and cover all $v^K$ sequences.
If $q = y$ the $K-1$ other tokens are free in $0..y$. If $q < y$ at least one of them is $y$; let $j$ be the first:
tokens before $j$ lie in $0..y-1$, tokens after it in $0..y$, which splits the stratum into $K-1$ disjoint boxes.

Contents:
    stratum_size — number of sequences of a stratum.
    box_size — number of sequences of one box.
"""


def stratum_size(k: int, q: int, y: int) -> int:
    """$(y+1)^{K-1}$, less $y^{K-1}$ if q < y; zero if q > y. Exact, in sequences."""
    if q > y:
        return 0
    size = int((y + 1) ** (k - 1))
    return size if q == y else size - int(y ** (k - 1))


def box_size(k: int, j: int, y: int) -> int:
    """Sequences with q < y whose first y stands at position j: $y^j (y+1)^{K-2-j}$."""
    return int(y**j) * int((y + 1) ** (k - 2 - j))
