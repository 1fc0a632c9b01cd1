"""Strict decoder of the certificate container. The format is specified in `docs/certificate-format.md`.

8-byte little-endian header length, canonical JSON header, then the raw little-endian arrays that the header names, in
its order, with nothing between or after them. The header is accepted only if it is the one canonical encoding of what
it says, which rules out duplicate keys, floats, NaN, stray white space and unusual escapes at once.

Contents:
    Certificate — a decoded claim with its hints; nothing in it is believed.
    decode — bytes to `Certificate`, or `Rejected`.
"""

import json
import struct
from dataclasses import dataclass
from math import prod
from typing import Any, Never

import numpy as np

from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.digest import canonical
from pessimal.spec.distribution import PREFIX

FORMAT = "pessimal-certificate/1"
TYPES: dict[str, type] = {
    "arrays": list, "claim": dict, "distribution": dict, "format": str, "model": dict, "options": dict, "rule": str,
    "semantics": str, "strategy": str, "task": dict, "weights_sha256": str,
}  # fmt: skip
DTYPES = {"int64": "<i8", "float64": "<f8"}
MAX_HEADER_BYTES = 1 << 16
MAX_DEPTH = 4
MAX_ARRAYS = 64
MAX_DIGITS = 4000
MAX_INTEGER = 2**63


@dataclass(frozen=True)
class Certificate:
    """What a certificate file says.

    Attributes:
        rule: name of the theorem it appeals to.
        strategy: name of the strategy that wrote it; display only.
        task: the task record.
        distribution: the distribution record.
        distribution_arrays: its arrays: those whose names begin with `distribution_`; no rule sees them.
        model: the architecture record.
        semantics: the arithmetic of the claim.
        weights_sha256: digest of the weights it speaks about.
        claim_kind: the kind of claim.
        correct: claimed number, or weight, of correct sequences.
        total: claimed number, or weight, of all sequences.
        hints: advice for the rule.
        n_bytes: length of the file.
    """

    rule: str
    strategy: str
    task: dict[str, Any]
    distribution: dict[str, Any]
    distribution_arrays: dict[str, np.ndarray]
    model: dict[str, Any]
    semantics: str
    weights_sha256: str
    claim_kind: str
    correct: int
    total: int
    hints: Hints
    n_bytes: int


def decode(data: bytes) -> Certificate:
    """Decode a certificate, believing nothing.

    Raises:
        Rejected: malformed-container, malformed-header, unsupported-format or bad-claim.
    """
    if len(data) < 8:
        _container("shorter than its 8-byte length")
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(MAX_HEADER_BYTES, len(data) - 8):
        _container("the header length does not fit the file")
    header = _header(data[8 : 8 + length])
    arrays = _arrays(header["arrays"], data[8 + length :])
    correct, total = _claim(header["claim"])
    return Certificate(
        rule=header["rule"],
        strategy=header["strategy"],
        task=header["task"],
        distribution=header["distribution"],
        distribution_arrays={name: array for name, array in arrays.items() if name.startswith(PREFIX)},
        model=header["model"],
        semantics=header["semantics"],
        weights_sha256=header["weights_sha256"],
        claim_kind=header["claim"]["kind"],
        correct=correct,
        total=total,
        hints=Hints(header["options"], {name: a for name, a in arrays.items() if not name.startswith(PREFIX)}),
        n_bytes=len(data),
    )


def _container(why: str) -> Never:
    raise Rejected(Reason.MALFORMED_CONTAINER, why)


def _malformed(why: str) -> Never:
    raise Rejected(Reason.MALFORMED_HEADER, why)


def _refuse_number(text: str) -> Any:
    _malformed(f"the number {text[:20]} is not an integer of at most 19 digits")


def _integer(text: str) -> int:
    # Python refuses to convert more than 4,300 digits; nothing in a header needs more than 19.
    if len(text) > 20 or not -MAX_INTEGER <= int(text) < MAX_INTEGER:
        _refuse_number(text)
    return int(text)


def _header(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(
            raw.decode("ascii"), parse_int=_integer, parse_float=_refuse_number, parse_constant=_refuse_number
        )
        deep = _depth(header) > MAX_DEPTH
    except (ValueError, RecursionError):
        _malformed("the header is not ASCII JSON")
    if not isinstance(header, dict) or deep:
        _malformed("the header is not a shallow object")
    if canonical(header) != raw:
        _malformed("the header is not in canonical form (key order, duplicates, white space, escapes)")
    if header.get("format") != FORMAT:
        raise Rejected(Reason.UNSUPPORTED_FORMAT, f"the format is not {FORMAT}")
    if set(header) != set(TYPES):
        _malformed("the header has missing or unknown keys")
    for key, kind in TYPES.items():
        if type(header[key]) is not kind:
            _malformed(f"{key} has the wrong type")
    if not all(type(value) in (int, str) for value in header["options"].values()):
        _malformed("options are integers and words")
    return header


def _depth(value: Any) -> int:
    """How deep a value is nested."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(child) for child in children), default=0) if isinstance(value, dict | list) else 0


def _arrays(entries: list[Any], body: bytes) -> dict[str, np.ndarray]:
    if len(entries) > MAX_ARRAYS:
        _malformed(f"more than {MAX_ARRAYS} arrays")
    arrays: dict[str, np.ndarray] = {}
    offset = 0
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"dtype", "name", "shape"}:
            _malformed("an array entry has exactly dtype, name, shape")
        name, dtype, shape = entry["name"], entry["dtype"], entry["shape"]
        if not isinstance(name, str) or name in arrays:
            _malformed("array names are distinct strings")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            _malformed("array dtypes are int64 and float64")
        if not isinstance(shape, list) or len(shape) > 4 or not all(type(n) is int and n > 0 for n in shape):
            _malformed("array shapes are up to four positive integers")
        end = offset + 8 * prod(shape)
        if end > len(body):
            _container(f"array {name[:40]!r} runs past the end of the file")
        arrays[name] = np.frombuffer(body[offset:end], dtype=DTYPES[dtype]).reshape(shape)
        offset = end
    if offset != len(body):
        _container("bytes after the last array")
    return arrays


def _claim(claim: dict[str, Any]) -> tuple[int, int]:
    if set(claim) != {"correct", "kind", "total"} or not all(isinstance(value, str) for value in claim.values()):
        _malformed("a claim has exactly the strings correct, kind, total")
    numbers = []
    for key in ("correct", "total"):
        text = claim[key]
        if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS or (len(text) > 1 and text[0] == "0"):
            raise Rejected(
                Reason.BAD_CLAIM, f"claim {key} is not a plain decimal integer of at most {MAX_DIGITS} digits"
            )
        numbers.append(int(text))
    return numbers[0], numbers[1]
