"""Arrays of hints: four numbers to a word, floats of one shape, and nothing else."""

import numpy as np
import pytest

from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected


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
