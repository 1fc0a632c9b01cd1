"""What `pessimal formal export` writes: the exact weights, the claim, and a refusal of everything else."""

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import pessimal as ps
from pessimal.formal import FormalError, coq_instance
from pessimal.kernel.certificate import decode

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def max_of_2():
    weights = ps.load_weights(ROOT / "weights" / "max2_v64_seed0.safetensors")
    data = (ROOT / "certificates" / "max2_v64_seed0.position-minima.cert").read_bytes()
    return weights, decode(data)


def test_the_integers_of_an_instance_are_exactly_the_weights(max_of_2):
    weights, certificate = max_of_2
    text = coq_instance(weights, certificate, "bound")
    bits = int(re.search(r"bits := (\d+)", text)[1])
    for name in ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U"):
        body = re.search(rf"Definition {name} : list \(list Z\) := \[(.*?)\n\]%Z", text, flags=re.DOTALL)[1]
        rows = [[Fraction(int(n), 2**bits) for n in row.split(";")] for row in re.findall(r"\[([^]]*)\]", body)]
        assert rows == [[Fraction(x) for x in row] for row in np.asarray(weights.get(name, 0)).tolist()]


def test_the_theorem_states_the_claim_of_the_certificate(max_of_2):
    weights, certificate = max_of_2
    text = coq_instance(weights, replace(certificate, correct=4095), "bound")
    assert "Theorem bound : (4095 <= count_correct (real_model weights_of_file))%Z." in text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rule": "band"}, "not for band"),
        ({"semantics": "float32"}, "real arithmetic"),
        ({"weights_sha256": "0" * 64}, "other weights"),
        ({"distribution": {"name": "markov"}}, "uniform"),
        ({"task": {"name": "min-of-k"}}, "max-of-k"),
        ({"claim_kind": "error"}, "claim error"),
    ],
)
def test_what_no_theorem_covers_is_refused(max_of_2, changed, said):
    weights, certificate = max_of_2
    with pytest.raises(FormalError, match=said):
        coq_instance(weights, replace(certificate, **changed), "bound")


@pytest.mark.parametrize(("name", "said"), [("max4_v64_h2_seed0", "one head"), ("max4_v64_ln1_lnf_seed0", "LayerNorm")])
def test_architectures_that_no_theorem_covers_are_refused(max_of_2, name, said):
    weights = ps.load_weights(ROOT / "weights" / f"{name}.safetensors")
    with pytest.raises(FormalError, match=said):
        coq_instance(weights, replace(max_of_2[1], weights_sha256=weights.sha256), "bound")
