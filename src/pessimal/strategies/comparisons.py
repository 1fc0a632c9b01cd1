"""Rivals pruned by a tree; what the live ones leave open is searched, or counted in an order."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.counting.live import LiveStrata
from pessimal.kernel.counting.pruning import LiveStratum, live_rivals
from pessimal.kernel.counting.ranked import n_ranked
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.source import AbstractTables, ExactTables, Tables
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.comparisons.cover import ARRAYS, BYTE, CONDITIONED, Cover
from pessimal.kernel.rules.comparisons.rule import FLOPS_PER_ENTRY, MAX_WORK, flops_per_try
from pessimal.kernel.rules.comparisons.search import Counting, Found, Work
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.nodes import Others
from pessimal.kernel.terms.tree import RivalTree
from pessimal.search.cells import Prices, priced
from pessimal.search.halfwords import pack_halfwords
from pessimal.search.orders import CoveredStratum, CoverSearch
from pessimal.spec.question import Question
from pessimal.spec.tasks.max_of_k import MaxOfK
from pessimal.spec.weights import Weights
from pessimal.strategies.interface import AbstractStrategy, OutOfTimeError, StrategyError

WAYS = ("search", "order", "at-once", "joint")
# Nothing is pruned, all rivals are counted at once.
UNPRUNED = ("at-once", "joint")
DEFAULT_TRIES = 1 << 27
NEAR = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
# As many outputs are looked at to choose among them, up to so many for a small vocabulary.
SAMPLE, NEAR_OF_FEW, CERTAIN = 64, 16, 6
# Strata that leave more than such a part of the gap open are conditioned on another position.
WIDE = 16
# Of all tokens that many are near where no rival is pruned.
LUMPED = (3, 4)
# Where the tries do not suffice for all strata, each round lets one stratum have so much less.
LESS = 8
# An order conditions on two positions, and counts on others.
MIN_ORDERED = 3
# A fifth of a hundredth more additions than were spent.
MORE, LESS_OF_MORE = 501, 500


@dataclass(frozen=True)
class Comparisons(AbstractStrategy):
    """Certify what node minima certify; search what live rivals leave open, or count it in an order.

    Attributes:
        way: `search` tries prefixes, up to the exact count; `order` counts the live rivals of a stratum on a grid, each
            less a multiple of an earlier one, or all at once where that saves more than it costs; `at-once` prunes none
            and counts all rivals at once, by their largest values and their largest direct logits; `joint` by the
            largest sums of the two, token by token.
        near: tokens next to the target that are treated one by one while rivals are pruned; of Max-of-K only
            (default: searched).
        tries: most prefixes times open rivals times moves to look up; past that the count is no longer exact.
        cells: most degrees of a polynomial.
        gap: about the share of all inputs that finer grids would not leave open.
        certain: rivals of a stratum that are counted from below too, for an upper end (default: 6, none within a
            budget).
        negligible: a comparison that counts less than this share of all inputs gets no parent.
        budget: largest number of flops, which allows fewer tries (default: any).

    Soundness: `kernel.rules.comparisons`, for every limit and every cover.
    Cost: tables, a few operations per node that is looked at; two searches among the tokens for each try, or about
        v K cells additions for every live rival.
    Source: new.
    """

    name: ClassVar[str] = "comparisons"
    rule: ClassVar[str] = "comparisons"
    asymptotic: ClassVar[str] = "O(v^3 + v^2 K log v + live rivals)"
    source: ClassVar[str] = "new (a tree of rivals, ordered rivals, free conditioning)"
    summary: ClassVar[str] = "rivals pruned by a tree; the live ones searched, or counted in an order"

    way: str = "search"
    near: int | None = None
    tries: int = DEFAULT_TRIES
    cells: int = 1024
    gap: float = 1e-5
    certain: int | None = None
    negligible: float = 1e-8
    budget: int | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._require_words(way=WAYS)
        self._require_numbers(1, None, "near", "cells")
        self._require_numbers(0, MAX_WORK, "tries", "certain", "gap", "negligible")

    def least_flops(self, weights: Weights, question: Question) -> int:
        """Of a proof that looks at the nodes beside every target's path; what looks at fewer says little."""
        strata, n_out = strata_of(question.task), weights.architecture.shape.d_vocab_out
        blank, beside = _blank(question), RivalTree(n_out).siblings(np.arange(n_out))[0]
        each = np.bincount(beside, minlength=n_out)[: len(strata.programs[1])]
        index = strata.programs[1]
        minima = np.array([int((each[:, np.newaxis] * (index == at)).sum()) for at in range(len(strata.programs[0]))])
        return self._flops(Hints(blank.options, {"minima": minima}), weights, question)

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """The work that is needed, or as much of it as is allowed; a cover, where it is to be counted in an order."""
        self._require_possible(weights, question)
        arith = Float64Arithmetic()
        with arith.running():
            tables = self._source(question).tables(weights, arith)
        if self.way in UNPRUNED:
            live = _every_rival(weights, question)
            return self._ordered(self._unpruned(question), tables, live, (weights, question), progress)
        pruned, live = self._shortest(tables, weights, question)
        spare = MAX_WORK if self.budget is None else self.budget - self._flops(pruned, weights, question)
        if spare >= 0 and self.way == "search":
            allowed = min(self.tries, spare // flops_per_try(weights.architecture.shape))
            return self._searched(pruned, tables, live, (weights, question), allowed, progress)
        # Only what has no live rival, or nothing at all.
        pruned_only = Hints({**pruned.options, "entries": 0, "tries": 0}, pruned.arrays)
        self._require_within(self.budget, self._flops(pruned_only, weights, question))
        if self.way == "search":
            return pruned_only
        return self._ordered(pruned, tables, live, (weights, question), progress)

    def _source(self, question: Question) -> AbstractTables:
        """Where the tables come from; what they leave open is decided with the weights if these are its own."""
        return ExactTables(question.semantics)

    def _counting(self, tables: Tables, near: int, question: Question, work: Work, cover: Cover | None) -> Counting:
        decides = isinstance(self._source(question), ExactTables)
        return Counting(tables, near, question, work, cover, Float64Arithmetic(), decides=decides)

    def _require_possible(self, weights: Weights, question: Question) -> None:
        """Refuse, before anything is searched, what no search can do."""
        n_out = weights.architecture.shape.d_vocab_out
        if self.certain is not None and self.certain > n_out:
            raise StrategyError(f"option certain={self.certain} is more than the {n_out} outputs")
        if self.way != "search" and question.task.k < MIN_ORDERED:
            raise Rejected(
                Reason.UNSUPPORTED_MODEL, "an order conditions on two positions before the last; use way=search"
            )
        if self.budget is not None:
            self._require_within(self.budget, self.least_flops(weights, question))

    def _shortest(self, tables: Tables, weights: Weights, question: Question) -> tuple[Hints, list[LiveStratum]]:
        """The number of near tokens that takes least, found on some outputs where there are many; all looked at."""
        every, shortest, found = question.task.n_outputs, MAX_WORK, None
        for near in self._nears(question):
            trial = self._pruned(tables, weights, question, near, SAMPLE)
            flops = self._flops(trial[0], weights, question)
            # More tokens take longer once they prune no more.
            if flops >= shortest:
                break
            shortest, found = flops, trial
        if found is None or every >= 2 * SAMPLE:
            near = 1 if found is None else int(found[0].options["near"])
            return self._pruned(tables, weights, question, near, every)
        return found

    def _unpruned(self, question: Question) -> Hints:
        """No node is looked at."""
        v = question.task.d_vocab
        lumps = isinstance(question.task, MaxOfK) and self.way != "joint"
        near = min(self.near or -(-v * LUMPED[0] // LUMPED[1]), v) if lumps else v
        return _limits(near, Work(_blank(question).arrays["minima"], 0, 0, 0))

    def _nears(self, question: Question) -> Sequence[int]:
        """Which numbers of near tokens to try; far tokens are those of Max-of-K."""
        v = question.task.d_vocab
        if not isinstance(question.task, MaxOfK):
            return [v]
        if self.near is not None:
            return [min(self.near, v)]
        return sorted({min(near, v) for near in NEAR if SAMPLE * near >= v and near <= max(NEAR_OF_FEW, v // 4)})

    def _pruned(
        self, tables: Tables, weights: Weights, question: Question, near: int, n_outputs: int
    ) -> tuple[Hints, list[LiveStratum]]:
        """Hints that look at every node, with a try at most, and the live rivals; from so many outputs at least."""
        arith, strata = Float64Arithmetic(), strata_of(question.task)
        n_strata = (strata.stratum_index >= 0).sum(0)
        # The last outputs of Max-of-K have most strata.
        outputs = np.arange(len(n_strata))[:: -max(1, len(n_strata) // n_outputs)][::-1]
        share = Fraction(strata.stratum_count, int(n_strata[outputs].sum()))
        every = np.full(len(strata.programs[0]), 2 * strata.stratum_count * weights.architecture.shape.d_vocab_out)
        minima = every.copy()
        with arith.running():
            counted = LiveStrata(tables, near, question, arith)
            live = list(live_rivals(counted.nodes, strata, minima, arith, outputs=outputs))
        search = self.way == "search"
        entries = sum(counted.entries(y, rivals) for (_, y), rivals in live)
        if search:
            entries += sum(rivals.size * n_ranked(strata, *at) for at, rivals in live)
        looked_at = [int(share * number) for number in (every - minima).tolist()]
        # A try, so that entries are charged as ranked ones.
        return _limits(near, Work(np.array(looked_at), int(share * entries), int(search), 0)), live

    def _searched(
        self, pruned: Hints, tables: Tables, live: Sequence[LiveStratum], model: tuple[Weights, Question], allowed: int,
        progress: Progress,
    ) -> Hints:  # fmt: skip
        """The tries that are needed, at most so many; where they do not suffice, fewer in one stratum."""
        near, entries = (int(pruned.options[name]) for name in ("near", "entries"))
        at_once = allowed
        arith = Float64Arithmetic()
        while True:
            work = Work(pruned.arrays["minima"].copy(), entries, allowed, at_once)
            with arith.running():
                counting = self._counting(tables, near, model[1], work, None)
                stopped = False
                try:
                    counting.all(model[0], progress if at_once == allowed else no_progress, live)
                except OutOfTimeError:
                    # What was searched by then stays.
                    stopped = True
            spent = list(counting.found.spent.values())
            # The last strata had nothing left: all get less.
            if stopped or not _starved(counting.found, work) or at_once < LESS:
                return _limits(near, Work(pruned.arrays["minima"], entries, sum(spent), max(spent, default=0)))
            at_once //= LESS

    def _ordered(
        self, pruned: Hints, tables: Tables, live: Sequence[LiveStratum], model: tuple[Weights, Question],
        progress: Progress,
    ) -> Hints:  # fmt: skip
        """A cover for the strata with live rivals that are worth it, and the additions that it takes."""
        weights, question = model
        least = min(CERTAIN, weights.architecture.shape.d_vocab_out) if self.budget is None else 0
        certain = least if self.certain is None else self.certain
        near, arith, minima = int(pruned.options["near"]), Float64Arithmetic(), pruned.arrays["minima"]

        def hinted(work: Work, covered: Sequence[tuple[int, CoveredStratum, int]]) -> Hints:
            return _cover_hints(near, work, covered, certain, joint=self.way == "joint")

        with arith.running():
            others: Others = "joint" if self.way == "joint" else "apart"
            strata = LiveStrata(tables, near, question, arith, others=others)
            negligible = self.negligible * question.total()
            wide = self.gap * question.total() / WIDE
            search = CoverSearch(strata, self.cells, certain, negligible, wide, pruned=self.way == "order")
            prices = self._prices(search, live, progress)
            flops = np.inf if self.budget is None else self.budget
            while True:
                spare = flops - self._flops(hinted(Work(minima, 0, 0, 0), []), *model)
                covered, entries = prices.chosen(self.gap, spare)
                needed = Work(minima, entries // FLOPS_PER_ENTRY, 0, 0, MAX_WORK)
                cover = Cover.read(hinted(needed, covered), question, weights.architecture.shape)
                spent = self._counting(tables, near, question, needed.copy(), cover)
                spent.all(weights, no_progress, live)
                # A little more, for an arithmetic that rounds another way; what has none left counts no stratum.
                needed.additions = (MAX_WORK - spent.work.additions) * MORE // LESS_OF_MORE + 1
                hints = hinted(needed, covered)
                if self.budget is None or not covered or self._flops(hints, *model) <= self.budget:
                    return hints
                flops -= self._flops(hints, *model) - self.budget

    def _prices(self, search: CoverSearch, live: Sequence[LiveStratum], progress: Progress) -> Prices:
        """Of as many strata as the time allows, the largest first."""
        found = []
        try:
            for one in priced(search, live, self.gap, FLOPS_PER_ENTRY, progress):
                found.append(one)  # noqa: PERF402 - what was found before stays
        except OutOfTimeError:
            if not found:
                raise
        return Prices.of(found, search.live.question.total())


def _starved(found: Found, work: Work) -> bool:
    """Whether what is not certified is so for want of tries in all, not in one stratum."""
    return found.tally.not_certified > 0 and work.tries < work.at_once


def _blank(question: Question) -> Hints:
    """Those of the shortest proof: nothing is looked at."""
    near = 1 if isinstance(question.task, MaxOfK) else question.task.d_vocab
    return _limits(near, Work(np.zeros(len(strata_of(question.task).programs[0]), dtype=np.int64), 0, 0, 0))


def _every_rival(weights: Weights, question: Question) -> list[LiveStratum]:
    """All rivals of every stratum."""
    strata, every = strata_of(question.task), np.arange(weights.architecture.shape.d_vocab_out)
    at = zip(*np.nonzero(strata.stratum_index >= 0), strict=True)
    return [((int(q), int(y)), np.delete(every, y)) for q, y in at]


def _limits(near: int, work: Work) -> Hints:
    options = {"near": near, "entries": work.entries, "tries": work.tries, "at_once": work.at_once}
    return Hints(options, {"minima": work.minima})


def _cover_hints(
    near: int, work: Work, covered: Sequence[tuple[int, CoveredStratum, int]], certain: int, *, joint: bool
) -> Hints:
    """`covered`: numbers of strata, rising, with their parts and cells."""
    rows, parts = [row for row, _, _ in covered], [part for _, part, _ in covered]
    limits = _limits(near, work)
    options = {
        **limits.options, "additions": work.additions, "certain": certain, "strata": len(rows),
        "live": sum(part.rivals.size for part in parts), **({"joint": 1} if joint else {}),
    }  # fmt: skip
    none = np.zeros(0, dtype=np.int64)
    numbers = (
        np.diff(rows, prepend=-1),
        [part.rivals.size for part in parts],
        [cells for _, _, cells in covered],
        np.concatenate([none, *(part.rivals for part in parts)]),
        np.concatenate([none, *(part.order.parent + 1 + BYTE * part.order.multiple for part in parts)]),
        [[*part.positions, *[part.positions[-1]] * (CONDITIONED - len(part.positions))] for part in parts],
    )
    arrays = {name: pack_halfwords(np.asarray(one, dtype=np.int64)) for name, one in zip(ARRAYS, numbers, strict=True)}
    return Hints(options, {**limits.arrays, **arrays})
