"""The specification's forward pass against a second one, written from the equations with no shared code."""

import itertools
from fractions import Fraction

import flint
import numpy as np
import pytest

from pessimal.spec import Overrides
from pessimal.spec.model import AbstractReals, logits
from support.models import BIASES, Sizes, build, random_tensors
from support.oracle import Equations, sequences, specified_logits

PRECISION = 200
NORMALISATIONS = {
    "none": ((), {}),
    "LN1": (("ln1_w", "ln1_b"), {}),
    "LN1 gain only": (("ln1_w",), {}),
    "LN final": (("ln_final_w", "ln_final_b"), {}),
    "both": (("ln1_w", "ln1_b", "ln_final_w", "ln_final_b"), {}),
    "LNPre": ((), {"normalization_type": "LNPre"}),
}
BIAS_SETS = ((), *((name,) for name in BIASES), BIASES)


def agree(weights, count: int) -> None:
    s = weights.architecture.shape
    equations = Equations(weights, PRECISION)
    chosen = list(sequences(s.d_vocab, s.k))
    step = max(1, len(chosen) // count)
    for tokens in chosen[::step]:
        ours, theirs = specified_logits(weights, tokens, PRECISION), equations(tokens)
        assert len(ours) == len(theirs) == s.d_vocab_out
        for a, b in zip(ours, theirs, strict=True):
            assert a.overlaps(b)
            assert a.rel_accuracy_bits() > 100
            assert b.rel_accuracy_bits() > 100


@pytest.mark.parametrize("norm", NORMALISATIONS)
@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("scale", ["1/sqrt(d_head)", "1"])
def test_specification_agrees_with_the_equations(norm, heads, scale):
    """Two implementations enclose the same logits for every normalisation, head count and scale, all biases present."""
    names, metadata = NORMALISATIONS[norm]
    sizes = Sizes(3, 11, 5, 7, 4, heads)
    tensors = random_tensors(sizes, 17, biases=BIASES, norms=names)
    agree(build(tensors, metadata | {"attn_scale": scale}), 3)


@pytest.mark.parametrize("biases", BIAS_SETS)
@pytest.mark.parametrize("norm", ["none", "both"])
def test_specification_agrees_with_the_equations_for_every_bias(biases, norm):
    """Each bias enters both implementations in the same place."""
    sizes = Sizes(5, 7, 3, 2, 3, 2)
    agree(build(random_tensors(sizes, 5, biases=biases, norms=NORMALISATIONS[norm][0])), 4)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_only_the_first_k_positions_are_read(k):
    """With k below n_ctx the later rows of W_pos change nothing."""
    sizes = Sizes(3, 5, 7, 2, 4)
    tensors = random_tensors(sizes, 3)
    weights = build(tensors, overrides=Overrides(k=k))
    agree(weights, 5)
    tensors["W_pos"][k:] = 99
    tokens = (1, 2, 0)[:k]
    changed = specified_logits(build(tensors, overrides=Overrides(k=k)), tokens)
    assert all(a.overlaps(b) for a, b in zip(changed, specified_logits(weights, tokens), strict=True))


class Linear(AbstractReals):
    """Rationals; exp is only asked at zero and sqrt of squares."""

    def number(self, value: Fraction) -> Fraction:
        return value

    def exp(self, x: Fraction) -> Fraction:
        assert x == 0
        return Fraction(1)

    def sqrt(self, x: Fraction) -> Fraction:
        root = Fraction(int(flint.fmpz(x.numerator).isqrt()), int(flint.fmpz(x.denominator).isqrt()))
        assert root * root == x
        return root

    def relu(self, x: Fraction) -> Fraction:
        return max(x, Fraction(0))


def test_logits_of_a_hand_computed_model():
    """Zero scores give the plain average: logits = x_L U + mean_i(x_i) V O U, by hand in fractions."""
    tensors = {
        "W_E": [[1, 0, 2], [0, 3, 1]], "W_pos": [[1, 1, 0], [0, 0, 5]], "W_Q": [[0], [0], [0]], "W_K": [[1], [1], [1]],
        "W_V": [[1], [2], [0]], "W_O": [[1, 0, -1]], "W_U": [[1, 0], [0, 1], [2, 2]],
    }  # fmt: skip
    weights = build({n: np.array(a, dtype=np.float32) for n, a in tensors.items()})
    # tokens (0, 1): x_0 = (2, 1, 2), x_1 = (0, 3, 6); values 4 and 6, mean 5; residual (5, 3, 1); logits (7, 5).
    assert logits(weights, (0, 1), Linear()) == [7, 5]
    # tokens (1, 0): x_0 = (1, 4, 1), x_1 = (1, 0, 7); values 9 and 1, mean 5; residual (6, 0, 2); logits (10, 4).
    assert logits(weights, (1, 0), Linear()) == [10, 4]


def test_attention_follows_the_scores():
    """A score difference of ln 3 gives weights 1/4 and 3/4 (up to the enclosure), query from the last position."""
    tensors = {
        "W_E": [[1, 0], [1, 1]], "W_pos": [[0, 0], [0, 0]], "W_Q": [[2], [0]], "W_K": [[0], [3]],
        "W_V": [[0], [1]], "W_O": [[0, 1]], "W_U": [[0], [1]],
    }  # fmt: skip
    weights = build({n: np.array(a, dtype=np.float32) for n, a in tensors.items()})
    # tokens (1, 0): scores 2*3 and 0; z = e**6 / (e**6 + 1); residual coordinate 0 + z.
    with flint.ctx.workprec(200):
        e6 = flint.arb(6).exp()
        assert specified_logits(weights, (1, 0))[0].overlaps(e6 / (e6 + 1))
        assert specified_logits(weights, (0, 1))[0].overlaps(1 + e6 / (e6 + 1))


def test_every_architecture_option_changes_the_logits():
    """No option of the record is ignored: each pair of records gives different logits."""
    sizes = Sizes(3, 5, 7, 2, 2)
    tensors = random_tensors(sizes, 23)
    variants = [
        build(tensors, {"normalization_type": norm, "attn_scale": scale, "ln_eps": eps})
        for norm, scale, eps in itertools.product(("none", "LNPre"), ("1", "1/sqrt(d_head)"), ("1e-5", "0.5"))
    ]
    found = [specified_logits(w, (2, 1))[0] for w in variants]
    for (i, a), (j, b) in itertools.combinations(enumerate(found), 2):
        same_record = variants[i].architecture == variants[j].architecture
        assert a.overlaps(b) == same_record
        assert (variants[i].sha256 == variants[j].sha256) == same_record
