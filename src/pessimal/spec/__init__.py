"""What is claimed, about which numbers: the statement a sceptic reads first.

Contents:
    weights.py — bytes of a safetensors file to named arrays, and their digest.
    architecture.py — the record of everything the tensors do not say by themselves.
    model.py — the forward pass in exact arithmetic: the meaning of "the model".
    task.py, tasks/ — the function the model should compute.
    distribution.py — the weight of every input.
    semantics.py — real arithmetic, or every float32 execution; the assumptions.
    question.py — task, distribution and semantics: what is asked of a model.
    claim.py — what a certificate asserts.
"""

from pessimal.spec.architecture import Architecture, ModelShape, Overrides
from pessimal.spec.claim import AccuracyClaim, LossClaim, MeanProbabilityClaim, ProbabilityClaim
from pessimal.spec.distribution import AbstractDistribution, DistributionError, Markov, Product, Uniform
from pessimal.spec.question import Question
from pessimal.spec.semantics import SEMANTICS
from pessimal.spec.task import AbstractTask, TaskError
from pessimal.spec.tasks import TASKS, MaxOfK, ModularAddition, task_from_record
from pessimal.spec.weights import Weights, WeightsError, read_weights

__all__ = [
    "SEMANTICS",
    "TASKS",
    "AbstractDistribution",
    "AbstractTask",
    "AccuracyClaim",
    "Architecture",
    "DistributionError",
    "LossClaim",
    "Markov",
    "MaxOfK",
    "MeanProbabilityClaim",
    "ModelShape",
    "ModularAddition",
    "Overrides",
    "ProbabilityClaim",
    "Product",
    "Question",
    "TaskError",
    "Uniform",
    "Weights",
    "WeightsError",
    "read_weights",
    "task_from_record",
]
