"""What a file states in the words of TransformerLens is read, refused or announced; nothing is left out in silence."""

from fractions import Fraction

import numpy as np
import pytest
from safetensors.numpy import save

from pessimal.spec import Overrides, Weights, WeightsError, read_weights
from support.models import NORMS, Sizes, random_tensors

SIZES = Sizes(3, 11, 5, 7, 2)
MLP = {"W_in": np.ones((5, 13), np.float32), "W_out": np.ones((13, 5), np.float32)}


def read(metadata: dict[str, str], norms=(), overrides: Overrides | None = None, mlp: bool = False) -> Weights:
    tensors = random_tensors(SIZES, 1, norms=norms) | (MLP if mlp else {})
    return read_weights(save(tensors, metadata), overrides)


def refused(said: str, metadata: dict[str, str], norms=(), overrides: Overrides | None = None, mlp: bool = False):
    with pytest.raises(WeightsError, match=said):
        read(metadata, norms, overrides, mlp)


ROOT = "1/sqrt(d_head)"
SCALES = [
    ({"use_attn_scale": "False"}, "1"),
    ({"use_attn_scale": "False", "attn_scale": "2.6457513110645907"}, "1"),
    ({"use_attn_scale": "True"}, ROOT),
    ({"use_attn_scale": "True", "attn_scale": "-1.0"}, ROOT),
    ({"use_attn_scale": "True", "attn_scale": "2.6457513110645907"}, ROOT),
    ({"attn_scale": "2.6457513110645907"}, ROOT),
    ({"attn_scale": "-1"}, ROOT),
    ({"attn_scale": "2.64575131106459"}, str(1 / Fraction("2.64575131106459"))),
    ({"attn_scale": "8"}, "1/8"),
    ({"attn_scale": "0.5"}, "2"),
    ({"attn_scale": "1/8"}, "1/8"),
    ({"attn_scale": "1e2"}, "1/100"),
    ({"attn_scale": "1"}, "1"),
]


@pytest.mark.parametrize(("metadata", "factor"), SCALES)
def test_a_scale_is_read_as_transformer_lens_stores_it(metadata, factor):
    """A number divides; a fraction is the factor; the float nearest to sqrt(d_head) is that root. None is assumed."""
    arch = read(metadata).architecture
    assert arch.attn_scale == arch.record()["attn_scale"] == factor
    assert arch.scale() == (None if factor == ROOT else Fraction(factor))
    assert "attn_scale" not in [one.name for one in arch.assumed]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"use_attn_scale": "maybe"}, "use_attn_scale"),
        ({"use_attn_scale": "False", "attn_scale": ROOT}, "use_attn_scale"),
        ({"attn_scale": "0"}, "positive"),
        ({"attn_scale": "-3"}, "positive"),
        ({"attn_scale": "1e401"}, "attn_scale"),
        ({"attn_scale": "1e-400"}, "beyond"),
        ({"use_attn_scale": "-1"}, "use_attn_scale"),
        ({"attn_scale": "nan"}, "attn_scale"),
        ({"attn_scale": "1" * 41}, "attn_scale"),
    ],
)
def test_a_scale_that_is_none_is_refused(metadata, said):
    """One sentence with the key."""
    refused(said, metadata)


@pytest.mark.parametrize(("word", "factor"), [("1/8", "1/8"), ("3/2", "3/2"), ("1", "1"), (ROOT, ROOT), ("2/2", "1")])
def test_a_scale_is_stated_by_hand_as_a_factor(word, factor):
    """The file's own statement gives way, and the value is announced."""
    arch = read({"use_attn_scale": "False"}, overrides=Overrides(attn_scale=word)).architecture
    assert arch.attn_scale == factor
    assert f"attn_scale:{factor}" in [one.item() for one in arch.assumed]


@pytest.mark.parametrize("word", ["8", "0.125", "2.5"])
def test_a_plain_number_by_hand_has_two_readings_and_is_refused(word):
    """It is a divisor in TransformerLens and a factor here."""
    refused("fraction, such as 1/7", {}, overrides=Overrides(attn_scale=word))


@pytest.mark.parametrize(
    "norms", [("ln1_w",), ("ln_final_w",), ("ln1_w", "ln_final_w"), ("ln1_w", "ln1_b", "ln_final_w")]
)
def test_a_gain_without_a_bias_asks(norms):
    """LayerNorm or RMSNorm: no tensor decides."""
    refused("LayerNorm or RMSNorm", {}, norms)
    for kind, norm in (("LN", "layer-norm"), ("RMS", "rms")):
        arch = read({}, norms, Overrides(normalization_type=kind)).architecture
        sites = (norm if "ln1_w" in norms else None, norm if "ln_final_w" in norms else None)
        assert (arch.ln1, arch.ln_final) == sites
        assert f"normalization_type:{kind}" in [one.item() for one in arch.assumed]


def test_norms_by_site_are_those_of_the_record():
    """A file may state each site under its key in the record; both statements must agree."""
    arch = read({"ln1": "none", "ln_final": "rms"}, ("ln_final_w",)).architecture
    assert (arch.ln1, arch.ln_final) == (None, "rms")
    assert "normalization_type" not in [one.name for one in arch.assumed]
    refused("ln1 is none", {"ln1": "none", "ln_final": "rms"}, ("ln1_w", "ln_final_w"))
    refused("ln_final", {"ln1": "none", "ln_final": "batch-norm"}, ("ln_final_w",))
    refused("ln1 is rms", {"ln1": "rms", "ln_final": "rms", "normalization_type": "LN"}, ("ln1_w", "ln_final_w"))
    refused("ln_final is rms", {"ln_final": "rms"})


def test_a_final_rms_norm_stands_behind_a_layer_norm():
    """final_rms of TransformerLens."""
    metadata = {"normalization_type": "LN", "final_rms": "True"}
    arch = read(metadata, ("ln1_w", "ln1_b", "ln_final_w")).architecture
    assert (arch.ln1, arch.ln_final) == ("layer-norm", "rms")
    assert read(metadata | {"final_rms": "False"}, NORMS).architecture.ln_final == "layer-norm"


def test_folded_norms_have_no_gain():
    """LNPre and RMSPre by hand or in the file."""
    for kind, norm in (("LNPre", "layer-norm"), ("RMSPre", "rms")):
        for arch in (read({"normalization_type": kind}), read({}, overrides=Overrides(normalization_type=kind))):
            assert (arch.architecture.ln1, arch.architecture.ln_final) == (norm, norm)
        refused("ln1_w", {"normalization_type": kind}, ("ln1_w",))


OTHER_MODELS = [
    {"attn_scores_soft_cap": "50.0"}, {"output_logits_soft_cap": "30"}, {"parallel_attn_mlp": "True"},
    {"gated_mlp": "True"}, {"n_layers": "2"}, {"n_layers": "0"}, {"positional_embedding_type": "shortformer"},
    {"positional_embedding_type": "rotary"}, {"attention_dir": "sideways"}, {"use_local_attn": "True"},
    {"attn_types": '["local"]'}, {"post_embedding_ln": "True"}, {"use_qk_norm": "True"}, {"num_experts": "8"},
    {"use_normalization_before_and_after": "True"}, {"attn_only": "False"}, {"n_heads": "3"}, {"d_vocab": "7"},
    {"d_head": "5"}, {"n_key_value_heads": "2"}, {"normalization_type": "BN"}, {"act_fn": "gelu", "d_mlp": "4"},
    {"attn_temperature": "2"}, {"attention_sink": "True"}, {"layer_norm_position": "post"}, {"logit_scale": "3"},
    {"mlp.bias": "False"}, {"QK-norm": "True"}, {"attnScale": "8"}, {"useRMSNorm": "True"}, {"alibi": "True"},
    {"final_logit_softcapping": "30"}, {"num_blocks": "2"}, {"prenorm": "True"}, {"rmsnorm_uses_offset": "True"}, {"residual_scale": "0.5"}, {"embedding_scale": "2"}, {"softmax1": "1"},
]  # fmt: skip


@pytest.mark.parametrize("metadata", OTHER_MODELS)
def test_a_statement_about_another_model_is_refused(metadata):
    """Known to mean another function, contradicted by the tensors, or not understood: an error that names the key."""
    refused(next(iter(metadata)) if "d_mlp" not in metadata else "d_mlp", metadata)


def test_statements_that_change_nothing_are_read_over():
    """A whole configuration of TransformerLens for an attention-only model, and what files say of other things."""
    metadata = {
        "n_layers": "1", "d_model": "5", "n_ctx": "2", "d_head": "7", "n_heads": "1", "d_vocab": "3", "d_mlp": "20",
        "d_vocab_out": "11", "act_fn": "gelu", "eps": "1e-05", "use_attn_result": "False", "use_attn_scale": "True",
        "attn_scale": "2.6457513110645907", "use_split_qkv_input": "False", "use_hook_mlp_in": "False",
        "use_attn_in": "False", "use_local_attn": "False", "window_size": "None", "attn_types": "None",
        "normalization_type": "None", "attention_dir": "causal", "attn_only": "True", "gated_mlp": "False",
        "positional_embedding_type": "standard", "final_rms": "False", "parallel_attn_mlp": "False",
        "rotary_dim": "None", "rotary_base": "10000", "rotary_adjacent_pairs": "False", "n_key_value_heads": "None",
        "scale_attn_by_inverse_layer_idx": "False", "tie_word_embeddings": "False", "attn_scores_soft_cap": "-1.0",
        "output_logits_soft_cap": "-1.0", "num_experts": "None", "experts_per_token": "None", "use_hook_tokens": "False",
        "relative_attention_max_distance": "None", "ungroup_grouped_query_attention": "False", "dtype": "torch.float32",
        "format": "pt", "author": "somebody", "seed": "0", "task": "max-of-k", "learning_rate": "1e-3",
    }  # fmt: skip
    said = [one.name for one in read(metadata).architecture.assumed]
    assert said == ["attention"]


def test_a_norm_before_an_mlp_is_not_supported():
    """TransformerLens normalises there too, and a folded file has no tensor of it."""
    for kind in ("LNPre", "RMSPre"):
        refused("ln2", {"normalization_type": kind, "act_fn": "relu"}, mlp=True)
        refused("ln2", {"act_fn": "relu"}, mlp=True, overrides=Overrides(normalization_type=kind))


@pytest.mark.parametrize("key", ["n_heads", "d_head", "d_model", "d_vocab", "n_key_value_heads"])
@pytest.mark.parametrize("text", ["64.0", "٣", "NaN", " 1", "many"])
def test_a_size_that_is_no_number_is_not_left_out(key, text):
    refused(key, {key: text})
    assert read({key: "-1"}).architecture.shape.d_model == SIZES.m


@pytest.mark.parametrize(
    "key", ["attn_types", "gated_mlp", "num_experts", "parallel_attn_mlp", "use_local_attn", "use_qk_norm"]
)
def test_minus_one_is_off_for_caps_and_true_for_truth_values(key):
    refused(key, {key: "-1"})
    read({"attn_scores_soft_cap": "-1", "output_logits_soft_cap": "-1.0"})


@pytest.mark.parametrize("text", ['{"attn_scale": 8}', ' {"a": 1}'])
def test_json_in_metadata_is_for_a_converter(text):
    refused("settings", {"settings": text})
    assert read({"task_record": text}).architecture.attn_scale == ROOT


@pytest.mark.parametrize("overrides", [{"k": 2.0}, {"k": True}, {"attn_scale": 0.5}, {"ln_eps": 1e-5}])
def test_what_is_stated_by_hand_has_the_type_that_is_declared(overrides):
    ((name, value),) = overrides.items()
    stated = Overrides()
    # Set afterwards: where every call is checked, the class does not take it.
    object.__setattr__(stated, name, value)
    refused(name, {}, overrides=stated)


def test_an_mlp_is_one_that_is_stated():
    """attn_only, d_mlp and act_fn agree with the tensors."""
    assert read({"attn_only": "False", "d_mlp": "13", "act_fn": "relu"}, mlp=True).architecture.shape.d_mlp == 13
    refused("attn_only", {"attn_only": "True"}, mlp=True)
    refused("d_mlp", {"d_mlp": "12"}, mlp=True)
    refused("act_fn", {"act_fn": "gelu"}, mlp=True)
