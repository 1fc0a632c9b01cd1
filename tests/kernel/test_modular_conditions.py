"""What the rules for models with an MLP do not cover, they refuse in a sentence: the model, and the cost before it."""

import numpy as np
import pytest

from pessimal.kernel.cost import OPS_PER_FLOP
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.logits import MAX_NEURONS
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.modular.key_frequency.rule import MAX_P
from pessimal.kernel.rules.modular.sparse_output import MAX_INPUTS
from pessimal.spec.question import Question
from pessimal.spec.tasks import Constant
from support.bounds import cost_of
from support.modular import (
    ATTENDED,
    MODULAR,
    UNIFORM,
    ModularSizes,
    modular_weights,
    quadratic_modular,
    random_modular,
)

RULE_NAMES = ("brute-force", "sparse-output", "key-frequency")
SIZES = MODULAR["plain"]


def normed(name: str):
    return modular_weights(random_modular(SIZES, 0) | {name: np.ones(SIZES.m, np.float32)})


def many_neurons(n: int):
    return modular_weights(random_modular(ModularSizes(5, 7, 2, n), 0))


def sparse_hints(sizes: ModularSizes) -> Hints:
    options = {"rest": "whole", "box": "separable", "rank": 1}
    return Hints(options, {"reads": np.zeros((sizes.f, 1)), "writes": np.zeros((1, sizes.p))})


@pytest.mark.parametrize("rule", RULE_NAMES)
@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (normed("ln1_w"), "LayerNorm"), (normed("ln_final_w"), "LayerNorm"),
        (many_neurons(MAX_NEURONS + 1), f"{MAX_NEURONS + 1} neurons"),
    ],
)  # fmt: skip
def test_layernorm_and_too_many_neurons_are_refused(rule, weights, words):
    with pytest.raises(Rejected, match=words) as caught:
        RULES[rule].require_covers(weights, Question(SIZES.task()))
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_as_many_neurons_as_fit_are_covered(rule):
    RULES[rule].require_covers(many_neurons(MAX_NEURONS), Question(SIZES.task()))


@pytest.mark.parametrize("rule", RULE_NAMES[1:])
@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (modular_weights(random_modular(SIZES, 0), ATTENDED), "uniform"),
        (modular_weights(random_modular(MODULAR["no-mlp"], 0)), "MLP"),
    ],
)
def test_another_architecture_is_refused_before_its_cost_is_known(rule, weights, words):
    """Softmax attention, or no MLP."""
    question = Question(SIZES.task())
    with pytest.raises(Rejected, match=words) as caught:
        RULES[rule].require_covers(weights, question)
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_rounding_is_not_bounded(rule):
    with pytest.raises(Rejected, match="rounding"):
        RULES[rule].require_covers(
            modular_weights(random_modular(SIZES, 0)), Question(SIZES.task(), semantics="float32")
        )


def one_output():
    tensors = random_modular(SIZES, 0)
    return modular_weights(tensors | {"W_U": tensors["W_U"][:, :1].copy(), "b_U": tensors["b_U"][:1].copy()})


def test_a_single_output_has_no_rival():
    question = Question(Constant(k=2, d_vocab=5, output=0))
    with pytest.raises(Rejected, match="single output"):
        RULES["sparse-output"].require_covers(one_output(), question)


def test_more_inputs_than_are_looked_at_are_refused():
    """d_vocab**k at the limit is allowed, one token more is not."""
    side = int(MAX_INPUTS**0.5)
    assert side**2 == MAX_INPUTS
    sizes = ModularSizes(side + 1, 1, 1, 1)
    weights, question = modular_weights(random_modular(sizes, 0), UNIFORM), Question(sizes.task())
    with pytest.raises(Rejected, match="inputs") as caught:
        cost_of("sparse-output", weights.architecture, question, sparse_hints(sizes))
    assert caught.value.reason == Reason.RESOURCES


def test_dimensions_and_hints_are_counted_by_hand():
    """Two tables of K tokens by f + p columns, and G; hints are the reads that are not zero, and all writes."""
    sizes = ModularSizes(5, 4, 1, 2)
    weights, question = modular_weights(quadratic_modular(5)), Question(sizes.task())
    options, writes = {"rest": "whole", "box": "separable", "rank": 2}, np.ones((2, 5))
    for reads, n in (([[1.0, 0.0], [0.0, 2.0]], 2), ([[1.0, 0.0], [0.0, 0.0]], 1)):
        advice = Hints(options, {"reads": np.array(reads), "writes": writes})
        cost = cost_of("sparse-output", weights.architecture, question, advice)
        assert cost.unexplained_dims == 2 * 5 * (2 + 5) + 2 * 5
        parameters = weights.architecture.shape.n_parameters()
        assert cost.checker_ops == parameters + n + 10 + OPS_PER_FLOP * cost.flops


def seven_outputs():
    tensors = random_modular(SIZES, 0)
    wider = {"W_U": np.ones((SIZES.m, 7), np.float32), "b_U": np.ones(7, np.float32)}
    return modular_weights(tensors | wider)


@pytest.mark.parametrize(
    ("weights", "task"),
    [
        (modular_weights(random_modular(SIZES, 0)), Constant(k=2, d_vocab=5, output=0)),
        (seven_outputs(), SIZES.task()),
        (modular_weights(random_modular(MODULAR["three-tokens"], 0)), MODULAR["three-tokens"].task()),
    ],
    ids=["another task", "outputs beside the tokens", "three tokens"],
)
def test_waves_are_for_addition_of_two_tokens(weights, task):
    """One condition at a time."""
    with pytest.raises(Rejected, match="two tokens") as caught:
        RULES["key-frequency"].require_covers(weights, Question(task))
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL


@pytest.mark.parametrize("p", [2, MAX_P + 1])
def test_waves_need_a_modulus_within_the_limits(p):
    sizes = ModularSizes(p, 1, 1, 1)
    with pytest.raises(Rejected, match=f"p={p} is not from 3") as caught:
        RULES["key-frequency"].require_covers(modular_weights(random_modular(sizes, 0)), Question(sizes.task()))
    assert caught.value.reason == Reason.RESOURCES


@pytest.mark.parametrize("p", [3, MAX_P])
def test_the_limits_of_the_modulus_are_covered(p):
    sizes = ModularSizes(p, 1, 1, 1)
    RULES["key-frequency"].require_covers(modular_weights(random_modular(sizes, 0)), Question(sizes.task()))


def test_dimensions_and_hints_of_waves_are_counted_by_hand():
    """Tables of both tokens, what neurons read and write, the differences; kept pairs, frequencies, directions."""
    sizes = ModularSizes(5, 4, 1, 2)
    weights, question = modular_weights(quadratic_modular(5)), Question(sizes.task())
    options = {"read_out": "exact", "hidden": "neurons", "columns": 0, "frequencies": 2, "kept": 3, "fine": 0}
    arrays = {"frequencies": np.array([1, 2]), "kept": np.array([0, 1, 3])}
    parameters = weights.architecture.shape.n_parameters()
    reads = {"directions": np.eye(4, 3)}
    for more, named, numbers in (({}, {}, 3 + 2), ({"columns": 3}, reads, 3 + 2 + 4 * 3)):
        cost = cost_of("key-frequency", weights.architecture, question, Hints({**options, **more}, {**arrays, **named}))
        assert cost.unexplained_dims == 2 * 5 * 2 + 2 * 2 * 2 + 2 * 5 * 5
        assert cost.checker_ops == parameters + numbers + OPS_PER_FLOP * cost.flops
