"""The same door behind every command: converted once or in memory, the digest is the same, and it is said."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

import pessimal as ps
from pessimal.cli.main import main
from pessimal.testing import safetensors_bytes
from support.state_dicts import early, hooked, linear
from support.torch_files import Ordered, torch_file

MODEL = hooked(v=3, k=2, h=1)
PT = torch_file({"model": Ordered({f"_orig_mod.{name}": array for name, array in MODEL.items()}), "epoch": 3})


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.pt").write_bytes(PT)
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(MODEL))
    return tmp_path


def run(capsys, text):
    try:
        code = main(text.split())
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_the_digest_of_a_file_converted_in_memory_is_that_of_its_conversion(here, capsys):
    code, out, err = run(capsys, "convert m.pt --out c.safetensors")
    assert code == 0
    assert hashlib.sha256(PT).hexdigest() in err
    assert err.splitlines()[0].startswith("pessimal: converted m.pt (pt)")
    digest = ps.load_weights(here / "m.safetensors").sha256
    assert out == [f"weights     sha256:{digest}"]
    for name in ("m.pt", "c.safetensors"):
        code, out, err = run(capsys, f"info {name} --json")
        record = json.loads(out[-1])
        assert code == 0
        assert record["weights_sha256"] == digest
        assert record.get("converted") == ("pt" if name == "m.pt" else None)
        assert ("converted m.pt (pt)" in err) == (name == "m.pt")


def test_from_a_checkpoint_to_a_certificate_in_two_commands(here, capsys):
    code, out, err = run(capsys, "prove m.pt --strategy brute-force --out m.cert")
    assert code == 0
    assert err.count("converted m.pt") == 1
    assert "stripped '_orig_mod.'" in err
    code, again, err = run(capsys, "check m.cert --weights m.pt")
    assert code == 0
    assert again == out
    assert err.count(hashlib.sha256(PT).hexdigest()) == 1
    assert run(capsys, "check m.cert --weights m.safetensors")[0] == 0


def test_a_converted_model_stands_on_the_verdict_line_and_strict_refuses_it(here, capsys):
    """The last field of the line and of the sentence's JSON; the same certificate checks strictly against the file."""
    assert run(capsys, "convert m.pt --out c.safetensors")[0] == 0
    code, out, _ = run(capsys, "prove m.pt --strategy brute-force --out m.cert --json")
    assert code == 0
    assert out[0].endswith(" converted=pt")
    assert json.loads(out[-1])["converted"] == "pt"
    assert run(capsys, "check m.cert m.pt")[1] == out[:1]
    code, lines, err = run(capsys, "check m.cert m.pt --strict")
    assert (code, lines) == (2, [])
    assert "strict: the weights were converted (pt)" in err
    code, lines, _ = run(capsys, "check m.cert c.safetensors --strict --json")
    assert (code, lines[0]) == (0, out[0].removesuffix(" converted=pt"))
    assert json.loads(lines[-1])["converted"] is None
    with pytest.raises(ValueError, match="strict"):
        ps.check(here / "m.cert", MODEL, strict=True)
    assert ps.check(here / "m.cert", MODEL).line().endswith(" converted=state-dict")


def test_the_twin_of_an_early_checkpoint_opens_with_flags(here, capsys):
    twin = early(hooked(v=3, k=2, h=2, d_mlp=5))
    (here / "twin.pt").write_bytes(torch_file(Ordered(twin)))
    facts = "--fact act_fn=relu --fact attention=uniform --fact task=modular-addition"
    assert run(capsys, f"convert twin.pt --out twin.safetensors {facts}")[0] == 0
    weights = ps.load_weights("twin.safetensors")
    assert type(weights) is ps.Weights
    assert weights.architecture.attention == "uniform"
    assert {one.name for one in weights.architecture.assumed}.isdisjoint({"act_fn", "attention"})
    assert run(capsys, "prove twin.safetensors --strategy brute-force --out twin.cert")[0] == 0
    assert run(capsys, "info twin.pt --sum-attention")[0] == 0


def test_what_a_file_does_not_say_is_stated_by_a_flag(here, capsys):
    (here / "bridge.pt").write_bytes(torch_file(linear(MODEL)))
    code, _, err = run(capsys, "info bridge.pt")
    assert code == 2
    assert "--n-heads" in err
    assert run(capsys, "info bridge.pt --n-heads 1")[0] == 0
    code, _, err = run(capsys, "convert m.pt --out c.safetensors --fact nonsense")
    assert code == 2
    assert "NAME=VALUE" in err


def test_a_conversion_loses_nothing(here, capsys):
    (here / "other.safetensors").write_bytes(safetensors_bytes(hooked(1)))
    before = (here / "other.safetensors").read_bytes()
    code, _, err = run(capsys, "convert m.pt --out other.safetensors")
    assert code == 2
    assert "--force" in err
    assert (here / "other.safetensors").read_bytes() == before
    assert run(capsys, "convert m.pt --out m.pt")[0] == 2
    assert (here / "m.pt").read_bytes() == PT
    assert run(capsys, "convert m.pt --out other.safetensors --force")[0] == 0
    assert run(capsys, "convert m.pt --out other.safetensors")[0] == 0


def test_swapped_files_are_named(here, capsys):
    run(capsys, "prove m.safetensors --strategy brute-force --out m.cert")
    code, out, err = run(capsys, "check m.pt --weights m.safetensors")
    assert code == 1
    assert out[0].startswith("s REJECTED")
    assert "m.pt is a zip archive, not a certificate" in err
    code, _, err = run(capsys, "info m.cert")
    assert code == 2
    assert "m.cert is a certificate, not weights" in err


def test_a_model_that_needs_another_architecture_is_refused_with_its_file(here, capsys):
    broken = dict(MODEL)
    del broken["blocks.0.attn.W_K"]
    (here / "broken.pt").write_bytes(torch_file(broken))
    code, _, err = run(capsys, "convert broken.pt --out c.safetensors")
    assert code == 2
    assert err.splitlines()[-1] == "pessimal: broken.pt: tensor 'W_K' is missing"
    assert not (here / "c.safetensors").exists()
    (here / "nan.pt").write_bytes(torch_file({**MODEL, "embed.W_E": np.full((3, 8), np.nan, np.float32)}))
    assert run(capsys, "info nan.pt")[0] == 2


def test_a_checkpoint_needs_no_torch(here):
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from pessimal.cli.main import main\n"
        "assert main(['info', 'm.pt']) == 0\n"
        "assert {'torch', 'pickletools'}.isdisjoint(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
