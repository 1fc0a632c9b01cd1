"""Exponential moment and grid counting in Coq: the evaluator's counts are the rule's, and claims above them are refused.

Skipped where Coq or the compiled theories are missing.
"""

import re
from itertools import product
from math import floor

import pytest

from pessimal.formal import FormalError, coq_instance
from pessimal.kernel.certificate import decode
from pessimal.kernel.hints import Hints
from pessimal.proving.proof import encode
from pessimal.spec.claim import CLAIMS
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.strategies import ExponentialMoment, GridCount
from support.bounds import bound
from support.coq import coqc, missing
from support.counting_cases import grid_hints, hints_of
from support.models import Sizes, build, planted_tensors
from support.oracle import true_count
from support.reference_checker import wrong

MISSING = missing("CheckSums")
needs_coq = pytest.mark.skipif(bool(MISSING), reason=MISSING)

SIZES = (Sizes(5, 5, 7, 2, 3), Sizes(3, 3, 5, 2, 4), Sizes(7, 7, 5, 3, 2))
RIVALS, POSITIONS, KINDS = ("plain", "centred", "joint", "every"), ("each", "pessimal"), ("searched", "ordinary")
STRATEGIES = {"exponential-moment": ExponentialMoment(), "grid-count": GridCount()}


def case(seed, rule, rival, position, kind):
    """A model, its task, and hints with every number of near tokens in turn."""
    sizes = SIZES[seed % 3]
    weights, task = build(planted_tensors(sizes, noise=0.1, seed=seed, gain=1.0, sharpness=2.0)), sizes.task()
    hints = (hints_of if rule == "exponential-moment" else grid_hints)(weights, task, rival, position, kind, seed)
    options = {**hints.options, "near": 1 + seed % task.d_vocab}
    return weights, task, Hints({**options, "sides": 1} if "sides" in options else options, hints.arrays)


def instance(weights, task, rule, hints, correct, name):
    question = Question(task)
    claim = CLAIMS["correct-count"](correct, question.total(), REAL)
    return coq_instance(weights, decode(encode(weights, question, STRATEGIES[rule], hints, claim)), name)


@pytest.mark.slow
@needs_coq
@pytest.mark.parametrize("rule", STRATEGIES)
def test_coq_counts_what_the_rule_counts_and_never_more_than_is_true(tmp_path, rule):
    text, expected, truth = "", [], []
    for seed, (rival, position, kind) in enumerate(product(RIVALS, POSITIONS, KINDS)):
        weights, task, hints = case(seed, rule, rival, position, kind)
        expected.append(max(0, task.total() - wrong(bound(rule, weights, task, "arb", hints))))
        truth.append(true_count(weights))
        one = instance(weights, task, rule, hints, 0, "bound")
        head, body = one[: one.index("Theorem bound")].split("Import ListNotations.\n")
        text = text or head + "Import ListNotations.\n"
        text += f"Module M{seed}.\n{body}\nEnd M{seed}.\n"
    counts = "; ".join(f"right_by_sums big M{n}.weights_of_file M{n}.options_of_certificate" for n in range(len(truth)))
    done = coqc(tmp_path, f"{text}Eval vm_compute in [{counts}].\n")
    assert done.returncode == 0, done.stderr
    found = [int(n) for n in re.findall(r"-?\d+", re.search(r"= \[(.*?)\]", done.stdout, flags=re.DOTALL)[1])]
    assert found == expected
    assert all(one <= most for one, most in zip(found, truth, strict=True))
    assert len(set(found)) > len(found) / 3


@pytest.mark.slow
@needs_coq
def test_a_claim_above_the_count_does_not_compile(tmp_path):
    """The count with bounds rounded down stratum by stratum, which is above that with one floor; both are proved."""
    weights, task, hints = case(1, "exponential-moment", "joint", "each", "searched")
    found = bound("exponential-moment", weights, task, "arb", hints)
    count, before = task.total() - wrong(found), task.total() - floor(found.wrong_at_most)
    assert 0 < before < count < task.total()
    for one in (before, count):
        proved = coqc(tmp_path, instance(weights, task, "exponential-moment", hints, one, "bound"))
        assert proved.returncode == 0, proved.stderr
        assert "sig_not_dec" in proved.stdout
        assert "Classical_Prop" not in proved.stdout
    assert coqc(tmp_path, instance(weights, task, "exponential-moment", hints, count + 1, "bound")).returncode != 0


def test_hints_that_no_rule_reads_are_not_exported():
    weights, task, hints = case(0, "exponential-moment", "plain", "each", "searched")
    wrong = Hints({**hints.options, "rival": "none"}, hints.arrays)
    with pytest.raises(FormalError, match="would be rejected"):
        instance(weights, task, "exponential-moment", wrong, 0, "bound")
