"""Search for the tilts and thresholds of exponential moments: chunks of strata, in threads, on all queries or a sample.

Contents:
    MomentResult — what a search found.
    MomentSearch — the searches of one model and question; tables are computed once.
    blank_hints — hints of the right form.
    shortened — tilts and thresholds in 16 bits each.
    log_chances — probabilities of tokens, as the search takes them.
    tilt_search — terms as plain numbers.
    Run — how to search.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice

import numpy as np
from jaxtyping import Bool, Float

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.counting.tilts import SHORT_BIAS, SHORT_TILT, TILTS, positions_apart
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.heads import Head, separable_heads
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.kernel.terms.builder import TermBuilder, all_terms
from pessimal.kernel.terms.options import SHORT_STEP, SHORT_THRESHOLD, SHORT_ZERO, THRESHOLDS, TermOptions
from pessimal.kernel.terms.rivals import make_rivals, n_groups
from pessimal.kernel.terms.stratum import StratumTerms, joined
from pessimal.search.halfwords import pack_halfwords
from pessimal.search.midpoints import middle
from pessimal.search.thresholds import fairer_parts, shared_slack, typical_margins
from pessimal.search.tilts import FEW_ITERATIONS, ITERATIONS, TiltSearch, best_tilts, coarse_tilts, quantise
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import Markov, Product
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights

# Terms beyond which tilts are searched in fewer steps.
MANY_TERMS = 1 << 22
# Queries that a sampled search looks at; terms per near token beyond which it takes every fourth.
SAMPLE = 64
HUGE_TERMS = 1 << 18
# Divisions of the slack between heads that are tried.
ROUNDS = 6
# Share of all sequences per stratum that nobody misses.
NEGLIGIBLE = 2.0**-60
Options = dict[str, str | int]


@dataclass(frozen=True)
class MomentResult:
    """Tilts that a search found, and the wrong sequences they leave.

    Attributes:
        wrong: estimated probability of wrong sequences, by rival group and stratum; zero in strata not looked at.
        total: estimated share of wrong sequences among the strata looked at, each capped by its weight.
        hints: the tilts (and thresholds), in the long form.
        seen: strata that were looked at.
    """

    wrong: Float[np.ndarray, "groups strata"]
    total: float
    hints: Hints
    seen: Bool[np.ndarray, " strata"]

    @property
    def sampled(self) -> bool:
        """Whether some strata were not looked at."""
        return not self.seen.all()


@dataclass(frozen=True)
class MomentSearch:
    """Searches for one model and question.

    Attributes:
        weights: the model.
        question: task, distribution and semantics.
        workers: threads; they change no result.
        typical: direct and typical margins by kind of rival, kept once computed.
    """

    weights: Weights
    question: Question
    workers: int = 1
    typical: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    @property
    def task(self) -> AbstractTask:
        """The task of the question."""
        return self.question.task

    @cached_property
    def tables(self) -> tuple[list[Head], AbstractEnclosure]:
        """Heads and direct path, computed once."""
        arith = Float64Arithmetic()
        with arith.running():
            return separable_heads(self.weights, arith, self.question.semantics)

    @cached_property
    def shares(self) -> Float[np.ndarray, " strata"]:
        """Probability of every stratum."""
        weighing, total = weighing_of(self.question), self.question.total()
        return np.array(
            [weighing.stratum(q, y) / total for q, y in np.argwhere(weighing.strata.stratum_index >= 0).tolist()]
        )

    @cached_property
    def chances(self) -> Float[np.ndarray, "I v"] | None:
        """The `log_chances` of the question, computed once."""
        return log_chances(self.question)

    @cached_property
    def log_whole(self) -> float:
        """Logarithm of what the estimates are shares of: 1 with chances, else the number of sequences."""
        return 0.0 if self.chances is not None else float(self.task.k * np.log(self.task.d_vocab))

    def find(
        self,
        options: Options,
        *,
        sampled: bool = False,
        coarse: bool = False,
        level: tuple[int, int] | None = None,
        thresholds: Mapping[str, np.ndarray] | None = None,
        progress: Progress = no_progress,
    ) -> MomentResult:
        """The best tilts for a choice of options.

        Args:
            options: rival, position, near.
            sampled: look at some queries only if there are many.
            coarse: search on mean terms.
            level: mantissa and exponent of a margin; wrong then means a margin up to that.
            thresholds: of several heads, if they are settled.
            progress: called with (strata done, strata).
        """
        heads = self.weights.architecture.shape.n_heads
        blank = blank_hints(self.weights.architecture, self.task, options)
        run = Run(sampled, coarse, level, progress)
        if heads == 1 or thresholds is not None:
            return self._tilts(Hints(options, {**blank.arrays, **(thresholds or {})}), run)
        # Several heads share the slack; each round gives more of it to those that exclude least.
        best: MomentResult | None = None
        parts = np.full((heads, *blank.arrays[THRESHOLDS[0]].shape[1:]), 1 / heads)
        for _ in range(ROUNDS):
            hints = Hints(options, {**blank.arrays, **self._thresholds(str(options["rival"]), parts)})
            fresh = self._tilts(hints, run)
            best = fresh if best is None else self._better(best, fresh)
            with np.errstate(all="ignore"):
                parts = fairer_parts(parts, -np.log(fresh.wrong.reshape(parts.shape) / self.shares))
        return best or self._tilts(blank, run)

    def _better(self, first: MomentResult, other: MomentResult) -> MomentResult:
        """For every rival group and stratum the thresholds and tilts with fewer wrong sequences over all heads."""
        heads = self.weights.architecture.shape.n_heads
        with np.errstate(all="ignore"):
            sums = [
                np.nan_to_num(f.wrong.reshape(heads, -1, f.wrong.shape[1]), nan=np.inf).sum(0) for f in (first, other)
            ]
        second = sums[1] < sums[0]
        wide = np.tile(second, (heads, 1))
        arrays = {
            name: np.where(wide if name in TILTS else second, other.hints.arrays[name], array)
            for name, array in first.hints.arrays.items()
        }
        wrong = np.where(wide, other.wrong, first.wrong)
        return MomentResult(wrong, self._total(wrong, first.seen), Hints(first.hints.options, arrays), first.seen)

    def _total(self, wrong: Float[np.ndarray, "groups strata"], seen: Bool[np.ndarray, " strata"]) -> float:
        """Share of wrong sequences among the strata looked at."""
        with np.errstate(all="ignore"):
            by_stratum = np.nan_to_num(wrong[:, seen], nan=np.inf).sum(0)
            # Where nothing that was looked at has a measurable share, nothing is known.
            whole = self.shares[seen].sum()
            return float(np.minimum(self.shares[seen], by_stratum).sum() / whole) if whole > 0 else 1.0

    def _tilts(self, hints: Hints, run: "Run") -> MomentResult:
        """The best tilts for these thresholds; fills the tilts of `hints`."""
        weights, task, arith = self.weights, self.task, Float64Arithmetic()
        shape = weights.architecture.shape
        with arith.running():
            read = TermOptions.read(hints, self.question, shape)
            queries = self._sample(read) if run.sampled else None
            level = None if run.level is None else arith.dyadic(*(np.array([part]) for part in run.level)).reshape(1, 1)
            terms_by_head = all_terms(
                TermBuilder(weights, self.question, read, arith, self.tables), level, queries=queries
            )
            mantissa, exponent = (np.zeros_like(hints.arrays[name]) for name in TILTS)
            wrong, seen = np.zeros(mantissa.shape), np.zeros(strata_of(task).stratum_count, dtype=bool)
            iterations = FEW_ITERATIONS if self._terms(read) > MANY_TERMS else ITERATIONS
            search: Search = coarse_tilts if run.coarse else partial(best_tilts, iterations=iterations)
            done = 0
            for head, indices, (tilts, log_bound) in self._in_threads(
                search, joined(terms_by_head, arith, positions_apart(self.question, read))
            ):
                groups_and_strata = (slice(head * read.n_groups, (head + 1) * read.n_groups), indices)
                mantissa[groups_and_strata], exponent[groups_and_strata] = quantise(tilts)
                with np.errstate(all="ignore"):
                    wrong[groups_and_strata] = np.exp(log_bound - self.log_whole)
                seen[indices] = True
                done += indices.size
                run.progress(done, seen.size * shape.n_heads)
        arrays = {**hints.arrays, **dict(zip(TILTS, (mantissa, exponent), strict=True))}
        return MomentResult(wrong, self._total(wrong, seen), Hints(hints.options, arrays), seen)

    def _terms(self, read: TermOptions) -> int:
        """Terms that a search with these options goes through, about."""
        positions = 1 if read.pooled else self.task.k - 1
        heads = self.weights.architecture.shape.n_heads
        return heads * read.n_groups * positions * strata_of(self.task).stratum_count * read.near // 2

    def _sample(self, read: TermOptions) -> list[int] | None:
        """Every so many of the queries that occur, or None for all queries."""
        queries = np.nonzero(strata_of(self.task).stratum_index >= 0)[0]
        occur = np.flatnonzero(np.bincount(queries, weights=self.shares) > 0)
        step = max(occur.size // SAMPLE, 4 if self._terms(read) > HUGE_TERMS * read.near else 1)
        return occur[step // 2 :: step].tolist() if 1 < step < occur.size else None

    def _in_threads(
        self, search: "Search", terms_by_head: Iterable[tuple[int, StratumTerms]]
    ) -> Iterator[tuple[int, np.ndarray, tuple[np.ndarray, np.ndarray]]]:
        """Head, strata, tilts and log bounds, in order; a few chunks at a time."""
        chunks = iter(terms_by_head)
        with ThreadPoolExecutor(self.workers) as pool:
            while chunk := list(islice(chunks, self.workers)):
                results = pool.map(
                    _quietly(search), [tilt_search(terms, self.log_whole, self.chances) for _, terms in chunk]
                )
                for (head, terms), result in zip(chunk, results, strict=True):
                    yield head, terms.stratum_index, result

    def _thresholds(self, rival: str, parts: Float[np.ndarray, "heads R strata"]) -> dict[str, np.ndarray]:
        """Thresholds of all heads but the last, from each head's part of the slack."""
        if rival not in self.typical:
            self.typical[rival] = self._typical(rival, parts.shape)
        chosen = shared_slack(*self.typical[rival], parts)[:-1]
        mantissa, exponent = np.frexp(np.nan_to_num(chosen))
        rounded = np.rint(np.ldexp(mantissa, 12)).astype(np.int64), exponent.astype(np.int64) - 12
        return dict(zip(THRESHOLDS, rounded, strict=True))

    def _typical(self, rival: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Direct margins `[R, strata]` and typical margins of the heads, `[heads, R, strata]`."""
        (heads, direct), arith = self.tables, Float64Arithmetic()
        strata, outputs = strata_of(self.task), np.arange(self.task.n_outputs)
        ahead, margins = np.zeros(shape[1:]), np.zeros(shape)
        with arith.running():
            values = [head.value for head in heads]
            rivals = make_rivals(rival, values, direct, self.task.n_outputs, arith, pooled=False)
            for q in range(self.task.d_vocab):
                alive = strata.stratum_index[q] >= 0
                indices = strata.stratum_index[q, alive]
                direct_margins = rivals.direct(q, outputs)
                if direct_margins is not None:
                    ahead[:, indices] = middle(direct_margins)[:, alive]
                for h, head in enumerate(heads):
                    weight = middle(head.weight(q))[:-1]
                    typical = typical_margins(middle(rivals.value_margins(h, q)), weight, strata.letter != DEAD)
                    margins[h][:, indices] = typical[:, alive]
        return ahead, margins


@dataclass(frozen=True)
class Run:
    """How to search: what `MomentSearch.find` was asked."""

    sampled: bool
    coarse: bool
    level: tuple[int, int] | None
    progress: Progress


Search = Callable[[TiltSearch], tuple[np.ndarray, np.ndarray]]


def _quietly(search: Search) -> Search:
    """A search in a thread, whose floating-point warnings are its own."""

    def run(terms: TiltSearch) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(all="ignore"):
            return search(terms)

    return run


def blank_hints(arch: Architecture, task: AbstractTask, options: Options) -> Hints:
    """Hints of the right form, all zero."""
    heads, n_rival_groups = arch.shape.n_heads, n_groups(str(options["rival"]), arch.shape.d_vocab_out)
    n_strata = strata_of(task).stratum_count
    arrays = {name: np.zeros((heads * n_rival_groups, n_strata), dtype=np.int64) for name in TILTS}
    if heads > 1:
        arrays |= {name: np.zeros((heads - 1, n_rival_groups, n_strata), dtype=np.int64) for name in THRESHOLDS}
    return Hints(options, arrays)


def shortened(hints: Hints) -> Hints:
    """Tilts and thresholds in 16 bits each (`kernel.counting.tilts`, `kernel.terms.options`).

    Tilts out of range become zero, thresholds the nearest number that there is.
    """
    mantissa, exponent = (hints.arrays[name] for name in TILTS)
    carry = mantissa == 16
    mantissa, exponent = np.where(carry, 8, mantissa), exponent + carry
    fine = (mantissa >= 8) & (mantissa < 16) & (np.abs(exponent) < SHORT_BIAS)
    short = {SHORT_TILT: pack_halfwords(np.where(fine, (exponent + SHORT_BIAS) * 8 + mantissa - 8, 0))}
    if THRESHOLDS[0] in hints.arrays:
        mantissa, exponent = (hints.arrays[name] for name in THRESHOLDS)
        nearest = np.rint(np.ldexp(mantissa.astype(np.float64), exponent - SHORT_STEP))
        short[SHORT_THRESHOLD] = pack_halfwords(
            np.clip(nearest, -SHORT_ZERO, SHORT_ZERO - 1).astype(np.int64) + SHORT_ZERO
        )
    return Hints(hints.options, short)


def log_chances(question: Question) -> Float[np.ndarray, "I v"] | None:
    """Logarithms of the probabilities of every token by position, one row if all are alike; None where it is uniform.

    A chain is searched as if its positions were independent.
    """
    distribution = question.distribution
    if isinstance(distribution, Product):
        by_position = distribution.weights / distribution.weights.sum(1, keepdims=True)
    elif isinstance(distribution, Markov):
        step = distribution.transition / distribution.transition.sum(1, keepdims=True)
        rows = [distribution.initial / distribution.initial.sum()]
        for _ in range(1, question.task.k):
            rows.append(rows[-1] @ step)
        by_position = np.array(rows)
    else:
        return None
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(by_position))


def tilt_search(terms: StratumTerms, log_whole: float, chances: Float[np.ndarray, "I v"] | None = None) -> TiltSearch:
    """Midpoints of the enclosed terms, with the chances of their tokens.

    A bound of `NEGLIGIBLE` of the whole is as good as zero.
    """
    plain = TiltSearch(
        middle(terms.near), terms.pair, terms.letter, middle(terms.far), terms.n_far, middle(terms.last),
        terms.program, log_whole + np.log(NEGLIGIBLE),
    )  # fmt: skip
    if chances is None:
        return plain
    before = chances if len(chances) == 1 else chances[:-1]
    with np.errstate(divide="ignore"):
        # Far tokens are those below the lowest near one; their number says which.
        below = np.log(np.concatenate([np.zeros((len(before), 1)), np.exp(before).cumsum(1)], axis=1))
    return replace(
        plain,
        log_near=before[:, terms.token],
        log_far=below[:, terms.n_far],
        log_last=chances[-1, terms.query],
    )
