"""Whatever is damaged, the standard-library checker and the kernel give the same verdict, and the same reason."""

import numpy as np
import pytest

import pessimal as ps
from pessimal.kernel.hints import Hints
from pessimal.proving.proof import encode
from pessimal.spec import Uniform
from pessimal.spec.claim import CLAIMS
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from support.counting_cases import model_of
from support.damage import flipped, flipped_weights, malformed, other_fields, other_hints, other_weights
from support.models import Sizes, build, planted_tensors
from support.reference_checker import (
    EXAMPLE,
    PROOFS,
    RULES,
    STRATEGY,
    certificate,
    claiming,
    kernel,
    lines,
    split,
    stored,
)


@pytest.mark.parametrize("name", PROOFS)
def test_a_flipped_bit_gives_the_same_verdict_and_reason(name):
    raw, damaged = stored(EXAMPLE), list(flipped(name))
    found = lines([(raw, one) for one in damaged])
    assert found == [kernel(one, raw) for one in damaged]
    assert len({line.partition("reason")[2] for line in found}) > 5
    assert any(line.startswith("s VERIFIED") for line in found)


def test_a_flipped_bit_of_the_weights_is_noticed_by_both():
    damaged, data = list(flipped_weights()), PROOFS["moment"]
    found = lines([(one, data) for one in damaged])
    assert found == [kernel(data, one) for one in damaged]
    assert set(found) == {"", "s REJECTED reason=weights-mismatch"}


def test_weights_files_that_cannot_be_read_are_refused_by_both():
    damaged, data = list(other_weights()), PROOFS["moment"]
    found = lines([(one, data) for one in damaged])
    assert found == [kernel(data, one) for one in damaged]
    assert found.count("") > len(found) / 2


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


@pytest.mark.parametrize("source", [other_fields, other_hints])
def test_what_says_something_else_gets_the_same_verdict_and_reason(source):
    raw, damaged = stored(EXAMPLE), list(source())
    found = lines([(raw, one) for one in damaged])
    assert found == [kernel(one, raw) for one in damaged]
    assert any(line.startswith("s VERIFIED") for line in found)
    assert "s REJECTED reason=bad-hint" in found


def test_malformed_containers_get_the_same_reason():
    raw, damaged = stored(EXAMPLE), list(malformed())
    found = lines([(raw, one) for one in damaged])
    assert found == [kernel(one, raw) for one in damaged]
    assert {line.partition("=")[2] for line in found} >= {
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
    joint = Hints({"rival": "joint", "position": "each", "near": 5})
    pairs.append((pairs[-1][0], certificate(two, Question(ps.MaxOfK(3, 5), Uniform()), RULES[1], joint, 0)))
    found = lines(pairs)
    assert found == [kernel(data, raw) for raw, data in pairs]
    assert found == ["s REJECTED reason=unsupported-model"] * 3 + ["s REJECTED reason=bad-hint"]
