"""Kinds of fields of commands: how their help names them, and how their words are read.

Help names a value by what to write (TEXT, FILE, COUNT), says a default once and only where there is one.

Contents:
    OPTIONAL — marks a field whose help says what happens without it.
    choice — the same of a field that takes one of a few words.
    Word, Listed — a text with a default, which help names or not.
    Text, File, Folder, Number, Real — a value that may be left out.
    Count — a whole number as people write it: 1000000, 1e6, 2^20.
    shown_count — a number as help shows it.
    Switch — a flag without a value.
    Texts, Files, Words — a flag that may be repeated, or takes several values.
"""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from pessimal.proving.words import read_count

# The least exponent that is easier to read than the number.
POWER = 20


def shown_count(number: int) -> str:
    """A number as help shows it: a power of two as such."""
    exponent = number.bit_length() - 1
    return f"2^{exponent}" if exponent >= POWER and number == 1 << exponent else str(number)


def choice(*words: str) -> object:
    """Marks a field that takes one of a few words, or nothing: help lists the words alone."""
    return tyro.conf.arg(metavar="{" + ",".join(words) + "}", help_behavior_hint="")


OPTIONAL = tyro.conf.arg(help_behavior_hint="")
Word = Annotated[str, tyro.conf.arg(metavar="TEXT")]
Listed = Annotated[str, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")]
Text = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")]
Number = Annotated[int | None, tyro.conf.arg(metavar="NUMBER", help_behavior_hint="")]
Real = Annotated[float | None, tyro.conf.arg(metavar="NUMBER", help_behavior_hint="")]
Switch = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")]
Count = Annotated[
    int,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="COUNT",
        instance_from_str=lambda words: read_count(words[0]),
        is_instance=lambda found: isinstance(found, int),
        str_from_instance=lambda number: [shown_count(number)],
    ),
    # tyro puts quotes around a power, as a shell would need.
    tyro.conf.arg(help_behavior_hint=lambda number: f"(default: {number.strip(chr(39))})"),
]
Texts = tyro.conf.UseAppendAction[
    Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE", help_behavior_hint="")]
]
Files = tyro.conf.UseAppendAction[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE", help_behavior_hint="")]]
Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="COUNT [COUNT ...]", help_behavior_hint="")]
