"""Accuracy, loss and probability on random inputs: estimates, never part of a proof.

Contents:
    forward — logits of a batch of sequences in float64.
    sampled_accuracy — share of random sequences answered correctly.
    sampled_softmax — mean loss and mean probability of the right output.
    sampled_inputs — random sequences of a distribution.
"""

import numpy as np
from jaxtyping import Float, Int

from pessimal.search.plain import nearest_float
from pessimal.spec.architecture import LAYER_NORM, UNIFORM
from pessimal.spec.distribution import AbstractDistribution, Markov, Product
from pessimal.spec.task import AbstractTask
from pessimal.spec.weights import Weights

CHUNK = 4096


def forward(weights: Weights, tokens: Int[np.ndarray, "batch k"]) -> Float[np.ndarray, "batch d_vocab_out"]:
    """Logits at the last position, in float64 (the equations of `spec.model`)."""
    arch = weights.architecture
    x = weights["W_E"].astype(np.float64)[tokens] + weights["W_pos"][: arch.shape.k].astype(np.float64)
    n = _norm(weights, "ln1", arch.ln1, x) if arch.ln1 else x
    factor = arch.scale()
    scale = arch.shape.d_head**-0.5 if factor is None else float(factor)
    residual = x[:, -1] + _or_zero(weights, "b_O")
    for head in range(arch.shape.n_heads):
        q, k, v = (
            n @ weights.tensors[f"W_{part}"][head].astype(np.float64) + _or_zero(weights, f"b_{part}", head)
            for part in "QKV"
        )
        scores = np.einsum("bd,bkd->bk", q[:, -1], k) * scale
        if arch.attention == UNIFORM:
            scores = np.zeros_like(scores)
        attention = np.exp(scores - scores.max(1, keepdims=True))
        attention /= attention.sum(1, keepdims=True)
        residual = residual + np.einsum("bk,bkd->bd", attention, v) @ weights.tensors["W_O"][head].astype(np.float64)
    if arch.shape.d_mlp:
        hidden = np.maximum(residual @ weights["W_in"].astype(np.float64) + _or_zero(weights, "b_in"), 0.0)
        residual = residual + hidden @ weights["W_out"].astype(np.float64) + _or_zero(weights, "b_out")
    if arch.ln_final:
        residual = _norm(weights, "ln_final", arch.ln_final, residual)
    return np.asarray(residual @ weights["W_U"].astype(np.float64) + _or_zero(weights, "b_U"))


def sampled_accuracy(weights: Weights, task: AbstractTask, samples: int, seed: int = 0) -> float:
    """Share of `samples` random sequences of the task whose target has the strictly largest logit."""
    rng = np.random.default_rng(seed)
    usual = task.usual_weights()
    shares = None if usual is None else usual / usual.sum(1, keepdims=True)
    right = 0
    for begin in range(0, samples, CHUNK):
        n = min(CHUNK, samples - begin)
        if shares is None:
            tokens = rng.integers(0, task.d_vocab, size=(n, task.k))
        else:
            tokens = np.stack([rng.choice(task.d_vocab, n, p=row) for row in shares], axis=1)
        logits = forward(weights, tokens)
        rows, target = np.arange(len(tokens)), task.target(tokens)
        mine = logits[rows, target].copy()
        logits[rows, target] = -np.inf
        right += int((mine > logits.max(1)).sum())
    return right / samples


def sampled_softmax(
    weights: Weights, task: AbstractTask, distribution: AbstractDistribution, samples: int, seed: int = 0
) -> tuple[float, float]:
    """Mean cross-entropy in nats, and mean probability of the right output, on `samples` random sequences."""
    rng = np.random.default_rng(seed)
    losses = []
    for begin in range(0, samples, CHUNK):
        tokens = sampled_inputs(task, distribution, min(CHUNK, samples - begin), rng)
        logits = forward(weights, tokens)
        logits -= logits.max(1, keepdims=True)
        mine = logits[np.arange(len(tokens)), task.target(tokens)]
        losses.append(np.log(np.exp(logits).sum(1)) - mine)
    loss = np.concatenate(losses)
    return float(loss.mean()), float(np.exp(-loss).mean())


def sampled_inputs(
    task: AbstractTask, distribution: AbstractDistribution, n: int, rng: np.random.Generator
) -> Int[np.ndarray, "n k"]:
    """Random sequences, each as often as it occurs."""
    if isinstance(distribution, Product):
        rows = [np.asarray(distribution.position(i), dtype=np.float64) for i in range(task.k)]
        return np.stack([rng.choice(task.d_vocab, n, p=row / row.sum()) for row in rows], axis=1)
    if not isinstance(distribution, Markov):
        return rng.integers(0, task.d_vocab, size=(n, task.k))
    first = np.asarray(distribution.initial, dtype=np.float64)
    steps = np.asarray(distribution.transition, dtype=np.float64)
    reach = (steps / steps.sum(1, keepdims=True)).cumsum(1)
    tokens = np.empty((n, task.k), dtype=np.int64)
    tokens[:, 0] = rng.choice(task.d_vocab, n, p=first / first.sum())
    for i in range(1, task.k):
        above = rng.random((n, 1)) < reach[tokens[:, i - 1]]
        tokens[:, i] = np.where(above.any(1), above.argmax(1), task.d_vocab - 1)
    return tokens


def _or_zero(weights: Weights, name: str, head: int = 0) -> Float[np.ndarray, "..."]:
    array = weights.get(name, head)
    return np.zeros(1) if array is None else array.astype(np.float64)


def _norm(weights: Weights, site: str, kind: str, x: Float[np.ndarray, "*s d"]) -> Float[np.ndarray, "*s d"]:
    centred = x - x.mean(-1, keepdims=True) if kind == LAYER_NORM else x
    out = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + nearest_float(weights.architecture.ln_eps))
    gain = weights.get(f"{site}_w")
    return np.asarray((out if gain is None else out * gain) + _or_zero(weights, f"{site}_b"))
