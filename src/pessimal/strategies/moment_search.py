"""Search for the tilts and thresholds of exponential moments: chunks of strata, in threads, on all queries or a sample.

Contents:
    Found — what a search found.
    MomentSearch — the searches of one model and task; tables are computed once.
    blank_hints — hints of the right form.
    shortened — tilts and thresholds in 16 bits each.
    halfwords — the packing.
    tilt_problem — terms as plain numbers.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.arithmetic.interface import AbstractEnclosure
from pessimal.kernel.heads import Head, separable_heads
from pessimal.kernel.rules.exponential_moment import SHORT_BIAS, SHORT_TILT, TILTS
from pessimal.kernel.rules.interface import Hints, Progress, no_progress
from pessimal.kernel.rules.rivals import make_rivals, n_problems
from pessimal.kernel.rules.terms import (
    SHORT_STEP,
    SHORT_THRESHOLD,
    SHORT_ZERO,
    THRESHOLDS,
    StratumTerms,
    TermOptions,
    joined,
    stratum_terms,
)
from pessimal.kernel.strata import strata_of
from pessimal.search.thresholds import equal_slack, typical_margins
from pessimal.search.tilts import FEW_ITERATIONS, ITERATIONS, TiltProblem, best_tilts, coarse_tilts, quantise
from pessimal.spec.architecture import Architecture
from pessimal.spec.machine import DEAD
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights
from pessimal.strategies.midpoints import middle

# Terms beyond which tilts are searched in fewer steps.
MANY_TERMS = 1 << 22
# Queries that a sampled search looks at; terms per near token beyond which it takes every fourth.
SAMPLE = 64
HUGE_TERMS = 1 << 18
# Share of all sequences per stratum that nobody misses.
NEGLIGIBLE = 2.0**-60
Options = dict[str, str | int]


@dataclass(frozen=True)
class Found:
    """Outcome of a search.

    Attributes:
        wrong: estimated wrong sequences as a share of all, by problem and stratum; zero in strata not looked at.
        total: estimated share of wrong sequences among the strata looked at, each capped by its size.
        hints: the tilts (and thresholds), in the long form.
        sampled: not all queries were looked at.
    """

    wrong: Float[np.ndarray, "problems strata"]
    total: float
    hints: Hints
    sampled: bool


@dataclass(frozen=True)
class MomentSearch:
    """Searches for one model and task.

    Attributes:
        weights: the model.
        task: the task.
        workers: threads; they change no result.
    """

    weights: Weights
    task: AbstractTask
    workers: int = 1

    @cached_property
    def tables(self) -> tuple[list[Head], AbstractEnclosure]:
        """Heads and direct path."""
        arith = Float64Arithmetic()
        with arith.running():
            return separable_heads(self.weights, arith)

    @cached_property
    def shares(self) -> Float[np.ndarray, " strata"]:
        """Size of every stratum as a share of all sequences."""
        strata, total = strata_of(self.task), self.task.total()
        places = zip(*(side.tolist() for side in np.nonzero(strata.place >= 0)), strict=True)
        return np.array([strata.size(q, y) / total for q, y in places])

    def find(
        self, options: Options, *, sampled: bool = False, coarse: bool = False, progress: Progress = no_progress
    ) -> Found:
        """The best tilts for a choice of options.

        Args:
            options: rival, position, near.
            sampled: look at some queries only if there are many.
            coarse: search on mean terms.
            progress: called with (strata done, strata).
        """
        weights, task, arith = self.weights, self.task, Float64Arithmetic()
        shape = weights.architecture.shape
        hints = blank_hints(weights.architecture, task, options)
        with arith.running():
            if shape.n_heads > 1:
                hints = Hints(options, {**hints.arrays, **self._thresholds(options, arith)})
            read = TermOptions.read(hints, task, shape.n_heads, shape.d_vocab_out)
            queries = self._sample(read) if sampled else None
            found = stratum_terms(weights, task, read, arith, tables=self.tables, queries=queries)
            mantissa, exponent = (hints.arrays[name] for name in TILTS)
            wrong, seen = np.zeros(mantissa.shape), np.zeros(strata_of(task).number, dtype=bool)
            iterations = FEW_ITERATIONS if self._terms(read) > MANY_TERMS else ITERATIONS
            search: Search = coarse_tilts if coarse else partial(best_tilts, iterations=iterations)
            done = 0
            for head, number, (tilts, log_bound) in self._in_threads(search, joined(found, arith)):
                place = (slice(head * read.problems, (head + 1) * read.problems), number)
                mantissa[place], exponent[place] = quantise(tilts)
                with np.errstate(all="ignore"):
                    wrong[place] = np.exp(log_bound - task.k * np.log(task.d_vocab))
                seen[number] = True
                done += number.size
                progress(done, seen.size * shape.n_heads)
            by_stratum = np.nan_to_num(wrong[:, seen], nan=np.inf).sum(0)
            total = float(np.minimum(self.shares[seen], by_stratum).sum() / self.shares[seen].sum())
        return Found(wrong, total, hints, queries is not None)

    def _terms(self, read: TermOptions) -> int:
        """Terms that a search with these options goes through, about."""
        positions = 1 if read.pooled else self.task.k - 1
        heads = self.weights.architecture.shape.n_heads
        return heads * read.problems * positions * strata_of(self.task).number * read.near // 2

    def _sample(self, read: TermOptions) -> Int[np.ndarray, " some"] | None:
        """Every so many queries, or None for all of them."""
        v = self.task.d_vocab
        step = max(v // SAMPLE, 4 if self._terms(read) > HUGE_TERMS * read.near else 1)
        return np.arange(step // 2, v, step) if 1 < step < v else None

    def _in_threads(
        self, search: "Search", found: Iterable[tuple[int, StratumTerms]]
    ) -> Iterator[tuple[int, np.ndarray, tuple[np.ndarray, np.ndarray]]]:
        """Head, strata, tilts and log bounds, in order; a few chunks at a time."""
        chunks = iter(found)
        with ThreadPoolExecutor(self.workers) as pool:
            while some := list(islice(chunks, self.workers)):
                results = pool.map(_quietly(search), [tilt_problem(terms, self.task) for _, terms in some])
                for (head, terms), result in zip(some, results, strict=True):
                    yield head, terms.number, result

    def _thresholds(self, options: Options, arith: Float64Arithmetic) -> dict[str, np.ndarray]:
        """Thresholds of all heads but the last, with the same slack for each."""
        (heads, direct), task = self.tables, self.task
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
        parts = np.rint(np.ldexp(mantissa, 12)).astype(np.int64), exponent.astype(np.int64) - 12
        return dict(zip(THRESHOLDS, parts, strict=True))


Search = Callable[[TiltProblem], tuple[np.ndarray, np.ndarray]]


def _quietly(search: Search) -> Search:
    """A search in a thread, whose floating-point warnings are its own."""

    def run(problem: TiltProblem) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(all="ignore"):
            return search(problem)

    return run


def blank_hints(arch: Architecture, task: AbstractTask, options: Options) -> Hints:
    """Hints of the right form, all zero."""
    heads, problems = arch.shape.n_heads, n_problems(str(options["rival"]), arch.shape.d_vocab_out)
    number = strata_of(task).number
    arrays = {name: np.zeros((heads * problems, number), dtype=np.int64) for name in TILTS}
    if heads > 1:
        arrays |= {name: np.zeros((heads - 1, problems, number), dtype=np.int64) for name in THRESHOLDS}
    return Hints(options, arrays)


def shortened(hints: Hints) -> Hints:
    """Tilts and thresholds in 16 bits each (`exponential_moment.tilts`, `terms.TermOptions`).

    Tilts out of range become zero, thresholds the nearest number that there is.
    """
    mantissa, exponent = (hints.arrays[name] for name in TILTS)
    carry = mantissa == 16
    mantissa, exponent = np.where(carry, 8, mantissa), exponent + carry
    fine = (mantissa >= 8) & (mantissa < 16) & (np.abs(exponent) < SHORT_BIAS)
    short = {SHORT_TILT: halfwords(np.where(fine, (exponent + SHORT_BIAS) * 8 + mantissa - 8, 0))}
    if THRESHOLDS[0] in hints.arrays:
        mantissa, exponent = (hints.arrays[name] for name in THRESHOLDS)
        nearest = np.rint(np.ldexp(mantissa.astype(np.float64), exponent - SHORT_STEP))
        short[SHORT_THRESHOLD] = halfwords(np.clip(nearest, -SHORT_ZERO, SHORT_ZERO - 1).astype(np.int64) + SHORT_ZERO)
    return Hints(hints.options, short)


def halfwords(numbers: Int[np.ndarray, "..."]) -> Int[np.ndarray, " n"]:
    """Numbers 0 .. 2**16 - 1, four to an int64, as `Hints.halfwords` reads them."""
    flat = numbers.ravel().astype("<u2")
    return np.pad(flat, (0, -flat.size % 4)).view("<i8").astype(np.int64)


def tilt_problem(terms: StratumTerms, task: AbstractTask) -> TiltProblem:
    """Midpoints of the enclosed terms; a bound of `NEGLIGIBLE` of all sequences is as good as zero."""
    return TiltProblem(
        middle(terms.near), terms.pair, terms.letter, middle(terms.far), terms.n_far, middle(terms.last),
        terms.program, task.k * np.log(task.d_vocab) + np.log(NEGLIGIBLE),
    )  # fmt: skip
