"""Damage that the tests of independent checkers do to certificates and weights of one model.

Contents:
    flipped, flipped_weights — one bit.
    other_weights — files with another header or other tensors.
    other_fields, other_hints — certificates that say something else.
    malformed — containers that are none.
"""

import json

import numpy as np

from pessimal.kernel.certificate import canonical
from pessimal.testing import safetensors_bytes
from support.reference_checker import EXAMPLE, PROOFS, RULES, changed, join, split, stored

HEADER, BODY = split(PROOFS["moment"])
GRID, GRID_BODY = split(PROOFS["grid"])
SHORT, SHORT_BODY = split(PROOFS["short"])


def flipped(name):
    """One certificate with one bit flipped: in every byte of the long one, in every eleventh of the others."""
    data = PROOFS[name]
    for i in range(0, len(data), 1 if name == "moment" else 11):
        yield bytes([*data[:i], data[i] ^ (1 << i % 8), *data[i + 1 :]])


def flipped_weights():
    """The weights with one bit flipped, cut off, or too long."""
    raw = stored(EXAMPLE)
    yield from (bytes([*raw[:i], raw[i] ^ (1 << i % 8), *raw[i + 1 :]]) for i in range(0, len(raw), 3))
    yield from (raw[:n] for n in (0, 7, 8, 100, len(raw) - 1))
    yield raw + b"\0"


def other_weights():
    """Weights files with a header that says something else, or with other tensors."""
    raw = stored(EXAMPLE)
    header, body = split(raw)
    first, second, *_ = header
    tensors = {name: np.array(array) for name, array in EXAMPLE.tensors.items()}
    for change in (
        {first: {**header[first], "data_offsets": header[second]["data_offsets"]}}, {first: {**header[first], "shape": [1]}},
        {first: {**header[first], "dtype": "F64"}}, {first: {**header[first], "more": 1}}, {"W_X": header[first]},
        {"__metadata__": {"n_ctx": "2"}}, {"__metadata__": {"n_ctx": "4"}}, {"__metadata__": {"attn_scale": "2"}},
        {"__metadata__": {"normalization_type": "LN"}}, {"__metadata__": {"normalization_type": "LNPre", "eps": "0"}},
        {"__metadata__": {"attention": "uniform"}}, {"__metadata__": {"k": 1}}, {"__metadata__": {"ln_eps": "x"}},
    ):  # fmt: skip
        yield join({**header, **change}, body)
    yield join({name: entry for name, entry in header.items() if name != first}, body)
    # A hole: the last tensor twice in the file, once in the header.
    last = max(header, key=lambda name: header[name]["data_offsets"][0])
    start, end = header[last]["data_offsets"]
    moved = {**header[last], "data_offsets": [end, 2 * end - start]}
    yield join({**header, last: moved}, body + body[start:])
    yield join(canonical(header)[:-1] + b"," + canonical({first: header[first]})[1:], body)
    for name, array in {
        "W_E": tensors["W_E"][:, :-1], "W_U": tensors["W_U"] * np.float32(np.nan), "ln1_b": np.ones(3, np.float32),
        "W_in": np.ones((2, 3), np.float32), "b_Q": np.ones(0, np.float32),
        "W_V": tensors["W_V"].astype(np.float64) * np.where(tensors["W_V"] > 0, 1e300, 1e-300),
    }.items():  # fmt: skip
        yield safetensors_bytes({**tensors, name: np.ascontiguousarray(array)})


def with_arrays(header, **arrays):
    entries = [{"dtype": a.dtype.name, "name": name, "shape": list(a.shape)} for name, a in sorted(arrays.items())]
    return join({**header, "arrays": entries}, b"".join(a.tobytes() for _, a in sorted(arrays.items())))


def tilts(m=8, e=0, shape=(1, 15), dtype=np.int64):
    return {"tilt_mantissa": np.full(shape, m, dtype=dtype), "tilt_exponent": np.full(shape, e, dtype=dtype)}


def other_fields():
    """Certificates with a field, an option or an array that says something else."""
    for value in (None, True, 1, "x", [], {}, [1], {"a": 1}):
        yield from (changed(PROOFS["moment"], **{key: value}) for key in HEADER)
    for key in HEADER:
        yield join({name: value for name, value in HEADER.items() if name != key}, BODY)
    for key, values in {
        "near": (0, 1, 5, 6, "2"), "rival": ("none", "every", "joint", "plain"), "position": (1, "pessimal"), "more": (1, True, [1]),
    }.items():  # fmt: skip
        yield from (changed(PROOFS["moment"], options={**HEADER["options"], key: value}) for value in values)
    for key, values in {"cells": (0, 1, 65536, 65537), "sides": (1, 2, 3), "rival": ("joint", "plain")}.items():
        yield from (join({**GRID, "options": {**GRID["options"], key: value}}, GRID_BODY) for value in values)
    for more in ({"position": "pessimal"}, {"near": 4}, {"near": 4, "sides": 1}):
        yield join({**GRID, "options": {**GRID["options"], **more}}, GRID_BODY)
    yield changed(PROOFS["minima"], options={"near": 5})
    for key, value in {"name": "min-of-k", "k": 4, "d_vocab": 7, "token": 1}.items():
        yield changed(PROOFS["moment"], task={**HEADER["task"], key: value})
    for rule in (*RULES, "prayer"):
        yield changed(PROOFS["moment"], rule=rule)
    for name in ("product", "markov", "zipf"):
        yield changed(PROOFS["moment"], distribution={"name": name})
    yield from other_claims()


def other_claims():
    """Certificates that claim something else."""
    for kind in ("probability", "mean-probability", "loss", "x"):
        yield changed(PROOFS["moment"], claim={**HEADER["claim"], "kind": kind})
        for correct in (200, (125 << 20) + 1):
            claim = {"kind": kind, "correct": str(correct), "total": str(125 << 20)}
            yield changed(PROOFS["moment"], claim=claim)
    for correct in ("0", "9" * 4001):
        claim = {"kind": "loss", "correct": correct, "total": str(125 << 20)}
        yield changed(PROOFS["moment"], semantics="float32" if correct == "0" else "real", claim=claim)
    yield changed(PROOFS["moment"], semantics="float16")
    for count in ("-1", "+1", " 1", "01", "1.0", "", "²", "9" * 4001):
        yield changed(PROOFS["moment"], claim={**HEADER["claim"], "correct": count})


def other_hints():
    """Certificates with hints of another form or value."""
    for hint in (
        {}, tilts(-1), tilts(2**53), tilts(2**53 + 1), tilts(e=1000), tilts(e=1001), tilts(e=-1001), tilts(e=-(2**63)),
        tilts(shape=(1, 14)), tilts(shape=(15,)), tilts(dtype=np.float64), tilts(0, dtype=np.float64), tilts() | {"more": np.zeros(1, np.int64)},
        tilts() | {"distribution_weights": np.ones((1, 5), np.int64)},
    ):  # fmt: skip
        yield with_arrays(HEADER, **hint)
    yield with_arrays(split(PROOFS["minima"])[0], tilt=np.zeros(4, np.int64))
    n = SHORT["arrays"][0]["shape"][0]
    for packed in ((-1,) * n, (0,) * n, (1 << 48,) * n, (7,) * n, (8,) * (n + 1), (16007,) * n, (16008,) * n):
        yield with_arrays(SHORT, tilt=np.array(packed, dtype=np.int64))
    product = {**HEADER, "distribution": {"name": "product"}, "options": {**HEADER["options"], "near": 5}}
    for rows, top in (([[1] * 5], 125), ([[2, 1, 0, 1, 1]], 125), ([[1] * 5] * 3, 125), ([[1] * 5] * 2, 125),
                      ([[0] * 5], 0), ([[-1, 2, 2, 1, 1]], 125), ([[2**48 + 1] * 5], 125), ([[1] * 4], 64)):  # fmt: skip
        claim = {"kind": "probability", "correct": "0", "total": str(top)}
        weighed = {"distribution_weights": np.array(rows, dtype=np.int64)}
        yield with_arrays({**product, "claim": claim}, **tilts(), **weighed)


def malformed():
    """Certificates that are cut off, or whose header is no header."""
    data = PROOFS["moment"]
    headers = [
        b"", b"null", b"[]", b"{}", b'{"a":NaN}', b'{"a":1e999}', b'{"a":-0}', b'{"a":' + b"9" * 10_000 + b"}",
        b"[" * 50_000, b"1" * 65537, b'{"a":' * 900 + b"1" + b"}" * 900, b'{"a":"\\ud800"}', b"\xff\xfe", canonical(HEADER) + b" ",
        canonical({**HEADER, "task": {"a": [[1]]}}), canonical({**HEADER, "task": {"a": [[[1]]]}}),
        canonical(HEADER).replace(b'"near":2', b'"near":02'), json.dumps(HEADER, sort_keys=True).encode(), canonical(HEADER)[:-1] + b',"a":1}',
    ]  # fmt: skip
    yield from (join(one, BODY) for one in headers)
    yield from (data[:n] for n in range(0, len(data), 5))
    yield data + b"\0"
    many = [{"dtype": "int64", "name": str(i), "shape": [1]} for i in range(65)]
    for entries in (many, many[:64], [many[0], many[0]]):
        yield join({**HEADER, "arrays": entries}, bytes(8 * len(entries)))
    for shape in ([0], [2**62, 2**62], [-1], [1] * 5, [True], ["1"], 1, [2**63], []):
        entry = {"dtype": "int64", "name": "tilt_mantissa", "shape": shape}
        yield join({**HEADER, "arrays": [entry]}, BODY)
