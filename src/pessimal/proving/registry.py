"""The strategies by name, and which to use when none is named.

Contents:
    STRATEGIES — all of them, by the name on the command line.
    covering — names of those that make a claim about such models.
    default_strategy — the one to use when none is named.
    known_strategies — the names in one sentence.
"""

from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import kind_of_attention
from pessimal.spec.architecture import SOFTMAX, UNIFORM, Architecture
from pessimal.spec.claim import ACCURACY
from pessimal.strategies import (
    PUBLISHED,
    AbstractStrategy,
    Band,
    BruteForce,
    Comparisons,
    Cubic,
    Exact,
    ExponentialMoment,
    GridCount,
    KeyFrequency,
    LayerCake,
    LayerCount,
    PositionMinima,
    SparseOutput,
)
from pessimal.strategies.sub_cubic import pattern

STRATEGIES: dict[str, type[AbstractStrategy]] = {
    "brute-force": BruteForce,
    "cubic": Cubic,
    "position-minima": PositionMinima,
    "exponential-moment": ExponentialMoment,
    "grid-count": GridCount,
    "band": Band,
    "exact": Exact,
    "comparisons": Comparisons,
    "layer-cake": LayerCake,
    "layer-count": LayerCount,
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
        return LayerCount.name if architecture.shape.n_heads == 1 else LayerCake.name
    attention = kind_of_attention(architecture)
    if attention == SOFTMAX:
        return ExponentialMoment.name
    return KeyFrequency.name if attention == UNIFORM and architecture.shape.d_mlp else BruteForce.name


def known_strategies() -> str:
    """The names in one sentence; the published ones as the pattern they follow."""
    names = sorted(set(STRATEGIES) - set(PUBLISHED))
    return f"{', '.join(names)}, and the published {pattern()}"
