"""Logits in integers: what a sequence brings is stated here outright, exactly, beyond what was promised, or lost."""

from fractions import Fraction

import numpy as np
import pytest

from pessimal.kernel.arithmetic.float64 import Float64Enclosure
from pessimal.kernel.model.logits import AbstractSums, Logits


def exact(numbers) -> Float64Enclosure:
    array = np.array(numbers, dtype=np.float64)
    return Float64Enclosure(array, array)


class Stated(AbstractSums):
    """Sequence t is row t of the skip and of the pre-activations; both are exact."""

    def __init__(self, skip, pre=None, out=None, reaches=None):
        self.skip, self.pre = np.array(skip, dtype=np.float64), None if pre is None else np.array(pre, dtype=np.float64)
        self.out = None if out is None else exact(out)
        largest = (0.0 if pre is None else float(np.abs(self.pre).max()), float(np.abs(self.skip).max()))
        self.stated = largest if reaches is None else reaches

    def reaches(self):
        return self.stated

    def sums(self, tokens):
        rows = tokens[:, 0]
        return None if self.pre is None else exact(self.pre[rows]), exact(self.skip[rows])


def verdicts(source: Stated, target: int = 0):
    """Right and wrong of every sequence, as lists."""
    n = len(source.skip)
    with np.errstate(all="ignore"):
        found = Logits(source).verdicts(np.arange(n).reshape(-1, 1), np.full(n, target))
    return tuple(one.tolist() for one in found)


def test_an_exact_tie_is_wrong_and_the_largest_alone_is_right():
    """Whole numbers have no rounding to hide behind."""
    skip = [[3, 3, 1], [3, 2, 1], [2, 3, 1], [3, 1, 3], [-1, -2, -3]]
    assert verdicts(Stated(skip)) == ([False, True, False, False, True], [True, False, True, True, False])


def test_the_mlp_adds_to_the_skip():
    """ReLU(-1) writes nothing; ReLU(1) writes (0, 2) on (1, 0) and on (2, 0), a tie."""
    source = Stated([[1, 0], [1, 0], [2, 0], [4, 0]], pre=[[-1], [1], [1], [1]], out=[[0, 2]])
    assert verdicts(source) == ([True, False, False, True], [False, True, True, False])


@pytest.mark.parametrize("reaches", [(0.5, 1e6), (4.0, 1e5)])
def test_numbers_beyond_what_was_promised_decide_nothing(reaches):
    """Sums are compared with the reach they were given a place for; the others keep their verdicts."""
    skip, pre = [[3, 1], [2e9, 1], [1, 3], [1, 2e9]], [[0.25], [0.25], [4.0 * 64], [0.25]]
    right, wrong = verdicts(Stated(skip, pre=pre, out=[[1, 1]], reaches=reaches))
    assert (right[0], wrong[0]) == (True, False)
    assert right[1:] == [False] * 3
    assert wrong[1:] == [False] * 3


@pytest.mark.parametrize("lost", [np.inf, -np.inf, np.nan])
def test_a_lost_output_map_decides_nothing(lost):
    """One entry that is not finite, among finite ones."""
    right, wrong = verdicts(Stated([[5, 0]], pre=[[0.0, 0.0]], out=[[1, 1], [1, lost]]))
    assert right == wrong == [False]
    assert verdicts(Stated([[5, 0]], pre=[[0.0, 0.0]], out=[[1, 1], [1, 1]])) == ([True], [False])


def test_what_the_common_scale_cuts_off_is_rounded_outward():
    """The MLP adds less than one unit: the lower end leaves it out, the upper end counts it as one."""
    logits = Logits(Stated([[2.0**40]], pre=[[2.0**-21]], out=[[1]], reaches=(1.0, 2.0**40)))
    (((lo,),), ((hi,),)), unit = logits(np.zeros((1, 1), dtype=np.int64)), Fraction(2) ** logits.exponent
    truth = Fraction(2) ** 40 + Fraction(2) ** -21
    assert unit > Fraction(2) ** -21
    assert int(lo) * unit < truth < int(hi) * unit


def test_an_infinity_within_an_infinite_limit_decides_nothing():
    """A model with one output is right wherever its numbers are known, and nowhere else."""
    lost, known = ({"pre": [[2.0**-21]] * 2, "out": [[1]], "reaches": (1.0, reach)} for reach in (2.0**1022, 2.0**40))
    assert verdicts(Stated([[np.inf]] * 2, **lost)) == ([False] * 2, [False] * 2)
    assert verdicts(Stated([[2.0**40]] * 2, **known))[0] == [True, True]
