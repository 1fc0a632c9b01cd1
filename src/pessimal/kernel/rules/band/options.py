"""Hints of the band proof.

Contents:
    BandOptions — the hints, read and checked.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec.architecture import ModelShape

WORDS = {"position_scores": ("exact", "rank-one"), "rival": ("centred", "joint"), "far": ("worst", "each")}
NUMBERS = ("first", "near", "cells", "rivals_from", "rivals_below", "rivals_above")
ARRAYS = ("classes", "query_direction", "key_direction")
MAX_CELLS = 1 << 10
MAX_RIVALS = 1 << 10


@dataclass(frozen=True)
class BandOptions:
    """What a band proof looks at.

    Attributes:
        first: targets below this one are given up.
        near: G; tokens closer to the target than this are treated one by one.
        cells: B; resolution of the grid.
        rivals_from: c; rivals below this token are bounded by norms on the direct path.
        rivals_below, rivals_above: rivals from that many below the target to that many above it are looked at one by
            one, unless they are below `rivals_from`.
        position_scores: `exact`, or `rank-one` with a bounded residual.
        rival: `centred`, or `joint` with the direct path.
        far: `worst`: all far tokens are as bad as the worst margin with the greatest weight; `each`: as the worst one.
        common_step: None: a grid for every class of holders; r: one for all, made for the class with the r-th largest
            room, from 0.
        classes: positions before the last that share their terms, by number, `[k - 1]`.
        directions: a and b of the rank-one score, `[2, d_model]`.
        d_vocab: v.
    """

    first: int
    near: int
    cells: int
    rivals_from: int
    rivals_below: int
    rivals_above: int
    position_scores: str
    rival: str
    far: str
    common_step: int | None
    classes: Int[np.ndarray, " k_1"]
    directions: Float[np.ndarray, "2 m"]
    d_vocab: int

    @staticmethod
    def read(hints: Hints, shape: ModelShape) -> "BandOptions":
        """The hints, or `Rejected(bad-hint)`."""
        added = {"far", "common_step"} & set(hints.options)
        hints.only({*NUMBERS, "position_scores", "rival", *added}, set(ARRAYS))
        v = shape.d_vocab
        first = hints.number("first", 0, v - 1)
        classes = hints.integers("classes", (shape.k - 1,))
        present = np.unique(classes)
        if not np.array_equal(present, np.arange(present.size)):
            raise Rejected(Reason.BAD_HINT, "array classes must number the classes of positions 0, 1, .. without a gap")
        directions = np.stack([hints.floats(name, (shape.d_model,)) for name in ARRAYS[1:]])
        return BandOptions(
            first=first,
            near=hints.number("near", 1, v),
            cells=hints.number("cells", 1, MAX_CELLS),
            rivals_from=hints.number("rivals_from", 0, min(first, shape.d_vocab_out - 2)),
            rivals_below=hints.number("rivals_below", 0, MAX_RIVALS),
            rivals_above=hints.number("rivals_above", 0, MAX_RIVALS),
            position_scores=hints.word("position_scores", WORDS["position_scores"]),
            rival=hints.word("rival", WORDS["rival"]),
            far=hints.word("far", WORDS["far"]) if "far" in added else "worst",
            common_step=hints.number("common_step", 0, shape.k) if "common_step" in added else None,
            classes=classes,
            directions=directions,
            d_vocab=v,
        )

    @property
    def numbers(self) -> tuple[int | str | bytes, ...]:
        """What the number of operations depends on: all but the directions."""
        windows = (self.rivals_from, self.rivals_below, self.rivals_above)
        words = (self.position_scores, self.rival, self.far)
        step = () if self.common_step is None else (self.common_step,)
        return self.first, self.near, self.cells, *windows, *words, self.classes.tobytes(), *step

    @property
    def window(self) -> list[int]:
        """Offsets of the rivals that are looked at one by one."""
        return [*range(-self.rivals_below, 0), *range(1, self.rivals_above + 1)]

    @property
    def first_row(self) -> int:
        """The first token whose scores and values are computed."""
        return 0 if self.far == "each" else self.first_near

    @property
    def first_near(self) -> int:
        """The first token that is near some target."""
        return max(0, self.first - self.near + 1)

    @property
    def n_far(self) -> int:
        """Tokens 0 .. n_far - 1 are far from some target."""
        return max(0, self.d_vocab - self.near)

    @property
    def first_far(self) -> int:
        """The first target that has far tokens, if any has."""
        return max(self.first, self.near)

    @property
    def near_pairs(self) -> Int[np.ndarray, "d_vocab rows"]:
        """Number of every pair of a query and a row that some target may have near, by query; -1 for others."""
        token = np.arange(self.first_row, self.d_vocab)
        near = (np.arange(self.d_vocab)[:, np.newaxis] < token + self.near) & (token >= self.first_near)
        return np.where(near, near.cumsum().reshape(near.shape) - 1, -1)

    @property
    def members(self) -> list[Int[np.ndarray, " n"]]:
        """The positions of every class, in rising order."""
        return [np.flatnonzero(self.classes == c) for c in range(int(self.classes.max()) + 1)]
