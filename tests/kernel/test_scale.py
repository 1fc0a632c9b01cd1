"""Several queries side by side, and hints in 16 bits: nothing is lost, nothing is believed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.counting.moments import added_moments, moments_of
from pessimal.kernel.counting.tilts import SHORT_BIAS, TILTS, tilts
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules.exponential_moment import ExponentialMomentRule
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.builder import stratum_terms
from pessimal.kernel.terms.options import SHORT_STEP, SHORT_ZERO, THRESHOLDS, TermOptions
from pessimal.kernel.terms.rivals import n_groups
from pessimal.kernel.terms.stratum import joined
from pessimal.search.halfwords import pack_halfwords
from pessimal.search.moments import MomentSearch, blank_hints, shortened
from pessimal.spec import MaxOfK, Uniform
from pessimal.spec.question import Question
from pessimal.strategies import ExponentialMoment
from support.bounds import bound, bound_in, certified
from support.distributions import KINDS, some_distribution
from support.models import Sizes, build, planted_tensors, random_tensors
from support.oracle import true_count
from support.sampling import examples
from support.tasks import TINY_TASKS

SIZES = Sizes(5, 7, 3, 2, 4)
TASKS = [task for task in TINY_TASKS if 1 < task.k < 5]


class Blocks(Float64Arithmetic):
    """Float64 with blocks of any size."""

    block = 1


@pytest.mark.parametrize("task", TASKS, ids=str)
@pytest.mark.parametrize("block", [1, 40, 1 << 20])
def test_side_by_side_every_stratum_stands_once_with_its_own_terms(task, block):
    """For every block size: the strata of a head are 0 .. n - 1, each with the terms it has query by query."""
    weights = build(random_tensors(Sizes(task.d_vocab, max(task.n_outputs, 2) + 1, 5, 3, task.k, 2), 3))
    options = {"rival": "every", "position": "each", "near": task.d_vocab}
    hints = blank_hints(weights.architecture, task, options)
    read = TermOptions.read(hints, Question(task), weights.architecture.shape)
    arith = Blocks()
    arith.block = block
    alone = {}
    for head, terms in stratum_terms(weights, Question(task), read, arith):
        for row, number in enumerate(terms.stratum_index.tolist()):
            alone[head, number] = contents(terms, row)
    seen = []
    for head, terms in joined(stratum_terms(weights, Question(task), read, arith), arith):
        for row, number in enumerate(terms.stratum_index.tolist()):
            seen.append((head, number))
            assert contents(terms, row) == alone[head, number]
    assert sorted(seen) == [(head, number) for head in range(2) for number in range(strata_of(task).stratum_count)]


def contents(terms, row):
    """Everything that a stratum has, as numbers."""
    alive = terms.letter[row] >= 0
    pair = terms.pair[row, alive]
    near = terms.near.lo[:, :, pair].tolist(), terms.token[pair].tolist(), terms.letter[row, alive].tolist()
    rest = terms.far.lo[:, row].tolist(), int(terms.n_far[row]), terms.last.lo[:, row].tolist()
    return int(terms.query[row]), int(terms.outputs[row]), id(terms.program), near, rest


@pytest.mark.parametrize("kind", ["uniform", *KINDS])
@pytest.mark.parametrize("position", ["each", "pessimal"])
def test_blocks_of_any_size_give_the_same_bound(kind, position):
    """Weights of tokens and of queries stay with their strata, whatever stands beside them."""
    task = MaxOfK(3, 5)
    one = planted_tensors(Sizes(5, 7, 11, 3, 3), sharpness=12.0, gain=4.0, noise=0.05, seed=1)
    weights = build({name: np.concatenate([a] * 2) if a.ndim == 3 else a for name, a in one.items()})
    distribution = Uniform() if kind == "uniform" else some_distribution(kind, task.k, task.d_vocab, 7)
    question = Question(task, distribution)
    hints = ExponentialMoment("every", position, 5).hints(weights, question, no_progress)
    found = []
    for block in (1, 40, 1 << 20):
        arith = Blocks()
        arith.block = block
        with arith.running():
            found.append(bound_in(ExponentialMomentRule(), weights, question, hints, arith))
    for one in found[1:]:
        assert one.strata.keys() == found[0].strata.keys()
        for where, wrong in found[0].strata.items():
            assert abs(one.strata[where] - wrong) <= wrong / 2**40
    assert 0 < found[0].wrong_at_most < question.total()


def short_hints(numbers: np.ndarray, thresholds: np.ndarray | None, options: dict) -> Hints:
    arrays = {"tilt": pack_halfwords(numbers)} | (
        {} if thresholds is None else {"threshold": pack_halfwords(thresholds)}
    )
    return Hints(options, arrays)


@settings(max_examples=examples(40))
@given(
    st.integers(0, 2**32 - 1), st.sampled_from((1, 2, 3)), st.sampled_from(("plain", "centred", "every")),
    st.sampled_from(("each", "pessimal")), st.sampled_from(("float64", "arb")), st.booleans(),
)  # fmt: skip
def test_garbage_in_16_bits_never_exceeds_the_true_count(seed, heads, rival, position, arithmetic, planted):
    """Certified <= truth for every bit pattern of short tilts and thresholds whose exponents are in range."""
    sizes = Sizes(5, 7, 3, 2, 3, heads)
    one = planted_tensors(Sizes(5, 7, 11, 3, 3), sharpness=12.0, gain=4.0)
    stacked = {name: np.concatenate([a] * heads) if a.ndim == 3 else a for name, a in one.items()}
    weights = build(stacked if planted else random_tensors(sizes, seed))
    task, rng = sizes.task(), np.random.default_rng(seed)
    shape = (n_groups(rival, 7), strata_of(task).stratum_count)
    numbers = rng.integers(0, 8 * (SHORT_BIAS + rng.choice((10, 1000)) + 1), (heads * shape[0], shape[1]))
    thresholds = rng.integers(0, 1 << 16, ((heads - 1) * shape[0], shape[1])) if heads > 1 else None
    hints = short_hints(numbers, thresholds, {"rival": rival, "position": position, "near": 5})
    assert 0 <= certified("exponential-moment", weights, task, arithmetic, hints) <= true_count(weights)


@pytest.mark.parametrize("heads", [1, 2])
def test_both_encodings_of_the_same_hints_give_the_same_bound(heads):
    """Short tilts and thresholds are exact where they can be written."""
    weights = build(random_tensors(Sizes(5, 7, 3, 2, 3, heads), 1))
    task = Sizes(5, 7, 3, 2, 3).task()
    found = MomentSearch(weights, Question(task)).find({"rival": "every", "position": "each", "near": 5}).hints
    short = shortened(found)
    m, e = (found.arrays[name] for name in TILTS)
    read = TermOptions.read(short, Question(task), weights.architecture.shape)
    again = tilts(short, task, read, heads)
    assert (np.ldexp(m.astype(float), e) == np.ldexp(again.mantissa.astype(float), again.exponent)).all()
    arrays = dict(found.arrays)
    if heads > 1:
        c = np.ldexp(arrays[THRESHOLDS[0]].astype(float), arrays[THRESHOLDS[1]])
        back = np.ldexp(read.thresholds.mantissa.astype(float), read.thresholds.exponent)
        assert np.abs(c - back).max() <= 2.0 ** (SHORT_STEP - 1)
        arrays |= dict(zip(THRESHOLDS, (read.thresholds.mantissa, read.thresholds.exponent), strict=True))
    long = Hints(found.options, arrays)
    first = bound("exponential-moment", weights, task, "float64", short)
    assert first.wrong_at_most == bound("exponential-moment", weights, task, "float64", long).wrong_at_most


def test_a_short_tilt_beyond_two_to_the_thousand_is_refused():
    task = SIZES.task()
    weights = build(random_tensors(SIZES, 1))
    options = {"rival": "plain", "position": "each", "near": 5}
    for number, fine in ((8 * (SHORT_BIAS + 1000) + 7, True), (8 * (SHORT_BIAS + 1001), False), ((1 << 16) - 1, False)):
        hints = short_hints(np.full((1, strata_of(task).stratum_count), number), None, options)
        if fine:
            assert certified("exponential-moment", weights, task, "float64", hints) >= 0
        else:
            with pytest.raises(Rejected, match="tilt"):
                certified("exponential-moment", weights, task, "float64", hints)


def test_two_encodings_at_once_are_refused():
    task, weights = SIZES.task(), build(random_tensors(SIZES, 1))
    long = blank_hints(weights.architecture, task, {"rival": "plain", "position": "each", "near": 5})
    with pytest.raises(Rejected, match="exactly these hints"):
        certified(
            "exponential-moment", weights, task, "float64",
            Hints(long.options, {**long.arrays, **shortened(long).arrays}),
        )  # fmt: skip


def test_threads_and_samples_change_no_proof(monkeypatch):
    """The same hints with one thread and three; a sampled choice of options ends in tilts for all strata."""
    weights, task = build(random_tensors(Sizes(11, 13, 3, 2, 3), 5)), Sizes(11, 13, 3, 2, 3).task()
    hints = [ExponentialMoment(workers=n).hints(weights, Question(task), no_progress) for n in (1, 3)]
    assert all((hints[0].arrays[name] == hints[1].arrays[name]).all() for name in hints[0].arrays)
    monkeypatch.setattr("pessimal.search.moments.SAMPLE", 3)
    sampled = ExponentialMoment(rival="centred", near=11).hints(weights, Question(task), no_progress)
    assert (sampled.halfwords("tilt", (1, strata_of(task).stratum_count)) > 0).all()
    assert SHORT_ZERO == 1 << 15


@pytest.mark.parametrize("missing", [0, 1, 4])
def test_a_stratum_whose_terms_are_not_all_given_is_lost(missing):
    """One head of one group of strata left out: these are lost, the others are as they were."""
    weights = build(random_tensors(Sizes(5, 7, 3, 2, 3, 2), 1))
    task = Sizes(5, 7, 3, 2, 3).task()
    question = Question(task)
    hints = blank_hints(weights.architecture, task, {"rival": "plain", "position": "each", "near": 5})
    read = TermOptions.read(hints, question, weights.architecture.shape)
    lambdas, arith = tilts(hints, task, read, 2), Float64Arithmetic()
    with arith.running():
        parts = list(stratum_terms(weights, question, read, arith))
        left_out = set(parts[missing][1].stratum_index.tolist())
        whole, less = (
            added_moments(some, moments_of(question, arith), lambdas, lambda *_: None)
            for some in (parts, parts[:missing] + parts[missing + 1 :])
        )
    assert None not in whole
    assert less == [None if number in left_out else value for number, value in enumerate(whole)]
