"""Results as frozen dataclasses that are written to JSON and read back, strictly.

A field is a key of the object, under its own name unless its metadata say `named`; the keys of a field with the
metadata `INLINE`, itself a dataclass, stand among those of the object that holds it. Fields hold texts, booleans,
integers, floats, None, anything (`Any`, kept as it is), tuples (of one kind or of a fixed length), mappings with keys
that are texts or numbers, and other such dataclasses; of two dataclasses the keys of an object decide which one it is.
Numbers keep their kind: 1 is no float and 1.0 no integer, so that what is read and written again has the same bytes.

Contents:
    Rows — a base for results: `record` and `read`.
    named — metadata of a field under another key.
    INLINE — metadata of a field whose keys stand beside the others; None where they are all absent.
    RecordError — an object that is no such record.
    record_of — a dataclass as a JSON object.
    read_as — a JSON object as a dataclass, or a sentence that says what is wrong with it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Read = TypeVar("Read")
KEY, BESIDE = "key", "beside"
INLINE = {BESIDE: True}


class RecordError(ValueError):
    """A JSON object is no record of the kind that was asked for; the message says where and why."""


@dataclass(frozen=True)
class Rows:
    """Results of a reproduction, or a part of them."""

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        record: dict[str, Any] = record_of(self)
        return record

    @classmethod
    def read(cls: type[Read], record: Any, where: str = "results") -> Read:
        """What `record` wrote.

        Args:
            record: a JSON object.
            where: its name in messages.

        Raises:
            RecordError: a key is missing or unknown, or a value is of another kind.
        """
        found: Read = read_as(cls, record, where)
        return found


def named(key: str) -> dict[str, str]:
    """Metadata of a field under another key, one that is no name in Python."""
    return {KEY: key}


def record_of(value: Any) -> Any:
    """A dataclass as a JSON object: the keys in the order of the fields, tuples as lists, keys of mappings as texts."""
    if is_dataclass(value):
        record: dict[str, Any] = {}
        for one in fields(value):
            written = record_of(getattr(value, one.name))
            if BESIDE not in one.metadata:
                record[_key(one)] = written
            elif written is not None:
                record |= written
        return record
    if isinstance(value, Mapping):
        return {str(key): record_of(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [record_of(inner) for inner in value]
    return value


def read_as(kind: Any, value: Any, where: str) -> Any:
    """A JSON value as `kind`, a dataclass or what its fields may hold.

    Raises:
        RecordError: it is none.
    """
    if kind is Any:
        return value
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return _read_union(get_args(kind), value, where)
    if is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    if get_origin(kind) is tuple:
        return _read_tuple(get_args(kind), value, where)
    if get_origin(kind) in (Mapping, dict):
        return _read_mapping(get_args(kind), value, where)
    # Neither True for 1 nor 1 for 1.0.
    kind = NoneType if kind is None else kind
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise RecordError(f"{where} is not {_WORDS[kind]}")
    return value


_WORDS = {str: "a string", int: "an integer", float: "a finite float", bool: "true or false", NoneType: "null"}


def _read_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """None or a value; where there are several dataclasses, the one with the keys of the object."""
    if value is None and NoneType in kinds:
        return None
    rest = [kind for kind in kinds if kind is not NoneType]
    if len(rest) == 1:
        return read_as(rest[0], value, where)
    _require_object(value, where)
    for kind in rest:
        if set(value) == set(_keys(kind)):
            return read_as(kind, value, where)
    raise RecordError(f"{where} has the keys of none of {', '.join(kind.__name__ for kind in rest)}")


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    _require_object(value, where)
    unknown = [key for key in value if key not in _keys(kind)]
    if unknown:
        raise RecordError(f"{where} has an unknown key {unknown[0]!r}")
    hints, found = _hints(kind), {}
    for one in fields(kind):
        hint = hints[one.name]
        if BESIDE in one.metadata:
            part = {key: value[key] for key in _inner_keys(hint) if key in value}
            found[one.name] = read_as(hint, part or (None if NoneType in get_args(hint) else {}), where)
        elif _key(one) not in value:
            raise RecordError(f"{where} lacks {_key(one)}")
        else:
            found[one.name] = read_as(hint, value[_key(one)], f"{where}.{_key(one)}")
    return kind(**found)


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise RecordError(f"{where} is not a list")
    if kinds[-1] is ...:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise RecordError(f"{where} has {len(value)} entries instead of {len(kinds)}")
    return tuple(read_as(kind, one, f"{where}[{i}]") for i, (kind, one) in enumerate(zip(kinds, value, strict=True)))


def _read_mapping(kinds: tuple[Any, Any], value: Any, where: str) -> dict[Any, Any]:
    """Keys in the order of the object; a number as a key is written the way Python writes it."""
    _require_object(value, where)
    return {
        _read_key(kinds[0], text, where): read_as(kinds[1], inner, f"{where}.{text}") for text, inner in value.items()
    }


def _read_key(kind: Any, text: str, where: str) -> Any:
    try:
        key = kind(text)
    except ValueError:
        key = math.nan
    if str(key) != text or (kind is not str and not math.isfinite(key)):
        raise RecordError(f"{where} has a key {text!r} that is not {_WORDS[kind]}")
    return key


def _require_object(value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        raise RecordError(f"{where} is not an object")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _keys(kind: Any) -> tuple[str, ...]:
    """Keys of a dataclass's object, those of inline fields among them."""
    return tuple(_each_key(kind))


def _each_key(kind: Any) -> Iterator[str]:
    for one in fields(kind):
        if BESIDE in one.metadata:
            yield from _inner_keys(_hints(kind)[one.name])
        else:
            yield _key(one)


def _inner_keys(hint: Any) -> tuple[str, ...]:
    """Keys of an inline field: a dataclass, or a dataclass or None."""
    (kind,) = (one for one in get_args(hint) or (hint,) if one is not NoneType)
    return _keys(kind)


def _key(one: Any) -> str:
    return str(one.metadata.get(KEY, one.name))
