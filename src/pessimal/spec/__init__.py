"""What is claimed, about which numbers: the statement a sceptic reads first.

Contents:
    weights.py — named arrays, an architecture, a digest.
    weight_file.py — bytes of a safetensors file to weights.
    architecture.py — the record of everything the tensors do not say by themselves.
    stated.py — what a file and its reader state of it, and what is assumed.
    facts.py — statements that must not change the forward pass, and what is not understood.
    machine.py — tasks as automata that read a sequence from left to right.
    model.py — the forward pass in exact arithmetic: the meaning of "the model".
    task.py, tasks/ — the function the model should compute.
    distribution.py — the weight of every input.
    digest.py — bytes and digests of records.
    semantics.py — real arithmetic, or every float32 execution; the assumptions.
    question.py — task, distribution and semantics: what is asked of a model.
    claim.py — what a certificate asserts.
"""

from pessimal.spec.architecture import Architecture, ModelShape
from pessimal.spec.claim import AccuracyClaim, LossClaim, MeanProbabilityClaim, ProbabilityClaim
from pessimal.spec.distribution import AbstractDistribution, DistributionError, Markov, Product, Uniform
from pessimal.spec.question import Question
from pessimal.spec.semantics import SEMANTICS
from pessimal.spec.stated import Overrides
from pessimal.spec.task import AbstractTask, TaskError
from pessimal.spec.tasks import TASKS, MaxOfK, ModularAddition, ModularAdditionEquals, task_from_record
from pessimal.spec.weight_file import WeightsError, read_weights
from pessimal.spec.weights import Weights

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
    "ModularAdditionEquals",
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
