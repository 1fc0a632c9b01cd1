r"""R1: position minima, the worst token at every position.

Theorem. Let $g_i(t)$ be the terms of the separable margin of stratum $(q, y)$ against rival $o$, and let $e$ be a move
of the stratum's program at position i (strata.py), with letters $\ell(e)$. Every sequence whose path takes e has a
margin, times a positive number, of at least

$$ \mathrm{through}(e) = g_{K-1}(q) + \min_{\text{paths}\ni e} \sum_j \min_{t \in \ell(e_j)} g_j(t), $$

so if through(e) > 0 for every rival, all these sequences are right. What is left are the sequences none of whose moves
is certified; they are counted, or weighed (`weighing.py`), exactly. *Proof.* The margin times the softmax denominator
is the sum of its terms, each at least its minimum over the letters of its move. The minimum over paths is a
shortest-path sum: forward to e, e, and backward from the end.

For Max-of-K and q < y the move "first y" at position j lies on one path only, which is the box "first y at j".

Soundness: for all weights and distributions; there are no hints. A lost entry certifies nothing.
Cost: `position_minima_cost`, about 3(K-1) v**4 / 3 for Max-of-K.
Source: new; specification `counting-proofs.md`, R1; `rigour.md`, section 1.
"""

from fractions import Fraction
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import OPS_PER_VISIT, Cost, table_cost
from pessimal.kernel.counting.minima import LetterMinima, program_flops, uncertified
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.heads import separable_heads, separable_heads_flops
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighed, weighing_of
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.machine import DEAD
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


def position_minima_cost(arch: Architecture, question: Question) -> Cost:
    """Three operations per (y, q, t, i, o), plus the passes over the programs."""
    s, task = arch.shape, question.task
    strata = strata_of(task)
    v, n, r = s.d_vocab, s.k - 1, s.d_vocab_out - 1
    flops, exps = separable_heads_flops(arch, question.semantics)
    flops += (not arch.ln1) * v * (s.k * v)
    for y in range(task.n_outputs):
        w = sum(strata.letter_counts[y])
        kinds = strata.kinds(y)
        if kinds:
            flops += n * w * r  # margins of this target
        for program, queries in kinds:
            used = {letter for layer in program.layers for _, letters in layer for letter in letters}
            minima = sum(strata.letter_counts[y][letter] - 1 for letter in used)
            flops += queries * (4 * r + 2 * n * w * r + n * minima * r + r * program_flops(program))
    dims = 3 * v * v + 2 * s.k * v
    return table_cost(arch, flops, exps, dims, entries=16 * n * v * r)


class PositionMinimaRule(AbstractRule):
    """R1: certify move by move by the worst token at every position."""

    name: ClassVar[str] = "position-minima"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)

    def cost(self, architecture: Architecture, question: Question, hints: Hints) -> Cost:
        """From shapes alone."""
        hints.only(set(), set())
        kinds = strata_of(question.task).all_kinds()
        steps = sum(program.n_moves for program, _ in kinds)
        moves = sum(queries * program.n_moves for program, queries in kinds)
        cost = position_minima_cost(architecture, question).checked(OPS_PER_VISIT * steps)
        return weighed(cost, question, decisions=moves, passes=question.task.d_vocab)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """One head, no final biases, at least two positions; every task."""
        require_separable(weights, question, one_head=True)

    def bound(
        self,
        weights: Weights,
        question: Question,
        hints: Hints,
        arith: AbstractArithmetic,
        progress: Progress,
    ) -> CountBound:
        """The sequences that no move certifies."""
        task = question.task
        del hints
        (head,), direct = separable_heads(weights, arith, question.semantics)
        weighing = weighing_of(question)
        strata = weighing.strata
        k, d_vocab, n_out = head.value.shape
        weight = [head.weight(q) for q in range(d_vocab)]
        wrong: dict[tuple[int, int], int] = {}
        for y in range(task.n_outputs):
            rivals = np.delete(np.arange(n_out), y)
            tokens = np.flatnonzero(strata.letter[y] != DEAD)
            queries = [q for q in range(d_vocab) if not strata.program(q, y).empty]
            if queries:
                value = head.value[: k - 1, tokens]
                margin = value[:, :, y].reshape(k - 1, -1, 1) - value[:, :, rivals]
                own = head.value[k - 1, queries]
                last = own[:, y].reshape(-1, 1) - own[:, rivals]
            for row, q in enumerate(queries):
                ahead = direct[q, y] - direct[q, rivals]
                g = (margin + ahead) * weight[q][: k - 1, tokens].reshape(k - 1, -1, 1)
                tail = (last[row] + ahead) * weight[q][k - 1, q]
                wrong[q, y] = uncertified(weighing, q, y, LetterMinima(g, strata.letter[y, tokens]), tail)
            progress(y + 1, task.n_outputs)
        return CountBound(Fraction(sum(wrong.values())), None, decided=True, strata=wrong)
