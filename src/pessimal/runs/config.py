"""Sweep configurations: strict TOML to a frozen dataclass, every complaint with its line.

Contents:
    SweepConfig — what to prove about which models.
    read_config — a file to a configuration.
    ConfigError — one sentence with file and line.
    Complaints — makes errors that name the line of a key.
    same_config — why results stored under `stored` cannot be continued with `config`, or None.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pessimal.proving.suggestions import did_you_mean
from pessimal.runs.inputs import TooLargeError, kind_of, read_text

FORMAT = "pessimal-sweep/1"


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class SweepConfig:
    """Every strategy on every model.

    Attributes:
        k: sequence length.
        d_vocab: vocabulary size.
        checkpoints: folder of `<stem>_seed<seed>.safetensors`, relative to the configuration file.
        stem: what file names begin with, such as `max4_v64`.
        seeds: seeds as `pessimal train` reads them.
        strategies: names, each with NAME=VALUE options after it if need be, such as `band budget=2^20`; `published`
            stands for the hundred sub-cubic ones.
        task: name of the task; empty for what each weights file states.
        options: options of the sub-cubic strategies.
        as_published: also compute the published number, which is not a proof.
        certificates: keep the certificate files.
    """

    k: int
    d_vocab: int
    checkpoints: str
    stem: str
    seeds: str
    strategies: list[str]
    task: str = ""
    options: dict[str, int | str] = field(default_factory=dict)
    as_published: bool = False
    certificates: bool = False

    def record(self) -> dict[str, Any]:
        """The configuration as it stands in a results folder."""
        record = asdict(self)
        # Folders of before there was a task go on as they are.
        return {"format": FORMAT, **(record if self.task else {k: v for k, v in record.items() if k != "task"})}


TYPES: dict[str, tuple[type, str]] = {
    "k": (int, "an integer"),
    "d_vocab": (int, "an integer"),
    "checkpoints": (str, "a string"),
    "stem": (str, "a string"),
    "seeds": (str, "a string"),
    "strategies": (list, "a list of strings"),
    "task": (str, "a string"),
    "options": (dict, "a table"),
    "as_published": (bool, "true or false"),
    "certificates": (bool, "true or false"),
}


def read_config(path: Path) -> SweepConfig:
    """Read a configuration.

    Raises:
        ConfigError: unreadable, not TOML, a missing, unknown or mistyped key.
    """
    try:
        text = read_text(path)
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path.name}: {error.strerror or 'cannot be read'}") from None
    except tomllib.TOMLDecodeError as error:
        kind = kind_of(path)
        raise ConfigError(f"{path.name}: {f'{kind}not a TOML file' if kind else f'not TOML: {error}'}") from None
    except (TooLargeError, UnicodeDecodeError, RecursionError):
        raise ConfigError(f"{path.name}: {kind_of(path)}not a TOML file") from None
    complain = Complaints(path.name, text)
    for key, value in values.items():
        if key not in TYPES:
            raise complain(key, f"unknown key {key!r}{did_you_mean(key, TYPES)}; known: {', '.join(TYPES)}")
        kind, words = TYPES[key]
        if type(value) is not kind or (kind is list and not all(type(item) is str for item in value)):
            raise complain(key, f"{key} must be {words}")
    for one in fields(SweepConfig):
        if one.name not in values and one.default is MISSING and one.default_factory is MISSING:
            raise ConfigError(f"{path.name}: the key {one.name} is missing")
    return SweepConfig(**values)


class Complaints:
    """Makes errors that name the line of a key."""

    def __init__(self, name: str, text: str) -> None:
        """`name` of the file and its text."""
        self.name = name
        self.lines = text.splitlines()

    def __call__(self, key: str, sentence: str) -> ConfigError:
        """The error for a key."""
        pattern = re.compile(rf'\s*(\[\s*)?["\']?{re.escape(key)}["\']?\s*[=\].]')
        for number, line in enumerate(self.lines, 1):
            if pattern.match(line):
                return ConfigError(f"{self.name} line {number}: {sentence}")
        return ConfigError(f"{self.name}: {sentence}")


def same_config(stored: Mapping[str, Any], config: SweepConfig) -> str | None:
    """Why results stored under `stored` cannot be continued with `config`, or None."""
    if stored.get("format") != FORMAT:
        return f"written in the format {stored.get('format')!r}; this version reads {FORMAT!r}"
    mine = config.record()
    different = [key for key in mine | dict(stored) if stored.get(key) != mine.get(key)]
    return f"made with other {', '.join(different)}" if different else None
