"""Bounds of strata are rounded down one by one: in all checkers, to no more than is true, and with a gain."""

from math import floor

import pytest

import pessimal as ps
from pessimal.kernel.rules.interface import no_progress
from pessimal.proving.proof import SLACK
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.strategies import ExponentialMoment, GridCount
from support import verified_checker
from support.bounds import bound
from support.models import Sizes, build, planted_tensors
from support.oracle import true_count
from support.reference_checker import certificate, claiming, comparable, lines, run, stored, wrong
from support.sampling import examples

SIZES = (Sizes(5, 5, 7, 2, 3), Sizes(3, 3, 5, 2, 4), Sizes(7, 7, 5, 3, 2))
STRATEGIES = {
    "exponential-moment": ExponentialMoment("centred", "each"),
    "grid-count": GridCount("joint", "each", cells=8),
}


def cases(rule, seeds):
    """Model, its certificate of nothing, the kernel's bounds, and the number of right sequences."""
    for seed in seeds:
        sizes = SIZES[seed % len(SIZES)]
        weights = build(planted_tensors(sizes, noise=0.1, seed=seed, gain=1.0, sharpness=2.0))
        question = Question(sizes.task())
        hints = STRATEGIES[rule].hints(weights, question, no_progress)
        found = bound(rule, weights, sizes.task(), "float64", hints)
        yield weights, certificate(weights, question, rule, hints, 0), found, true_count(weights)


@pytest.mark.parametrize("rule", STRATEGIES)
def test_claims_with_one_floor_and_with_one_per_stratum_verify_everywhere(tmp_path, rule):
    """The old claim is never above the new one, the new one never above the truth; and often there is a gain."""
    pairs, expected, gains = [], [], []
    for weights, data, found, truth in cases(rule, range(examples(6))):
        slack = 1 + SLACK[REAL]
        total = weights.architecture.shape.d_vocab**weights.architecture.shape.k
        old, new = total - floor(found.wrong_at_most * slack), total - wrong(found, slack)
        assert max(old, 0) <= new <= truth
        gains.append(new - max(old, 0))
        for claim in (claiming(data, max(old, 0)), claiming(data, new)):
            pairs.append((stored(weights), claim))
            both = {comparable(ps.check(claim, weights, arithmetic=one).line()) for one in ("float64", "arb")}
            expected.append(both.pop())
            assert not both
    assert lines(pairs) == expected
    assert all(line.startswith("s VERIFIED") for line in expected)
    # A grid counts whole sequences.
    assert rule == "grid-count" or max(gains) > 0
    if not verified_checker.MISSING:
        assert [line for line, _ in verified_checker.run(tmp_path, pairs)] == expected


@pytest.mark.parametrize("rule", STRATEGIES)
def test_what_is_counted_with_floors_is_never_above_the_truth(tmp_path, rule):
    """The checkers' own counts, read from what they say of a claim of everything: no lower than the kernel's."""
    asked = list(cases(rule, range(100, 100 + examples(6))))
    totals = [weights.architecture.shape.d_vocab**weights.architecture.shape.k for weights, *_ in asked]
    pairs = [(stored(one[0]), claiming(one[1], total)) for one, total in zip(asked, totals, strict=True)]
    answers = [run(pairs)[0]] + ([] if verified_checker.MISSING else [verified_checker.run(tmp_path, pairs)])
    for answer in answers:
        for (line, said), (_, _, found, truth), total in zip(answer, asked, totals, strict=True):
            assert line == "s REJECTED reason=bound-too-low"
            assert total - wrong(found, 1 + SLACK[REAL]) <= int(said.split()[-1]) <= truth
