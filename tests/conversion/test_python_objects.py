"""A state dict or a model handed over in Python is the model of its file; torch is not needed for it."""

from types import SimpleNamespace

import numpy as np
import pytest

import pessimal as ps
from pessimal.testing import safetensors_bytes
from support.state_dicts import H, hooked, linear

MODEL = hooked()
DIGEST = ps.load_weights(safetensors_bytes(MODEL)).sha256


class Tensor:
    """What is used of a tensor of torch."""

    def __init__(self, array, device="cuda:0", dtype=None):
        self.array, self.device, self.shape = array, device, array.shape
        self.dtype = f"torch.{dtype or array.dtype.name}"

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self.array, "cpu", self.dtype.removeprefix("torch."))

    def float(self):
        return Tensor((self.array.astype(np.uint32) << 16).view(np.float32), self.device)

    def numpy(self):
        if self.device != "cpu" or self.dtype == "torch.bfloat16":
            raise TypeError("can't convert it")
        return self.array


class Model:
    """What is used of a HookedTransformer."""

    def __init__(self, tensors, **cfg):
        self.tensors, self.cfg = tensors, SimpleNamespace(device="cuda", d_model=8, **cfg)

    def state_dict(self):
        return {name: Tensor(array) for name, array in self.tensors.items()} | {
            "blocks.0.attn.IGNORE": Tensor(np.ones(()))
        }


def test_arrays_tensors_and_models_have_the_digest_of_their_file():
    for given in (MODEL, {name: Tensor(array) for name, array in MODEL.items()}, Model(MODEL), {"model": MODEL}):
        weights = ps.load_weights(given)
        assert weights.sha256 == DIGEST
        assert weights.converted == "state-dict"
        assert ps.load_weights(ps.convert(given)).sha256 == DIGEST


def test_bfloat16_is_widened_exactly():
    upper = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in MODEL.items()}
    wide = {name: (array.astype(np.uint32) << 16).view(np.float32) for name, array in upper.items()}
    given = {name: Tensor(array, dtype="bfloat16") for name, array in upper.items()}
    weights = ps.load_weights(given)
    assert weights.sha256 == ps.load_weights(safetensors_bytes(wide)).sha256
    assert weights.notes == ("widened 7 tensors from bfloat16 to float32, exactly",)


def test_the_configuration_of_a_model_is_read():
    weights = ps.load_weights(
        Model(MODEL, normalization_type="LNPre", eps=1e-5, use_attn_scale=False, attn_scale=8**0.5)
    )
    assert weights.architecture.ln1
    assert weights.architecture.ln_final
    assert weights.architecture.attn_scale == "1"
    assert "device" not in weights.metadata
    assert ps.load_weights(Model(linear(MODEL), n_heads=H)).sha256 == DIGEST


def test_a_proof_about_an_object_is_checked_against_its_file():
    model = hooked(v=3, k=2)
    task = ps.MaxOfK(k=2, d_vocab=3)
    proof = ps.prove(ps.load_weights(Model(model)), task, ps.BruteForce())
    assert type(ps.check(proof, ps.load_weights(safetensors_bytes(model)))) is ps.Verified


@pytest.mark.parametrize("given", [3, None, Model, [MODEL], object(), {"W_E": "text"}, {}])
def test_other_objects_are_refused_in_one_sentence(given):
    with pytest.raises(ps.WeightsError) as caught:
        ps.load_weights(given)
    assert len(str(caught.value).splitlines()) == 1


def test_torch_is_taken_as_it_is():
    torch = pytest.importorskip("torch")

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cfg = {"n_heads": H, "act_fn": "relu"}
            for name, array in linear(MODEL).items():
                self.register_parameter(name.replace(".", "/"), torch.nn.Parameter(torch.from_numpy(array)))

        def state_dict(self):
            return {name.replace("/", "."): value for name, value in super().state_dict().items()}

    assert ps.load_weights(Own()).sha256 == DIGEST
    with pytest.raises(ps.WeightsError, match="cannot be read"):
        ps.load_weights({name: torch.from_numpy(array).to("meta") for name, array in MODEL.items()})
