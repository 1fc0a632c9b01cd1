r"""The forward pass of modular addition on many pairs at once, in float64, and its gradient by hand.

The equations are those of `spec.model`, for a model without LayerNorms:
$r = x_K + b_O + \sum_h\sum_i a^h_i v^h_iW_O^h$, $h = \mathrm{ReLU}(rW_{in}+b_{in})$,
$\mathrm{logits} = (r + hW_{out} + b_{out})W_U + b_U$.

Queries, keys and values depend on a position and its token alone, so they are computed once per token; only the softmax
and what follows it is computed input by input.

Contents:
    tokens — all pairs, with the token "=" where the model reads it.
    Pass, forward — activations and logits.
    input_gradients — of one logit by the rows at the two summands.

References:
    Nanda et al. 2023, Progress measures for grokking via mechanistic interpretability, arXiv 2301.05217.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pessimal.circuits.modular.tables import output_map
from pessimal.circuits.residual import bias, positions, tensor
from pessimal.spec import Weights
from pessimal.spec.architecture import UNIFORM


def tokens(weights: Weights) -> Int[np.ndarray, "p p k"]:
    """All p^2 inputs, first summand outermost; the third token, where there is one, is p."""
    shape = weights.architecture.shape
    p = shape.d_vocab_out
    inputs = np.full((p, p, shape.k), p)
    inputs[..., 0], inputs[..., 1] = np.arange(p)[:, np.newaxis], np.arange(p)
    return inputs


@dataclass(frozen=True)
class Pass:
    """What a model computes on a batch.

    Attributes:
        hidden: activations after the ReLU.
        from_mlp: logits that go through the MLP's neurons.
        skip: logits that pass it by, biases included.
    """

    hidden: Float[np.ndarray, "*batch d_mlp"]
    from_mlp: Float[np.ndarray, "*batch p"]
    skip: Float[np.ndarray, "*batch p"]

    @property
    def logits(self) -> Float[np.ndarray, "*batch p"]:
        """Both parts."""
        return self.from_mlp + self.skip


def forward(
    weights: Weights,
    inputs: Int[np.ndarray, "*batch k"] | None = None,
    W_E: Float[np.ndarray, "d_vocab d_model"] | None = None,
) -> Pass:
    """Run a batch, perhaps with another embedding.

    Args:
        weights: a model without LayerNorms and with an MLP.
        inputs: token sequences (default: all pairs, `tokens`).
        W_E: rows to use in place of the model's own.

    Cost: about `2 * batch * (d_mlp * (d_model + p) + n_heads * k * d_model)` operations beside the tables by token.
    """
    inputs = tokens(weights) if inputs is None else inputs
    x = _rows(weights, W_E)
    residual = x[-1][inputs[..., -1]] + bias(weights, "b_O")
    for head in range(weights.architecture.shape.n_heads):
        values = (x @ tensor(weights, "W_V", head) + bias(weights, "b_V", head)) @ tensor(weights, "W_O", head)
        mine = values[np.arange(len(x)), inputs]
        residual = residual + np.einsum("...i,...im->...m", _pattern(weights, x, inputs, head), mine)
    hidden = np.maximum(residual @ tensor(weights, "W_in") + bias(weights, "b_in"), 0.0)
    W_U = tensor(weights, "W_U")
    skip = (residual + bias(weights, "b_out")) @ W_U + bias(weights, "b_U")
    return Pass(hidden, hidden @ output_map(weights), skip)


def _rows(
    weights: Weights, W_E: Float[np.ndarray, "d_vocab d_model"] | None = None
) -> Float[np.ndarray, "k d_vocab d_model"]:
    """What each token puts into the residual stream at each position."""
    embed = tensor(weights, "W_E") if W_E is None else W_E
    return np.asarray(embed + positions(weights)[:, np.newaxis])


def _scale(weights: Weights) -> float:
    arch = weights.architecture
    scale = arch.scale()
    return float(arch.shape.d_head**-0.5 if scale is None else scale)


def _queries_keys(
    weights: Weights, x: Float[np.ndarray, "k d_vocab d_model"], head: int
) -> tuple[Float[np.ndarray, "d_vocab d_head"], Float[np.ndarray, "k d_vocab d_head"]]:
    """Queries of the tokens at the last position, times the scale, and all keys."""
    query = x[-1] @ tensor(weights, "W_Q", head) + bias(weights, "b_Q", head)
    return _scale(weights) * query, x @ tensor(weights, "W_K", head) + bias(weights, "b_K", head)


def _pattern(
    weights: Weights, x: Float[np.ndarray, "k d_vocab d_model"], inputs: Int[np.ndarray, "*batch k"], head: int
) -> Float[np.ndarray, "*batch k"]:
    """Attention of the last position, summing to 1."""
    if weights.architecture.attention == UNIFORM:
        return np.full(inputs.shape, 1 / len(x))
    query, keys = _queries_keys(weights, x, head)
    table = np.einsum("qd,ivd->qiv", query, keys, optimize=True)
    scores = table[inputs[..., -1:], np.arange(len(x)), inputs]
    pattern = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(pattern / pattern.sum(-1, keepdims=True))


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
    x, position = _rows(weights), np.arange(inputs.shape[1])
    hidden = forward(weights, inputs).hidden
    W_U = tensor(weights, "W_U").T[classes]
    g = W_U + ((hidden > 0) * (W_U @ tensor(weights, "W_out").T)) @ tensor(weights, "W_in").T
    gradient = np.zeros((*inputs.shape, x.shape[-1]))
    gradient[:, -1] = g
    for head in range(weights.architecture.shape.n_heads):
        u = g @ tensor(weights, "W_O", head).T
        W_V, pattern = tensor(weights, "W_V", head), _pattern(weights, x, inputs, head)
        gradient += pattern[:, :, np.newaxis] * (u @ W_V.T)[:, np.newaxis]
        if weights.architecture.attention == UNIFORM:
            continue
        query, keys = _queries_keys(weights, x, head)
        query, keys = query[inputs[:, -1]], keys[position, inputs]
        values = x @ W_V + bias(weights, "b_V", head)
        written = np.einsum("bkd,bd->bk", values[position, inputs], u)
        delta = pattern * (written - (pattern * written).sum(1, keepdims=True))
        gradient += delta[:, :, np.newaxis] * (query @ tensor(weights, "W_K", head).T)[:, np.newaxis]
        gradient[:, -1] += _scale(weights) * np.einsum("bk,bkd->bd", delta, keys) @ tensor(weights, "W_Q", head).T
    return gradient
