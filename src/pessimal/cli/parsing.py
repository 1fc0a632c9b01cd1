"""Words of a command line to a command, every misunderstanding in one sentence.

What tyro says fills a box; here a word that no command has is named, with what may have been meant, before tyro sees
it, and of what tyro then refuses its own sentence is kept.

Contents:
    parse — words to a command, or a request for help or the version.
    Parsed — what was asked.
    UsageError — the command line is not understood; one sentence.
    Flag, flags_of — the flags of a command.
    positionals — the words of a command line that belong to no flag.
"""

import re
import types
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from inspect import getdoc
from io import StringIO
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from pessimal.cli.help import COMMANDS, EXAMPLES, help_of, root_help, version_record, version_text
from pessimal.cli.train_modular import TrainModular
from pessimal.proving.suggestions import did_you_mean
from pessimal.spec.tasks import ModularAddition

CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.PositionalMetavarFromFieldName)
HELP = ("-h", "--help")
VERSION = ("-V", "--version")
# Of a complaint of tyro: lines of its frame, and how much of one is said again.
FRAME = re.compile("[─-]{3}")
MAX_COMPLAINT = 400
MAX_WORD = 60


class UsageError(ValueError):
    """The command line is not understood; one sentence."""


@dataclass(frozen=True)
class Parsed:
    """What was asked.

    Attributes:
        command: to be run, or None.
        text: to be printed instead.
        record: the same for `--json`, where it has one.
    """

    command: Any = None
    text: str = ""
    record: dict[str, str] | None = None


@dataclass(frozen=True)
class Flag:
    """A flag of a command.

    Attributes:
        takes: how many words follow it: 0, 1, or None for any number.
        required: whether it must be given.
        choices: the words it takes, where they are few.
        number: what kind of number it takes, if one.
    """

    takes: int | None
    required: bool
    choices: tuple[str, ...]
    number: type[int] | type[float] | None


def parse(words: Sequence[str]) -> Parsed:
    """Words to what was asked.

    Raises:
        UsageError: one sentence.
    """
    leading = 0
    while leading < len(words) and words[leading] == "--json":
        leading += 1
    words = [*words[leading:], *words[:leading]]
    first = words[0] if words and not words[0].startswith("--json") else ""
    if first.startswith("--tyro-"):
        return _completion(words)
    if first in VERSION or first == "version":
        return Parsed(text=version_text(), record=version_record())
    if first in HELP or (first == "help" and len(words) == 1):
        return Parsed(text=root_help())
    if first == "help":
        return parse([words[1], *words[2:], "--help"])
    if first in COMMANDS:
        return _command(first, words[1:])
    listed = f"the commands are {', '.join(COMMANDS)}; `pessimal --help` says what each does"
    if not first:
        raise UsageError(f"no command is given; {listed}")
    if first.startswith("-"):
        raise UsageError(
            f"there is no option {first[:MAX_WORD]}{did_you_mean(first, (*HELP, *VERSION))} before a command; {listed}"
        )
    raise UsageError(f"there is no command {first[:MAX_WORD]!r}{did_you_mean(first, COMMANDS)}; {listed}")


def _command(name: str, words: list[str]) -> Parsed:
    """A command with its words."""
    kind, called = COMMANDS[name], name
    if name == "train" and words and words[0].replace("_", "-") == ModularAddition.name:
        kind, called, words = TrainModular, f"{name} {ModularAddition.name}", words[1:]
    if any(word in HELP for word in words):
        return Parsed(text=help_of(called, lambda: _tyro(kind, called, ["--help"])))
    flags = flags_of(kind)
    words = [word for word in words if word != "--"]
    _require_known(called, words, flags)
    words = _with_weights(words, flags, len(_places(kind)))
    _require_complete(called, kind, words, flags)
    said = StringIO()
    try:
        with redirect_stderr(said):
            return Parsed(command=_tyro(kind, called, words))
    except SystemExit:
        raise UsageError(f"{called}: {_complaint(said.getvalue())}; see `pessimal {called} --help`") from None


def _tyro(kind: type, called: str, words: list[str]) -> Any:
    return tyro.cli(kind, prog=f"pessimal {called}", description=getdoc(kind), args=words, config=CONFIG)


def _completion(words: list[str]) -> Parsed:
    """What tyro writes for the shell: it wants all commands at once."""
    union: Any = Union[tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in COMMANDS.items())]  # noqa: UP007
    out, err = StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            tyro.cli(union, prog="pessimal", args=words, config=(*CONFIG, tyro.conf.CascadeSubcommandArgs))
    except SystemExit as stop:
        if stop.code:
            raise UsageError(_complaint(err.getvalue())) from None
    return Parsed(text=out.getvalue().rstrip("\n"))


def flags_of(kind: type) -> dict[str, Flag]:
    """The flags of a command, those of its groups among them."""
    found: dict[str, Flag] = {}
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint = hints[field.name]
        plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        if is_dataclass(plain):
            found |= flags_of(plain)
        elif not _is_positional(hint):
            required = field.default is MISSING and field.default_factory is MISSING
            found[f"--{field.name.replace('_', '-')}"] = Flag(
                _takes(plain, hint), required, _choices(plain), _number(plain, hint)
            )
    return found


def _is_positional(hint: Any) -> bool:
    marker = get_args(tyro.conf.Positional[int])[1]
    return get_origin(hint) is Annotated and marker in get_args(hint)[1:]


def _takes(plain: Any, hint: Any) -> int | None:
    """How many words follow a flag of this type."""
    if plain is bool:
        return 0
    repeated = get_args(tyro.conf.UseAppendAction[int])[1]
    if get_origin(plain) is tuple and not (get_origin(hint) is Annotated and repeated in get_args(hint)[1:]):
        return None
    return 1


def _choices(plain: Any) -> tuple[str, ...]:
    """The words of a type that has few, or of its part beside None."""
    if get_origin(plain) in {Union, types.UnionType}:
        return tuple(word for part in get_args(plain) for word in _choices(part))
    return get_args(plain) if get_origin(plain) is Literal else ()


def _number(plain: Any, hint: Any) -> type[int] | type[float] | None:
    """The kind of number of a type or of its part beside None; none of types that read their words themselves."""
    parts = get_args(plain) if get_origin(plain) in {Union, types.UnionType} else (plain,)
    own = get_origin(hint) is Annotated and any(isinstance(one, PrimitiveConstructorSpec) for one in get_args(hint))
    return None if own else int if int in parts else float if float in parts else None


def _read(words: Sequence[str], flags: dict[str, Flag]) -> Iterator[tuple[str, list[str]]]:
    """Every flag with the words after it; a word that belongs to none, with an empty name."""
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        name, equals, value = word.partition("=")
        if not re.match(r"--?[A-Za-z]", word):
            yield "", [word]
            continue
        flag = flags.get(name.replace("_", "-"))
        taken = [value] if equals else []
        room = 0 if flag is None or equals else len(words) if flag.takes is None else flag.takes
        while len(taken) < room and place < len(words) and not re.match(r"--?[A-Za-z]", words[place]):
            taken.append(words[place])
            place += 1
        yield name.replace("_", "-"), taken


def _places(kind: type) -> list[Field[Any]]:
    """The fields of a command that are named by their place."""
    hints = get_type_hints(kind, include_extras=True)
    return [one for one in fields(kind) if _is_positional(hints[one.name])]


def positionals(words: Sequence[str], flags: dict[str, Flag]) -> list[str]:
    """The words that belong to no flag."""
    return [taken[0] for name, taken in _read(words, flags) if not name]


def _require_known(called: str, words: Sequence[str], flags: dict[str, Flag]) -> None:
    """Refuse flags that the command does not have, that lack a value, or whose value is none of their few words."""
    for name, taken in _read(words, flags):
        if not name:
            continue
        flag = flags.get(name)
        if flag is None:
            others = [other for other in COMMANDS if other != called and name in flags_of(COMMANDS[other])]
            elsewhere = f"; {' and '.join(others[:2])} {'have' if others[1:] else 'has'} it" if others else ""
            hint = did_you_mean(name, flags)
            raise UsageError(
                f"{called} has no option {name[:MAX_WORD]}{hint or elsewhere}; see `pessimal {called} --help`"
            )
        if flag.takes == 0 and taken:
            raise UsageError(f"{called}: {name} takes no value, and {taken[0][:MAX_WORD]!r} is given")
        if flag.takes != 0 and not taken:
            raise UsageError(f"{called}: {name} needs a value; see `pessimal {called} --help`")
        if flag.choices and taken[0] not in flag.choices:
            listed = ", ".join(flag.choices)
            hint = did_you_mean(taken[0], flag.choices)
            raise UsageError(f"{called}: {name} {taken[0][:MAX_WORD]!r} is not one of {listed}{hint}")
        if flag.number is not None and not _is_number(taken[0], flag.number):
            kind = "whole number" if flag.number is int else "number"
            raise UsageError(f"{called}: {name} {taken[0][:MAX_WORD]!r} is not a {kind}")


def _is_number(word: str, kind: type[int] | type[float]) -> bool:
    try:
        kind(word)
    except ValueError:
        return False
    return True


def _with_weights(words: list[str], flags: dict[str, Flag], count: int) -> list[str]:
    """`check a.cert w.safetensors`: the last word is the weights file where no flag names it."""
    flag = flags.get("--weights")
    given = any(name == "--weights" for name, _ in _read(words, flags))
    loose = positionals(words, flags)
    if flag is None or not flag.required or given or len(loose) != count + 1:
        return words
    last = len(words) - 1 - words[::-1].index(loose[-1])
    return [*words[:last], *words[last + 1 :], "--weights", loose[-1]]


def _require_complete(called: str, kind: type, words: Sequence[str], flags: dict[str, Flag]) -> None:
    """Refuse a command line that lacks a word or a flag, or has a word too many."""
    places = _places(kind)
    needed = [one.name for one in places if one.default is MISSING]
    loose = positionals(words, flags)
    example = f"; for example: {EXAMPLES[called][0]}"
    if len(loose) > len(places):
        wanted = " and ".join(one.name.upper() for one in places) or "no words without a flag"
        raise UsageError(f"{called} takes {wanted}, and {loose[-1][:MAX_WORD]!r} is one too many{example}")
    for one, word in zip(places, loose, strict=False):
        choices = _choices(get_args(get_type_hints(kind, include_extras=True)[one.name])[0])
        if choices and word not in choices:
            listed = f"{', '.join(choices)}{did_you_mean(word, choices)}"
            raise UsageError(f"{called}: {one.name.upper()} {word[:MAX_WORD]!r} is not one of {listed}{example}")
    given = {name for name, _ in _read(words, flags)}
    missing = [name.upper() for name in needed[len(loose) :]]
    missing += [name for name, flag in flags.items() if flag.required and name not in given]
    if missing:
        raise UsageError(f"{called}: {' and '.join(missing)} {'are' if missing[1:] else 'is'} missing{example}")


def _complaint(box: str) -> str:
    """What tyro says of words that are no command's, in one line without its frame."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()
    # Where lines cannot be drawn, the title stands above a row of dashes.
    lines = lines[1:] if len(lines) > 1 and FRAME.search(lines[1]) else lines
    inner = (re.sub(r"^\W*[│|+] ?|[│|+]\s*$", "", line).strip() for line in lines if not FRAME.search(line))
    words = re.split("Argument helptext|For full helptext|Perhaps you meant", " ".join(filter(None, inner)))[0].strip()
    return words[:MAX_COMPLAINT].removeprefix("Error parsing ") or "the command line is not understood"
