r"""Rivals pruned by a tree, and what they leave open counted by branch and bound.

Theorem. In every stratum $(q, y)$ the rivals are those of the nodes beside the path of y in a binary tree over the
outputs (`terms/tree.py`). A node whose smallest sum of terms is positive (`counting/smallest.py`) holds no rival that
reaches y; another one is replaced by its children; outputs that are left are the *live* rivals of the stratum. A
sequence is wrong exactly if a live rival reaches y, and those are searched position by position
(`counting/ranked.py`), with the differences to the live rivals alone.

*Proof.* The nodes partition the rivals, and so do their children. A sequence of the stratum is wrong against none of
the rivals that are pruned, by the theorem of `terms/tree.py`, so it is wrong exactly if it is wrong against a live one;
the search decides that for every sequence or counts it as wrong, by its theorem, what integers leave open is decided
in Arb (`counting/undecided.py`) or counted as wrong, and an order counts every sequence that is wrong against one of
its rivals, by its theorem. ∎

In strata that a cover lists, the live rivals are counted in an order instead, on a grid
(`counting/ordered.py`), or all rivals at once where it lists none; a stratum with a live rival that is not listed is
not.

Hints limit the work, in the order of strata: `minima`, how many nodes of strata with each program are looked at
(beyond, the outputs of a node are live); `entries`, how many terms against live rivals are made, and ranked for each
move that reads their token (beyond, a stratum is given up); `tries`, how often the tokens of a move are looked up for a
prefix and a rival that is open for it, in all, and `at_once` in one stratum (beyond, what is open is); with a cover
`additions`, operations of the counts (beyond, the strata of the cover are searched).

Soundness: for all weights, tasks and distributions, covers for independent positions, one head without final biases;
    every value of the hints.
Cost: tables and node maxima, about 4 operations per position and near token of a node that is looked at, 6 for each
    entry, 8 where something is searched, for each try two searches among the tokens, and the additions.
Source: new.

Contents:
    ComparisonsInstance, ComparisonsRule — about one question, and about all.
    flops_per_ranked, flops_per_try — of what the hints limit.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from math import floor
from typing import ClassVar

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_FLOP, OPS_PER_VISIT, Uncounted
from pessimal.kernel.counting.pruning import look
from pessimal.kernel.counting.ranked import CHUNK
from pessimal.kernel.counting.undecided import undecided_ops
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.model.source import Sourced
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.comparisons.cover import ARRAYS, Cover
from pessimal.kernel.rules.comparisons.search import Counting, Work
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import WORD
from pessimal.kernel.terms.nodes import NodeTerms, Others
from pessimal.spec.architecture import Architecture, ModelShape
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.question import Question
from pessimal.spec.tasks.max_of_k import MaxOfK
from pessimal.spec.weights import Weights

MAX_WORK = 1 << 40
# A difference, a product, and their integers.
FLOPS_PER_ENTRY = 6
LIMITS = {"entries", "tries", "at_once"}
COVERED = {"additions", "certain", "live", "strata"}


@dataclass(frozen=True, eq=False)
class ComparisonsInstance(Sourced, AbstractInstance):
    """The theorem about one question.

    Attributes:
        near: tokens next to the target that are treated one by one.
        work: what may be done.
        cover: strata that are counted on a grid, or None.
        n_hints: how many numbers of advice the certificate holds.
    """

    near: int
    work: Work
    cover: Cover | None
    n_hints: int

    @property
    def length(self) -> Hashable:
        """The options and the limits."""
        work = self.work
        limits = work.minima.tobytes(), work.entries, work.tries, work.at_once, work.additions
        cover = self.cover
        listed = () if cover is None else (len(cover.rival), cover.certain, len(cover.stratum), cover.others)
        return self.near, limits, self.n_hints, listed

    def uncounted(self) -> Uncounted:
        """Entries, tries and additions; on a grid the numbers are as long as the number of sequences."""
        s, question, work = self.architecture.shape, self.question, self.work
        per_entry = flops_per_ranked(s) if work.tries else FLOPS_PER_ENTRY
        flops = per_entry * work.entries + flops_per_try(s) * work.tries + work.additions
        strata, words = strata_of(question.task), question.total().bit_length() // WORD
        programs = strata.programs[0]
        most_visits = max((program.visits() for program in programs), default=0)
        most_moves = max((program.n_moves for program in programs), default=0)
        searched = min(strata.stratum_count, work.entries, work.tries)
        visits = min(searched * most_visits, work.tries) + searched * most_moves
        if self.cover is not None:
            visits += most_moves * (len(self.cover.rival) + (1 + self.cover.certain) * len(self.cover.stratum))
        exactly = undecided_ops(s, question, min(work.tries, question.task.total()))
        return Uncounted(
            table_numbers=s.d_vocab * s.k * s.d_vocab * s.d_vocab_out,
            hint_numbers=self.n_hints,
            flops=flops,
            checker_ops=OPS_PER_FLOP * (flops + work.additions * words) + OPS_PER_VISIT * visits + exactly,
            n_bytes=_bytes_searched(s, work, most_moves) + _bytes_looked_up(s, self.cover),
            decisions=work.tries,
            passes=s.d_vocab,
        )

    def run(self, weights: Weights, arith: AbstractArithmetic) -> object:
        """The tables, and as many rows of every program as may be looked at; the rest is done in integers."""
        strata = strata_of(self.question.task)
        tables = self.tables(weights, self.question.semantics, arith)
        others: Others = "none" if self.cover is None else self.cover.others
        nodes = NodeTerms(tables, strata, self.near, arith, others=others)
        look(nodes, strata, self.work.minima, arith)
        return nodes

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """The exact weight of the wrong sequences if everything is searched and the work suffices."""
        question, tables = self.question, self.tables(weights, self.question.semantics, arith)
        decides = self.source is None
        counting = Counting(tables, self.near, question, self.work.copy(), self.cover, arith, decides=decides)
        found = counting.all(weights, progress)
        at_least = found.tally.wrong + found.undecided.wrong - found.undecided.ties + floor(found.at_least)
        return CountBound.of(found.wrong, decided=self.cover is None, at_least=at_least)


class ComparisonsRule(AbstractRule):
    """Prune rivals by a tree, search what the live ones leave open, or count it in an order."""

    name: ClassVar[str] = "comparisons"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """One head, no final biases, at least two positions; every task."""
        require_separable(weights, question, one_head=True)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> ComparisonsInstance:
        """Limits of the work, and a cover if there is an option `strata`."""
        covered = "strata" in hints.options
        options = LIMITS | {"near"} | (COVERED | {"joint"} & hints.options.keys() if covered else set())
        hints.only(options, {"minima", *(ARRAYS if covered else ())})
        task, s = question.task, architecture.shape
        near = hints.number("near", 1, task.d_vocab)
        if near < task.d_vocab and not isinstance(task, MaxOfK):
            raise Rejected(Reason.BAD_HINT, f"near={near} lumps far tokens, which is done for {MaxOfK.name} only")
        strata = strata_of(task)
        minima = hints.integers("minima", (len(strata.programs[0]),))
        if minima.min() < 0 or minima.max() > 2 * strata.stratum_count * s.d_vocab_out:
            raise Rejected(Reason.BAD_HINT, "array minima must be from 0 to twice the pairs of a stratum and an output")
        entries, tries, at_once = (hints.number(name, 0, MAX_WORK) for name in ("entries", "tries", "at_once"))
        cover = Cover.read(hints, question, s) if covered else None
        if cover is not None and cover.joint and near < task.d_vocab:
            raise Rejected(Reason.BAD_HINT, "joint=1 takes all tokens one by one, near must be their number")
        additions = hints.number("additions", 0, MAX_WORK) if covered else 0
        n_hints = 8 + sum(array.size for array in hints.arrays.values())
        return ComparisonsInstance(
            architecture, question, near, Work(minima, entries, tries, at_once, additions), cover, n_hints
        )


def flops_per_ranked(shape: ModelShape) -> int:
    """Of an entry where something is searched: extremes of ends too (2), or the order of a term and its bits."""
    return 7 + _words(shape)


def flops_per_try(shape: ModelShape) -> int:
    """A sum, raised twice, two searches among the tokens, and sets of tokens in words of bits."""
    return 3 + 2 * shape.d_vocab.bit_length() + 5 * _words(shape)


def _words(shape: ModelShape) -> int:
    return -(-shape.d_vocab // WORD)


def _bytes_looked_up(shape: ModelShape, cover: Cover | None) -> int:
    """Memory of what is looked up for one comparison, and of the sums of all."""
    return 0 if cover is None else 64 * int(shape.d_vocab**cover.most_conditioned)


def _bytes_searched(shape: ModelShape, work: Work, most_moves: int) -> int:
    """Memory of a stratum's ranked terms, and of the prefixes of one chunk at every position."""
    chunk = CHUNK * shape.d_vocab_out
    pairs = min(work.tries, work.at_once, shape.k * chunk * shape.d_vocab)
    ranked = min(work.entries, most_moves * shape.d_vocab * shape.d_vocab_out) if pairs else 0
    words = 8 * _words(shape)
    return (64 + 8 * shape.k) * pairs + (96 + words) * ranked + 2 * words * min(pairs * shape.d_vocab_out, chunk)
