"""What live rivals leave open: searched, or counted in an order; stratum by stratum.

Contents:
    Work, Found — what may be done, and what was found.
    Counting — the two ways to count one stratum, and all of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.counting.conditioned import Grid, OverspentError
from pessimal.kernel.counting.live import LiveStrata
from pessimal.kernel.counting.ordered import BITS as ORDERED_BITS
from pessimal.kernel.counting.ordered import bracket
from pessimal.kernel.counting.pruning import LiveStratum, live_rivals
from pessimal.kernel.counting.ranked import Tally, bits_for, n_ranked, search_ranked
from pessimal.kernel.counting.undecided import Undecided
from pessimal.kernel.model.source import Tables
from pessimal.kernel.rules.comparisons.cover import Cover
from pessimal.kernel.rules.interface import Progress
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.kernel.terms.nodes import Others
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights

# Strata from one report of progress to the next.
SOME = 1 << 6


@dataclass
class Work:
    """What may be done.

    Attributes:
        minima: nodes of strata with each program, `[programs]`.
        entries: terms against live rivals, and those that are ranked.
        tries: prefixes, for every rival that is open for them and every move that may follow, in all.
        at_once: the same in one stratum.
        additions: operations of counts on a grid.
    """

    minima: Int[np.ndarray, " programs"]
    entries: int
    tries: int
    at_once: int
    additions: int = 0

    def copy(self) -> "Work":
        """To be spent."""
        return replace(self, minima=self.minima.copy())

    def takes(self, entries: int) -> bool:
        """Spend entries; whether there were so many."""
        fits = entries <= self.entries
        self.entries = max(self.entries - entries, 0)
        return fits


@dataclass
class Found:
    """What is not right.

    Attributes:
        wrong: at most this weight, by stratum.
        at_least: no less than this, in the strata that were counted on a grid.
        tally: of the searches.
        undecided: what integers left open.
        spent: by stratum that was searched, tries.
    """

    wrong: dict[tuple[int, int], Fraction | int]
    tally: Tally
    undecided: Undecided
    at_least: Fraction = Fraction(0)
    spent: dict[tuple[int, int], int] = field(default_factory=dict)


class Counting:
    """All strata of a question; `work` is spent.

    Attributes:
        nodes: the tables.
        work: what may be done.
        cover: strata that are counted on a grid, or None.
        found: what is not right.
    """

    def __init__(
        self, tables: Tables, near: int, question: Question, work: Work, cover: Cover | None, arith: AbstractArithmetic,
        *, decides: bool = True,
    ) -> None:  # fmt: skip
        """`decides`: what the tables leave open is decided with the weights."""
        others: Others = "none" if cover is None else cover.others
        self.live = LiveStrata(tables, near, question, arith, others=others)
        self.weighing, self.work, self.cover, self.arith = weighing_of(question), work, cover, arith
        self._decides = decides

    def all(self, weights: Weights, progress: Progress, live: Iterable[LiveStratum] | None = None) -> Found:
        """Prune rivals, unless a search says which are live, and count what these leave open."""
        strata, question = self.live.strata, self.live.question
        live = live_rivals(self.live.nodes, strata, self.work.minima, self.arith) if live is None else live
        self.found = Found({}, Tally(budget_left=0), Undecided(weights, question, decides=self._decides))
        queries, outputs = np.nonzero(strata.stratum_index >= 0)
        self.found.wrong.update(dict.fromkeys(zip(queries.tolist(), outputs.tolist(), strict=True), 0))
        place = {} if self.cover is None else {row: at for at, row in enumerate(self.cover.stratum.tolist())}
        for done, (at, rivals) in enumerate(live):
            row = int(strata.stratum_index[at])
            cover = self.cover if row in place else None
            if cover is None or not self.on_grid(cover, place[row], at, rivals):
                self.search(at, rivals)
            if done % SOME == 0:
                progress(at[1], question.task.n_outputs)
        progress(question.task.n_outputs, question.task.n_outputs)
        for at, weight in self.found.undecided.by_stratum.items():
            self.found.wrong[at] += weight
        return self.found

    def search(self, at: tuple[int, int], rivals: Int[np.ndarray, " live"]) -> None:
        """One stratum, prefix by prefix."""
        q, y = at
        tally, work = self.found.tally, self.work
        before = tally.wrong + tally.not_certified
        budget = min(work.tries, work.at_once)
        entries = self.live.entries(y, rivals) + rivals.size * n_ranked(self.live.strata, q, y)
        made = budget > 0 and work.takes(entries)
        stratum = self.live.integers(at, rivals, bits_for(rivals.size)) if made else None
        if stratum is None or stratum.lost:
            tally.not_certified += self.weighing.stratum(q, y)
        else:
            tally.budget_left = budget
            search_ranked(self.weighing, stratum, at, tally, lambda earlier: self.found.undecided.add(earlier, q))
            self.found.spent[at] = budget - tally.budget_left
            work.tries -= self.found.spent[at]
        self.found.wrong[at] += tally.wrong + tally.not_certified - before

    def on_grid(self, cover: Cover, place: int, at: tuple[int, int], live: Int[np.ndarray, " live"]) -> bool:
        """One stratum of the cover, in its order; False if it lacks a live rival or the work does not suffice."""
        rivals, order = cover.of(place)
        lacking = rivals is not None and not (np.isin(live, rivals).all() and (rivals != at[1]).all())
        if self.work.additions <= 0 or lacking or not self.work.takes(self.live.entries(at[1], rivals)):
            return False
        last = cover.conditioned(place)
        positions = self.live.reordered(last)
        stratum = self.live.integers(at, rivals, ORDERED_BITS, positions)
        if stratum.lost:
            return False
        # SOUND: what is below the margins of all rivals counts nothing that is certainly wrong.
        certain = 0 if rivals is None else cover.certain
        grid = Grid(int(cover.cells[place]), last.size)
        try:
            counts = self.live.fillings(at, rivals, positions, grid, self.work.additions)
            most, least = bracket(counts, stratum, order, certain, self.live.ending_weights(counts, positions))
        except OverspentError:
            self.work.additions = 0
            return False
        self.work.additions -= counts.spent
        if most is None:
            return False
        last_weight = self.live.last_weight(at[0])
        self.found.wrong[at] = min(Fraction(self.weighing.stratum(*at)), most * last_weight)
        self.found.at_least += least * last_weight
        return True
