"""The checker extracted from the theorems gives the verdicts and reasons of the kernel, or none on what it does not cover.

Skipped where `formal/build/pessimal-verified` is not built: `make formal`.
"""

from math import floor

import numpy as np
import pytest

import pessimal as ps
from pessimal.kernel.certificate import canonical
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.interface import no_progress
from pessimal.proving.proof import SLACK
from pessimal.spec import Overrides, Uniform, read_weights
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.tasks import MinOfK
from pessimal.strategies import ExponentialMoment
from pessimal.testing import safetensors_bytes
from support.bounds import bound
from support.counting_cases import grid_hints, hints_of, model_of
from support.damage import (
    BODY,
    HEADER,
    flipped,
    flipped_weights,
    malformed,
    other_fields,
    other_hints,
    other_weights,
)
from support.models import KINDS, Sizes, _hostile, build, planted_tensors, random_tensors
from support.oracle import true_count
from support.reference_checker import (
    EXAMPLE,
    PROOFS,
    ROOT,
    RULES,
    TASK,
    certificate,
    changed,
    claiming,
    comparable,
    join,
    kernel,
    split,
    stored,
    wrong,
)
from support.reference_checker import run as run_reference
from support.sampling import examples
from support.verified_checker import MISSING, assert_same, by_balls, command, run, silent

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
SHIPPED = sorted((ROOT / "certificates").glob("*.cert"))


def model_of_shipped(path):
    return (ROOT / "weights" / f"{path.name.split('.')[0]}.safetensors").read_bytes()


@pytest.mark.parametrize("name", PROOFS)
def test_a_flipped_bit_gives_the_verdict_and_reason_of_the_kernel(tmp_path, name):
    raw = stored(EXAMPLE)
    pairs = [(raw, one) for one in flipped(name)]
    found = assert_same(tmp_path, pairs, [kernel(data, raw) for raw, data in pairs])
    assert len(set(found)) > 6
    assert "" not in found


def test_damaged_weights_are_noticed(tmp_path):
    pairs = [(one, PROOFS["moment"]) for source in (flipped_weights, other_weights) for one in source()]
    found = assert_same(tmp_path, pairs, [kernel(data, raw) for raw, data in pairs])
    assert {"", "s REJECTED reason=weights-mismatch"} < set(found)


@pytest.mark.parametrize("source", [other_fields, other_hints, malformed])
def test_what_says_something_else_gets_the_verdict_and_reason_of_the_kernel(tmp_path, source):
    raw = stored(EXAMPLE)
    pairs = [(raw, one) for one in source()]
    found = assert_same(tmp_path, pairs, [kernel(data, raw) for raw, data in pairs])
    assert len(set(found)) > 2
    assert all(found) == (source is malformed)


def test_strings_are_canonical_as_python_encodes_them(tmp_path):
    """Names of strategies and options with every kind of character, and the same spelt otherwise."""
    raw, spelt = stored(EXAMPLE), []
    for name in ('\0\b\t\n\f\r\x1f"\\/\x7f', "é€\uffff", "\U0001f600", "\ud83d", "\ude00\ud83d", "\ud83d\\ude00"):
        spelt.append(changed(PROOFS["moment"], strategy=name))
        spelt.append(changed(PROOFS["moment"], options={**HEADER["options"], name: 1, "~": 2}))
    text = canonical(HEADER)
    mine = b'"strategy":"' + HEADER["strategy"].encode()
    others = (
        rb"\u0041", rb"\u001F", rb"\u00E9", rb"\u00e9", rb"\u000a", rb"\/", rb"\x41", rb"\u00", b"\x7f", b"\n",
        rb"\ud83d\u0041", rb"\ud83d\u00e9", rb"\ud83d\n",
    )  # fmt: skip
    spelt += [join(text.replace(mine, b'"strategy":"' + other), BODY) for other in others]
    found = assert_same(tmp_path, [(raw, one) for one in spelt], [kernel(one, raw) for one in spelt])
    assert {line.partition("=")[2].partition("/")[0] for line in found} == {"116", "bad-hint", "malformed-header"}


def spelt_otherwise():
    """The same model under other names, with the head axis, white space, metadata; and metadata that is none."""
    raw = stored(EXAMPLE)
    header, body = split(raw)
    end = len(body)
    long_names = {"W_E": "embed.W_E", "W_pos": "pos_embed.W_pos", "W_U": "unembed.W_U"}
    long_names |= {name: f"blocks.0.attn.{name}" for name in ("W_Q", "W_K", "W_V", "W_O")}
    yield join({long_names[name]: entry for name, entry in header.items()}, body)
    yield join({**header, "embed.W_E": header["W_E"]}, body)
    twice = {**header["W_E"], "data_offsets": [end, end + 140]}
    yield join({**header, "embed.W_E": twice}, body + bytes(140))
    for start, stop in ((0, 140), (140, 140), (-140, 0), (end, end), (end - 140, end), (end, end + 140)):
        yield join({**header, "blocks.0.attn.mask": {**twice, "data_offsets": [start, stop]}}, body)
    more = {"dtype": "BOOL", "shape": [4], "data_offsets": [end, end + 5]}
    yield join({**header, "blocks.0.attn.mask": more}, body + bytes(5))
    tensors = {name: np.array(array) for name, array in EXAMPLE.tensors.items()}
    yield safetensors_bytes({**tensors, "W_pos": np.zeros((65537, 7), np.float32)}, {"n_ctx": "3"})
    yield join({**header, "blocks.0.attn.mask": {"dtype": "BOOL", "shape": [0], "data_offsets": [end, end]}}, body)
    yield safetensors_bytes({name: array.reshape(array.shape[-2:]) for name, array in tensors.items()})
    for dtype, width in (("BOOL", 1), ("BF16", 2), ("I64", 8), ("F8", 1)):
        buffer = {"dtype": dtype, "shape": [2, 2], "data_offsets": [end, end + 4 * width]}
        yield join({**header, "blocks.0.attn.mask": buffer}, body + bytes(4 * width))
    for buffer in (
        {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1] * 9, "data_offsets": [0, 4]},
    ):
        moved = {n: {**e, "data_offsets": [4 + x for x in e["data_offsets"]]} for n, e in header.items()}
        yield join({**moved, "blocks.0.attn.IGNORE": buffer}, bytes(4) + body)
    yield safetensors_bytes({name: array.astype(np.float64) for name, array in tensors.items()})
    text = join(header, body)[8:].partition(b"}}" + body[:8])[0]
    for more in (
        b' , "__metadata__" : {}\n\t\r', b',"__metadata__":{"a":"\xc3\xa9\\uD83D\\ude00\\/"}',
        b',"__metadata__":{"a":"\xc3"}', b',"__metadata__":{"a":"\xc3A"}', b',"__metadata__":{"a":"\xe9\x80A"}',
        b',"__metadata__":{"a":"\xed\xa0\x80"}', b',"__metadata__":{"a":"\xf4\x90\x80\x80"}', b',"__metadata__":{"a":"\xc1\x81"}',
        b',"__metadata__":{"a":"\xbf\x80"}', b',"__metadata__":{"a":"\xe0\x81\x81"}', b',"__metadata__":{"a":"\xfc\x80\x80\x80"}',
        b" " * (1 << 20), b',"__metadata__":{"a":"\n"}', b',"__metadata__":{"a":"\x7f"}', b',"__metadata__":{"a":"","a":""}',
        b',"__metadata__":{"a":"","\\u0061":""}', b',"__metadata__":{"a":"\\ud83d"}', b',"__metadata__":{"a":"\\ud83d\\u0041"}',
        b',"__metadata__":[]', b',"__metadata__":{"attn_scale":""}', b',"__metadata__":{"attn_scale":"1"}',
        b',"__metadata__":{"n_ctx":"3"}', b',"__metadata__":{"n_ctx":"0000003"}', b',"__metadata__":{"normalization_type":"none"}',
        b',"__metadata__":{"positional_embedding_type":"rotary"}', b" /* */", b",",
    ):  # fmt: skip
        yield join(text + b"}" + more + b"}", body)


def test_weights_are_read_as_the_kernel_reads_them(tmp_path):
    """Every file that the kernel reads has its digest here, so that the claim about it is judged."""
    pairs = []
    for raw in spelt_otherwise():
        try:
            about = changed(PROOFS["moment"], weights_sha256=read_weights(raw).sha256)
        except ps.spec.WeightsError:
            about = PROOFS["moment"]
        pairs.append((raw, about))
    found = assert_same(tmp_path, pairs, [kernel(data, raw) for raw, data in pairs])
    assert sum(line.startswith("s VERIFIED") for line in found) > 8
    assert found.count("") > 8


def test_flags_say_what_the_file_does_not(tmp_path):
    model, proof, missing = tmp_path / "model", tmp_path / "proof", tmp_path / "none"
    model.write_bytes(stored(EXAMPLE))
    proof.write_bytes(PROOFS["moment"])
    stated = read_weights(stored(EXAMPLE), Overrides(k=3))
    expected = comparable(ps.check(PROOFS["moment"], stated).line())
    assert "assumed=attention:causal-softmax,attn_scale:1/sqrt(d_head),k:3," in expected
    assert command(proof, model, "--ln-eps", "1e-5", "--k", "3")[:2] == (0, expected + "\n")
    assert command(proof, model, "--max-work", "1")[:2] == (3, "s REJECTED reason=resources\n")
    assert command(proof, model, "--attn-scale", "1")[:2] == (1, "s REJECTED reason=weights-mismatch\n")
    assert command(proof, model, "--attn-scale", "2")[:2] == (2, "")
    assert command(proof, model, "--k", "4")[:2] == (2, "")
    assert command(proof, proof)[:2] == (2, "")
    assert command(missing, model)[:2] == (2, "")
    assert command(proof, model, "--strict")[:2] == (2, "")
    shorter = read_weights(stored(EXAMPLE), Overrides(k=2))
    proof.write_bytes(ps.prove(shorter, ps.MaxOfK(2, 5), ps.PositionMinima()).data)
    assert command(proof, model, "--k", "2")[0] == 0
    assert command(proof, model)[:2] == (1, "s REJECTED reason=weights-mismatch\n")


def test_models_that_fit_no_question_are_refused(tmp_path):
    """Fewer outputs than tokens; more than 10^4000 sequences; one output; one position."""
    pairs = []
    for sizes in (Sizes(5, 3, 7, 2, 3), Sizes(11, 11, 5, 3, 4096), Sizes(1, 1, 5, 2, 3), Sizes(5, 5, 7, 3, 1)):
        weights, few = build(random_tensors(sizes, 0)), sizes.v**sizes.k < 10**4000
        for rule in RULES[:2]:
            data = certificate(weights, Question(TASK, Uniform()), rule, Hints(), 0)
            task = {"name": "max-of-k", "k": sizes.k, "d_vocab": sizes.v}
            claim = {"kind": "correct-count", "correct": "0", "total": str(sizes.v**sizes.k if few else 1)}
            pairs.append((stored(weights), changed(data, task=task, claim=claim)))
    found = assert_same(tmp_path, pairs, [kernel(data, raw) for raw, data in pairs])
    assert found == ["s REJECTED reason=task-mismatch"] * 4 + ["s REJECTED reason=unsupported-model"] * 4


def test_models_and_questions_without_a_theorem_get_no_verdict(tmp_path):
    """Two heads, biases, LayerNorm, more outputs, another task, rule, scale, or float32: exit code 2 and a sentence."""
    two, more = model_of(ps.MaxOfK(3, 5), 0, 2, (), planted=True), build(planted_tensors(Sizes(5, 7, 11, 3, 3)))
    biased = build(planted_tensors(Sizes(5, 5, 7, 3, 3)) | {"b_U": np.ones(5, np.float32)})
    scaled = build(planted_tensors(Sizes(5, 5, 7, 3, 3)), {"attn_scale": "1"})
    asked = [(one, TASK, ExponentialMoment(), REAL) for one in (two, more, biased, scaled)]
    asked += [(EXAMPLE, MinOfK(3, 5), ExponentialMoment(), REAL), (EXAMPLE, TASK, ps.Cubic(), REAL)]
    asked += [(EXAMPLE, TASK, ExponentialMoment(), "float32")]
    pairs = []
    for weights, task, strategy, semantics in asked:
        proof = ps.prove(weights, task, strategy, semantics=semantics)
        pairs.append((safetensors_bytes(dict(weights.tensors), weights.metadata), proof.data))
    for (raw, data), (line, _) in zip(pairs, run(tmp_path, pairs), strict=True):
        assert kernel(data, raw).startswith("s VERIFIED")
        assert line == ""
        assert silent(raw, data)


@pytest.mark.parametrize(
    "metadata",
    [{"use_attn_scale": "False"}, {"use_attn_scale": "True"}, {"attn_scale": "1/8"}, {"n_heads": "1"}, {"n_layers": "1"},
     {"attn_scores_soft_cap": "-1"}, {"final_rms": "False"}, {"Layer.Scale": "2"}, {"mlp0": ""}],
)  # fmt: skip
def test_statements_that_it_does_not_read_are_refused_by_name(tmp_path, metadata):
    """Exit code 2 and the key; parameters of tasks and what is no fact of an architecture are read over."""
    tensors = dict(EXAMPLE.tensors)
    (line, said), *_ = run(tmp_path, [(safetensors_bytes(tensors, metadata), PROOFS["moment"])])
    assert line == ""
    assert next(iter(metadata)) in said
    harmless = {"task_position": "1", "author": "nobody", "format": "pt", "scaled": "no"}
    raw = safetensors_bytes(tensors, harmless)
    assert run(tmp_path, [(raw, PROOFS["moment"])])[0][0] == kernel(PROOFS["moment"], raw)


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=[p.stem for p in SHIPPED])
def test_a_shipped_certificate_verifies_and_one_beyond_it_does_not(tmp_path, path):
    """The claim holds; raised by twice the slack, or by one where the rule counts decisions, it is too high."""
    raw, data = model_of_shipped(path), path.read_bytes()
    if silent(raw, data):
        assert run(tmp_path, [(raw, data)])[0][0] == ""
        return
    header, _ = split(data)
    correct, total = (int(header["claim"][key]) for key in ("correct", "total"))
    decided = header["rule"] == "position-minima"
    raised = correct + 1 + (0 if decided else floor((total - correct) * 2 * SLACK[REAL]) + 1)
    above = [(raw, claiming(data, raised))] if raised <= total else []
    (line, _), *more = run(tmp_path, [(raw, data), *above])
    assert line == comparable(ps.check(data, read_weights(raw)).line())
    assert line.startswith("s VERIFIED")
    # Where floats overflow, balls give a higher count, and so do integers.
    beyond = ["s REJECTED reason=bound-too-low" if decided else by_balls(*pair) for pair in above]
    assert [one for one, _ in more] == beyond


# d_vocab, d_model, d_head, K
SIZES = ((2, 5, 3, 4), (3, 7, 2, 4), (5, 7, 2, 3), (5, 7, 3, 2), (7, 5, 3, 3), (11, 5, 2, 2), (2, 5, 7, 5))


def random_case(seed):
    """A model of max-of-k, how it is spoilt, and hints for every rule."""
    rng = np.random.default_rng(seed)
    v, m, d, k = SIZES[int(rng.integers(len(SIZES)))]
    sizes, task = Sizes(v, v, m, d, k), ps.MaxOfK(k, v)
    if rng.integers(4):
        shape = {"sharpness": float(rng.choice((1, 2, 4))), "gain": 1.0, "noise": float(rng.choice((0.02, 0.1)))}
        tensors = planted_tensors(sizes, seed=seed, **shape)
    else:
        tensors = random_tensors(sizes, seed)
    hostile = str(rng.choice(KINDS)) if not rng.integers(3) else "plain"
    weights = build(_hostile(tensors, hostile, seed))
    rival = str(rng.choice(("plain", "centred", "joint", "every")))
    position, near = str(rng.choice(("each", "pessimal"))), int(rng.integers(1, v + 1))
    hinted = str(rng.choice(("ordinary", "anything", "searched", "searched")))
    if hinted == "searched":
        moment = ExponentialMoment(rival, position, near).hints(weights, Question(task), no_progress)
    else:
        moment = hints_of(weights, task, rival, position, hinted, seed)
    grid = grid_hints(weights, task, rival, position, hinted, seed)
    one_sided = {"sides": 1} if near < v else {}
    moment = Hints({**moment.options, "near": near}, moment.arrays)
    grid = Hints({**grid.options, "near": near, **one_sided}, grid.arrays)
    return weights, task, hostile, {"position-minima": Hints(), "exponential-moment": moment, "grid-count": grid}


def agree(folder, seeds):
    """On every case, kernel, reference and extracted checker verify the claim of the prover, and none beyond it.

    Nor does the extracted checker count more than enumeration. Returns how many claims were neither nothing nor all, and
    how many were compared.
    """
    cases, pairs, compared = [], [], []
    for seed in seeds:
        weights, task, hostile, rules = random_case(seed)
        raw, truth = stored(weights), true_count(weights)
        for rule, hints in rules.items():
            found, sharp = (bound(rule, weights, task, one, hints) for one in ("float64", "arb"))
            slack = 1 if found.decided else 1 + SLACK[REAL]
            correct = max(0, task.total() - wrong(found, slack))
            above = task.total() - wrong(sharp, 2 - slack) + 1
            data = certificate(weights, Question(task), rule, hints, correct)
            cases.append((seed, rule, hostile, correct, above, truth, task.total()))
            pairs += [(raw, data), (raw, claiming(data, min(above, task.total()))), (raw, claiming(data, task.total()))]
    mine, reference = run(folder, pairs), run_reference(pairs)[0]
    for i, (seed, rule, hostile, correct, above, truth, total) in enumerate(cases):
        (line, _), (beyond, _), (most, said) = mine[3 * i : 3 * i + 3]
        assert reference[3 * i][0] == kernel(*pairs[3 * i][::-1]), (seed, rule)
        count = total if most.startswith("s VERIFIED") else int(said.split()[-1])
        assert count <= truth, (seed, rule)
        assert line == reference[3 * i][0], (seed, rule)
        assert line.startswith("s VERIFIED"), (seed, rule)
        # Of huge numbers digits cancel in floats and balls, none here.
        if hostile == "huge":
            continue
        compared.append(0 < correct < total)
        # On a grid, ties are decided in exact integers alone.
        if above <= total and rule != "grid-count":
            assert beyond == reference[3 * i + 1][0] == "s REJECTED reason=bound-too-low", (seed, rule)
        assert most == reference[3 * i + 2][0], (seed, rule)
    return sum(compared), len(compared)


def test_three_checkers_agree_on_a_few_random_models(tmp_path):
    telling, all_of_them = agree(tmp_path, range(examples(8)))
    assert telling > 0 or all_of_them < 20


@pytest.mark.slow
@pytest.mark.survey
def test_three_checkers_agree_on_two_hundred_random_models(tmp_path):
    telling, compared = agree(tmp_path, range(1000, 1000 + examples(240)))
    assert telling > compared / 3
    assert compared > 3 * examples(200)
