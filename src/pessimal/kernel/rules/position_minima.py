r"""R1: position minima, the worst token at every position.

Theorem. With $g_i(t)$ lower bounds of the terms of the separable margin of stratum $(q, y)$ against rival $o$, let
$\mu_i = \min_{t \le y} g_i(t)$ and $\mu'_i = \min_{t < y} g_i(t)$. If for every $o \ne y$

$$ \sum_{i<j} \mu'_i + g_j(y) + \sum_{i>j} \mu_i + g_{K-1}(q) > 0, $$

then every sequence of the box "last token q, first y at position j" is right; if q = y and
$\sum_i \mu_i + g_{K-1}(q) > 0$, the whole stratum is. *Proof.* The margin times the positive softmax denominator is the
sum of its terms, each at least its minimum over the tokens the box allows.

Soundness: for all weights; there are no hints. A lost entry certifies nothing.
Cost: `cost.position_minima_cost`, about 3(K-1) v**4 / 3.
Source: new; specification `counting-proofs.md`, R1; `rigour.md`, section 1.
"""

from fractions import Fraction
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic, AbstractEnclosure
from pessimal.kernel.cost import Cost, position_minima_cost
from pessimal.kernel.rules.interface import AbstractRule, CountBound, Hints, Progress
from pessimal.kernel.strata import box_size, stratum_size
from pessimal.kernel.tables import AdditiveTables, additive_tables, require_single_additive_head
from pessimal.spec.architecture import Architecture
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights


def certified_in_stratum(
    tables: AdditiveTables, margin: AbstractEnclosure, last: AbstractEnclosure, q: int, y: int
) -> int:
    """Number of sequences of stratum (q, y) in certified boxes.

    Args:
        tables: the model.
        margin: (V_i(t)_y - V_i(t)_o) for i < K - 1, t <= y, o != y: `[K-1, y+1, rivals]`.
        last: the same for position K - 1 and token q: `[rivals]`.
        q: query token.
        y: target token.
    """
    k = tables.position_value.shape[0]
    rivals = np.delete(np.arange(tables.direct.shape[1]), y)
    direct = tables.direct[q, y] - tables.direct[q, rivals]
    position = tables.position_weight[q, : k - 1].reshape(-1, 1)
    weight = position * tables.token_weight[q, : y + 1]
    g = (margin + direct) * weight.reshape(k - 1, y + 1, 1)
    tail = (last + direct) * (tables.token_weight[q, q] * tables.position_weight[q, k - 1])
    if q == y:
        total = g.min(1).sum(0) + tail
        return stratum_size(k, q, y) if bool(total.positive().all()) else 0
    below = g[:, :y].min(1)
    least = below.minimum(g[:, y])
    # prefix[j] = tail + sum of mu'_i over i < j; suffix runs from the right.
    prefix = [tail]
    for i in range(k - 2):
        prefix.append(prefix[-1] + below[i])
    certified = 0
    suffix: AbstractEnclosure | None = None
    for j in range(k - 2, -1, -1):
        total = prefix[j] + g[j, y]
        if suffix is not None:
            total = total + suffix
        if bool(total.positive().all()):
            certified += box_size(k, j, y)
        if j > 0:
            suffix = least[j] if suffix is None else suffix + least[j]
    return certified


class PositionMinimaRule(AbstractRule):
    """R1: certify box by box by the worst token at every position."""

    name: ClassVar[str] = "position-minima"

    def cost(self, architecture: Architecture, hints: Hints) -> Cost:
        """Closed form."""
        hints.only(set(), set())
        return position_minima_cost(architecture)

    def require_covers(self, weights: Weights) -> None:
        """One head, additive scores, no final biases, at least two positions."""
        require_single_additive_head(weights)

    def bound(
        self,
        weights: Weights,
        task: AbstractTask,
        hints: Hints,
        arith: AbstractArithmetic,
        progress: Progress,
    ) -> CountBound:
        """Total less the sizes of the certified boxes."""
        del hints
        tables = additive_tables(weights, arith)
        k, n_out = tables.position_value.shape
        certified = 0
        for y in range(task.d_vocab):
            rivals = np.delete(np.arange(n_out), y)
            token = tables.token_value[: y + 1, y].reshape(-1, 1) - tables.token_value[: y + 1, rivals]
            position = tables.position_value[:, y].reshape(-1, 1) - tables.position_value[:, rivals]
            margin = token.reshape(1, y + 1, -1) + position[: k - 1].reshape(k - 1, 1, -1)
            last = token + position[k - 1]
            for q in range(y + 1):
                certified += certified_in_stratum(tables, margin, last[q], q, y)
            progress(y + 1, task.d_vocab)
        return CountBound(Fraction(task.total() - certified), None, decided=True)
