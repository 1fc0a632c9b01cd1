"""In which order the live rivals of a stratum are counted, and which positions are conditioned on.

Contents:
    Cover — the strata that are counted on a grid, read from hints.
    ARRAYS — its arrays.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from pessimal.kernel.counting.conditioned import MAX_LOOKED_UP, commutes
from pessimal.kernel.counting.live import Rivals
from pessimal.kernel.counting.ordered import ALL_AT_ONCE, Order
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.terms.nodes import Others
from pessimal.spec.architecture import ModelShape
from pessimal.spec.distribution import Markov
from pessimal.spec.question import Question

ARRAYS = ("gap", "count", "cells", "rival", "comparison", "positions")
BYTE, CONDITIONED = 1 << 8, 3
MAX_CELLS = 1 << 14


@dataclass(frozen=True, eq=False)
class Cover:
    """Strata that are counted on a grid.

    Attributes:
        certain: how many rivals of a stratum are counted from below too.
        joint: whether all rivals at once are those of the largest sums, token by token.
        stratum: their numbers, rising, `[n]`.
        positions: those that are conditioned on, rising, some of them twice if they are fewer, `[n, 3]`.
        cells: largest degrees of the polynomials, `[n]`.
        first: place of each stratum's first rival, and the end, `[n + 1]`; with none, all are counted at once.
        rival: rivals in their orders, `[live]`.
        parent: place among those of the stratum, -1 for none, `[live]`.
        multiple: in sixteenths, `[live]`.
    """

    certain: int
    joint: bool
    stratum: Int[np.ndarray, " n"]
    positions: Int[np.ndarray, "n 3"]
    cells: Int[np.ndarray, " n"]
    first: Int[np.ndarray, " n_1"]
    rival: Int[np.ndarray, " live"]
    parent: Int[np.ndarray, " live"]
    multiple: Int[np.ndarray, " live"]

    @classmethod
    def read(cls, hints: Hints, question: Question, shape: ModelShape) -> "Cover":
        """Check the form of the hints, and that parents come earlier.

        Raises:
            Rejected: bad-hint.
        """
        strata, k = strata_of(question.task), question.task.k
        n = hints.number("strata", 0, strata.stratum_count)
        live = hints.number("live", 0, strata.stratum_count * shape.d_vocab_out)
        gap, count, cells = (hints.halfwords(name, (n,)) for name in ARRAYS[:3])
        positions = hints.halfwords("positions", (n, CONDITIONED))
        rival, comparison = (hints.halfwords(name, (live,)) for name in ARRAYS[3:5])
        cover = cls(
            certain=hints.number("certain", 0, shape.d_vocab_out),
            joint="joint" in hints.options and hints.number("joint", 0, 1) == 1,
            stratum=np.cumsum(gap) - 1,  # the first gap counts from -1
            positions=positions,
            cells=cells,
            first=np.cumsum([0, *count]),
            rival=rival,
            parent=comparison % BYTE - 1,
            multiple=comparison // BYTE,
        )
        rising = n == 0 or (gap.min() > 0 and cover.stratum[-1] < strata.stratum_count)
        if not rising or cover.first[-1] != live:
            raise Rejected(Reason.BAD_HINT, "the strata of the cover do not rise, or their rivals do not add up")
        if n and not (cells.min() > 0 and cells.max() <= MAX_CELLS):
            raise Rejected(Reason.BAD_HINT, f"the cover has a stratum with less than 1 or more than {MAX_CELLS} cells")
        if live and rival.max() >= shape.d_vocab_out:
            raise Rejected(Reason.BAD_HINT, "the cover has a rival that is no output")
        if n and (k < 3 or isinstance(question.distribution, Markov)):
            raise Rejected(Reason.BAD_HINT, "a cover is for three positions or more that are independent")
        stratum = np.repeat(np.arange(n), count)
        earlier = cover.parent < np.arange(live) - cover.first[stratum]
        if not earlier.all() or np.unique(stratum * shape.d_vocab_out + rival).size < live:
            raise Rejected(Reason.BAD_HINT, "a parent does not come earlier, or a rival stands twice in a stratum")
        steps = np.diff(positions, axis=1, append=k - 1)
        last = (steps[:, :-1] <= 1).all(1) & (steps[:, -1] == 1)
        if not ((steps >= 0).all() and (steps[:, -1] > 0).all() and (last.all() or commutes(strata.recogniser))):
            raise Rejected(Reason.BAD_HINT, "the cover conditions on positions that are not before the query")
        if shape.d_vocab**cover.most_conditioned > MAX_LOOKED_UP:
            raise Rejected(Reason.BAD_HINT, f"the cover looks up more than {MAX_LOOKED_UP} sums at once")
        return cover

    def of(self, at: int) -> tuple[Rivals, Order]:
        """Rivals and order of a stratum of the cover."""
        part = slice(self.first[at], self.first[at + 1])
        if part.start == part.stop:
            return None, ALL_AT_ONCE
        return self.rival[part], Order(self.parent[part], self.multiple[part])

    def conditioned(self, at: int) -> Int[np.ndarray, " n"]:
        """The positions that are conditioned on in a stratum of the cover."""
        return np.unique(self.positions[at])

    @property
    def most_conditioned(self) -> int:
        """The largest number of positions that are conditioned on in a stratum."""
        return int((1 + (np.diff(self.positions, axis=1) > 0).sum(1)).max(initial=1))

    @property
    def others(self) -> Others:
        """How all rivals are counted at once; not, if there is no stratum where they are."""
        if (np.diff(self.first) > 0).all():
            return "none"
        return "joint" if self.joint else "apart"
