"""docs/one-head.md: what a sum of one term per position cannot compute."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from pessimal.analysis.accuracy import forward
from support.models import Sizes, build, random_tensors

M, A, B, F, Q = range(5)
AFTER_A = ((M, A, F, B, Q), (F, B, M, A, Q))
AFTER_B = ((M, B, F, A, Q), (F, A, M, B, Q))


def held(sequences) -> Counter:
    """How often each position holds each token."""
    return Counter(place for one in sequences for place in enumerate(one))


def right(weights, tokens, targets) -> np.ndarray:
    """Which sequences a model gets right; ties count as wrong."""
    logits = forward(weights, np.array(tokens))
    mine = logits[np.arange(len(tokens)), targets]
    return (logits >= mine[:, np.newaxis]).sum(1) == 1


def after_marker(sequence) -> int:
    return sequence[sequence.index(M) + 1]


def test_the_four_marker_sequences_hold_the_same_tokens_at_every_position():
    """So every separable margin has the same sum over both pairs, and cannot be positive on one, negative on the other."""
    assert held(AFTER_A) == held(AFTER_B)
    assert [after_marker(s) for s in AFTER_A] == [A, A]
    assert [after_marker(s) for s in AFTER_B] == [B, B]


@pytest.mark.parametrize("k", [3, 4, 5])
def test_every_square_of_parity_exchanges_even_for_odd(k):
    """For any fixed rest, 00 + 11 and 01 + 10 hold the same bits at every position and have opposite parities."""
    for rest in product(range(2), repeat=k - 2):
        same, other = [(0, 0, *rest), (1, 1, *rest)], [(0, 1, *rest), (1, 0, *rest)]
        assert held(same) == held(other)
        assert {sum(s) % 2 for s in same} == {sum(rest) % 2}
        assert {sum(s) % 2 for s in other} == {1 - sum(rest) % 2}


def test_no_random_model_computes_more_than_three_quarters_of_parity():
    tokens = list(product(range(2), repeat=3))
    targets = np.array([sum(t) % 2 for t in tokens])
    counts = [right(build(random_tensors(Sizes(2, 3, 5, 7, 3), seed)), tokens, targets).sum() for seed in range(300)]
    assert max(counts) == 6


def test_no_random_model_is_right_on_all_four_marker_sequences():
    targets = np.array([A, A, B, B])
    for seed in range(300):
        weights = build(random_tensors(Sizes(5, 7, 11, 3, 5), seed))
        assert right(weights, [*AFTER_A, *AFTER_B], targets).sum() < 4
