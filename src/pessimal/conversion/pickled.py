"""The pickles that torch writes, interpreted by a table: nothing is imported, nothing is called.

`OPERATIONS` has the opcodes that `torch.save` writes (protocol 2). They build dictionaries, lists, tuples, numbers and
strings; what would be a function or a class is a name, and what would be a call is handed to the reader that knows the
few names a state dict needs. Any other opcode or name ends the reading with a sentence. Numbers of operations and of
open marks are bounded; strings are parts of the bytes given, and no container is ever walked here, so neither deep
nesting nor references that double cost anything.

Contents:
    Calls — what a reader makes of names, calls and persistent identifiers.
    Name — a function or class, by name only.
    NumberType — the kind of a single number of NumPy.
    Record — the attributes of an object of a class that is known to hold plain values.
    interpret — bytes to values.
    MAX_OPERATIONS, MAX_MARKS — limits.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pessimal.conversion.interface import ConversionError, said

MAX_OPERATIONS = 1_000_000
MAX_MARKS = 1_000
MAX_NAME = 200
PROTOCOL = 2
NUMBERS = frozenset({"b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"})
# Opcodes that pickles may have and torch does not write, for messages.
REFUSED = {
    b"0": "POP", b"1": "POP_MARK", b"2": "DUP", b"F": "FLOAT", b"I": "INT", b"L": "LONG", b"P": "PERSID",
    b"S": "STRING", b"T": "BINSTRING", b"U": "SHORT_BINSTRING", b"V": "UNICODE", b"d": "DICT", b"g": "GET",
    b"i": "INST", b"l": "LIST", b"o": "OBJ", b"p": "PUT", b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4",
    b"\x8b": "LONG4", b"B": "BINBYTES", b"C": "SHORT_BINBYTES", b"\x8c": "SHORT_BINUNICODE", b"\x8d": "BINUNICODE8",
    b"\x8e": "BINBYTES8", b"\x8f": "EMPTY_SET", b"\x90": "ADDITEMS", b"\x91": "FROZENSET", b"\x92": "NEWOBJ_EX",
    b"\x93": "STACK_GLOBAL", b"\x94": "MEMOIZE", b"\x95": "FRAME", b"\x96": "BYTEARRAY8", b"\x97": "NEXT_BUFFER",
    b"\x98": "READONLY_BUFFER",
}  # fmt: skip


@dataclass(frozen=True)
class Name:
    """A function or class that the pickle names; never looked up."""

    name: str


@dataclass(frozen=True)
class NumberType:
    """The kind of a single number of NumPy, such as `f8`."""

    word: str

    def require_order(self, state: Any) -> None:
        """Raise `ConversionError` unless its bytes are in little order, or there is but one."""
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in {"<", "|"}):
            raise ConversionError("its pickle holds a number in another order of bytes than little")

    def number(self, data: bytes) -> Any:
        """The number that some bytes are; None if they are none."""
        if self.word not in NUMBERS or len(data) != np.dtype(self.word).itemsize:
            return None
        return np.frombuffer(data, f"<{self.word}")[0].item()


class Record(dict[str, Any]):
    """The attributes of an object of a class that holds plain values."""


@runtime_checkable
class Calls(Protocol):
    """What a reader makes of the parts of a pickle that are not plain values."""

    def knows(self, name: str) -> bool:
        """Whether a function or class may be named at all."""
        ...

    def is_record(self, name: str) -> bool:
        """Whether objects of this class hold plain values."""
        ...

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """What stands for the result of a call."""
        ...

    def persistent(self, identifier: Any) -> Any:
        """What stands for an object that is kept outside the pickle."""
        ...


def interpret(data: bytes, calls: Calls) -> Any:
    """The value of a pickle.

    Args:
        data: the whole pickle.
        calls: what becomes of names and calls.

    Raises:
        ConversionError: an opcode or name that is not in the tables, or limits passed.
    """
    return _Machine(data, calls).run()


class _Machine:
    """The stack machine of the pickle format."""

    def __init__(self, data: bytes, calls: Calls) -> None:
        self.data, self.calls = data, calls
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Interpret up to STOP."""
        for _ in range(MAX_OPERATIONS):
            code = self.take(1)
            if code == b".":
                if len(self.stack) != 1 or self.marks or self.at != len(self.data):
                    raise ConversionError("its pickle is malformed at its end")
                return self.stack[0]
            operation = OPERATIONS.get(code)
            if operation is None:
                name = REFUSED.get(code, f"0x{code.hex()}")
                raise ConversionError(
                    f"its pickle has the opcode {name}, which torch.save does not write; nothing was run"
                )
            operation(self)
        raise ConversionError(f"its pickle has more than {MAX_OPERATIONS} operations; save the state dict alone")

    def take(self, count: int) -> bytes:
        """The next bytes."""
        part = self.data[self.at : self.at + count]
        if len(part) != count:
            raise ConversionError("its pickle ends in the middle")
        self.at += count
        return part

    def number(self, form: str) -> Any:
        """The next number."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """The next word, up to the end of its line."""
        end = self.data.find(b"\n", self.at, self.at + MAX_NAME)
        if end < 0:
            raise ConversionError("its pickle has a name that does not end")
        word = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return word

    def pop(self) -> Any:
        """The last value."""
        if not self.stack:
            raise ConversionError("its pickle takes a value that is not there")
        return self.stack.pop()

    def top(self) -> Any:
        """The last value, left where it is."""
        if not self.stack:
            raise ConversionError("its pickle takes a value that is not there")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        """The values since the last mark."""
        if not self.marks:
            raise ConversionError("its pickle takes a mark that is not there")
        values, self.stack = self.stack, self.marks.pop()
        return values


def _protocol(m: _Machine) -> None:
    version = m.take(1)[0]
    if version != PROTOCOL:
        raise ConversionError(f"its pickle has protocol {version}; save it again with torch.save's own, {PROTOCOL}")


def _mark(m: _Machine) -> None:
    if len(m.marks) >= MAX_MARKS:
        raise ConversionError(f"its pickle nests deeper than {MAX_MARKS}")
    m.marks.append(m.stack)
    m.stack = []


def _text(m: _Machine) -> None:
    m.stack.append(m.take(m.number("<I")).decode("utf-8", "replace"))


def _long(m: _Machine) -> None:
    m.stack.append(int.from_bytes(m.take(m.take(1)[0]), "little", signed=True))


def _tuple(count: int) -> Callable[[_Machine], None]:
    def operation(m: _Machine) -> None:
        m.stack.append(tuple(m.pop() for _ in range(count))[::-1])

    return operation


def _tuple_since_mark(m: _Machine) -> None:
    values = tuple(m.since_mark())
    m.stack.append(values)


def _constant(*, value: Any) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(value)


def _number(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(m.number(form))


def _put(form: str) -> Callable[[_Machine], None]:
    def operation(m: _Machine) -> None:
        m.memo[m.number(form)] = m.top()

    return operation


def _get(form: str) -> Callable[[_Machine], None]:
    def operation(m: _Machine) -> None:
        place = m.number(form)
        if place not in m.memo:
            raise ConversionError("its pickle refers to a value that is not there")
        m.stack.append(m.memo[place])

    return operation


def _append(m: _Machine, values: list[Any]) -> None:
    target = m.top()
    if not isinstance(target, list):
        raise ConversionError("its pickle appends to what is no list")
    target.extend(values)


def _set(m: _Machine, values: list[Any]) -> None:
    target = m.top()
    if not isinstance(target, dict) or len(values) % 2:
        raise ConversionError("its pickle sets items of what is no dictionary")
    for key, value in zip(values[::2], values[1::2], strict=True):
        # Others can be no key of a state dict, and hashing a nested tuple may go deep.
        if isinstance(key, str | int | float | None):
            target[key] = value


def _global(m: _Machine) -> None:
    name = f"{m.line()}.{m.line()}"
    if not m.calls.knows(name):
        if _makes_object(m.data[m.at : m.at + 8]):
            raise ConversionError(
                f"it holds a whole pickled object of the class {said(name)}, not a state dict (nothing was run);"
                " save it with torch.save(model.state_dict(), 'model.pt')"
            )
        raise ConversionError(
            f"its pickle asks for {said(name)}, which no state dict needs (nothing was run);"
            " save it with torch.save(model.state_dict(), 'model.pt')"
        )
    m.stack.append(Name(name))


def _makes_object(following: bytes) -> bool:
    """Whether what follows the name of a class makes an object of it: perhaps a PUT, no arguments, NEWOBJ."""
    skipped = {b"q": 2, b"r": 5}.get(following[:1], 0)
    return following[skipped : skipped + 2] == b")\x81"


def _named(value: Any) -> str:
    if not isinstance(value, Name):
        raise ConversionError("its pickle calls what is no function")
    return value.name


def _arguments(m: _Machine) -> tuple[Any, ...]:
    arguments = m.pop()
    if not isinstance(arguments, tuple):
        raise ConversionError("its pickle calls a function without arguments in a tuple")
    return arguments


def _reduce(m: _Machine) -> None:
    arguments = _arguments(m)
    name = _named(m.pop())
    m.stack.append(m.calls.call(name, arguments))


def _new_object(m: _Machine) -> None:
    arguments = _arguments(m)
    name = _named(m.pop())
    m.stack.append(Record() if m.calls.is_record(name) else m.calls.call(name, arguments))


def _build(m: _Machine) -> None:
    """Attributes: of a record they are its values; of others (`_metadata` of a state dict) they are not needed."""
    state = m.pop()
    target = m.top()
    if isinstance(target, Record) and isinstance(state, dict):
        target.update((key, value) for key, value in state.items() if isinstance(key, str))
    elif isinstance(target, NumberType):
        target.require_order(state)


def _persistent(m: _Machine) -> None:
    identifier = m.pop()
    m.stack.append(m.calls.persistent(identifier))


def _set_item(m: _Machine) -> None:
    value = m.pop()
    key = m.pop()
    _set(m, [key, value])


OPERATIONS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _protocol,
    b"(": _mark,
    b"}": lambda m: m.stack.append({}),
    b"]": lambda m: m.stack.append([]),
    b")": _constant(value=()),
    b"N": _constant(value=None),
    b"\x88": _constant(value=True),
    b"\x89": _constant(value=False),
    b"K": _number("<B"),
    b"M": _number("<H"),
    b"J": _number("<i"),
    b"G": _number(">d"),
    b"\x8a": _long,
    b"X": _text,
    b"t": _tuple_since_mark,
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"q": _put("<B"),
    b"r": _put("<I"),
    b"h": _get("<B"),
    b"j": _get("<I"),
    b"a": lambda m: _append(m, [m.pop()]),
    b"e": lambda m: _append(m, m.since_mark()),
    b"s": _set_item,
    b"u": lambda m: _set(m, m.since_mark()),
    b"c": _global,
    b"R": _reduce,
    b"\x81": _new_object,
    b"b": _build,
    b"Q": _persistent,
}
