r"""Modular addition in one layer with an MLP: folded tables and neurons as waves.

With uniform attention over two tokens the pre-activations are additive, $x_i(a,b) = L_i(a) + R_i(b)$, and with
$G = W_{out}W_U$

$$\mathrm{logit}_c(a,b) = \sum_i \mathrm{ReLU}(x_i(a,b))\,G_i(c) + S_L(a,c) + S_R(b,c).$$

In a trained model $L_i, R_i, G_i$ are nearly single waves of one frequency k:
$r\cos(\theta k a + \phi)$, $r\cos(\theta k b + \phi)$ and $s\cos(\theta k c + \psi)$. With softmax attention nothing is
additive, and only what is said about activations, logits and G applies.

Contents:
    modulus — p of a model, or why it is none of modular addition.
    embedding — the rows of W_E that are summed.
    output_map — G.
    Tables, folded_tables — L, R, the skip and G under uniform attention.
    Neurons, neurons_of — frequency, amplitude and phase of every neuron.

References:
    Yip, Agrawal, Chan, Gross 2024, Modular addition without black-boxes, arXiv 2412.03773 (the amplitude-phase form).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from pessimal.circuits.modular.waves import ModularError, require_odd_prime, waves
from pessimal.circuits.residual import bias, positions, tensor
from pessimal.spec import Weights
from pessimal.spec.architecture import UNIFORM

TASKS = ("modular-addition", "modular-addition-equals")
# A neuron whose product of amplitudes is below this share of the largest moves no logit.
LIVE_SHARE = 1e-3


def modulus(weights: Weights) -> int:
    """p, the modulus.

    The model reads two summands, or the summands and the token "=", which is p.

    Raises:
        ModularError: another task, no MLP, LayerNorms, p not an odd prime, or a NaN.
    """
    arch, stated = weights.architecture, weights.metadata.get("task", TASKS[0]).replace("_", "-")
    shape = arch.shape
    p = shape.d_vocab_out
    if stated not in TASKS:
        raise ModularError(f"the model was trained for {stated[:40]!r}, not for {TASKS[0]}")
    if not shape.d_mlp:
        raise ModularError("the model has no MLP (W_in and W_out), and modular addition is computed in one")
    if arch.ln1 or arch.ln_final:
        raise ModularError("the model has LayerNorms (ln1_w, ln_final_w), which leave no waves in the weights")
    if (shape.k, shape.d_vocab) not in {(2, p), (3, p + 1)}:
        raise ModularError(
            f"k={shape.k}, d_vocab={shape.d_vocab}, d_vocab_out={p} is not modular addition: two summands mod p with"
            " p tokens, or a third token with p + 1"
        )
    require_odd_prime(p)
    for name, array in weights.tensors.items():
        if not np.isfinite(array).all():
            raise ModularError(f"tensor {name!r} holds a NaN or an infinity")
    return p


def embedding(weights: Weights) -> Float[np.ndarray, "p d_model"]:
    """Rows of W_E of the summands, the token "=" left out."""
    return tensor(weights, "W_E")[: weights.architecture.shape.d_vocab_out]


def output_map(weights: Weights) -> Float[np.ndarray, "d_mlp p"]:
    """G, what a neuron writes: logits per unit of activation."""
    product: Float[np.ndarray, "d_mlp p"] = tensor(weights, "W_out") @ tensor(weights, "W_U")
    return product


@dataclass(frozen=True)
class Tables:
    """A model with uniform attention, folded.

    Attributes:
        left, right: L and R, pre-activations, `[p, d_mlp]`; the biases stand in R.
        skip_left, skip_right: logits that pass the MLP by, `[p, p]`, token by class; the biases stand in the right one.
        out: G, `[d_mlp, p]`.
    """

    left: Float[np.ndarray, "p d_mlp"]
    right: Float[np.ndarray, "p d_mlp"]
    skip_left: Float[np.ndarray, "p p"]
    skip_right: Float[np.ndarray, "p p"]
    out: Float[np.ndarray, "d_mlp p"]


def folded_tables(weights: Weights) -> Tables:
    r"""Tables of a model with uniform attention.

    With $\mathrm{OV} = \sum_h W_V^hW_O^h$ the residual is the attention's biases plus

    $$\tfrac12(E_a+P_0)\mathrm{OV} + (E_b+P_1)(\tfrac12\mathrm{OV}+1) .$$

    Raises:
        ModularError: not a model of modular addition, or softmax attention.

    Source: as `kernel.model.folded`, in float64.
    """
    modulus(weights)
    if weights.architecture.attention != UNIFORM:
        raise ModularError("with softmax attention pre-activations are not a sum over the two summands")
    heads = range(weights.architecture.shape.n_heads)
    OV = sum(tensor(weights, "W_V", h) @ tensor(weights, "W_O", h) for h in heads)
    rows = embedding(weights) + positions(weights)[:, np.newaxis]
    constant = bias(weights, "b_O") + sum(bias(weights, "b_V", h) @ tensor(weights, "W_O", h) for h in heads)
    left, right = rows[0] @ OV / 2, rows[1] @ OV / 2 + rows[1] + constant
    W_in, W_U = tensor(weights, "W_in"), tensor(weights, "W_U")
    return Tables(
        left=left @ W_in,
        right=right @ W_in + bias(weights, "b_in"),
        skip_left=left @ W_U,
        skip_right=(right + bias(weights, "b_out")) @ W_U + bias(weights, "b_U"),
        out=output_map(weights),
    )


@dataclass(frozen=True)
class Neurons:
    r"""Neurons as waves; every field has one entry per neuron.

    Attributes:
        frequency: with most energy in L and R together; the phases and amplitudes of the input belong to it.
        r_left, phi_left, r_right, phi_right: of L and R, pre-activations and radians.
        r, phi: of (L + R) / 2.
        offset: mean of L plus mean of R, biases included, pre-activations.
        input_energy, explained_input: energy of L and R without their means, and what the frequency has of it.
        second: the frequency with most energy after the first; `second_energy`.
        output_frequency: with most energy in G; `s`, `psi` belong to it, logits per pre-activation and radians.
        output_energy, explained_output: as above, of G.
        live: whether $rs$ is at least `LIVE_SHARE` of the largest.
    """

    frequency: Int[np.ndarray, " d_mlp"]
    r_left: Float[np.ndarray, " d_mlp"]
    phi_left: Float[np.ndarray, " d_mlp"]
    r_right: Float[np.ndarray, " d_mlp"]
    phi_right: Float[np.ndarray, " d_mlp"]
    r: Float[np.ndarray, " d_mlp"]
    phi: Float[np.ndarray, " d_mlp"]
    offset: Float[np.ndarray, " d_mlp"]
    input_energy: Float[np.ndarray, " d_mlp"]
    explained_input: Float[np.ndarray, " d_mlp"]
    second: Int[np.ndarray, " d_mlp"]
    second_energy: Float[np.ndarray, " d_mlp"]
    output_frequency: Int[np.ndarray, " d_mlp"]
    s: Float[np.ndarray, " d_mlp"]
    psi: Float[np.ndarray, " d_mlp"]
    output_energy: Float[np.ndarray, " d_mlp"]
    explained_output: Float[np.ndarray, " d_mlp"]
    live: Bool[np.ndarray, " d_mlp"]

    def of(self, k: int) -> Int[np.ndarray, " some"]:
        """Live neurons that read and write frequency k."""
        return np.flatnonzero(self.live & (self.frequency == k) & (self.output_frequency == k))


def neurons_of(
    left: Float[np.ndarray, "p d_mlp"], right: Float[np.ndarray, "p d_mlp"], out: Float[np.ndarray, "d_mlp p"]
) -> Neurons:
    """Frequencies, amplitudes and phases of every neuron from its three tables.

    Cost: three FFTs per neuron.
    """
    p, n = left.shape
    L, R, G = waves(left), waves(right), waves(out.T)
    energy, written = np.abs(L) ** 2 + np.abs(R) ** 2, np.abs(G) ** 2
    order = np.argsort(-energy, axis=0)
    k, c = order[0], written.argmax(0)
    second = order[1] if len(order) > 1 else order[0]
    every = np.arange(n)
    mine = (L[k, every] + R[k, every]) / 2
    amplitude = np.abs(mine) * np.abs(G[c, every])
    # Below this a wave is the rounding of a constant.
    floor = 1e-12 * max(float(np.abs(left).max()), float(np.abs(right).max())) * float(np.abs(out).max())
    return Neurons(
        frequency=k + 1,
        r_left=np.abs(L[k, every]),
        phi_left=np.angle(L[k, every]),
        r_right=np.abs(R[k, every]),
        phi_right=np.angle(R[k, every]),
        r=np.abs(mine),
        phi=np.angle(mine),
        offset=left.mean(0) + right.mean(0),
        input_energy=energy.sum(0) * p / 2,
        explained_input=energy[k, every] * p / 2,
        second=second + 1,
        second_energy=energy[second, every] * p / 2 * (len(order) > 1),
        output_frequency=c + 1,
        s=np.abs(G[c, every]),
        psi=np.angle(G[c, every]),
        output_energy=written.sum(0) * p / 2,
        explained_output=written[c, every] * p / 2,
        live=(amplitude > floor) & (amplitude >= LIVE_SHARE * amplitude.max()),
    )
