"""The standard-library checker of `reference/` agrees with the kernel, claims no more than the truth, and loads nothing else.

It runs in processes of its own, `python -I -S`: no site packages, no environment. Models and hints are those of the
kernel's own tests; claims are compared in integers.
"""

import json
import re
import struct
import subprocess
import sys
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest

import pessimal as ps
from bounds import bound
from counting_cases import NORMS, grid_hints, hints_of, model_of
from distributions import KINDS, chance, some_distribution
from models import KINDS as HOSTILE
from models import Sizes, _hostile, build, planted_tensors
from oracle import RIGHT, verdicts
from pessimal.kernel.certificate import canonical
from pessimal.kernel.rules import Hints
from pessimal.kernel.rules.interface import no_progress
from pessimal.spec import Uniform, WeightsError, read_weights
from pessimal.spec.claim import CLAIMS
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.strategies import ExponentialMoment, GridCount
from pessimal.strategies.proof import SLACK, encode
from pessimal.testing import LongMoment, safetensors_bytes, tiny_weights
from sampling import examples
from tasks import WIDE

ROOT = Path(__file__).resolve().parents[2]
CHECKER = ROOT / "reference" / "check.py"
RULES = ("position-minima", "exponential-moment", "grid-count")
SHIPPED = [p for p in sorted((ROOT / "certificates").glob("*.cert")) if p.name.split(".")[1] in RULES]
# Every pair of files on stdin, as hexadecimal digits: its line, and what else it says.
DRIVER = """
import json, sys
reference = sys.argv[1]
sys.path.insert(0, reference)
import check
from certificate import Rejected
from weights import UnreadableError, read_weights
found = []
for weights, certificate in json.load(sys.stdin):
    try:
        found.append((check.check(bytes.fromhex(certificate), read_weights(bytes.fromhex(weights))), ""))
    except Rejected as rejected:
        found.append((f"s REJECTED reason={rejected.reason}", rejected.detail))
    except (UnreadableError, check.NotCoveredError) as error:
        found.append(("", str(error)))
foreign = [
    name for name, module in sys.modules.items()
    if name.split(".")[0] not in sys.stdlib_module_names and name != "__main__"
    and not str(getattr(module, "__file__", "")).startswith(reference)
]
print(json.dumps([found, foreign]))
"""


def run(pairs, *flags, before=""):
    """(line, what else was said) of every pair of weights and certificate bytes, and the foreign modules loaded."""
    text = json.dumps([(weights.hex(), certificate.hex()) for weights, certificate in pairs])
    command = [sys.executable, *(flags or ("-I", "-S")), "-c", before + DRIVER, str(CHECKER.parent)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, foreign = json.loads(done.stdout)
    return found, foreign


def lines(pairs):
    found, foreign = run(pairs)
    assert foreign == []
    return [line for line, _ in found]


def command(certificate, weights, *flags):
    """Exit code, stdout and stderr of the command."""
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(CHECKER), str(certificate), "--weights", str(weights), *flags],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def comparable(line):
    """A verdict line without the lengths of the kernel's computation."""
    return re.sub(r" flops=\d+ ops=\d+", "", line)


def kernel(data, raw):
    """The kernel's line, or nothing where the weights cannot be read."""
    try:
        return comparable(ps.check(data, read_weights(raw)).line())
    except WeightsError:
        return ""


def stored(weights):
    return safetensors_bytes({name: array.copy() for name, array in weights.tensors.items()})


def split(data):
    (n,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def join(header, body):
    raw = header if isinstance(header, bytes) else canonical(header)
    return struct.pack("<Q", len(raw)) + raw + body


def changed(data, **fields):
    header, body = split(data)
    return join({**header, **fields}, body)


def claiming(data, correct):
    header, _ = split(data)
    return changed(data, claim={**header["claim"], "correct": str(correct)})


# ---------------------------------------------------------------------------------------------------------------------
# Agreement on random models


STRATEGY = {
    "position-minima": ps.STRATEGIES["position-minima"](),
    "exponential-moment": ExponentialMoment(),
    "grid-count": GridCount(),
}


def random_case(seed):
    """A model, a question, and hints for each rule that covers them."""
    rng = np.random.default_rng(seed)
    task = WIDE[int(rng.integers(len(WIDE)))]
    heads = int(rng.choice((1, 1, 2, 3)))
    weights = model_of(task, seed, heads, NORMS[int(rng.integers(len(NORMS)))], bool(rng.integers(4)))
    if not rng.integers(3):
        tensors = {name: array.copy() for name, array in weights.tensors.items()}
        weights = build(_hostile(tensors, str(rng.choice(HOSTILE)), seed), dict(weights.metadata))
    kind = str(rng.choice(("uniform", *KINDS), p=(0.4, *(0.1,) * len(KINDS))))
    distribution = Uniform() if kind == "uniform" else some_distribution(kind, task.k, task.d_vocab, seed)
    question = Question(task, distribution)
    rival = str(rng.choice(("plain", "centred", "every") + ("joint",) * (heads == 1)))
    position = str(rng.choice(("each", "pessimal")))
    hinted = str(rng.choice(("ordinary", "anything", "searched", "searched")))
    found = {"position-minima": Hints()} if heads == 1 else {}
    if hinted == "searched":
        lumps = task.name == "max-of-k" and not kind.endswith("chain")
        near = int(rng.integers(1, task.d_vocab + 1)) if lumps else task.d_vocab
        found["exponential-moment"] = ExponentialMoment(rival, position, near).hints(weights, question, no_progress)
    else:
        found["exponential-moment"] = hints_of(weights, task, rival, position, hinted, seed)
    if not kind.endswith("chain"):
        found["grid-count"] = grid_hints(weights, task, rival, position, hinted, seed)
    return weights, question, found


def true_weight(weights, question):
    """Weight of the right sequences, by enumeration."""
    task, distribution, found = question.task, question.distribution, Fraction(0)
    for t, verdict in verdicts(weights, lambda t: int(task.target(np.array(t)))).items():
        if verdict == RIGHT:
            found += Fraction(1, task.total()) if isinstance(distribution, Uniform) else chance(distribution, t)
    return found * question.total()


def certificate(weights, question, rule, hints, correct):
    claim = CLAIMS[question.distribution.claim_kind](correct, question.total(), REAL)
    return encode(weights, question, STRATEGY[rule], hints, claim)


def compare(seeds):
    """On every case: both verify the prover's claim; the reference's own count is no lower, and no higher than the truth.

    Returns how many claims were above nothing and below everything.
    """
    asked, pairs, telling = [], [], 0
    for seed in seeds:
        weights, question, rules = random_case(seed)
        truth = true_weight(weights, question)
        for rule, hints in rules.items():
            distribution = question.distribution
            found = bound(rule, weights, question.task, "float64", hints, distribution=distribution)
            slack = 1 if found.decided else 1 + SLACK[REAL]
            correct = max(0, question.total() - floor(found.wrong_at_most * slack))
            # As far above the count as the claim is below, and one more; floats overflow earlier, Arb decides.
            sharp = bound(rule, weights, question.task, "arb", hints, distribution=distribution)
            above = question.total() - floor(sharp.wrong_at_most * (2 - slack)) + 1
            data = certificate(weights, question, rule, hints, correct)
            asked.append((seed, rule, weights, question, truth, correct, above))
            pairs.append((stored_exactly(weights), data))
            pairs.append((pairs[-1][0], claiming(data, question.total())))
    found, foreign = run(pairs)
    assert foreign == []
    for one, (line, _), (most_line, most) in zip(asked, found[::2], found[1::2], strict=True):
        seed, rule, weights, question, truth, correct, above = one
        place = pairs[2 * asked.index(one)]
        assert line == comparable(ps.check(place[1], weights).line()), (seed, rule)
        assert "VERIFIED" in line
        if "VERIFIED" in most_line:
            count = question.total()
        else:
            assert most_line == "s REJECTED reason=bound-too-low"
            count = int(most.split()[-1])
        assert correct <= count <= truth, (seed, rule)
        # Of huge numbers digits cancel in floats and balls, none here; on a grid, ties are decided here alone.
        huge = max(np.abs(array).max() for array in weights.tensors.values()) > 1e6
        if rule != "grid-count" and not huge:
            assert count < above, (seed, rule)
        telling += 0 < correct < question.total()
    return telling, len(asked)


def stored_exactly(weights):
    """A file of the model; what its tensors do not say stands in the metadata."""
    return safetensors_bytes({name: array.copy() for name, array in weights.tensors.items()}, weights.metadata)


def test_the_reference_agrees_on_a_few_random_models():
    telling, all_of_them = compare(range(examples(8)))
    assert telling > 0 or all_of_them < 20


def test_the_reference_agrees_on_far_tokens():
    """Max-of-K with 1 to 3 near tokens, far ones of positive margin included: the count where both arithmetics agree."""
    pairs, expected = [], []
    for seed in range(examples(16)):
        rival, position = ("plain", "centred", "joint", "every")[seed % 4], ("each", "pessimal")[seed // 4 % 2]
        weights = build(planted_tensors(Sizes(6, 7, 11, 2, 3), sharpness=4.0, noise=0.05, gain=1.0, seed=seed))
        question = Question(ps.MaxOfK(3, 6), Uniform())
        hints = ExponentialMoment(rival, position, 1 + seed % 3).hints(weights, question, no_progress)
        found = [bound("exponential-moment", weights, question.task, one, hints) for one in ("float64", "arb")]
        floats, balls = (216 - floor(one.wrong_at_most) for one in found)
        if floats == balls:
            pairs.append((stored(weights), certificate(weights, question, "exponential-moment", hints, 216)))
            expected.append(f"the rule gives {balls}")
    found, _ = run(pairs)
    assert [said.partition("; ")[2] for _, said in found] == expected
    assert len(expected) > examples(16) / 2
    assert set(expected) != {"the rule gives 0"}


@pytest.mark.slow
@pytest.mark.survey
def test_the_reference_agrees_on_two_hundred_random_models():
    """Every task, one to three heads, LayerNorms, all distributions, garbage and searched hints."""
    telling, all_of_them = compare(range(1000, 1000 + examples(200)))
    assert telling > all_of_them / 5


# ---------------------------------------------------------------------------------------------------------------------
# Agreement on damage


EXAMPLE = tiny_weights(0, k=3)
TASK = ps.MaxOfK(3, 5)
PROOFS = {
    "moment": ps.prove(EXAMPLE, TASK, LongMoment(rival="centred", position="each", near=2)).data,
    "short": ps.prove(EXAMPLE, TASK, ExponentialMoment(rival="joint")).data,
    "minima": ps.prove(EXAMPLE, TASK, STRATEGY["position-minima"]).data,
    "grid": ps.prove(EXAMPLE, TASK, GridCount(rival="every", cells=64)).data,
}


@pytest.mark.parametrize("name", PROOFS)
def test_a_flipped_bit_gives_the_same_verdict_and_reason(name):
    """Every byte of one certificate, every eleventh of the others, one bit at a time."""
    raw, data = stored(EXAMPLE), PROOFS[name]
    places = range(0, len(data), 1 if name == "moment" else 11)
    damaged = [bytes([*data[:i], data[i] ^ (1 << i % 8), *data[i + 1 :]]) for i in places]
    found = lines([(raw, one) for one in damaged])
    expected = [kernel(one, raw) for one in damaged]
    assert found == expected
    assert len({line.partition("reason")[2] for line in found}) > 5
    assert any(line.startswith("s VERIFIED") for line in found)


def test_a_flipped_bit_of_the_weights_is_noticed_by_both():
    raw, data = stored(EXAMPLE), PROOFS["moment"]
    damaged = [bytes([*raw[:i], raw[i] ^ (1 << i % 8), *raw[i + 1 :]]) for i in range(0, len(raw), 3)]
    damaged += [raw[:n] for n in (0, 7, 8, 100, len(raw) - 1)] + [raw + b"\0"]
    found = lines([(one, data) for one in damaged])
    assert found == [kernel(data, one) for one in damaged]
    assert set(found) == {"", "s REJECTED reason=weights-mismatch"}


@pytest.mark.parametrize("name", PROOFS)
def test_a_raised_claim_is_too_high_for_both(name):
    """From the prover's claim to beyond the total, all counts: the same verdict."""
    header, _ = split(PROOFS[name])
    raw, correct = stored(EXAMPLE), int(header["claim"]["correct"])
    raised = [claiming(PROOFS[name], count) for count in range(correct, 127)]
    found = lines([(raw, one) for one in raised])
    assert found == [kernel(one, raw) for one in raised]
    assert found[0].startswith("s VERIFIED")
    assert found[-1] == "s REJECTED reason=bad-claim"
    assert correct == 125 or "s REJECTED reason=bound-too-low" in found


HEADER, BODY = split(PROOFS["moment"])
GRID, GRID_BODY = split(PROOFS["grid"])
SHORT, SHORT_BODY = split(PROOFS["short"])


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
        "near": (0, 1, 5, 6, "2"), "rival": ("none", "every", "joint", "plain"), "position": (1, "pessimal"), "more": (1,),
    }.items():  # fmt: skip
        yield from (changed(PROOFS["moment"], options={**HEADER["options"], key: value}) for value in values)
    for key, values in {"cells": (0, 1, 65536, 65537), "sides": (1, 2, 3), "rival": ("joint", "plain")}.items():
        yield from (join({**GRID, "options": {**GRID["options"], key: value}}, GRID_BODY) for value in values)
    for key, value in {"name": "min-of-k", "k": 4, "d_vocab": 7, "token": 1}.items():
        yield changed(PROOFS["moment"], task={**HEADER["task"], key: value})
    for rule in (*RULES, "prayer"):
        yield changed(PROOFS["moment"], rule=rule)
    for name in ("product", "markov", "zipf"):
        yield changed(PROOFS["moment"], distribution={"name": name})
    for kind in ("probability", "mean-probability", "loss", "x"):
        yield changed(PROOFS["moment"], claim={**HEADER["claim"], "kind": kind})
        yield changed(PROOFS["moment"], claim={"kind": kind, "correct": "200", "total": str(125 << 20)})
    for count in ("-1", "+1", " 1", "01", "1.0", "", "²", "9" * 4001):
        yield changed(PROOFS["moment"], claim={**HEADER["claim"], "correct": count})


def other_hints():
    """Certificates with hints of another form or value."""
    for hint in (
        {}, tilts(-1), tilts(2**53), tilts(2**53 + 1), tilts(e=1000), tilts(e=1001), tilts(e=-1001), tilts(e=-(2**63)),
        tilts(shape=(1, 14)), tilts(shape=(15,)), tilts(dtype=np.float64), tilts() | {"more": np.zeros(1, np.int64)},
        tilts() | {"distribution_weights": np.ones((1, 5), np.int64)},
    ):  # fmt: skip
        yield with_arrays(HEADER, **hint)
    n = SHORT["arrays"][0]["shape"][0]
    for packed in ((-1,) * n, (0,) * n, (1 << 48,) * n, (7,) * n, (8,) * (n + 1), (16007,) * n, (16008,) * n):
        yield with_arrays(SHORT, tilt=np.array(packed, dtype=np.int64))
    product = {**HEADER, "distribution": {"name": "product"}, "options": {**HEADER["options"], "near": 5}}
    for rows, top in (([[1] * 5], 125), ([[2, 1, 0, 1, 1]], 125), ([[1] * 5] * 3, 125), ([[1] * 5] * 2, 125),
                      ([[0] * 5], 0), ([[-1, 2, 2, 1, 1]], 125), ([[2**48 + 1] * 5], 125), ([[1] * 4], 64)):  # fmt: skip
        claim = {"kind": "probability", "correct": "0", "total": str(top)}
        weighed = {"distribution_weights": np.array(rows, dtype=np.int64)}
        yield with_arrays({**product, "claim": claim}, **tilts(), **weighed)


@pytest.mark.parametrize("source", [other_fields, other_hints])
def test_what_says_something_else_gets_the_same_verdict_and_reason(source):
    raw, damaged = stored(EXAMPLE), list(source())
    found = lines([(raw, one) for one in damaged])
    assert found == [kernel(one, raw) for one in damaged]
    assert any(line.startswith("s VERIFIED") for line in found)
    assert "s REJECTED reason=bad-hint" in found


def test_malformed_containers_get_the_same_reason():
    raw, data = stored(EXAMPLE), PROOFS["moment"]
    headers = [
        b"", b"null", b"[]", b"{}", b'{"a":NaN}', b'{"a":1e999}', b'{"a":-0}', b'{"a":' + b"9" * 10_000 + b"}",
        b"[" * 50_000, b'{"a":' * 900 + b"1" + b"}" * 900, b'{"a":"\\ud800"}', b"\xff\xfe", canonical(HEADER) + b" ",
        json.dumps(HEADER, sort_keys=True).encode(), canonical(HEADER)[:-1] + b',"a":1}',
    ]  # fmt: skip
    damaged = [join(one, BODY) for one in headers] + [data[:n] for n in range(0, len(data), 5)] + [data + b"\0"]
    for shape in ([0], [2**62, 2**62], [-1], [1] * 5, [True], ["1"], 1, [2**63], []):
        entry = {"dtype": "int64", "name": "tilt_mantissa", "shape": shape}
        damaged.append(join({**HEADER, "arrays": [entry]}, BODY))
    found = lines([(raw, one) for one in damaged])
    assert found == [kernel(one, raw) for one in damaged]
    assert {line.partition("=")[2] for line in found} == {
        "malformed-container",
        "malformed-header",
        "unsupported-format",
    }


def test_models_that_no_rule_covers_get_the_same_reason():
    """Final biases under a final LayerNorm, several heads under position minima, a single position."""
    biased = Sizes(5, 5, 7, 3, 3)
    tensors = planted_tensors(biased) | {"ln_final_w": np.ones(7, np.float32), "b_U": np.arange(5, dtype=np.float32)}
    single = planted_tensors(Sizes(5, 5, 7, 3, 1))
    two = model_of(ps.MaxOfK(3, 5), 0, 2, (), planted=True)
    pairs = []
    for weights, rule in ((build(tensors), RULES[1]), (build(single), RULES[0]), (two, RULES[0])):
        task = ps.MaxOfK(weights.architecture.shape.k, 5)
        claim = CLAIMS["correct-count"](0, task.total(), REAL)
        pairs.append((stored(weights), encode(weights, Question(task, Uniform()), STRATEGY[rule], Hints(), claim)))
    found = lines(pairs)
    assert found == [kernel(data, raw) for raw, data in pairs] == ["s REJECTED reason=unsupported-model"] * 3


# ---------------------------------------------------------------------------------------------------------------------
# The command


def test_the_command_prints_the_line_and_its_exit_code_says_the_verdict(tmp_path):
    model, other, proof = tmp_path / "model", tmp_path / "other", tmp_path / "proof"
    model.write_bytes(stored(EXAMPLE))
    other.write_bytes(stored(tiny_weights(1, k=3)))
    proof.write_bytes(PROOFS["moment"])
    expected = comparable(ps.check(PROOFS["moment"], EXAMPLE).line())
    assert command(proof, model)[:2] == (0, expected + "\n")
    assert command(proof, other)[:2] == (1, "s REJECTED reason=weights-mismatch\n")
    assert command(proof, model, "--max-work", "1")[:2] == (3, "s REJECTED reason=resources\n")
    assert command(proof, model, "--attn-scale", "1")[:2] == (1, "s REJECTED reason=weights-mismatch\n")
    assert command(proof, proof)[:2] == (2, "")
    assert command(tmp_path / "none", model)[:2] == (2, "")


def test_what_it_does_not_cover_gets_no_verdict(tmp_path):
    """Another rule, or float32 executions: exit code 2 and a sentence, neither verified nor rejected."""
    model, proof = tmp_path / "model", tmp_path / "proof"
    model.write_bytes(stored(EXAMPLE))
    for data in (
        ps.prove(EXAMPLE, TASK, ps.Cubic()).data,
        ps.prove(EXAMPLE, TASK, ExponentialMoment(), semantics="float32").data,
    ):
        proof.write_bytes(data)
        code, out, error = command(proof, model)
        assert (code, out) == (2, "")
        assert "covers" in error


def test_nothing_outside_the_standard_library_is_loaded():
    """The list of foreign modules is empty, and would not be if there were one."""
    pair = [(stored(EXAMPLE), PROOFS["moment"])]
    assert run(pair)[1] == []
    assert "numpy" in run(pair, "-I", before="import numpy\n")[1]


def test_optimisation_changes_no_verdict():
    pairs = [(stored(EXAMPLE), PROOFS["moment"]), (stored(EXAMPLE), claiming(PROOFS["moment"], 125))]
    assert run(pairs, "-I", "-S", "-O") == run(pairs)


# ---------------------------------------------------------------------------------------------------------------------
# Shipped models


@pytest.mark.slow
@pytest.mark.survey
@pytest.mark.parametrize("path", SHIPPED, ids=[p.stem for p in SHIPPED])
def test_a_shipped_certificate_verifies_and_one_beyond_it_does_not(path):
    """The claim holds; raised by twice the slack, or by one where the rule counts decisions, it is too high."""
    raw = (ROOT / "weights" / f"{path.name.split('.')[0]}.safetensors").read_bytes()
    data = path.read_bytes()
    header, _ = split(data)
    correct, total = (int(header["claim"][key]) for key in ("correct", "total"))
    decided = header["rule"] == "position-minima"
    raised = correct + 1 + (0 if decided else floor(Fraction(total - correct) * 2 * SLACK[REAL]) + 1)
    line, *more = lines([(raw, data), *([(raw, claiming(data, raised))] if raised <= total else [])])
    assert line == comparable(ps.check(data, read_weights(raw)).line())
    assert line.startswith("s VERIFIED")
    assert more == ["s REJECTED reason=bound-too-low"][: len(more)]


@pytest.mark.slow
@pytest.mark.survey
@pytest.mark.parametrize("rival", ["centred", "joint"])
def test_a_grid_of_a_shipped_model_verifies(rival):
    raw = (ROOT / "weights" / "max4_v64_seed104.safetensors").read_bytes()
    weights = read_weights(raw)
    proof = ps.prove(weights, ps.MaxOfK(4, 64), GridCount(rival=rival, cells=1024))
    (line,) = lines([(raw, proof.data)])
    assert line == comparable(ps.check(proof, weights).line())
    assert line.startswith("s VERIFIED")
