r"""A model that takes the maximum in another way than trained ones do.

Trained models attend to the largest token. This one attends uniformly and lets every token veto the outputs below it:
$\mathrm{EVOU}[t, o] = -C\,[o < t] - o$, so the sum over positions is largest at the largest token. It is right on every
input, and an explanation by attention to the maximum says nothing about it.

Contents:
    veto_model — the weights as a safetensors file.
"""

import numpy as np
from safetensors.numpy import save


def veto_model(k: int, d_vocab: int) -> bytes:
    """Weights of the veto circuit, d_model = 2 d_vocab, d_head = d_vocab.

    Args:
        k: sequence length.
        d_vocab: tokens and outputs.
    """
    v = d_vocab
    tokens, outputs = np.arange(v)[:, np.newaxis], np.arange(v)
    eye, zero = np.eye(v), np.zeros((v, v))
    veto = -4.0 * k * v * (outputs < tokens) - outputs
    tensors = {
        "W_E": np.hstack([eye, zero]),
        "W_pos": np.zeros((k, 2 * v)),
        "W_Q": np.zeros((2 * v, v)),
        "W_K": np.zeros((2 * v, v)),
        "W_V": np.vstack([eye, zero]),
        "W_O": np.hstack([zero, eye]),
        "W_U": np.vstack([zero, veto]),
    }
    return save({name: np.ascontiguousarray(a, dtype=np.float32) for name, a in tensors.items()},
                {"task": "max-of-k", "attn_scale": "1/sqrt(d_head)"})  # fmt: skip
