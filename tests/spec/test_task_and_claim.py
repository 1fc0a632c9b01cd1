"""Tasks and claims: the target, the records, the limits, and display rounded down."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pessimal.spec import AccuracyClaim, MaxOfK, TaskError, Uniform, task_from_record
from pessimal.spec.claim import ProbabilityClaim, decimal_down
from pessimal.spec.distribution import usual_distribution
from pessimal.spec.semantics import assumptions
from pessimal.spec.tasks import ModularAddition, ModularAdditionEquals
from support.models import Sizes, build, random_tensors
from support.oracle import sequences


def test_the_target_is_the_largest_token():
    """target(t) = max_i t_i for every sequence."""
    task = MaxOfK(k=3, d_vocab=5)
    tokens = np.array(list(sequences(5, 3)))
    assert task.target(tokens).tolist() == [max(t) for t in sequences(5, 3)]
    assert task.total() == len(tokens) == 125
    assert MaxOfK(k=20, d_vocab=64).total() == 64**20


def test_a_task_survives_its_record():
    """task_from_record(task.record()) == task."""
    task = MaxOfK(k=3, d_vocab=5)
    assert task_from_record(task.record()) == task


BAD_RECORDS = [
    None, [], "max-of-k", {}, {"name": "max-of-k"}, {"name": "max-of-k", "k": 3}, {"name": "median-of-k", "k": 3, "d_vocab": 5},
    {"name": "max-of-k", "k": 3, "d_vocab": 5, "x": 1}, {"name": "max-of-k", "k": "3", "d_vocab": 5},
    {"name": "max-of-k", "k": 3, "d_vocab": True}, {"name": "max-of-k", "k": True, "d_vocab": 5},
    {"name": "max-of-k", "k": 0, "d_vocab": 5}, {"name": "max-of-k", "k": 3, "d_vocab": 0},
    {"name": "max-of-k", "k": 4097, "d_vocab": 5}, {"name": "max-of-k", "k": 3, "d_vocab": 4097},
    {"name": ["max-of-k"], "k": 3, "d_vocab": 5}, {"name": "max-of-k", "k": -3, "d_vocab": 5},
    {"name": "max-of-k", "k": 4096, "d_vocab": 4096}, {"name": "max-of-k", "k": 1108, "d_vocab": 4096},
]  # fmt: skip


@pytest.mark.parametrize("record", BAD_RECORDS)
def test_other_records_are_not_tasks(record):
    """Missing, extra or ill-typed keys, unknown names, sizes out of range."""
    with pytest.raises(TaskError):
        task_from_record(record)


def test_the_largest_sizes_are_tasks():
    """1 and 4,096 are allowed, as long as the total can be written in 4,000 digits."""
    assert task_from_record({"name": "max-of-k", "k": 4096, "d_vocab": 9}).k == 4096
    assert task_from_record({"name": "max-of-k", "k": 1, "d_vocab": 4096}).d_vocab == 4096
    assert len(str(task_from_record({"name": "max-of-k", "k": 1107, "d_vocab": 4096}).total())) == 3999
    assert task_from_record({"name": "max-of-k", "k": 1, "d_vocab": 1}).total() == 1
    assert len(str(MaxOfK(k=3999, d_vocab=10).total())) == 4000
    with pytest.raises(TaskError, match="4000 digits"):
        MaxOfK(k=4000, d_vocab=10)


def test_a_task_must_fit_the_model():
    """d_vocab, d_vocab_out and k are compared with the architecture."""
    arch = build(random_tensors(Sizes(3, 5, 7, 2, 4), 1)).architecture
    MaxOfK(k=4, d_vocab=3).require_fits(arch)
    for task in (MaxOfK(k=3, d_vocab=3), MaxOfK(k=5, d_vocab=3), MaxOfK(k=4, d_vocab=2), MaxOfK(k=4, d_vocab=5)):
        with pytest.raises(TaskError):
            task.require_fits(arch)
    narrow = build(random_tensors(Sizes(5, 3, 7, 2, 4), 1)).architecture
    with pytest.raises(TaskError, match="outputs"):
        MaxOfK(k=4, d_vocab=5).require_fits(narrow)
    MaxOfK(k=4, d_vocab=5).require_fits(build(random_tensors(Sizes(5, 5, 7, 2, 4), 1)).architecture)


@pytest.mark.parametrize(("correct", "total"), [(-1, 5), (6, 5), (1, 0)])
def test_impossible_counts_are_not_claims(correct, total):
    """0 <= correct <= total."""
    with pytest.raises(ValueError, match="correct"):
        AccuracyClaim(correct, total)


def test_only_known_semantics_can_be_claimed():
    """Real arithmetic, or every float32 execution."""
    with pytest.raises(ValueError, match="semantics"):
        AccuracyClaim(1, 2, "float16")
    assert AccuracyClaim(0, 5).value == 0
    assert AccuracyClaim(5, 5).value == 1


@given(st.fractions(0, 1), st.integers(1, 9))
def test_decimals_round_down(value, digits):
    """decimal_down(x) <= x < decimal_down(x) + one unit."""
    shown = Fraction(decimal_down(value, digits))
    assert shown <= value < shown + Fraction(1, 10**digits)


def test_display_never_reaches_one_below_one():
    """0.9999999 is shown as 0.999999, and one as 1.000000."""
    assert decimal_down(1 - Fraction(1, 10**7)) == "0.999999"
    assert decimal_down(Fraction(1)) == "1.000000"
    assert decimal_down(Fraction(0)) == "0.000000"
    assert decimal_down(Fraction(2, 3)) == "0.666666"


def test_the_sentence_states_the_claim():
    """Counts, digest, task and a strict inequality."""
    sentence = AccuracyClaim(2, 3).sentence("max-of-k", "ab12")
    for part in ("sha256:ab12", "at least 2 of all 3", "max-of-k", "strictly larger", "0.666666"):
        assert part in sentence


def test_the_sentence_of_a_float32_claim_states_its_assumptions():
    """Order of sums, exp, shift, TF32, flushing; and nothing of the kind for real arithmetic."""
    sentence = AccuracyClaim(2, 3, "float32").sentence("max-of-k", "ab12")
    for part in ("every float32 execution", "any order", "32 ulp", "within 64", "no TF32", "no flush to zero"):
        assert part in sentence
    assert "float32" not in AccuracyClaim(2, 3).sentence("max-of-k", "ab12")
    assert "every float32 execution" in ProbabilityClaim(2, 3, "float32").sentence("max-of-k", "ab12")
    assert "in real arithmetic on its stored values" in ProbabilityClaim(2, 3).sentence("max-of-k", "ab12")
    assert assumptions("real") == ()
    assert all(line.startswith("float32: ") for line in assumptions("float32"))


def test_uniform_weighs_every_sequence_one():
    """Every sequence weighs one."""
    assert Uniform().total(MaxOfK(k=3, d_vocab=5)) == 125 == Uniform().weigh(np.array(list(sequences(5, 3)))).sum()
    assert Uniform() == Uniform()
    assert Uniform().record() == {"name": "uniform"}


@pytest.mark.parametrize(("p", "k"), [(1, 2), (2, 3), (5, 3), (6, 1), (7, 2)])
def test_equals_counts_nothing_and_stands_last(p, k):
    """(t_0 + .. + t_{K-1}) mod p with "=" as 0; the inputs that occur are the p^{K-1} with "=" last and only there."""
    task = ModularAdditionEquals(k=k, d_vocab=p + 1)
    tokens = np.array(list(sequences(p + 1, k)))
    sums = [sum(t for t in row if t != p) % p for row in tokens.tolist()]
    assert task.target(tokens).tolist() == sums == task.machine().target(tokens).tolist()
    usual = usual_distribution(task)
    occurs = [row[-1] == p and p not in row[:-1] for row in tokens.tolist()]
    assert usual.weigh(tokens).tolist() == occurs
    assert usual.total(task) == p ** (k - 1)
    assert [usual.tokens(task, i).tolist() for i in range(k)] == [list(range(p))] * (k - 1) + [[p]]
    assert task_from_record(task.record()) == task


def test_equals_needs_a_number_beside_it_and_one_output_per_number():
    """d_vocab = 1 is "=" alone; a model with fewer than p outputs cannot be asked."""
    with pytest.raises(TaskError, match="no number"):
        ModularAdditionEquals(k=3, d_vocab=1)
    arch = build(random_tensors(Sizes(6, 5, 7, 2, 3), 1)).architecture
    ModularAdditionEquals(k=3, d_vocab=6).require_fits(arch)
    for task in (ModularAddition(k=3, d_vocab=6), ModularAdditionEquals(k=3, d_vocab=5)):
        with pytest.raises(TaskError):
            task.require_fits(arch)
    assert usual_distribution(ModularAddition(k=3, d_vocab=5)) == Uniform()
