"""R2: exponential moment with searched tilts."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import ClassVar

from pessimal.kernel.hints import Hints
from pessimal.kernel.model.heads import separable_heads_flops
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.exponential_moment import ExponentialMomentRule
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.options import POSITIONS
from pessimal.kernel.terms.rivals import RIVALS, n_problems
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import Markov
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks import MaxOfK
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy
from pessimal.strategies.moment_search import Found, MomentSearch, blank_hints, shortened

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
        rival: `plain`, `centred`, `joint` (one pessimal rival, R5) or `every` (union over rivals, R4).
        position: `each` position on its own, or one `pessimal` position for all (R6).
        near: tokens closer to the target than this are treated one by one, the others as one worst term; left open,
            the narrowest band that loses nothing.
        budget: largest number of flops. Left open it is unlimited if the rival is named; otherwise 2**21 (2**25 for
            chains), then 2**26 where less than nine tenths were certified; where nothing is that short, 2**28 or twice
            the shortest.
        workers: threads of the search; they change nothing in the proof.

    Soundness: `kernel.rules.exponential_moment`, for every tilt.
    Cost: from about 2^20.4 flops at K = 4, v = 64, d = 32; see `kernel.cost.exponential_moment_cost`.
    Source: new (R2 with R4, R5, R6 and far tokens).
    """

    name: ClassVar[str] = "exponential-moment"
    rule: ClassVar[str] = "exponential-moment"
    asymptotic: ClassVar[str] = "O(v^2 (d + K near))"
    source: ClassVar[str] = "new (R2, R4-R6)"
    summary: ClassVar[str] = "Chernoff bound on wrong sequences per (query, target)"

    rival: str | None = None
    position: str | None = None
    near: int | None = None
    budget: int | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse unknown words."""
        self._require_words(rival=RIVALS, position=POSITIONS)
        self._require_numbers(1, None, "near", "workers")

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

    def _best(self, search: MomentSearch, choices: list[Choice], progress: Progress) -> Found:
        """The choice with the fewest wrong sequences, on a sample of queries where there are many."""
        found = []
        settled = len(choices) == 1 and self.near is not None
        for done, (rival, position, near) in enumerate(choices):
            options: dict[str, str | int] = {"rival": rival, "position": position, "near": near}
            found.append(search.find(options, sampled=not settled))
            progress(done + 1, len(choices))
        return min(found, key=lambda one: one.total)

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
        extra = separable_heads_flops(arch, question.semantics)[0] - separable_heads_flops(arch, REAL)[0]
        default = CHAIN_BUDGET if isinstance(question.distribution, Markov) else DEFAULT_BUDGET
        shortest = min(self._least(arch, question, default + extra).values())
        if shortest <= default + extra:
            return [default + extra, SECOND_BUDGET + extra]
        return [max(LONG_BUDGET + extra, 2 * shortest - extra)]

    def _least(self, arch: Architecture, question: Question, budget: int) -> dict[tuple[str, str], int]:
        """Length of the shortest proof of every pair; a lower bound where it is over the budget at a glance."""
        task = question.task
        near, strata = self._narrowest(question), strata_of(task).number
        least: dict[tuple[str, str], int] = {}
        for rival, position in self._pairs(arch):
            # At least one operation for every problem; with joint margins, for every query, token and output.
            glance = n_problems(rival, arch.shape.d_vocab_out) * strata
            glance *= task.d_vocab if rival == "joint" else 1
            known = least and glance > max(budget, 2 * min(least.values()))
            least[rival, position] = glance if known else moment_flops(arch, question, rival, position, near)
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
                fits = moment_flops(arch, question, rival, position, min(widest, narrowest + half * step)) <= budget
                low, high = (half, high) if fits else (low, half - 1)
            choices.append((rival, position, min(widest, narrowest + low * step)))
        if self.budget is None:
            # Many rivals with a narrow band cost much and certify little.
            wide = [one for one in choices if one[0] != "every" or 8 * one[2] >= widest]
            choices = wide or choices
        if not choices:
            raise Rejected(
                Reason.RESOURCES, f"a budget of {budget} flops is too small: these options need {min(least.values())}"
            )
        return choices


def _has_far(question: Question) -> bool:
    """Whether the rule lumps far tokens."""
    return isinstance(question.task, MaxOfK) and not isinstance(question.distribution, Markov)


@lru_cache(maxsize=256)
def moment_flops(arch: Architecture, question: Question, rival: str, position: str, near: int) -> int:
    """Proof length of a choice of options."""
    hints = blank_hints(arch, question.task, {"rival": rival, "position": position, "near": near})
    return ExponentialMomentRule().cost(arch, question, hints).flops
