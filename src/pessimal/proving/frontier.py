"""The tightest proof of each length.

Contents:
    Frontier, within — the best proof that a budget allows, over all strategies.
    Attempt — what became of one strategy within a budget.
    within_budget, rank — proofs of at most so many flops, the best first.
    is_exact — whether a proof is of the exact count.
    described — a strategy in words.
    BUDGETS — powers of two from 2**18 to 2**26, in steps of a half.
"""

import time
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from math import inf

from pessimal.kernel.check import Limits
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.proving.deadline import Deadline
from pessimal.proving.proof import Proof, prove
from pessimal.spec.architecture import UNIFORM
from pessimal.spec.claim import ACCURACY
from pessimal.spec.distribution import AbstractDistribution, usual_distribution
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights
from pessimal.strategies import (
    AbstractStrategy,
    Band,
    BruteForce,
    Comparisons,
    Cubic,
    Exact,
    ExponentialMoment,
    GridCount,
    KeyFrequency,
    LayerCake,
    LayerCount,
    OutOfTimeError,
    PositionMinima,
    SparseOutput,
)
from pessimal.strategies.sparse_output import FORMS

BUDGETS = tuple(round(2 ** (half / 2)) for half in range(36, 53))
PROFILES = (64, 96, 128)
PARTS = 10_000
# Operations that a term takes where all rivals are counted at once: of that many are as many as of rivals by stratum.
TERM = 6
# Usual shares of the time that a search over all strategies takes.
SHARES = {"band": 8, "exponential-moment": 3, "grid-count": 8, "exact": 4, "comparisons": 4}
# Those that count exactly if their work suffices.
EXACT = {"brute-force", "comparisons", "exact"}


@dataclass(frozen=True)
class Attempt:
    """What became of one strategy within a budget.

    Attributes:
        strategy: its name, and the options by which it differs from others of this name.
        found: the proof, or why there is none.
        seconds: how long it took.
        unfinished: whether the time was up before its search was done.
        tried: whether it was run: not if its proofs are too long by their shapes alone, or do not cover the model.
    """

    strategy: str
    found: Proof | Rejected
    seconds: float
    unfinished: bool = False
    tried: bool = True


class Frontier:
    """Proofs of one model within budgets; what does not depend on the budget is proved once.

    Attributes:
        shortest: flops of the shortest proof known of, and its strategy; None before `within` has looked.
    """

    def __init__(
        self,
        weights: Weights,
        task: AbstractTask,
        limits: Limits | None = None,
        *,
        distribution: AbstractDistribution | None = None,
        claim: str = ACCURACY,
        semantics: str = REAL,
        deadline: Deadline | None = None,
    ) -> None:
        """Raise `TaskError` or `DistributionError` if the question does not fit the model."""
        self.weights, self.limits, self.deadline = weights, limits, deadline or Deadline(None)
        task.require_fits(weights.architecture)
        self.question = Question(task, distribution or usual_distribution(task), semantics, claim)
        self.question.distribution.require_fits(task)
        self.shortest: tuple[int, str] | None = None
        self._known: dict[AbstractStrategy, Attempt] = {}
        self._least: dict[AbstractStrategy, int | Rejected] = {}
        self._given_up: set[str] = set()

    def strategies(self, budget: int) -> list[AbstractStrategy]:
        """What may have a proof that short, in the order to try."""
        if self.question.quantity != ACCURACY:
            return [LayerCount(budget=budget), LayerCake()]
        if self.weights.architecture.attention == UNIFORM:
            shared = [KeyFrequency(hidden="profiles", profiles=n, budget=budget) for n in PROFILES]
            sparse = [SparseOutput(form=form, budget=budget) for form in FORMS]
            return [KeyFrequency(budget=budget), *shared, *sparse, BruteForce()]
        if self.weights.architecture.shape.d_mlp:
            return [BruteForce()]
        # Exact counts first: nothing says more. Then the band: when the time is up it makes do with what it has found.
        exact = [Comparisons(budget=budget), BruteForce(), Exact(budget=budget)]
        short = [Band(budget=budget), Cubic(), ExponentialMoment(budget=budget), PositionMinima()]
        once = [Comparisons(way="at-once", budget=budget)] if TERM * self._glance <= budget else []
        long = [Comparisons(way="order", budget=budget), GridCount()] if self._glance <= budget else []
        return [*exact, *short, *once, *long]

    @cached_property
    def _glance(self) -> int | float:
        """Operations that counting every rival on its own takes at least: one for each stratum and position."""
        try:
            strata: int = strata_of(self.question.task).stratum_count
        except Rejected:
            return inf
        return self.weights.architecture.shape.d_vocab_out * strata * max(1, self.question.task.k - 1)

    def exact(self, budget: int, progress: Progress, deadline: Deadline) -> Attempt | None:
        """What becomes of the shortest way to the exact count; None if it covers no such model and question.

        If it takes too long, it is not tried again.
        """
        strategy = Comparisons(budget=budget)
        least = Rejected(Reason.UNSUPPORTED_MODEL, "") if self.question.quantity != ACCURACY else self.least(strategy)
        if isinstance(least, Rejected) or least > budget:
            return None
        reached = 0.0

        def told(done: int, total: int) -> None:
            # A search that begins anew does not take back what was told.
            nonlocal reached
            reached = max(reached, done / total)
            progress(round(reached * PARTS), PARTS)

        attempt = self._attempt(strategy, told, deadline)
        if attempt.unfinished:
            self._given_up.add(attempt.strategy)
        return attempt

    def attempts(self, budget: int, progress: Progress = no_progress) -> Iterator[Attempt]:
        """What becomes of every strategy, one by one, until the time is up.

        Those whose proofs are longer by their shapes alone are not run. Once the exact count is known, only what
        counts exactly in fewer flops is.
        """
        strategies = self.strategies(budget)
        shares = [SHARES.get(one.name, 1) for one in strategies]
        exact: int | None = None
        reached = 0.0
        for place, strategy in enumerate(strategies):
            if self.deadline.over():
                return
            least = self.least(strategy)
            before, share, all_shares = sum(shares[:place]), shares[place], sum(shares)

            def told(done: int, total: int, before: int = before, share: int = share) -> None:
                # A search that begins anew does not take back what was told.
                nonlocal reached
                reached = max(reached, (before + share * done / total) / all_shares)  # noqa: B023 - the same throughout
                progress(round(reached * PARTS), PARTS)

            if isinstance(least, Rejected):
                yield Attempt(described(strategy), least, 0.0, tried=False)
            elif described(strategy) in self._given_up:
                needs = f"{described(strategy)} took too long"
                yield Attempt(described(strategy), Rejected(Reason.RESOURCES, needs), 0.0, tried=False)
            elif exact is not None and not (strategy.name in EXACT and least < exact):
                needs = f"the exact count is known, in {exact} flops"
                yield Attempt(described(strategy), Rejected(Reason.RESOURCES, needs), 0.0, tried=False)
            elif least > budget:
                needs = f"{strategy.name} needs at least {least} flops"
                yield Attempt(described(strategy), Rejected(Reason.RESOURCES, needs), 0.0, tried=False)
            else:
                attempt = self._attempt(strategy, told)
                if isinstance(attempt.found, Proof) and is_exact(attempt.found):
                    exact = min(attempt.found.cost.flops, exact or attempt.found.cost.flops)
                yield attempt
            told(1, 1)

    def least(self, strategy: AbstractStrategy) -> int | Rejected:
        """`AbstractStrategy.least_flops`, or why there is no proof."""
        if strategy not in self._least:
            found: int | Rejected
            try:
                RULES[strategy.rule].require_covers(self.weights, self.question)
                found = strategy.least_flops(self.weights, self.question)
                self._note(found, strategy)
            except Rejected as refusal:
                found = refusal
            self._least[strategy] = found
        return self._least[strategy]

    def _note(self, flops: int, strategy: AbstractStrategy) -> None:
        """Keep the shortest length; grids and prefixes only make a proof longer than one of another strategy."""
        if flops and (self.shortest is None or flops < self.shortest[0]):
            self.shortest = flops, strategy.name

    def _attempt(self, strategy: AbstractStrategy, progress: Progress, deadline: Deadline | None = None) -> Attempt:
        deadline = deadline or self.deadline
        if strategy in self._known:
            return self._known[strategy]
        started, label = time.monotonic(), described(strategy)
        found: Proof | Rejected
        try:
            found = prove(
                self.weights,
                self.question.task,
                strategy,
                distribution=self.question.distribution,
                claim=self.question.quantity,
                semantics=self.question.semantics,
                limits=self.limits,
                progress=deadline.asking(progress),
            )
        except Rejected as refusal:
            found = refusal
        except OutOfTimeError:
            found = Rejected(Reason.RESOURCES, f"{label} was not done when the time was up")
        attempt = Attempt(label, found, time.monotonic() - started, deadline.passed)
        if isinstance(found, Proof):
            self._note(found.cost.flops, strategy)
        if not attempt.unfinished:
            self._known[strategy] = attempt
        return attempt

    def within(self, budget: int, progress: Progress = no_progress) -> Proof:
        """The proof with the largest bound among those of at most `budget` flops; the shorter one of two equals.

        Strategies that do not cover the model are passed over.

        Raises:
            Rejected: no strategy has a proof that short.
        """
        attempts = list(self.attempts(budget, progress))
        proofs = within_budget(attempts, budget)
        if proofs:
            return proofs[0]
        raise self.refusal(attempts, budget)

    def refusal(self, attempts: list[Attempt], budget: int) -> Rejected:
        """Why there is no proof within a budget: the first reason if none has to do with its length."""
        refusals = [one.found for one in attempts if isinstance(one.found, Rejected)]
        if len(refusals) == len(attempts) and all(one.reason is not Reason.RESOURCES for one in refusals):
            return refusals[0]
        tried = [one.found for one in attempts if one.tried and isinstance(one.found, Rejected)]
        if tried and self.shortest is not None and self.shortest[0] <= budget:
            return tried[0]
        known = f"; the shortest, of {self.shortest[1]}, has {self.shortest[0]}" if self.shortest else ""
        if self.shortest is None and refusals:
            # No length is known: what each of them says is all there is to say.
            known = "".join(
                f"; {one.strategy}: {one.found.detail}" for one in attempts if isinstance(one.found, Rejected)
            )
        return Rejected(Reason.RESOURCES, f"no strategy has a proof of at most {budget} flops for this model{known}")


def within_budget(attempts: list[Attempt], budget: int) -> list[Proof]:
    """Proofs of at most so many flops, the best first; the shorter one of two equals."""
    found = [one.found for one in attempts if isinstance(one.found, Proof) and one.found.cost.flops <= budget]
    return sorted(found, key=rank)


def rank(proof: Proof) -> tuple[int, int]:
    """Smaller is better: the bound, which for a loss is the smaller the better, then the length."""
    claim = proof.claim
    return (-claim.amount if claim.follows(claim.amount + 1) else claim.amount), proof.cost.flops


def described(strategy: AbstractStrategy) -> str:
    """A strategy's name, and its options that are not what they are by themselves, budgets apart."""
    own = [f for f in fields(strategy) if f.name != "budget"]  # type: ignore[arg-type]
    words = [
        f"{f.name}={getattr(strategy, f.name)}"
        for f in own
        if f.default is MISSING or getattr(strategy, f.name) != f.default
    ]
    return " ".join([strategy.name, *words])


def is_exact(proof: Proof) -> bool:
    """Whether no more sequences are right than the claim says, as far as the proof knows."""
    at_most = proof.claim.total if proof.correct_at_most is None else proof.correct_at_most
    return proof.claim.amount == at_most


def within(
    weights: Weights,
    task: AbstractTask,
    budget: int,
    *,
    distribution: AbstractDistribution | None = None,
    semantics: str = REAL,
    limits: Limits | None = None,
    progress: Progress = no_progress,
) -> Proof:
    """`Frontier.within` for one budget."""
    search = Frontier(weights, task, limits, distribution=distribution, semantics=semantics)
    return search.within(budget, progress)


__all__ = ["BUDGETS", "Attempt", "Frontier", "described", "rank", "within", "within_budget"]
