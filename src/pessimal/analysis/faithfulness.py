r"""How well the dropped parts of an interpretation can be ablated, and what sampling can say: none of it is a proof.

The interpretation behind the published proofs keeps EVOU and a rank-one EQKE, and drops the direct path EU, the
positions' attention EQKP, the positions' values PVOU and the rest of EQKE. Mean ablation replaces each dropped part by
its mean over queries (over positions for PVOU); resample ablation by its value at a random other query (position).
Accuracy of the ablated model is the usual evidence for an interpretation; the certified bound beside it is what that
evidence can be turned into.

Contents:
    Parts, model_parts — the tables of a model, the rank-one part of EQKE apart.
    mean_rows, attend — mean ablation of a table, softmax attention.
    accuracies — of the model and its ablations on random sequences.
    clopper_pearson — a confidence interval for a share.
    stratified_estimate — accuracy by strata of the largest token, with a confidence interval.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float, Int

from pessimal.kernel.strata.strata import strata_of
from pessimal.search.midpoints import middle
from pessimal.search.sub_cubic import Workbench
from pessimal.spec.tasks import MaxOfK

BATCH = 4096


@dataclass(frozen=True)
class Parts:
    """Float tables of one model.

    Attributes:
        rank_one: rank-one part of EQKE, scores after c_attn, `[v, v]`.
        rest: the rest of EQKE, `[v, v]`.
        position_score: EQKP, `[v, k]`.
        value: EVOU, `[v, o]`.
        position_value: PVOU, `[k, o]`.
        direct: EU, `[v, o]`.
    """

    rank_one: Float[np.ndarray, "v v"]
    rest: Float[np.ndarray, "v v"]
    position_score: Float[np.ndarray, "v k"]
    value: Float[np.ndarray, "v o"]
    position_value: Float[np.ndarray, "k o"]
    direct: Float[np.ndarray, "v o"]


def model_parts(bench: Workbench) -> Parts:
    """The tables that the published interpretation keeps and drops."""
    paths = bench.paths
    scale = 1.0 if paths.scale is None else float(middle(paths.scale))
    eqke = scale * (middle(paths.query) @ middle(paths.w_q)) @ (middle(paths.key) @ middle(paths.w_k)).T
    if paths.key_bias is not None:
        eqke = eqke + scale * middle(paths.key_bias)
    u, s, w = np.linalg.svd(eqke)
    rank_one = s[0] * np.outer(u[:, 0], w[0])
    return Parts(
        rank_one=rank_one,
        rest=eqke - rank_one,
        position_score=scale * middle(paths.position_score),
        value=middle(paths.value),
        position_value=middle(paths.position_value),
        direct=bench.direct_logits(),
    )


def mean_rows(table: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "a b"]:
    """The mean row in place of every row: mean ablation."""
    return np.broadcast_to(table.mean(0), table.shape)


def attend(score: Float[np.ndarray, "n k"], values: Float[np.ndarray, "n k o"]) -> Float[np.ndarray, "n o"]:
    """Softmax of the scores over positions, and the values mixed by it."""
    weight = np.exp(score - score.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    return np.asarray(np.einsum("nk,nko->no", weight, values))


def _right(
    p: Parts,
    tokens: Int[np.ndarray, "n k"],
    queries: Int[np.ndarray, "n"],
    positions: Int[np.ndarray, "n k"],
    means: Parts | None,
) -> Bool[np.ndarray, "n"]:
    """Whether the answer is right, with dropped parts taken at `queries` and `positions`, or their means."""
    q, k = tokens[:, -1], tokens.shape[1]
    dropped = p if means is None else means
    score = p.rank_one[q[:, np.newaxis], tokens] + dropped.rest[queries[:, np.newaxis], tokens]
    score = score + dropped.position_score[queries[:, np.newaxis], np.arange(k)]
    values = p.value[tokens] + dropped.position_value[positions]
    logits = dropped.direct[queries] + attend(score, values)
    return np.asarray(logits.argmax(1) == tokens.max(1))


def _means(p: Parts) -> Parts:
    return Parts(
        p.rank_one,
        mean_rows(p.rest),
        mean_rows(p.position_score),
        p.value,
        mean_rows(p.position_value),
        mean_rows(p.direct),
    )


def accuracies(p: Parts, samples: int, seed: int = 0) -> dict[str, float]:
    """Share of right answers on random sequences: the model, mean-ablated, resample-ablated. Estimates."""
    rng = np.random.default_rng(seed)
    v, k = p.position_score.shape
    means = _means(p)
    right = {"model": 0, "mean ablation": 0, "resample ablation": 0}
    for start in range(0, samples, BATCH):
        n = min(BATCH, samples - start)
        tokens = rng.integers(0, v, (n, k))
        own, every = tokens[:, -1], np.broadcast_to(np.arange(k), (n, k))
        other, moved = rng.integers(0, v, n), rng.integers(0, k, (n, k))
        right["model"] += int(_right(p, tokens, own, every, None).sum())
        right["mean ablation"] += int(_right(p, tokens, own, every, means).sum())
        right["resample ablation"] += int(_right(p, tokens, other, moved, None).sum())
    return {name: count / samples for name, count in right.items()}


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval for a share that covers it with at least the stated confidence (needs SciPy)."""
    from scipy.stats import beta  # noqa: PLC0415 - an extra

    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    return low, high


def stratified_estimate(p: Parts, per_stratum: int, seed: int = 0) -> tuple[float, float]:
    """Accuracy and the half-width of its 95% normal interval, from samples of every (query, target) stratum.

    Each stratum is weighted by its exact size, so rare strata are looked at as often as common ones; within a stratum
    sequences are uniform, by rejection. An estimate, not a proof. Cost: about v^2 / 2 * `per_stratum` forward passes.
    """
    rng = np.random.default_rng(seed)
    v, k = p.position_score.shape
    strata = strata_of(MaxOfK(k, v))
    share, variance = 0.0, 0.0
    for y in range(v):
        for q in range(y + 1):
            weight = strata.size(q, y) / v**k
            tokens = _stratum(rng, k, q, y, per_stratum)
            every = np.broadcast_to(np.arange(k), tokens.shape)
            mean = float(_right(p, tokens, tokens[:, -1], every, None).mean())
            share += weight * mean
            variance += weight**2 * mean * (1 - mean) / max(per_stratum - 1, 1)
    return share, 1.96 * sqrt(variance)


def _stratum(rng: np.random.Generator, k: int, q: int, y: int, n: int) -> Int[np.ndarray, "n k"]:
    """Uniform sequences with last token q and largest token y: the first place of y, then the rest."""
    tokens = rng.integers(0, y + 1, (n, k))
    tokens[:, -1] = q
    if q < y:
        weights = np.array([(y / (y + 1)) ** j for j in range(k - 1)])
        first = rng.choice(k - 1, n, p=weights / weights.sum())
        below = rng.integers(0, y, (n, k))
        place = np.arange(k)
        tokens = np.where((place < first[:, np.newaxis]) & (place < k - 1), below, tokens)
        tokens[np.arange(n), first] = y
    return tokens
