"""R2: exponential moment with searched tilts."""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.cost import exponential_moment_cost, n_strata
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.exponential_moment import POSITIONS, StratumTerms, stratum_terms
from pessimal.kernel.rules.interface import Hints, Progress
from pessimal.kernel.rules.rivals import RIVALS
from pessimal.kernel.strata import stratum_size
from pessimal.kernel.tables import AdditiveTables, additive_tables
from pessimal.search.tilts import TiltProblem, best_tilts, quantise
from pessimal.spec.architecture import Architecture
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy, StrategyError
from pessimal.strategies.midpoints import middle

DEFAULT_BUDGET = 2**21
# Relative growth of the estimated number of wrong sequences that a shorter proof may cost.
WORTH = 2.0**-8


@dataclass(frozen=True)
class ExponentialMoment(AbstractStrategy):
    """Chernoff bound per stratum; options left open are chosen for the best bound within the budget.

    Attributes:
        rival: `plain`, `centred`, `joint` (one pessimal rival, R5) or `every` (union over rivals, R4).
        position: `each` position on its own, or one `pessimal` position for all (R6).
        near: tokens closer to the target than this are treated one by one, the others as one worst term; left open,
            the narrowest band that loses nothing.
        budget: largest number of flops. Left open it is 2**21 while the rival is open too, and unlimited otherwise.

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

    def hints(self, weights: Weights, task: AbstractTask, progress: Progress) -> Hints:
        """The affordable choice of options with the smallest estimated number of wrong sequences, and its tilts."""
        arith = Float64Arithmetic()
        with arith.running():
            tables = additive_tables(weights, arith)
            choices = self._affordable(weights.architecture)
            found = []
            for done, (rival, position, near) in enumerate(choices):
                found.append(_search(tables, arith, task, {"rival": rival, "position": position, "near": near}))
                progress(done + 1, len(choices))
            wrong, hints = min(found, key=lambda one: one[0])
            # A shorter proof at the same bound is the better explanation: narrow the band while it costs nothing.
            while self.near is None and int(hints.options["near"]) > 1:
                narrower = {**hints.options, "near": max(1, int(hints.options["near"]) * 3 // 4)}
                trial = _search(tables, arith, task, narrower)
                if trial[0] > wrong * (1 + WORTH):
                    break
                hints = trial[1]
        return hints

    def _affordable(self, arch: Architecture) -> list[tuple[str, str, int]]:
        """Option triples within the budget; for an open `near`, the widest that fits."""
        d_vocab = arch.shape.d_vocab
        budget = DEFAULT_BUDGET if self.budget is None and self.rival is None else self.budget
        widths = range(d_vocab, 0, -1) if self.near is None else [min(self.near, d_vocab)]
        rivals = [self.rival] if self.rival else ["centred", "joint", "every"]
        positions = [self.position] if self.position else list(POSITIONS)
        triples = []
        for rival, position in product(rivals, positions):
            for near in widths:
                if budget is None or exponential_moment_cost(arch, rival, position, near).flops <= budget:
                    triples.append((rival, position, near))
                    break
        if not triples:
            least = min(
                exponential_moment_cost(arch, rival, position, widths[-1]).flops
                for rival, position in product(rivals, positions)
            )
            raise Rejected(Reason.RESOURCES, f"a budget of {budget} flops is too small: these options need {least}")
        return triples


def _search(
    tables: AdditiveTables, arith: Float64Arithmetic, task: AbstractTask, options: dict[str, str | int]
) -> tuple[float, Hints]:
    """Estimated number of wrong sequences (as a fraction of all) and the hints that give it."""
    problems = tables.direct.shape[1] - 1 if options["rival"] == "every" else 1
    shape = (problems, n_strata(task.d_vocab))
    mantissa, exponent = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    offset, wrong = 0, 0.0
    for q, terms in stratum_terms(tables, arith, Hints(options)):
        part = slice(offset, offset + task.d_vocab - q)
        offset = part.stop
        tilts, log_bound = best_tilts(_problem(terms, task.k))
        mantissa[:, part], exponent[:, part] = quantise(tilts)
        with np.errstate(all="ignore"):
            fractions = np.exp(log_bound - task.k * np.log(task.d_vocab)).sum(0)
        for y, fraction in zip(range(q, task.d_vocab), fractions.tolist(), strict=True):
            size = stratum_size(task.k, q, y) / task.total()
            wrong += min(size, fraction)
    return wrong, Hints(options, {"tilt_mantissa": mantissa, "tilt_exponent": exponent})


def _problem(terms: StratumTerms, k: int) -> TiltProblem:
    """Midpoints of the enclosed terms."""
    return TiltProblem(middle(terms.near), terms.valid, middle(terms.far), terms.n_far, middle(terms.last), k)
