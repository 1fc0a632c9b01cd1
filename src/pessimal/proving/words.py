"""Strategies and numbers as people write them.

Contents:
    read_count — a whole number, plain, as a power or with an exponent.
    read_budget — a number of flops.
    make_strategy — a strategy from its name and NAME=VALUE words.
"""

import re
from collections.abc import Sequence
from typing import get_args, get_type_hints

from pessimal.proving.plugins import made, strategy_class
from pessimal.proving.registry import STRATEGIES
from pessimal.proving.suggestions import did_you_mean, unknown_strategy
from pessimal.strategies import AbstractStrategy, StrategyError

MAX_COUNT = 10**30


def read_count(text: str, what: str = "number") -> int:
    """A whole number, plain, in groups (1_000_000), as a power (2^20, 2**20, 2^20.5) or with an exponent (1e6).

    Raises:
        StrategyError: anything else, or no positive number of at most 10^30.
    """
    wrong = StrategyError(f"{what} {text[:40]!r} is not a whole number such as 1048576, 2^20, 2**20, 2^20.5 or 1e6")
    plain = text.strip().replace("_", "").replace("**", "^").lower()
    power = re.fullmatch(r"([0-9]{1,18})(?:\^([0-9]{1,2})(\.[0-9]{1,3})?)?", plain)
    scientific = re.fullmatch(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?e\+?([0-9]{1,2})", plain)
    if power is not None:
        base, whole, part = int(power[1]), int(power[2] or 1), float(power[3] or 0)
        found: int = base**whole
        if part:
            found = int(found * base**part) if found <= MAX_COUNT else found
    elif scientific is not None:
        digits, shift = scientific[1] + (scientific[2] or ""), int(scientific[3]) - len(scientific[2] or "")
        found, rest = divmod(int(digits) * 10 ** max(shift, 0), 10 ** max(-shift, 0))
        if rest:
            raise wrong
    else:
        raise wrong
    if found > MAX_COUNT:
        raise StrategyError(f"{what} {text[:40]!r} is above 10^30")
    return found


def read_budget(text: str) -> int:
    """A number of flops, at least one; see `read_count`."""
    budget = read_count(text, "budget")
    if budget < 1:
        raise StrategyError(f"budget {text[:40]!r}: no proof has no flops; give a number such as 1048576 or 2^20")
    return budget


def make_strategy(name: str, options: Sequence[str], budget: int | None = None) -> AbstractStrategy:
    """A strategy from its name and NAME=VALUE words; the messages say what is valid."""
    kind = strategy_class(name) or STRATEGIES.get(name.lower().replace("_", "-"))
    if kind is None:
        raise unknown_strategy(name)
    valid = kind.option_names()
    values: dict[str, int | float | str] = {}
    for word in options:
        key, equals, value = word.partition("=")
        if key not in valid:
            known = ", ".join(valid) or "none"
            raise StrategyError(
                f"strategy {name} has no option {key[:40]!r}{did_you_mean(key, valid)}; its options: {known}"
            )
        if not equals or not value:
            raise StrategyError(f"option {key} needs a value, as {key}=VALUE")
        kinds = get_type_hints(kind)[key]
        values[key] = read_budget(value) if key == "budget" else _read(key, value, {kinds, *get_args(kinds)})
    if budget is not None and "budget" in valid:
        values["budget"] = budget
    return made(kind, values, name)


def _read(key: str, text: str, kinds: set[object]) -> int | float | str:
    """A value of the option's type."""
    if int in kinds:
        return read_count(text, f"option {key}:")
    if float not in kinds:
        return text
    try:
        return float(text)
    except ValueError:
        raise StrategyError(f"option {key}={text!r} is not a number") from None
