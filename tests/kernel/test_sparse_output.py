"""The sparse output map of the MLP: no hint certifies more inputs than are right; enumeration is the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.modular.sparse_output import BOX, REST
from pessimal.spec.question import Question
from support.bounds import bound, certified, cost_of, counted
from support.modular import MODULAR, MODULAR_SIZES, ModularSizes, modular_weights, quadratic_modular, random_modular
from support.oracle import RIGHT, verdicts
from support.sampling import examples
from support.soundness import require_sound

RULE = RULES["sparse-output"]
WITH_MLP = [sizes for sizes in MODULAR_SIZES if sizes.f]


def hints(reads: np.ndarray, writes: np.ndarray, rest: str = "whole", box: str = "separable") -> Hints:
    return Hints(
        {"rest": rest, "box": box, "rank": reads.shape[1]},
        {"reads": reads.astype(np.float64), "writes": writes.astype(np.float64)},
    )


def output_map(tensors: dict[str, np.ndarray]) -> np.ndarray:
    return tensors["W_out"].astype(np.float64) @ tensors["W_U"].astype(np.float64)


def some_hints(tensors: dict[str, np.ndarray], seed: int) -> Hints:
    """Parts of the singular value decomposition, spoilt more or less, some entries dropped; sometimes garbage."""
    rng = np.random.default_rng(seed)
    u, s, v = np.linalg.svd(output_map(tensors), full_matrices=False)
    rank = int(rng.integers(1, s.size + 1))
    reads, writes = u[:, :rank] * s[:rank], v[:rank]
    kind = rng.integers(0, 4)
    if kind == 1:
        reads = reads * (rng.random(reads.shape) < 0.7)
    elif kind == 2:
        reads, writes = rng.normal(size=reads.shape), rng.normal(size=writes.shape)
    elif kind == 3:
        reads = reads * rng.choice([0.0, 1.0, 1e6, -1.0])
    return hints(reads, writes, str(rng.choice(REST)), str(rng.choice(BOX)))


@settings(max_examples=examples(80))
@given(st.sampled_from(WITH_MLP), st.integers(0, 2**32 - 1), st.sampled_from(sorted(ARITHMETICS)),
       st.sampled_from([1e-9, 1.0, 1e6]))  # fmt: skip
def test_bound_never_exceeds_the_true_count(sizes, seed, arithmetic, scale):
    """Arbitrary weights and hints."""
    tensors = random_modular(sizes, seed, scale=scale)
    advice = [some_hints(tensors, seed + i) for i in range(3)]
    require_sound("sparse-output", modular_weights(tensors), Question(sizes.task()), arithmetic, advice)


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize(("rest", "box"), [(rest, box) for rest in REST for box in BOX])
def test_ties_and_lost_numbers_are_not_right(rest, box, arithmetic):
    """All logits equal; and tables that are not finite in float64, where the truth may be anything."""
    sizes = WITH_MLP[0]
    plain = random_modular(sizes, 0)
    level = plain | {"W_U": np.ones_like(plain["W_U"]), "b_U": np.ones_like(plain["b_U"])}
    huge = {name: np.where(a < 0, -3e38, 3e38).astype(np.float32) for name, a in plain.items()}
    for tensors, some in ((level, ARITHMETICS), (huge, ("float64",))):
        own = hints(np.ones((sizes.f, 1)), np.zeros((1, sizes.p)), rest, box)
        if arithmetic in some:
            assert certified("sparse-output", modular_weights(tensors), sizes.task(), arithmetic, own) == 0


@pytest.mark.parametrize("p", [3, 5, 7])
@pytest.mark.parametrize("rest", REST)
@pytest.mark.parametrize("box", BOX)
def test_planted_models_are_sound_by_stratum_and_the_bound_has_power(p, rest, box):
    """Adders with growing noise: no stratum below its wrong inputs; with the whole output map, nearly the exact count."""
    sizes, useful = ModularSizes(p, 4, 1, 2), 0
    for seed in range(4):
        tensors = quadratic_modular(p, 0.05 * seed, seed)
        weights = modular_weights(tensors)
        found = verdicts(weights, lambda tokens: sum(tokens) % p)
        truth = sum(one == RIGHT for one in found.values())
        u, s, v = np.linalg.svd(output_map(tensors), full_matrices=False)
        for rank in (1, 2):
            value = bound(
                "sparse-output", weights, sizes.task(), "float64", hints(u[:, :rank] * s[:rank], v[:rank], rest, box)
            )
            wrong = {}
            for tokens, one in found.items():
                key = tokens[-1], sum(tokens) % p
                wrong[key] = wrong.get(key, 0) + (one != RIGHT)
            assert all(value.strata.get(key, 0) >= count for key, count in wrong.items())
            useful += p * p - value.wrong_at_most >= truth - 1
    assert useful >= 4


@pytest.mark.parametrize("sizes", WITH_MLP)
def test_pairs_and_halves_certify_no_less_where_they_should(sizes):
    """`pairs` is no looser than `separable`, on every model and hint."""
    for seed in range(8):
        tensors = random_modular(sizes, seed)
        weights, one = modular_weights(tensors), some_hints(tensors, seed)
        found = {
            box: certified(
                "sparse-output", weights, sizes.task(), "float64", Hints({**one.options, "box": box}, one.arrays)
            )
            for box in BOX
        }
        assert found["separable"] <= found["pairs"]


@pytest.mark.parametrize("sizes", WITH_MLP)
def test_the_cost_is_what_is_counted(sizes):
    """cost() = the operations on this very model, and fewer reads cost less."""
    tensors = random_modular(sizes, 0)
    weights, question = modular_weights(tensors), Question(sizes.task())
    for seed in range(6):
        one = some_hints(tensors, seed)
        assert cost_of(RULE, weights.architecture, question, one).flops == counted(RULE, weights, question, one)
    full, sparse = np.ones((sizes.f, 2)), np.eye(sizes.f, 2)
    costs = [
        cost_of(RULE, weights.architecture, question, hints(a, np.ones((2, sizes.p)))).flops for a in (full, sparse)
    ]
    assert costs[1] < costs[0]


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
def test_both_arithmetics_agree(arithmetic):
    for seed in range(6):
        sizes = WITH_MLP[0]
        tensors = random_modular(sizes, seed)
        weights, one = modular_weights(tensors), some_hints(tensors, seed)
        value = certified("sparse-output", weights, sizes.task(), arithmetic, one)
        assert value == certified("sparse-output", weights, sizes.task(), "float64", one)


@pytest.mark.parametrize(
    ("change", "arrays"),
    [
        ({"rest": "third"}, {}), ({"box": "none"}, {}), ({"rank": 0}, {}), ({"rank": 3}, {}), ({"more": 1}, {}),
        ({}, {"reads": np.full((11, 2), np.nan)}), ({}, {"writes": np.zeros((2, 4))}), ({}, {"reads": np.zeros((2, 11))}),
    ],
)  # fmt: skip
def test_hints_out_of_form_are_rejected(change, arrays):
    """Unknown words, a rank that is not the arrays', NaN, transposed arrays: bad-hint."""
    sizes = WITH_MLP[0]
    good = hints(np.zeros((sizes.f, 2)), np.zeros((2, sizes.p)))
    bad = Hints({**good.options, **change}, {**good.arrays, **arrays})
    with pytest.raises(Rejected) as caught:
        certified("sparse-output", modular_weights(random_modular(sizes, 0)), sizes.task(), "float64", bad)
    assert caught.value.reason == Reason.BAD_HINT


def test_models_without_an_mlp_are_refused():
    sizes = MODULAR["no-mlp"]
    with pytest.raises(Rejected, match="an MLP"):
        RULE.require_covers(modular_weights(random_modular(sizes, 0)), Question(sizes.task()))
