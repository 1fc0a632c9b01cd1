"""Torch's archives are read without torch, and their pickles run nothing: what is not in the tables is refused by name."""

import struct
import subprocess
import sys
import zipfile
from io import BytesIO

import numpy as np
import pytest

from pessimal.conversion import ConversionError, Stated, convert_bytes
from pessimal.spec import WeightsError, read_weights
from pessimal.testing import safetensors_bytes
from support.state_dicts import D, H, V, hooked
from support.torch_files import EMPTY_ORDERED, Ordered, Pickler, Raw, View, archive, named, parameter, torch_file

MODEL = hooked()
DIGEST = read_weights(safetensors_bytes(MODEL)).sha256


def digest(data, stated=None):
    found = convert_bytes(data, stated)
    assert found.kind == "pt"
    return read_weights(found.data).sha256


def refused(data, *words):
    with pytest.raises(ConversionError) as caught:
        convert_bytes(data)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert len(text) < 400
    for word in words:
        assert word in text
    return text


@pytest.mark.parametrize("kind", [dict, Ordered])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("order", ["little", "big", None])
def test_a_state_dict_has_the_digest_of_its_safetensors_file(kind, method, order):
    assert digest(torch_file(kind(MODEL), method=method, order=order)) == DIGEST


def test_parameters_are_their_tensors():
    pickler = Pickler()
    values = {name: parameter(array, pickler) for name, array in MODEL.items()}
    assert digest(torch_file(values, pickler=pickler)) == DIGEST


def test_tensors_that_share_a_storage_are_read_from_it():
    """A storage with W_E and, behind it, W_pos; and W_U as the transpose of its own numbers."""
    both = np.concatenate([MODEL["embed.W_E"].ravel(), MODEL["pos_embed.W_pos"].ravel()])
    rows, width = MODEL["embed.W_E"].shape
    turned = np.ascontiguousarray(MODEL["unembed.W_U"].T)
    views = {
        "embed.W_E": View(both, (rows, width), (width, 1)),
        "pos_embed.W_pos": View(both, MODEL["pos_embed.W_pos"].shape, (width, 1), offset=rows * width),
        "unembed.W_U": View(turned, turned.shape[::-1], (1, turned.shape[1])),
    }
    assert digest(torch_file({**MODEL, **views})) == DIGEST


def test_narrow_floats_are_widened_exactly_and_it_is_said():
    halves = {name: array.astype(np.float16) for name, array in MODEL.items()}
    upper = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in MODEL.items()}
    for narrow, wide, word in (
        (halves, {name: array.astype(np.float32) for name, array in halves.items()}, "float16"),
        (upper, {name: (a.astype(np.uint32) << 16).view(np.float32) for name, a in upper.items()}, "bfloat16"),
    ):
        found = convert_bytes(torch_file(narrow))
        assert read_weights(found.data).sha256 == read_weights(safetensors_bytes(wide)).sha256
        assert found.notes == (f"widened 7 tensors from {word} to float32, exactly",)


@pytest.mark.parametrize("name", ["model_state_dict", "state_dict", "model", "weights", "anything"])
def test_a_state_dict_inside_a_checkpoint_is_found_with_its_configuration(name):
    optimiser = {"state": {0: {"step": 3, "exp_avg": np.zeros(3, np.float32)}}, "param_groups": [{"lr": 0.1}]}
    cfg = {"n_heads": H, "use_attn_scale": False, "act_fn": "ReLU", "eps": 1e-5, "normalization_type": None}
    found = convert_bytes(torch_file({name: Ordered(MODEL), "optimizer": optimiser, "epoch": 7, "cfg": cfg}))
    weights = read_weights(found.data)
    assert found.notes == (f"took the state dict {name!r}",)
    assert weights.architecture.attn_scale == "1"
    assert weights.metadata["act_fn"] == "relu"
    assert weights.metadata["normalization_type"] == "None"


def test_a_scale_that_is_the_usual_number_is_the_usual_scale():
    cfg = {"use_attn_scale": True, "attn_scale": D**0.5}
    weights = read_weights(convert_bytes(torch_file({"model": MODEL, "cfg": cfg})).data)
    assert weights.architecture.attn_scale == "1/sqrt(d_head)"
    assert "attn_scale" not in {one.name for one in weights.architecture.assumed}


def test_configurations_of_known_classes_are_read_as_their_values():
    for module, name in (
        ("argparse", "Namespace"),
        ("transformer_lens.HookedTransformerConfig", "HookedTransformerConfig"),
    ):
        pickler = Pickler()
        state = pickler.write({"n_heads": H, "dtype": named("torch", "float32"), "device": "cpu", "lr": 0.1})
        value = {"model": Ordered(MODEL), "cfg": named(module, name, b")\x81" + state + b"b")}
        metadata = read_weights(convert_bytes(torch_file(value, pickler=pickler)).data).metadata
        assert metadata["n_heads"] == str(H)
        assert "device" not in metadata


def test_two_state_dicts_are_not_chosen_between_in_silence():
    data = torch_file({"first": MODEL, "second": hooked(1)})
    refused(data, "several state dicts", "'first'", "--state-dict")
    assert digest(data, Stated(state_dict="first")) == DIGEST
    assert digest(data, Stated(state_dict="second")) != DIGEST
    assert digest(torch_file({"model": MODEL, "ema": hooked(1)})) == DIGEST


def test_configurations_that_disagree_are_refused():
    refused(torch_file({"model": MODEL, "cfg": {"n_heads": 2}, "config": {"n_heads": 1}}), "disagree", "'n_heads'")


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [("os", "system", b"(X\x10\x00\x00\x00touch ran-a-pickletR"), ("posix", "system", b")R"), ("builtins", "eval", b")R"),
     ("torch", "load", b")R"), ("torch._utils", "_rebuild_sparse_tensor", b")R"), ("subprocess", "Popen", b")\x81")],
)  # fmt: skip
def test_code_in_a_pickle_is_refused_by_name_and_runs_nothing(module, name, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(torch_file(named(module, name, arguments)), f"{module}.{name}", "nothing was run")
    refused(torch_file({"model": MODEL, "x": named(module, name, arguments)}), f"{module}.{name}", "nothing was run")
    assert list(tmp_path.iterdir()) == []


def test_the_canary_would_sing():
    """What is refused above is code that a pickle would run."""
    pickle = b"\x80\x02cos\nsystem\n(X\x0c\x00\x00\x00echo singingtR."
    refused(archive(pickle), "os.system")
    code = f"import pickle; pickle.loads({pickle!r})"
    sung = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "singing" in sung.stdout


def test_a_whole_module_is_refused_by_the_name_of_its_class_with_the_remedy():
    text = refused(torch_file(named("__main__", "Net", b"q\x01)\x81}b")), "'__main__.Net'", "model.state_dict()")
    assert "torch.save(model.state_dict()" in text


@pytest.mark.parametrize(
    ("opcode", "name"), [(b"\x93", "STACK_GLOBAL"), (b"i", "INST"), (b"o", "OBJ"), (b"\x82", "EXT1"), (b"2", "DUP"), (b"\xff", "0xff")]
)  # fmt: skip
def test_other_opcodes_are_refused_by_name(opcode, name):
    refused(archive(b"\x80\x02" + opcode), name)


@pytest.mark.parametrize(
    ("pickle", "words"),
    [(b"\x80\x04}.", "protocol 4"), (b"\x80\x02", "ends in the middle"), (b"\x80\x02.", "malformed"), (b"\x80\x02}}.", "malformed"),
     (b"\x80\x02h\x07.", "refers to a value"), (b"\x80\x02t.", "mark"), (b"\x80\x02\x85.", "not there"), (b"\x80\x02}a.", "not there"),
     (b"\x80\x02}Na.", "no list"), (b"\x80\x02](NNu.", "no dictionary"), (b"\x80\x02NNR.", "arguments"), (b"\x80\x02N)R.", "no function"),
     (b"\x80\x02NQ.", "no storage"), (b"\x80\x02X\xff\xff\xff\xff.", "ends in the middle"), (b"\x80\x02cabc", "does not end"),
     (b"\x80\x02" + b"(" * 1500 + b".", "nests deeper"), (b"\x80\x02" + b"N" * 1_000_001, "operations"), (b"\x80\x02N.", "no state dict"),
     (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "describes a tensor")],
)  # fmt: skip
def test_malformed_pickles_are_refused_in_one_sentence(pickle, words):
    refused(archive(pickle), words)


@pytest.mark.parametrize(
    ("view", "words"),
    [(View(np.zeros(4, np.float32), (2, 3), (3, 1)), "reaches beyond"), (View(np.zeros(4, np.float32), (2,), (-1,)), "negative"),
     (View(np.zeros(4, np.float32), (2,), (1,), offset=-1), "negative"), (View(np.zeros(4, np.float32), (2,), (1,), offset=3), "reaches"),
     (View(np.zeros(4, np.float32), (1 << 40,), (1,)), "reaches"), (View(np.zeros(1, np.float32), (1 << 20, 1 << 20), (0, 0)), "bytes"),
     (View(np.zeros(4, np.float32), (2, 2), (1,)), "describes"), (View(np.zeros(4, np.float32), (1,) * 9, (1,) * 9), "describes"),
     (View(np.zeros(4, np.float32), (4,), (1,), kind="QInt8Storage"), "QInt8Storage")],
)  # fmt: skip
def test_tensors_that_mislead_are_refused(view, words):
    refused(torch_file({**MODEL, "embed.W_E": view}), words)


def test_archives_that_mislead_are_refused():
    good = torch_file(MODEL)
    refused(good[:-40], "cut off")
    refused(good[: len(good) // 2], "cut off")
    refused(torch_file(MODEL, order="middle"), "byteorder")
    damaged = bytearray(good)
    damaged[good.index(MODEL["embed.W_E"].tobytes())] ^= 1
    refused(bytes(damaged), "checksum")
    shorter = dict(MODEL, **{"embed.W_E": View(np.zeros(100, np.float32), (V, 8), (8, 1))})
    pickler = Pickler()
    pickle = b"\x80\x02" + pickler.write(shorter) + b"."
    refused(archive(pickle, [one[:50] if one.size == 100 else one for one in pickler.arrays]), "size")
    refused(archive(pickle, []), "missing")
    refused(archive(b"\x80\x02}.", extra=[("other/data.pkl", b"")]), "more than one data.pkl")
    refused(archive(b"\x80\x02}.", extra=[("model/constants.pkl", b"")]), "TorchScript")
    refused(archive(b"\x80\x02}.", method=zipfile.ZIP_LZMA), "method 14")
    encrypted = bytearray(good)
    encrypted[good.index(b"PK\x01\x02") + 8] |= 1
    refused(bytes(encrypted), "encrypted")


def test_entries_that_overlap_are_refused():
    """One stretch of compressed bytes that many entries stand for is how small archives come to petabytes."""
    data = bytearray(torch_file(MODEL))
    places = [i for i in range(len(data)) if data[i : i + 4] == b"PK\x01\x02"]
    data[places[3] + 42 : places[3] + 46] = data[places[2] + 42 : places[2] + 46]
    refused(bytes(data), "overlaps")


def test_a_zip_bomb_is_not_unpacked():
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model/data.pkl", b"\x80\x02" + b"N" * (20 << 20))
    refused(out.getvalue(), "larger than")
    lying = bytearray(torch_file({**MODEL, "embed.W_E": np.zeros((V, 8), np.float32)}, method=zipfile.ZIP_DEFLATED))
    place = lying.rindex(b"PK\x01\x02", 0, lying.rindex(b"model/data/0"))
    lying[place + 24 : place + 28] = struct.pack("<I", 4 * V)
    refused(bytes(lying), "size")


def test_many_entries_and_many_keys_are_refused_before_they_cost_anything():
    many = b"".join(b"X\x04\x00\x00\x00" + struct.pack("<I", n % (1 << 7)) + b"N" for n in range(600_000))
    refused(archive(b"\x80\x02}(" + many + b"u."), "operations")
    good = bytearray(torch_file(MODEL))
    end = good.rindex(b"PK\x05\x06")
    good[end + 8 : end + 12] = b"\xff" * 4
    refused(bytes(good), "directory")


def test_a_deep_value_is_read_without_depth():
    nested = b"\x80\x02}X\x01\x00\x00\x00a" + b"N" + b"\x85" * 400_000 + b"s."
    refused(archive(nested), "no state dict")
    doubling = b"\x80\x02}X\x01\x00\x00\x00a]q\x00" + b"".join(
        b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(100)
    )
    refused(archive(doubling + b"."), "malformed")


def test_names_that_begin_alike_lose_their_beginning():
    for prefix in (
        "module.",
        "_orig_mod.",
        "model.",
        "module._orig_mod.",
        "net.transformer.",
        "model._orig_mod.module.",
    ):
        found = convert_bytes(torch_file({prefix + name: array for name, array in MODEL.items()}))
        assert read_weights(found.data).sha256 == DIGEST
        assert "stripped" in " ".join(found.notes)


def test_counters_are_left_out_and_said_and_other_names_are_refused():
    found = convert_bytes(torch_file({**MODEL, "step": np.array([3])}))
    assert read_weights(found.data).sha256 == DIGEST
    assert found.notes == ("left out: tensor 'step' is no weight of a one-layer transformer",)
    refused(
        torch_file({**MODEL, "gate": np.ones(3, np.float32)}), "tensor 'gate' is no weight of a one-layer transformer"
    )
    refused(torch_file({**MODEL, "blocks.1.attn.W_Q": MODEL["blocks.0.attn.W_Q"]}), "another layer")
    refused(torch_file({**MODEL, "embed.W_E": np.ones((V, 8), np.int64)}), "'embed.W_E'", "I64")


def test_sets_and_metadata_of_a_state_dict_are_nothing():
    pickler = Pickler()
    items = pickler.write(MODEL)[1:]
    value = Raw(EMPTY_ORDERED + items + b"}X\x09\x00\x00\x00_metadata" + EMPTY_ORDERED + b"sb")
    assert digest(torch_file(value, pickler=pickler)) == DIGEST


def test_torch_writes_what_is_read():
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array) for name, array in MODEL.items()}
    parameters = {name: torch.nn.Parameter(tensor) for name, tensor in tensors.items()}
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    whole = {"model": tensors, "optimizer": optimiser.state_dict(), "losses": [0.5] * 2000, "score": np.float64(1)}
    for value in (tensors, parameters, whole, {"state_dict": {f"module.{name}": t for name, t in tensors.items()}}):
        out = BytesIO()
        torch.save(value, out)
        assert digest(out.getvalue()) == DIGEST
    out = BytesIO()
    torch.save(torch.nn.Linear(2, 2), out)
    refused(out.getvalue(), "torch.nn.modules.linear.Linear", "state_dict()")
    out = BytesIO()
    torch.save(tensors, out, _use_new_zipfile_serialization=False)
    refused(out.getvalue(), "before version 1.6", "torch.load")
    for protocol in (3, 4, 5):
        out = BytesIO()
        torch.save(tensors, out, pickle_protocol=protocol)
        refused(out.getvalue(), f"protocol {protocol}")


def test_a_tensor_whose_sign_is_still_to_be_applied_is_refused():
    """torch writes the negative bit of a conjugate's imaginary part as metadata of the tensor."""
    pickler = Pickler()
    array = MODEL["unembed.W_U"]
    written = pickler.write(array)
    assert written.endswith(b"R")
    with_bit = Raw(written[:-2] + pickler.write({"neg": True}) + b"tR") if written[-2:] == b"tR" else None
    assert with_bit is not None
    refused(torch_file({**MODEL, "unembed.W_U": with_bit}, pickler=pickler), "sign or conjugation")


def test_single_numbers_of_numpy_are_read():
    """TransformerLens keeps sqrt(d_head) as one; a kind that is not known is no plain value."""

    def scalar(word, data):
        dtype = b"cnumpy\ndtype\n" + text(word) + b"\x89\x88\x87R"
        state = b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        encoded = b"c_codecs\nencode\n" + text(data.decode("latin1")) + text("latin1") + b"\x86R"
        return Raw(b"cnumpy.core.multiarray\nscalar\n" + dtype + state + encoded + b"\x86R")

    def text(value):
        data = value.encode()
        return b"X" + struct.pack("<I", len(data)) + data

    for value, scale in ((D**0.5, "1/sqrt(d_head)"), (8.0, "1/8")):
        cfg = {"attn_scale": scalar("f8", struct.pack("<d", value))}
        assert (
            read_weights(convert_bytes(torch_file({"model": MODEL, "cfg": cfg})).data).architecture.attn_scale == scale
        )
    found = convert_bytes(torch_file({"model": MODEL, "cfg": {"attn_scale": scalar("V8", bytes(8))}}))
    with pytest.raises(WeightsError, match="attn_scale"):
        read_weights(found.data)
