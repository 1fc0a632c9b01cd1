"""NumPy's archives (`numpy.savez`), read without pickles.

Contents:
    read_numpy — the archive to a tree of tensors.
    holds_numpy — whether a zip archive is one of NumPy's.
"""

import math
from io import BytesIO

import numpy as np

from pessimal.conversion.archive import Archive
from pessimal.conversion.interface import MAX_AXES, ConversionError, Tensor, said

SUFFIX = ".npy"
MAX_HEADER = 10_000
WORDS = {
    "f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "b1": "BOOL",
}  # fmt: skip


def holds_numpy(archive: Archive) -> bool:
    """Whether all its entries are arrays."""
    return bool(archive.names) and all(name.endswith(SUFFIX) for name in archive.names)


def read_numpy(archive: Archive) -> dict[str, Tensor]:
    """The arrays of an archive by name.

    Raises:
        ConversionError: an array of Python objects, or a damaged one.
    """
    return {name.removesuffix(SUFFIX): _array(archive, name) for name in archive.names}


def _array(archive: Archive, name: str) -> Tensor:
    data = archive.read(name)
    stream = BytesIO(bytes(data[: MAX_HEADER + 16]))
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, is_fortran, dtype = read(stream, max_header_size=MAX_HEADER)
    except (ValueError, KeyError, TypeError, SyntaxError, EOFError, RecursionError, MemoryError):
        raise ConversionError(f"array {said(name)} of it has a header that is not read") from None
    if dtype.hasobject:
        raise ConversionError(f"array {said(name)} of it holds Python objects, which would have to be unpickled")
    word = WORDS.get(dtype.str[1:], dtype.name)
    body = data[stream.tell() :]
    if len(shape) > MAX_AXES or min(shape, default=0) < 0 or dtype.itemsize * math.prod(shape) != len(body):
        raise ConversionError(f"array {said(name)} of it does not have the size that its header states")

    def numbers() -> np.ndarray:
        flat = np.frombuffer(body, dtype) if len(body) else np.zeros(0, dtype)
        return flat.reshape(shape, order="F" if is_fortran else "C")

    return Tensor(word, shape, numbers)
