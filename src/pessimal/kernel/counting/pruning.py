r"""Which rivals of every stratum a tree of node maxima does not prune.

Theorem. In every stratum $(q, y)$ a rival that is not *live* reaches y in no sequence: its margin is positive, or above
a level where one is given.

*Proof.* The rivals of a stratum are those of the nodes beside the path of y (`terms/tree.py`). A node is pruned if its
smallest sum of terms is positive (`counting/smallest.py`): then by the theorem of the tree no rival of it reaches y.
Another one is replaced by its children, which partition it, or is an output: that is live. A level that comes off the
direct margin comes off the margin, because attention adds up to one. ∎

Strata are taken block by block, those of outputs that follow each other, so that what rows share is read once: the
margins of a target and a node, the weights of a stratum. Memory is that of a block, whatever the number of strata.

Contents:
    LiveStratum — a stratum (q, y), and its live rivals.
    live_rivals — the strata that have some.
    look — at as many nodes as may be looked at, for whoever counts the operations.
    Level — what is taken off every margin, or nothing.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.counting.smallest import smallest_sums
from pessimal.kernel.strata.strata import Strata
from pessimal.kernel.terms.nodes import NodeTerms

Ints = Int[np.ndarray, " _"]
Level = AbstractEnclosure | None
LiveStratum = tuple[tuple[int, int], Ints]


def live_rivals(
    nodes: NodeTerms, strata: Strata, minima: Ints, arith: AbstractArithmetic, level: Level = None,
    outputs: Ints | None = None,
) -> Iterator[LiveStratum]:  # fmt: skip
    """Strata (q, y) with a rival that is not pruned, output by output, and all such rivals, rising.

    Args:
        nodes: the tables.
        strata: of the task.
        minima: how many nodes of strata with each program may be looked at; they are spent. Beyond, all are live.
        arith: of the tables.
        level: taken off every margin, shape ().
        outputs: rising; a rule looks at all of them.
    """
    outputs = np.arange(strata.stratum_index.shape[1]) if outputs is None else outputs
    count = (strata.stratum_index[:, outputs] >= 0).sum(0)
    # Factors of its strata, and in the worst case a row for every rival, are held at once.
    block = np.cumsum(count) // max(1, arith.block // max(nodes.row_size, nodes.tree.n_nodes))
    for number in np.unique(block):
        mine = outputs[block == number]
        at, q = np.nonzero(strata.stratum_index[:, mine].T >= 0)
        row, rival = _Block(nodes, strata, q, mine[at], level).live(minima, arith)
        order = np.lexsort((rival, row))
        rivals = np.split(rival[order], np.cumsum(np.bincount(row, minlength=q.size))[:-1])
        for stratum in np.unique(row).tolist():
            yield (int(q[stratum]), int(mine[at[stratum]])), rivals[stratum]


class _Block:
    """Strata (q, y) side by side; `level` as above."""

    def __init__(self, nodes: NodeTerms, strata: Strata, q: Ints, y: Ints, level: Level) -> None:
        self._nodes, self._strata, self._q, self._y, self._level = nodes, strata, q, y, level
        self._weights, self._program = nodes.weights(q, y), strata.programs[1][y, q]

    def live(self, minima: Ints, arith: AbstractArithmetic) -> tuple[Ints, Ints]:
        """Strata by their number in the block, and a live rival of each."""
        row, node = self._nodes.tree.siblings(self._y)
        rows, rivals = [], []
        while row.size:
            pruned = np.zeros(row.size, dtype=bool)
            for index in range(len(minima)):
                mine = np.flatnonzero(self._program[row] == index)[: minima[index]]
                minima[index] -= mine.size
                pruned[mine] = self._positive(index, row[mine], node[mine], arith)
            row, node = row[~pruned], node[~pruned]
            leaf = node < self._nodes.tree.n_out
            rows.append(row[leaf])
            rivals.append(node[leaf])
            parent, child = self._nodes.tree.children(node[~leaf])
            row, node = row[~leaf][parent], child
        return np.concatenate(rows), np.concatenate(rivals)

    def _positive(self, index: int, row: Ints, node: Ints, arith: AbstractArithmetic) -> Bool[np.ndarray, " n"]:
        """Which rows of strata with one program are certainly right against all rivals of their node."""
        nodes, q, y = self._nodes, self._q[row], self._y[row]
        pairs, pair = np.unique(y * nodes.tree.n_nodes + node, return_inverse=True)
        margins, columns = nodes.margins(*np.divmod(pairs, nodes.tree.n_nodes)), nodes.columns(np.unique(y))
        found, step = np.zeros(row.size, dtype=bool), max(1, arith.cached // nodes.row_size)
        for begin in range(0, row.size, step):
            at = slice(begin, begin + step)
            terms = nodes.of(q[at], y[at], node[at], self._level, (margins[pair[at]], self._weights[row[at]]))
            found[at] = smallest_sums(self._strata.programs[0][index], terms, columns).positive()
        return found


def look(nodes: NodeTerms, strata: Strata, minima: Ints, arith: AbstractArithmetic, level: Level = None) -> None:
    """What `live_rivals` does where all of `minima` is spent and no two nodes share what is read: for its cost."""
    block = max(1, arith.cached // nodes.row_size)
    for index, number in enumerate(minima.tolist()):
        y, q = np.nonzero(strata.programs[1] == index)
        columns = nodes.columns(y)
        for size, times in ((block, number // block), (number % block, 1)):
            row = np.zeros(size if times else 0, dtype=np.int64)
            with arith.repeated(times):
                terms = nodes.of(row + q[0], row + y[0], row, level)
                smallest_sums(strata.programs[0][index], terms, columns).positive()
