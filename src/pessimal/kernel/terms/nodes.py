r"""Terms of many comparisons at once: of every row (q, y, N), those of stratum (q, y) against the rivals of node N.

Theorem. The numbers below are lower bounds of the terms of every rival of the node (`tree.py`). Hint `near` = G: of
Max-of-K, tokens $t \le y - G$ enter as one lump, whose term at position i is at least $\min(0, m)\,w$, with m at most
the least margin over them and w the largest weight (`docs/separable-margin.md#fewer-terms`); m is the least $V_i(t)_y$
less the greatest $X_N(i, t)$.

*Proof.* The least difference is at least the difference of the extremes. ∎

About the mean row $\bar D$ of D moves to V first, which changes no margin (`docs/separable-margin.md#fewer-terms`) and
brings the two maxima closer to their joint one.

Rows share their factors: margins are those of (y, N) and weights those of (q, y), so each is read once for many rows.

Contents:
    NodeTerms — the tables of all nodes, and the terms of rows.
    Factors, Both — margins or weights by position, of near tokens and of the far ones together; the two of a row.
    RowTerms — the terms of rows with one program.
    Others — how all other outputs are compared with at once.
    exact_middle — numbers in the middle of enclosures.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.model.source import Tables
from pessimal.kernel.strata.strata import Strata
from pessimal.kernel.terms.near import near_tokens
from pessimal.kernel.terms.others import exclusive_max
from pessimal.kernel.terms.tree import RivalTree
from pessimal.spec.machine import DEAD

Ints = Int[np.ndarray, " n"]
# Stands for the term of a token that is not there; whatever it is, no minimum becomes larger by it.
NONE = 2**62


@dataclass(frozen=True)
class RowTerms:
    """Lower bounds of the terms of n rows.

    Attributes:
        near: of the tokens treated one by one, `[K-1, n, G]`.
        letter: their letters, or `DEAD`, `[n, G]`.
        far: of every far token, letter 0, or `NONE` where a row has none, `[K-1, n]`.
        last: of the query token at the last position, `[n]`.
    """

    near: AbstractEnclosure
    letter: Int[np.ndarray, "n G"]
    far: AbstractEnclosure | None
    last: AbstractEnclosure


@dataclass(frozen=True)
class Factors:
    """Margins or weights, by position.

    Attributes:
        near: of the tokens treated one by one, `[K-1, n, G]`.
        far: of all far tokens together, `[K-1, n]`; None if no output has any.
    """

    near: AbstractEnclosure
    far: AbstractEnclosure | None

    def __getitem__(self, rows: Int[np.ndarray, " m"]) -> "Factors":
        """Some of them, `[K-1, m, G]`."""
        return Factors(self.near[:, rows], None if self.far is None else self.far[:, rows])


Both = tuple[Factors, Factors]
# How all other outputs are compared with at once: not, by their largest values and their largest direct logit, or by
# the largest sum of the two, which takes all tokens one by one.
Others = Literal["none", "apart", "joint"]


def exact_middle(x: AbstractEnclosure, arith: AbstractArithmetic) -> AbstractEnclosure:
    """Numbers about the middle of a vector of enclosures, 0 for what is lost: the same to add as to take off."""
    lo, hi = x.bounds()
    found = lo / 2 + hi / 2
    return arith.matrix(np.where(np.isfinite(found), found, 0.0)).enclose()


class NodeTerms:
    """Tables of one head for all nodes.

    Attributes:
        tree: over the outputs.
        value, ahead: V_i(t) and D with the mean row moved, `[k, d_vocab, n_out]` and `[d_vocab, n_out]`.
        weight: w_i(q, t), `[d_vocab, k, d_vocab]`.
    """

    def __init__(
        self, tables: Tables, strata: Strata, near: int, arith: AbstractArithmetic, *, others: Others = "none"
    ) -> None:
        """`others`: how all other outputs are compared with at once, if they are."""
        (head,), direct = tables
        mean = exact_middle(direct.sum(0) * Fraction(1, direct.shape[0]), arith)
        self.value, self.ahead = head.value + mean, direct - mean
        self.weight = arith.stack([head.weight(q) for q in range(direct.shape[0])])
        self.tree = RivalTree(direct.shape[1])
        self._value_of_node, self._ahead_of_node = (self.tree.maxima(x, arith) for x in (self.value, self.ahead))
        self._joint: AbstractEnclosure | None = None
        if others == "joint":
            logits = (self.value + self.ahead[q] for q in range(direct.shape[0]))
            self._joint = arith.stack([one - exclusive_max(one, arith) for one in logits])
        if others == "apart":
            self._value_of_node, self._ahead_of_node = (
                arith.concatenate([of_node, exclusive_max(x, arith)], len(x.shape) - 1)
                for of_node, x in ((self._value_of_node, self.value), (self._ahead_of_node, self.ahead))
            )
        self._token, self._letter, self._n_far = near_tokens(strata, near)
        n = head.value.shape[0] - 1
        if self._n_far.any():
            self._least = self.value[:n].cumulative_min(1)
            self._greatest = self._value_of_node[:n].cumulative_max(1)
            self._heaviest = self.weight[:, :n].cumulative_max(2)

    @property
    def row_size(self) -> int:
        """Terms of one row."""
        return int((self.value.shape[0] - 1) * (self._token.shape[1] + 1))

    def n_terms(self, y: int) -> int:
        """How many of a stratum's tokens are treated one by one, and all others."""
        return int((self._letter[y] != DEAD).sum() + (self._n_far[y] > 0))

    def at_once(self, q: int, y: int) -> tuple[Float[np.ndarray, "k_1 d_vocab"], float]:
        """Lower ends of the terms against all rivals, those of tokens and that of the query."""
        near, terms = self._letter[y] != DEAD, np.zeros((self.value.shape[0] - 1, self.value.shape[1]))
        tokens = self._token[y, near]
        if self._joint is not None:
            terms[:, tokens] = (self._joint[q, :-1, tokens, y] * self.weight[q, :-1, tokens]).bounds()[0].T
            return terms, float((self._joint[q, -1, q, y] * self.weight[q, -1, q]).bounds()[0])
        found = self.of(np.array([q]), np.array([y]), np.array([self.tree.n_nodes + y]))
        terms[:, tokens] = found.near.bounds()[0][:, 0, near]
        if found.far is not None:
            terms[:, : self._n_far[y]] = found.far.bounds()[0]
        return terms, float(found.last.bounds()[0][0])

    def columns(self, outputs: Int[np.ndarray, " Y"]) -> dict[int, slice]:
        """By letter, between which of the G near tokens all are that have it for one of these outputs or another."""
        letter = self._letter[outputs]
        kinds = np.unique(letter[letter != DEAD]).tolist()
        found = {kind: np.flatnonzero((letter == kind).any(0)) for kind in kinds}
        return {kind: slice(int(at[0]), int(at[-1]) + 1) for kind, at in found.items()}

    def margins(self, y: Ints, node: Ints) -> Factors:
        """V_i(t)_y - X_N(i, t), the least of them for far tokens or less. Cost: 1 per entry."""
        n = self.value.shape[0] - 1
        i, t = np.arange(n)[:, np.newaxis, np.newaxis], self._token[y]
        near = self.value[i, t, y[:, np.newaxis]] - self._value_of_node[i, t, node[:, np.newaxis]]
        if not self._n_far.any():
            return Factors(near, None)
        i, last = np.arange(n)[:, np.newaxis], np.maximum(self._n_far[y] - 1, 0)
        return Factors(near, self._least[i, last, y] - self._greatest[i, last, node])

    def weights(self, q: Ints, y: Ints) -> Factors:
        """w_i(q, t), the greatest of them for far tokens. Cost: none."""
        n = self.value.shape[0] - 1
        i, last = np.arange(n)[:, np.newaxis], np.maximum(self._n_far[y] - 1, 0)
        near = self.weight[q[:, np.newaxis], i[:, np.newaxis], self._token[y]]
        return Factors(near, self._heaviest[q, i, last] if self._n_far.any() else None)

    def of(
        self, q: Ints, y: Ints, node: Ints, level: AbstractEnclosure | None = None, factors: Both | None = None
    ) -> RowTerms:
        """The terms of some rows; `level`, shape (), is taken off the direct margin.

        `factors`: their margins and weights, if at hand. Cost: about 3 operations per position and near token.
        """
        n = self.value.shape[0] - 1
        margins, weights = factors or (self.margins(y, node), self.weights(q, y))
        ahead = self.ahead[q, y] - self._ahead_of_node[q, node]
        ahead = ahead if level is None else ahead - level
        near = (margins.near + ahead.reshape(1, -1, 1)) * weights.near
        last = self.value[n, q, y] - self._value_of_node[n, q, node] + ahead
        return RowTerms(near, self._letter[y], self._far(y, ahead, margins, weights), last * self.weight[q, n, q])

    def _far(self, y: Ints, ahead: AbstractEnclosure, margins: Factors, weights: Factors) -> AbstractEnclosure | None:
        """The lumps; Max-of-K, whose far tokens are 0 .. y - G."""
        if margins.far is None or weights.far is None:
            return None
        margin = margins.far + ahead.reshape(1, -1)
        far = margin.minimum(margin.number(Fraction(0))) * weights.far
        return far.where(np.broadcast_to(self._n_far[y] > 0, far.shape), NONE)
