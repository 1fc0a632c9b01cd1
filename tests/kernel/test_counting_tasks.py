"""Counting rules on every task, several heads and LayerNorm before attention: never above the enumerated truth.

Models are random or lean towards the task (attention and values fitted to nothing), hints are garbage or searched.
Counts are compared in integers: no tolerance anywhere.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.analysis.accuracy import forward
from pessimal.kernel.counting.grid import GridTerms
from pessimal.kernel.counting.integers import token_products
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS
from pessimal.spec import Weights
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.strategies import GridCount
from support.bounds import bound, certified
from support.counting_cases import CASES, grid_hints, hints_of, model_of
from support.models import Sizes, build, planted_tensors
from support.oracle import RIGHT, TIE, sequences, verdicts, wrong_weights
from support.sampling import examples
from support.soundness import require_sound
from support.tasks import TASKS_ONCE, WIDE


def truth_of(weights: Weights, task: AbstractTask) -> tuple[int, int]:
    found = verdicts(weights, lambda t: int(task.target(np.array(t)))).values()
    return sum(one == RIGHT for one in found), sum(one == TIE for one in found)


@settings(max_examples=examples(40))
@given(**CASES, kind=st.sampled_from(("ordinary", "anything", "searched")))
def test_no_counting_rule_exceeds_the_true_count(task, seed, heads, norms, planted, arithmetic, kind):
    """position-minima and exponential-moment: certified <= truth, for every task, head count, norm and hint."""
    weights = model_of(task, seed, heads, norms, planted)
    question, position = Question(task), POSITIONS[seed % 2]
    wrong = wrong_weights(weights, question)
    if heads == 1:
        require_sound("position-minima", weights, question, arithmetic, truth=wrong)
    rivals = [rival for rival in RIVALS if rival != "joint" or heads == 1]
    advice = [hints_of(weights, task, rival, position, kind, seed) for rival in rivals]
    require_sound("exponential-moment", weights, question, arithmetic, advice, truth=wrong)


@settings(max_examples=examples(40))
@given(**CASES, kind=st.sampled_from(("ordinary", "anything", "searched")))
def test_the_bracket_contains_the_true_count(task, seed, heads, norms, planted, arithmetic, kind):
    """grid-count: certified <= truth <= correct_at_most, for every step, tilt and number of cells."""
    weights = model_of(task, seed, heads, norms, planted)
    choices = (("every", "each"), ("every", "pessimal"), ("centred", POSITIONS[seed % 2]))
    advice = [grid_hints(weights, task, rival, position, kind, seed) for rival, position in choices]
    require_sound("grid-count", weights, Question(task), arithmetic, advice)
    for hints in advice:
        found = bound("grid-count", weights, task, arithmetic, hints)
        assert (found.wrong_at_least is not None) == (hints.options["sides"] == 2)


@settings(max_examples=examples(40))
@given(**CASES, nodes=st.sampled_from((0, 1, 10, 1 << 20)))
def test_exact_and_brute_force_count_exactly(task, seed, heads, norms, planted, arithmetic, nodes):
    """Equality with enumeration; with too few prefixes the bracket still contains the truth."""
    weights = model_of(task, seed, heads, norms, planted)
    truth, ties = truth_of(weights, task)
    assert certified("brute-force", weights, task, arithmetic) == truth
    if heads > 1:
        with pytest.raises(Rejected):
            RULES["exact"].require_covers(weights, Question(task))
        return
    found = bound("exact", weights, task, arithmetic, Hints({"nodes": nodes}))
    wrong = task.total() - truth
    assert found.wrong_at_least <= wrong - ties
    assert wrong <= found.wrong_at_most <= task.total()
    if nodes == 1 << 20:
        assert found.wrong_at_most == wrong == found.wrong_at_least + ties


def test_bounds_are_not_vacuous():
    """The soundness tests have power: for every task some planted model is certified in part."""
    for task in TASKS_ONCE:
        useful = []
        for seed in range(3):
            weights = model_of(task, seed, 1, (), planted=True)
            hints = hints_of(weights, task, "every", "each", "searched", seed)
            useful.append(certified("position-minima", weights, task, "float64") > 0)
            useful.append(certified("exponential-moment", weights, task, "float64", hints) > 0)
        assert any(useful), task


def rival_counts(weights: Weights, task: AbstractTask) -> tuple[int, int]:
    """Sums over strata of min(size, sum over rivals) and of the largest over rivals of the wrong counts, by floats."""
    tokens = np.array(list(sequences(task.d_vocab, task.k)))
    logits, target = forward(weights, tokens), task.target(tokens)
    ahead = logits >= logits[np.arange(len(tokens)), target][:, np.newaxis]
    ahead[np.arange(len(tokens)), target] = False
    upper = lower = 0
    for q in range(task.d_vocab):
        for y in range(task.n_outputs):
            each = ahead[(tokens[:, -1] == q) & (target == y)]
            upper += min(len(each), int(each.sum()))
            lower += int(each.sum(0).max()) if len(each) else 0
    return upper, lower


def test_a_fine_grid_gives_the_counts_of_the_theorem():
    """Upper: rivals summed, capped by the stratum; lower: the largest rival. With fine cells both are reached."""
    tight = []
    for task in TASKS_ONCE:
        for seed in range(3):
            weights = model_of(task, seed, 1, (), planted=True)
            hints = GridCount(cells=1 << 14, negligible=0.0).hints(weights, Question(task), no_progress)
            found = bound("grid-count", weights, task, "float64", hints)
            upper, lower = rival_counts(weights, task)
            assert found.wrong_at_least <= lower <= upper <= found.wrong_at_most
            tight.append(found.wrong_at_most < upper + 1 and found.wrong_at_least == lower)
    assert sum(tight) > len(tight) / 2, tight


@settings(max_examples=examples(200))
@given(st.integers(0, 2**32 - 1), st.sampled_from(WIDE), st.booleans())
def test_grid_problems_count_what_enumeration_counts(seed, task, shared):
    """Sequences of a stratum whose integer terms sum to at most the threshold, for any integers; None past the cells."""
    rng = np.random.default_rng(seed)
    strata = strata_of(task)
    q, y = (int(x) for x in rng.choice(np.argwhere(strata.stratum_index >= 0)))
    program, letter = strata.program(q, y), strata.letter[y]
    terms = rng.integers(-4, 5, (1 if shared else task.k - 1, task.d_vocab)) * int(rng.choice((1, 10**6)))
    threshold = int(rng.integers(-12, 13))
    expected = 0
    for allowed in token_products(program, letter):
        for t in product(*(tokens.tolist() for tokens in allowed)):
            expected += sum(int(terms[0 if shared else i, token]) for i, token in enumerate(t)) <= threshold
    least = terms[:, letter >= 0].min(1).sum() * (task.k - 1 if shared else 1)
    for cells in (1, 5, 40, 1 << 16):
        found = GridTerms(program, terms, letter, 0, 0, threshold).count(cells)
        if threshold < least:
            assert found == expected == 0
        else:
            assert found == (None if threshold - least >= cells else expected)


@pytest.mark.parametrize("heads", [2, 3])
def test_several_heads_are_certified(heads):
    """Searched thresholds certify most of a model whose heads agree."""
    sizes = Sizes(5, 7, 11, 3, 3)
    one = planted_tensors(sizes, sharpness=12.0, gain=4.0)
    stacked = {name: np.concatenate([a] * heads) if a.ndim == 3 else a for name, a in one.items()}
    stacked["W_O"] = stacked["W_O"] * np.linspace(0.5, 1.5, heads, dtype=np.float32)[:, np.newaxis, np.newaxis]
    weights, task = build(stacked), sizes.task()
    truth, _ = truth_of(weights, task)
    hints = hints_of(weights, task, "every", "each", "searched", 0)
    assert truth / 2 < certified("exponential-moment", weights, task, "float64", hints) <= truth
