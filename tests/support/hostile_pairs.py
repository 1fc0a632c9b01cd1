"""Small files of models and certificates whose tables, automata, polynomials or digits would be large.

Contents:
    PAIRS — name to a function that makes the bytes of weights and of a certificate.
"""

import numpy as np

from support.hostile_files import certificate, model
from support.hostile_files import task as task_record


def pair(name, v, m, d, k, o, rule="position-minima", task="max-of-k", options=None, arrays=None, more=None, **weights):
    raw = model(v, m, d, k, o, **weights)
    return raw, certificate(raw, task_record(task, k, v, **(more or {})), rule, options=options, arrays=arrays)


def _moments(n, rival="centred", near=None, position="each", groups=1):
    options = {"rival": rival, "position": position, "near": near}
    return options, {"tilt_mantissa": np.full((groups, n), 9), "tilt_exponent": np.full((groups, n), -3)}


def _moment(v, m, d, k, o, n, near=None, **more):
    options, arrays = _moments(n, near=near or v, **more.pop("hints", {}))
    return pair("", v, m, d, k, o, "exponential-moment", options=options, arrays=arrays, **more)


def _grid(v, k, cells):
    n = v * (v + 1) // 2
    options, arrays = _moments(n, near=v)
    arrays |= {"step_mantissa": np.full((1, n), 1), "step_exponent": np.full((1, n), -30)}
    return pair("", v, 2, 2, k, v, "grid-count", options={**options, "cells": cells, "sides": 1}, arrays=arrays)


def _chain(v, k):
    raw, rng = model(v, 2, 2, k, v), np.random.default_rng(0)
    # Rows whose sums have a large common multiple.
    table = rng.integers(1, 1 << 8, (v, v))
    arrays = {"distribution_initial": np.ones(v, np.int64), "distribution_transition": table}
    options, hints = _moments(v * (v + 1) // 2, near=v)
    data = certificate(
        raw, task_record("max-of-k", k, v), "exponential-moment", options=options, arrays=arrays | hints,
        kind="probability", distribution={"name": "markov"},
    )  # fmt: skip
    return raw, data


def _path(n, k):
    """One token; as many states and outputs as fit, in a row."""
    more = {"start": 0, "moves": [[min(s + 1, n - 1)] for s in range(n)], "outputs": list(range(n))}
    return pair("", 1, 1, 1, k, n, task="machine", more=more)


def _digits(place):
    """A number of 60,000 digits in the header of the certificate, or of a million in that of the weights."""
    raw = model(3, 5, 2, 2, 3)
    data = certificate(raw, task_record("max-of-k", 2, 3), "position-minima")
    if place == "certificate":
        text = data[8:].replace(b'"k":2', b'"k":' + b"2" * 60_000, 1)
        return raw, len(text).to_bytes(8, "little") + text
    end = raw.rindex(b"}}") + 2
    text = raw[8:end].replace(b'"shape":[', b'"shape":[' + b"1" * 1_000_000 + b",", 1)
    return len(text).to_bytes(8, "little") + text + raw[end:], data


def _nested(place, bracket=b"["):
    raw = model(3, 5, 2, 2, 3)
    data = certificate(raw, task_record("max-of-k", 2, 3), "position-minima")
    if place == "certificate":
        text = bracket * (65_536 // len(bracket))
        return raw, len(text).to_bytes(8, "little") + text
    text = bracket * (1_000_000 // len(bracket))
    return len(text).to_bytes(8, "little") + text, data


PAIRS = {
    "d_model squared": lambda: pair("", 2, 24_000, 1, 2, 2),
    "d_model squared, moment": lambda: _moment(2, 24_000, 1, 2, 2, 3),
    "d_head squared": lambda: pair("", 2, 1, 40_000, 2, 2),
    "d_head times outputs": lambda: pair("", 2, 1, 40_000, 2, 60_000),
    "d_model squared, LayerNorm": lambda: _moment(2, 20_000, 1, 2, 2, 3, norms=("ln1_w", "ln_final_w")),
    "positions": lambda: pair("", 2, 1, 1, 4_096, 2),
    "positions, moment": lambda: _moment(2, 1, 1, 4_096, 2, 3),
    "tokens": lambda: pair("", 4_096, 1, 1, 2, 4_096),
    "tokens, moment": lambda: _moment(1_024, 1, 1, 2, 1_024, 1, near=1),
    "positions times tokens": lambda: pair("", 64, 1, 1, 2_000, 64),
    "positions times tokens, LayerNorm": lambda: _moment(400, 60, 1, 1_000, 400, 3, norms=("ln1_w",)),
    "positions times outputs": lambda: pair("", 2, 1, 1, 4_096, 60_000),
    "second largest": lambda: _moment(300, 1, 1, 3, 300, 1, task="second-largest"),
    "modular addition": lambda: _moment(64, 1, 1, 4, 64, 1, task="modular-addition"),
    "modular addition, large": lambda: _moment(1_000, 1, 1, 4, 1_000, 1, task="modular-addition"),
    "contains a token": lambda: _moment(4_096, 1, 1, 2, 2, 1, task="contains-token", more={"token": 1}),
    "constant": lambda: _moment(4_096, 1, 1, 2, 4_096, 1, task="constant", more={"output": 1}),
    "machine in a row": lambda: _path(4_000, 4_000),
    "machine of one state": lambda: pair(
        "", 4_096, 1, 1, 2, 4_096, task="machine", more={"start": 0, "moves": [[0] * 4_096], "outputs": [4_095]}
    ),
    "spans": lambda: _moment(16, 8, 8, 8, 16, 136, dtype=np.float64, scale=(-600, 30)),
    "huge and tiny": lambda: pair("", 16, 8, 8, 8, 16, dtype=np.float64, scale=(-320, 300)),
    "cells": lambda: _grid(2, 2_000, 65_536),
    "cells, tokens": lambda: _grid(24, 200, 65_536),
    "chain": lambda: _chain(200, 2),
    "chain of three": lambda: _chain(120, 3),
    "digits of the certificate": lambda: _digits("certificate"),
    "digits of the weights": lambda: _digits("weights"),
    "nesting of the certificate": lambda: _nested("certificate"),
    "nesting of the weights": lambda: _nested("weights"),
    "objects in the certificate": lambda: _nested("certificate", b'{"a":'),
    "objects in the weights": lambda: _nested("weights", b'{"a":'),
}  # fmt: skip
