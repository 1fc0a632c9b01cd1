"""Strict reader of weights, written from section 3 of `docs/certificate-format.md` and ADR 0003.

A safetensors file to exact integers: a float is a dyadic number, so a tensor is a list of integers and one power of
two that they are divided by.

Contents:
    Tensor — dtype, shape, entries as stored, and the same as integers over a common power of two.
    Weights — canonical tensors, architecture record, digest, assumptions.
    read_weights — bytes and stated values to `Weights`.
"""

import json
import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property

from certificate import canonical, digest
from facts import Facts, UnreadableError, epsilon_of, norms_of, require_understood, scale_of

# Canonical name: its axes. h is the head axis, which the short form of a single head leaves out.
AXES = {
    "W_E": "vm", "W_pos": "pm", "W_Q": "hmd", "W_K": "hmd", "W_V": "hmd", "W_O": "hdm", "W_U": "mo",
    "b_Q": "hd", "b_K": "hd", "b_V": "hd", "b_O": "m", "W_in": "mf", "W_out": "fm", "b_in": "f", "b_out": "m",
    "b_U": "o", "ln1_w": "m", "ln1_b": "m", "ln_final_w": "m", "ln_final_b": "m",
}  # fmt: skip
REQUIRED = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")
LONG_NAMES = {
    "embed.W_E": "W_E", "pos_embed.W_pos": "W_pos", "unembed.W_U": "W_U", "unembed.b_U": "b_U",
    "ln_final.w": "ln_final_w", "ln_final.b": "ln_final_b", "blocks.0.ln1.w": "ln1_w", "blocks.0.ln1.b": "ln1_b",
    **{f"blocks.0.attn.{name}": name for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")},
    **{f"blocks.0.mlp.{name}": name for name in ("W_in", "b_in", "W_out", "b_out")},
}  # fmt: skip
BUFFERS = ("blocks.0.attn.mask", "blocks.0.attn.IGNORE")
ITEM_BYTES = {"F32": 4, "F64": 8, "BOOL": 1, "U8": 1, "I8": 1, "F16": 2, "BF16": 2, "I16": 2, "I32": 4, "I64": 8}
CODES = {"F32": ("<f4", "f"), "F64": ("<f8", "d")}
MAX_HEADER_BYTES = 1 << 20
MAX_SIDE = 1 << 16
MAX_EXPONENT_SPAN = 640
MAX_K = 4096


class Tensor:
    """One tensor.

    Attributes:
        dtype: `<f4` or `<f8`.
        shape: sides, head axis first where there is one.
        raw: the entries as stored.
        low, high: every entry is a multiple of 2**low, and below 2**high in magnitude.
        scale: s such that every entry times 2**s is an integer.
        integers: these integers, row-major; made when they are asked for.
    """

    def __init__(self, name: str, dtype: str, shape: tuple[int, ...], raw: memoryview) -> None:
        self.dtype, self.shape, self.raw = dtype, shape, raw
        exponents = set()
        for (value,) in self._values():
            if not math.isfinite(value):
                raise UnreadableError(f"tensor {name!r} holds a NaN or an infinity")
            if value:
                exponents.add(math.frexp(value)[1])
        self.high, least = (max(exponents), min(exponents)) if exponents else (0, 0)
        if self.high - least > MAX_EXPONENT_SPAN:
            raise UnreadableError(f"tensor {name!r} has exponents spanning more than {MAX_EXPONENT_SPAN} bits")
        self.low = least - (24 if dtype == "<f4" else 53)

    def _values(self) -> Iterator[tuple[float]]:
        return struct.iter_unpack("<f" if self.dtype == "<f4" else "<d", self.raw)

    @cached_property
    def scale(self) -> int:
        """See the class."""
        return max(value.as_integer_ratio()[1].bit_length() - 1 for (value,) in self._values())

    @cached_property
    def integers(self) -> list[int]:
        """See the class."""
        ratios = (value.as_integer_ratio() for (value,) in self._values())
        return [n << (self.scale + 1 - d.bit_length()) for n, d in ratios]

    def rows(self, head: int | None = None) -> list[list[int]]:
        """The integers as rows: of a matrix, of one head of a stack, or a vector as one row."""
        width = self.shape[-1]
        if head is None:
            return [self.integers[i : i + width] for i in range(0, len(self.integers), width)]
        size = math.prod(self.shape[1:])
        return [self.integers[i : i + width] for i in range(head * size, (head + 1) * size, width)]


class Weights:
    """One model.

    Attributes:
        tensors: canonical name to `Tensor`.
        record: the architecture record.
        assumed: what it says that the file does not state; no part of the digest.
        sha256: digest of tensors and record.
    """

    def __init__(self, tensors: dict[str, Tensor], record: dict, assumed: dict[str, str]) -> None:
        self.tensors, self.record, self.assumed = tensors, record, assumed
        parts = [b"pessimal-weights/1", canonical(record)]
        for name in sorted(tensors):
            one = tensors[name]
            shape = struct.pack(f"<{len(one.shape)}Q", *one.shape)
            parts += [name.encode("ascii"), one.dtype.encode("ascii"), shape, one.raw]
        self.sha256 = digest(parts)


def read_weights(data: bytes, stated: dict[str, object] | None = None) -> Weights:
    """Read a model; `stated` may hold k, attn_scale and ln_eps, which win over the file's metadata.

    Raises:
        UnreadableError: malformed file, unsupported, inconsistent or unstated model.
    """
    entries, metadata = _split(data)
    tensors: dict[str, Tensor] = {}
    for long_name, (dtype, sides, raw) in entries.items():
        name = LONG_NAMES.get(long_name, long_name)
        if name not in AXES:
            raise UnreadableError(f"tensor {long_name[:60]!r} is not part of a one-layer transformer")
        if name in tensors:
            raise UnreadableError(f"tensor {name!r} is given twice")
        axes = AXES[name]
        alone = axes[0] == "h" and len(sides) == len(axes) - 1
        shape = (1, *sides) if alone else sides
        if len(shape) != len(axes):
            raise UnreadableError(f"tensor {name!r} has {len(shape)} axes instead of {len(axes)}")
        tensors[name] = Tensor(name, dtype, shape, raw)
    facts = Facts(metadata, stated or {})
    return Weights(tensors, _record(tensors, facts, metadata, stated or {}), facts.assumed)


def _unique(pairs: list) -> dict:
    if len({key for key, _ in pairs}) != len(pairs):
        raise UnreadableError("the safetensors header has a duplicate key")
    return dict(pairs)


def _constant(text: str) -> object:
    raise UnreadableError(f"the safetensors header holds {text}")


def _header(data: bytes) -> tuple[dict, memoryview]:
    """The JSON object, and what follows it."""
    if len(data) < 8:
        raise UnreadableError("not a safetensors file: shorter than 8 bytes")
    (length,) = struct.unpack("<Q", data[:8])
    if length > MAX_HEADER_BYTES or length > len(data) - 8:
        raise UnreadableError("not a safetensors file: the header's length does not fit")
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise UnreadableError("not a safetensors file: the header is not JSON") from None
    if not isinstance(header, dict):
        raise UnreadableError("not a safetensors file: the header is not an object")
    return header, memoryview(data)[8 + length :]


def _is_causal(shape: list[int], data: bytes) -> bool:
    """Whether a mask is zero above its diagonal and nowhere else."""
    if len(shape) != 2:
        return False
    rows, columns = shape
    n = len(data) // (rows * columns)
    entries = (data[place * n : (place + 1) * n] for place in range(rows * columns))
    return all(any(entry) == (place % columns <= place // columns) for place, entry in enumerate(entries))


def _split(data: bytes) -> tuple[dict, dict[str, str]]:
    """Header entries (dtype, shape, bytes) by name, and the metadata; every byte of the file is accounted for."""
    header, body = _header(data)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise UnreadableError("the metadata is not a map of strings")
    spans, found = [], {}
    for name, entry in header.items():
        dtype, shape, start, end = _entry(name, entry, len(body))
        spans.append((start, end))
        if name in BUFFERS:
            if name.endswith("mask") and not _is_causal(shape, body[start:end]):
                raise UnreadableError("a mask hides other positions than those that come later")
            continue
        if dtype not in CODES:
            raise UnreadableError(f"tensor {name[:60]!r} has dtype {dtype}; supported are F32 and F64")
        found[name] = (CODES[dtype][0], tuple(shape), body[start:end])
    covered = 0
    for start, end in sorted(spans):
        if start != covered:
            raise UnreadableError("tensors overlap or leave a hole")
        covered = end
    if covered != len(body):
        raise UnreadableError("bytes that belong to no tensor, or a truncated file")
    return found, metadata


def _entry(name: str, entry: object, n_body: int) -> tuple[str, list[int], int, int]:
    """dtype, shape and byte range of one entry, checked."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise UnreadableError(f"tensor {name[:60]!r}: an entry has exactly dtype, shape, data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
            raise UnreadableError(f"tensor {name[:60]!r}: shape and data_offsets are lists of natural numbers")
    if len(shape) > 8 or any(not 1 <= n <= MAX_SIDE for n in shape) or len(offsets) != 2:
        raise UnreadableError(f"tensor {name[:60]!r}: sides are from 1 to {MAX_SIDE}")
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise UnreadableError(f"tensor {name[:60]!r}: unknown dtype")
    start, end = offsets
    if not start <= end <= n_body or end - start != math.prod(shape) * ITEM_BYTES[dtype]:
        raise UnreadableError(f"tensor {name[:60]!r}: its bytes do not match dtype and shape")
    return dtype, shape, start, end


def _record(tensors: dict[str, Tensor], facts: Facts, metadata: dict[str, str], stated: dict[str, object]) -> dict:
    """The architecture record (section 3 of `docs/certificate-format.md`) from shapes, metadata and what is stated."""
    size = _sizes(tensors)
    require_understood(metadata, size)
    norms = norms_of(tensors, facts)
    if facts.get("positional_embedding_type", "standard") != "standard":
        raise UnreadableError("positional_embedding_type is not standard")
    attention = facts.get("attention", "causal-softmax")
    if attention not in ("causal-softmax", "uniform"):
        raise UnreadableError("attention is neither causal-softmax nor uniform")
    if "f" in size and facts.get("act_fn", "relu") != "relu":
        raise UnreadableError("act_fn is not relu")
    epsilon = epsilon_of(facts) if any(norms) else Fraction(0)
    record = {
        "attention": attention, "attn_scale": scale_of(size["d"], facts),
        "d_head": size["d"], "d_model": size["m"], "d_vocab": size["v"],
        "biases": sorted(name for name in tensors if name.startswith("b_") or name in ("ln1_b", "ln_final_b")),
        "d_vocab_out": size["o"], "k": _positions(size["p"], metadata, stated), "layers": 1,
        "ln1": norms[0] or "none", "ln_eps": f"{epsilon.numerator}/{epsilon.denominator}",
        "ln_final": norms[1] or "none", "n_ctx": size["p"], "n_heads": size["h"],
        "positional": "learned-absolute",
    }  # fmt: skip
    if "ln_eps" in facts.assumed:
        facts.assumed["ln_eps"] = str(record["ln_eps"])
    if stated.get("k") is not None:
        facts.assumed["k"] = str(record["k"])
    return record | ({"act_fn": "relu", "d_mlp": size["f"]} if "f" in size else {})


def _sizes(tensors: dict[str, Tensor]) -> dict[str, int]:
    """One size per axis letter; nothing required is missing and nothing stands without what it belongs to."""
    for name in REQUIRED:
        if name not in tensors:
            raise UnreadableError(f"tensor {name!r} is missing")
    neurons = {"W_in", "W_out", "b_in", "b_out"} & set(tensors)
    if neurons and not {"W_in", "W_out"} <= neurons:
        raise UnreadableError("W_in and W_out come together")
    for site in ("ln1", "ln_final"):
        if f"{site}_b" in tensors and f"{site}_w" not in tensors:
            raise UnreadableError(f"tensor '{site}_b' is given without '{site}_w'")
    size: dict[str, int] = {}
    for name, tensor in tensors.items():
        for axis, side in zip(AXES[name], tensor.shape, strict=True):
            if size.setdefault(axis, side) != side:
                raise UnreadableError(f"tensor {name!r} disagrees with another about the length of an axis")
    return size


def _positions(n_ctx: int, metadata: dict[str, str], stated: dict[str, object]) -> int:
    k: object = stated.get("k")
    if k is None:
        text = metadata.get("n_ctx", str(n_ctx))
        if not (text.isascii() and text.isdigit() and len(text) <= 6):
            raise UnreadableError("metadata n_ctx is not a number of positions")
        k = int(text)
    if type(k) is not int or not 1 <= k <= min(n_ctx, MAX_K):
        raise UnreadableError(f"k={k} positions asked of W_pos with {n_ctx} rows")
    return k
