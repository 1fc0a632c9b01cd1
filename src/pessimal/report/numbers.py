"""Numbers as text: every way to round, by what the number is. A bound never goes to nearest.

`scripts/house_rules.py` forbids rounding formats everywhere else, so that whoever prints a number says what it is.

Contents:
    down — a lower bound.
    up, up_significant — an upper bound.
    nearest — what is no bound: a measurement, an estimate, a difference, a coordinate.
"""

from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from math import ceil, floor


def down(value: Fraction | float, digits: int = 4) -> str:
    """The largest decimal of so many digits that is not above a value; exact for a float too."""
    return _decimal(floor(Fraction(value) * 10**digits), digits)


def up(value: Fraction | float, digits: int = 4) -> str:
    """The smallest decimal of so many digits that is not below a value."""
    return _decimal(ceil(Fraction(value) * 10**digits), digits)


def up_significant(value: float, digits: int = 4) -> str:
    """The smallest decimal of so many significant digits that is not below a value."""
    rounded = Context(prec=digits, rounding=ROUND_CEILING).plus(Decimal(value))
    return format(rounded.normalize(), "g" if 1e-4 <= abs(rounded) < 1e4 or not rounded else "e")


def nearest(value: float, form: str) -> str:
    """What is no bound, as `format` rounds it."""
    return format(value, form)


def _decimal(scaled: int, digits: int) -> str:
    sign, whole = "-" if scaled < 0 else "", abs(scaled)
    return f"{sign}{whole // 10**digits}.{whole % 10**digits:0{digits}d}"
