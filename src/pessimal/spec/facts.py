"""Statements of a file about its architecture that must not change the function of `model.py`.

A key that TransformerLens has in its configuration is known with the values under which the forward pass is this one.
Any other key that looks like a fact about an architecture is refused: what is not understood is not left out.

Contents:
    require_understood — refuse a statement of the metadata that is not understood, or that the tensors contradict.
    looks_like_fact — whether a name has a word of architectures.
    ON, OFF — how truth values are written.
"""

import re
from collections.abc import Mapping

from pessimal.spec.architecture import ModelShape

ON = ("True", "true", "1")
OFF = ("False", "false", "0", "0.0", "None", "none")
# TransformerLens writes a missing cap, and a size that it works out, as -1.
NOT_SET = (*OFF, "-1", "-1.0")

NEUTRAL: dict[str, tuple[str, ...]] = {
    "n_layers": ("1",),
    # The last position sees all positions either way.
    "attention_dir": ("causal", "bidirectional"),
    "final_rms": (*ON, *OFF),
    "attn_only": (*ON, *OFF),
    **dict.fromkeys(("attn_scores_soft_cap", "output_logits_soft_cap"), NOT_SET),
    **dict.fromkeys(
        ("attn_types", "gated_mlp", "num_experts", "parallel_attn_mlp", "post_embedding_ln", "rmsnorm_uses_offset",
         "split_attention_weights", "use_local_attn", "use_normalization_before_and_after", "use_qk_norm"), OFF
    ),
}  # fmt: skip
# Read elsewhere, or without effect in one layer with absolute positions and the options above.
FREE = frozenset(
    {"act_fn", "attention", "attn_scale", "ln1", "ln_eps", "ln_final", "normalization_type",
     "positional_embedding_type", "use_attn_scale",
     "experts_per_token", "relative_attention_max_distance", "relative_attention_num_buckets", "rotary_adjacent_pairs",
     "rotary_base", "rotary_base_local", "rotary_dim", "rotary_scaling_factor", "scale_attn_by_inverse_layer_idx",
     "tie_word_embeddings", "ungroup_grouped_query_attention", "use_NTK_by_parts_rope", "use_attn_in",
     "use_attn_result", "use_hook_mlp_in", "window_size"}
)  # fmt: skip
SIZES = ("d_head", "d_mlp", "d_model", "d_vocab", "d_vocab_out", "n_heads", "n_key_value_heads")
WORDS = (
    "act", "activation", "alibi", "args", "attention", "attn", "bias", "biases", "blocks", "cap", "cfg", "config",
    "configuration", "embed", "embedding", "embeddings", "epsilon", "expert", "experts", "gated", "geglu", "glu",
    "head", "heads", "hparams", "hyper", "hyperparameters", "layer", "layernorm", "layers", "ln", "mlp",
    "multiplier", "norm", "normalisation", "normalization", "norms", "parallel", "pos", "position", "positional",
    "positions", "postnorm", "prenorm", "residual", "rms", "rmsnorm", "rope", "rotary", "scale", "scaling",
    "sinusoidal", "softcap", "softcapping", "softmax", "swiglu", "temperature", "window",
)  # fmt: skip
# One of them between underscores, dots and hyphens, or before a digit; of attnScale both parts are words.
LOOKS = re.compile(rf"(?:^|[_.\-])(?:{'|'.join(WORDS)})(?:$|[_.\-\d])", re.ASCII | re.IGNORECASE)
HUMPS = re.compile("(?<=[a-z])(?=[A-Z])")


def require_understood(metadata: Mapping[str, str], shape: ModelShape) -> None:
    """Refuse what the file states and `model.py` does not do.

    Raises:
        ValueError: one sentence with the key.
    """
    for key, text in metadata.items():
        if key in NEUTRAL and text not in NEUTRAL[key]:
            raise ValueError(f"{key} {text[:40]!r} is not supported ({' or '.join(NEUTRAL[key])})")
        if key in SIZES:
            size = shape.n_heads if key == "n_key_value_heads" else getattr(shape, key)
            idle = key == "d_mlp" and metadata.get("attn_only") in ON
            if text not in {str(size), *NOT_SET} and not (idle and text.isascii() and text.isdigit()):
                raise ValueError(f"{key} is {text[:40]} in the metadata, but {size} in the tensors")
        elif key not in {*NEUTRAL, *FREE} and _states_something(key, text):
            raise ValueError(
                f"metadata {key[:60]!r} looks like a fact about the architecture and is not understood; if it is none,"
                " remove it"
            )


def _states_something(key: str, text: str) -> bool:
    """Whether a key looks like a fact, or its value like a configuration in JSON, which is for a converter to read."""
    return not key.startswith("task_") and (looks_like_fact(key) or text.lstrip().startswith("{"))


def looks_like_fact(key: str) -> bool:
    """Whether a name has a word of architectures."""
    return LOOKS.search(HUMPS.sub("_", key)) is not None
