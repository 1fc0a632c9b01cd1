r"""Position minima: the worst token at every position.

Theorem. Let $g_i(t)$ be the terms of the separable margin of stratum $(q, y)$ against rival $o$, and let $e$ be a move
of the stratum's program at position i (strata.py), with letters $\ell(e)$. Every sequence whose path takes e has a
margin, times a positive number, of at least

$$ \mathrm{through}(e) = g_{K-1}(q) + \min_{\text{paths}\ni e} \sum_j \min_{t \in \ell(e_j)} g_j(t), $$

so if through(e) > 0 for every rival, all these sequences are right. What is left are the sequences none of whose moves
is certified; they are counted, or weighed (`weighing.py`), exactly.

*Proof.* The margin times the softmax denominator is the sum of its terms (`docs/separable-margin.md#the-margin`), each
at least its minimum over the letters of its move. The minimum over paths is a shortest-path sum: forward to e, e, and
backward from the end. The moves that are not certified form a program again, whose paths are those of the sequences
left; every sequence has one path. ∎

For Max-of-K and q < y the move "first y" at position j lies on one path only: the product of token sets "first y at j".

Soundness: for all weights and distributions; there are no hints. A lost entry certifies nothing.
Cost: counted over shapes, about (K-1) v**4 for Max-of-K.
Source: new.

Contents:
    PositionMinimaInstance, PositionMinimaRule — about one question, and about all.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_VISIT, Uncounted
from pessimal.kernel.counting.minima import letter_minima, open_moves
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.model.source import ExactTables
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


@dataclass(frozen=True, eq=False)
class PositionMinimaInstance(AbstractInstance):
    """The theorem about one question."""

    @property
    def length(self) -> Hashable:
        """Nothing: shapes say it all."""
        return ()

    def uncounted(self) -> Uncounted:
        """The steps of the programs, and the moves that are weighed."""
        shape, kinds = self.architecture.shape, strata_of(self.question.task).all_kinds()
        return Uncounted(
            table_numbers=3 * shape.d_vocab**2 + 2 * shape.k * shape.d_vocab,
            checker_ops=OPS_PER_VISIT * sum(program.n_moves for program, _ in kinds),
            decisions=sum(queries * program.n_moves for program, queries in kinds),
            passes=shape.d_vocab,
        )

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """The sequences that no move certifies."""
        task = self.question.task
        (head,), direct = ExactTables(self.question.semantics).tables(weights, arith)
        weighing = weighing_of(self.question)
        strata = weighing.strata
        k, d_vocab, n_out = head.value.shape
        weight = arith.stack([head.weight(q) for q in range(d_vocab)])
        wrong: dict[tuple[int, int], int] = {}
        for y in range(task.n_outputs):
            rivals = np.delete(np.arange(n_out), y)
            tokens = np.flatnonzero(strata.letter[y] != DEAD)
            value = head.value[: k - 1, tokens]
            margin = value[:, :, y : y + 1] - value[:, :, rivals]
            # As many queries with one program as fit.
            at_once = max(1, arith.cached // max(1, (k - 1) * tokens.size * rivals.size))
            for program, q in strata.by_query(y, at_once):
                at_query, ahead = head.value[k - 1, q], direct[q, y : y + 1] - direct[q[:, np.newaxis], rivals]
                last = (at_query[:, y : y + 1] - at_query[:, rivals] + ahead) * weight[q, k - 1, q].reshape(-1, 1)
                g = margin.reshape(k - 1, 1, tokens.size, -1) + ahead.reshape(1, q.size, 1, -1)
                g = g * weight[q, : k - 1][:, :, tokens].transpose(1, 0, 2).reshape(k - 1, q.size, tokens.size, 1)
                moves = open_moves(program, letter_minima(g, strata.letter[y, tokens]), last)
                for row, query in enumerate(q.tolist()):
                    uncertified = [tuple(move for maybe_wrong, move in layer if maybe_wrong[row]) for layer in moves]
                    wrong[query, y] = weighing.paths(uncertified, query, y)
            progress(y + 1, task.n_outputs)
        return CountBound.of(wrong, decided=True)


class PositionMinimaRule(AbstractRule):
    """Certify move by move by the worst token at every position."""

    name: ClassVar[str] = "position-minima"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """One head, no final biases, at least two positions; every task."""
        require_separable(weights, question, one_head=True)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> PositionMinimaInstance:
        """Refuse every hint: there are none."""
        hints.only(set(), set())
        return PositionMinimaInstance(architecture, question)
