"""The float environment is tested in this process by changing the processor's control word: no compiler is needed."""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pessimal.kernel.check import require_sound_floats
from pessimal.kernel.rejection import Reason, Rejected

FLUSH_RESULTS, FLUSH_OPERANDS = 0x8000, 0x0040
DOWNWARD, UPWARD, TOWARDS_ZERO = 0x2000, 0x4000, 0x6000


@contextmanager
def control_word(bits: int) -> Iterator[None]:
    """These bits set in MXCSR, which is the last word of glibc's `fenv_t`."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("needs Linux on x86-64")
    libm = ctypes.CDLL("libm.so.6")
    before, during = (ctypes.c_uint32 * 8)(), (ctypes.c_uint32 * 8)()
    libm.fegetenv(before)
    libm.fegetenv(during)
    during[7] |= bits
    libm.fesetenv(during)
    try:
        yield
    finally:
        libm.fesetenv(before)


def refusal(call: Callable[[], None]) -> Reason | None:
    try:
        call()
    except Rejected as rejected:
        return rejected.reason
    return None


@pytest.mark.parametrize("bits", [FLUSH_RESULTS, FLUSH_OPERANDS, FLUSH_RESULTS | FLUSH_OPERANDS])
def test_flushing_of_subnormals_is_refused(bits):
    """Results, operands or both flushed to zero: arithmetic-environment."""
    with control_word(bits):
        found = refusal(require_sound_floats)
    assert found is Reason.ARITHMETIC_ENVIRONMENT


@pytest.mark.parametrize("bits", [DOWNWARD, UPWARD, TOWARDS_ZERO])
def test_every_directed_rounding_is_refused(bits):
    """Downward, upward and towards zero: arithmetic-environment."""
    with control_word(bits):
        found = refusal(require_sound_floats)
    assert found is Reason.ARITHMETIC_ENVIRONMENT


def test_rounding_to_nearest_with_subnormals_is_accepted():
    """The environment of this process, and the same one set by hand."""
    require_sound_floats()
    with control_word(0):
        found = refusal(require_sound_floats)
    assert found is None
