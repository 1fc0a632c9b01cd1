"""The line of the independent checkers says which question was answered and on which assumptions, as the kernel's does."""

import hashlib
import json
import struct

import numpy as np

from pessimal.kernel.hints import Hints
from pessimal.spec import Overrides, Uniform, WeightsError, read_weights
from pessimal.spec.question import Question
from pessimal.spec.tasks import Constant, ContainsToken, CustomTask
from pessimal.testing import safetensors_bytes
from support import verified_checker
from support.counting_cases import model_of
from support.distributions import KINDS, some_distribution
from support.models import Sizes, random_tensors
from support.reference_checker import answers, certificate, kernel, lines, split, stored_exactly
from support.tasks import TASKS_ONCE

MACHINES = [
    CustomTask(2, 3, 0, ((0, 1, 0), (1, 1, 0)), (0, 2)),
    CustomTask(2, 3, 0, ((0, 1, 0), (1, 1, 1)), (0, 2)),
    CustomTask(2, 3, 1, ((0, 1, 0), (1, 1, 0)), (0, 2)),
]
MORE = [ContainsToken(2, 3, 0), ContainsToken(2, 3, 1), Constant(2, 3, 0), Constant(2, 3, 1)]


def sha256(*parts):
    """SHA-256 over parts, each led by its length."""
    return hashlib.sha256(b"".join(struct.pack("<Q", len(part)) + part for part in parts)).hexdigest()


def digest_of(header, arrays):
    """The digest of a question, from the words of the format alone."""
    name = header["distribution"]["name"]
    parts = [b"pessimal-distribution/1", name.encode()]
    for key in sorted(arrays):
        array = np.asarray(arrays[key], dtype="<i8")
        parts += [key.encode(), struct.pack(f"<{array.ndim}Q", *array.shape), array.tobytes()]
    asked = {
        "distribution": {"name": name, "sha256": sha256(*parts)}, "quantity": "accuracy",
        "semantics": header["semantics"], "task": header["task"],
    }  # fmt: skip
    return sha256(b"pessimal-question/1", json.dumps(asked, sort_keys=True, separators=(",", ":")).encode())


def said(line):
    """The fields of a line."""
    return dict(item.partition("=")[::2] for item in line.split() if "=" in item)


def test_the_question_on_the_line_is_that_of_the_format_and_of_the_kernel(tmp_path):
    """Every task and every kind of distribution: recomputed from the header, and no two questions alike."""
    pairs, expected = [], []
    for number, task in enumerate([*TASKS_ONCE, *MACHINES, *MORE]):
        weights = model_of(task, number, 1, (), planted=True)
        kind = (None, *KINDS)[number % (1 + len(KINDS))]
        for chosen in {None, kind}:
            law = Uniform() if chosen is None else some_distribution(chosen, task.k, task.d_vocab, number)
            data = certificate(weights, Question(task, law), "position-minima", Hints(), 0)
            pairs.append((stored_exactly(weights), data))
            expected.append(digest_of(split(data)[0], law.arrays()))
    found = lines(pairs)
    assert found == [kernel(data, raw) for raw, data in pairs]
    assert [said(line)["question"] for line in found] == [f"sha256:{one}" for one in expected]
    assert len(set(expected)) == len(expected)
    assert len(expected) > 20
    if not verified_checker.MISSING:
        verified_checker.assert_same(tmp_path, pairs, found)


VALUES = {
    "attention": ("causal-softmax", "uniform", ""), "attn_scale": ("1", "1/sqrt(d_head)", ""), "act_fn": ("relu", "gelu", ""),
    "normalization_type": ("LN", "LNPre", "none", "None", ""), "positional_embedding_type": ("standard", "rotary", ""),
    "eps": ("1e-5", "1/3", "", "0"), "ln_eps": ("0.001", "", "x"), "n_ctx": ("2", "", "4"), "k": ("1",),
}  # fmt: skip
FLAGS = (
    {},
    {"k": 2},
    {"attn_scale": "1"},
    {"attn_scale": ""},
    {"ln_eps": "1e-3"},
    {"ln_eps": ""},
    {"k": 3, "ln_eps": "1/7"},
)


def stated_otherwise():
    """Files whose metadata say one thing or everything, with and without LayerNorm and MLP; and flags."""
    plain = random_tensors(Sizes(3, 3, 5, 2, 3), 0)
    normed = random_tensors(Sizes(3, 3, 5, 2, 3), 0, norms=("ln1_w", "ln_final_w"))
    neurons = plain | {"W_in": np.ones((5, 2), np.float32), "W_out": np.ones((2, 5), np.float32)}
    full = {
        "attention": "causal-softmax", "attn_scale": "1/sqrt(d_head)", "normalization_type": "none", "act_fn": "relu",
        "positional_embedding_type": "standard", "eps": "1e-5",
    }  # fmt: skip
    for tensors in (plain, normed, neurons):
        for key, values in VALUES.items():
            yield from ((safetensors_bytes(tensors, {key: value}), {}) for value in values)
        kind = {"normalization_type": "LN" if "ln1_w" in tensors else "none"}
        for stated in FLAGS:
            yield safetensors_bytes(tensors), stated
            yield safetensors_bytes(tensors, full | kind), stated


READER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from weights import UnreadableError, read_weights
found = []
for raw, stated in json.load(sys.stdin):
    try:
        one = read_weights(bytes.fromhex(raw), stated)
        found.append([one.sha256, sorted(one.assumed.items())])
    except UnreadableError:
        found.append(None)
print(json.dumps(found))
"""


def by_the_kernel(raw, stated):
    try:
        found = read_weights(raw, Overrides(**stated))
    except WeightsError:
        return None
    return [found.sha256, [[one.name, one.value] for one in found.architecture.assumed]]


def test_what_is_assumed_is_what_the_file_does_not_state():
    """Digest, assumptions and refusals are the kernel's for every key of the metadata, missing, empty or wrong, and every flag."""
    cases = list(stated_otherwise())
    found = answers(READER, [(raw.hex(), stated) for raw, stated in cases])
    assert found == [by_the_kernel(*one) for one in cases]
    assert None in found
    names = {name for one in found if one for name, _ in one[1]}
    assert names == {*VALUES, "k"} - {"eps", "n_ctx"}
    assert any(one and not one[1] for one in found)
