"""The Coq development against the package, on tiny models; skipped where Coq or the compiled theories are missing.

`make formal` compiles the theories and checks the shipped instances.
"""

import re

import pytest

import pessimal as ps
from pessimal.formal import coq_instance
from pessimal.kernel.certificate import decode
from support.bounds import certified
from support.coq import coqc, missing
from support.models import Sizes, build, planted_tensors
from support.oracle import true_count

MISSING = missing("CheckPositionMinima")
pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.slow]

# Sizes are distinct but for the outputs, which are the tokens; seeds whose bound is neither zero nor the true count.
MODELS = [
    (Sizes(5, 5, 7, 2, 3), 3),
    (Sizes(5, 5, 7, 2, 3), 2),
    (Sizes(7, 7, 5, 3, 2), 2),
    (Sizes(3, 3, 5, 2, 4), 3),
    (Sizes(2, 2, 5, 3, 7), 3),
]


def model(sizes, seed):
    return build(planted_tensors(sizes, noise=0.1, seed=seed, gain=1.0, sharpness=2.0))


def instance(weights, sizes, correct=None):
    cert = decode(ps.prove(weights, sizes.task(), ps.PositionMinima()).data)
    text = coq_instance(weights, cert, "bound")
    return text if correct is None else text.replace(f"({cert.correct} <= count", f"({correct} <= count")


def evaluated(folder, text):
    head = text[: text.index("Theorem bound")]
    done = coqc(folder, head + "Eval vm_compute in right_by_position_minima big weights_of_file.\n")
    return int(re.search(r"= (\d+)%Z", done.stdout)[1])


@pytest.mark.parametrize(("sizes", "seed"), MODELS)
def test_coq_counts_what_the_rule_counts_and_less_than_is_true(tmp_path, sizes, seed):
    weights = model(sizes, seed)
    found = evaluated(tmp_path, instance(weights, sizes))
    assert 0 < found < true_count(weights)
    assert found == certified("position-minima", weights, sizes.task(), "arb")


def test_a_true_claim_compiles_and_a_false_one_does_not(tmp_path):
    sizes, seed = MODELS[0]
    weights = model(sizes, seed)
    proved = coqc(tmp_path, instance(weights, sizes))
    assert proved.returncode == 0, proved.stderr
    assert "sig_not_dec" in proved.stdout
    assert "Classical_Prop" not in proved.stdout
    refused = coqc(tmp_path, instance(weights, sizes, correct=true_count(weights) + 1))
    assert refused.returncode != 0


def test_changed_weights_lose_the_theorem(tmp_path):
    sizes, seed = MODELS[0]
    text = instance(model(sizes, seed), sizes)
    scrambled = re.sub(
        r"(Definition W_U .*?:= \[)(.*?)(\n\]%Z)",
        lambda m: m[1] + re.sub(r"\d+", "0", m[2]).replace("-", "") + m[3],
        text,
        flags=re.DOTALL,
    )
    assert coqc(tmp_path, text).returncode == 0
    assert coqc(tmp_path, scrambled).returncode != 0
