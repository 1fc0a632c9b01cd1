"""Pairs of small files made to cost much: `python tests/boundary/hostile.py --pairs 200 --seed 0`.

Every pair, a weights file and a certificate below 1 MB each, is read and checked as `pessimal check` does, in a process
of its own. One line of JSON per pair: kind, number, answer, CPU seconds, peak MiB. Ten kinds; what each tries stands in
the docstring of its function.
"""

import argparse
import json
import os
import resource
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from safetensors.numpy import save

from pessimal.kernel.check import check
from pessimal.spec import WeightsError, read_weights
from support.containers import join
from support.hostile_files import STATED, certificate, task, tensors
from support.models import stated_norms
from support.weight_files import file

Pair = tuple[bytes, bytes]
Rng = np.random.Generator
MAX_FILE = 1_000_000
PLAIN = {"rival": "plain", "position": "each"}


def dimension_products(rng: Rng, i: int) -> Pair:
    """Sizes that are small one by one: heads, positions, outputs, neurons multiply."""
    v, k, o, h, m = [
        (1000, 8, 2, 2, 1), (16, 1024, 16, 4, 1), (2, 4, 60_000, 1, 1), (2, 1000, 3000, 1, 1), (3, 11, 3, 1000, 1),
        (700, 2, 700, 8, 2), (64, 100, 2000, 1, 2), (1290, 2, 2, 3, 1), (40, 40, 1500, 2, 2), (4096, 1, 4096, 1, 1),
    ][i % 10]  # fmt: skip
    rule = ("brute-force", "exponential-moment", "position-minima", "exact", "layer-cake")[i // 2 % 5]
    found = tensors(rng, v, k, m, 1, o, h, more=("ln1_w",) if i % 3 == 0 else ())
    data = save(found, STATED | stated_norms(found))
    name = task("contains-token", k, v, token=1) if o < v else task("max-of-k", k, v)
    options = {"exact": {"nodes": 2 ** int(rng.integers(41))}}.get(rule, {})
    arrays = {}
    if i % 10 == 0:
        # Attention by position and token, [v, k, v] a head, beside two outputs: a thousand times what the file holds.
        rule, options = "exponential-moment", {**PLAIN, "near": v}
        arrays = {"tilt": np.zeros(-(-2 * (2 * v - 1) // 4), dtype=np.int64)}
        arrays["threshold"] = np.full(-(-(2 * v - 1) // 4), -1, dtype=np.int64)
        arrays["threshold"][-1] = 2**16 - 1 if (2 * v - 1) % 4 == 1 else 2**48 - 1
    elif rule == "exponential-moment":
        options = {**PLAIN, "near": v}
        arrays = {"tilt": np.zeros(int(rng.integers(1, 3000)), dtype=np.int64)}
    return data, certificate(data, name, rule, options=options, arrays=arrays)


def wide_residual(rng: Rng, i: int) -> Pair:
    """d_model squared: few tokens, a wide residual stream, every rule, LayerNorms and biases."""
    m = int(rng.integers(500, 9000 if i % 4 else 20_000))
    rule = ("position-minima", "cubic", "exact", "brute-force", "band", "exponential-moment", "sub-cubic")[i % 7]
    more = [(), ("ln_final_w",), ("ln_final_w", "ln_final_b"), ("ln1_w",), ("b_U", "b_Q", "b_V", "b_O")][i // 2 % 5]
    neurons = 4 if i % 6 == 5 else 0
    stated = {**STATED, "attention": "uniform", "act_fn": "relu"} if neurons else STATED
    found = tensors(rng, 2, 2, m, 1, f=neurons, more=() if neurons else more)
    data = save(found, stated | stated_norms(found))
    options: dict = {"exact": {"nodes": 100}}.get(rule, {})
    arrays: dict = {}
    if rule == "band":
        options = {"first": 0, "near": 2, "cells": 8, "rivals_from": 0, "rivals_below": 1, "rivals_above": 1,
                   "position_scores": "exact", "rival": "centred"}  # fmt: skip
        ones = np.ones(m)
        arrays = {"classes": np.zeros(1, dtype=np.int64), "query_direction": ones, "key_direction": ones}
    elif rule == "exponential-moment":
        options, arrays = {**PLAIN, "near": 2}, {"tilt": np.zeros(1, dtype=np.int64)}
    elif rule == "sub-cubic":
        options = {"direct": "max_diff", "attention": "drop_average_query_per_output_logit_reasoning", "points": 0,
                   "attention_error": "max_diff", "cross": "exact", "count": "fixed", "gaps": "query"}  # fmt: skip
        arrays = {"gap": np.zeros(1, dtype=np.int64), "query_direction": np.ones(2), "key_direction": np.ones(2)}
    if neurons:
        rule, options, arrays = "brute-force", {}, {}
    return data, certificate(data, task("max-of-k", 2, 2), rule, options=options, arrays=arrays)


def automata(rng: Rng, i: int) -> Pair:
    """Tasks whose automata are large, and hints whose shape depends on the number of strata."""
    n = 2000
    counter = {"start": 0, "moves": [[(s + 1) % n] for s in range(n)], "outputs": [s % 4096 for s in range(n)]}
    grid = 88
    moves = [[(s * 7 + t * t) % grid for t in range(grid)] for s in range(grid)]
    asked = [
        task("modular-addition", 2, 64), task("modular-addition", 2, 96), task("max-of-k", 2, 4096),
        task("second-largest", 3, 300), task("second-largest", 2, 2000), task("modular-addition", 40, 20),
        task("machine", 3, 1, **counter), task("constant", 2, 4096, output=1), task("flagged-element", 3, 2000),
        task("machine", 3, grid, start=0, moves=moves, outputs=list(range(grid))),
        task("modular-addition-equals", 3, 200), task("contains-token", 300, 4096, token=5),
        task("modular-addition", 7, 23), task("second-largest", 1000, 9), task("max-of-k", 3000, 2),
    ][i % 15]  # fmt: skip
    v, k = asked["d_vocab"], asked["k"]
    out = {"contains-token": 2, "machine": max(asked.get("outputs", [0])) + 1}.get(asked["name"], v)
    data = save(tensors(rng, v, k, 1, 1, max(out, 2)), STATED)
    rule = ("exponential-moment", "position-minima", "exact", "grid-count")[i // 15 % 4]
    one = np.array([1], dtype=np.int64)
    if rule == "exponential-moment":
        return data, certificate(data, asked, rule, options={**PLAIN, "near": v}, arrays={"tilt": one})
    if rule == "grid-count":
        names = ("tilt_mantissa", "tilt_exponent", "step_mantissa", "step_exponent")
        arrays = {name: one.reshape(1, 1) for name in names}
        options = {**PLAIN, "near": v, "cells": 9, "sides": 1}
        return data, certificate(data, asked, rule, options=options, arrays=arrays)
    return data, certificate(data, asked, rule, options={"nodes": 10**6} if rule == "exact" else {})


def ties(rng: Rng, i: int) -> Pair:
    """Logits that no precision tells apart: no read-out, equal columns, or equal to the last bit of a long number."""
    v, k, m, d, o = [
        (4, 2, 64, 64, 4), (4, 7, 64, 8, 4), (2, 14, 300, 1, 2), (128, 2, 64, 4, 128), (5, 6, 16, 16, 900),
        (4, 7, 100, 100, 5), (3, 9, 8, 8, 50), (64, 2, 200, 8, 64), (2, 13, 16, 16, 3), (128, 2, 2, 2, 200),
    ][i % 10]  # fmt: skip
    found = tensors(rng, v, k, m, d, o, 1 + (i // 10 == 1), f=7 * (i % 10 == 8))
    found["W_U"][:, 1:] = found["W_U"][:, :1]
    if i % 3 == 0:
        found["W_U"][:] = 0
    if i % 3 == 1:
        found = {name: array.astype(np.float64) for name, array in found.items()}
        found["W_U"] *= 1 + 2.0**-52 * rng.integers(0, 2, found["W_U"].shape)
    data = save(found, {**STATED, "act_fn": "relu"} if "W_in" in found else STATED)
    rule, options = ("exact", {"nodes": 2**40}) if i % 5 == 4 and "W_in" not in found else ("brute-force", {})
    return data, certificate(data, task("max-of-k", k, v), rule, options=options)


def digits(rng: Rng, i: int) -> Pair:
    """Numbers of thousands of digits: totals, claims, weights of sequences, losses of logits near 1e307."""
    k = (265, 260, 269, 100)[i % 4]
    found = {name: array.astype(np.float64) for name, array in tensors(rng, 4, k, 2, 1).items()}
    found["W_U"] *= (1e307, 1e300, 1e-300)[i % 3]
    data = save(found, STATED)
    weights = np.full((1, 4), 2**48 - int(rng.integers(9)), dtype=np.int64)
    arrays = {"distribution_weights": weights}
    claim = ("9" * 3900, "0", "1" + "0" * 3999, "9" * 4000, "9" * 20_000)[i % 5]
    kind, rule, options = (
        ("loss", "layer-cake", {**PLAIN, "near": 4, "levels": 1}) if i % 2 else ("probability", "brute-force", {})
    )
    if i % 10 == 0:
        # A bound of more digits than Python writes: every wrong sequence costs 1e307 nats.
        k, claim = 265, "0"
        found = {name: array.astype(np.float64) for name, array in tensors(rng, 4, k, 2).items()}
        found["W_U"] *= 1e307
        data, arrays = save(found, STATED), {"distribution_weights": np.full((1, 4), 2**48, dtype=np.int64)}
        kind, rule, options = "loss", "layer-cake", {**PLAIN, "near": 4, "levels": 1}
    elif i % 4 == 3:
        rule, options, kind = "exponential-moment", {**PLAIN, "near": 4}, "probability"
    pairs = [(q, y) for q in range(4) for y in range(q, 4)]
    if rule == "layer-cake":
        names = ("tilt_mantissa", "tilt_exponent")
        arrays |= {name: np.zeros((1, len(pairs)), dtype=np.int64) for name in names}
        arrays |= {"level_mantissa": np.zeros(1, dtype=np.int64), "level_exponent": np.zeros(1, dtype=np.int64)}
    elif rule == "exponential-moment":
        arrays["tilt"] = np.zeros(3, dtype=np.int64)
    return data, certificate(
        data, task("max-of-k", k, 4), rule, options=options, arrays=arrays, claim=claim, kind=kind,
        distribution={"name": "product"},
    )  # fmt: skip


def offsets(rng: Rng, i: int) -> Pair:
    """Lengths, shapes and offsets that point elsewhere, in either file."""
    good = save(tensors(rng, 3, 2, 2), STATED)
    huge = int(2 ** rng.integers(20, 62))
    headers = [
        {"W_E": {"dtype": "F32", "shape": [65536] * 8, "data_offsets": [0, 4]}},
        {"W_E": {"dtype": "F32", "shape": [huge, huge], "data_offsets": [0, huge]}},
        {"W_E": {"dtype": "F32", "shape": [1], "data_offsets": [huge, huge + 4]}},
        {"W_E": {"dtype": "F64", "shape": [65536, 65536], "data_offsets": [0, 65536**2 * 8]}},
        {f"x{n}": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in range(9000)},
        {"W_E": {"dtype": "F32", "shape": [int("9" * 4000)], "data_offsets": [0, int("9" * 4000)]}},
    ]
    if i % 2:
        return file(headers[i // 2 % len(headers)], b"\0" * 4), join({"x": 1}, b"")
    arrays = [{"dtype": "int64", "name": f"a{n}", "shape": [huge, 2**40, huge]} for n in range(1 + 63 * (i % 4 == 0))]
    data = certificate(good, task("max-of-k", 2, 3), "cubic", arrays={}, options={})
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    return good, join({**header, "arrays": arrays}, b"\0" * 64) if i % 8 else struct.pack("<Q", huge) + data[8:]


def nesting(rng: Rng, i: int) -> Pair:
    """JSON that is deep, wide or long, in either file."""
    good = save(tensors(rng, 3, 2, 2), STATED)
    n = int(rng.integers(100, 60_000))
    texts = [b"[" * n + b"]" * n, b'{"a":' * n + b"1" + b"}" * n, b"[" * n, b"1" * n, b'"' + b"\\u0000" * (n // 8) + b'"',
             b"[" + b"{}," * (n // 3) + b"{}]", b"-" * n, b"1e" + b"9" * n, b"[1," * (n // 4)]  # fmt: skip
    text = texts[i // 2 % len(texts)]
    if i % 2:
        return file(b'{"__metadata__":' + text + b"}"), join({"x": 1}, b"")
    whole = certificate(good, task("max-of-k", 2, 3), "cubic")
    length = struct.unpack("<Q", whole[:8])[0]
    raw = whole[8 : 8 + length].replace(b'"options":{}', b'"options":{"a":' + text[:60_000] + b"}")
    return good, struct.pack("<Q", len(raw)) + raw


def tilts(rng: Rng, i: int) -> Pair:
    """Hints of every size and sign for rules that sum or count, problem by problem."""
    if i % 10 == 0:
        # One tilt, for a task with 9,216 strata: the automaton was built before the length was compared.
        data = save(tensors(rng, 96, 2, 1), STATED)
        options, arrays = {**PLAIN, "near": 96}, {"tilt": np.ones(1, dtype=np.int64)}
        return data, certificate(
            data, task("modular-addition", 2, 96), "exponential-moment", options=options, arrays=arrays
        )
    v, k = [(8, 3), (5, 40), (16, 4), (12, 300), (30, 3)][i % 5]
    found = tensors(rng, v, k, 3, 2)
    found["W_U"] *= np.float32(10.0 ** int(rng.integers(-30, 30)))
    data = save(found, STATED)
    every = i % 2
    problems, strata = (v - 1 if every else 1), v * (v + 1) // 2
    shape = (problems, strata)
    options = {"rival": "every" if every else "joint", "position": "each", "near": int(rng.integers(1, v + 1))}
    ends = (-1000, 1000, -1001, 1001, 0, int(rng.integers(-60, 60)))
    exponent = np.full(shape, ends[i % 6], dtype=np.int64)
    mantissa = np.full(shape, (2**53, 1, 0, -1, 2**62, int(rng.integers(1, 99)))[i // 2 % 6], dtype=np.int64)
    arrays = {"tilt_mantissa": mantissa, "tilt_exponent": exponent}
    if i % 3 == 0:
        arrays |= {"step_mantissa": np.abs(mantissa), "step_exponent": exponent[::-1].copy()}
        options |= {"cells": int(rng.choice([1, 900, 65_536])), "sides": 1}
        return data, certificate(data, task("max-of-k", k, v), "grid-count", options=options, arrays=arrays)
    if i % 3 == 1:
        packed = -(-problems * strata // 4)
        arrays = {"tilt": rng.integers(-(2**62), 2**62, packed)}
    return data, certificate(data, task("max-of-k", k, v), "exponential-moment", options=options, arrays=arrays)


def cells(rng: Rng, i: int) -> Pair:
    """Grids, levels, terms and nodes at the largest values that their options take."""
    if i % 4 == 0:
        v, k = [(40, 60), (64, 20), (9, 1000)][i // 4 % 3]
        data = save(tensors(rng, v, k, 4, 2), STATED)
        options = {"first": 0, "near": v, "cells": 1024, "rivals_from": 0, "rivals_below": 1024, "rivals_above": 1024,
                   "position_scores": "exact", "rival": ("centred", "joint")[i // 4 % 2]}  # fmt: skip
        arrays = {"classes": np.arange(k - 1) if i % 8 else np.zeros(k - 1, dtype=np.int64),
                  "query_direction": np.ones(4), "key_direction": np.ones(4)}  # fmt: skip
        return data, certificate(data, task("max-of-k", k, v), "band", options=options, arrays=arrays)
    if i % 4 == 1:
        v, k = [(20, 200), (8, 1000), (30, 20)][i // 4 % 3]
        data = save(tensors(rng, v, k, 2, 2), STATED)
        shape = (v - 1, v * (v + 1) // 2)
        arrays = {"tilt_mantissa": np.ones(shape, dtype=np.int64), "tilt_exponent": np.zeros(shape, dtype=np.int64),
                  "step_mantissa": np.ones(shape, dtype=np.int64), "step_exponent": np.full(shape, -40)}  # fmt: skip
        options = {"rival": "every", "position": "each", "near": v, "cells": 65_536, "sides": 2}
        return data, certificate(data, task("max-of-k", k, v), "grid-count", options=options, arrays=arrays)
    if i % 4 == 2:
        v, k = [(6, 400), (5, 500), (40, 4)][i // 4 % 3]
        data = save(tensors(rng, v, k, 2, 2), STATED)
        shape = (64, v * (v + 1) // 2)
        arrays = {"tilt_mantissa": np.ones(shape, dtype=np.int64), "tilt_exponent": np.zeros(shape, dtype=np.int64),
                  "level_mantissa": np.arange(64), "level_exponent": np.zeros(64, dtype=np.int64)}  # fmt: skip
        options = {**PLAIN, "near": v, "levels": 64}
        return data, certificate(
            data, task("max-of-k", k, v), "layer-cake", options=options, arrays=arrays, kind="loss"
        )
    p, f = [(101, 30), (1021, 8), (31, 400)][i // 4 % 3]
    stated = {**STATED, "attention": "uniform", "act_fn": "relu"}
    data = save(tensors(rng, p, 2, 2, 1, f=f), stated)
    n = min((p - 1) // 2, 60)
    options = {"frequencies": n, "kept": 0, "fine": p, "columns": 0, "read_out": "exact", "hidden": "quadrature",
               "form": "box", "grid": 65_536}  # fmt: skip
    arrays = {"frequencies": np.arange(1, n + 1), "fine": np.arange(p), "read": np.ones((2, f)),
              "offsets": np.zeros(n, dtype=np.int64)}  # fmt: skip
    return data, certificate(data, task("modular-addition", 2, p), "key-frequency", options=options, arrays=arrays)


def distributions(rng: Rng, i: int) -> Pair:
    """Chains whose rows have no common factor, weights up to 2^48, sequences of thousands of digits."""
    v, k = [(110, 2), (100, 2), (40, 3), (3, 80), (200, 1), (340, 1), (64, 2), (2, 90)][i % 8]
    top = 2 ** int(rng.integers(3, 49))
    data = save(tensors(rng, v, k, 1, 1), STATED)
    chain = i % 3 != 2
    if chain:
        arrays = {
            "distribution_initial": rng.integers(1, top, v),
            "distribution_transition": rng.integers(1, top, (v, v)),
        }
    else:
        arrays = {"distribution_weights": rng.integers(1, top, (k, v))}
    rule = ("position-minima", "brute-force", "exact", "exponential-moment")[i % 4]
    options: dict = {"exact": {"nodes": 10_000}}.get(rule, {})
    if rule == "exponential-moment":
        options = {**PLAIN, "near": v}
        arrays["tilt"] = np.zeros(-(-v * (v + 1) // 8), dtype=np.int64)
    return data, certificate(
        data, task("max-of-k", k, v), rule, options=options, arrays=arrays, kind="probability",
        distribution={"name": "markov" if chain else "product"},
    )  # fmt: skip


KINDS: tuple[Callable[[Rng, int], Pair], ...] = (
    dimension_products, wide_residual, automata, ties, digits, offsets, nesting, tilts, cells, distributions,
)  # fmt: skip


def pairs(count: int, seed: int) -> Iterator[tuple[str, int, Pair]]:
    """As many pairs, kind after kind; the same ones for the same seed."""
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        rng = np.random.default_rng([seed, number])
        weights, data = kind(rng, number // len(KINDS))
        if max(len(weights), len(data)) < MAX_FILE:
            yield kind.__name__, number, (weights, data)


def answer(weights: bytes, data: bytes) -> str:
    """What `pessimal check` says, or why the weights cannot be read."""
    try:
        model = read_weights(weights)
    except WeightsError:
        return "unreadable"
    verdict = check(data, model)
    return "VERIFIED" if verdict.verified else str(verdict.reason)


def measured(weights: bytes, data: bytes, seconds: int) -> dict[str, object]:
    """The answer, CPU seconds and peak memory of a process of its own, which is ended after `seconds` of CPU."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        try:
            os.write(writer, answer(weights, data).encode())
        except BaseException as error:  # noqa: BLE001 - reported, whatever it is
            os.write(writer, f"raised {type(error).__name__}".encode())
        os._exit(0)
    os.close(writer)
    _, status, usage = os.wait4(child, 0)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    if status:
        said = f"ended by signal {status & 127}"
    return {"answer": said, "cpu": round(usage.ru_utime + usage.ru_stime, 2), "mib": usage.ru_maxrss >> 10}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=30, help="CPU seconds after which a check is ended")
    parser.add_argument("--only", help="one kind")
    flags = parser.parse_args()
    for kind, number, files in pairs(flags.pairs, flags.seed):
        if flags.only in {None, kind}:
            row = {"kind": kind, "number": number, **measured(*files, flags.seconds)}
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
