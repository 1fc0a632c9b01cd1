"""The trusted reader: every malformed file is one clear WeightsError, and every byte of a file is accounted for."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from pessimal.spec import WeightsError, read_weights
from support.models import build, random_tensors
from support.sampling import examples
from support.weight_files import SIZES, TINY, everything, file, parts, refused, short


def tiny_file() -> bytes:
    return save({n: np.ascontiguousarray(a) for n, a in short(random_tensors(TINY, 1)).items()}, {"n_ctx": "1"})


def test_a_file_truncated_anywhere_is_refused():
    """Every proper prefix."""
    data = tiny_file()
    assert read_weights(data).sha256
    for n in range(len(data)):
        refused(data[:n])


@pytest.mark.parametrize("extra", [b"\0", b"\0" * 8, b"junk"])
def test_bytes_after_the_last_tensor_are_refused(extra):
    """Every byte is accounted for."""
    refused(tiny_file() + extra, "belong to no tensor")


def broken(change: Callable[[dict[str, Any]], Any], body: bytes | None = None) -> bytes:
    header, data = parts(tiny_file())
    return file(change(header) or header, data if body is None else body)


def entry(name: str, **fields: Any) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        header[name] = header[name] | fields

    return change


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        del header[name]["dtype"]

    return change


BAD_ENTRIES = [
    entry("W_E", dtype="F16"), entry("W_E", dtype="I32"), entry("W_E", dtype="I64"), entry("W_E", dtype="BOOL"),
    entry("W_E", dtype="BF16"), entry("W_E", dtype="F8"), entry("W_E", dtype=3), entry("W_E", dtype=None),
    entry("W_E", dtype=["F32"]), entry("W_E", dtype="F64"), entry("W_E", shape=[2, 2]), entry("W_E", shape=[-2, -1]),
    entry("W_E", shape=[2.0, 1.0]), entry("W_E", shape="21"), entry("W_E", shape=[True, 2]), entry("W_E", shape=None),
    entry("W_E", shape=[2**70, 0]), entry("W_E", shape=[0, 65536, 65536, 65536, 65536, 65536]), entry("W_E", shape=[1] * 9),
    entry("W_E", shape=[65537, 0]), entry("W_E", shape=[[2], 1]), entry("W_E", data_offsets=[0, 8, 8]),
    entry("W_E", data_offsets=[8, 0]), entry("W_E", data_offsets=[-8, 0]), entry("W_E", data_offsets=[0, 2**80]),
    entry("W_E", data_offsets=[True, 8]), entry("W_E", data_offsets=[0]), entry("W_E", data_offsets="08"),
    entry("W_E", data_offsets=[0.0, 8.0]), entry("W_E", extra=1), drop("W_E"), lambda h: h | {"W_E": 3},
    lambda h: h | {"W_E": None}, lambda h: h | {"W_E": []},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD_ENTRIES)
def test_a_malformed_entry_is_refused_by_name(change):
    """Wrong dtype, shape, offsets or fields; the message names the tensor."""
    refused(broken(change), "W_E")


@pytest.mark.parametrize("shape", [[0, 65536] + [65536] * 6, [0] + [65536] * 7, [65536] * 7 + [0], [0], [0, 0]])
def test_an_empty_tensor_of_astronomical_shape_is_refused(shape):
    """A zero side multiplied by sides whose product no array can have."""
    refused(file({"W_E": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}))


BAD_HEADERS = [
    b"", b"{", b"[]", b"3", b"null", b'"x"', b"\xff\xfe", b"{}x", b"[" * 5000, b'{"a":' * 3000, b"[" * 100_000,
    b'{"W_E":' + b"1" * 10_000 + b"}", b'{"W_E": NaN}', b'{"W_E": Infinity}', b'{"W_E": -Infinity}', b'{"a":1,"a":2}',
    b'{"__metadata__": {"a": "b", "a": "c"}}', b'{"__metadata__": 3}', b'{"__metadata__": {"a": 1}}',
    b'{"__metadata__": {"a": null}}', b'{"__metadata__": []}', b'{"\\ud800": 1}', b"{}", b'{"W_E": 1e999}',
    b'{"W_E": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 0]}}',
]  # fmt: skip


@pytest.mark.parametrize("raw", BAD_HEADERS, ids=range(len(BAD_HEADERS)))
def test_a_malformed_header_is_refused(raw):
    """Bad JSON, duplicates, NaN constants, deep nesting, 10,000-digit integers, lone surrogates."""
    refused(file(raw))


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**20 + 1, 10**6])
def test_a_header_length_past_the_file_is_refused(length):
    """The length is compared with the file and with a limit before anything is read."""
    refused(struct.pack("<Q", length) + b"{}", "length")
    refused(struct.pack("<Q", 2**20 + 1) + b" " * (2**20 + 1), "length")


def test_duplicate_tensors_are_refused():
    """The same tensor under a short and a TransformerLens name."""
    tensors = random_tensors(SIZES, 1)
    refused(save(tensors | {"embed.W_E": tensors["W_E"]}), "W_E", "twice")


def test_overlaps_and_holes_are_refused():
    """Every byte of the body belongs to exactly one tensor."""
    header, body = parts(tiny_file())
    names = sorted((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"])
    sizes = {n: header[n]["data_offsets"][1] - header[n]["data_offsets"][0] for n in names}
    same = [n for n in names if sizes[n] == sizes[names[-1]]]
    assert len(same) > 1
    overlapping = {n: dict(e) for n, e in header.items()}
    overlapping[same[1]]["data_offsets"] = header[same[0]]["data_offsets"]
    refused(file(overlapping, body), "overlap")
    shifted = {n: dict(e) for n, e in header.items()}
    last = names[-1]
    shifted[last]["data_offsets"] = [x + 4 for x in header[last]["data_offsets"]]
    refused(file(shifted, body + b"\0" * 4), "overlap or leave a hole")


def test_offsets_may_come_in_any_order():
    """The order of entries in the header is free."""
    header, body = parts(tiny_file())
    turned = dict(reversed(list(header.items())))
    assert read_weights(file(turned, body)).sha256 == read_weights(tiny_file()).sha256


@pytest.mark.parametrize("name", ["W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U"])
def test_a_missing_tensor_is_named(name):
    """Every required tensor."""
    tensors = random_tensors(SIZES, 1)
    del tensors[name]
    refused(save(tensors), repr(name), "missing")


@pytest.mark.parametrize(
    "name", ["W_gate", "blocks.1.attn.W_Q", "blocks.0.mlp.W_in", "W_E ", "w_e", "blocks.0.attn.masks", ""]
)
def test_an_unexpected_tensor_is_named(name):
    """Anything the semantics does not know."""
    refused(save(random_tensors(SIZES, 1) | {name: np.zeros(3, dtype=np.float32)}), repr(name))


@pytest.mark.parametrize("name", sorted(everything()))
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_entry_is_named(name, bad):
    """NaN and infinities in any tensor."""
    tensors = everything()
    tensors[name].ravel()[-1] = bad
    refused(save(tensors), name, "NaN or an infinity")


@pytest.mark.parametrize("name", sorted(everything()))
def test_an_inconsistent_shape_is_named(name):
    """Each tensor with one side too long, each axis, or one axis too many, or none at all."""
    tensors = everything()
    for axis in range(tensors[name].ndim):
        if name == "W_pos" and axis == 0:
            continue  # n_ctx may be any length
        if name == "W_E" and axis == 0:
            continue  # d_vocab is W_E's alone
        longer = np.concatenate([tensors[name]] * 2, axis=axis)
        refused(save(tensors | {name: longer}), "has")
        refused(save(tensors | {name: np.take(tensors[name], [], axis=axis)}), "empty")
    refused(save(tensors | {name: tensors[name][..., None, None]}), name, "axes")
    refused(save(tensors | {name: np.array(1, dtype=np.float32)}), name, "axes")


@pytest.mark.parametrize("site", ["ln1", "ln_final"])
def test_a_norm_bias_without_gain_is_named(site):
    """ln_b without ln_w."""
    tensors = everything()
    del tensors[f"{site}_w"]
    refused(save(tensors), f"{site}_b", f"{site}_w")


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int16, np.int32, np.int64, np.uint8, np.float16])
@pytest.mark.parametrize("name", ["W_E", "b_U"])
def test_other_dtypes_are_named(name, dtype):
    """Booleans, integers and half precision are not weights."""
    tensors = everything()
    refused(save(tensors | {name: np.ones(tensors[name].shape, dtype=dtype)}), name)


def test_a_huge_span_of_exponents_is_named():
    """Exact integers would become too long; the limit is on one tensor, zeros aside."""
    tensors = {n: a.astype(np.float64) for n, a in random_tensors(SIZES, 1).items()}
    tensors["W_E"][...] = 1
    tensors["W_E"][0, 0], tensors["W_E"][0, 1] = 2.0**640, 0.0
    assert build(tensors).sha256
    tensors["W_E"][0, 0] = 2.0**641
    refused(save(tensors), "W_E", "exponents")


@settings(max_examples=examples(400))
@given(st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 20))
def test_mutated_files_are_read_or_refused(changes, cut):
    """Byte mutations and cuts of a valid file raise WeightsError or give finite tensors and another digest."""
    data = bytearray(tiny_file())
    original = read_weights(bytes(data))
    for place, value in changes:
        # half of the changes fall into the header
        limit = len(data) if place % 2 else len(data) - len(parts(tiny_file())[1])
        data[place % limit] = value
    data = data[: len(data) - cut] if cut > 15 else data
    message, weights = "", original
    try:
        weights = read_weights(bytes(data))
    except WeightsError as error:
        message = str(error)
    if message:
        assert "\n" not in message
        return
    assert all(np.isfinite(a).all() for a in weights.tensors.values())
    same = all((weights.tensors[n].tobytes() == a.tobytes()) for n, a in original.tensors.items())
    assert (weights.sha256 == original.sha256) == (same and weights.architecture == original.architecture)


@settings(max_examples=examples(200))
@given(st.binary(max_size=60), st.booleans())
def test_arbitrary_bytes_are_refused(data, framed):
    """Noise, with and without a fitting length."""
    with pytest.raises(WeightsError):
        read_weights(file(data) if framed else data)
