"""The rules: one soundness theorem per file.

Contents:
    interface.py — what a rule takes and gives.
    brute_force.py — every sequence.
    position_minima.py — the worst token at every position.
    exponential_moment.py — Chernoff with hinted tilts.
    grid_count.py — exact polynomial counting on a grid, both sides.
    exact.py — position minima as a search: the exact count.
    layer_cake.py — mean probability and cross-entropy from moments at several margins.
    band/ — counting on a coarse grid in a band of tokens below each target.
    modular/ — addition modulo p: waves at the key frequencies, or a sparse output map of the MLP.
    published/ — the cubic proof and the hundred sub-cubic ones, made sound.
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
