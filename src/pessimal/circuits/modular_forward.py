r"""Modular addition on all $p^2$ pairs at once, in float64: residual, neurons, logits; and the real Fourier basis.

A model reads two tokens $a, b < p$, or three of which the last is $p$ ("="), and is read at its last position. With
$r(a,b)$ its residual before the MLP and $h = \mathrm{ReLU}(rW_{in}+b_{in})$,

$$ \mathrm{logits}(a,b) = (r + b_{out})W_U + h\,W_L + b_U, \qquad W_L = W_{out}W_U. $$

Values and keys depend on a position and its token alone, so they are tables of p rows; only softmax and what follows
it is computed pair by pair.

Contents:
    modulus — p of a model that adds modulo p.
    hidden — activations of the neurons.
    logits — by class.
    output_map — W_L.
    fourier_basis — constant, cosines, sines; orthonormal.

References:
    Nanda et al. 2023, Progress measures for grokking via mechanistic interpretability, arXiv 2301.05217.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from pessimal.circuits.residual import tensor
from pessimal.spec import Weights
from pessimal.spec.architecture import UNIFORM

CHUNK = 2048


def modulus(weights: Weights) -> int:
    """The p of a model that adds two tokens modulo p.

    Raises:
        ValueError: it has no MLP, has LayerNorms, reads another number of tokens, or p is no odd prime.
    """
    arch = weights.architecture
    shape = arch.shape
    p = shape.d_vocab_out
    if not shape.d_mlp:
        raise ValueError("a model of modular addition has an MLP; W_in is missing")
    if arch.ln1 or arch.ln_final:
        raise ValueError("a model of modular addition has no LayerNorm")
    if (shape.k, shape.d_vocab) not in {(2, p), (3, p + 1)}:
        reads = f"reads {shape.k} of {shape.d_vocab}"
        raise ValueError(f"a model of modular addition reads 2 tokens of {p}, or 3 of {p + 1}; this {reads}")
    require_odd_prime(p)
    return p


def require_odd_prime(p: int) -> None:
    """Raise ValueError unless p is an odd prime: otherwise frequencies are not all alike."""
    if p < 3 or any(p % n == 0 for n in range(2, int(p**0.5) + 1)):
        raise ValueError(f"p={p} is not an odd prime")


def hidden(weights: Weights) -> Float[np.ndarray, "p p d_mlp"]:
    """Activations of the neurons on all pairs, first summand outermost.

    Raises:
        ValueError: not a model of modular addition.

    Cost: 2 p^2 d_mlp d_model FLOPs and 8 p^2 d_mlp bytes.
    """
    p = modulus(weights)
    w_in, b_in = tensor(weights, "W_in"), _bias(weights, "b_in")
    parts = [np.maximum(rows @ w_in + b_in, 0.0) for rows in _residuals(weights)]
    return np.concatenate(parts).reshape(p, p, -1)


def logits(weights: Weights) -> Float[np.ndarray, "p p p"]:
    """Logits on all pairs: first summand, second summand, class.

    Raises:
        ValueError: not a model of modular addition.
    """
    p = modulus(weights)
    w_in, b_in, unembed = tensor(weights, "W_in"), _bias(weights, "b_in"), tensor(weights, "W_U")
    out = output_map(weights)
    constant = _bias(weights, "b_out") @ unembed + _bias(weights, "b_U")
    parts = [rows @ unembed + constant + np.maximum(rows @ w_in + b_in, 0.0) @ out for rows in _residuals(weights)]
    return np.concatenate(parts).reshape(p, p, p)


def output_map(weights: Weights) -> Float[np.ndarray, "d_mlp p"]:
    """W_L: logits per unit of activation."""
    product: Float[np.ndarray, "d_mlp p"] = tensor(weights, "W_out") @ tensor(weights, "W_U")
    return product


def fourier_basis(p: int) -> Float[np.ndarray, "p p"]:
    r"""Orthonormal rows over the residues: constant, $\cos w_1t$, $\sin w_1t$, $\cos w_2t$, ..., with $w_k=2\pi k/p$.

    Raises:
        ValueError: p is no odd prime.
    """
    require_odd_prime(p)
    # Reduced modulo p first: the angle is exact to half a unit in the last place.
    angle = 2 * np.pi / p * (np.outer(np.arange(1, (p + 1) // 2), np.arange(p)) % p)
    rows = np.empty((p, p))
    rows[0], rows[1::2], rows[2::2] = p**-0.5, (2 / p) ** 0.5 * np.cos(angle), (2 / p) ** 0.5 * np.sin(angle)
    return rows


def _residuals(weights: Weights) -> Iterator[Float[np.ndarray, "n d_model"]]:
    """Rows before the MLP, some pairs at a time."""
    arch = weights.architecture
    shape = arch.shape
    embed, place = tensor(weights, "W_E"), tensor(weights, "W_pos")[: shape.k]
    x = embed[None] + place[:, None]
    scale = 1.0 if arch.attn_scale == "1" else shape.d_head**-0.5
    scores, values = [], []
    for head in range(shape.n_heads):
        value = x @ tensor(weights, "W_V", head) + _bias(weights, "b_V", head)
        values.append(value @ tensor(weights, "W_O", head))
        if arch.attention == UNIFORM:
            continue
        query = (x[-1] @ tensor(weights, "W_Q", head) + _bias(weights, "b_Q", head)) * scale
        keys = x @ tensor(weights, "W_K", head) + _bias(weights, "b_K", head)
        scores.append(np.einsum("qd,ikd->qik", query, keys))
    position = np.arange(shape.k)
    for tokens in _pairs(weights):
        rows = x[-1][tokens[:, -1]] + _bias(weights, "b_O")
        for head in range(shape.n_heads):
            if arch.attention == UNIFORM:
                rows = rows + values[head][position, tokens].mean(1)
                continue
            score = scores[head][tokens[:, -1:], position, tokens]
            pattern = np.exp(score - score.max(1, keepdims=True))
            pattern /= pattern.sum(1, keepdims=True)
            rows = rows + np.einsum("ni,nim->nm", pattern, values[head][position, tokens])
        yield rows


def _pairs(weights: Weights) -> Iterator[Int[np.ndarray, "n k"]]:
    """Tokens of all inputs in the order of the arrays, some at a time."""
    shape = weights.architecture.shape
    p = shape.d_vocab_out
    for begin in range(0, p * p, CHUNK):
        pairs = np.stack(np.divmod(np.arange(begin, min(begin + CHUNK, p * p)), p), axis=1)
        yield np.concatenate([pairs, np.full((len(pairs), shape.k - 2), p)], axis=1)


def _bias(weights: Weights, name: str, head: int = 0) -> Float[np.ndarray, "..."]:
    """A bias in float64; zeros of its width where the model has none."""
    shape = weights.architecture.shape
    width = {"b_in": shape.d_mlp, "b_U": shape.d_vocab_out, "b_Q": shape.d_head, "b_K": shape.d_head}
    width["b_V"] = shape.d_head
    array = weights.get(name, head)
    return np.zeros(width.get(name, shape.d_model)) if array is None else array.astype(np.float64)
