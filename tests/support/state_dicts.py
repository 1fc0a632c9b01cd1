"""State dicts of one small model under the names and layouts of the field."""

import numpy as np

V, M, D, H, K = 5, 8, 3, 2, 4


def hooked(seed=0, *, d_mlp=0, v=V, m=M, d=D, h=H, k=K, dtype=np.float32):
    """Names and layout of HookedTransformer."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    tensors = {"embed.W_E": draw(v, m), "pos_embed.W_pos": draw(k, m)}
    tensors |= {f"blocks.0.attn.W_{name}": draw(h, m, d) for name in "QKV"}
    tensors |= {"blocks.0.attn.W_O": draw(h, d, m), "unembed.W_U": draw(m, v)}
    if d_mlp:
        tensors |= {"blocks.0.mlp.W_in": draw(m, d_mlp), "blocks.0.mlp.b_in": draw(d_mlp)}
        tensors |= {"blocks.0.mlp.W_out": draw(d_mlp, m), "blocks.0.mlp.b_out": draw(m)}
    return tensors


def early(tensors):
    """The same model as the early grokking code lays it out."""
    turned = {}
    for name, array in tensors.items():
        last = name.rpartition(".")[2]
        if last in {"W_Q", "W_K", "W_V", "W_E", "W_in", "W_out"}:
            turned[name] = np.ascontiguousarray(np.swapaxes(array, -1, -2))
        elif last == "W_O":
            turned[name] = np.ascontiguousarray(array.reshape(-1, array.shape[-1]).T)
        else:
            turned[name] = array
    return {**turned, "blocks.0.attn.mask": np.tril(np.ones((K, K), np.float32))}


def linear(tensors):
    """The same model as TransformerBridge.state_dict() writes it."""
    turned = {}
    for name, array in tensors.items():
        base, _, last = name.rpartition(".")
        if last in {"W_Q", "W_K", "W_V"}:
            rows = array.swapaxes(1, 2).reshape(-1, array.shape[1])
            turned[f"{base}.{last[2].lower()}.weight"] = np.ascontiguousarray(rows)
        elif last == "W_O":
            turned[f"{base}.o.weight"] = np.ascontiguousarray(array.reshape(-1, array.shape[2]).T)
        elif last in {"W_in", "W_out"}:
            turned[f"{base}.{last[2:]}.weight"] = np.ascontiguousarray(array.T)
        elif last in {"b_in", "b_out"}:
            turned[f"{base}.{last[2:]}.bias"] = array
        else:
            turned[f"{base}.weight"] = np.ascontiguousarray(array.T) if last == "W_U" else array
    return turned


def native(tensors):
    """The same model as a TransformerBridge inside another module writes it."""
    names = {
        "embed": "tok_embed",
        "pos_embed": "pos",
        "unembed": "head",
        "blocks": "layers",
        "in": "fc_in",
        "out": "fc_out",
    }
    found = {}
    for name, array in linear(tensors).items():
        *parts, last = [names.get(part, part) for part in name.split(".")]
        found[".".join([*parts, "_original_component", last])] = array
    return found
