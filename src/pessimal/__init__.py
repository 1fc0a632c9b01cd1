"""Compact, checkable proofs of model performance via mechanistic interpretability.

import pessimal as ps
w = ps.load_weights("weights/max4_v64_seed50.safetensors")
proof = ps.prove(w, ps.MaxOfK(k=4, d_vocab=64), ps.ExponentialMoment())
print(ps.check(proof, w).line())
"""

from pessimal.api import (
    check,
    info,
    load_distribution,
    load_weights,
    prove,
    result_row,
    save_certificate,
    task_of,
    train,
    within,
    write_strata,
)
from pessimal.kernel.check import Asked, Limits, Verdict
from pessimal.kernel.rejection import Reason, Rejected
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
    STRATEGIES,
    Band,
    BruteForce,
    Cubic,
    Exact,
    ExponentialMoment,
    GridCount,
    KeyFrequency,
    LayerCake,
    PositionMinima,
    Proof,
    SparseOutput,
    StrategyError,
)
from pessimal.sweeps import sweep

__version__ = "0.1.0"

__all__ = [
    "PUBLISHED",
    "STRATEGIES",
    "AccuracyClaim",
    "Asked",
    "Band",
    "BruteForce",
    "Cubic",
    "DistributionError",
    "Exact",
    "ExponentialMoment",
    "GridCount",
    "KeyFrequency",
    "LayerCake",
    "Limits",
    "LossClaim",
    "Markov",
    "MaxOfK",
    "MeanProbabilityClaim",
    "ModularAddition",
    "ModularAdditionEquals",
    "Overrides",
    "PositionMinima",
    "ProbabilityClaim",
    "Product",
    "Proof",
    "Reason",
    "Rejected",
    "SparseOutput",
    "StrategyError",
    "TaskError",
    "Uniform",
    "Verdict",
    "Weights",
    "WeightsError",
    "analyse",
    "check",
    "collect",
    "frontier",
    "info",
    "load_distribution",
    "load_weights",
    "prove",
    "result_row",
    "save_certificate",
    "sweep",
    "task_of",
    "train",
    "within",
    "write_strata",
]
