"""Compact, checkable proofs of model performance via mechanistic interpretability.

import pessimal as ps
w = ps.load_weights("weights/max4_v64_seed50.safetensors")
proof = ps.prove(w, ps.MaxOfK(k=4, d_vocab=64), ps.ExponentialMoment())
print(ps.check(proof, w).line())
"""

# As of `typing`, which takes longer to import than all of this.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from pessimal.api import best, check, info, prove, save_certificate, train, within
    from pessimal.inputs import Stated, convert, load_distribution, load_weights, task_of
    from pessimal.kernel.check import Asked, Limits
    from pessimal.kernel.rejection import Reason, Rejected
    from pessimal.kernel.verdict import NotVerified, Verdict, Verified
    from pessimal.learning import task_from
    from pessimal.proving import STRATEGIES, Best, Proof, strategy
    from pessimal.records import result_row, write_strata
    from pessimal.run_folders import analyse, collect, frontier
    from pessimal.spec import (
        AccuracyClaim,
        DistributionError,
        LossClaim,
        Markov,
        MaxOfK,
        MeanProbabilityClaim,
        ModularAddition,
        ModularAdditionEquals,
        Overrides,
        ProbabilityClaim,
        Product,
        TaskError,
        Uniform,
        Weights,
        WeightsError,
    )
    from pessimal.strategies import (
        PUBLISHED,
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
        StrategyError,
    )
    from pessimal.sweeps import sweep

# Where the names below are defined. They are imported when one is first used, so that the command line can look after
# interrupts before a second of imports.
_HOMES = {
    "pessimal.api": ("best", "check", "info", "prove", "save_certificate", "train", "within"),
    "pessimal.inputs": ("Stated", "convert", "load_distribution", "load_weights", "task_of"),
    "pessimal.kernel.check": (
        "Asked",
        "Limits",
    ),
    "pessimal.kernel.rejection": (
        "Reason",
        "Rejected",
    ),
    "pessimal.kernel.verdict": (
        "NotVerified",
        "Verdict",
        "Verified",
    ),
    "pessimal.learning": ("task_from",),
    "pessimal.proving": ("STRATEGIES", "Best", "Proof", "strategy"),
    "pessimal.records": ("result_row", "write_strata"),
    "pessimal.run_folders": ("analyse", "collect", "frontier"),
    "pessimal.spec": (
        "AccuracyClaim",
        "DistributionError",
        "LossClaim",
        "Markov",
        "MaxOfK",
        "MeanProbabilityClaim",
        "ModularAddition",
        "ModularAdditionEquals",
        "Overrides",
        "ProbabilityClaim",
        "Product",
        "TaskError",
        "Uniform",
        "Weights",
        "WeightsError",
    ),
    "pessimal.strategies": (
        "PUBLISHED",
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
        "PositionMinima",
        "SparseOutput",
        "StrategyError",
    ),
    "pessimal.sweeps": ("sweep",),
}
__version__ = "0.1.0"

__all__ = [
    "PUBLISHED",
    "STRATEGIES",
    "AccuracyClaim",
    "Asked",
    "Band",
    "Best",
    "BruteForce",
    "Comparisons",
    "Cubic",
    "DistributionError",
    "Exact",
    "ExponentialMoment",
    "GridCount",
    "KeyFrequency",
    "LayerCake",
    "LayerCount",
    "Limits",
    "LossClaim",
    "Markov",
    "MaxOfK",
    "MeanProbabilityClaim",
    "ModularAddition",
    "ModularAdditionEquals",
    "NotVerified",
    "Overrides",
    "PositionMinima",
    "ProbabilityClaim",
    "Product",
    "Proof",
    "Reason",
    "Rejected",
    "SparseOutput",
    "Stated",
    "StrategyError",
    "TaskError",
    "Uniform",
    "Verdict",
    "Verified",
    "Weights",
    "WeightsError",
    "analyse",
    "best",
    "check",
    "collect",
    "convert",
    "frontier",
    "info",
    "load_distribution",
    "load_weights",
    "prove",
    "result_row",
    "save_certificate",
    "strategy",
    "sweep",
    "task_from",
    "task_of",
    "train",
    "within",
    "write_strata",
]


def __getattr__(name: str) -> object:
    """Import all names when one of them is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - likewise

    homes = {module: import_module(module) for module in _HOMES}
    for module, names in _HOMES.items():
        globals().update({one: getattr(homes[module], one) for one in names})
    return globals()[name]


def __dir__() -> list[str]:
    """The names, imported or not."""
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING"})
