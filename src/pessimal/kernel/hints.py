"""Hints: options and arrays that nobody believes, read into typed numbers.

Contents:
    Hints — the options and arrays of a certificate.
    Dyadics — exact numbers as mantissas and exponents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.rejection import Reason, Rejected

MAX_MANTISSA = 2**53
MAX_EXPONENT = 1000


@dataclass(frozen=True, eq=False)
class Dyadics:
    """An array of numbers m * 2**e, |m| <= 2**53, |e| <= 1000."""

    mantissa: Int[np.ndarray, "..."]
    exponent: Int[np.ndarray, "..."]

    def __getitem__(self, key: Any) -> "Dyadics":
        """Numbers by an index or a slice, as NumPy takes them."""
        return Dyadics(self.mantissa[key], self.exponent[key])

    def __neg__(self) -> "Dyadics":
        """The numbers with the other sign."""
        return Dyadics(-self.mantissa, self.exponent)

    def enclosed(self, arith: AbstractArithmetic) -> AbstractEnclosure:
        """The numbers as enclosures, of the same shape."""
        return arith.dyadic(self.mantissa.ravel(), self.exponent.ravel()).reshape(*self.mantissa.shape)

    def require_not_negative(self, name: str) -> "Dyadics":
        """Raise `Rejected(bad-hint)` if one is negative."""
        if self.mantissa.min() < 0:
            raise Rejected(Reason.BAD_HINT, f"a {name} is negative")
        return self


@dataclass(frozen=True)
class Hints:
    """Untrusted advice: the options and arrays of a certificate.

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

    def dyadics(self, name: str, shape: tuple[int, ...]) -> Dyadics:
        """Numbers of a given shape from the arrays `name_mantissa` and `name_exponent`."""
        mantissa, exponent = (self.integers(f"{name}_{part}", shape) for part in ("mantissa", "exponent"))
        for part, numbers, most in (("mantissa", mantissa, MAX_MANTISSA), ("exponent", exponent, MAX_EXPONENT)):
            if numbers.min() < -most or numbers.max() > most:
                raise Rejected(Reason.BAD_HINT, f"array {name}_{part} must be at most {most} in absolute value")
        return Dyadics(mantissa, exponent)

    def halfwords(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers 0 .. 2**16 - 1 of a given shape, four to an int64, the first in the lowest 16 bits, zeros at the end.

        Whatever the bits say is a number; only the length and the padding can be wrong.
        """
        count = prod(shape)
        packed = self.integers(name, (max(1, -(-count // 4)),))
        numbers = packed.astype("<i8").view("<u2").astype(np.int64)
        if numbers[count:].any():
            raise Rejected(Reason.BAD_HINT, f"array {name} has bits after its last number")
        return numbers[:count].reshape(shape)

    def only(self, options: set[str], arrays: set[str]) -> None:
        """Refuse hints that the rule does not read."""
        if set(self.options) != options or set(self.arrays) != arrays:
            names = ", ".join(sorted(options | arrays)) or "none"
            raise Rejected(Reason.BAD_HINT, f"the rule reads exactly these hints: {names}")
