r"""Layer cake: mean probability of the right output, and mean cross-entropy, from counts at several margins.

Counted, by exponential moments, is the weight of the sequences whose margin is at most a level. Hints are the levels
and the tilts. What is lost: between two levels every sequence is taken to have the margin of the lower one.

Theorem. With the direct margin lowered by a level $\mu$ in the terms (`builder.py`), the exponential moment bounds the
weight $N_\mu$ of the sequences of a stratum with a margin $m(t) \le \mu$; with `rival` = every, for every rival by
itself. The rest is that of `counting/layers.py`: (d) where rivals are counted one by one, else (b) and (c).

*Proof.* $Z\,(\mathrm{logit}_y - \mathrm{logit}_o - \mu)$ is separable as it is without $\mu$, which comes off the
direct margin because attention adds up to one; it is at most 0 for some o exactly if $m(t) \le \mu$. ∎

Soundness: for all weights without a final LayerNorm (whose scale multiplies all logits of a sequence, so that only the
    sign of a margin is in the tables), all tasks and distributions; hints: levels are any strictly increasing dyadics
    (others are rejected), tilts any non-negative ones. A lost number gives its stratum up: probability 0, loss
    $\Lambda$; a lost $\Lambda$ is `unsupported-model`.
Cost: counted over shapes: the moments of every level.
Source: new; the layer-cake formula on exponential moments.

Contents:
    LayerCakeInstance, LayerCakeRule — about one question, and about all.
    LevelCounts — what is computed at every level.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import Uncounted
from pessimal.kernel.counting.layers import LEVELS, Heights, read_levels, require_nats
from pessimal.kernel.counting.moments import added_moments, moments_of
from pessimal.kernel.counting.tilts import TILTS, positions_apart
from pessimal.kernel.hints import Dyadics, Hints
from pessimal.kernel.model.heads import separable_numbers
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.kernel.strata.strata import strata_of
from pessimal.kernel.strata.weighing import weighing_of
from pessimal.kernel.terms.builder import TermBuilder, all_terms
from pessimal.kernel.terms.options import TermOptions
from pessimal.kernel.terms.stratum import joined
from pessimal.spec.architecture import Architecture
from pessimal.spec.claim import LOSS, MEAN_PROBABILITY
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights


@dataclass(frozen=True, eq=False)
class LayerCakeInstance(AbstractInstance):
    """The theorem about one question.

    Attributes:
        options: which terms are bounded.
        levels: mu, `[L]`.
        tilts: lambda, `[L * heads * R, strata]`, level by level.
        n_hints: how many numbers of advice the certificate holds.
    """

    options: TermOptions
    levels: Dyadics
    tilts: Dyadics
    n_hints: int

    @property
    def length(self) -> Hashable:
        """The options, and how much advice is read."""
        return *self.options.words, self.levels.mantissa.size, self.n_hints

    def uncounted(self) -> Uncounted:
        """The sums over levels: two operations per stratum and level."""
        decisions = self.levels.mantissa.size * strata_of(self.question.task).stratum_count
        return Uncounted(separable_numbers(self.architecture), self.n_hints, decisions=decisions)

    def run(self, weights: Weights, arith: AbstractArithmetic) -> object:
        """The moments of every level."""
        return LevelCounts(self, weights, arith, no_progress)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """Sum over strata of the layers, exact once levels and counts are bounded."""
        counted = LevelCounts(self, weights, arith, progress)
        weighing, total = weighing_of(self.question), Fraction(0)
        strata = np.argwhere(weighing.strata.stratum_index >= 0).tolist()
        for (q, y), at_most in zip(strata, counted.at_most, strict=True):
            total += counted.heights.summed(at_most, Fraction(weighing.stratum(q, y)), q)
        return CountBound(wrong_at_most=total, wrong_at_least=None, decided=False)


class LayerCakeRule(AbstractRule):
    """Counts at several margins added up."""

    name: ClassVar[str] = "layer-cake"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)
    quantities: ClassVar[tuple[str, ...]] = (MEAN_PROBABILITY, LOSS)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """Real arithmetic, no final LayerNorm, at least two positions; every task, any number of heads."""
        require_separable(weights, question, one_head=False)
        require_nats(self.name, weights, question)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> LayerCakeInstance:
        """Options, levels, tilts, and thresholds where there are several heads."""
        s = architecture.shape
        names, arrays = TermOptions.names(hints, s.n_heads)
        hints.only({*names, "levels"}, {*TILTS, *LEVELS, *arrays})
        options, levels = TermOptions.read(hints, question, s), read_levels(hints)
        shape = (levels.mantissa.size * s.n_heads * options.n_groups, strata_of(question.task).stratum_count)
        tilts = hints.dyadics("tilt", shape).require_not_negative("tilt")
        n_hints = 2 * (tilts.mantissa.size + levels.mantissa.size) + sum(hints.arrays[name].size for name in arrays)
        return LayerCakeInstance(architecture, question, options, levels, tilts, n_hints)


class LevelCounts:
    """What the rule computes in its arithmetic.

    Attributes:
        heights: of the layers.
        at_most: by number of the stratum, bounds on the weight of the sequences with a margin up to each level, added
            up over rivals, None where lost.
    """

    def __init__(
        self, cake: LayerCakeInstance, weights: Weights, arith: AbstractArithmetic, progress: Progress
    ) -> None:
        question, options, shape = cake.question, cake.options, cake.architecture.shape
        builder = TermBuilder(weights, question, options, arith)
        moments, groups, n_levels = moments_of(question, arith), options.n_groups, cake.levels.mantissa.size
        by_level: list[list[Fraction | None]] = []
        for index in range(n_levels):
            level = cake.levels[index : index + 1].enclosed(arith)
            lowered = joined(all_terms(builder, level.reshape(1, 1)), arith, positions_apart(question, options))
            tilts = cake.tilts[index * shape.n_heads * groups : (index + 1) * shape.n_heads * groups]
            by_level.append(added_moments(lowered, moments, tilts, no_progress))
            progress(index + 1, n_levels)
        self.at_most = list(zip(*by_level, strict=True))
        self.heights = Heights(question.quantity, cake.levels, groups, (builder.heads, builder.direct), arith)
