"""The tightest proof of each length.

Contents:
    Frontier, within — the best proof that a budget allows, over all strategies.
    BUDGETS — powers of two from 2**18 to 2**26, in steps of a half.
"""

from pessimal.kernel.check import Limits
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.spec.architecture import UNIFORM
from pessimal.spec.distribution import AbstractDistribution
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights
from pessimal.strategies.band import Band
from pessimal.strategies.brute_force import BruteForce
from pessimal.strategies.cubic import Cubic
from pessimal.strategies.exact import Exact
from pessimal.strategies.exponential_moment import ExponentialMoment
from pessimal.strategies.grid_count import GridCount
from pessimal.strategies.interface import AbstractStrategy
from pessimal.strategies.key_frequency import KeyFrequency
from pessimal.strategies.position_minima import PositionMinima
from pessimal.strategies.proof import Proof, prove
from pessimal.strategies.sparse_output import FORMS, SparseOutput

BUDGETS = tuple(round(2 ** (half / 2)) for half in range(36, 53))
# Below this, counting every rival on its own is not worth trying.
GRID_COUNT_FROM = 2**24
PROFILES = (64, 96, 128)


class Frontier:
    """Proofs of one model within budgets; what does not depend on the budget is proved once."""

    def __init__(
        self,
        weights: Weights,
        task: AbstractTask,
        limits: Limits | None = None,
        *,
        distribution: AbstractDistribution | None = None,
        semantics: str = REAL,
    ) -> None:
        self.weights, self.task, self.limits = weights, task, limits
        self.distribution, self.semantics = distribution, semantics
        self._known: dict[AbstractStrategy, Proof | Rejected] = {}

    def _proof(self, strategy: AbstractStrategy) -> Proof | Rejected:
        if strategy not in self._known:
            try:
                self._known[strategy] = prove(
                    self.weights,
                    self.task,
                    strategy,
                    distribution=self.distribution,
                    semantics=self.semantics,
                    limits=self.limits,
                )
            except Rejected as refusal:
                self._known[strategy] = refusal
        return self._known[strategy]

    def _strategies(self, budget: int) -> list[AbstractStrategy]:
        """What may have a proof that short."""
        if self.weights.architecture.attention == UNIFORM:
            shared = [KeyFrequency(hidden="profiles", profiles=n) for n in PROFILES]
            return [KeyFrequency(), *shared, *(SparseOutput(form=form) for form in FORMS), BruteForce()]
        if self.weights.architecture.shape.d_mlp:
            return [BruteForce()]
        short = [Band(budget=budget), ExponentialMoment(budget=budget), PositionMinima(), Cubic()]
        return short + ([GridCount(), Exact()] if budget >= GRID_COUNT_FROM else [])

    def within(self, budget: int, progress: Progress = no_progress) -> Proof:
        """The proof with the largest bound among those of at most `budget` flops; the shorter one of two equals.

        Strategies that do not cover the model are passed over.

        Raises:
            Rejected: no strategy has a proof that short.
            TaskError: the task does not fit the model.
            DistributionError: the distribution does not fit the task.
        """
        strategies = self._strategies(budget)
        found = []
        for done, strategy in enumerate(strategies):
            found.append(self._proof(strategy))
            progress(done + 1, len(strategies))
        short = [one for one in found if isinstance(one, Proof) and one.cost.flops <= budget]
        if short:
            return max(short, key=lambda proof: (proof.claim.correct, -proof.cost.flops))
        if all(isinstance(one, Rejected) and one.reason is not Reason.RESOURCES for one in found):
            raise next(one for one in found if isinstance(one, Rejected))
        raise Rejected(Reason.RESOURCES, f"no strategy has a proof of at most {budget} flops for this model")


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


__all__ = ["BUDGETS", "Frontier", "within"]
