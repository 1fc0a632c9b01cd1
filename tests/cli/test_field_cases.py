"""What people of the field really have: every kind of file or statement that was refused without help, or read as another model.

Each case makes its input, runs one command, and says what has to be seen. Interrupts, closed pipes and installed
packages have tests of their own (`test_exit_codes.py`, `test_outputs.py`, `test_installed.py`, `tests/runs/`).
"""

import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from safetensors.numpy import save

from pessimal.cli.main import main
from pessimal.testing import safetensors_bytes
from support.models import Sizes, random_tensors
from support.state_dicts import early, hooked, linear
from support.torch_files import torch_file

SIZES = Sizes(5, 5, 7, 2, 3)
MODEL = random_tensors(SIZES, 2)
NORMED = random_tensors(SIZES, 2, norms=("ln1_w", "ln_final_w"))
OUTPUT = hooked(v=5, m=8, d=3, h=2, k=3)


def bfloat16(tensors: dict[str, np.ndarray]) -> bytes:
    """A safetensors file whose tensors are cut to bfloat16."""
    header, body = {}, b""
    for name, array in tensors.items():
        raw = (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
        offsets = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": "BF16", "shape": list(array.shape), "data_offsets": offsets}
        body += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def npz(tensors: dict[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **tensors)
    return out.getvalue()


def with_metadata(**facts: str) -> Callable[[], bytes]:
    return lambda: save(MODEL, facts)


def tied() -> bytes:
    rest = {name: array for name, array in OUTPUT.items() if name != "unembed.W_U"}
    return save(rest, {"unembed.W_U": "embed.W_E"})


# Name of the case: the file, the flags of `info`, exit code, and what stdout or stderr has to say.
CASES: dict[str, tuple[Callable[[], bytes], str, int, tuple[str, ...]]] = {
    "bfloat16": (lambda: bfloat16(MODEL), "", 0, ("bfloat16", "converted")),
    "bridge-v4": (lambda: safetensors_bytes(linear(OUTPUT)), "--n-heads 2", 0, ("converted",)),
    "bridge-v4 without heads": (lambda: safetensors_bytes(linear(OUTPUT)), "", 2, ("--n-heads",)),
    "compiled-prefix": (
        lambda: safetensors_bytes({f"_orig_mod.{name}": a for name, a in OUTPUT.items()}), "", 0, ("_orig_mod.",),
    ),
    "parallel-prefix": (lambda: safetensors_bytes({f"module.{n}": a for n, a in OUTPUT.items()}), "", 0, ("module.",)),
    "old-orientation": (lambda: safetensors_bytes(early(OUTPUT)), "", 0, ("early",)),
    "step-counter": (lambda: save({**OUTPUT, "step": np.array([7])}), "", 0, ("step",)),
    "tied-weights": (tied, "", 0, ("W_U", "transpose")),
    "torch-checkpoint": (lambda: torch_file(OUTPUT), "", 0, ("(pt)",)),
    "npz": (lambda: npz(MODEL), "", 0, ("(npz)",)),
    "lfs-pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "", 2, ("git lfs pull",)),
    "html": (lambda: b"<!DOCTYPE html><html></html>", "", 2, ("HTML",)),
    "info-assumes-a-task": (lambda: save(MODEL), "", 0, ("assumed", "task=max-of-k")),
    "silent-lnpre": (lambda: save(MODEL), "", 0, ("assumed", "normalization_type=none")),
    "folded by hand": (lambda: save(MODEL), "--normalization-type LNPre", 0, ("normalization_type=LNPre (stated by",)),
    "silent-rms": (lambda: save(NORMED), "", 2, ("LayerNorm or RMSNorm", "normalization_type")),
    "rms by hand": (lambda: save(NORMED), "--normalization-type RMS", 0, ("normalization_type=RMS (stated by hand",)),
    "silent-shortformer": (lambda: save(MODEL), "", 0, ("positional_embedding_type=standard (not stated",)),
    "shortformer": (with_metadata(positional_embedding_type="shortformer"), "", 2, ("shortformer",)),
    "metadata-use-attn-scale": (with_metadata(use_attn_scale="False"), "", 0, ()),
    "numeric scale": (with_metadata(attn_scale="2.8284271247461903"), "", 0, ()),
    "soft cap": (with_metadata(attn_scores_soft_cap="50.0"), "", 2, ("attn_scores_soft_cap",)),
    "not understood": (with_metadata(attention_temperature="0.7"), "", 2, ("attention_temperature",)),
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, words: str) -> tuple[int, str, str]:
    try:
        code = main(words.split())
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("case", CASES)
def test_a_file_of_the_field_is_opened_or_asked_about(here, capsys, case):
    """One sentence, the right exit code, no traceback; what was done or assumed is said."""
    make, flags, wanted, said = CASES[case]
    (here / "m.safetensors").write_bytes(make())
    code, out, err = run(capsys, f"info m.safetensors {flags}")
    assert code == wanted, err
    assert "Traceback" not in out + err
    for words in said:
        assert words in out + err
    if wanted:
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("metadata", "factor"), [({"use_attn_scale": "False"}, "1"), ({"attn_scale": "8"}, "1/8"), ({}, "1/sqrt(d_head)")]
)
def test_the_scale_of_the_file_is_the_one_that_is_proved(here, capsys, metadata, factor):
    """Heard, in the record, and not called an assumption."""
    (here / "m.safetensors").write_bytes(save(MODEL, metadata))
    code, out, err = run(capsys, "prove m.safetensors --strategy brute-force --out a.cert")
    assert code == 0
    assert f'"attn_scale":"{factor}"'.encode() in (here / "a.cert").read_bytes()
    assert ("attn_scale" in err) == ("attn_scale:" in out) == (not metadata)


@pytest.mark.parametrize(
    "flags",
    ["--attn-scale 1", "--attn-scale 1/8", "--k 2", "--normalization-type LNPre", "--normalization-type RMSPre"],
)
def test_a_flag_forgotten_at_the_check_is_named(here, capsys, flags):
    """The same tensors, another record: the sentence has the flag to repeat, which then works."""
    (here / "m.safetensors").write_bytes(save(MODEL))
    assert run(capsys, f"prove m.safetensors {flags} --strategy brute-force --out a.cert")[0] == 0
    code, out, err = run(capsys, "check a.cert m.safetensors")
    assert (code, out) == (1, "s REJECTED reason=weights-mismatch\n")
    assert "the same tensors" in err
    assert flags in err
    assert run(capsys, f"check a.cert m.safetensors {flags}")[0] == 0


def test_a_machine_with_a_byte_order_mark_is_read_and_a_missing_one_is_missing(here, capsys):
    """Text as editors write it."""
    (here / "m.safetensors").write_bytes(save(MODEL))
    machine = {"k": 3, "d_vocab": 5, "start": 0, "moves": [[0] * 5], "outputs": [1]}
    (here / "bom.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(machine).encode())
    assert run(capsys, "info m.safetensors --task bom.json")[0] == 0
    assert "No such file or directory" in run(capsys, "info m.safetensors --task none.json")[2]


def test_no_budget_that_is_met_is_one_sentence_and_exit_three(here, capsys):
    """A frontier whose budgets are all too small."""
    (here / "m.safetensors").write_bytes(save(MODEL))
    code, _, err = run(capsys, "frontier m.safetensors --budgets 2^4 --out fr")
    assert code == 3
    assert "Traceback" not in err
