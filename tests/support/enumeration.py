"""The truth about planted models with larger vocabularies: every sequence at once, and exactly.

Logits in float64 decide the sequences whose margins are far above what float64 can be wrong by; the oracle (`oracle.py`)
decides the others. Nothing of the package but the reader is used.

*Why float64 may decide.* Let S bound the sums of magnitudes behind a score, A those behind a logit, and let N be the
number of roundings on the way to an entry, at most `LONGEST`. A score is off by at most 2 N 2^-53 S, so an attention
weight by a factor of at most 1 + 4 N 2^-53 (1 + S), and a logit by at most 16 N 2^-53 (1 + S) A, below 2^-41 (1 + S) A.
Margins above `2^-38 (1 + S) A` are decided; S is required to be small enough for that to be a small number.

Contents:
    all_sequences — every sequence, last token fastest.
    right_sequences — which of them are right under Max-of-K.
    wrong_by_stratum — how many are not, by last token and largest token.
"""

from collections import Counter

import flint
import numpy as np

from pessimal.spec import Weights
from support.oracle import PRECISIONS, RIGHT, Equations, decide

LONGEST = 2**8
DECIDED = 2.0**-38


def all_sequences(v: int, k: int) -> np.ndarray:
    """`[v**k, k]`."""
    return np.stack(np.unravel_index(np.arange(v**k), (v,) * k), axis=1)


def _logits(weights: Weights, tokens: np.ndarray) -> tuple[np.ndarray, float]:
    """Logits of one head without LayerNorm, `[n, o]`, and the margin above which they decide."""
    arch = weights.architecture
    s = arch.shape
    assert s.n_heads == 1
    assert not any((arch.ln1, arch.ln_final, s.d_mlp))
    assert 2 * (s.d_model + s.d_head + s.k) + 20 <= LONGEST

    def tensor(name: str, *shape: int) -> np.ndarray:
        array = weights.get(name)
        return np.zeros(shape) if array is None else np.asarray(array, dtype=np.float64)

    def tables(change) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores `[k, q, t]`, values `[k, t, o]` and direct path `[q, o]`, of the tensors or of their magnitudes."""
        t = {name: change(tensor(name)) for name in ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_U")}
        x = t["W_E"] + change(tensor("W_pos")[: s.k])[:, np.newaxis]
        b_q, b_v, b_o, b_u = (
            change(tensor(name, size))
            for name, size in (("b_Q", s.d_head), ("b_V", s.d_head), ("b_O", s.d_model), ("b_U", s.d_vocab_out))
        )
        scores = (x[-1] @ t["W_Q"] + b_q) @ (x @ t["W_K"]).transpose(0, 2, 1) * scale
        direct = (x[-1] + b_o + b_v @ t["W_O"]) @ t["W_U"] + b_u
        return scores, x @ t["W_V"] @ t["W_O"] @ t["W_U"], direct

    factor = arch.scale()
    scale = 1 / np.sqrt(s.d_head) if factor is None else float(factor)
    sizes = [float(part.max()) for part in tables(np.abs)]
    margin = DECIDED * (1 + sizes[0]) * (sizes[1] + sizes[2])
    assert sizes[0] < 2**20
    scores, values, direct = tables(lambda array: array)
    q = tokens[:, -1]
    score = np.stack([scores[i, q, tokens[:, i]] for i in range(s.k)])
    weight = np.exp(score - score.max(0))
    logits = direct[q] + sum(w[:, np.newaxis] * values[i, tokens[:, i]] for i, w in enumerate(weight / weight.sum(0)))
    return logits, margin


def right_sequences(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """All sequences and whether each is certainly right; a tie is not."""
    shape = weights.architecture.shape
    tokens = all_sequences(shape.d_vocab, shape.k)
    logits, margin = _logits(weights, tokens)
    rows, target = np.arange(len(tokens)), tokens.max(1)
    mine = logits[rows, target].copy()
    logits[rows, target] = -np.inf
    ahead = mine - logits.max(1)
    right = ahead > margin
    left = np.flatnonzero(np.abs(ahead) <= margin)
    for precision in PRECISIONS:
        model, open_ = Equations(weights, precision) if left.size else None, []
        for row in left.tolist():
            with flint.ctx.workprec(precision):
                verdict = decide(model(tokens[row].tolist()), int(target[row]))
            if verdict is None:
                open_.append(row)
            right[row] = verdict == RIGHT
        left = np.array(open_, dtype=np.int64)
    return tokens, right


def wrong_by_stratum(weights: Weights) -> Counter[tuple[int, int]]:
    """Sequences that are wrong or tied, by last token and largest token."""
    tokens, right = right_sequences(weights)
    lost = tokens[~right]
    return Counter(zip(lost[:, -1].tolist(), lost.max(1).tolist(), strict=True))
