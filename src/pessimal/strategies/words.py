"""Strategies as people write them: a name and NAME=VALUE words.

Contents:
    read_budget — a number of flops, plain or as a power.
    make_strategy — a strategy from its name and options.
"""

import re
from collections.abc import Sequence
from typing import get_args, get_type_hints

from pessimal.strategies import STRATEGIES, AbstractStrategy, StrategyError, known_strategies


def read_budget(text: str) -> int:
    """A number of flops, plain or as a power."""
    found = re.fullmatch(r"([0-9]{1,18})(?:\^([0-9]{1,2})(\.[0-9]{1,3})?)?", text)
    if found is None:
        raise StrategyError(f"budget {text!r} is not a number of flops such as 1048576, 2^20 or 2^20.5")
    base, whole, part = int(found[1]), int(found[2] or 1), float(found[3] or 0)
    return int(base**whole * base**part) if part else base**whole


def make_strategy(name: str, options: Sequence[str], budget: int | None = None) -> AbstractStrategy:
    """A strategy from its name and NAME=VALUE words; the messages list what is valid."""
    kind = STRATEGIES.get(name.lower())
    if kind is None:
        raise StrategyError(f"unknown strategy {name!r}; known: {known_strategies()}")
    valid = kind.option_names()
    values: dict[str, int | float | str] = {}
    for word in options:
        key, equals, value = word.partition("=")
        if not equals or key not in valid:
            known = ", ".join(valid) or "none"
            raise StrategyError(f"strategy {name} has no option {key!r}; its options: {known}")
        hint = get_type_hints(kind)[key]
        values[key] = read_budget(value) if key == "budget" else _read(key, value, {hint, *get_args(hint)})
    if budget is not None and "budget" in valid:
        values["budget"] = budget
    return kind(**values)


def _read(key: str, text: str, kinds: set[object]) -> int | float | str:
    """A value of the option's type."""
    if int in kinds:
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise StrategyError(f"option {key}={text!r} is not a number")
        return int(text)
    if float not in kinds:
        return text
    try:
        return float(text)
    except ValueError:
        raise StrategyError(f"option {key}={text!r} is not a number") from None
