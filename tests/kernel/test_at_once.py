"""All rivals at once: terms are below those of each rival, what is spent is what is stated, endings are those there are."""

import numpy as np
import pytest

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.counting.conditioned import ConditionedCounts, Grid
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.source import ExactTables
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.comparisons.search import Counting
from pessimal.kernel.rules.interface import no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.nodes import NodeTerms
from pessimal.spec import MaxOfK
from pessimal.spec.question import Question
from pessimal.spec.semantics import FLOAT32, REAL
from support.bounds import bound
from support.comparisons import covered
from support.models import Sizes, build, random_tensors
from support.oracle import sequences
from support.tasks import WIDE


@pytest.mark.parametrize("near", [1, 2, 4, 5])
@pytest.mark.parametrize("semantics", [REAL, FLOAT32])
def test_terms_against_all_rivals_are_below_those_against_each(near, semantics):
    """Far tokens too, down to the last of them; lower ends, which in float32 are far from the upper ones."""
    sizes = Sizes(5, 7, 11, 3, 4)
    arith, strata = Float64Arithmetic(), strata_of(sizes.task())
    with arith.running():
        tables = ExactTables(semantics).tables(build(random_tensors(sizes, 7), {"attn_scale": "1"}), arith)
        nodes, single = (NodeTerms(tables, strata, g, arith, others="apart") for g in (near, sizes.v))
        for q, y in np.argwhere(strata.stratum_index >= 0).tolist():
            terms, last = nodes.at_once(q, y)
            for o in set(range(sizes.o)) - {y}:
                row = single.of(np.array([q]), np.array([y]), np.array([o]))
                low, tokens = row.near.bounds()[0][:, 0], single._token[y]
                assert (terms[:, tokens[: y + 1]] <= low[:, : y + 1]).all()
                assert last <= row.last.bounds()[0][0]


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_joint_terms_are_below_those_against_each_rival_and_not_below_those_apart(semantics):
    sizes = Sizes(5, 7, 11, 3, 4)
    arith, strata = Float64Arithmetic(), strata_of(sizes.task())
    with arith.running():
        tables = ExactTables(semantics).tables(build(random_tensors(sizes, 7), {"attn_scale": "1"}), arith)
        joint, apart = (NodeTerms(tables, strata, sizes.v, arith, others=how) for how in ("joint", "apart"))
        gained = 0.0
        for q, y in np.argwhere(strata.stratum_index >= 0).tolist():
            terms, last = joint.at_once(q, y)
            logits = joint.value + joint.ahead[q]
            for o in set(range(sizes.o)) - {y}:
                low = ((logits[..., y] - logits[..., o]) * joint.weight[q]).bounds()[0]
                assert (terms[:, : y + 1] <= low[:-1, : y + 1]).all()
                assert last <= low[-1, q]
            gained += float((terms - apart.at_once(q, y)[0])[:, : y + 1].min())
        assert gained > -1e-9


@pytest.mark.parametrize(("weighed", "spent"), [(False, 61), (True, 62)])
def test_every_operation_of_a_grid_is_spent(weighed, spent):
    """Of 4: 2 positions of 3 terms, 4 looks, 2 sums of 2 states; moves of 2, 1 and 3 tokens of one degree: 2 + 1 + 2."""
    strata = strata_of(MaxOfK(4, 3))
    weights = [[1, 2, 3]] * 3 if weighed else None
    counts = ConditionedCounts(
        strata.program(0, 2), strata.letter[2], weights, Grid(5, 1), 3, Float64Arithmetic()
    )  # fmt: skip
    before = counts.spent
    counts.fillings(np.zeros((3, 3), dtype=np.int64), 0, floor=True)
    assert counts.spent - before == spent


@pytest.mark.parametrize("conditioned", [1, 2])
@pytest.mark.parametrize("task", [task for task in WIDE if task.k > 2], ids=str)
def test_endings_are_the_tokens_that_sequences_end_in(task, conditioned):
    """Of every stratum, each of them once for a state before it, the first position first."""
    strata, found, there = strata_of(task), set(), set()
    for q, y in np.argwhere(strata.stratum_index >= 0).tolist():
        counts = ConditionedCounts(
            strata.program(q, y), strata.letter[y], None, Grid(1, conditioned), 1, Float64Arithmetic()
        )  # fmt: skip
        size = sum(counts.size(end.state) * int(np.prod(end.shape)) for end in counts.endings)
        assert size == strata.program(q, y).run(
            lambda _, letters, c=counts: c.tokens[letters].size, int.__add__, int.__mul__
        )
        for end in counts.endings:
            pairs = np.stack(np.meshgrid(*end.tokens, indexing="ij"), -1).reshape(-1, conditioned)
            found |= {(q, y, *pair) for pair in pairs.tolist()}
    for tokens in sequences(task.d_vocab, task.k):
        there.add((tokens[-1], int(task.target(np.array(tokens))), *tokens[-1 - conditioned : -1]))
    assert found == there


def test_one_addition_less_and_the_last_stratum_is_given_up():
    """And entries of all rivals at once are those of one, near tokens and the far ones as one more."""
    sizes = Sizes(5, 7, 11, 3, 4)
    weights, question = build(random_tensors(sizes, 6)), Question(sizes.task())
    n = strata_of(sizes.task()).stratum_count
    good = covered(question, weights, np.random.default_rng(2), free=True, every=True)
    none, one = np.zeros(1, dtype=np.int64), np.zeros(-(-n // 4), dtype=np.int64)
    lists = {"rival": none, "comparison": none, "count": one}
    hints = Hints({**good.options, "near": 2, "live": 0}, {**good.arrays, **lists, "minima": good.arrays["minima"] * 0})
    arith = Float64Arithmetic()
    instance = RULES["comparisons"].read(hints, weights.architecture, question)
    with arith.running():
        work, tables = instance.work.copy(), ExactTables(REAL).tables(weights, arith)
        Counting(tables, 2, question, work, instance.cover, arith).all(weights, no_progress)
    spent = {name: hints.options[name] - getattr(work, name) for name in ("entries", "additions")}
    outputs = np.argwhere(strata_of(sizes.task()).stratum_index >= 0)[:, 1]
    assert spent["entries"] == 4 * int(np.minimum(outputs + 1, 3).sum())
    exactly = bound("comparisons", weights, sizes.task(), "float64", Hints({**hints.options, **spent}, hints.arrays))
    assert exactly.wrong_at_most == bound("comparisons", weights, sizes.task(), "float64", hints).wrong_at_most
    last, everything = (sizes.v - 1, sizes.v - 1), sizes.v ** (sizes.k - 1)
    assert exactly.strata[last] < everything
    for name, enough in spent.items():
        less = Hints({**hints.options, **spent, name: enough - 1}, hints.arrays)
        found = bound("comparisons", weights, sizes.task(), "float64", less)
        assert found.strata[last] == everything
        assert {at: wrong for at, wrong in found.strata.items() if at != last} == {
            at: wrong for at, wrong in exactly.strata.items() if at != last
        }
