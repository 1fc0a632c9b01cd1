"""The rules: one soundness theorem per file.

Contents:
    interface.py — what a rule takes and gives.
    brute_force.py — every sequence.
    cubic.py — pure sequences and the convexity lemma.
    sub_cubic/ — the published sub-cubic proofs: direct path x attention averaging x QK error.
    position_minima.py — R1: the worst token at every position.
    exponential_moment.py — R2: Chernoff with hinted tilts.
    grid_count.py — R3: exact polynomial counting on a grid, both sides.
    band/ — counting on a coarse grid in a band of tokens below each target.
    layer_cake.py — mean probability and cross-entropy from R2 at several margins.
    key_frequency/ — modular addition: waves at the key frequencies, turned to the right answer.
    sparse_output.py — modular addition: a sparse or low-rank output map of the MLP, and a box for the rest.
    exact.py — R1 and R4 as a search: the exact count.
    terms.py, rivals.py — R4 to R6 and R8: the terms of the separable margin.
    integer_stratum.py, undecided.py — exact sums, and what they leave open.
"""

from pessimal.kernel.hints import Hints
from pessimal.kernel.rules.band import BandRule
from pessimal.kernel.rules.brute_force import BruteForceRule
from pessimal.kernel.rules.exact import ExactRule
from pessimal.kernel.rules.exponential_moment import ExponentialMomentRule
from pessimal.kernel.rules.grid_count import GridCountRule
from pessimal.kernel.rules.interface import AbstractRule, CountBound
from pessimal.kernel.rules.layer_cake import LayerCakeRule
from pessimal.kernel.rules.modular.key_frequency import KeyFrequencyRule
from pessimal.kernel.rules.modular.sparse_output import SparseOutputRule
from pessimal.kernel.rules.position_minima import PositionMinimaRule
from pessimal.kernel.rules.published.cubic import CubicRule
from pessimal.kernel.rules.published.sub_cubic import SubCubicRule

RULES: dict[str, AbstractRule] = {
    rule.name: rule
    for rule in (
        BruteForceRule(),
        CubicRule(),
        SubCubicRule(),
        PositionMinimaRule(),
        ExponentialMomentRule(),
        GridCountRule(),
        BandRule(),
        ExactRule(),
        LayerCakeRule(),
        SparseOutputRule(),
        KeyFrequencyRule(),
    )
}

__all__ = [
    "RULES",
    "AbstractRule",
    "BandRule",
    "BruteForceRule",
    "CountBound",
    "CubicRule",
    "ExactRule",
    "ExponentialMomentRule",
    "GridCountRule",
    "Hints",
    "KeyFrequencyRule",
    "LayerCakeRule",
    "PositionMinimaRule",
    "SparseOutputRule",
    "SubCubicRule",
]
