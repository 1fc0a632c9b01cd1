"""Strategies: untrusted provers, one file each. A strategy finds hints; a kernel rule turns them into a bound.

Contents:
    interface.py — what a strategy is.
    brute_force.py, cubic.py, position_minima.py, exponential_moment.py, grid_count.py, band.py, exact.py — one
        strategy each.
    comparisons.py — rivals pruned by a tree, the live ones searched or counted in an order.
    explanation.py — an explanation of the model, and nothing else.
    layer_cake.py, layer_count.py — for claims about the softmax.
    sparse_output.py, key_frequency.py — for modular addition.
    sub_cubic.py — the hundred published sub-cubic compositions.
"""

from pessimal.strategies.band import Band
from pessimal.strategies.brute_force import BruteForce
from pessimal.strategies.comparisons import Comparisons
from pessimal.strategies.cubic import Cubic
from pessimal.strategies.exact import Exact
from pessimal.strategies.exponential_moment import ExponentialMoment
from pessimal.strategies.grid_count import GridCount
from pessimal.strategies.interface import AbstractStrategy, OutOfTimeError, StrategyError
from pessimal.strategies.key_frequency import KeyFrequency
from pessimal.strategies.layer_cake import LayerCake
from pessimal.strategies.layer_count import LayerCount
from pessimal.strategies.position_minima import PositionMinima
from pessimal.strategies.sparse_output import SparseOutput
from pessimal.strategies.sub_cubic import PUBLISHED, SubCubic

__all__ = [
    "PUBLISHED",
    "AbstractStrategy",
    "Band",
    "BruteForce",
    "Comparisons",
    "Cubic",
    "Exact",
    "ExponentialMoment",
    "GridCount",
    "KeyFrequency",
    "LayerCake",
    "LayerCount",
    "OutOfTimeError",
    "PositionMinima",
    "SparseOutput",
    "StrategyError",
    "SubCubic",
]
