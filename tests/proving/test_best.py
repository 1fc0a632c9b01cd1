"""The first answer is the best short one, for every kind of model; too small a budget names the smallest that works."""

import gc
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import pessimal as ps
from pessimal.kernel.rules.interface import kind_of_attention
from pessimal.proving import covering
from pessimal.proving.best import FIRST_BUDGET
from pessimal.proving.deadline import Deadline
from pessimal.proving.frontier import EXACT, Frontier, is_exact, rank
from pessimal.proving.words import make_strategy
from pessimal.spec.question import Question
from pessimal.spec.tasks import TASKS, CustomTask
from pessimal.strategies import OutOfTimeError, StrategyError
from pessimal.testing import tiny_adder, tiny_weights

WEIGHTS = Path(__file__).parents[2] / "weights"


def tried(weights):
    """What `best` tries."""
    return covering(kind_of_attention(weights.architecture))


def single(weights, task, name, budget):
    """What a strategy proves within a budget on its own, or None."""
    try:
        proof = ps.prove(weights, task, make_strategy(name, [], budget), budget=budget)
    except ps.Rejected:
        return None
    return proof.claim.correct


def require_best(found, weights, task):
    # Nothing says more than an exact count, and the search for a long proof that says less takes minutes.
    names = [name for name in tried(weights) if not is_exact(found.proof) or name in EXACT]
    rivals = {name: single(weights, task, name, found.budget) for name in names}
    assert found.proof.claim.correct >= max((one for one in rivals.values() if one is not None), default=0), rivals
    assert found.proof.cost.flops <= found.budget
    assert ps.check(found.proof, weights)
    others = [one.found.claim.correct for one in found.runners_up]
    assert others == sorted(others, reverse=True)


MODELS = [
    (tiny_weights(0, k=3), ps.MaxOfK(3, 5)),
    (tiny_weights(1, k=3), ps.MaxOfK(3, 5)),
    (tiny_weights(0, k=3), TASKS["min-of-k"](k=3, d_vocab=5)),
    (tiny_adder(0, p=5), ps.ModularAddition(2, 5)),
    (tiny_adder(1, p=5), ps.ModularAddition(2, 5)),
]


@pytest.mark.parametrize(("weights", "task"), MODELS)
@pytest.mark.parametrize("budget", [5_000, FIRST_BUDGET])
def test_no_strategy_alone_proves_more_within_the_budget(weights, task, budget):
    try:
        found = ps.best(weights, task, budget=budget)
    except ps.Rejected:
        names = tried(weights)
        assert not any(single(weights, task, name, budget) for name in names)
        return
    require_best(found, weights, task)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stem", ["max2_v64_seed0", "max4_v64_seed104", "first-of-k_k4_v64_seed0", "modular-addition_p59_uniform_seed2"]
)
def test_the_first_answer_about_shipped_models_is_the_best_of_all_at_its_length(stem):
    """All of them: benchmarks/first_answer.py."""
    weights = ps.load_weights(WEIGHTS / f"{stem}.safetensors")
    task, _ = ps.task_of(weights)
    require_best(ps.best(weights, task), weights, task)


@pytest.mark.parametrize(("weights", "task"), MODELS)
def test_too_small_a_budget_names_the_smallest_that_works(weights, task):
    with pytest.raises(ps.Rejected, match=r"no strategy has a proof of at most 9 flops.* the shortest") as refusal:
        ps.prove(weights, task, budget=9)
    least = int(refusal.value.detail.split()[-1])
    assert ps.prove(weights, task, budget=least).cost.flops == least
    with pytest.raises(ps.Rejected, match=f"has {least}$"):
        ps.prove(weights, task, budget=least - 1)


@pytest.mark.parametrize(
    "stem", ["max4_v64_seed104", pytest.param("modular-addition_p59_uniform_seed0", marks=pytest.mark.slow)]
)
def test_it_is_named_without_a_search(stem, monkeypatch):
    """Costs are counted from shapes; of a model that ships in a second or two."""
    weights = ps.load_weights(WEIGHTS / f"{stem}.safetensors")
    task, _ = ps.task_of(weights)
    for kind in ps.STRATEGIES.values():
        if kind.name not in {"position-minima", "brute-force"}:
            monkeypatch.setattr(kind, "hints", lambda *_: pytest.fail("it searches"))
    with pytest.raises(ps.Rejected, match="the shortest, of "):
        ps.prove(weights, task, budget=100)


@pytest.mark.parametrize("name", sorted({*covering(), *covering("uniform"), *covering(claim="loss")}))
def test_no_proof_of_a_strategy_is_shorter_than_it_says(name):
    strategy = ps.STRATEGIES[name]()
    weights, task = MODELS[3] if strategy.rule in {"key-frequency", "sparse-output"} else MODELS[0]
    claim = strategy.claims[-1]
    least = strategy.least_flops(weights, Question(task, quantity=claim))
    assert 0 < least <= ps.prove(weights, task, strategy, claim=claim).cost.flops
    with pytest.raises(ps.Rejected, match=f"a budget of {least - 1} flops is too small.* {least}$"):
        ps.prove(weights, task, strategy, claim=claim, budget=least - 1)


def test_an_exact_count_within_a_budget_tries_as_many_prefixes_as_fit():
    weights, task = tiny_weights(1, k=4, planted=False), ps.MaxOfK(4, 5)
    least = ps.Exact().least_flops(weights, Question(task))
    whole = ps.prove(weights, task, ps.Exact())
    some = ps.prove(weights, task, ps.Exact(budget=(least + whole.cost.flops) // 2))
    none = ps.prove(weights, task, ps.Exact(budget=least))
    assert least == none.cost.flops < some.cost.flops <= (least + whole.cost.flops) // 2
    assert none.claim.correct <= some.claim.correct <= whole.claim.correct


@pytest.mark.slow
def test_longer_proofs_are_tried_until_one_says_more_than_guessing(monkeypatch):
    """Exponential moments are short here and say nothing; the short exact count is left out."""
    monkeypatch.setattr("pessimal.proving.frontier.Comparisons", lambda **_: ps.Cubic())
    weights = ps.load_weights(WEIGHTS / "flagged-element_k4_v64_seed0.safetensors")
    task, _ = ps.task_of(weights)
    said = []
    found = ps.best(weights, task, tell=said.append)
    assert found.budget == 2**27
    assert found.proof.claim.correct > found.proof.claim.total * 0.9
    assert [line.rpartition(" ")[2] for line in said] == [str(2**n) for n in (23, 25, 27)]
    assert "no more than guessing is proved" in said[0]


def test_where_nothing_is_short_the_budget_grows_at_once_to_what_fits(monkeypatch):
    monkeypatch.setattr(sys.modules["pessimal.proving.best"], "SOFTMAX_BUDGET", FIRST_BUDGET)
    monkeypatch.setattr("pessimal.proving.frontier.LayerCount", lambda budget: ps.LayerCake())
    weights = tiny_weights(0, k=4, d_vocab=24)
    task = TASKS["last-of-k"](k=4, d_vocab=24)
    said = []
    found = ps.best(weights, task, claim="loss", tell=said.append)
    assert len(said) == 1
    assert said[0].startswith(f"no proof has at most {FIRST_BUDGET} flops (the shortest, of layer-cake, has ")
    assert found.budget < 4 * found.proof.cost.flops


def test_a_machine_is_proved_as_quickly_as_the_task_that_it_equals():
    """Most of the time went into a proof of 122 million flops that nobody had asked for."""
    weights = tiny_weights(0, k=4, d_vocab=24)
    built_in = TASKS["min-of-k"](k=4, d_vocab=24)
    tables = built_in.machine()
    machine = CustomTask(4, 24, tables.start, tuple(map(tuple, tables.step.tolist())), tuple(tables.output.tolist()))
    lengths = {}
    for task in (built_in, machine):
        search = Frontier(weights, task)
        lengths[task.name] = min(
            least for one in search.strategies(2**23) if isinstance(least := search.least(one), int)
        )
    assert lengths["machine"] < 1.25 * lengths["min-of-k"]


@pytest.mark.slow
def test_a_search_that_is_out_of_time_makes_do_with_what_it_has():
    weights = ps.load_weights(WEIGHTS / "max4_v64_seed104.safetensors")
    task, said = ps.MaxOfK(4, 64), []
    begun = time.monotonic()
    found = ps.best(weights, task, budget=2**20, seconds=1.5, tell=said.append)
    assert time.monotonic() - begun < 6
    assert found.stopped
    assert said == ["stopped after 1.5 s: the best proof found by then"]
    assert ps.check(found.proof, weights)


def test_an_exact_count_that_takes_too_long_leaves_half_of_the_time_to_others(monkeypatch):
    def endless(strategy, weights, question, progress):
        while strategy.way == "search":
            time.sleep(0.01)
            progress(0, 1)
        raise ps.Rejected(ps.Reason.RESOURCES, "")

    weights, task = MODELS[0]
    enumerated = ps.prove(weights, task, ps.BruteForce())
    monkeypatch.setattr(ps.Comparisons, "hints", endless)
    found = ps.best(weights, task, seconds=2, tell=[].append)
    assert found.proof.claim.correct == enumerated.claim.correct
    assert [one.tried for one in found.attempts if one.strategy == "comparisons"] == [False]


@pytest.mark.slow
def test_without_time_there_is_no_proof(caplog):
    weights, task = MODELS[0]
    with pytest.raises(ps.Rejected, match="no proof of at most 2097152 flops was found in 1e-09 s"):
        ps.prove(weights, task, seconds=1e-9)
    with pytest.raises(ps.Rejected, match="it found no proof in 1e-09 s"):
        ps.prove(weights, task, ps.Exact(), seconds=1e-9)
    assert ps.prove(weights, task, seconds=60).claim.correct == ps.prove(weights, task).claim.correct
    assert not caplog.records
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(StrategyError, match="is not a time"):
            ps.prove(weights, task, seconds=seconds)


def test_the_alarm_waits_where_an_error_would_be_lost():
    class Dying:
        def __del__(self):
            time.sleep(0.2)

    deadline = Deadline(0.1)
    with pytest.raises(OutOfTimeError), deadline.running():  # noqa: PT012 - both, one after the other
        Dying()
        assert not deadline.passed
        time.sleep(5)
    assert deadline.passed
    with deadline.running():
        time.sleep(0.1)


def test_an_alarm_at_the_last_moment_leaves_nothing_set():
    """An error raised while the alarm is taken down would leave it set for whatever runs next."""
    for one in range(300):
        deadline = Deadline(1e-9)
        with pytest.raises(OutOfTimeError), deadline.running():  # noqa: PT012 - busy until about the time
            end = time.monotonic() + 0.0008 + one * 1e-6
            while time.monotonic() < end:
                pass
            deadline.ask()
        assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_alarm_waits_for_what_a_garbage_collection_calls():
    """Callbacks of the collection, and those of weak dictionaries, which are plain functions of a module."""
    gc.collect()

    def slow(_phase, _info):
        time.sleep(0.1)

    deadline = Deadline(0.1)
    gc.callbacks.append(slow)
    try:
        with pytest.raises(OutOfTimeError), deadline.running():  # noqa: PT012 - both, one after the other
            gc.collect()
            assert not deadline.passed
            time.sleep(5)
    finally:
        gc.callbacks.remove(slow)


def test_outside_the_main_thread_progress_asks():
    weights, task = tiny_weights(0, k=2), ps.MaxOfK(2, 5)
    found = []

    def work():
        with pytest.raises(ps.Rejected):
            ps.prove(weights, task, ps.PositionMinima(), seconds=1e-9)
        found.append(ps.prove(weights, task, seconds=60).strategy)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found


def test_progress_over_all_strategies_never_goes_back():
    weights, task = MODELS[0]
    shares = []
    ps.prove(weights, task, progress=lambda done, total: shares.append(done / total))
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1


def test_the_order_of_bounds_is_that_of_the_claim():
    weights, task = MODELS[0]
    lower = ps.prove(weights, task, ps.Cubic())
    exact = ps.prove(weights, task, ps.BruteForce())
    assert (rank(exact) < rank(lower)) == (exact.claim.correct > lower.claim.correct)
    tight = ps.prove(weights, task, ps.LayerCake(levels=8), claim="loss")
    loose = ps.prove(weights, task, ps.LayerCake(levels=2), claim="loss")
    assert (rank(tight) < rank(loose)) == (tight.claim.amount < loose.claim.amount)
