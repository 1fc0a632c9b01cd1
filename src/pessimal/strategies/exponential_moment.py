"""Exponential moments with searched tilts.

Contents:
    ExponentialMoment — a Chernoff bound per stratum.
    tables_flops — operations for the tables of all heads.
    moment_flops — proof length of a choice of options.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import ClassVar

from pessimal.kernel.arithmetic import CountingArithmetic
from pessimal.kernel.cost import blank_weights
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.heads import separable_heads
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.exponential_moment import ExponentialMomentRule
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS, n_groups
from pessimal.search.moments import MomentResult, MomentSearch, blank_hints, shortened
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import Markov
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks import MaxOfK
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy

DEFAULT_BUDGET = 2**21
# A chain's pass multiplies tokens by tokens.
CHAIN_BUDGET = 2**25
# Where that certifies less than nine tenths.
SECOND_BUDGET = 2**26
ENOUGH = 0.1
# Where nothing is as short as the default budget: this, or twice the shortest proof.
LONG_BUDGET = 2**28
# Relative growth of the estimated number of wrong sequences that a shorter proof may cost.
WORTH = 2.0**-8
# Up to this vocabulary every width of the band is considered, above in steps of a 64th of the vocabulary.
FINE_VOCABULARY = 128
Choice = tuple[str, str, int]


@dataclass(frozen=True)
class ExponentialMoment(AbstractStrategy):
    """Chernoff bound per stratum; options left open are chosen for the best bound within the budget.

    Attributes:
        rival: `plain`, `centred`, `joint` (one pessimal rival) or `every` (union over rivals).
        position: `each` position on its own, or one `pessimal` position for all.
        near: tokens closer to the target than this are treated one by one, the others as one worst term; left open,
            the narrowest band that loses nothing.
        least: smaller outputs are given up, which of Max-of-K with many positions are few sequences and many strata.
        budget: largest number of flops. Left open it is unlimited if the rival is named; otherwise 2**21 (2**25 for
            chains), then 2**26 where less than nine tenths were certified; where nothing is that short, 2**28 or twice
            the shortest.
        workers: threads of the search; they change nothing in the proof.

    Soundness: `kernel.rules.exponential_moment`, for every tilt.
    Cost: from about 2^20.4 flops at K = 4, v = 64, d = 32; counted over shapes.
    Source: new.
    """

    name: ClassVar[str] = "exponential-moment"
    rule: ClassVar[str] = "exponential-moment"
    asymptotic: ClassVar[str] = "O(v^2 (d + K near))"
    source: ClassVar[str] = "new"
    summary: ClassVar[str] = "Chernoff bound on wrong sequences per (query, target)"

    rival: str | None = None
    position: str | None = None
    near: int | None = None
    least: int = 0
    budget: int | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse words and numbers that the rule does not know."""
        self._require_words(rival=RIVALS, position=POSITIONS)
        self._require_numbers(1, None, "near", "workers")
        self._require_numbers(0, None, "least")

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """`long_hints` in 16 bits each."""
        return shortened(self.long_hints(weights, question, progress))

    def long_hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """The affordable choice of options with the smallest estimated number of wrong sequences, and its tilts."""
        search = MomentSearch(weights, question, self.workers)
        for budget in self._budgets(weights.architecture, question):
            best = self._best(search, self._affordable(weights.architecture, question, budget), progress)
            if best.total <= ENOUGH:
                break
        # A shorter proof at the same bound is the better explanation: narrow the band while it costs nothing.
        wrong = best.total
        while self.near is None and _has_far(question) and int(best.hints.options["near"]) > 1:
            narrower = {**best.hints.options, "near": max(1, int(best.hints.options["near"]) * 3 // 4)}
            trial = search.find(narrower, sampled=True)
            if trial.total > wrong * (1 + WORTH):
                break
            best = trial
        if best.sampled:
            best = search.find(dict(best.hints.options), progress=progress)
        return best.hints

    def least_flops(self, weights: Weights, question: Question) -> int:
        """Of the shortest proof with these options."""
        return min(self._least(weights.architecture, question, self.budget or DEFAULT_BUDGET).values())

    def _best(self, search: MomentSearch, choices: list[Choice], progress: Progress) -> MomentResult:
        """The choice with the fewest wrong sequences, on a sample of queries where there are many."""
        results = []
        settled = len(choices) == 1 and self.near is not None
        for done, (rival, position, near) in enumerate(choices):
            options: dict[str, str | int] = {"rival": rival, "position": position, "near": near, **self._given_up}
            results.append(search.find(options, sampled=not settled))
            progress(done + 1, len(choices))
        return min(results, key=lambda result: result.total)

    @property
    def _given_up(self) -> dict[str, str | int]:
        return {"least": self.least} if self.least else {}

    def _rivals(self, arch: Architecture) -> list[str]:
        if self.rival:
            return [self.rival]
        return ["centred", "every"] if arch.shape.n_heads > 1 else ["centred", "joint", "every"]

    def _pairs(self, arch: Architecture) -> list[tuple[str, str]]:
        return list(product(self._rivals(arch), [self.position] if self.position else list(POSITIONS)))

    def _narrowest(self, question: Question) -> int:
        return 1 if self.near is None and _has_far(question) else self._widest(question.task)

    def _widest(self, task: AbstractTask) -> int:
        return task.d_vocab if self.near is None else min(self.near, task.d_vocab)

    def _budgets(self, arch: Architecture, question: Question) -> list[int | None]:
        """Budgets to try, in order, each until enough is certified."""
        if self.budget is not None:
            return [self.budget]
        if self.rival is not None:
            return [None]
        # Rounding comes on top: the same options for either semantics.
        extra = tables_flops(arch, question.semantics) - tables_flops(arch, REAL)
        default = CHAIN_BUDGET if isinstance(question.distribution, Markov) else DEFAULT_BUDGET
        shortest = min(self._least(arch, question, default + extra).values())
        if shortest <= default + extra:
            return [default + extra, SECOND_BUDGET + extra]
        return [max(LONG_BUDGET + extra, 2 * shortest - extra)]

    def _least(self, arch: Architecture, question: Question, budget: int) -> dict[tuple[str, str], int]:
        """Length of the shortest proof of every pair; a lower bound where it is over the budget at a glance."""
        task = question.task
        near, strata = self._narrowest(question), strata_of(task).stratum_count
        least: dict[tuple[str, str], int] = {}
        for rival, position in self._pairs(arch):
            # At least one operation for every rival group; with joint margins, for every query, token and output.
            glance = n_groups(rival, arch.shape.d_vocab_out) * strata
            glance *= task.d_vocab if rival == "joint" else 1
            known = least and glance > max(budget, 2 * min(least.values()))
            least[rival, position] = (
                glance if known else moment_flops(arch, question, (rival, position, near), self._given_up)
            )
        return least

    def _affordable(self, arch: Architecture, question: Question, budget: int | None) -> list[Choice]:
        """Options within the budget; for an open `near`, the widest that fits.

        Raises:
            Rejected: resources, if nothing fits.
        """
        task = question.task
        narrowest, widest = self._narrowest(question), self._widest(task)
        if budget is None:
            return [(rival, position, widest) for rival, position in self._pairs(arch)]
        step = 1 if task.d_vocab <= FINE_VOCABULARY else task.d_vocab // 64
        least = self._least(arch, question, budget)
        choices = []
        for (rival, position), flops in least.items():
            if flops > budget:
                continue
            # The widest of narrowest, narrowest + step, .. that fits.
            low, high = 0, -(-(widest - narrowest) // step)
            while low < high:
                half = (low + high + 1) // 2
                choice = rival, position, min(widest, narrowest + half * step)
                fits = moment_flops(arch, question, choice, self._given_up) <= budget
                low, high = (half, high) if fits else (low, half - 1)
            choices.append((rival, position, min(widest, narrowest + low * step)))
        if self.budget is None:
            # Many rivals with a narrow band cost much and certify little.
            wide = [choice for choice in choices if choice[0] != "every" or 8 * choice[2] >= widest]
            choices = wide or choices
        if not choices:
            raise Rejected(
                Reason.RESOURCES, f"a budget of {budget} flops is too small: these options need {min(least.values())}"
            )
        return choices


def _has_far(question: Question) -> bool:
    """Whether the rule lumps far tokens."""
    return isinstance(question.task, MaxOfK) and not isinstance(question.distribution, Markov)


def tables_flops(arch: Architecture, semantics: str) -> int:
    """Operations for the tables of all heads."""
    arith = CountingArithmetic()
    separable_heads(blank_weights(arch), arith, semantics)
    return arith.tally.flops


def moment_flops(
    arch: Architecture, question: Question, choice: Choice, given_up: Mapping[str, str | int] = MappingProxyType({})
) -> int:
    """Proof length of a choice of options."""
    rival, position, near = choice
    hints = blank_hints(arch, question.task, {"rival": rival, "position": position, "near": near, **given_up})
    return ExponentialMomentRule().read(hints, arch, question).cost().flops
