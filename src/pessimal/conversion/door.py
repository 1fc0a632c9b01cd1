"""What people have, to the bytes that the trusted reader reads.

The result is a canonical safetensors file with the names of TransformerLens, and is read by nothing but the trusted
reader; so whoever believes it need not believe this package, only look at that file. A safetensors file that the
trusted reader reads as it is stays as it is, byte for byte.

Contents:
    Conversion — the bytes, and what was done.
    convert_bytes — a file to a conversion.
    convert_object — a state dict or a model in Python to a conversion.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from pessimal.conversion.archive import Archive
from pessimal.conversion.checkpoint import StateDict, is_weight, state_dict_of
from pessimal.conversion.configuration import CONFIGURATIONS, facts_of, heads_of, merged, metadata_of
from pessimal.conversion.first_bytes import SAFETENSORS, ZIP, recognise
from pessimal.conversion.interface import ConversionError, Stated, Tensor, said
from pessimal.conversion.layouts import arranged
from pessimal.conversion.names import FULL_NAMES, HOOKED, LINEAR
from pessimal.conversion.numpy_archive import holds_numpy, read_numpy
from pessimal.conversion.python_objects import read_object
from pessimal.conversion.safetensors_file import read_safetensors, write_safetensors
from pessimal.conversion.torch_archive import holds_torch, read_torch
from pessimal.spec.weight_file import BUFFERS

HEAD = 1 << 16
TORCH, NUMPY, STATE_DICT, SAFE = "pt", "npz", "state-dict", "safetensors"
# A matrix of 16-bit floats is widened exactly: their exponents and fractions are parts of those of float32.
NARROW = {"F16": "float16", "BF16": "bfloat16"}
FLOATS = {"F32", "F64", *NARROW}


@dataclass(frozen=True)
class Conversion:
    """What became of a file.

    Attributes:
        data: a safetensors file.
        kind: what was converted (pt, npz, state-dict, safetensors), or empty if the data are those given.
        source_sha256: of the file as given; empty for an object.
        notes: what was done.
    """

    data: bytes
    kind: str
    source_sha256: str
    notes: tuple[str, ...]

    def line(self, name: str) -> str:
        """What was done, in one line.

        Args:
            name: of the file, or what the object is.
        """
        digest = f"; sha256 of the file as given: {self.source_sha256}" if self.source_sha256 else ""
        done = "".join(f"; {note}" for note in self.notes)
        return f"converted {name} ({self.kind}) to safetensors in memory{done}{digest}"


def convert_bytes(data: bytes, stated: Stated | None = None) -> Conversion:
    """A file to what the trusted reader reads.

    Args:
        data: the whole file.
        stated: what the file does not say.

    Raises:
        ConversionError: it is something else, or cannot be read without guessing.
    """
    stated = stated or Stated()
    kind = recognise(data[:HEAD])
    if kind is None:
        return Conversion(data, "", "", ())
    if kind == SAFETENSORS:
        return _from_safetensors(data, stated)
    if kind != ZIP:
        raise ConversionError(kind.sentence())
    archive = Archive(data)
    if holds_torch(archive):
        tree, word = read_torch(archive), TORCH
    elif holds_numpy(archive):
        tree, word = read_numpy(archive), NUMPY
    else:
        first = f" (its first entry is {said(archive.names[0])})" if archive.names else ""
        raise ConversionError(f"it is a zip archive without tensors of torch or NumPy{first}; {ZIP.remedy}")
    found = state_dict_of(tree, stated)
    return _finished(found, {}, stated, word, hashlib.sha256(data).hexdigest())


def convert_object(model: Any, stated: Stated | None = None) -> Conversion:
    """A state dict or a model in Python to what the trusted reader reads.

    Raises:
        ConversionError: it is neither, or cannot be read without guessing.
    """
    tree, facts = read_object(model)
    found = state_dict_of(tree, stated or Stated())
    found.facts = merged(found.facts, facts)
    return _finished(found, {}, stated or Stated(), STATE_DICT, "")


def _from_safetensors(data: bytes, stated: Stated) -> Conversion:
    """The file as it is, if the trusted reader takes it; what is malformed is left to that reader."""
    as_it_is = Conversion(data, "", "", ())
    read = read_safetensors(data)
    if read is None:
        return as_it_is
    tensors, metadata = read
    plain = all(_is_plain(key, tensor) for key, tensor in tensors.items())
    if plain and not any(HOOKED.get(key) == "W_E" for key in tensors):
        return as_it_is
    try:
        found = state_dict_of(tensors, stated)
    except ConversionError:
        if plain:
            return as_it_is
        raise
    aliases = {key: name for key, name in metadata.items() if key not in tensors and name in tensors and is_weight(key)}
    for key, name in aliases.items():
        _add_alias(found, found.bare(key), found.bare(name), stated)
    facts: Mapping[str, Any] = {key: text for key, text in metadata.items() if key not in aliases}
    described = sorted(metadata.keys() & set(CONFIGURATIONS))
    facts = facts_of(facts) if described else facts
    for key in described:
        found.notes.append(f"read the configuration {said(key)} in its metadata")
    result = _finished(found, facts, stated, SAFE, hashlib.sha256(data).hexdigest())
    return result if result.notes or not plain else as_it_is


def _is_plain(key: str, tensor: Tensor) -> bool:
    """Whether the trusted reader takes a tensor of this name and dtype."""
    return key in BUFFERS or (key in HOOKED and tensor.dtype in {"F32", "F64"})


def _finished(found: StateDict, facts: Mapping[str, Any], stated: Stated, kind: str, digest: str) -> Conversion:
    """Names, numbers, layout, metadata, bytes."""
    notes = found.notes
    known = merged(found.facts, facts)
    heads = _heads(known, stated)
    hooked, linear = _by_name(found)
    arrays = arranged(hooked, linear, heads, stated, notes)
    if "W_U" not in arrays and "W_E" in arrays and (stated.tied or _says_tied(known)):
        arrays["W_U"] = arrays["W_E"].T
        notes.append("W_U is tied to W_E: written out as its transpose")
    if "W_U" not in arrays and "W_E" in arrays:
        raise ConversionError("tensor 'W_U' is missing; if it is tied to W_E, state so (--tied)")
    _require_heads(arrays, stated)
    scale = stated.metadata.get("attn_scale", "1")
    if "/" not in scale and scale != "1":
        raise ConversionError(
            f"attn_scale={scale[:40]} by hand has two readings: state the factor as a fraction, such as 1/8"
        )
    metadata = metadata_of(known)
    metadata.update(stated.metadata)
    if stated.metadata:
        notes.append(f"stated by hand: {', '.join(f'{key}={value}' for key, value in sorted(stated.metadata.items()))}")
    if stated.summed:
        _sum_attention(arrays, metadata, notes)
    written = {FULL_NAMES[name]: array for name, array in arrays.items()}
    return Conversion(write_safetensors(written, metadata), kind, digest, tuple(notes))


def _heads(facts: Mapping[str, Any], stated: Stated) -> int | None:
    in_file = heads_of(facts)
    if stated.n_heads is not None and stated.n_heads < 1:
        raise ConversionError("--n-heads must be positive")
    if None not in {in_file, stated.n_heads} and in_file != stated.n_heads:
        raise ConversionError(f"{stated.n_heads} heads are stated by hand, and its configuration says {in_file}")
    return in_file if stated.n_heads is None else stated.n_heads


def _require_heads(arrays: Mapping[str, np.ndarray], stated: Stated) -> None:
    """What is stated must be so where the shapes say it."""
    keys = arrays.get("W_Q")
    there = 1 if keys is None or keys.ndim != 3 else keys.shape[0]
    if stated.n_heads is not None and stated.n_heads != there:
        raise ConversionError(f"{stated.n_heads} heads are stated by hand, and W_Q has {there}")


def _says_tied(facts: Mapping[str, Any]) -> bool:
    return any(str(facts.get(key)) == "True" for key in ("tie_word_embeddings", "tied_embeddings", "tie_weights"))


def _add_alias(found: StateDict, key: str, name: str, stated: Stated) -> None:
    """Add a tensor that is in the file under another name only, as its metadata says."""
    missing, there = (HOOKED.get(one) or LINEAR.get(one) for one in (key, name))
    if missing is None or name not in found.tensors:
        return
    tensor = found.tensors[name]
    how = "written out"
    if (missing, there) == ("W_U", "W_E") and key in HOOKED and len(tensor.shape) == 2:
        rows, width = tensor.shape
        if rows == width and not stated.tied:
            raise ConversionError(
                "W_U is tied to W_E in its metadata, and both are square: write W_U out, or state that it is the"
                " transpose of W_E (--tied)"
            )
        if stated.tied or width == _width(found):
            how = "written out as its transpose"
            tensor = _transposed(tensor)
    found.tensors[key] = tensor
    found.notes.append(f"{missing} is tied to {there or name} in its metadata: {how}")


def _width(found: StateDict) -> int | None:
    """d_model by the positions, whose layout is the same everywhere."""
    return next((t.shape[-1] for key, t in found.tensors.items() if HOOKED.get(key) == "W_pos" and t.shape), None)


def _transposed(tensor: Tensor) -> Tensor:
    return Tensor(tensor.dtype, tensor.shape[::-1], lambda: tensor.read().T)


def _by_name(found: StateDict) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Arrays by canonical name, those with names of HookedTransformer and those with names of TransformerBridge."""
    hooked: dict[str, np.ndarray] = {}
    linear: dict[str, np.ndarray] = {}
    widened: dict[str, int] = {}
    for key, tensor in found.tensors.items():
        short = HOOKED.get(key) or LINEAR.get(key)
        if short is None:
            raise ConversionError(_no_weight(key))
        if tensor.dtype not in FLOATS:
            raise ConversionError(f"tensor {said(key)} has dtype {tensor.dtype}; floats of 16, 32 and 64 bits are read")
        array = _floats(tensor)
        if tensor.dtype in NARROW:
            widened[tensor.dtype] = widened.get(tensor.dtype, 0) + 1
        place = hooked if key in HOOKED else linear
        for others in (hooked, linear):
            if short in others and not (others is place and np.array_equal(others[short], array)):
                raise ConversionError(f"tensor {short!r} is given twice under different names, with other numbers")
        place[short] = array
    for dtype, count in sorted(widened.items()):
        found.notes.append(f"widened {count} tensors from {NARROW[dtype]} to float32, exactly")
    return hooked, linear


def _no_weight(key: str) -> str:
    """Why a tensor has no place in a one-layer transformer."""
    parts = key.split(".")
    if len(parts) > 1 and parts[0] in {"blocks", "layers"} and parts[1].isdigit() and int(parts[1][:6]) > 0:
        return f"tensor {said(key)} belongs to another layer: models of one layer are proved"
    return f"tensor {said(key)} is no weight of a one-layer transformer"


def _floats(tensor: Tensor) -> np.ndarray:
    """The numbers as float32 or float64, each exactly."""
    numbers = tensor.read()
    if tensor.dtype == "BF16" and numbers.dtype.kind == "u":
        # Its bits are the upper half of those of float32.
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.astype(np.float64 if tensor.dtype == "F64" else np.float32)


def _sum_attention(arrays: dict[str, np.ndarray], metadata: dict[str, str], notes: list[str]) -> None:
    """Attention 1 at each of k positions is attention 1/k to values times k; exact, in float64 if need be."""
    text = metadata.get("n_ctx", "")
    rows = arrays["W_pos"].shape[0] if "W_pos" in arrays else 1
    k = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else rows
    for name in {"W_V", "b_V"} & arrays.keys():
        wide = arrays[name].astype(np.float64) * k
        if not _is_product(wide, arrays[name], k):
            raise ConversionError(
                f"{name} times {k} positions is no float64; uniform attention cannot be written exactly"
            )
        narrow = wide.astype(np.float32)
        arrays[name] = narrow if np.array_equal(narrow, wide) and arrays[name].dtype == np.float32 else wide
    metadata["attention"] = "uniform"
    notes.append(f"attention 1 at every position: written as uniform attention and values times {k}")


def _is_product(wide: np.ndarray, array: np.ndarray, k: int) -> bool:
    """Whether float64 numbers are exactly k times others."""
    if array.dtype == np.float32 and k < 1 << 29:
        return True
    pairs = zip(wide.ravel().tolist(), array.ravel().tolist(), strict=True)
    return all(math.isfinite(one) and Fraction(one) == k * Fraction(other) for one, other in pairs)
