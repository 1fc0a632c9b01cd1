"""Strategies: untrusted provers, one file each. A strategy finds hints; a kernel rule turns them into a bound.

Contents:
    interface.py — what a strategy is.
    proof.py — run the rule, state the claim, encode the certificate.
    brute_force.py, cubic.py, position_minima.py, exponential_moment.py, grid_count.py, band.py, exact.py — one
        strategy each.
    layer_cake.py — for claims about the softmax.
    sparse_output.py, key_frequency.py — for modular addition.
    frontier.py — the best of all within a budget.
    recipes.py — where the search for band proofs begins.
    words.py — strategies as people write them.
    plain.py — float64 without enclosures, for search.
    sub_cubic.py — the hundred published sub-cubic compositions.
    midpoints.py — enclosures as plain floats.
"""

from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import kind_of_attention
from pessimal.spec.architecture import SOFTMAX, UNIFORM, Architecture
from pessimal.spec.claim import ACCURACY
from pessimal.strategies.band import Band
from pessimal.strategies.brute_force import BruteForce
from pessimal.strategies.cubic import Cubic
from pessimal.strategies.exact import Exact
from pessimal.strategies.exponential_moment import ExponentialMoment
from pessimal.strategies.frontier import BUDGETS, Frontier, within
from pessimal.strategies.grid_count import GridCount
from pessimal.strategies.interface import AbstractStrategy, StrategyError
from pessimal.strategies.key_frequency import KeyFrequency
from pessimal.strategies.layer_cake import LayerCake
from pessimal.strategies.position_minima import PositionMinima
from pessimal.strategies.proof import Proof, prove
from pessimal.strategies.sparse_output import SparseOutput
from pessimal.strategies.sub_cubic import PUBLISHED, SubCubic, pattern

STRATEGIES: dict[str, type[AbstractStrategy]] = {
    "brute-force": BruteForce,
    "cubic": Cubic,
    "position-minima": PositionMinima,
    "exponential-moment": ExponentialMoment,
    "grid-count": GridCount,
    "band": Band,
    "exact": Exact,
    "layer-cake": LayerCake,
    "sparse-output": SparseOutput,
    "key-frequency": KeyFrequency,
    **PUBLISHED,
}


def covering(attention: str = SOFTMAX, claim: str = ACCURACY) -> list[str]:
    """Names of the strategies, the published ones aside, that make such a claim about such models.

    Args:
        attention: `kernel.rules.interface.kind_of_attention` of the models.
        claim: what to bound.
    """
    names = [name for name in STRATEGIES if name not in PUBLISHED and claim in STRATEGIES[name].claims]
    return [name for name in names if attention in RULES[STRATEGIES[name].rule].attention]


def default_strategy(architecture: Architecture, claim: str = ACCURACY) -> str:
    """Name of the one to use for such a model when none is named."""
    if claim != ACCURACY:
        return LayerCake.name
    attention = kind_of_attention(architecture)
    if attention == SOFTMAX:
        return ExponentialMoment.name
    return KeyFrequency.name if attention == UNIFORM and architecture.shape.d_mlp else BruteForce.name


def known_strategies() -> str:
    """The names in one sentence; the published ones as the pattern they follow."""
    names = sorted(set(STRATEGIES) - set(PUBLISHED))
    return f"{', '.join(names)}, and the published {pattern()}"


__all__ = [
    "BUDGETS",
    "PUBLISHED",
    "STRATEGIES",
    "AbstractStrategy",
    "Band",
    "BruteForce",
    "Cubic",
    "Exact",
    "ExponentialMoment",
    "Frontier",
    "GridCount",
    "KeyFrequency",
    "LayerCake",
    "PositionMinima",
    "Proof",
    "SparseOutput",
    "StrategyError",
    "SubCubic",
    "covering",
    "default_strategy",
    "known_strategies",
    "prove",
    "within",
]
