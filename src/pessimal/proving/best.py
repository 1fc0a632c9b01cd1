"""The first answer: the best short proof, over all strategies.

The exact count, if it fits 2**24 flops; otherwise what fits 2**21 is tried, and where nothing does, or nothing says
more than guessing would, 2**23, 2**25 and so on.
Claims about the softmax begin at 2**31: what is shorter says little.

Contents:
    best — the best proof of a model, with what else was tried.
    Best — that.
    prove_within — the proof of one strategy, within a budget and a time.
    EXACT_BUDGET, FIRST_BUDGET, SOFTMAX_BUDGET — for the exact count, where it begins otherwise, and for claims about
        the softmax.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pessimal.kernel.check import Limits
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.proving.deadline import Deadline
from pessimal.proving.frontier import Attempt, Frontier, is_exact, rank, within_budget
from pessimal.proving.proof import Proof, prove
from pessimal.spec.claim import ACCURACY, decimal_down
from pessimal.spec.distribution import AbstractDistribution, usual_distribution
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy, OutOfTimeError

EXACT_BUDGET = 2**24
FIRST_BUDGET = 2**21
STEP = 4
# Up to this, which enumerates four tokens of 64, better than guessing is looked for.
LAST_BUDGET = 2**31
# Within this, models of four tokens of 64 have a proof that counts rival by rival.
SOFTMAX_BUDGET = 2**31


@dataclass(frozen=True)
class Best:
    """The best proof that was found, and what else was.

    Attributes:
        proof: it.
        budget: largest number of flops that was allowed in the end.
        attempts: what became of every strategy within that budget.
        stopped: whether the time was up before all were tried.
    """

    proof: Proof
    budget: int
    attempts: tuple[Attempt, ...]
    stopped: bool

    @property
    def runners_up(self) -> list[Attempt]:
        """The other proofs within the budget, the best first."""
        others = [one for one in self.attempts if isinstance(one.found, Proof) and one.found is not self.proof]
        short = [one for one in others if isinstance(one.found, Proof) and one.found.cost.flops <= self.budget]
        return sorted(short, key=lambda one: rank(one.found) if isinstance(one.found, Proof) else (0, 0))


def best(  # noqa: PLR0913 - the words of a question, of a budget and of the run
    weights: Weights,
    task: AbstractTask,
    *,
    budget: int | None = None,
    seconds: int | float | None = None,
    distribution: AbstractDistribution | None = None,
    claim: str = ACCURACY,
    semantics: str = REAL,
    limits: Limits | None = None,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda _: None,
) -> Best:
    """The best proof that a budget allows, over all strategies.

    Args:
        weights: the model.
        task: what it should compute.
        budget: largest number of flops; left out, 2**24 for the exact count, otherwise 2**21 (2**31 for claims about
            the softmax), and four times as many as long as nothing is found that says more than guessing would.
        seconds: after this time the search stops, and the best proof so far is it; at most half of it goes into the
            exact count where no budget is given.
        distribution: as for `prove`.
        claim: as for `prove`.
        semantics: as for `prove`.
        limits: as for `prove`.
        progress: called with (done, total), for each budget anew.
        tell: takes a sentence when a larger budget is tried.

    Raises:
        Rejected: there is no proof within the budget, the time or the limits.
        TaskError: the task does not fit the model.
        DistributionError: the distribution does not fit the task.
    """
    deadline, limits = Deadline(seconds), limits or Limits()
    search = Frontier(
        weights, task, limits, distribution=distribution, claim=claim, semantics=semantics, deadline=deadline
    )
    counted = _exact(search, progress, tell) if budget is None else None
    if counted is not None:
        return counted
    allowed, kept = budget or (FIRST_BUDGET if claim == ACCURACY else SOFTMAX_BUDGET), None
    while True:
        attempts = _attempts(search, allowed, progress)
        stopped = deadline.passed or len(attempts) < len(search.strategies(allowed))
        proofs = within_budget(attempts, allowed)
        if proofs and (kept is None or rank(proofs[0]) < rank(kept.proof)):
            kept = Best(proofs[0], allowed, tuple(attempts), stopped)
        if stopped or budget is not None or not _goes_on(kept, attempts, allowed, task, limits):
            break
        after = STEP * allowed
        while kept is None and search.shortest is not None and after < search.shortest[0]:
            after *= STEP
        tell(_why_more(kept, search, allowed, after))
        allowed = after
    if kept is not None:
        return replace(kept, stopped=stopped)
    if stopped:
        raise Rejected(Reason.RESOURCES, f"no proof of at most {allowed} flops was found in {seconds} s")
    raise search.refusal(attempts, allowed)


def _exact(search: Frontier, progress: Progress, tell: Callable[[str], None]) -> Best | None:
    """The exact count, if it is short; half of the time is left to what says less."""
    deadline = search.deadline.half()
    try:
        with deadline.running():
            attempt = search.exact(EXACT_BUDGET, progress, deadline)
    except OutOfTimeError:
        attempt = None
    if attempt is not None and isinstance(attempt.found, Proof) and is_exact(attempt.found):
        return Best(attempt.found, EXACT_BUDGET, (attempt,), stopped=False)
    if attempt is not None and not deadline.passed:
        tell(f"no exact count takes at most {EXACT_BUDGET} flops; trying what says less within {FIRST_BUDGET}")
    return None


def _goes_on(kept: Best | None, attempts: list[Attempt], allowed: int, task: AbstractTask, limits: Limits) -> bool:
    """Whether longer proofs are worth a try: none was found, or none that says more than guessing would."""
    if kept is not None:
        claim = kept.proof.claim
        # One output for all inputs is right on that many on average.
        guessed = claim.quantity == ACCURACY and claim.amount * task.n_outputs <= claim.total
        return guessed and not is_exact(kept.proof) and allowed < LAST_BUDGET
    longer = any(
        isinstance(one.found, Proof) or (not one.tried and one.found.reason is Reason.RESOURCES) for one in attempts
    )
    return longer and allowed < limits.max_ops


def _why_more(kept: Best | None, search: Frontier, allowed: int, after: int) -> str:
    """A sentence on why a larger budget is tried."""
    if kept is not None:
        share = decimal_down(kept.proof.claim.value)
        return f"within {allowed} flops no more than guessing is proved ({share}); trying {after}"
    shortest = f" (the shortest, of {search.shortest[1]}, has {search.shortest[0]})" if search.shortest else ""
    return f"no proof has at most {allowed} flops{shortest}; trying {after}"


def _attempts(search: Frontier, budget: int, progress: Progress) -> list[Attempt]:
    """Those before the time is up."""
    found: list[Attempt] = []
    try:
        with search.deadline.running():
            for attempt in search.attempts(budget, progress):
                found.append(attempt)  # noqa: PERF402 - what was found before stays
    except OutOfTimeError:
        return found
    return found


def prove_within(  # noqa: PLR0913 - the words of a question, of a budget and of the run
    weights: Weights,
    task: AbstractTask,
    strategy: AbstractStrategy,
    *,
    budget: int | None = None,
    seconds: int | float | None = None,
    distribution: AbstractDistribution | None = None,
    claim: str = ACCURACY,
    semantics: str = REAL,
    limits: Limits | None = None,
    progress: Progress = no_progress,
) -> tuple[Proof, bool]:
    """The proof of one strategy, and whether its search was stopped before it was done.

    Args:
        weights: the model.
        task: what it should compute.
        strategy: how to prove it; one with a budget of its own searches within this one.
        budget: largest number of flops.
        seconds: after this time the search stops; a strategy that has found something by then makes do with it.
        distribution: as for `prove`.
        claim: as for `prove`.
        semantics: as for `prove`.
        limits: as for `prove`.
        progress: called with (done, total).

    Raises:
        Rejected: as for `prove`, or there is no proof within the budget or the time.
    """
    deadline = Deadline(seconds)
    if budget is not None:
        task.require_fits(weights.architecture)
        question = Question(task, distribution or usual_distribution(task), semantics, claim)
        RULES[strategy.rule].require_covers(weights, question)
        if "budget" in strategy.option_names():
            strategy = replace(strategy, budget=budget)  # type: ignore[type-var]
        least = strategy.least_flops(weights, question)
        if least > budget:
            raise Rejected(Reason.RESOURCES, f"a budget of {budget} flops is too small: it needs at least {least}")
    try:
        with deadline.running():
            proof = prove(
                weights,
                task,
                strategy,
                distribution=distribution,
                claim=claim,
                semantics=semantics,
                limits=limits,
                progress=deadline.asking(progress),
            )
    except OutOfTimeError:
        raise Rejected(Reason.RESOURCES, f"it found no proof in {seconds} s") from None
    if budget is not None and proof.cost.flops > budget:
        raise Rejected(Reason.RESOURCES, f"the proof needs {proof.cost.flops} flops, over the budget of {budget}")
    return proof, deadline.passed
