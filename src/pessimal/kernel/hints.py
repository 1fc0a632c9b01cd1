"""Hints: options and arrays that nobody believes, read into typed numbers.

Contents:
    Hints — the options and arrays of a certificate.
    dyadics — mantissas and exponents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from pessimal.kernel.rejection import Reason, Rejected


@dataclass(frozen=True)
class Hints:
    """Untrusted advice.

    Attributes:
        options: small named integers and words.
        arrays: named int64 or float64 arrays.
    """

    options: Mapping[str, int | str] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def word(self, name: str, allowed: tuple[str, ...]) -> str:
        """An option that must be one of some words."""
        value = self.options.get(name)
        if not isinstance(value, str) or value not in allowed:
            raise Rejected(Reason.BAD_HINT, f"option {name} must be one of {', '.join(allowed)}")
        return value

    def number(self, name: str, low: int, high: int) -> int:
        """An option that must be an integer in a range."""
        value = self.options.get(name)
        if type(value) is not int or not low <= value <= high:
            raise Rejected(Reason.BAD_HINT, f"option {name} must be an integer from {low} to {high}")
        return value

    def integers(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """An int64 array of a given shape."""
        array = self.arrays.get(name)
        if array is None or array.dtype != np.int64 or array.shape != shape:
            raise Rejected(Reason.BAD_HINT, f"array {name} must be int64 of shape {list(shape)}")
        return array

    def floats(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A float64 array of a given shape, all entries finite."""
        array = self.arrays.get(name)
        if array is None or array.dtype != np.float64 or array.shape != shape:
            raise Rejected(Reason.BAD_HINT, f"array {name} must be float64 of shape {list(shape)}")
        if not np.isfinite(array).all():
            raise Rejected(Reason.BAD_HINT, f"array {name} has an entry that is not finite")
        return array

    def halfwords(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers 0 .. 2**16 - 1 of a given shape, four to an int64, the first in the lowest 16 bits, zeros at the end.

        Whatever the bits say is a number; only the length and the padding can be wrong.
        """
        count = prod(shape)
        packed = self.integers(name, (-(-count // 4),))
        numbers = packed.astype("<i8").view("<u2").astype(np.int64)
        if numbers[count:].any():
            raise Rejected(Reason.BAD_HINT, f"array {name} has bits after its last number")
        return numbers[:count].reshape(shape)

    def only(self, options: set[str], arrays: set[str]) -> None:
        """Refuse hints that the rule does not read."""
        if set(self.options) != options or set(self.arrays) != arrays:
            names = ", ".join(sorted(options | arrays)) or "none"
            raise Rejected(Reason.BAD_HINT, f"the rule reads exactly these hints: {names}")


MAX_MANTISSA = 2**53


MAX_EXPONENT = 1000


def dyadics(hints: Hints, names: tuple[str, str], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas and exponents of hinted numbers m * 2**e, |m| <= 2**53, |e| <= 1000."""
    mantissa, exponent = (hints.integers(name, shape) for name in names)
    if (
        mantissa.max() > MAX_MANTISSA
        or mantissa.min() < -MAX_MANTISSA
        or exponent.min() < -MAX_EXPONENT
        or exponent.max() > MAX_EXPONENT
    ):
        raise Rejected(Reason.BAD_HINT, f"{names[0]} at most 2**53, {names[1]} at most 1000, in absolute value")
    return mantissa, exponent
