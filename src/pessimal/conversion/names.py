"""What tensors of a one-layer transformer are called in the files of this field, and what stands beside them.

Contents:
    HOOKED — keys of HookedTransformer (TransformerLens 1 to 3) and the short names: canonical name.
    LINEAR — keys of TransformerBridge (TransformerLens 3 and 4), of both kinds: canonical name.
    FULL_NAMES — canonical name: the key that is written.
    BUFFERS, is_beside — tensors that carry no parameters.
    without_wrappers — a key without the components that wrappers of modules put into it.
    last_component — the part of a key after its last dot.
"""

from pessimal.spec.weight_file import TRANSFORMER_LENS
from pessimal.spec.weights import AXES

HOOKED: dict[str, str] = {**{name: name for name in AXES}, **TRANSFORMER_LENS}
FULL_NAMES: dict[str, str] = {short: full for full, short in TRANSFORMER_LENS.items()}

# Matrices of torch.nn.Linear are [out, in]; those of torch.nn.Embedding are [rows, width], as here.
_BLOCK = {
    **{f"attn.{name.lower()}.weight": f"W_{name}" for name in "QKVO"},
    **{f"attn.{name.lower()}.bias": f"b_{name}" for name in "QKVO"},
    "ln1.weight": "ln1_w",
    "ln1.bias": "ln1_b",
    "mlp.in.weight": "W_in",
    "mlp.in.bias": "b_in",
    "mlp.out.weight": "W_out",
    "mlp.out.bias": "b_out",
}
# What TransformerBridge.state_dict() writes, and the names of the native model inside it, which it writes as a part of
# another module.
LINEAR: dict[str, str] = {
    "embed.weight": "W_E",
    "pos_embed.weight": "W_pos",
    "ln_final.weight": "ln_final_w",
    "ln_final.bias": "ln_final_b",
    "unembed.weight": "W_U",
    "unembed.bias": "b_U",
    **{f"blocks.0.{key}": name for key, name in _BLOCK.items()},
    "tok_embed.weight": "W_E",
    "pos.weight": "W_pos",
    "ln_out.weight": "ln_final_w",
    "ln_out.bias": "ln_final_b",
    "head.weight": "W_U",
    "head.bias": "b_U",
    **{f"layers.0.{key.replace('mlp.', 'mlp.fc_')}": name for key, name in _BLOCK.items()},
}
# Components that torch.compile, TransformerBridge, FSDP and checkpointing put between others.
WRAPPERS = frozenset({"_orig_mod", "_original_component", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
# The causal mask under its usual names, and what is counted while training.
BUFFERS = frozenset({"mask", "IGNORE", "causal_mask"})
BESIDE = frozenset(
    {"epoch", "epochs", "global_step", "iter", "iteration", "iterations", "n_averaged", "n_steps",
     "num_batches_tracked", "num_steps", "num_updates", "position_ids", "seed", "step", "steps", "tokens_seen"}
)  # fmt: skip


def last_component(key: str) -> str:
    """The part after the last dot."""
    return key.rpartition(".")[2]


def is_beside(key: str) -> bool:
    """Whether a tensor of this name is a counter or an index that no forward pass reads."""
    return last_component(key) in BESIDE


def without_wrappers(key: str) -> str:
    """The key without components of wrappers."""
    return ".".join(part for part in key.split(".") if part not in WRAPPERS)
