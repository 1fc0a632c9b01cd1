"""Strict reader of certificates, written from sections 1, 2 and 5 of `docs/certificate-format.md`.

Contents:
    Rejected — a verdict: the certificate is not accepted, for a reason of the closed list.
    Certificate — header and arrays; nothing in it is believed.
    read_certificate — bytes to `Certificate`: conditions 2 to 10.
    entries_of — the numbers of an array.
    canonical — the one encoding of a JSON value.
    digest — SHA-256 of parts, each led by its length.
"""

import hashlib
import json
import struct

FORMAT = "pessimal-certificate/1"
KEYS = {
    "arrays": list, "claim": dict, "distribution": dict, "format": str, "model": dict, "options": dict, "rule": str,
    "semantics": str, "strategy": str, "task": dict, "weights_sha256": str,
}  # fmt: skip
MAX_HEADER_BYTES = 65536
MAX_DIGITS = 4000


class Rejected(Exception):  # noqa: N818 - a verdict, not an error of the program
    """The certificate is not accepted; `reason` is one of the closed list, `detail` a sentence for the terminal."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Certificate:
    """A decoded certificate.

    Attributes:
        header: the JSON object, of the right keys and types.
        arrays: name to (dtype, shape, bytes of the entries, row-major).
        correct, total: the claimed integers.
        n_bytes: length of the file.
    """

    def __init__(self, header: dict, arrays: dict, n_bytes: int) -> None:
        self.header = header
        self.arrays = arrays
        self.n_bytes = n_bytes
        self.correct, self.total = _counts(header["claim"])


def canonical(value: object) -> bytes:
    """ASCII, sorted keys, no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def digest(parts: list) -> str:
    """SHA-256 of all parts, bytes, each after its length as an unsigned 64-bit little-endian number."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(struct.pack("<Q", len(part)))
        sha.update(part)
    return sha.hexdigest()


def entries_of(array: tuple) -> tuple:
    """The numbers of an array, row-major; whoever asks knows its shape, so how many there are."""
    dtype, _, raw = array
    return struct.unpack(f"<{len(raw) // 8}{'q' if dtype == 'int64' else 'd'}", raw)


def read_certificate(data: bytes) -> Certificate:
    """Conditions 2 to 10 of section 5 of `docs/certificate-format.md`, in their order.

    Raises:
        Rejected: malformed-container, malformed-header, unsupported-format or bad-claim.
    """
    if len(data) < 8:
        raise Rejected("malformed-container", "shorter than the 8 bytes of the header's length")
    (length,) = struct.unpack("<Q", data[:8])
    if length > MAX_HEADER_BYTES or length > len(data) - 8:
        raise Rejected("malformed-container", "the header's length does not fit the file")
    header = _header(data[8 : 8 + length])
    arrays = _arrays(header["arrays"], memoryview(data)[8 + length :])
    return Certificate(header, arrays, len(data))


def _malformed(detail: str) -> Rejected:
    return Rejected("malformed-header", detail)


def _integer(text: str) -> int:
    # Nothing of 64 bits is longer than 20 characters; Python refuses thousands of digits with another error.
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise _malformed("a number has more than 64 bits")
    return int(text)


def _no_number(text: str) -> int:
    raise _malformed(f"{text[:20]} is not an integer")


def _depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return 0
    return 1 + max((_depth(one) for one in value), default=0)


def _header(raw: bytes) -> dict:
    try:
        text = raw.decode("ascii")
        header = json.loads(text, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number)
        depth = _depth(header)
    except (ValueError, RecursionError):
        raise _malformed("the header is not ASCII JSON") from None
    if not isinstance(header, dict) or depth > 4:
        raise _malformed("the header is not an object nested at most 4 deep")
    if canonical(header) != raw:
        raise _malformed("the header is not in canonical form")
    if header.get("format") != FORMAT:
        raise Rejected("unsupported-format", f"the format is not {FORMAT}")
    if set(header) != set(KEYS):
        raise _malformed("a key is missing or unknown")
    for key, kind in KEYS.items():
        if type(header[key]) is not kind:
            raise _malformed(f"{key} has the wrong type")
    if any(type(value) not in (int, str) for value in header["options"].values()):
        raise _malformed("an option is neither an integer nor a string")
    return header


def _arrays(entries: list, body: memoryview) -> dict:
    if len(entries) > 64:
        raise _malformed("more than 64 arrays")
    found: dict = {}
    offset = 0
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"dtype", "name", "shape"}:
            raise _malformed("an array has exactly dtype, name and shape")
        dtype, name, shape = entry["dtype"], entry["name"], entry["shape"]
        if dtype not in ("int64", "float64"):
            raise _malformed("the dtype of an array is int64 or float64")
        if not isinstance(name, str) or name in found:
            raise _malformed("names of arrays are distinct strings")
        if not isinstance(shape, list) or len(shape) > 4 or any(type(n) is not int or n < 1 for n in shape):
            raise _malformed("a shape is at most four positive integers")
        count = 1
        for side in shape:
            count *= side
        if offset + 8 * count > len(body):
            raise Rejected("malformed-container", f"array {name[:40]!r} runs past the end of the file")
        found[name] = (dtype, tuple(shape), body[offset : offset + 8 * count])
        offset += 8 * count
    if offset != len(body):
        raise Rejected("malformed-container", "bytes after the last array")
    return found


def _counts(claim: dict) -> tuple[int, int]:
    if set(claim) != {"correct", "kind", "total"} or any(not isinstance(value, str) for value in claim.values()):
        raise _malformed("a claim has exactly the strings correct, kind and total")
    found = []
    for key in ("correct", "total"):
        text = claim[key]
        digits = 1 <= len(text) <= MAX_DIGITS and all(letter in "0123456789" for letter in text)
        if not digits or (len(text) > 1 and text[0] == "0"):
            raise Rejected("bad-claim", f"{key} is not a plain decimal of at most {MAX_DIGITS} digits")
        found.append(int(text))
    return found[0], found[1]
