"""The obligation of a source of tables, tested alone; and that counting rules need no more of it."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.source import ExactTables
from pessimal.kernel.rules import interface
from pessimal.kernel.rules.interface import no_progress
from pessimal.spec import Weights
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.strategies import Comparisons, ExponentialMoment, GridCount
from support.models import Sizes, build, planted_tensors, random_tensors
from support.oracle import sequences, specified_logits, wrong_weights
from support.soundness import require_sound

FRACTION = Fraction(1, 2**14)
MODELS = {
    "plain": build(random_tensors(Sizes(3, 5, 7, 2, 4), 1, biases=("b_Q", "b_K", "b_V", "b_O", "b_U"))),
    "two heads": build(random_tensors(Sizes(3, 5, 7, 2, 3, 2), 2)),
    "a norm before attention": build(random_tensors(Sizes(5, 7, 11, 3, 2), 3, norms=("ln1_w", "ln1_b"))),
    "a root mean square": build(random_tensors(Sizes(5, 7, 11, 3, 2), 4), {"ln1": "rms", "ln_final": "none"}),
    "a rational scale": build(random_tensors(Sizes(3, 5, 7, 2, 4), 5), {"attn_scale": "3/7"}),
}


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("name", MODELS)
def test_the_models_own_tables_lie_within_the_enclosures(name, arithmetic):
    """Every difference of two logits of every sequence, put together from tables, holds that of the forward pass."""
    weights, arith = MODELS[name], ARITHMETICS[arithmetic]()
    shape = weights.architecture.shape
    with arith.running():
        heads, direct = ExactTables(REAL).tables(weights, arith)
        for tokens in sequences(shape.d_vocab, shape.k):
            q, places = tokens[-1], (np.arange(shape.k), np.array(tokens))
            logits = direct[q]
            for head in heads:
                weight = head.weight(q)[places]
                value = head.value[places]
                logits = logits + (value * weight.reshape(-1, 1)).sum(0) / weight.sum(0).reshape(1)
            lo, hi = (logits - logits[:1]).bounds()
            exact = specified_logits(weights, list(tokens))
            for o, value in enumerate(exact):
                gap = value - exact[0]
                assert not gap < lo[o]
                assert not gap > hi[o]


def advice(rule: str, weights: Weights, question: Question) -> Hints:
    strategies = {
        "comparisons": Comparisons(), "exponential-moment": ExponentialMoment("every", "each"),
        "grid-count": GridCount(cells=64),
    }  # fmt: skip
    if rule == "exact":
        return Hints({"nodes": 1 << 20})
    return strategies[rule].hints(weights, question, no_progress) if rule in strategies else Hints()


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("rule", ["position-minima", "exact", "comparisons", "exponential-moment", "grid-count"])
def test_a_counting_rule_does_not_see_what_is_added_to_a_row(rule, arithmetic, monkeypatch):
    """Any number for every V_i(t) and every D(q), as a source may leave them: the bounds stay sound."""
    sizes = Sizes(5, 7, 11, 2, 3)
    weights, question = build(planted_tensors(sizes, sharpness=4.0, noise=0.1, seed=3)), Question(sizes.task())
    truth, hints = wrong_weights(weights, question), advice(rule, weights, question)
    own, rng = ExactTables.tables, np.random.default_rng(1)
    shifts = rng.integers(-(2**20), 2**20, (sizes.k, sizes.v, 1)), rng.integers(-(2**20), 2**20, (sizes.v, 1))

    def shifted(self, weights, arith):
        (head,), direct = own(self, weights, arith)
        by_row, by_query = (arith.integers(part).enclose() * arith.fraction(FRACTION) for part in shifts)
        return [replace(head, value=head.value + by_row)], direct + by_query

    monkeypatch.setattr(ExactTables, "tables", shifted)
    # The shift is counted too, and costs of other tests are known.
    monkeypatch.setattr(interface, "_KNOWN", {})
    require_sound(rule, weights, question, arithmetic, [hints], truth=truth)
