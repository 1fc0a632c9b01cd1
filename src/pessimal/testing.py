"""The conformance suite that every strategy must pass; authors of new strategies call it from their tests.

Contents:
    check_strategy — prove and check tiny models, compare with brute force, twice, in both arithmetics.
    tiny_weights, tiny_adder — a small random or planted model through the trusted reader.
    LongMoment — exponential moments whose hints have the long form.
"""

import json
import struct
from collections.abc import Mapping

import numpy as np

from pessimal import api
from pessimal.kernel.check import check
from pessimal.kernel.hints import Hints
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import Progress
from pessimal.spec import MaxOfK, Weights, read_weights
from pessimal.spec.architecture import SOFTMAX, UNIFORM
from pessimal.spec.question import Question
from pessimal.spec.task import AbstractTask
from pessimal.spec.tasks import ModularAddition
from pessimal.strategies import AbstractStrategy, BruteForce, ExponentialMoment


class ConformanceError(AssertionError):
    """A strategy broke a rule of the house; the message says which."""


class LongMoment(ExponentialMoment):
    """Writes mantissas and exponents, the form that certificates had first and that is still read."""

    def hints(self, weights: Weights, question: Question, progress: Progress) -> Hints:
        """As found."""
        return self.long_hints(weights, question, progress)


def safetensors_bytes(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file from arrays, in name order."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    body = b""
    for name, array in sorted(tensors.items()):
        raw = np.ascontiguousarray(array).tobytes()
        dtype = {"float32": "F32", "float64": "F64"}[array.dtype.name]
        span = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": span}
        body += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + body


def tiny_weights(seed: int, *, k: int = 3, d_vocab: int = 5, planted: bool = True) -> Weights:
    """A model with sizes d_model = 7, d_head = 2: random, or close to a perfect maximum.

    Args:
        seed: of the random part.
        k: sequence length.
        d_vocab: tokens and outputs.
        planted: scores grow with the token and each token writes itself.
    """
    rng = np.random.default_rng(seed)
    shapes = {"W_E": (d_vocab, 7), "W_pos": (k, 7), "W_Q": (7, 2), "W_K": (7, 2), "W_V": (7, 2), "W_O": (2, 7)}
    tensors = {name: 0.02 * rng.normal(size=shape) for name, shape in {**shapes, "W_U": (7, d_vocab)}.items()}
    if planted:
        token = np.arange(d_vocab)
        tensors["W_E"][:, 0] += token
        tensors["W_E"][:, 1] += 1
        tensors["W_Q"][1, 0] += 1
        tensors["W_K"][0, 0] += 12
        tensors["W_V"][0, 0] += 1
        tensors["W_V"][1, 1] += 1
        tensors["W_O"][0, 2] += 1
        tensors["W_O"][1, 3] += 1
        tensors["W_U"][2] += 8 * token
        tensors["W_U"][3] -= 4 * token**2
    return read_weights(safetensors_bytes({name: array.astype(np.float32) for name, array in tensors.items()}))


def tiny_adder(seed: int, *, p: int = 5, planted: bool = True) -> Weights:
    """A model with uniform attention and an MLP of two neurons: random, or close to addition modulo p.

    Planted, the residual holds the sum s of both tokens and the MLP its carry c = [s >= p]; the logit of output o is
    2 o (s - p c) - o^2, largest at o = s - p c.
    """
    rng = np.random.default_rng(seed)
    shapes = {"W_E": (p, 4), "W_pos": (2, 4), "W_Q": (4, 1), "W_K": (4, 1), "W_V": (4, 1), "W_O": (1, 4),
              "W_in": (4, 2), "b_in": (2,), "W_out": (2, 4), "W_U": (4, p)}  # fmt: skip
    tensors = {name: 0.02 * rng.normal(size=shape) for name, shape in shapes.items()}
    if planted:
        output = np.arange(p)
        tensors["W_E"][:, 0] += output
        tensors["W_E"][:, 1] += 1
        tensors["W_V"][0, 0] += 2
        tensors["W_O"][0, 2] += 1
        tensors["W_in"][2] += 1
        tensors["b_in"] += (1 - p, -p)
        tensors["W_out"][:, 3] += (1, -1)
        tensors["W_U"][1] -= output**2
        tensors["W_U"][2] += 2 * output
        tensors["W_U"][3] -= 2 * p * output
    arrays = {name: array.astype(np.float32) for name, array in tensors.items()}
    return read_weights(safetensors_bytes(arrays, {"attention": UNIFORM, "act_fn": "relu"}))


def _tiny(strategy: AbstractStrategy, seed: int) -> tuple[Weights, AbstractTask]:
    """A model that the strategy's rule covers, every other one planted."""
    planted = seed % 2 == 0
    if SOFTMAX not in RULES[strategy.rule].attention:
        adder = tiny_adder(seed, p=(3, 5, 7)[seed % 3], planted=planted)
        return adder, ModularAddition(k=2, d_vocab=adder.architecture.shape.d_vocab)
    weights = tiny_weights(seed, k=2 + seed % 3, planted=planted)
    return weights, MaxOfK(k=weights.architecture.shape.k, d_vocab=weights.architecture.shape.d_vocab)


def check_strategy(strategy: AbstractStrategy, models: int = 6) -> None:
    """Raise `ConformanceError` unless the strategy behaves on tiny models.

    The certificate must verify in both arithmetics, never claim more than brute force finds, come out the same twice,
    name a rule and state its cost, and a claim raised by one must be rejected if the bound is exact.
    """
    for seed in range(models):
        weights, task = _tiny(strategy, seed)
        proof = api.prove(weights, task, strategy)
        truth = api.prove(weights, task, BruteForce()).claim.correct
        if proof.claim.correct > truth:
            raise ConformanceError(f"{strategy.name} claims {proof.claim.correct}, the truth is {truth}")
        if api.prove(weights, task, strategy).data != proof.data:
            raise ConformanceError(f"{strategy.name} is not deterministic")
        for arithmetic in ("float64", "arb"):
            verdict = check(proof.data, weights, arithmetic=arithmetic)
            if not verdict.verified:
                raise ConformanceError(f"{strategy.name}: {arithmetic} rejects: {verdict.detail}")
        if proof.cost.flops <= 0 or proof.cost.checker_ops < proof.cost.flops:
            raise ConformanceError(f"{strategy.name} states no cost")
