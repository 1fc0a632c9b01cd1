r"""The forward pass of modular addition on many pairs at once, in float64, and its gradient by hand.

The equations are those of `spec.model`, for a model without LayerNorms:
$r = x_K + b_O + \sum_h\sum_i a^h_i v^h_iW_O^h$, $h = \mathrm{ReLU}(rW_{in}+b_{in})$,
$\mathrm{logits} = (r + hW_{out} + b_{out})W_U + b_U$.

Contents:
    tokens — all pairs, with the token "=" where the model reads it.
    Pass, forward — pre-activations, activations and logits.
    input_gradients — of one logit by the rows at the two summands.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pessimal.circuits.residual import positions, tensor
from pessimal.spec import Weights
from pessimal.spec.architecture import UNIFORM


def tokens(weights: Weights) -> Int[np.ndarray, "pairs k"]:
    """All p^2 inputs, a outermost; the third token, where there is one, is p."""
    shape = weights.architecture.shape
    p = shape.d_vocab_out
    pairs = np.stack(np.divmod(np.arange(p**2), p), axis=1)
    return pairs if shape.k == 2 else np.concatenate([pairs, np.full((p**2, 1), p)], axis=1)


@dataclass(frozen=True)
class Pass:
    """What a model computes on a batch.

    Attributes:
        hidden: activations after the ReLU.
        from_mlp: logits that go through the MLP's neurons.
        skip: logits that pass it by, biases included.
    """

    hidden: Float[np.ndarray, "batch d_mlp"]
    from_mlp: Float[np.ndarray, "batch p"]
    skip: Float[np.ndarray, "batch p"]

    @property
    def logits(self) -> Float[np.ndarray, "batch p"]:
        """Both parts."""
        return self.from_mlp + self.skip


def forward(
    weights: Weights, inputs: Int[np.ndarray, "batch k"], W_E: Float[np.ndarray, "d_vocab d_model"] | None = None
) -> Pass:
    """Run a batch, perhaps with another embedding.

    Args:
        weights: a model without LayerNorms and with an MLP.
        inputs: token sequences.
        W_E: rows to use in place of the model's own.

    Cost: about `2 * batch * (3 * k * d_model**2 + d_mlp * (d_model + p))` operations where heads fill `d_model`.
    """
    x = (tensor(weights, "W_E") if W_E is None else W_E)[inputs] + positions(weights)
    residual = x[:, -1] + _bias(weights, "b_O")
    for head in range(weights.architecture.shape.n_heads):
        values = x @ tensor(weights, "W_V", head) + _bias(weights, "b_V", head)
        mixed = np.einsum("bk,bkd->bd", _pattern(weights, x, head), values)
        residual = residual + mixed @ tensor(weights, "W_O", head)
    hidden = np.maximum(residual @ tensor(weights, "W_in") + _bias(weights, "b_in"), 0.0)
    W_U = tensor(weights, "W_U")
    skip = (residual + _bias(weights, "b_out")) @ W_U + _bias(weights, "b_U")
    return Pass(hidden, hidden @ (tensor(weights, "W_out") @ W_U), skip)


def _bias(weights: Weights, name: str, head: int = 0) -> Float[np.ndarray, "..."]:
    array = weights.get(name, head)
    return np.zeros(1) if array is None else np.asarray(array, dtype=np.float64)


def _queries_keys(
    weights: Weights, x: Float[np.ndarray, "batch k d_model"], head: int
) -> tuple[Float[np.ndarray, "batch d_head"], Float[np.ndarray, "batch k d_head"]]:
    """Query of the last position, times the scale, and all keys."""
    arch = weights.architecture
    scale = 1.0 if arch.attn_scale == "1" else arch.shape.d_head**-0.5
    query = x[:, -1] @ tensor(weights, "W_Q", head) + _bias(weights, "b_Q", head)
    return scale * query, x @ tensor(weights, "W_K", head) + _bias(weights, "b_K", head)


def _pattern(weights: Weights, x: Float[np.ndarray, "batch k d_model"], head: int) -> Float[np.ndarray, "batch k"]:
    """Attention of the last position, summing to 1."""
    if weights.architecture.attention == UNIFORM:
        return np.full(x.shape[:2], 1 / x.shape[1])
    query, keys = _queries_keys(weights, x, head)
    scores = np.einsum("bd,bkd->bk", query, keys)
    pattern = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(pattern / pattern.sum(1, keepdims=True))


def input_gradients(
    weights: Weights, inputs: Int[np.ndarray, "batch k"], classes: Int[np.ndarray, " batch"]
) -> Float[np.ndarray, "batch k d_model"]:
    r"""Gradient of one logit per input by the row of the embedding at every position.

    With $g = \partial\,\mathrm{logit}_c/\partial r = W_U^c + W_{in}\bigl(1[h > 0]\odot W_{out}W_U^c\bigr)$ and
    $u^h = W_O^h g$: position i has $a_iW_Vu + \delta_iW_Kq$ with $\delta_i = a_i(\langle v_i,u\rangle -
    \sum_ja_j\langle v_j,u\rangle)$, the last position moreover $g + W_Q\sum_i\delta_ik_i$; all $\delta$ are 0 where
    attention is uniform.

    Args:
        weights: a model without LayerNorms and with an MLP.
        inputs: token sequences.
        classes: whose logit, one per sequence.

    Returns:
        Logits per unit of the residual stream. At a kink the ReLU counts as off.
    """
    arch = weights.architecture
    x = tensor(weights, "W_E")[inputs] + positions(weights)
    hidden = forward(weights, inputs).hidden
    W_U = tensor(weights, "W_U").T[classes]
    g = W_U + ((hidden > 0) * (W_U @ tensor(weights, "W_out").T)) @ tensor(weights, "W_in").T
    gradient = np.zeros_like(x)
    gradient[:, -1] = g
    scale = 1.0 if arch.attn_scale == "1" else arch.shape.d_head**-0.5
    for head in range(arch.shape.n_heads):
        u = g @ tensor(weights, "W_O", head).T
        W_V, pattern = tensor(weights, "W_V", head), _pattern(weights, x, head)
        gradient += pattern[:, :, np.newaxis] * (u @ W_V.T)[:, np.newaxis]
        if arch.attention == UNIFORM:
            continue
        query, keys = _queries_keys(weights, x, head)
        written = np.einsum("bkd,bd->bk", x @ W_V + _bias(weights, "b_V", head), u)
        delta = pattern * (written - (pattern * written).sum(1, keepdims=True))
        gradient += delta[:, :, np.newaxis] * (query @ tensor(weights, "W_K", head).T)[:, np.newaxis]
        gradient[:, -1] += scale * np.einsum("bk,bkd->bd", delta, keys) @ tensor(weights, "W_Q", head).T
    return gradient
