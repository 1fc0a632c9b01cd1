r"""A binary tree over the outputs: one comparison for all rivals of a node.

Theorem. Let N be a set of rivals of y, $X_N = \max_{o \in N} V_i(t)_o$ and $D_N = \max_{o \in N} D(q)_o$. For every
$o \in N$ the term of position i is at least $w_i(q,t)\,[(V_i(t)_y - X_N) + (D(q)_y - D_N)]$. So if the sums of these
are positive for all sequences of a stratum, no rival of N reaches y in it.

*Proof.* $w > 0$, $V_i(t)_o \le X_N$ and $D(q)_o \le D_N$; the margin times the denominator of the softmax is the sum of
the terms (`docs/separable-margin.md#the-margin`). ∎

The tree is that of the token numbers: a node of level l holds the outputs that agree but for their last l bits.

Contents:
    RivalTree — nodes by level, their maxima, siblings and children.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure


class RivalTree:
    """Nodes are numbered level by level; node o < n_out is the output o itself.

    Attributes:
        n_out: outputs.
        n_nodes: nodes of all levels.
    """

    def __init__(self, n_out: int) -> None:
        self.n_out = n_out
        widths = [n_out]
        while widths[-1] > 1:
            widths.append((widths[-1] + 1) // 2)
        self._widths: Sequence[int] = widths
        self._first = np.cumsum([0, *widths])
        self.n_nodes = int(self._first[-1])

    def maxima(self, x: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
        """The largest of the last axis over the outputs of every node, `[..., n_nodes]`. Cost: n_out - 1 per row."""
        levels = [x]
        for width in self._widths[:-1]:
            last = levels[-1]
            joined = last[..., 0 : width - 1 : 2].maximum(last[..., 1:width:2])
            alone = [last[..., width - 1 :]] if width % 2 else []
            levels.append(arith.concatenate([joined, *alone], len(x.shape) - 1))
        return arith.concatenate(levels, len(x.shape) - 1)

    def siblings(self, y: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
        """Rows of y and nodes: of every row, nodes that partition its rivals, those beside the path from y up."""
        rows, nodes = [], []
        for level, width in enumerate(self._widths[:-1]):
            beside = (y >> level) ^ 1
            there = np.flatnonzero(beside < width)
            rows.append(there)
            nodes.append(self._first[level] + beside[there])
        return np.concatenate([np.zeros(0, np.int64), *rows]), np.concatenate([np.zeros(0, np.int64), *nodes])

    def children(self, nodes: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
        """Rows of `nodes`, none of which is an output itself, and their children, one or two each."""
        level = np.searchsorted(self._first, nodes, side="right") - 1
        left = self._first[level - 1] + 2 * (nodes - self._first[level])
        both = left + 1 < self._first[level]
        rows = np.arange(len(nodes))
        return np.concatenate([rows, rows[both]]), np.concatenate([left, left[both] + 1])
