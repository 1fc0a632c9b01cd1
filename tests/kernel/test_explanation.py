"""Bounds from explanations: no more than the model is right, nor the model that is what the explanation says."""

from fractions import Fraction
from itertools import product
from operator import ge

import numpy as np
import pytest

import pessimal as ps
from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.story import Story, path_shapes
from pessimal.kernel.model.tables import additive_paths
from pessimal.kernel.model.words import WORDS
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.explanation import COUNTED_BY
from pessimal.kernel.rules.interface import no_progress
from pessimal.spec.question import Question
from pessimal.testing import check_rule, tiny_models, tiny_weights
from support.models import Sizes, build, random_tensors
from support.stories import random_word

RULE = RULES["explanation"]
COUNTS = {
    "comparisons": [ps.Comparisons(), ps.Comparisons(way="order"), ps.Comparisons(way="joint")],
    "exponential-moment": [ps.ExponentialMoment()],
    "grid-count": [ps.GridCount(cells=32)],
}


def random_story(rng, architecture, words=None):
    """Options and arrays of a word for every path; `words` by path, the others mostly tables."""
    options, arrays = {}, {}
    for path, shape in path_shapes(architecture.shape).items():
        word = (words or {}).get(path) or (str(rng.choice(list(WORDS))) if rng.random() < 0.4 else "table")
        said, needed = random_word(rng, path, shape, word)
        options |= said
        arrays |= needed
    return options, arrays


def counted(weights, question, by, strategy):
    """Hints for the rule that counts, found without the explanation: for it they are as good as any."""
    found = strategy.hints(weights, question, no_progress)
    return {**found.options, "by": by}, found.arrays


def bound_of(weights, question, story, count):
    hints = Hints({**count[0], **story[0]}, {**count[1], **story[1]})
    arith = Float64Arithmetic()
    instance = RULE.read(hints, weights.architecture, question)
    with arith.running():
        return instance.bound(weights, arith)


def floats(matrix):
    return np.array([[float(int(n) * Fraction(2) ** matrix.exponent) for n in row] for row in matrix.numbers.tolist()])


def stand_in_logits(weights, story, tokens):
    """Logits of the model whose tables are what the explanation says, in float64, of one head."""
    arith, k = Float64Arithmetic(), weights.architecture.shape.k
    (paths,), direct = additive_paths(weights, arith)
    exact = (*paths.tables, direct)
    told, _ = Story.read(Hints(*story), weights.architecture)
    tables = []
    for said, matrix in zip(told.stand_ins.values(), exact, strict=True):
        with arith.running():
            low, high = said.enclosed(matrix, arith).bounds()
        # The middle of the enclosure is what is said, but for a shift of the row.
        tables.append(floats(matrix) if said.exact else (low + high) / 2)
    eqke, eqkp, evou, pvou, eu = tables
    scale = weights.architecture.scale()
    c = weights.architecture.shape.d_head**-0.5 if scale is None else float(scale)
    q = tokens[:, -1]
    scores = c * (eqke[q[:, None], tokens] + eqkp[q])
    attention = np.exp(scores - scores.max(1, keepdims=True))
    attention /= attention.sum(1, keepdims=True)
    values = evou[tokens] + pvou[np.arange(k)]
    return eu[q] + (attention[..., np.newaxis] * values).sum(1)


@pytest.mark.parametrize("by", sorted(COUNTED_BY))
def test_the_rule_keeps_its_word_with_any_explanation(by):
    """In both arithmetics, stratum by stratum, with numbers that leave the range."""

    def advice(weights, question, rng):
        counts = [one for one in COUNTS[by] if question.task.k > 2 or getattr(one, "way", "") in ("", "search")]
        for count in counts:
            options, arrays = counted(weights, question, by, count)
            for words in ({}, dict.fromkeys(path_shapes(weights.architecture.shape), "table")):
                story = random_story(rng, weights.architecture, words)
                yield Hints({**options, **story[0]}, {**arrays, **story[1]})

    found = check_rule(RULE, tiny_models(RULE, 4), advice, length=ge)
    assert found.refused == 0
    assert found.useful > 6


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_explanations_of_models_with_all_tensors_never_exceed_the_truth(semantics):
    """Biases, a scale of its own, sizes all different; two heads by moments."""
    for seed in range(10):
        heads = 1 + seed % 2
        sizes = Sizes(5, 7, 11, 3, 4) if heads == 1 else Sizes(3, 5, 7, 2, 3, 2)
        weights = build(random_tensors(sizes, seed, biases=("b_Q", "b_V", "b_O", "b_U")), {"attn_scale": "1"})
        question = Question(sizes.task(), semantics=semantics)
        truth = question.total() - ps.prove(weights, sizes.task(), ps.BruteForce(), semantics=semantics).claim.correct
        story = random_story(np.random.default_rng(seed), weights.architecture)
        by = "exponential-moment" if heads > 1 else "comparisons"
        found = bound_of(weights, question, story, counted(weights, question, by, COUNTS[by][0]))
        assert found.wrong_at_most >= truth


def pairs(n):
    """Tiny models, every other one planted, and explanations of them, some with one word apart from tables."""
    for seed in range(n):
        rng = np.random.default_rng(seed)
        k = 2 + seed % 3
        weights = tiny_weights(seed % 40, k=k, d_vocab=3 + seed % 3, planted=seed % 2 == 0)
        question = Question(ps.MaxOfK(k, weights.architecture.shape.d_vocab))
        paths, words = list(path_shapes(weights.architecture.shape)), list(WORDS)
        single = dict.fromkeys(paths, "table") | {paths[seed % 5]: words[seed // 5 % len(words)]}
        yield weights, question, random_story(rng, weights.architecture, single if seed % 4 else None)


def require_below_the_stand_in_model(n):
    """And how many certify something, by word and path."""
    certified, seen = 0, set()
    hints = {}
    for number, (weights, question, story) in enumerate(pairs(n)):
        task = question.task
        key = (weights.sha256, task.k)
        if key not in hints:
            hints[key] = counted(weights, question, "comparisons", COUNTS["comparisons"][2 * (task.k > 2)])
        tokens = np.array(list(product(range(task.d_vocab), repeat=task.k)))
        target = task.target(tokens)
        found = bound_of(weights, question, story, hints[key])
        correct = question.total() - found.wrong_at_most
        logits = stand_in_logits(weights, story, tokens)
        mine = logits[np.arange(len(tokens)), target]
        logits[np.arange(len(tokens)), target] = -np.inf
        right = (mine - logits.max(1) > -1e-9 * (1 + np.abs(mine))).sum()
        assert correct <= int(right), (number, story)
        certified += correct > 0
        seen |= set(story[0].items())
    return certified, seen


def test_no_bound_exceeds_the_accuracy_of_what_is_said():
    certified, _ = require_below_the_stand_in_model(400)
    assert certified > 130


@pytest.mark.slow
def test_no_bound_exceeds_the_accuracy_of_what_is_said_in_thousands_of_pairs():
    certified, seen = require_below_the_stand_in_model(10000)
    assert certified > 3333
    said = {(path, text.partition("=")[0]) for path, text in seen}
    assert len(said) == 5 * len(WORDS)


def test_what_is_left_open_is_not_decided_with_the_weights():
    """The model is right everywhere; an explanation that says nothing of what it attends to and copies is not."""
    weights = tiny_weights(2, k=3)
    question = Question(ps.MaxOfK(3, 5))
    assert ps.prove(weights, question.task, ps.BruteForce()).claim.correct == 125
    count = counted(weights, question, "comparisons", COUNTS["comparisons"][0])
    noise = dict.fromkeys(path_shapes(weights.architecture.shape), "noise"), {}
    assert bound_of(weights, question, noise, count).wrong_at_most == 125
    tables = dict.fromkeys(noise[0], "table"), {}
    assert bound_of(weights, question, tables, count).wrong_at_most < 125


def test_a_rule_that_counts_must_cover_the_question_and_the_model():
    one, two = tiny_weights(0, k=3), build(random_tensors(Sizes(3, 5, 7, 2, 3, 2), 0))
    question = Question(ps.MaxOfK(3, 5))
    with pytest.raises(Rejected, match="option by must be one of comparisons, exponential-moment, grid-count"):
        RULE.read(Hints({"by": "prayer"}), one.architecture, question)
    with pytest.raises(Rejected, match="comparisons covers one head"):
        RULE.read(Hints({"by": "comparisons"}), two.architecture, question)
    told = dict.fromkeys(path_shapes(two.architecture.shape), "noise")
    assert sorted(told) == ["EQKE.0", "EQKE.1", "EQKP.0", "EQKP.1", "EU", "EVOU.0", "EVOU.1", "PVOU.0", "PVOU.1"]
    normed = build(random_tensors(Sizes(3, 5, 7, 2, 3), 0, norms=("ln1_w", "ln1_b")))
    with pytest.raises(Rejected, match="LayerNorm before attention"):
        RULE.require_covers(normed, question)
