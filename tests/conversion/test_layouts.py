"""Every layout of the field gives the tensors of the same model, and none is guessed."""

from io import BytesIO

import numpy as np
import pytest

from pessimal.conversion import ConversionError, Stated, convert_bytes
from pessimal.spec import read_weights
from pessimal.testing import safetensors_bytes
from support.state_dicts import H, K, early, hooked, linear, native


def digest(tensors, stated=None, metadata=None):
    found = convert_bytes(safetensors_bytes(tensors, metadata or {}), stated)
    return read_weights(found.data).sha256


def refused(tensors, *words, stated=None, metadata=None):
    with pytest.raises(ConversionError) as caught:
        convert_bytes(safetensors_bytes(tensors, metadata or {}), stated)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("d_mlp", [0, 6])
def test_the_early_orientation_is_told_by_the_shapes(d_mlp):
    model = hooked(d_mlp=d_mlp)
    assert digest(early(model)) == digest(model)
    found = convert_bytes(safetensors_bytes(early(model)))
    assert found.kind == "safetensors"
    assert "early grokking code" in found.notes[0]


def test_the_embedding_decides_for_square_heads():
    for h, d in ((1, 8), (2, 4)):
        model = hooked(h=h, d=d)
        assert digest(early(model)) == digest(model)


def test_heads_that_are_not_square_decide_for_a_square_embedding():
    model = hooked(v=8, d=3)
    assert digest(early(model)) == digest(model)


def test_where_no_tensor_decides_the_user_is_asked():
    model = hooked(v=8, h=1, d=8)
    turned = early(model)
    refused(turned, "--orientation")
    assert digest(turned, Stated(orientation="early")) == digest(model)
    assert digest(turned, Stated(orientation="transformer-lens")) != digest(model)
    # Matrices of heads with a head axis are TransformerLens's own, and the short form is pessimal's.
    assert convert_bytes(safetensors_bytes(model)).kind == ""
    short = {name.rpartition(".")[2]: a[0] if a.ndim == 3 else a for name, a in model.items()}
    assert convert_bytes(safetensors_bytes(short)).kind == ""


def test_an_orientation_that_does_not_fit_is_refused():
    refused(hooked(), "do not fit", stated=Stated(orientation="early"))
    refused(early(hooked()), "do not fit", stated=Stated(orientation="transformer-lens"))


@pytest.mark.parametrize("write", [linear, native])
@pytest.mark.parametrize("d_mlp", [0, 6])
def test_both_forms_of_transformer_bridge_are_read_with_the_heads_that_are_stated(write, d_mlp):
    model = hooked(d_mlp=d_mlp)
    refused(write(model), "number of heads", "--n-heads")
    assert digest(write(model), Stated(n_heads=H)) == digest(model)
    assert digest(write(model), Stated(n_heads=3)) != digest(model)
    refused(write(model), "do not divide", stated=Stated(n_heads=4))
    refused(write(model), "2 heads are stated by hand", "1", stated=Stated(n_heads=2), metadata={"n_heads": "1"})
    assert digest(write(model), metadata={"n_heads": str(H)}) == digest(model)


def test_biases_of_transformer_bridge_are_split_by_heads():
    rng = np.random.default_rng(3)
    biases = {f"b_{name}": rng.standard_normal((H, 3)).astype(np.float32) for name in "QKV"}
    model = hooked()
    there = {f"blocks.0.attn.{name}": array for name, array in biases.items()}
    bridge = {f"blocks.0.attn.{name[2].lower()}.bias": array.ravel() for name, array in biases.items()}
    norms = {f"blocks.0.ln1.{end}": np.ones(8, np.float32) for end in ("weight", "bias")}
    lens = {f"blocks.0.ln1.{end[0]}": np.ones(8, np.float32) for end in ("weight", "bias")}
    assert digest({**linear(model), **bridge, **norms}, Stated(n_heads=H)) == digest({**model, **there, **lens})


def test_heads_that_are_stated_must_be_those_of_the_shapes():
    refused(hooked(), "3 heads are stated by hand", stated=Stated(n_heads=3))
    assert digest(hooked(), Stated(n_heads=H)) == digest(hooked())


def test_tied_weights_are_written_out_where_the_alias_fits():
    model = hooked()
    del model["unembed.W_U"]
    tied = {**model, "unembed.W_U": np.ascontiguousarray(model["embed.W_E"].T)}
    assert digest(model, metadata={"unembed.W_U": "embed.W_E"}) == digest(tied)
    found = convert_bytes(safetensors_bytes(model, {"unembed.W_U": "embed.W_E"}))
    assert found.notes == ("W_U is tied to W_E in its metadata: written out as its transpose",)
    refused(model, "'W_U' is missing", "--tied")
    assert digest(model, Stated(tied=True)) == digest(tied)


def test_tied_weights_of_other_layouts_and_tensors():
    model = hooked()
    bridge = linear(model)
    bridge["unembed.weight"] = bridge["embed.weight"]
    both = digest(bridge, Stated(n_heads=H))
    del bridge["unembed.weight"]
    assert digest(bridge, Stated(n_heads=H), {"unembed.weight": "embed.weight"}) == both
    keys = {**model, "blocks.0.attn.W_K": model["blocks.0.attn.W_Q"]}
    same = digest(keys)
    del keys["blocks.0.attn.W_K"]
    assert digest(keys, metadata={"blocks.0.attn.W_K": "blocks.0.attn.W_Q"}) == same
    prefixed = {f"_orig_mod.{name}": array for name, array in keys.items()}
    alias = {"_orig_mod.blocks.0.attn.W_K": "_orig_mod.blocks.0.attn.W_Q"}
    assert digest(prefixed, metadata=alias) == same


def test_square_tied_weights_have_two_readings():
    model = hooked(v=8)
    del model["unembed.W_U"]
    refused(model, "both are square", "--tied", metadata={"unembed.W_U": "embed.W_E"})
    turned = {**model, "unembed.W_U": np.ascontiguousarray(model["embed.W_E"].T)}
    assert digest(model, Stated(tied=True), {"unembed.W_U": "embed.W_E"}) == digest(turned)


def test_a_safetensors_file_that_is_read_today_stays_byte_for_byte():
    for tensors in (hooked(), hooked(dtype=np.float64), {**hooked(), "blocks.0.attn.IGNORE": np.ones((), np.float32)}):
        data = safetensors_bytes(tensors, {"task": "max-of-k", "use_attn_scale": "False"})
        assert convert_bytes(data) == convert_bytes(data, Stated())
        assert convert_bytes(data).data == data
        assert convert_bytes(data).kind == ""


def test_the_result_is_read_as_it_is():
    data = convert_bytes(safetensors_bytes(early(hooked()))).data
    assert convert_bytes(data).data == data
    assert convert_bytes(data).kind == ""


def test_summed_attention_is_uniform_attention_to_values_times_k():
    """Exactly: with k = 4 in float32, with k = 3 in float64."""
    model = hooked()
    found = read_weights(convert_bytes(safetensors_bytes(model), Stated(summed=True)).data)
    assert found.architecture.attention == "uniform"
    assert np.array_equal(found["W_V"], model["blocks.0.attn.W_V"][0] * K)
    assert found["W_V"].dtype == np.float32
    odd = hooked(k=3)
    found = read_weights(convert_bytes(safetensors_bytes(odd), Stated(summed=True)).data)
    assert found["W_V"].dtype == np.float64
    assert np.array_equal(found["W_V"], odd["blocks.0.attn.W_V"][0].astype(np.float64) * 3)


def test_numpy_archives_are_read_without_pickles():
    model = hooked()
    for save in (np.savez, np.savez_compressed):
        out = BytesIO()
        save(out, **{name: np.asfortranarray(array) for name, array in model.items()}, n_heads=H)
        found = convert_bytes(out.getvalue())
        assert found.kind == "npz"
        assert read_weights(found.data).sha256 == digest(model)
    out = BytesIO()
    np.savez(out, **{name: array.astype(">f8") for name, array in model.items()})
    wide = {name: array.astype(np.float64) for name, array in model.items()}
    assert read_weights(convert_bytes(out.getvalue()).data).sha256 == digest(wide)
    out = BytesIO()
    np.savez(out, W_E=np.array([{}], dtype=object))
    with pytest.raises(ConversionError, match="Python objects"):
        convert_bytes(out.getvalue())
