"""Files as torch writes them, made without torch: opcodes of protocol 2 in a zip archive, and hostile ones."""

import struct
import zipfile
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np

CLASSES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage",
    "bool": "BoolStorage", "uint16": "BFloat16Storage",
}  # fmt: skip


EMPTY_ORDERED = b"ccollections\nOrderedDict\n)R"


class Ordered(dict):
    """An OrderedDict, as `state_dict()` gives it."""


@dataclass
class View:
    """A tensor that looks into a storage: numbers (bfloat16 as uint16), and where it looks."""

    numbers: np.ndarray
    shape: tuple = None
    strides: tuple = None
    offset: int = 0
    kind: str = None

    def __post_init__(self):
        self.kind = self.kind or CLASSES[self.numbers.dtype.name]
        if self.shape is None:
            self.shape = self.numbers.shape
            self.strides = tuple(step // self.numbers.itemsize for step in self.numbers.strides)


@dataclass
class Raw:
    """Opcodes as they are."""

    data: bytes


@dataclass
class Pickler:
    """Writes what torch writes; storages are kept apart, one for each array."""

    storages: dict = field(default_factory=dict)
    arrays: list = field(default_factory=list)

    def write(self, value):
        if isinstance(value, Raw):
            return value.data
        if isinstance(value, np.ndarray):
            return self.write(View(value))
        if isinstance(value, View):
            return self.tensor(value)
        if isinstance(value, dict):
            return (
                (EMPTY_ORDERED if isinstance(value, Ordered) else b"}")
                + b"("
                + b"".join(self.write(one) for pair in value.items() for one in pair)
                + b"u"
            )
        if isinstance(value, list):
            return b"](" + b"".join(map(self.write, value)) + b"e"
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.write, value)) + b"t"
        return self.scalar(value)

    def scalar(self, value):
        if value is None or isinstance(value, bool):
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value) if abs(value) < 1 << 31 else long_integer(value)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text

    def tensor(self, view):
        key = self.storages.setdefault(id(view.numbers), len(self.storages))
        if key == len(self.arrays):
            self.arrays.append(view.numbers)
        storage = self.write(("storage", Raw(f"ctorch\n{view.kind}\n".encode()), str(key), "cpu", view.numbers.size))
        arguments = (Raw(storage + b"Q"), view.offset, view.shape, view.strides, False, Raw(EMPTY_ORDERED))
        return b"ctorch._utils\n_rebuild_tensor_v2\n" + self.write(arguments) + b"R"


def long_integer(value):
    data = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def named(module, name, after=b""):
    """A name, and what follows it."""
    return Raw(f"c{module}\n{name}\n".encode() + after)


def parameter(array, pickler):
    """A parameter of a module."""
    arguments = pickler.write((array, True, Raw(EMPTY_ORDERED)))
    return Raw(b"ctorch._utils\n_rebuild_parameter\n" + arguments + b"R")


def torch_file(value, *, order="little", method=zipfile.ZIP_STORED, pickler=None, extra=()):
    """The bytes of `torch.save(value)`."""
    pickler = pickler or Pickler()
    data = b"\x80\x02" + pickler.write(value) + b"."
    return archive(data, pickler.arrays, order=order, method=method, extra=extra)


def archive(pickle, arrays=(), *, order="little", method=zipfile.ZIP_STORED, extra=()):
    """A zip archive around a pickle."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        file.writestr("model/data.pkl", pickle)
        if order is not None:
            file.writestr("model/byteorder", order)
        for key, array in enumerate(arrays):
            numbers = np.asarray(array)
            flat = numbers.ravel("K").astype(numbers.dtype.newbyteorder("<" if order != "big" else ">"))
            file.writestr(f"model/data/{key}", flat.tobytes())
        file.writestr("model/version", "3\n")
        for name, content in extra:
            file.writestr(name, content)
    return out.getvalue()
