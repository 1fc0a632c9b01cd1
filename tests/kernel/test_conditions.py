"""Conditions of the rules on sums of one term per position: what a theorem needs of model and hints is asked for.

Without it a bound would be computed, and be wrong; no random model need show it.
"""

from itertools import product

import numpy as np
import pytest

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.counting.layers import LEVELS
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.heads import separable_heads
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS, make_rivals
from pessimal.spec import MaxOfK, Weights
from pessimal.spec.question import Question
from pessimal.spec.semantics import FLOAT32, REAL
from pessimal.spec.task import AbstractTask
from support.bounds import bound_in
from support.counting_cases import grid_hints, hints_of
from support.models import NORMS, Sizes, build, planted_tensors, random_tensors
from support.tasks import TASKS_ONCE

ON_TERMS = ("exponential-moment", "grid-count", "layer-cake")
SEPARABLE = (*ON_TERMS, "comparisons", "exact", "position-minima")


def some_hints(rule: str, weights: Weights, task: AbstractTask, rival: str = "plain", position: str = "each") -> Hints:
    """Of the form that a rule reads."""
    if rule == "grid-count":
        return grid_hints(weights, task, rival, position, "ordinary", 1)
    hints = hints_of(weights, task, rival, position, "ordinary", 1)
    if rule == "exponential-moment":
        return hints
    one = dict(zip(LEVELS, np.array([[1], [0]]), strict=True))
    return Hints({**hints.options, "levels": 1}, {**hints.arrays, **one})


def reason_of(rule: str, weights: Weights, task: AbstractTask, hints: Hints) -> Reason | None:
    """Why the bound is refused; the cost is not asked first."""
    arith, quantity = ARITHMETICS["float64"](), RULES[rule].quantities[-1]
    with arith.running():
        try:
            bound_in(rule, weights, Question(task, quantity=quantity), hints, arith)
        except Rejected as rejected:
            return rejected.reason
    return None


def drawn(task: AbstractTask, heads: int = 1) -> Weights:
    return build(random_tensors(Sizes(task.d_vocab, max(task.n_outputs, 2) + 1, 5, 3, task.k, heads), 1))


@pytest.mark.parametrize("rule", ON_TERMS)
@pytest.mark.parametrize("task", TASKS_ONCE, ids=lambda task: task.name)
def test_far_tokens_are_for_the_largest_token_only(task, rule):
    """Elsewhere the tokens below y - G are not the far ones."""
    weights = drawn(task)
    good = some_hints(rule, weights, task)
    assert reason_of(rule, weights, task, good) is None
    for near in {1, task.d_vocab - 1} - {0, task.d_vocab}:
        refused = reason_of(rule, weights, task, Hints({**good.options, "near": near}, good.arrays))
        assert refused == (None if isinstance(task, MaxOfK) else Reason.BAD_HINT)


@pytest.mark.parametrize("rule", ON_TERMS)
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_joint_rivals_are_for_one_head(rule, heads):
    """D(q) would be counted once for every head."""
    task = Sizes(3, 5, 7, 2, 3).task()
    weights = drawn(task, heads)
    for position in POSITIONS:
        refused = reason_of(rule, weights, task, some_hints(rule, weights, task, "joint", position))
        assert refused == (None if heads == 1 else Reason.BAD_HINT)


@pytest.mark.parametrize("rival", RIVALS)
def test_a_joint_rival_is_not_even_made_for_several_heads(rival):
    arith = ARITHMETICS["float64"]()
    with arith.running():
        value, direct = (arith.integers(np.ones(shape, dtype=np.int64)).enclose() for shape in ((2, 3, 5), (3, 5)))
        make_rivals(rival, [value], direct, 3, arith, pooled=False)
        if rival == "joint":
            with pytest.raises(Rejected, match="one head"):
                make_rivals(rival, [value, value], direct, 3, arith, pooled=False)


@pytest.mark.parametrize(("rival", "position", "heads", "near"), list(product(RIVALS, POSITIONS, (1, 2), (2, 3))))
def test_wrong_sequences_are_counted_from_below_by_exact_terms_only(rival, position, heads, near):
    """sides = 2 needs every rival, each position, every token near, and one head."""
    if rival == "joint" and heads > 1:
        return
    task = Sizes(3, 5, 7, 2, 3).task()
    weights = drawn(task, heads)
    hints = some_hints("grid-count", weights, task, rival, position)
    two_sided = Hints({**hints.options, "sides": 2, "near": near}, hints.arrays)
    fits = rival == "every" and position == "each" and heads == 1 and near == 3
    assert reason_of("grid-count", weights, task, two_sided) == (None if fits else Reason.BAD_HINT)


@pytest.mark.parametrize("rule", SEPARABLE)
def test_final_biases_under_a_final_layer_norm_are_refused(rule):
    """They are not scaled with the other logits; the same for all outputs, or without a LayerNorm, they do no harm."""
    sizes, quantity = Sizes(3, 5, 7, 2, 3), RULES[rule].quantities[-1]
    plain = planted_tensors(sizes, noise=0.01)
    gain = {"ln_final_w": np.ones(sizes.m, dtype=np.float32)}
    biased = {"b_U": np.arange(sizes.o, dtype=np.float32)}, {"ln_final_b": np.ones(sizes.m, dtype=np.float32)}
    for more in biased:
        with pytest.raises(Rejected, match=r"final bias|final LayerNorm") as caught:
            RULES[rule].require_covers(build(plain | gain | more), Question(sizes.task(), quantity=quantity))
        assert caught.value.reason == Reason.UNSUPPORTED_MODEL
        assert "final biases" in caught.value.detail
    RULES[rule].require_covers(build(plain | biased[0]), Question(sizes.task(), quantity=quantity))


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize(("heads", "norms", "semantics"), [
    (1, (), REAL), (2, (), REAL), (1, NORMS[:2], REAL), (3, NORMS[:2], REAL), (1, (), FLOAT32), (2, (), FLOAT32),
])  # fmt: skip
def test_extreme_weights_are_those_of_some_position(heads, norms, semantics, arithmetic):
    """Least, greatest and last weight of every head and query against the weights of all positions."""
    sizes = Sizes(3, 5, 7, 2, 4, heads)
    weights, arith = build(random_tensors(sizes, 2, norms=norms, biases=("b_Q",))), ARITHMETICS[arithmetic]()
    with arith.running():
        for head in separable_heads(weights, arith, semantics)[0]:
            for q, n in product(range(sizes.v), (1, 2, 3)):
                low, high = head.weight(q).bounds()
                least, greatest = (one.bounds() for one in head.extreme_weights(q, n))
                assert (least[0] <= high[:n].min(0)).all()
                assert (least[1] >= low[:n].min(0)).all()
                for most in (greatest, head.greatest_weight(q, n).bounds()):
                    assert (most[1] >= low[:n].max(0)).all()
                    assert (most[0] <= high[:n].max(0)).all()
                last = head.last_weight(q).bounds()
                assert last[0] <= high[-1, q]
                assert last[1] >= low[-1, q]
