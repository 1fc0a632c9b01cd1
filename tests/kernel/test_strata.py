"""Strata partition all sequences and boxes partition strata, by enumeration."""

from collections import Counter

import pytest

from oracle import sequences
from pessimal.kernel.rules.brute_force import boxes
from pessimal.kernel.strata import box_size, stratum_size

SIZES = [(v, k) for v in (1, 2, 3, 5) for k in (1, 2, 3, 4)]


@pytest.mark.parametrize(("v", "k"), SIZES)
def test_stratum_sizes_count_their_sequences(v, k):
    """stratum_size(k, q, y) = #{t : t_last = q, max t = y}, zero above the diagonal; they add up to v**k."""
    counted = Counter((t[-1], max(t)) for t in sequences(v, k))
    for q in range(v):
        for y in range(v):
            assert stratum_size(k, q, y) == counted[q, y]
    assert sum(stratum_size(k, q, y) for q in range(v) for y in range(q, v)) == v**k


@pytest.mark.parametrize(("v", "k"), [(v, k) for v, k in SIZES if k > 1])
def test_box_sizes_count_their_sequences(v, k):
    """box_size(k, j, y) = #sequences below whose first y stands at j, and boxes add up to their stratum."""
    for y in range(v):
        for q in range(y):
            for j in range(k - 1):
                inside = [t for t in sequences(v, k) if t[-1] == q and max(t) == y and t[:-1].index(y) == j]
                assert box_size(k, j, y) == len(inside)
            assert sum(box_size(k, j, y) for j in range(k - 1)) == stratum_size(k, q, y)


@pytest.mark.parametrize(("v", "k"), SIZES)
def test_boxes_visit_every_sequence_exactly_once(v, k):
    """The union of the boxes of all strata is the set of all sequences, without repetition."""
    seen: Counter[tuple[int, ...]] = Counter()
    for q in range(v):
        for y in range(q, v):
            for allowed in boxes(k, q, y):
                assert len(allowed) == k - 1
                found = [()]
                for tokens in allowed:
                    found = [(*t, x) for t in found for x in tokens.tolist()]
                for t in found:
                    assert max((*t, q)) == y
                    seen[(*t, q)] += 1
    assert seen == Counter(sequences(v, k))


def test_sizes_are_exact_far_beyond_64_bits():
    """Python integers: K = 100, v = 1,024."""
    k, v = 100, 1024
    assert (
        sum(stratum_size(k, q, y) for y in range(v) for q in (0, y))
        == sum(2 * (y + 1) ** (k - 1) - y ** (k - 1) for y in range(1, v)) + 2
    )
    assert stratum_size(k, 3, 2) == 0
