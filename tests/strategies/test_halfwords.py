"""Small numbers of hints, four to a word."""

import numpy as np
import pytest

from pessimal.kernel.hints import Hints
from pessimal.search.halfwords import pack_halfwords


@pytest.mark.parametrize("shape", [(0,), (1,), (4,), (5,), (2, 3), (3, 7, 2)])
def test_what_is_packed_is_what_the_checker_reads(shape):
    numbers = np.random.default_rng(0).integers(0, 2**16, shape)
    packed = pack_halfwords(numbers)
    assert packed.shape == (max(1, -(-numbers.size // 4)),)
    assert Hints({}, {"a": packed}).halfwords("a", shape).tolist() == numbers.tolist()


def test_the_largest_numbers_fill_the_sign():
    assert pack_halfwords(np.full(4, 2**16 - 1)).tolist() == [-1]
