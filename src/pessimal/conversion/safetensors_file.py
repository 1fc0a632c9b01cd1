"""Safetensors files as people have them, and the canonical ones that the trusted reader is given.

The reader here takes what the trusted one refuses for its dtype or its names; what is malformed it leaves to the
trusted one and its sentence.

Contents:
    read_safetensors — bytes to tensors and metadata, or None.
    write_safetensors — arrays to bytes, the same for the same arrays.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pessimal.conversion.interface import MAX_AXES, Tensor

MAX_HEADER_BYTES = 1 << 20
# How NumPy reads a dtype; bfloat16 as its 16 bits.
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U8": "u1", "BOOL": "u1",
}  # fmt: skip
ALIGNMENT = 8


def read_safetensors(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Tensors and metadata; None if anything is malformed."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MAX_HEADER_BYTES, len(data) - 8):
        return None
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"), object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict):
        return None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        return None
    body = memoryview(data)[8 + length :]
    tensors = {name: _tensor(entry, body) for name, entry in header.items()}
    found = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    return (found, metadata) if len(found) == len(tensors) else None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _tensor(entry: Any, body: memoryview) -> Tensor | None:
    match entry:
        case {"dtype": str() as dtype, "shape": list() as shape, "data_offsets": [int() as start, int() as end]}:
            pass
        case _:
            return None
    if dtype not in DTYPES or len(shape) > MAX_AXES or not all(type(side) is int and side >= 0 for side in shape):
        return None
    if not 0 <= start <= end <= len(body) or end - start != math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize:
        return None
    return Tensor(dtype, tuple(shape), lambda: np.frombuffer(body[start:end], DTYPES[dtype]).reshape(shape))


def write_safetensors(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The canonical file: names in order, float32 and float64 little-endian, no holes.

    Args:
        arrays: by the name that each gets.
        metadata: strings by name.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    at = 0
    parts = []
    for name in sorted(arrays):
        array = arrays[name]
        word, form = ("F64", "<f8") if array.dtype.itemsize == ALIGNMENT else ("F32", "<f4")
        part = np.ascontiguousarray(array, form).reshape(-1).view(np.uint8).data
        header[name] = {"dtype": word, "shape": [*array.shape], "data_offsets": [at, at + len(part)]}
        at += len(part)
        parts.append(part)
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])
