"""Strategies: untrusted provers, one file each. A strategy finds hints; a kernel rule turns them into a bound.

Contents:
    interface.py — what a strategy is.
    proof.py — run the rule, state the claim, encode the certificate.
    brute_force.py, cubic.py, position_minima.py, exponential_moment.py — the strategies.
"""

from pessimal.strategies.brute_force import BruteForce
from pessimal.strategies.cubic import Cubic
from pessimal.strategies.exponential_moment import ExponentialMoment
from pessimal.strategies.interface import AbstractStrategy, StrategyError
from pessimal.strategies.position_minima import PositionMinima
from pessimal.strategies.proof import Proof, prove

STRATEGIES: dict[str, type[AbstractStrategy]] = {
    strategy.name: strategy for strategy in (BruteForce, Cubic, PositionMinima, ExponentialMoment)
}

__all__ = [
    "STRATEGIES",
    "AbstractStrategy",
    "BruteForce",
    "Cubic",
    "ExponentialMoment",
    "PositionMinima",
    "Proof",
    "StrategyError",
    "prove",
]
