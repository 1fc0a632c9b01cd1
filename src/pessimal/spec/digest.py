"""Bytes that stand for a record, and digests of several parts.

Contents:
    canonical — a record as JSON in the one form that is accepted.
    digest — of parts that cannot run into one another.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any


def canonical(record: Mapping[str, Any]) -> bytes:
    """Sorted keys, no white space, ASCII, no NaN; integers and strings only are left to the caller."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def digest(parts: Iterable[bytes]) -> str:
    """SHA-256 of all parts, each after its length in 8 bytes."""
    hasher = sha256()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return hasher.hexdigest()
