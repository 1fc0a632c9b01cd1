"""R2: exponential moment with searched tilts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import prod
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.heads import separable_heads, separable_heads_flops
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.exponential_moment import TILTS, ExponentialMomentRule
from pessimal.kernel.rules.interface import Hints, Progress
from pessimal.kernel.rules.rivals import RIVALS, make_rivals, n_problems
from pessimal.kernel.rules.terms import POSITIONS, THRESHOLDS, StratumTerms, TermBuilder, TermOptions, all_terms
from pessimal.kernel.strata import strata_of
from pessimal.kernel.weighing import weighing_of
from pessimal.search.thresholds import equal_slack, typical_margins
from pessimal.search.tilts import TiltProblem, best_tilts, coarse_tilts, join, quantise
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import Markov, Product
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.semantics import REAL
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks import MaxOfK
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy, StrategyError
from pessimal.strategies.midpoints import middle

DEFAULT_BUDGET = 2**21
# A chain's pass multiplies tokens by tokens.
CHAIN_BUDGET = 2**25
# Relative growth of the estimated number of wrong sequences that a shorter proof may cost.
WORTH = 2.0**-8
# Terms searched at once: a few arrays of this many floats are alive.
MOST_TERMS = 1 << 20


@dataclass(frozen=True)
class ExponentialMoment(AbstractStrategy):
    """Chernoff bound per stratum; options left open are chosen for the best bound within the budget.

    Attributes:
        rival: `plain`, `centred`, `joint` (one pessimal rival, R5) or `every` (union over rivals, R4).
        position: `each` position on its own, or one `pessimal` position for all (R6).
        near: tokens closer to the target than this are treated one by one, the others as one worst term; left open,
            the narrowest band that loses nothing.
        budget: largest number of flops. Left open it is 2**21 (2**25 for chains) while the rival is open too and
            something fits, and unlimited otherwise.

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

    def __post_init__(self) -> None:
        """Refuse unknown words."""
        for field, allowed in (("rival", RIVALS), ("position", POSITIONS)):
            value = getattr(self, field)
            if value is not None and value not in allowed:
                raise StrategyError(f"option {field}={value!r} is not one of {', '.join(allowed)}")
        if self.near is not None and self.near < 1:
            raise StrategyError("option near must be at least 1")

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """The affordable choice of options with the smallest estimated number of wrong sequences, and its tilts."""
        arith = Float64Arithmetic()
        with arith.running():
            choices = self._affordable(weights.architecture, question)
            found = []
            for done, (rival, position, near) in enumerate(choices):
                found.append(_search(weights, arith, question, {"rival": rival, "position": position, "near": near}))
                progress(done + 1, len(choices))
            wrong, hints = min(found, key=lambda one: one[0])
            # A shorter proof at the same bound is the better explanation: narrow the band while it costs nothing.
            while self.near is None and _has_far(question) and int(hints.options["near"]) > 1:
                narrower = {**hints.options, "near": max(1, int(hints.options["near"]) * 3 // 4)}
                trial = _search(weights, arith, question, narrower)
                if trial[0] > wrong * (1 + WORTH):
                    break
                hints = trial[1]
        return hints

    def _affordable(self, arch: Architecture, question: Question) -> list[tuple[str, str, int]]:
        """Option triples within the budget; for an open `near`, the widest that fits."""
        task = question.task
        default = CHAIN_BUDGET if isinstance(question.distribution, Markov) else DEFAULT_BUDGET
        budget = default if self.budget is None and self.rival is None else self.budget
        if budget is not None and self.budget is None:
            # Rounding comes on top: the same options for either semantics.
            budget += separable_heads_flops(arch, question.semantics)[0] - separable_heads_flops(arch, REAL)[0]
        widest = task.d_vocab if self.near is None else min(self.near, task.d_vocab)
        narrowest = 1 if self.near is None and _has_far(question) else widest
        rivals = [self.rival] if self.rival else ["centred", "joint", "every"]
        if arch.shape.n_heads > 1 and not self.rival:
            rivals.remove("joint")
        pairs = list(product(rivals, [self.position] if self.position else list(POSITIONS)))
        if budget is None:
            return [(rival, position, widest) for rival, position in pairs]
        triples = []
        least = []
        for rival, position in pairs:
            least.append(moment_flops(arch, question, rival, position, narrowest))
            if least[-1] <= budget:
                low, high = narrowest, widest
                while low < high:
                    half = (low + high + 1) // 2
                    fits = moment_flops(arch, question, rival, position, half) <= budget
                    low, high = (half, high) if fits else (low, half - 1)
                triples.append((rival, position, low))
        if not triples and self.budget is None:
            return [(rival, position, widest) for rival, position in pairs]
        if not triples:
            raise Rejected(
                Reason.RESOURCES, f"a budget of {budget} flops is too small: these options need {min(least)}"
            )
        return triples


def _has_far(question: Question) -> bool:
    """Whether the rule lumps far tokens."""
    return isinstance(question.task, MaxOfK) and not isinstance(question.distribution, Markov)


@lru_cache(maxsize=256)
def moment_flops(arch: Architecture, question: Question, rival: str, position: str, near: int) -> int:
    """Proof length of a choice of options."""
    hints = blank_hints(arch, question.task, {"rival": rival, "position": position, "near": near})
    return ExponentialMomentRule().cost(arch, question, hints).flops


def blank_hints(arch: Architecture, task: AbstractTask, options: dict[str, str | int]) -> Hints:
    """Hints of the right form, all zero."""
    heads, problems = arch.shape.n_heads, n_problems(str(options["rival"]), arch.shape.d_vocab_out)
    number = strata_of(task).number
    arrays = {name: np.zeros((heads * problems, number), dtype=np.int64) for name in TILTS}
    if heads > 1:
        arrays |= {name: np.zeros((heads - 1, problems, number), dtype=np.int64) for name in THRESHOLDS}
    return Hints(options, arrays)


def _search(
    weights: Weights, arith: Float64Arithmetic, question: Question, options: dict[str, str | int]
) -> tuple[float, Hints]:
    """Estimated number of wrong sequences (as a fraction of all) and the hints that give it."""
    wrong, hints = search_tilts(weights, arith, question, options)
    weighing, whole, total = weighing_of(question), question.total(), 0.0
    by_stratum = wrong.sum(0)
    for q, y in np.argwhere(weighing.strata.place >= 0).tolist():
        total += min(weighing.stratum(q, y) / whole, float(by_stratum[weighing.strata.place[q, y]]))
    return total, hints


def search_tilts(
    weights: Weights,
    arith: Float64Arithmetic,
    question: Question,
    options: dict[str, str | int],
    *,
    coarse: bool = False,
    level: tuple[int, int] | None = None,
) -> tuple[Float[np.ndarray, "problems strata"], Hints]:
    """Estimated wrong sequences of every problem and stratum (as a fraction of all), and the best tilts.

    With a level, a mantissa and an exponent, wrong means that the margin is at most that.
    """
    task, shape = question.task, weights.architecture.shape
    hints = blank_hints(weights.architecture, task, options)
    if shape.n_heads > 1:
        hints = Hints(options, {**hints.arrays, **_thresholds(weights, arith, question, options)})
    read = TermOptions.read(hints, task, shape.n_heads, shape.d_vocab_out)
    mantissa, exponent = (hints.arrays[name] for name in TILTS)
    wrong = np.zeros(mantissa.shape)
    chances = log_chances(question)
    whole = 0.0 if chances is not None else task.k * np.log(task.d_vocab)
    lowered = None if level is None else arith.dyadic(*(np.array([part]) for part in level)).reshape(1, 1)
    terms = all_terms(TermBuilder(weights, question, read, arith), lowered)
    for head, number, problem in _joined(terms, chances):
        tilts, log_bound = (coarse_tilts if coarse else best_tilts)(problem)
        place = (slice(head * read.problems, (head + 1) * read.problems), number)
        mantissa[place], exponent[place] = quantise(tilts)
        with np.errstate(all="ignore"):
            wrong[place] = np.exp(log_bound - whole)
    return wrong, hints


def _thresholds(
    weights: Weights, arith: Float64Arithmetic, question: Question, options: dict[str, str | int]
) -> dict[str, np.ndarray]:
    """Thresholds of all heads but the last, with the same slack for each."""
    task = question.task
    heads, direct = separable_heads(weights, arith, question.semantics)
    strata = strata_of(task)
    rivals = make_rivals(
        str(options["rival"]), [head.value for head in heads], direct, task.n_outputs, arith, pooled=False
    )
    found = np.zeros((len(heads) - 1, rivals.n_problems, strata.number))
    outputs = np.arange(task.n_outputs)
    for q in range(task.d_vocab):
        ahead = rivals.direct(q, outputs)
        margins = np.stack(
            [
                typical_margins(middle(rivals.others(h, q)), middle(head.weight(q))[:-1], strata.letter != DEAD)
                for h, head in enumerate(heads)
            ]
        )
        chosen = equal_slack(np.zeros(margins.shape[1:]) if ahead is None else middle(ahead), margins)
        alive = strata.place[q] >= 0
        found[:, :, strata.place[q, alive]] = chosen[:-1][:, :, alive]
    mantissa, exponent = np.frexp(np.nan_to_num(found))
    return dict(
        zip(THRESHOLDS, (np.rint(np.ldexp(mantissa, 12)).astype(np.int64), exponent.astype(np.int64) - 12), strict=True)
    )


def log_chances(question: Question) -> Float[np.ndarray, "I v"] | None:
    """Logarithms of the probabilities of every token by position, one row if all are alike; None where it is uniform.

    A chain is searched as if its positions were independent.
    """
    distribution = question.distribution
    if isinstance(distribution, Product):
        found = distribution.weights / distribution.weights.sum(1, keepdims=True)
    elif isinstance(distribution, Markov):
        step = distribution.transition / distribution.transition.sum(1, keepdims=True)
        rows = [distribution.initial / distribution.initial.sum()]
        for _ in range(1, question.task.k):
            rows.append(rows[-1] @ step)
        found = np.array(rows)
    else:
        return None
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(found))


def _joined(
    found: Iterable[tuple[int, StratumTerms]], chances: Float[np.ndarray, "I v"] | None
) -> Iterator[tuple[int, np.ndarray, TiltProblem]]:
    """Head, strata and problem, with as many queries side by side as fit."""
    waiting: dict[tuple[int, int], list[StratumTerms]] = {}
    for head, terms in found:
        group = waiting.setdefault((head, id(terms.program)), [])
        group.append(terms)
        if sum(prod(one.near.shape) for one in group) > MOST_TERMS:
            yield _together(head, group, chances)
            group.clear()
    for (head, _), group in waiting.items():
        if group:
            yield _together(head, group, chances)


def _together(
    head: int, group: list[StratumTerms], chances: Float[np.ndarray, "I v"] | None
) -> tuple[int, np.ndarray, TiltProblem]:
    return head, np.concatenate([one.number for one in group]), join([tilt_problem(one, chances) for one in group])


def tilt_problem(terms: StratumTerms, chances: Float[np.ndarray, "I v"] | None = None) -> TiltProblem:
    """Midpoints of the enclosed terms, with the chances of their tokens."""
    plain = TiltProblem(
        middle(terms.near), terms.pair, terms.letter, middle(terms.far), terms.n_far, middle(terms.last),
        terms.program,
    )  # fmt: skip
    if chances is None:
        return plain
    before, n_y = chances if len(chances) == 1 else chances[:-1], len(terms.outputs)
    with np.errstate(divide="ignore"):
        # Far tokens are those below the lowest near one; their number says which.
        below = np.log(np.concatenate([np.zeros((len(before), 1)), np.exp(before).cumsum(1)], axis=1))
    return replace(
        plain,
        log_near=before[:, terms.token],
        log_far=below[:, terms.n_far],
        log_last=np.full(n_y, chances[-1, terms.q]),
    )
