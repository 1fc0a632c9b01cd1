"""Numbers of the standard-library checker enclose the true ones, computed in Arb at thousands of bits."""

import json
import subprocess
import sys
from fractions import Fraction
from itertools import chain
from pathlib import Path

import flint
import numpy as np
import pytest

from pessimal.testing import safetensors_bytes
from support.models import BIASES, Sizes, build, random_tensors

REFERENCE = Path(__file__).resolve().parents[2] / "reference"
PRECISION = 3000


def run(code, data):
    """What a program beside the checker's files prints, given JSON on stdin."""
    command = [sys.executable, "-I", "-S", "-c", code, str(REFERENCE)]
    done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


TABLES = """
import json, sys
sys.path.insert(0, sys.argv[1])
from model import Model
from weights import read_weights
model = Model(read_weights(bytes.fromhex(json.load(sys.stdin))))
queries = range(len(model.direct))
print(json.dumps([
    model.scale, model.direct, [[h.value, h.slack, [h.weights(q) for q in queries]] for h in model.heads]
]))
"""


def arb(array):
    return [[flint.arb(x) for x in row] for row in np.atleast_2d(np.asarray(array, dtype=np.float64)).tolist()]


def product(a, b):
    columns = list(zip(*b, strict=True))
    return [[sum((x * y for x, y in zip(row, column, strict=True)), flint.arb(0)) for column in columns] for row in a]


def plus(a, row):
    return [[x + y for x, y in zip(one, row, strict=True)] for one in a]


def normed(kind, rows, gain, bias, eps):
    out = []
    for row in rows:
        mean = sum(row, flint.arb(0)) / len(row) if kind == "layer-norm" else flint.arb(0)
        deviation = (sum(((x - mean) ** 2 for x in row), flint.arb(0)) / len(row) + eps).sqrt()
        out.append([(x - mean) / deviation * g + b for x, g, b in zip(row, gain, bias, strict=True)])
    return out


def true_tables(t, k, scale, ln1, ln_final):
    """D, and V and w of every head, by position, from the equations of the format document."""
    d, heads = t["W_E"].shape[1], t["W_Q"].shape[0]
    ones, zeros = [flint.arb(1)] * d, [flint.arb(0)] * d

    def row(name, otherwise):
        return arb(t[name])[0] if name in t else otherwise

    output = arb(t["W_U"])
    if ln_final:
        gained = [[g * x for x in one] for g, one in zip(row("ln_final_w", ones), output, strict=True)]
        sums = [sum(column, flint.arb(0)) * (ln_final == "layer-norm") for column in zip(*gained, strict=True)]
        output = [[d * x - s for x, s in zip(one, sums, strict=True)] for one in gained]
    x = [plus(arb(t["W_E"]), place) for place in arb(t["W_pos"])[:k]]
    eps = flint.arb(flint.fmpq(1, 10**5))
    n = [normed(ln1, one, row("ln1_w", ones), row("ln1_b", zeros), eps) for one in x] if ln1 else x
    last, found = plus(x[-1], row("b_O", zeros)), []
    for h in range(heads):
        w_q, w_k, w_v, w_o = (arb(t[name][h]) for name in ("W_Q", "W_K", "W_V", "W_O"))
        no_bias = [flint.arb(0)] * len(w_q[0])
        query = plus(product(n[-1], w_q), arb(t["b_Q"][h])[0] if "b_Q" in t else no_bias)
        keys = [product(one, w_k) for one in n]
        if "b_V" in t:
            last = plus(last, product(arb(t["b_V"][h]), w_o)[0])
        scores = [product(query, [list(c) for c in zip(*key, strict=True)]) for key in keys]
        weights = []
        for q in range(len(query)):
            top = flint.arb(-10) ** 99
            for one in scores:
                for s in one[q]:
                    top = top.max(s)
            weights.append([[(scale * (s - top)).exp() for s in one[q]] for one in scores])
        found.append(([product(product(product(one, w_v), w_o), output) for one in n], weights))
    direct = product(last, output)
    if "b_U" in t and not ln_final:
        direct = plus(direct, arb(t["b_U"])[0])
    return direct, found


MODELS = [
    ((), ("b_Q", "b_V"), 1, {}),
    ((), BIASES, 2, {"attn_scale": "1", "n_ctx": "2"}),
    (("ln1_w",), BIASES, 1, {"ln1": "layer-norm", "ln_final": "none"}),
    (("ln1_w", "ln1_b", "ln_final_w"), ("b_Q", "b_K", "b_V", "b_O"), 2, {"normalization_type": "LN"}),
    ((), ("b_O",), 1, {"normalization_type": "LNPre", "n_ctx": "2"}),
    (("ln1_w", "ln_final_w"), ("b_Q", "b_V"), 2, {"normalization_type": "RMS", "attn_scale": "3/2"}),
    (("ln1_w", "ln1_b", "ln_final_w"), (), 1, {"normalization_type": "LN", "final_rms": "True", "attn_scale": "1/9"}),
    ((), BIASES[:4], 1, {"normalization_type": "RMSPre", "attn_scale": "5/1"}),
]


@pytest.mark.parametrize(("norms", "biases", "heads", "metadata"), MODELS)
@pytest.mark.parametrize("double", [False, True])
def test_tables_enclose_the_equations(norms, biases, heads, metadata, double):
    """Direct path exact; weights between their ends; differences of values within the slack. All of it narrow."""
    sizes = Sizes(5, 7, 3, 2, 3, heads)
    tensors = random_tensors(sizes, 7 + double, biases=biases, norms=norms)
    if double:
        tensors = {name: array.astype(np.float64) * (1 + 2.0**-40) for name, array in tensors.items()}
    scale, direct, found = run(TABLES, safetensors_bytes(tensors, metadata).hex())
    arch = build(tensors, metadata).architecture
    with flint.ctx.workprec(PRECISION):
        scaled = Fraction(metadata.get("attn_scale", "0")).as_integer_ratio()
        c = flint.arb(flint.fmpq(*scaled)) if scaled[0] else 1 / flint.arb(2).sqrt()
        k = int(metadata.get("n_ctx", 3))
        true_direct, true_heads = true_tables(tensors, k, c, arch.ln1, arch.ln_final)
        unit = flint.arb(2) ** scale
        for mine, true in zip(chain(*direct), chain(*true_direct), strict=True):
            assert abs(true * unit - mine) < flint.arb(2) ** -500
        for (value, slack, weights), (true_value, true_weights) in zip(found, true_heads, strict=True):
            assert (slack > 0) == (arch.ln1 is not None)
            assert slack < 2 ** (scale - 200)
            for row, true_row in zip(chain(*value), chain(*true_value), strict=True):
                for mine, true in zip(row[1:], true_row[1:], strict=True):
                    assert abs((true - true_row[0]) * unit - (mine - row[0])) <= slack + flint.arb(2) ** -500
            for (bits, low, high), true_tables_of_q in zip(weights, true_weights, strict=True):
                ends = zip(chain(*low), chain(*high), chain(*true_tables_of_q), strict=True)
                for least, most, true in ends:
                    assert least <= true * flint.arb(2) ** bits * (1 + flint.arb(2) ** -500)
                    assert true * flint.arb(2) ** bits * (1 - flint.arb(2) ** -500) <= most
                    assert most - least <= most * 2.0**-60 + 4


EXPONENTIALS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from model import exp_above, exp_bounds, log_two
bounds, above = json.load(sys.stdin)
print(json.dumps([
    [exp_bounds(low, high, g) for low, high, g in bounds],
    exp_above(above, 1152, 8192),
    [log_two(g) for g in (72, 128, 200, 4300)],
]))
"""


def test_exponentials_lie_between_their_bounds():
    """Against Arb at 9,000 bits: at random points, at multiples of ln 2 and next to zero; and the bounds are narrow."""
    rng = np.random.default_rng(0)
    bounds, above = [], []
    for g in (128, 200, 452):
        for size in (0, 1, g // 2, g - 9, g - 1, g, g + 3, g + 7, g + 8, g + 30):
            high = -int(rng.integers(1, 2**62)) * 2**size // 2**62
            bounds.append((high - int(rng.integers(0, 3)), min(high, 0), g))
    for size in (*range(0, 84, 7), 52, 62, 71, 72, 82, 83):
        above += [sign * int(rng.integers(1, 2**62)) * 2**size // 2**62 for sign in (1, -1)]
    with flint.ctx.workprec(9000):
        two = flint.arb(2).log()
        multiples = [int((two * n * 2**72).floor().unique_fmpz()) + e for n in (-1151, -1, 1, 100) for e in (-1, 0, 1)]
    above += [0, *multiples]
    found, uppers, logs = run(EXPONENTIALS, [bounds, above])
    with flint.ctx.workprec(9000):
        for (low, high, g), (least, most) in zip(bounds, found, strict=True):
            unit = flint.arb(2) ** g
            assert least <= (flint.arb(low) / unit).exp() * unit
            assert (flint.arb(high) / unit).exp() * unit <= most
            assert most - least <= 8 + ((high - low) << 1)
        for x, upper in zip(above, uppers, strict=True):
            true = (flint.arb(x) / 2**72).exp() * flint.arb(2) ** 1152
            if upper is None:
                assert true > flint.arb(2) ** (1152 + 8192)
            else:
                assert true <= upper <= true * (1 + flint.arb(2) ** -40) + 1
        for g, below in zip((72, 128, 200, 4300), logs, strict=True):
            assert below <= two * flint.arb(2) ** g < below + 2
