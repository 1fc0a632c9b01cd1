"""Reading weights: bytes of a safetensors file to named arrays, and their digest. Trusted, so small and strict.

The file is read once; what is hashed and what is parsed are the same bytes. Accepted names: the short form (`W_Q`),
the short form with a leading head axis, and TransformerLens state-dict keys (`blocks.0.attn.W_Q`). All three give
the same canonical tensors (head axis first) and the same digest.

Contents:
    read_weights — bytes to `Weights`.
    WeightsError — one clear sentence naming the tensor.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from pessimal.spec.architecture import Architecture
from pessimal.spec.digest import canonical, digest
from pessimal.spec.stated import ArchitectureError, Overrides, architecture_of
from pessimal.spec.weights import AXES, Weights

DIGEST_DOMAIN = b"pessimal-weights/1"
MAX_HEADER_BYTES = 1 << 20
MAX_SIDE = 1 << 16
# Exact integer products grow with the span of exponents inside a tensor: ordinary float32 needs under 60 bits.
MAX_EXPONENT_SPAN = 640

REQUIRED = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")
AXIS_NAMES = {
    "v": "d_vocab",
    "m": "d_model",
    "p": "n_ctx",
    "o": "d_vocab_out",
    "h": "n_heads",
    "d": "d_head",
    "f": "d_mlp",
}
TRANSFORMER_LENS: dict[str, str] = {
    "embed.W_E": "W_E",
    "pos_embed.W_pos": "W_pos",
    "unembed.W_U": "W_U",
    "unembed.b_U": "b_U",
    "ln_final.w": "ln_final_w",
    "ln_final.b": "ln_final_b",
    "blocks.0.ln1.w": "ln1_w",
    "blocks.0.ln1.b": "ln1_b",
} | {f"blocks.0.attn.{name}": name for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")}
TRANSFORMER_LENS |= {f"blocks.0.mlp.{name}": name for name in ("W_in", "b_in", "W_out", "b_out")}  # fmt: skip
# Buffers of a TransformerLens attention layer: the causal mask and its fill value. They carry no parameters.
BUFFERS = frozenset({"blocks.0.attn.mask", "blocks.0.attn.IGNORE"})
DTYPES = {"F32": "<f4", "F64": "<f8"}
ITEM_BYTES = {
    "F32": 4,
    "F64": 8,
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "I32": 4,
    "I64": 8,
}


class WeightsError(ValueError):
    """The bytes are not a supported model; the message is one sentence naming the tensor."""


def read_weights(data: bytes, overrides: Overrides | None = None) -> Weights:
    """Parse a safetensors file strictly.

    Args:
        data: the whole file.
        overrides: architecture values that the user states.

    Raises:
        WeightsError: malformed file, unsupported or non-finite tensor, inconsistent shapes.
    """
    raw, metadata = _parse(data)
    tensors = _canonical(raw)
    _require_consistent(tensors)
    try:
        architecture = architecture_of(
            {name: array.shape for name, array in tensors.items()}, metadata, overrides or Overrides()
        )
    except ArchitectureError as error:
        raise WeightsError(str(error)) from None
    return Weights(
        tensors=MappingProxyType(tensors),
        architecture=architecture,
        sha256=digest(_digested(architecture, tensors)),
        metadata=MappingProxyType(metadata),
    )


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise WeightsError("the safetensors header has a duplicate key")
    return dict(pairs)


def _not_a_number(text: str) -> object:
    raise WeightsError(f"the safetensors header holds {text[:20]}, which is not allowed")


def _parse(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Split a file into arrays by name and metadata; every byte must be accounted for."""
    if len(data) < 8:
        raise WeightsError("not a safetensors file: shorter than its 8-byte length")
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise WeightsError("not a safetensors file: the header length does not fit the file")
    header = _json_object(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise WeightsError("the safetensors metadata is not a map of strings")
    body = data[8 + length :]
    arrays: dict[str, np.ndarray] = {}
    spans: list[tuple[int, int]] = []
    for name, entry in header.items():
        start, end, array = _tensor(name[:60], entry, body)
        spans.append((start, end))
        if array is not None:
            arrays[name] = array
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise WeightsError("the safetensors tensors overlap or leave a hole")
        end = stop
    if end != len(body):
        raise WeightsError("the safetensors file has bytes that belong to no tensor, or is truncated")
    return arrays, metadata


def _json_object(raw: bytes) -> dict[str, Any]:
    """A JSON object without duplicate keys and without NaN."""
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_not_a_number)
    except WeightsError:
        raise
    except (ValueError, RecursionError):
        raise WeightsError("not a safetensors file: the header is not valid JSON") from None
    if not isinstance(header, dict):
        raise WeightsError("not a safetensors file: the header is not an object")
    return header


def _tensor(name: str, entry: object, body: bytes) -> tuple[int, int, np.ndarray | None]:
    """Byte range and array of one header entry; no array for a buffer."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"tensor {name!r}: an entry has exactly dtype, shape, data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2 or len(shape) > 8:
        raise WeightsError(f"tensor {name!r}: shape and data_offsets are lists of natural numbers")
    if max(shape, default=0) > MAX_SIDE:
        raise WeightsError(f"tensor {name!r}: a side is longer than {MAX_SIDE}")
    if min(shape, default=1) < 1:
        raise WeightsError(f"tensor {name!r}: it is empty (a side of zero)")
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise WeightsError(f"tensor {name!r}: unknown dtype")
    start, end = offsets
    if not start <= end <= len(body) or end - start != prod(shape) * ITEM_BYTES[dtype]:
        raise WeightsError(f"tensor {name!r}: its bytes do not match dtype and shape (truncated file?)")
    if name in BUFFERS:
        if name.endswith("mask"):
            _require_causal(name, shape, body[start:end])
        return start, end, None
    if dtype not in DTYPES:
        raise WeightsError(f"tensor {name!r} has dtype {dtype}; supported are F32 and F64")
    array = np.frombuffer(body[start:end], dtype=DTYPES[dtype]).reshape(shape)
    return start, end, array


def _require_causal(name: str, shape: list[int], body: bytes) -> None:
    """Refuse a mask that hides other positions than those that come later; not zero is shown."""
    if len(shape) == 2:
        shown = np.frombuffer(body, dtype=np.uint8).reshape(*shape, -1).any(-1)
        if (shown == np.tril(np.ones(shape, dtype=bool))).all():
            return
    raise WeightsError(f"tensor {name!r} hides other positions than those that come later")


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _canonical(raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename to the short names and put the head axis first."""
    tensors: dict[str, np.ndarray] = {}
    for name, array in raw.items():
        short = TRANSFORMER_LENS.get(name, name)
        if short not in AXES:
            raise WeightsError(f"tensor {name[:60]!r} is not part of a one-layer transformer")
        if short in tensors:
            raise WeightsError(f"tensor {short!r} is given twice, under a short and a TransformerLens name")
        axes = AXES[short].split()
        if axes[0] == "h" and array.ndim == len(axes) - 1:
            array = array[np.newaxis]  # noqa: PLW2901 - the short single-head form
        if array.ndim != len(axes):
            raise WeightsError(f"tensor {name!r} has {array.ndim} axes; expected {AXES[short]}")
        tensors[short] = array
    for name in REQUIRED:
        if name not in tensors:
            raise WeightsError(f"tensor {name!r} is missing")
    _require_complete(tensors)
    return tensors


def _require_complete(tensors: Mapping[str, np.ndarray]) -> None:
    """Half an MLP, or a LayerNorm bias without its gain, is no model."""
    mlp = [name for name in ("W_in", "W_out", "b_in", "b_out") if name in tensors]
    for name in ("W_in", "W_out"):
        if mlp and name not in tensors:
            raise WeightsError(f"tensor {name!r} is missing, but the file has {mlp[0]!r}")
    for site in ("ln1", "ln_final"):
        if f"{site}_b" in tensors and f"{site}_w" not in tensors:
            raise WeightsError(f"tensor '{site}_b' is given without '{site}_w'")


def _require_consistent(tensors: Mapping[str, np.ndarray]) -> None:
    """Every axis letter has one size; every number is finite and of moderate exponent span."""
    sizes: dict[str, tuple[int, str]] = {}
    for name, axes in AXES.items():
        if name not in tensors:
            continue
        array = tensors[name]
        for letter, side in zip(axes.split(), array.shape, strict=True):
            known, first = sizes.setdefault(letter, (side, name))
            if known != side:
                raise WeightsError(
                    f"tensor {name!r} has {AXIS_NAMES[letter]}={side}, but {first!r} has {AXIS_NAMES[letter]}={known}"
                )
        if not np.isfinite(array).all():
            raise WeightsError(f"tensor {name!r} holds a NaN or an infinity")
        exponents = np.frexp(array[array != 0].astype(np.float64))[1]
        if exponents.size and int(exponents.max()) - int(exponents.min()) > MAX_EXPONENT_SPAN:
            raise WeightsError(f"tensor {name!r} has exponents spanning more than {MAX_EXPONENT_SPAN} bits")


def _digested(architecture: Architecture, tensors: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """What the digest of weights is of: a domain tag, the architecture record, and the tensors in name order."""
    yield DIGEST_DOMAIN
    yield canonical(architecture.record())
    for name, array in sorted(tensors.items()):
        yield name.encode("ascii")
        yield array.dtype.str.encode("ascii")
        yield struct.pack(f"<{array.ndim}Q", *array.shape)
        yield np.ascontiguousarray(array).tobytes()
