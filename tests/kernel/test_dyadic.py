"""Exact matrices against fractions, over Python's integers and FLINT's."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.arithmetic.dyadic import DyadicMatrix, split_floats
from support.oracle import fractions
from support.sampling import examples

BOTH = sorted(ARITHMETICS)


def value(matrix: DyadicMatrix) -> np.ndarray:
    out = np.empty(matrix.shape, dtype=object)
    out.flat = [Fraction(int(n)) * Fraction(2) ** matrix.exponent for n in matrix.numbers.ravel()]
    return out


def array(rows: int, cols: int, seed: int, dtype: type, spread: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = np.ldexp(rng.normal(size=(rows, cols)), rng.integers(-spread, spread + 1, (rows, cols))).astype(dtype)
    out[rng.integers(0, 4, (rows, cols)) == 0] = 0
    return out


@pytest.mark.parametrize("arithmetic", BOTH)
@settings(max_examples=examples(60))
@given(
    st.integers(0, 2**32 - 1), st.sampled_from((np.float32, np.float64)), st.sampled_from((0, 3, 30)),
    st.sampled_from((0, 3, 30)),
)  # fmt: skip
def test_exact_operations_equal_fractions(arithmetic, seed, dtype, left_spread, right_spread):
    """+ - @, row scaling, transposes, row maxima and columns side by side equal the same in fractions."""
    make = ARITHMETICS[arithmetic]().matrix
    a, b, c = (
        array(3, 5, seed, dtype, left_spread),
        array(3, 5, seed + 1, dtype, right_spread),
        array(5, 2, seed + 2, dtype, 7),
    )
    x, y, z = make(a), make(b), make(c)
    fa, fb, fc = fractions(a), fractions(b), fractions(c)
    assert (value(x) == fa).all()
    assert (value(x + y) == fa + fb).all()
    assert (value(x - y) == fa - fb).all()
    assert (value(x + y[1:2]) == fa + fb[1:2]).all()
    assert (value(x @ z) == fa @ fc).all()
    assert (value(x.transpose()) == fa.T).all()
    assert (value(x.scale_rows(y.transpose()[0])) == fa * fb[:, :1]).all()
    assert (value(x.below_maximum()) == fa - fa.max(axis=1, keepdims=True)).all()
    assert (value(x.beside(y)) == np.concatenate([fa, fb], axis=1)).all()
    assert x.is_constant() == (len(set(fa.ravel().tolist())) == 1)


@pytest.mark.parametrize("arithmetic", BOTH)
def test_a_row_less_its_maximum_has_a_zero_and_nothing_above(arithmetic):
    """Scores are shifted so that exp never overflows."""
    x = value(ARITHMETICS[arithmetic]().matrix(array(4, 7, 5, np.float32, 9)).below_maximum())
    assert (x.max(axis=1) == 0).all()


@pytest.mark.parametrize("arithmetic", BOTH)
def test_constants_are_recognised_exactly(arithmetic):
    """Equal entries are constant; one bit of difference is not."""
    arith = ARITHMETICS[arithmetic]()
    same = np.full((1, 5), 0.1, dtype=np.float64)
    assert arith.matrix(same).is_constant()
    same[0, 4] = np.nextafter(0.1, 1)
    assert not arith.matrix(same).is_constant()
    assert arith.integers(np.zeros((1, 3), dtype=np.int64)).is_constant()
    assert arith.matrix(np.full((1, 1), 0.1)).is_constant()


@pytest.mark.parametrize("arithmetic", BOTH)
def test_integers_are_exact(arithmetic):
    """int64 extremes and a product of them."""
    n = np.array([[2**63 - 1, -(2**63)], [3, -7]], dtype=np.int64)
    x = ARITHMETICS[arithmetic]().integers(n)
    assert (value(x) == n.astype(object)).all()
    assert (value(x @ x) == n.astype(object) @ n.astype(object)).all()


@settings(max_examples=examples(200))
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_any_float64_splits_exactly(values):
    """n * 2**e equals the stored value, subnormals and the largest included."""
    numbers, exponent = split_floats(np.array(values))
    assert [Fraction(n) * Fraction(2) ** exponent for n in numbers.tolist()] == [Fraction(v) for v in values]


@settings(max_examples=examples(200))
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=5))
def test_any_float32_splits_exactly(values):
    """The same for float32."""
    numbers, exponent = split_floats(np.array(values, dtype=np.float32))
    assert [Fraction(n) * Fraction(2) ** exponent for n in numbers.tolist()] == [Fraction(v) for v in values]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_floats_do_not_split(bad):
    """NaN and infinity have no integer form."""
    with pytest.raises(ValueError, match="no exact integer form"):
        split_floats(np.array([1.0, bad]))
