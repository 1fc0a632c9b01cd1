"""The sub-cubic rule: sound for arbitrary weights and arbitrary hints, in both arithmetics, at the stated cost."""

from itertools import product

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.cost import n_strata
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.published.sub_cubic.averaging import AVERAGINGS, DROP
from pessimal.kernel.rules.published.sub_cubic.direct_path import DIRECT_PATHS
from pessimal.kernel.rules.published.sub_cubic.qk_path import QK_PATHS
from pessimal.kernel.rules.published.sub_cubic.splits import CROSS
from pessimal.spec.question import Question
from support.bounds import cost_of, counted
from support.models import ATTN_SCALES, BIASES, Sizes, any_tensors, build, random_tensors
from support.sampling import examples
from support.soundness import require_sound

COMBINATIONS = list(product(DIRECT_PATHS, AVERAGINGS, QK_PATHS))
RULE = RULES["sub-cubic"]


def packed(numbers: np.ndarray) -> np.ndarray:
    flat = np.concatenate([numbers.ravel(), np.zeros(-numbers.size % 4, dtype=np.int64)])
    return flat.astype("<u2").view("<i8").astype(np.int64)


def random_hints(sizes: Sizes, combination, seed: int, points: int = 3, *, gaps="query", count="fixed", cross="exact"):
    direct, attention, error = combination
    rng = np.random.default_rng(seed)
    shape = build(random_tensors(sizes, 0)).architecture.shape
    floats = {**DIRECT_PATHS[direct].arrays(shape), **QK_PATHS[error].arrays(shape)}
    arrays = {name: rng.normal(size=size) + (name == "direct_direction") for name, size in floats.items()}
    arrays["gap"] = packed(rng.integers(0, sizes.v + 1, (sizes.k - 1, n_strata(sizes.v))))
    points = 0 if attention == DROP else points
    if points:
        rows = [np.sort(rng.choice(2**15 + 1, points, replace=False)) for _ in range(sizes.v)]
        if points > 1 and rng.random() < 0.7:
            for row in rows:
                row[0], row[-1] = 0, 2**15
        arrays["points"] = packed(np.array(rows))
    options = {
        "direct": direct, "attention": attention, "attention_error": error, "cross": cross, "count": count,
        "gaps": gaps, "points": points,
    }  # fmt: skip
    return Hints(options, arrays)


SHAPES = (Sizes(3, 7, 2, 5, 2), Sizes(5, 7, 3, 2, 4), Sizes(7, 7, 5, 2, 3))
# Every option occurs in a seventh of the compositions; all of them, at all shapes, take two minutes.
COSTED = [
    pytest.param(
        words, sizes, id="--".join(words), marks=[] if n % 7 == 0 and sizes is SHAPES[0] else [pytest.mark.slow]
    )
    for n, words in enumerate(COMBINATIONS)
    for sizes in SHAPES
]


@pytest.mark.parametrize(("combination", "sizes"), COSTED)
def test_cost_is_what_is_counted(combination, sizes):
    """Closed form = count, for every option, with and without biases."""
    for biases, points, cross in product(((), BIASES), (1, 4), CROSS):
        weights = build(random_tensors(sizes, 2, biases=biases))
        hints = random_hints(sizes, combination, 1, points, cross=cross)
        question = Question(sizes.task())
        assert cost_of(RULE, weights.architecture, question, hints).flops == counted(RULE, weights, question, hints)


@settings(max_examples=examples(40), phases=[Phase.generate])
@given(any_tensors(), st.sampled_from(COMBINATIONS), st.integers(0, 2**32 - 1), st.sampled_from(sorted(ARITHMETICS)))
def test_random_hints_never_exceed_the_true_count(model, combination, seed, arithmetic):
    """For every composition, direction, gap and point."""
    sizes, tensors = model
    words = ((1, "query", "published", "exact"), (4, "target", "fixed", "bounded"), (2, "query", "fixed", "bounded"))
    advice = [
        random_hints(sizes, combination, seed, points, gaps=gaps, count=count, cross=cross)
        for points, gaps, count, cross in words
    ]
    weights = build(tensors, {"attn_scale": ATTN_SCALES[seed % 3]})
    require_sound("sub-cubic", weights, Question(sizes.task()), arithmetic, advice)
