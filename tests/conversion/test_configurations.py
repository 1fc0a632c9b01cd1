"""What a checkpoint says of its model is read wherever it lies; what cannot be read is refused by name."""

import json
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest

from pessimal.conversion import ConversionError, Stated, convert_bytes, convert_object
from pessimal.inputs import load_weights
from pessimal.spec import Overrides, WeightsError, read_weights
from pessimal.testing import safetensors_bytes
from support.state_dicts import D, H, K, hooked
from support.torch_files import torch_file

MODEL = hooked()


def read(tree):
    return read_weights(convert_bytes(torch_file(tree)).data).architecture


@pytest.mark.parametrize(
    ("facts", "factor"),
    [
        ({"attn_scale": 8.0}, "1/8"),
        ({"attn_scale": D**0.5}, "1/sqrt(d_head)"),
        ({"use_attn_scale": True, "attn_scale": 2.5}, "2/5"),
        ({"use_attn_scale": False, "attn_scale": D**0.5}, "1"),
        ({"use_attn_scale": False}, "1"),
        ({"attn_scale": -1.0}, "1/sqrt(d_head)"),
    ],
)
def test_a_scale_is_that_of_the_file_whatever_lies_around_it(facts, factor):
    """In a configuration, or beside the state dict under the names of TransformerLens."""
    for tree in (
        {"model": MODEL, "cfg": facts},
        {"model": MODEL, "loss": 0.1, **facts},
        {"cfg": {"model_cfg": facts}, "sd": MODEL},
    ):
        arch = read(tree)
        assert arch.attn_scale == factor
        assert "attn_scale" not in [one.name for one in arch.assumed]


@pytest.mark.parametrize("key", ["config", "cfg", "hparams", "model_args"])
def test_a_configuration_in_the_metadata_of_safetensors_is_read_from_its_json(key):
    """The trusted reader refuses it by its name; the converter reads it, and its contradictions."""
    text = json.dumps({"use_attn_scale": False, "n_layers": 1, "normalization_type": None})
    data = safetensors_bytes(MODEL, {key: text})
    with pytest.raises(WeightsError, match=key):
        read_weights(data)
    found = convert_bytes(data)
    assert any(key in note for note in found.notes)
    assert read_weights(found.data).architecture.attn_scale == "1"
    with pytest.raises(ConversionError, match="disagree"):
        convert_bytes(safetensors_bytes(MODEL, {key: text, "use_attn_scale": "True"}))
    with pytest.raises(WeightsError, match="n_layers"):
        read_weights(convert_bytes(safetensors_bytes(MODEL, {key: '{"n_layers": 2}'})).data)


@pytest.mark.parametrize("text", ["HookedTransformerConfig(n_layers=1)", "{'n_heads': 2}", "n_heads: 2\nact: relu"])
def test_a_configuration_in_no_known_form_is_refused_by_its_name(text):
    for data in (safetensors_bytes(MODEL, {"config": text}), torch_file({"model": MODEL, "config": text})):
        with pytest.raises(WeightsError, match="config"):
            read_weights(convert_bytes(data).data)
    assert read({"model": MODEL, "args": {"config": "runs/one.yaml"}}).shape.d_head == D


CAP = {"attn_scores_soft_cap": 0.05}
PLACES = {
    "cfg inside the state dict": {**MODEL, "cfg": CAP},
    "a section of it": {"model": MODEL, "config": {"model": CAP, "optim": {"lr": 1e-3, "scale": 3}}},
    "a section of hyperparameters": {"sd": MODEL, "hyper_parameters": {"net": CAP}},
    "JSON in JSON": {"model": MODEL, "cfg": {"model": json.dumps(CAP)}},
    "another name": {"model": MODEL, "settings": CAP},
    "yet another name": {"model": MODEL, "arch": CAP},
    "beside the state dict": {"model": MODEL, **CAP},
    "a number of NumPy": {"model": MODEL, "cfg": {"attn_scores_soft_cap": np.float64(0.05)}},
}


@pytest.mark.parametrize("place", PLACES)
def test_no_fact_is_lost_wherever_it_lies(place):
    """Each of these made another model in silence, once; as a file or as objects."""
    with pytest.raises(WeightsError, match="attn_scores_soft_cap"):
        read_weights(convert_object(PLACES[place]).data)
    if place != "a number of NumPy":
        with pytest.raises(WeightsError, match="attn_scores_soft_cap"):
            read(PLACES[place])


def test_facts_under_unknown_names_are_refused_beside_a_state_dict_as_in_metadata():
    for key in ("attn_softcap", "use_rope", "attnScale", "logit_softcap", "num_blocks"):
        with pytest.raises(WeightsError, match=key):
            read({"model": MODEL, "loss": 0.1, key: 3})
        with pytest.raises(WeightsError, match=key):
            read_weights(safetensors_bytes(MODEL, {key: "3"}))


def test_what_is_said_of_training_is_no_fact():
    training = {
        "grad_norm": 2.0,
        "loss_scale": 128,
        "clip_grad_norm": 1.0,
        "lr": 1e-3,
        "init_scale": 0.02,
        "warmup_layers": 1,
    }
    assert read({"model": MODEL, "args": training, **training}).shape.d_head == D


def test_the_epsilon_of_an_optimiser_is_not_that_of_a_norm():
    norms = {f"blocks.0.ln1.{part}": np.ones(8, np.float32) for part in "wb"}
    args = {"lr": 1e-3, "eps": 1e-8, "weight_decay": 1.0}
    arch = read({"model": MODEL | norms, "args": args})
    assert "ln_eps:1/100000" in [one.item() for one in arch.assumed]
    assert read({"model": MODEL | norms, "cfg": {"eps": 1e-6, "d_model": 8}}).ln_eps == Fraction("1e-6")


def test_a_key_of_a_configuration_takes_no_tensor_away():
    biased = {**MODEL, "unembed.b_U": np.full(5, 3, np.float32)}
    weights = read_weights(convert_bytes(torch_file({"model": biased, "cfg": {"unembed.b_U": True}})).data)
    assert (weights["b_U"] == 3).all()


@pytest.mark.parametrize("part", [{"b_U": np.ones(5, np.float32)}, [1.0] * 5])
def test_what_lies_among_tensors_and_is_none_is_refused(part):
    name = "unembed" if isinstance(part, dict) else "unembed.b_U"
    for make in (lambda tree: convert_bytes(torch_file(tree)), convert_object):
        with pytest.raises(ConversionError, match=name):
            make({**MODEL, name: part})


def test_a_mask_that_is_not_causal_is_refused():
    """Local attention hides what comes before; the last row decides here."""
    band = np.tril(np.ones((K, K), np.float32)) - np.tril(np.ones((K, K), np.float32), -2)
    causal = np.tril(np.ones((K, K), np.float32))
    for make in (lambda tree: convert_bytes(torch_file(tree)).data, safetensors_bytes):
        assert read_weights(make({**MODEL, "blocks.0.attn.mask": causal})).architecture.shape.k == K
        with pytest.raises(WeightsError, match="mask"):
            read_weights(make({**MODEL, "blocks.0.attn.mask": band}))


def test_what_metadata_calls_a_tensor_is_a_name_of_a_weight():
    with pytest.raises(WeightsError, match="rotary"):
        read_weights(
            convert_bytes(
                safetensors_bytes({**MODEL, "x.mask": np.tril(np.ones((K, K), np.float32))}, {"rotary": "x.mask"})
            ).data
        )


def test_summed_attention_is_exact_or_refused():
    model = {name: array.astype(np.float64) for name, array in MODEL.items()}
    model["blocks.0.attn.W_V"][0, 0, 0] = 1 + 2.0**-52
    with pytest.raises(ConversionError, match="W_V times 3"):
        convert_bytes(safetensors_bytes(model), Stated(summed=True, metadata={"n_ctx": "3"}))
    with pytest.raises(WeightsError, match="n_ctx=2"):
        load_weights(safetensors_bytes(MODEL), Overrides(k=2), Stated(summed=True))


def test_two_places_that_disagree_are_refused():
    with pytest.raises(ConversionError, match="disagree on 'attn_scale'"):
        convert_bytes(torch_file({"model": MODEL, "attn_scale": 8.0, "cfg": {"attn_scale": 4.0}}))


@pytest.mark.parametrize("key", ["attn_types", "rope_scaling", "act_fn", "normalization_type", "attn_scale"])
def test_a_fact_that_is_no_plain_value_is_refused_by_its_name(key):
    """A dictionary, a list of lists, a long text: left out, the model would be another one."""
    heads = {"n_heads": H}
    for value in ({"type": "linear"}, [[1, 2]], "x" * 501):
        with pytest.raises((WeightsError, ConversionError), match=key):
            read({"model": hooked(d_mlp=7 * (key == "act_fn")), "cfg": {**heads, key: value}})


def test_what_is_no_fact_about_the_architecture_may_be_anything():
    cfg = {"optimizer": {"name": "adam"}, "data": [[1, 2]], "notes": "x" * 5000, "seed": 3}
    assert read({"model": MODEL, "cfg": cfg}).shape.d_head == D


def test_a_configuration_with_too_many_entries_is_refused_whole():
    """Its last entries would be left out otherwise."""
    with pytest.raises(ConversionError, match="over 256 entries"):
        convert_bytes(torch_file({"model": MODEL, "cfg": {f"a{i}": i for i in range(300)}}))


class Slots:
    __slots__ = ("attn_scores_soft_cap",)


def slots():
    found = Slots()
    found.attn_scores_soft_cap = 0.05
    return found


class ByClass:
    attn_scores_soft_cap = 0.05


class ByProperty:
    attn_scores_soft_cap = property(lambda _: 0.05)


class Named(NamedTuple):
    attn_scores_soft_cap: float


@pytest.mark.parametrize("name", ["cfg", "config", "hparams"])
@pytest.mark.parametrize("configuration", [CAP, json.dumps(CAP), slots(), ByClass(), ByProperty(), Named(0.05)])
def test_a_configuration_of_any_kind_of_object_is_read(name, configuration):
    """Of a model, of a model inside another module, and inside a state dict."""

    class Model:
        def state_dict(self):
            return MODEL

    class Outer(Model):
        def modules(self):
            return [self, inner]

    inner = Model()
    setattr(inner, name, configuration)
    for given in (inner, Outer(), {**MODEL, name: configuration}):
        with pytest.raises(WeightsError, match=f"attn_scores_soft_cap|{name}"):
            read_weights(convert_object(given).data)


def test_a_model_that_is_handed_over_states_what_its_configuration_does():
    class Configuration:
        def __init__(self):
            self.n_heads, self.act_fn, self.attn_scale = H, "relu", 4.0

    class Model:
        cfg = Configuration()

        def state_dict(self):
            return MODEL

    arch = read_weights(convert_object(Model()).data).architecture
    assert arch.attn_scale == "1/4"
