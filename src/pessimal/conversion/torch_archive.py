"""Torch's zip archives (`torch.save` of version 1.6 and later), read without torch and without running their pickle.

An archive has an entry `NAME/data.pkl` with the structure and an entry `NAME/data/KEY` for every storage. A tensor is
a storage, an offset, a shape and strides; several tensors may share one storage, as tied weights do.

Contents:
    read_torch — the archive to a tree of plain values and tensors.
    holds_torch — whether a zip archive is one of torch's.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pessimal.conversion.archive import Archive
from pessimal.conversion.interface import MAX_AXES, ConversionError, Tensor, said
from pessimal.conversion.pickled import Name, NumberType, Record, interpret

PICKLE = "/data.pkl"
MAX_PICKLE_BYTES = 16 << 20
# Class of a storage: dtype as safetensors calls it, and how NumPy reads it. Bfloat16 is read as its 16 bits.
STORAGES = {
    "FloatStorage": ("F32", "f4"),
    "DoubleStorage": ("F64", "f8"),
    "HalfStorage": ("F16", "f2"),
    "BFloat16Storage": ("BF16", "u2"),
    "LongStorage": ("I64", "i8"),
    "IntStorage": ("I32", "i4"),
    "ShortStorage": ("I16", "i2"),
    "CharStorage": ("I8", "i1"),
    "ByteStorage": ("U8", "u1"),
    "BoolStorage": ("BOOL", "?"),
    "ComplexFloatStorage": ("C64", "c8"),
    "ComplexDoubleStorage": ("C128", "c16"),
}
DTYPES = [
    "bfloat16",
    "bool",
    "complex64",
    "complex128",
    "double",
    "float",
    "float16",
    "float32",
    "float64",
    "half",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "long",
    "short",
    "uint8",
]
CALLS_TO_DICT = {"collections.OrderedDict", "collections.defaultdict", "collections.Counter"}
TENSORS = {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"}
PARAMETERS = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
SCALARS = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
# What lies beside a state dict in checkpoints of training: made nothing of.
LEFT = {
    "__builtin__.frozenset", "__builtin__.set", "_codecs.encode", "builtins.frozenset", "builtins.set",
    "numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct", "numpy.dtype", "numpy.ndarray",
    "pathlib.PosixPath", "pathlib.PurePosixPath", "torch.Size", "torch.device", "torch.serialization._get_layout",
    *SCALARS,
}  # fmt: skip
# What such calls of a default dictionary may take for their default.
TYPES = {f"{home}.{name}" for home in ("__builtin__", "builtins") for name in ["dict", "float", "int", "list", "str"]}
RECORDS = {"argparse.Namespace", "types.SimpleNamespace"}
CONFIGURATIONS = ("easy_transformer.", "transformer_lens.")
# Storage, offset, shape, strides, requires_grad, hooks; then what is to be applied to the numbers, if anything is.
WITHOUT_BITS = 6
PLAIN = (
    CALLS_TO_DICT | TENSORS | PARAMETERS | LEFT | TYPES | {f"torch.{name}" for name in (*STORAGES, *DTYPES, "strided")}
)


@dataclass(frozen=True)
class _Storage:
    """A persistent identifier: where numbers lie, and how many."""

    kind: str
    key: str
    count: int


class _Left:
    """What stands for a value that nothing is made of."""


def holds_torch(archive: Archive) -> bool:
    """Whether there is a structure of torch's in it."""
    return any(name.endswith(PICKLE) for name in archive.names)


def read_torch(archive: Archive) -> Any:
    """The tree of an archive of torch's; its leaves are numbers, strings and tensors.

    Raises:
        ConversionError: anything that `torch.save` of a state dict does not write.
    """
    pickles = [name for name in archive.names if name.endswith(PICKLE)]
    if len(pickles) != 1:
        raise ConversionError("a zip archive with more than one data.pkl")
    root = pickles[0].removesuffix(PICKLE)
    if f"{root}/constants.pkl" in archive:
        raise ConversionError(
            "it is a TorchScript archive; save the model with torch.save(model.state_dict(), 'model.pt')"
        )
    if archive.size(pickles[0]) > MAX_PICKLE_BYTES:
        raise ConversionError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes; save the state dict alone")
    reader = _Reader(archive, root)
    return interpret(bytes(archive.read(pickles[0])), reader)


class _Reader:
    """Makes tensors of the calls in a pickle."""

    def __init__(self, archive: Archive, root: str) -> None:
        self.archive, self.root = archive, root
        self.order = _byte_order(archive, root)
        self.storages: dict[_Storage, np.ndarray] = {}

    def knows(self, name: str) -> bool:
        """Whether the name is one that state dicts, or what is saved beside them, need."""
        return name in PLAIN or self.is_record(name)

    def is_record(self, name: str) -> bool:
        """Whether objects of the class hold plain values: configurations and arguments."""
        return name in RECORDS or (name.startswith(CONFIGURATIONS) and name.endswith("Config"))

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """A dictionary, a tensor, a parameter's tensor, or what is left out."""
        if name in CALLS_TO_DICT:
            return _dictionary(arguments)
        if name in TENSORS:
            return self._tensor(arguments)
        if name in PARAMETERS and arguments and isinstance(arguments[0], Tensor):
            return arguments[0]
        if name in LEFT:
            return _single_number(name, arguments)
        if self.is_record(name):
            return Record()
        raise ConversionError(f"its pickle calls {said(name)}, which torch.save does not do; nothing was run")

    def persistent(self, identifier: Any) -> _Storage:
        """A storage: ('storage', class, key, device, count)."""
        match identifier:
            case ("storage", Name(name=kind), str() as key, str(), int() as count) if count >= 0:
                return _Storage(kind.removeprefix("torch."), key, count)
        raise ConversionError("its pickle refers to what is no storage of numbers")

    def _tensor(self, arguments: tuple[Any, ...]) -> Tensor:
        match arguments:
            case (_Storage() as storage, int() as offset, tuple() as shape, tuple() as strides, *_):
                pass
            case _:
                raise ConversionError("its pickle describes a tensor in a way that torch.save does not")
        if len(arguments) > WITHOUT_BITS and arguments[WITHOUT_BITS]:
            raise ConversionError("a tensor of it is stored with a sign or conjugation still to be applied")
        sides = (offset, *shape, *strides)
        if len(shape) != len(strides) or len(shape) > MAX_AXES or not all(type(one) is int for one in sides):
            raise ConversionError("its pickle describes a tensor in a way that torch.save does not")
        if min(sides) < 0:
            raise ConversionError("a tensor of it has a negative side, stride or offset, which torch does not write")
        if storage.kind not in STORAGES:
            raise ConversionError(f"a tensor of it has numbers of the kind {said(storage.kind)}, which are not read")
        reach = offset + sum((side - 1) * step for side, step in zip(shape, strides, strict=True)) + 1
        if 0 not in shape and reach > storage.count:
            raise ConversionError("a tensor of it reaches beyond the numbers stored for it")
        return Tensor(STORAGES[storage.kind][0], shape, lambda: self._read(storage, offset, shape, strides))

    def _read(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
        numbers = self._numbers(storage)
        size = numbers.itemsize
        self.archive.budget.take(size * math.prod(shape))
        if 0 in shape:
            return np.zeros(shape, numbers.dtype)
        steps = tuple(size * step for step in strides)
        # Within the storage, as was tested: no stride is negative, and the last number is the furthest.
        view = np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)
        return np.ascontiguousarray(view).reshape(shape)

    def _numbers(self, storage: _Storage) -> np.ndarray:
        """All numbers of a storage, read once however many tensors share it."""
        if storage not in self.storages:
            entry = f"{self.root}/data/{storage.key}"
            dtype = np.dtype(STORAGES[storage.kind][1])
            if entry not in self.archive:
                raise ConversionError(f"the numbers of a tensor of it, entry {said(entry)}, are missing")
            if self.archive.size(entry) != storage.count * dtype.itemsize:
                raise ConversionError(f"entry {said(entry)} does not have the size that its pickle states")
            self.storages[storage] = np.frombuffer(self.archive.read(entry), dtype.newbyteorder(self.order))
        return self.storages[storage]


def _single_number(name: str, arguments: tuple[Any, ...]) -> Any:
    """Of NumPy's numbers the number, of their parts what makes it; anything else is left out."""
    match name, arguments:
        case "_codecs.encode", (str() as text, "latin1") if all(ord(one) < 1 << 8 for one in text):
            return text.encode("latin1")
        case "numpy.dtype", (str() as word, *_):
            return NumberType(word)
        case _, (NumberType() as kind, bytes() as data) if name in SCALARS:
            number = kind.number(data)
            return _Left() if number is None else number
    return _Left()


def _byte_order(archive: Archive, root: str) -> Literal["<", ">"]:
    """The order of bytes in the archive's numbers; archives of before version 2.1 do not state it."""
    entry = f"{root}/byteorder"
    if entry not in archive:
        return "<"
    word = bytes(archive.read(entry)) if archive.size(entry) <= MAX_AXES else b""
    if word not in {b"little", b"big"}:
        raise ConversionError("its entry byteorder says neither little nor big")
    return "<" if word == b"little" else ">"


def _dictionary(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """An ordered dictionary: empty, as torch writes it, or from pairs."""
    pairs = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else []
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and isinstance(pair[0], str)}
