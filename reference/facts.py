"""What a file and whoever checks it say about an architecture, written from `docs/formats.md`, "What a file states".

Contents:
    UnreadableError — no verdict: the file holds no supported model.
    Facts — what is said, and what is not.
    require_understood — nothing is said that the forward pass does not do.
    norms_of — what normalises at either site.
    scale_of — the factor on scores as it stands in the record.
    epsilon_of — the epsilon of the norms.
    positive — a positive number from text.
"""

import math
import re
from collections.abc import Container
from fractions import Fraction

YES = {"True", "true", "1"}
NO = {"False", "false", "0", "0.0", "None", "none"}
NOT_SET = NO | {"-1", "-1.0"}
CAPS = ("attn_scores_soft_cap", "output_logits_soft_cap")
ABSENT = ("attn_types", "gated_mlp", "num_experts", "parallel_attn_mlp", "post_embedding_ln", "rmsnorm_uses_offset",
          "split_attention_weights", "use_local_attn", "use_normalization_before_and_after",
          "use_qk_norm")  # fmt: skip
READ = {"act_fn", "attention", "attn_scale", "ln1", "ln_eps", "ln_final", "normalization_type",
        "positional_embedding_type", "use_attn_scale"}  # fmt: skip
IDLE = {"experts_per_token", "relative_attention_max_distance", "relative_attention_num_buckets",
        "rotary_adjacent_pairs", "rotary_base", "rotary_base_local", "rotary_dim", "rotary_scaling_factor",
        "scale_attn_by_inverse_layer_idx", "tie_word_embeddings", "ungroup_grouped_query_attention",
        "use_NTK_by_parts_rope", "use_attn_in", "use_attn_result", "use_hook_mlp_in", "window_size"}  # fmt: skip
SIZES = {"d_head": "d", "d_mlp": "f", "d_model": "m", "d_vocab": "v", "d_vocab_out": "o", "n_heads": "h",
         "n_key_value_heads": "h"}  # fmt: skip
WORDS = {"act", "activation", "alibi", "args", "attention", "attn", "bias", "biases", "blocks", "cap", "cfg", "config",
         "configuration", "embed", "embedding", "embeddings", "epsilon", "expert", "experts", "gated", "geglu", "glu",
         "head", "heads", "hparams", "hyper", "hyperparameters", "layer", "layernorm", "layers", "ln", "mlp",
         "multiplier", "norm", "normalisation", "normalization", "norms", "parallel", "pos", "position", "positional",
         "positions", "postnorm", "prenorm", "residual", "rms", "rmsnorm", "rope", "rotary", "scale", "scaling",
         "sinusoidal", "softcap", "softcapping", "softmax", "swiglu", "temperature", "window"}  # fmt: skip
ROOT = "1/sqrt(d_head)"
SITES = ("ln1", "ln_final")
FOLDED = {"None": None, "none": None, "LNPre": "layer-norm", "RMSPre": "rms"}
WITH_GAIN = {"LN": "layer-norm", "RMS": "rms"}


class UnreadableError(Exception):
    """The file is not a supported model; not a verdict but an error, exit code 2."""


class Facts:
    """What the metadata of a file and whoever checks it say about the architecture.

    Attributes:
        metadata: of the file.
        stated: by hand.
        assumed: name to value of what the file does not state.
    """

    def __init__(self, metadata: dict[str, str], stated: dict[str, object]) -> None:
        self.metadata, self.stated = metadata, stated
        self.assumed: dict[str, str] = {}

    def get(self, name: str, otherwise: str, *keys: str) -> str:
        """What is stated by hand, else under the first of the keys that the file has, else `otherwise`."""
        if self.stated.get(name) is not None:
            self.assumed[name] = str(self.stated[name])
            return self.assumed[name]
        for key in (name, *keys):
            if key in self.metadata:
                return self.metadata[key]
        self.assumed[name] = otherwise
        return otherwise


def require_understood(metadata: dict[str, str], size: dict[str, int]) -> None:
    """Raise `UnreadableError` for a statement that is not understood, or that the tensors contradict."""
    attention_only = metadata.get("attn_only")
    if attention_only is not None and (attention_only not in YES | NO or (attention_only in YES) == ("f" in size)):
        raise UnreadableError("attn_only contradicts the tensors")
    for key, text in metadata.items():
        if key in ABSENT + CAPS:
            good = text in (NOT_SET if key in CAPS else NO)
        elif key == "n_layers":
            good = text == "1"
        elif key == "attention_dir":
            good = text in ("causal", "bidirectional")
        elif key == "final_rms":
            good = text in YES | NO
        elif key in SIZES:
            idle = key == "d_mlp" and attention_only in YES and text.isascii() and text.isdigit()
            good = idle or text in NOT_SET | {str(size.get(SIZES[key], 0))}
        else:
            good = key in READ | IDLE | {"attn_only"} or not _looks_like_one(key, text)
        if not good:
            raise UnreadableError(f"metadata {key[:60]!r} is not understood, or contradicts the tensors")


def _looks_like_one(key: str, text: str) -> bool:
    """Whether a key has a word of architectures, between underscores, dots and hyphens or before a digit; or JSON."""
    words = rf"(^|[_.-])({'|'.join(sorted(WORDS))})($|[_.-]|[0-9])"
    apart = re.sub("(?<=[a-z])(?=[A-Z])", "_", key)
    named = re.search(words, apart, re.ASCII | re.IGNORECASE) is not None
    return not key.startswith("task_") and (named or text.lstrip().startswith("{"))


def norms_of(names: Container[str], facts: Facts) -> tuple[str | None, str | None]:
    """What normalises before attention and before the unembedding: `layer-norm`, `rms` or None."""
    gains = [site for site in SITES if f"{site}_w" in names]
    by_hand, said = facts.stated.get("normalization_type"), facts.metadata
    if by_hand is None and "normalization_type" not in said and all(site in said for site in SITES):
        return _norms_by_site(gains, said)
    kind = facts.get("normalization_type", "LN" if gains else "none")
    if by_hand is None and "normalization_type" not in said:
        if any(f"{site}_b" not in names for site in gains):
            raise UnreadableError("a gain without a bias: normalization_type has to be stated, LN or RMS")
    else:
        _require_agreement(kind, gains, 1 if by_hand else len(SITES))
    what = (FOLDED | WITH_GAIN)[kind]
    if what and "W_in" in names and (by_hand is not None or "normalization_type" in said):
        raise UnreadableError("a norm before the MLP is not supported")
    first, last = (what if kind in FOLDED or site in gains else None for site in SITES)
    if last and said.get("final_rms") in YES:
        last = "rms"
    for site, norm in zip(SITES, (first, last), strict=True):
        if by_hand is None and said.get(site, norm or "none") != (norm or "none"):
            raise UnreadableError(f"{site} contradicts normalization_type")
    return first, last


def _require_agreement(kind: str, gains: list[str], least: int) -> None:
    """A stated kind is known, and the file has its gains: none where they are folded away, else at least so many."""
    if kind not in FOLDED | WITH_GAIN:
        raise UnreadableError("normalization_type is not LN, LNPre, RMS, RMSPre or none")
    if gains if kind in FOLDED else len(gains) < least:
        raise UnreadableError("normalization_type contradicts the tensors")


def _norms_by_site(gains: list[str], said: dict[str, str]) -> tuple[str | None, str | None]:
    """`norms_of` of a file that states them under the keys of the record."""
    for site in SITES:
        if said[site] not in ("none", "layer-norm", "rms") or (said[site] == "none" and site in gains):
            raise UnreadableError(f"{site} is no norm, or contradicts the tensors")
    first, last = (None if said[site] == "none" else said[site] for site in SITES)
    return first, last


def scale_of(d_head: int, facts: Facts) -> str:
    """The factor on scores: 1/sqrt(d_head), or a fraction. A plain number in a file divides."""
    used, number = facts.metadata.get("use_attn_scale"), facts.metadata.get("attn_scale")
    if used is not None and used not in YES | NO:
        raise UnreadableError("use_attn_scale is neither True nor False")
    off = used is not None and used in NO
    if off and number is not None and "/" in number:
        raise UnreadableError("use_attn_scale contradicts attn_scale")
    by_hand = facts.stated.get("attn_scale") is not None
    if by_hand or (used is None and number is None):
        text = facts.get("attn_scale", ROOT)
    elif off:
        return "1"
    else:
        text = ROOT if number in (None, "-1", "-1.0") else str(number)
    if text == ROOT:
        return text
    factor = positive("attn_scale", text)
    if not Fraction(1, 2**1000) <= factor <= 2**1000:
        raise UnreadableError("attn_scale is beyond 2**1000, or below its inverse")
    if "/" not in text and text != "1":
        if by_hand:
            raise UnreadableError("attn_scale by hand is a fraction such as 1/8: a plain number has two readings")
        root = factor <= d_head and float(factor) == math.sqrt(d_head)
        return ROOT if root else str(1 / factor)
    if by_hand:
        facts.assumed["attn_scale"] = str(factor)
    return str(factor)


def epsilon_of(facts: Facts) -> Fraction:
    """The epsilon of the norms; both of its names must say the same."""
    said = {positive("ln_eps", facts.metadata[key]) for key in ("ln_eps", "eps") if key in facts.metadata}
    if facts.stated.get("ln_eps") is None and len(said) > 1:
        raise UnreadableError("ln_eps contradicts eps")
    return positive("ln_eps", facts.get("ln_eps", "1e-5", "eps"))


def positive(name: str, text: str) -> Fraction:
    """A positive decimal number or fraction of moderate length."""
    exponent = text.lower().partition("e")[2]
    try:
        if len(text) > 40 or (exponent and abs(int(exponent)) > 400):
            raise ValueError
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise UnreadableError(f"{name} is not a decimal number") from None
    if number <= 0:
        raise UnreadableError(f"{name} is not positive")
    return number
