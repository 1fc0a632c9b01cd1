"""Float32 semantics on shipped models: PyTorch's own forward pass, and executions that try to leave the enclosures."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import pessimal as ps
from pessimal.kernel.arithmetic import Float64Arithmetic
from pessimal.kernel.model.heads import separable_heads
from pessimal.spec.semantics import FLOAT32
from support.float32 import Adversary, Box, Execution

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def box_of(stem):
    weights, arith = ps.load_weights(WEIGHTS / f"{stem}.safetensors"), Float64Arithmetic()
    with arith.running():
        return weights, Box(*separable_heads(weights, arith, FLOAT32))


def least_margins(box: Box, tokens: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least logit difference of the target to every output, `[n, d_vocab_out]`, over corners of the weights."""
    n, k = tokens.shape
    (head,), rows, q = box.heads, np.arange(n), tokens[:, -1]
    (v_lo, v_hi), (d_lo, d_hi) = head.value.bounds(), box.direct.bounds()
    token, position = head.factors
    pairs = zip(token.bounds(), position.bounds(), strict=True)
    ends = [a[q[:, np.newaxis], tokens] * b[q] for a, b in pairs]
    value = [part[np.arange(k), tokens] for part in (v_lo, v_hi)]
    margin = value[0][rows[:, np.newaxis], np.arange(k), target[:, np.newaxis]][..., np.newaxis] - value[1]
    least = np.full(margin[:, 0].shape, np.inf)
    for corner in product((0, 1), repeat=k):
        w = np.stack([ends[c][:, i] for i, c in enumerate(corner)], 1)
        least = np.minimum(least, np.einsum("nk,nko->no", w, margin) / w.sum(1, keepdims=True))
    return least + d_lo[q, target][:, np.newaxis] - d_hi[q]


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["max4_v64_seed50", "max5_v64_seed123"])
def test_pytorch_stays_inside(stem):
    """Every logit difference to the target of 40,000 sequences, in several batch sizes and ways of writing the sums."""
    torch = pytest.importorskip("torch")
    weights, box = box_of(stem)
    t = {name: torch.from_numpy(array.copy()) for name, array in weights.tensors.items()}
    k, d = weights.architecture.shape.k, weights.architecture.shape.d_head
    rng = np.random.default_rng(1)
    for size, way in ((1, 0), (7, 1), (2500, 0), (2500, 1), (30_000, 0), (5000, 2)):
        tokens = rng.integers(0, 64, (size, k))
        x = t["W_E"][torch.from_numpy(tokens)] + t["W_pos"][:k]
        w_q, w_k, w_v, w_o = (t[f"W_{n}"][0] for n in "QKVO")
        query, key, value = x[:, -1] @ w_q, x @ w_k, x @ w_v
        if way == 1:
            scores = torch.einsum("nd,nkd->nk", query / d**0.5, key)
            z = torch.einsum("nk,nkd->nd", scores.softmax(-1), value)
        else:
            scores = (key @ query[..., None])[..., 0] / d**0.5
            z = (scores.softmax(-1)[:, None] @ value)[:, 0]
        logits = (torch.addmm(x[:, -1], z, w_o) if way == 2 else x[:, -1] + z @ w_o) @ t["W_U"]
        found, target = logits.double().numpy(), tokens.max(1)
        difference = found[np.arange(size), target][:, np.newaxis] - found
        others = np.arange(64) != target[:, np.newaxis]
        assert (difference >= least_margins(box, tokens, target))[others].all()


@pytest.mark.slow
def test_simulated_executions_of_a_shipped_model_stay_inside():
    weights, box = box_of("max4_v64_seed50")
    for seed in range(6):
        execution = Execution(seed)
        tokens = execution.rng.integers(0, 64, (500, 4))
        found, target = execution.logits(weights, tokens), tokens.max(1)
        difference = found[np.arange(500), target][:, np.newaxis] - found
        others = np.arange(64) != target[:, np.newaxis]
        assert (difference >= least_margins(box, tokens, target))[others].all()


@pytest.mark.slow
def test_an_adversary_on_a_shipped_model_stays_inside():
    """It rounds every operation as it likes and searches for signs that lower the margin."""
    weights, box = box_of("max4_v64_seed50")
    rng, tokens = np.random.default_rng(3), np.array([[20, 21, 9, 5]])
    signs, best = rng.choice([-1.0, 1.0], 4099), np.inf
    for step in range(600):
        trial = signs.copy()
        flip = rng.integers(0, signs.size, 1 + 400 // (step + 1))
        trial[flip] = -trial[flip]
        logits = Adversary(5, trial).logits(weights, tokens)[0]
        if logits[21] - logits[20] <= best:
            best, signs = logits[21] - logits[20], trial
    assert Fraction(best) >= box.margin(tokens[0].tolist(), 21, 20)[0]
