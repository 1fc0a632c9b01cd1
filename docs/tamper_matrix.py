"""Damage every field of a certificate in every way and record what the checker says.

    python docs/tamper_matrix.py           print the matrix of `docs/trusted-base.md`
    python docs/tamper_matrix.py DIR       also write the worked example of `docs/certificate-format.md` there

The model is the worked example: it answers 8 of its 9 sequences correctly, so a verdict that verifies 9 would be false.
"""

import json
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from pessimal.kernel.certificate import canonical
from pessimal.kernel.check import check
from pessimal.kernel.verdict import Verified
from pessimal.proving import prove
from pessimal.spec import MaxOfK, Weights, WeightsError, read_weights
from pessimal.testing import LongMoment

CORRECT = 8
KINDS = ("changed value", "removed", "duplicated", "wrong type", "out of range")
Damage = tuple[str, str, bytes]
WORDS = ("format", "rule", "strategy", "semantics", "weights_sha256")
NESTED = {
    "claim": {"kind": "loss", "correct": "7", "total": "8"},
    "distribution": {"name": "normal"},
    "options": {"near": 2, "position": "pessimal", "rival": "joint"},
    "task": {"d_vocab": 2, "k": 3, "name": "min-of-k"},
}
RANGES = {
    ("claim", "correct"): "10",
    ("claim", "total"): "9" * 4001,
    ("options", "near"): 4,
    ("options", "position"): "first",
    ("options", "rival"): "every",
    ("task", "d_vocab"): 4097,
    ("task", "k"): 0,
}


def example_weights() -> bytes:
    """The worked example: d_vocab = d_model = d_head = 3, k = 2, every entry a small integer."""
    eye, zero = np.eye(3, dtype=np.float32), np.zeros((3, 3), dtype=np.float32)
    first, score = zero.copy(), zero.copy()
    first[:, 0], score[:, 0] = 1, (0, 1, 8)
    tensors = {"W_E": eye, "W_pos": zero[:2], "W_Q": first, "W_K": score, "W_V": eye, "W_O": 2 * eye, "W_U": eye}
    return safetensors.numpy.save(tensors)


def example() -> tuple[Weights, bytes]:
    """The model and its certificate."""
    weights = read_weights(example_weights())
    return weights, prove(weights, MaxOfK(k=2, d_vocab=3), LongMoment()).data


def join(header: dict[str, Any], body: bytes) -> bytes:
    """A container with a canonical header."""
    raw = canonical(header)
    return struct.pack("<Q", len(raw)) + raw + body


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and body."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def doubled(header: dict[str, Any], path: tuple[str | int, ...], body: bytes) -> bytes:
    """One key written twice, with equal values."""
    whole = deepcopy(header)
    holder: Any = whole
    for step in path[:-1]:
        holder = holder[step]
    key = path[-1]
    pair = f"{json.dumps(key)}:{canonical(holder[key]).decode()}"
    once = canonical(holder).decode()
    raw = canonical(whole).decode().replace(once, once.replace(pair, f"{pair},{pair}", 1), 1).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def edited(header: dict[str, Any], path: tuple[str | int, ...], value: Any, body: bytes) -> bytes:
    """One value replaced, or removed if the new value is `...`."""
    whole = deepcopy(header)
    holder: Any = whole
    for step in path[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return join(whole, body)


def field(header: dict[str, Any], body: bytes, path: tuple[str | int, ...], new: Any) -> Iterator[Damage]:
    """The damages every field shares: another value, none, twice, another type."""
    name = ".".join(str(step) for step in path if not isinstance(step, int))
    old: Any = header
    for step in path:
        old = old[step]
    yield name, "changed value", edited(header, path, new, body)
    yield name, "removed", edited(header, path, ..., body)
    yield name, "duplicated", doubled(header, path, body)
    yield name, "wrong type", edited(header, path, 7 if isinstance(old, str) else "7", body)
    yield name, "wrong type", edited(header, path, None, body)


def header_damage(header: dict[str, Any], body: bytes) -> Iterator[Damage]:
    """Damage to every key of the header, nested ones included."""
    for word in WORDS:
        yield from field(header, body, (word,), header[word][:-1] + "0")
    for outer, inner in NESTED.items():
        yield outer, "removed", edited(header, (outer,), ..., body)
        yield outer, "duplicated", doubled(header, (outer,), body)
        yield outer, "wrong type", edited(header, (outer,), [], body)
        for key, new in inner.items():
            yield from field(header, body, (outer, key), new)
    yield "claim.correct", "changed value", edited(header, ("claim", "correct"), "9", body)
    yield "rule", "changed value", edited(header, ("rule",), "cubic", body)
    for path, value in RANGES.items():
        yield ".".join(path), "out of range", edited(header, path, value, body)
    for key, value in header["model"].items():
        new = value + 1 if isinstance(value, int) else "x" if isinstance(value, str) else ["b_Q"]
        for _, kind, data in field(header, body, ("model", key), new):
            yield "model.* (each key)", kind, data
        if value == 1:
            yield "model.* (each key)", "wrong type", edited(header, ("model", key), True, body)  # noqa: FBT003
    for name, new, far in (("name", "tilt", None), ("dtype", "float64", "int8"), ("shape", [6, 1], [1, 2**61])):
        yield from field(header, body, ("arrays", 0, name), new)
        if far is not None:
            yield f"arrays.{name}", "out of range", edited(header, ("arrays", 0, name), far, body)
    yield "arrays", "removed", edited(header, ("arrays",), [], b"")
    yield (
        "arrays",
        "duplicated",
        edited(header, ("arrays",), [*header["arrays"], header["arrays"][0]], body + body[:48]),
    )
    yield "an unknown key", "changed value", edited(header, ("note",), "x", body)


def body_damage(header: dict[str, Any], body: bytes) -> Iterator[Damage]:
    """Damage to the numbers of the arrays; `tilt_exponent` is the first, `tilt_mantissa` the second."""
    numbers = np.frombuffer(body, dtype="<i8").reshape(2, -1)
    cases = (
        ("tilt_mantissa", 1, {"changed value": (0, 1, 15), "out of range": (-1, 2**53 + 1, 2**63 - 1, -(2**63))}),
        ("tilt_exponent", 0, {"changed value": (-900, 0, 900), "out of range": (1001, -1001, -(2**63))}),
    )
    for name, row, kinds in cases:
        for kind, values in kinds.items():
            for value in values:
                changed = numbers.copy()
                changed[row] = value
                yield f"numbers of {name}", kind, join(header, changed.tobytes())
    yield "end of the file", "removed", join(header, body[:-1])
    yield "end of the file", "duplicated", join(header, body + body[-8:])


def container_damage(data: bytes) -> Iterator[Damage]:
    """Damage to the length prefix."""
    length = int.from_bytes(data[:8], "little")
    for new in (length - 1, length + 1):
        yield "length prefix", "changed value", struct.pack("<Q", new) + data[8:]
    yield "length prefix", "removed", data[8:]
    yield "length prefix", "duplicated", data[:8] + data
    for new in (0, 2**16 + 1, 2**64 - 1):
        yield "length prefix", "out of range", struct.pack("<Q", new) + data[8:]


def outcome(data: bytes, weights: Weights) -> str:
    """The reason, or the verified claim; a false one stops everything."""
    verdict = check(data, weights)
    if not isinstance(verdict, Verified):
        return str(verdict.reason)
    if verdict.claim.correct > CORRECT or verdict.claim.total != 9:
        raise SystemExit("a false claim was verified")
    return "VERIFIED"


def tally(found: Counter[str]) -> str:
    """`3 this, 2 that`, most frequent first."""
    return ", ".join(f"{count} {name}" for name, count in found.most_common())


def flips(data: bytes, weights: Weights) -> str:
    """Verdicts after flipping the lowest bit of each byte of the certificate, then of the weights file."""
    of_certificate = Counter(
        outcome(data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :], weights) for i in range(len(data))
    )
    blob = example_weights()
    of_weights: Counter[str] = Counter()
    for i in range(len(blob)):
        try:
            other = read_weights(blob[:i] + bytes([blob[i] ^ 1]) + blob[i + 1 :])
        except WeightsError:
            of_weights["not read (exit 2)"] += 1
        else:
            of_weights[outcome(data, other)] += 1
    return (
        "Lowest bit of each byte flipped, one byte at a time.\n"
        f"Of the {len(data)} bytes of the certificate: {tally(of_certificate)}.\n"
        f"Of the {len(blob)} bytes of the weights file: {tally(of_weights)}."
    )


def tamper_block() -> str:
    """The matrix as Markdown."""
    weights, data = example()
    header, body = split(data)
    cells: dict[str, dict[str, list[str]]] = {}
    for source in (container_damage(data), header_damage(header, body), body_damage(header, body)):
        for name, kind, bad in source:
            seen = cells.setdefault(name, {}).setdefault(kind, [])
            said = outcome(bad, weights)
            if said not in seen:
                seen.append(said)
    lines = ["| field | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
    for name, kinds in cells.items():
        words = (" or ".join(kinds.get(kind, ["-"])) for kind in KINDS)
        lines.append(f"| {name} | " + " | ".join(words) + " |")
    return "\n".join([*lines, "", flips(data, weights)])


def main() -> int:
    """Print the matrix, and write the example if a folder is named."""
    print(tamper_block())
    for folder in sys.argv[1:2]:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "tiny.safetensors").write_bytes(example_weights())
        (Path(folder) / "tiny.cert").write_bytes(example()[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
