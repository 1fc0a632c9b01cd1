r"""Mean probability of the right output, and mean cross-entropy, from counts on a grid at several margins.

Counted, rival by rival, is the weight of the sequences whose margin over it is at most a level. Hints are the levels,
and limits of the work. What is lost: between two levels every sequence is taken to have the margin of the lower one;
a sequence with several close rivals is counted for each; and terms are rounded to a grid.

Theorem. (a) Let $m_o$ be the margin of a sequence of stratum $(q, y)$ over o. With the direct margin lowered by a level
$\mu$ in the terms, the count of `counting/fillings.py` is at least the weight of the sequences with $m_o \le \mu$; a
rival that the tree prunes at the highest level (`counting/pruning.py`), or whose smallest sum of terms is positive, has
none. So (d) of `counting/layers.py` holds, with N the sum over the rivals, each capped by the stratum's weight and by
its own counts at higher levels. (b) Other sets must not be counted: the losses are added up over all rivals, so that a
sequence with several rivals below a level belongs to each of them.

*Proof.* $Z\,(\mathrm{logit}_y - \mathrm{logit}_o - \mu) = \sum_i w_i(q, t_i)\,[(D(q)_y - D(q)_o) + (V_i(t_i)_y -
V_i(t_i)_o) - \mu]$, because attention adds up to one, is at most 0 exactly if $m_o \le \mu$. The terms are lower bounds
of its summands times a power of two, rounded down to integers that are small enough for sums without overflow. ∎

Hints limit the work, in the order of strata: `minima`, how many nodes of strata with each program the tree looks at
(beyond, the outputs of a node are live); `entries`, how many terms against live rivals are made, and `additions`, the
operations of all counts (beyond, a stratum is given up).

Soundness: for all weights without a final LayerNorm, all tasks, independent positions, one head; every value of the
    hints. What is lost gives its stratum up: probability 0, loss $\Lambda$; a lost $\Lambda$ is `unsupported-model`.
Cost: tables and node maxima, about 4 operations per position and near token of a node that is looked at; for each entry
    6, and 3 at every level; the additions.
Source: new; the layer-cake formula on exact counts.

Contents:
    LayerCountInstance, LayerCountRule — about one question, and about all.
    LevelWork — what may be done.
    Lowered — the counts at every level, stratum by stratum.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_FLOP, OPS_PER_VISIT, Uncounted
from pessimal.kernel.counting.fillings import Fillings
from pessimal.kernel.counting.layers import LEVELS, Heights, read_levels, require_nats
from pessimal.kernel.counting.pruning import live_rivals, look
from pessimal.kernel.hints import Dyadics, Hints
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.model.source import ExactTables
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import as_product, weighing_of
from pessimal.kernel.terms.nodes import NodeTerms
from pessimal.spec.architecture import Architecture
from pessimal.spec.claim import LOSS, MEAN_PROBABILITY
from pessimal.spec.distribution import Product, Uniform
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.tasks.max_of_k import MaxOfK
from pessimal.spec.weights import Weights

MAX_WORK = 1 << 44
MAX_CELLS = 1 << 12
FLOPS_PER_ENTRY, FLOPS_PER_TERM = 6, 3
# Sums of terms stay below 2**BITS.
BITS = 58


@dataclass
class LevelWork:
    """What may be done.

    Attributes:
        minima: nodes of strata with each program, `[programs]`.
        entries: terms against live rivals.
        additions: operations of the counts.
    """

    minima: Int[np.ndarray, " programs"]
    entries: int
    additions: int

    def copy(self) -> "LevelWork":
        """To be spent."""
        return replace(self, minima=self.minima.copy())


@dataclass(frozen=True, eq=False)
class LayerCountInstance(AbstractInstance):
    """The theorem about one question.

    Attributes:
        levels: mu, `[L]`.
        near: tokens next to the target that are treated one by one while rivals are pruned.
        cells: largest degree of a polynomial, about.
        work: what may be done.
        n_hints: how many numbers of advice the certificate holds.
    """

    levels: Dyadics
    near: int
    cells: int
    work: LevelWork
    n_hints: int

    @property
    def length(self) -> Hashable:
        """The options and the limits."""
        limits = self.work.minima.tobytes(), self.work.entries, self.work.additions
        return self.levels.mantissa.size, self.near, self.cells, *limits, self.n_hints

    def uncounted(self) -> Uncounted:
        """Entries at every level, additions, and the steps of the programs."""
        s, strata, n_levels = self.architecture.shape, strata_of(self.question.task), self.levels.mantissa.size
        flops = (FLOPS_PER_ENTRY + FLOPS_PER_TERM * n_levels) * self.work.entries + self.work.additions
        flops += n_levels * s.k * s.d_vocab**2
        n_strata, moves = strata.stratum_count, max(program.n_moves for program in strata.programs[0])
        # Terms in one block, with what is made from them; a decision on every rival, and nodes on the way to them.
        terms = s.k * s.d_vocab * n_levels
        held = min(self.work.entries * n_levels, max(AbstractArithmetic.block, terms))
        return Uncounted(
            table_numbers=s.d_vocab * s.k * s.d_vocab * s.d_vocab_out,
            hint_numbers=self.n_hints,
            flops=flops,
            checker_ops=OPS_PER_FLOP * flops + OPS_PER_VISIT * moves * n_strata,
            n_bytes=64 * held + 8 * n_strata * s.d_vocab_out,
            decisions=n_levels * n_strata,
        )

    def run(self, weights: Weights, arith: AbstractArithmetic) -> object:
        """The tables, the heights, and as many rows of every program as may be looked at."""
        tables, strata = ExactTables(self.question.semantics).tables(weights, arith), strata_of(self.question.task)
        nodes = NodeTerms(tables, strata, self.near, arith)
        look(nodes, strata, self.work.minima, arith, self.levels[-1:].enclosed(arith)[0])
        return nodes, Heights(self.question.quantity, self.levels, nodes.tree.n_out - 1, tables, arith)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """Sum over strata of the layers, exact once levels and counts are bounded."""
        tables, weighing = ExactTables(self.question.semantics).tables(weights, arith), weighing_of(self.question)
        heights = Heights(self.question.quantity, self.levels, tables[1].shape[1] - 1, tables, arith)
        nodes, total = NodeTerms(tables, weighing.strata, self.near, arith), Fraction(0)
        lowered = Lowered(nodes, self.question, self.levels, self.cells, arith)
        for (q, y), at_most in lowered.counts(self.work.copy(), progress):
            total += heights.summed(at_most, Fraction(weighing.stratum(q, y)), q)
        return CountBound(wrong_at_most=total, wrong_at_least=None, decided=False)


class LayerCountRule(AbstractRule):
    """Counts on a grid at several margins added up."""

    name: ClassVar[str] = "layer-count"
    distributions: ClassVar[tuple[str, ...]] = (Uniform.name, Product.name)
    quantities: ClassVar[tuple[str, ...]] = (MEAN_PROBABILITY, LOSS)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Real arithmetic, one head, no final LayerNorm, at least two positions; every task."""
        require_separable(weights, question, one_head=True)
        require_nats(self.name, weights, question)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> LayerCountInstance:
        """Levels and limits of the work."""
        hints.only({"near", "levels", "cells", "entries", "additions"}, {"minima", *LEVELS})
        task, s, strata = question.task, architecture.shape, strata_of(question.task)
        near = hints.number("near", 1, task.d_vocab)
        if near < task.d_vocab and not isinstance(task, MaxOfK):
            raise Rejected(Reason.BAD_HINT, f"near={near} lumps far tokens, which is done for {MaxOfK.name} only")
        minima = hints.integers("minima", (len(strata.programs[0]),))
        if minima.min() < 0 or minima.max() > 2 * strata.stratum_count * s.d_vocab_out:
            raise Rejected(Reason.BAD_HINT, "array minima must be from 0 to twice the pairs of a stratum and an output")
        entries, additions = (hints.number(name, 0, MAX_WORK) for name in ("entries", "additions"))
        levels, cells = read_levels(hints), hints.number("cells", 1, MAX_CELLS)
        n_hints = 5 + sum(array.size for array in hints.arrays.values())
        work = LevelWork(minima, entries, additions)
        return LayerCountInstance(architecture, question, levels, near, cells, work, n_hints)


At = tuple[int, int]
AtMost = list[Fraction | None]
Sums = tuple[Int[np.ndarray, "n A S"], Int[np.ndarray, " S"]]


class Lowered:
    """The counts of a question at every level.

    Attributes:
        nodes: the tables, and those of nodes for the highest level.
        question: task and distribution; independent positions.
        levels: mu, `[L, 1, 1]`.
        cells: largest degree of a polynomial, about.
    """

    def __init__(
        self, nodes: NodeTerms, question: Question, levels: Dyadics, cells: int, arith: AbstractArithmetic
    ) -> None:
        self.nodes, self.question, self.cells, self._arith = nodes, question, cells, arith
        self.levels = levels.enclosed(arith).reshape(-1, 1, 1)
        self._strata, self._weighing, self._product = strata_of(question.task), weighing_of(question), None
        if question.distribution.name != Uniform.name:
            self._product = as_product(question)

    def live(self, minima: Int[np.ndarray, " programs"]) -> Iterator[tuple[At, Int[np.ndarray, " R"]]]:
        """Strata (q, y) with the rivals that the tree does not prune at the highest level; `minima` are spent."""
        level = self.levels.reshape(-1)[-1]
        live = dict(live_rivals(self.nodes, self._strata, minima, self._arith, level))
        for q, y in np.argwhere(self._strata.stratum_index >= 0).tolist():
            yield (q, y), live.get((q, y), np.zeros(0, dtype=np.int64))

    def counts(self, work: LevelWork, progress: Progress) -> Iterator[tuple[At, AtMost]]:
        """Strata (q, y) with bounds on the weight up to each level, added up over rivals; `work` is spent."""
        query, d_vocab = 0, self.question.task.d_vocab
        none: AtMost = [Fraction(0)] * self.levels.shape[0]
        for at, rivals in self.live(work.minima):
            if at[0] > query:
                query = at[0]
                progress(query, d_vocab)
            yield at, self._stratum(at, rivals, work) if rivals.size else none
        progress(d_vocab, d_vocab)

    def entries(self, y: int, rivals: int) -> int:
        """Terms of a stratum against some rivals."""
        return self.question.task.k * int((self._strata.letter[y] != DEAD).sum()) * rivals

    def fillings(self, at: At) -> tuple[Fillings, Int[np.ndarray, " A"]]:
        """Of one stratum; and the tokens that occur in it, letter by letter."""
        (q, y), n = at, self.question.task.k - 1
        alive = np.flatnonzero(self._strata.letter[y] != DEAD)
        alive = alive[np.argsort(self._strata.letter[y, alive], kind="stable")]
        weights = None
        if self._product is not None:
            weights = np.stack([self._product.position(i)[alive] for i in range(n)]).astype(np.float64)
        return Fillings(self._strata.program(q, y), self._strata.letter[y, alive], weights, self.cells), alive

    def sums(self, at: At, rivals: Int[np.ndarray, " R"], alive: Int[np.ndarray, " A"]) -> Iterator[Sums | None]:
        """Terms before the query and of it, rival by rival and level by level, so many at a time; None if lost."""
        step = max(1, self._arith.block // (self.question.task.k * alive.size * self.levels.shape[0]))
        for begin in range(0, rivals.size, step):
            yield self._terms(at, rivals[begin : begin + step], alive)

    def _stratum(self, at: At, rivals: Int[np.ndarray, " R"], work: LevelWork) -> AtMost:
        """One stratum; lost if its numbers are, or if the work does not suffice."""
        lost: AtMost = [None] * self.levels.shape[0]
        entries = self.entries(at[1], rivals.size)
        if entries > work.entries:
            return lost
        work.entries -= entries
        fillings, alive = self.fillings(at)
        last = 1 if self._product is None else int(self._product.position(self.question.task.k - 1)[at[0]])
        # A query of weight zero has no weight to bound.
        size = self._weighing.stratum(*at) // max(last, 1)
        added = np.zeros(len(lost))
        for sums in self.sums(at, rivals, alive):
            counts = None if sums is None else self._counted(fillings, sums, float(size), work)
            if counts is None:
                return lost
            # A bound at a higher level bounds a lower one.
            added += np.minimum.accumulate(counts.reshape(-1, len(lost))[:, ::-1], 1)[:, ::-1].sum(0)
        # SOUND: the roundings of `fillings.py`, of the sum over rivals, of the size, and of this product.
        total = added * (1.0 + (fillings.roundings + 2 * rivals.size + 3) * 2.0**-52)
        return [Fraction(one) * last if np.isfinite(one) else None for one in total.tolist()]

    def _counted(self, fillings: Fillings, sums: Sums, size: float, work: LevelWork) -> Float[np.ndarray, " S"] | None:
        """What each sum counts, at most `size`; None if the work does not suffice."""
        terms, last = sums
        rows, for_all = fillings.undecided(terms, last)
        counts = np.where(for_all, size, 0.0)
        if rows.size * fillings.each > work.additions:
            return None
        work.additions -= rows.size * fillings.each
        step = max(1, self._arith.cached // self.cells)
        for begin in range(0, rows.size, step):
            part = rows[begin : begin + step]
            found = fillings.up_to_zero(terms[:, :, part], last[part])
            counts[part] = np.where(np.isfinite(found), np.minimum(found, size), size)
        return counts

    def _terms(self, at: At, rivals: Int[np.ndarray, " R"], alive: Int[np.ndarray, " A"]) -> Sums | None:
        """Terms before the query and of it against some rivals; None where they are lost."""
        q, nodes, used = at[0], self.nodes, np.append(rivals, at[1])
        n, query = nodes.value.shape[0] - 1, int(np.flatnonzero(alive == q)[0])
        weight = nodes.weight[q][:, alive]
        logits = nodes.value[:, alive][:, :, used] + nodes.ahead[q, used]
        margin = ((logits[:, :, -1:] - logits[:, :, :-1]) * weight.reshape(n + 1, -1, 1)).bounds()[0]
        taken_off = (self.levels * weight.reshape(1, n + 1, -1)).bounds()[1]
        greatest = max(float(np.abs(margin).max()), float(np.abs(taken_off).max()))
        if not np.isfinite(greatest):
            return None
        # Two numbers, each below 2**(BITS - 1) / (n + 1): their sums stay below 2**BITS plus units of rounding.
        exponent = BITS - 1 - (n + 1).bit_length() - int(np.frexp(greatest)[1])
        down = np.floor(np.nextafter(np.ldexp(margin, exponent), -np.inf)).astype(np.int64)  # ROUND: downwards
        up = np.ceil(np.nextafter(np.ldexp(taken_off, exponent), np.inf)).astype(np.int64)  # ROUND: upwards
        terms = down[:, :, :, np.newaxis] - up.transpose(1, 2, 0)[:, :, np.newaxis]
        terms = terms.reshape(n + 1, alive.size, -1)
        return terms[:-1], terms[-1, query]
