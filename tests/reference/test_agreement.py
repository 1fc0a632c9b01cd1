"""The standard-library checker agrees with the kernel on random and on shipped models, and claims no more than the truth.

Models and hints are those of the kernel's own tests; claims are compared in integers.
"""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

import pessimal as ps
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.interface import no_progress
from pessimal.proving.proof import SLACK
from pessimal.spec import Uniform, read_weights
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.strategies import ExponentialMoment, GridCount
from support.bounds import bound
from support.counting_cases import NORMS, grid_hints, hints_of, model_of
from support.distributions import KINDS, chance, some_distribution
from support.models import KINDS as HOSTILE
from support.models import Sizes, _hostile, build, planted_tensors
from support.oracle import RIGHT, verdicts
from support.reference_checker import (
    ROOT,
    RULES,
    certificate,
    claiming,
    comparable,
    lines,
    run,
    split,
    stored,
    stored_exactly,
    wrong,
)
from support.sampling import examples
from support.tasks import WIDE

SHIPPED = [p for p in sorted((ROOT / "certificates").glob("*.cert")) if p.name.split(".")[1] in RULES]


def random_case(seed):
    """A model, a question, and hints for each rule that covers them."""
    rng = np.random.default_rng(seed)
    task = WIDE[int(rng.integers(len(WIDE)))]
    heads = int(rng.choice((1, 1, 2, 3)))
    weights = model_of(task, seed, heads, NORMS[int(rng.integers(len(NORMS)))], bool(rng.integers(4)))
    if not rng.integers(3):
        tensors = {name: array.copy() for name, array in weights.tensors.items()}
        weights = build(_hostile(tensors, str(rng.choice(HOSTILE)), seed), dict(weights.metadata))
    kind = str(rng.choice(("uniform", *KINDS), p=(0.4, *(0.1,) * len(KINDS))))
    distribution = Uniform() if kind == "uniform" else some_distribution(kind, task.k, task.d_vocab, seed)
    question = Question(task, distribution)
    rival = str(rng.choice(("plain", "centred", "every") + ("joint",) * (heads == 1)))
    position = str(rng.choice(("each", "pessimal")))
    hinted = str(rng.choice(("ordinary", "anything", "searched", "searched")))
    found = {"position-minima": Hints()} if heads == 1 else {}
    if hinted == "searched":
        lumps = task.name == "max-of-k" and not kind.endswith("chain")
        near = int(rng.integers(1, task.d_vocab + 1)) if lumps else task.d_vocab
        found["exponential-moment"] = ExponentialMoment(rival, position, near).hints(weights, question, no_progress)
    else:
        found["exponential-moment"] = hints_of(weights, task, rival, position, hinted, seed)
    if not kind.endswith("chain"):
        found["grid-count"] = grid_hints(weights, task, rival, position, hinted, seed)
    return weights, question, found


def true_weight(weights, question):
    """Weight of the right sequences, by enumeration."""
    task, distribution, found = question.task, question.distribution, Fraction(0)
    for t, verdict in verdicts(weights, lambda t: int(task.target(np.array(t)))).items():
        if verdict == RIGHT:
            found += Fraction(1, task.total()) if isinstance(distribution, Uniform) else chance(distribution, t)
    return found * question.total()


def compare(seeds):
    """On every case: both verify the prover's claim; the reference's own count is no lower, and no higher than the truth.

    Returns how many claims were above nothing and below everything.
    """
    asked, pairs, telling = [], [], 0
    for seed in seeds:
        weights, question, rules = random_case(seed)
        truth = true_weight(weights, question)
        for rule, hints in rules.items():
            distribution = question.distribution
            found = bound(rule, weights, question.task, "float64", hints, distribution=distribution)
            slack = 1 if found.decided else 1 + SLACK[REAL]
            correct = max(0, question.total() - wrong(found, slack))
            # As far above the count as the claim is below, and one more; floats overflow earlier, Arb decides.
            sharp = bound(rule, weights, question.task, "arb", hints, distribution=distribution)
            above = question.total() - wrong(sharp, 2 - slack) + 1
            data = certificate(weights, question, rule, hints, correct)
            asked.append((seed, rule, weights, question, truth, correct, above))
            pairs.append((stored_exactly(weights), data))
            pairs.append((pairs[-1][0], claiming(data, question.total())))
    found, foreign = run(pairs)
    assert foreign == []
    for one, (line, _), (most_line, most) in zip(asked, found[::2], found[1::2], strict=True):
        seed, rule, weights, question, truth, correct, above = one
        place = pairs[2 * asked.index(one)]
        assert line == comparable(ps.check(place[1], weights).line()), (seed, rule)
        assert "VERIFIED" in line
        if "VERIFIED" in most_line:
            count = question.total()
        else:
            assert most_line == "s REJECTED reason=bound-too-low"
            count = int(most.split()[-1])
        assert correct <= count <= truth, (seed, rule)
        # Of huge numbers digits cancel in floats and balls, none here; on a grid, ties are decided here alone.
        huge = max(np.abs(array).max() for array in weights.tensors.values()) > 1e6
        if rule != "grid-count" and not huge:
            assert count < above, (seed, rule)
        telling += 0 < correct < question.total()
    return telling, len(asked)


def test_the_reference_agrees_on_a_few_random_models():
    telling, all_of_them = compare(range(examples(8)))
    assert telling > 0 or all_of_them < 20


def test_the_reference_agrees_on_far_tokens():
    """Max-of-K with 1 to 3 near tokens, far ones of positive margin included: the count where both arithmetics agree."""
    pairs, expected = [], []
    for seed in range(examples(16)):
        rival, position = ("plain", "centred", "joint", "every")[seed % 4], ("each", "pessimal")[seed // 4 % 2]
        weights = build(planted_tensors(Sizes(6, 7, 11, 2, 3), sharpness=4.0, noise=0.05, gain=1.0, seed=seed))
        question = Question(ps.MaxOfK(3, 6), Uniform())
        hints = ExponentialMoment(rival, position, 1 + seed % 3).hints(weights, question, no_progress)
        found = [bound("exponential-moment", weights, question.task, one, hints) for one in ("float64", "arb")]
        floats, balls = (216 - wrong(one) for one in found)
        if floats == balls:
            pairs.append((stored(weights), certificate(weights, question, "exponential-moment", hints, 216)))
            expected.append(f"the rule gives {balls}")
    found, _ = run(pairs)
    assert [said.partition("; ")[2] for _, said in found] == expected
    assert len(expected) > examples(16) / 2
    assert set(expected) != {"the rule gives 0"}


@pytest.mark.slow
@pytest.mark.survey
def test_the_reference_agrees_on_two_hundred_random_models():
    """Every task, one to three heads, LayerNorms, all distributions, garbage and searched hints."""
    telling, all_of_them = compare(range(1000, 1000 + examples(200)))
    assert telling > all_of_them / 5


@pytest.mark.slow
@pytest.mark.survey
@pytest.mark.parametrize("path", SHIPPED, ids=[p.stem for p in SHIPPED])
def test_a_shipped_certificate_verifies_and_one_beyond_it_does_not(path):
    """The claim holds; raised by twice the slack and a sequence a stratum, or by one for decisions, it is too high.

    Claims of before the floors by stratum have one floor for all of them.
    """
    raw = (ROOT / "weights" / f"{path.name.split('.')[0]}.safetensors").read_bytes()
    data = path.read_bytes()
    header, _ = split(data)
    correct, total = (int(header["claim"][key]) for key in ("correct", "total"))
    decided = header["rule"] == "position-minima"
    v = header["task"]["d_vocab"]
    spare = floor(Fraction(total - correct) * 2 * SLACK[REAL]) + v * header["model"]["d_vocab_out"]
    raised = correct + 1 + (0 if decided else spare)
    line, *more = lines([(raw, data), *([(raw, claiming(data, raised))] if raised <= total else [])])
    assert line == comparable(ps.check(data, read_weights(raw)).line())
    assert line.startswith("s VERIFIED")
    assert more == ["s REJECTED reason=bound-too-low"][: len(more)]


@pytest.mark.slow
@pytest.mark.survey
@pytest.mark.parametrize("rival", ["centred", "joint"])
def test_a_grid_of_a_shipped_model_verifies(rival):
    raw = (ROOT / "weights" / "max4_v64_seed104.safetensors").read_bytes()
    weights = read_weights(raw)
    proof = ps.prove(weights, ps.MaxOfK(4, 64), GridCount(rival=rival, cells=1024))
    (line,) = lines([(raw, proof.data)])
    assert line == comparable(ps.check(proof, weights).line())
    assert line.startswith("s VERIFIED")
