"""The reader at its limits: the documented digest, header length, buffers of every dtype, negative numbers."""

import hashlib
import json
import struct
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from pessimal.spec import WeightsError, read_weights
from support.models import BIASES, NORMS, Sizes, build, random_tensors

SIZES = Sizes(3, 11, 5, 7, 2, 2)
TENSORS = random_tensors(SIZES, 8, biases=BIASES, norms=NORMS)
ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F16": 2, "BF16": 2, "I16": 2, "I32": 4, "I64": 8, "F32": 4, "F64": 8}


def file(header: bytes, body: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def parts() -> tuple[dict[str, Any], bytes]:
    data = save(TENSORS)
    (n,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def test_the_digest_is_the_documented_one():
    """SHA-256 of tag, record, then name, dtype, shape and bytes of each tensor by name, every part after its length."""
    weights = build(TENSORS)
    stream = [b"pessimal-weights/1"]
    stream.append(json.dumps(weights.architecture.record(), sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(TENSORS):
        array = TENSORS[name]
        stream += [name.encode(), b"<f4", b"".join(n.to_bytes(8, "little") for n in array.shape), array.tobytes()]
    digest = hashlib.sha256(b"".join(len(part).to_bytes(8, "little") + part for part in stream)).hexdigest()
    assert weights.sha256 == digest


def test_the_longest_header_is_a_mebibyte():
    """2**20 bytes are read, one more is not."""
    header, body = parts()
    raw = json.dumps(header).encode()
    assert read_weights(file(raw.ljust(2**20), body)).sha256 == build(TENSORS).sha256
    with pytest.raises(WeightsError, match="length"):
        read_weights(file(raw.ljust(2**20 + 1), body))


@pytest.mark.parametrize("dtype", ITEM_BYTES)
def test_a_buffer_may_have_any_known_dtype(dtype):
    """The fill value is skipped, whatever it holds, if its bytes fit its shape; a mask has to be causal."""
    header, body = parts()
    size = 6 * ITEM_BYTES[dtype]
    for extra, good in ((size, True), (size + 1, False), (size - 1, False)):
        span = [len(body), len(body) + extra]
        mask = {"blocks.0.attn.IGNORE": {"dtype": dtype, "shape": [2, 3], "data_offsets": span}}
        data = file(json.dumps(header | mask).encode(), body + bytes(extra))
        if good:
            assert read_weights(data).sha256 == build(TENSORS).sha256
        else:
            with pytest.raises(WeightsError, match="IGNORE"):
                read_weights(data)


@pytest.mark.parametrize("dtype", ITEM_BYTES)
def test_a_mask_is_causal_in_any_dtype(dtype):
    """Zero above the diagonal and nowhere else: another mask is another model."""
    header, body = parts()
    width = ITEM_BYTES[dtype]
    for shown, good in (
        ([[1, 0], [1, 1]], True),
        ([[1, 0], [0, 1]], False),
        ([[1, 1], [1, 1]], False),
        ([1, 1, 1, 1], False),
    ):
        rows = np.array(shown, dtype=np.uint8)
        raw = b"".join(bytes(width - 1) + bytes([one]) for one in rows.ravel().tolist())
        mask = {"dtype": dtype, "shape": list(rows.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        data = file(json.dumps(header | {"blocks.0.attn.mask": mask}).encode(), body + raw)
        if good:
            assert read_weights(data).sha256 == build(TENSORS).sha256
        else:
            with pytest.raises(WeightsError, match="hides other positions"):
                read_weights(data)


@pytest.mark.parametrize("fields", [{"data_offsets": [-1, 59]}, {"shape": [-1, -15]}, {"shape": [-3, 5]}])
def test_negative_numbers_are_refused_by_name(fields):
    """Even where differences and products come out right."""
    header, body = parts()
    assert header["W_E"]["shape"] == [3, 5]
    header["W_E"] |= fields
    with pytest.raises(WeightsError, match="natural"):
        read_weights(file(json.dumps(header).encode(), body))


def test_a_shape_has_at_most_eight_sides():
    """Eight sides are a shape, though no tensor of the model has them; nine are not."""
    header, body = parts()
    header["W_E"]["shape"] = [3, 5, 1, 1, 1, 1, 1, 1]
    with pytest.raises(WeightsError, match="axes"):
        read_weights(file(json.dumps(header).encode(), body))
    header["W_E"]["shape"].append(1)
    with pytest.raises(WeightsError, match="natural"):
        read_weights(file(json.dumps(header).encode(), body))


def test_arrays_are_views_of_little_endian_numbers():
    """float64 is read as float64."""
    wide = {name: array.astype(np.float64) for name, array in TENSORS.items()}
    assert {str(a.dtype) for a in build(wide).tensors.values()} == {"float64"}


def test_a_tensor_given_twice_under_one_name_is_refused():
    """Two equal entries of one name, and two equal keys of the metadata, in a file that is otherwise good."""
    header, body = parts()
    entry = json.dumps(header["W_E"]).encode()
    good = json.dumps(header | {"__metadata__": {"a": "b"}}).encode()
    assert read_weights(file(good, body)).sha256
    for old, new in (
        (b'"W_E": ' + entry, b'"W_E": ' + entry + b', "W_E": ' + entry),
        (b'"a": "b"', b'"a": "b", "a": "b"'),
    ):
        assert good.count(old) == 1
        with pytest.raises(WeightsError, match="duplicate"):
            read_weights(file(good.replace(old, new), body))


@pytest.mark.parametrize("metadata", [3, None, [], ["a"], "a", {"a": 1}, {"a": "b", "c": None}, {"a": {"b": "c"}}])
def test_metadata_that_is_no_map_of_strings_is_refused(metadata):
    """In a file that is otherwise good."""
    header, body = parts()
    with pytest.raises(WeightsError, match="map of strings"):
        read_weights(file(json.dumps(header | {"__metadata__": metadata}).encode(), body))


def test_a_length_beyond_the_file_is_said_to_be_one():
    """The header would begin and end within the file, but its length says otherwise; 8 zero bytes have no header."""
    raw = json.dumps(parts()[0]).encode()
    for more in (1, 8, 9):
        with pytest.raises(WeightsError, match="length does not fit"):
            read_weights(struct.pack("<Q", len(raw) + more) + raw)
    with pytest.raises(WeightsError, match="not valid JSON"):
        read_weights(bytes(8))
    with pytest.raises(WeightsError, match="shorter"):
        read_weights(bytes(7))
