"""Outputs lose nothing, and inputs are read up to a limit: what a command may write over, into and through."""

import json
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest

import pessimal as ps
from pessimal import api
from pessimal.cli.main import main
from pessimal.runs import inputs, own_files
from pessimal.runs.outputs import CERTIFICATE, COQ, PAGE, STRATA, write_atomic
from pessimal.testing import safetensors_bytes, tiny_weights

MACHINE = {"k": 3, "d_vocab": 5, "start": 0, "moves": [[0] * 5], "outputs": [2]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model, a certificate, a task and a distribution, as the working directory."""
    monkeypatch.chdir(tmp_path)
    tensors = {name: np.array(array) for name, array in tiny_weights(0).tensors.items()}
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(tensors))
    (tmp_path / "task.json").write_text(json.dumps(MACHINE))
    (tmp_path / "d.json").write_text('{"name": "product", "weights": [[1, 2, 3, 4, 5]]}')
    weights = ps.load_weights("m.safetensors")
    ps.save_certificate(ps.prove(weights, ps.MaxOfK(k=3, d_vocab=5), ps.BruteForce()), "a.cert")
    return tmp_path


def run(capsys, text):
    """Exit code, stdout lines and the last line of stderr of a command."""
    try:
        code = main(text.split())
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr()
    return code, out.out.splitlines(), (out.err.splitlines() or [""])[-1]


PROVE = "prove m.safetensors --strategy brute-force --json"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"{PROVE} --out m.safetensors", "--out m.safetensors is the weights file"),
        (f"{PROVE} --out ./../FOLDER/m.safetensors", "m.safetensors is the weights file"),
        (f"{PROVE} --out soft", "--out soft is the weights file"),
        (f"{PROVE} --out hard", "--out hard is the weights file"),
        (f"{PROVE} --out m.safetensors --force", "--out m.safetensors is the weights file"),
        (f"{PROVE} --out b --strata m.safetensors", "--strata m.safetensors is the weights file"),
        (f"{PROVE} --out task.json --task task.json", "--out task.json is the file of --task"),
        (f"{PROVE} --out d.json --distribution d.json", "--out d.json is the file of --distribution"),
        (f"{PROVE} --out b --strata b", "--strata b is also --out"),
        (f"{PROVE} --out b --strata ./x/../b", "is also --out"),
        (f"{PROVE} --out a.cert --strata ac", "--strata ac is also --out"),
        (f"{PROVE} --out d.json", "--out d.json exists and is not a certificate; --force"),
        (f"{PROVE} --out b --strata a.cert", "--strata a.cert exists and is not a table of strata; --force"),
        (f"{PROVE} --out folder", "--out folder: is a folder"),
        (f"{PROVE} --out m.safetensors/x", "--out m.safetensors/x: Not a directory"),
        (f"{PROVE} --out /proc/no/x", "--out /proc/no/x: "),
        (f"{PROVE} --out loop", "--out loop: "),
        (f"{PROVE} --out -", "--out - and --json both want standard output"),
        (f"{PROVE} --out - --strata /dev/stdout", "--strata /dev/stdout is also --out"),
        (f"{PROVE} --claim loss --out b --strata s", "no bounds by stratum"),
        ("check a.cert --weights m.safetensors --json --strata a.cert", "--strata a.cert is the certificate"),
        ("check a.cert --weights m.safetensors --json --strata m.safetensors", "is the weights file (--weights)"),
        ("check - --weights - --json", "the certificate and the weights file (--weights) cannot both be standard"),
        ("report folder --weights m.safetensors --json --out m.safetensors", "is the weights file (--weights"),
        ("report folder --json --out a.cert", "--out a.cert exists and is not a report"),
        ("frontier m.safetensors --json --out a.cert", "--out a.cert: is a file, not a folder"),
        ("analyse m.safetensors --json --out m.safetensors/x", "--out m.safetensors/x: Not a directory"),
        ("sweep x.toml --json --out a.cert", "--out a.cert: is a file, not a folder"),
        ("train max-of-k --json --out a.cert", "--out a.cert: is a file, not a folder"),
        ("demo --json --out a.cert", "--out a.cert: is a file, not a folder"),
        ("reproduce tasks --smoke --json --out a.cert", "--out a.cert: is a file, not a folder"),
        ("analyse m.safetensors --json --out dangling", "--out dangling: is a file, not a folder"),
        ("analyse m.safetensors --json --out mine", "--out mine/provenance.json exists and is not the provenance"),
        ("frontier m.safetensors --json --out odd", "--out odd/results.jsonl: is a folder"),
        ("frontier m.safetensors --task run/circuits/m.json --out run --json", "would write over the file of --task"),
    ],
)
def test_what_would_be_lost_or_cannot_be_written_is_refused_before_the_work(capsys, here, monkeypatch, words, said):
    for name, target in {"soft": "m.safetensors", "ac": "a.cert", "loop": "loop"}.items():
        (here / name).symlink_to(target)
    (here / "hard").hardlink_to(here / "m.safetensors")
    (here / "run" / "circuits").mkdir(parents=True)
    (here / "run" / "circuits" / "m.json").write_text(json.dumps(MACHINE))
    for folder in ("folder", "x", "mine", "odd/results.jsonl"):
        (here / folder).mkdir(parents=True)
    (here / "mine" / "provenance.json").write_text('{"artist": "me"}')
    (here / "dangling").symlink_to("nowhere")
    monkeypatch.setattr(api, "prove", lambda *_, **__: pytest.fail("the work began"))
    monkeypatch.setattr(api, "within", lambda *_, **__: pytest.fail("the work began"))
    before = names(here)
    code, out, err = run(capsys, words.replace("FOLDER", here.name))
    assert (code, names(here)) == (2, before)
    assert err.startswith("pessimal: ")
    assert said in err
    row = json.loads(out[-1])
    assert row["verdict"] == "ERROR"
    assert row["reason"] in {"unwritable", "usage", "unreadable"}
    assert err == f"pessimal: {row['detail']}"


def names(folder):
    """Every file below a folder with its bytes."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def test_the_same_kind_is_rewritten_and_force_replaces_other_kinds(capsys, here):
    good = (here / "a.cert").read_bytes()
    (here / "empty").touch()
    (here / "other").write_text("notes")
    for name, more in (("a.cert", ""), ("empty", ""), ("other", " --force")):
        assert run(capsys, f"{PROVE} --out {name}{more}")[0] == 0
        assert (here / name).read_bytes() == good
    for name in ("s.csv", "s.json"):
        for _ in range(2):
            assert run(capsys, f"check a.cert --weights m.safetensors --strata {name}")[0] == 0
    (here / "run").mkdir()
    assert run(capsys, f"{PROVE} --out run/a.cert")[0] == 0
    for _ in range(2):
        assert run(capsys, "report run --weights m.safetensors --out page.html")[0] == 0


def test_every_kind_is_told_from_the_others(here, capsys):
    """What each command writes fits its own kind alone, and a model fits none."""
    run(capsys, "check a.cert --weights m.safetensors --strata s.csv")
    run(capsys, "check a.cert --weights m.safetensors --strata s.json")
    (here / "run").mkdir()
    run(capsys, "prove m.safetensors --strategy position-minima --out run/p.cert")
    run(capsys, "report run --weights m.safetensors --out page.html")
    run(capsys, "formal export run/p.cert --weights m.safetensors --out .")
    files = ("a.cert", "s.csv", "s.json", "page.html", "Bound_p.v")
    found = {name: (here / name).read_bytes()[:65536] for name in files}
    kinds = {"certificate": CERTIFICATE, "strata": STRATA, "page": PAGE, "coq": COQ}
    fits = {name: [word for word, kind in kinds.items() if kind.fits(head)] for name, head in found.items()}
    assert list(fits.values()) == [["certificate"], ["strata"], ["strata"], ["page"], ["coq"]]
    others = [(here / name).read_bytes() for name in ("m.safetensors", "task.json", "d.json")]
    assert not any(kind.fits(data) for kind in kinds.values() for data in others)


def test_links_stay_modes_stay_and_new_files_have_the_usual_mode(tmp_path):
    target, link = tmp_path / "deep" / "target", tmp_path / "link"
    link.symlink_to(target)
    old = os.umask(0o027)
    try:
        write_atomic(link, b"1")
    finally:
        os.umask(old)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    target.chmod(0o604)
    write_atomic(link, b"2")
    assert link.is_symlink()
    assert target.read_bytes() == b"2"
    assert stat.S_IMODE(target.stat().st_mode) == 0o604
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_pipe_is_written_into(capsys, here):
    os.mkfifo(here / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((here / "pipe").read_bytes()))
    reader.start()
    assert run(capsys, f"{PROVE} --out pipe")[0] == 0
    reader.join(timeout=20)
    assert got == [(here / "a.cert").read_bytes()]
    assert stat.S_ISFIFO((here / "pipe").stat().st_mode)


def test_a_device_stays_a_device(capsys, here):
    try:
        os.mknod(here / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (here / "null").write_bytes(b"")
    except OSError:
        pytest.skip("devices cannot be made here")
    (here / "to-null").symlink_to("null")
    for name in ("null", "to-null"):
        assert run(capsys, f"{PROVE} --out {name}")[0] == 0
        assert run(capsys, f"check a.cert --weights m.safetensors --strata {name}")[0] == 0
    assert stat.S_ISCHR((here / "null").lstat().st_mode)
    assert (here / "to-null").is_symlink()


def test_an_open_descriptor_is_written_into_and_not_renamed_over(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(b"before ")
        file.flush()
        write_atomic(Path(f"/dev/fd/{file.fileno()}"), b"bytes")
        assert os.path.samestat(os.fstat(file.fileno()), path.stat())
    assert path.read_bytes() == b"before bytes"


def test_a_full_disk_names_the_flag_and_the_path(capsys, here):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    code, out, err = run(capsys, f"{PROVE} --out /dev/full")
    assert (code, err) == (2, "pessimal: --out /dev/full: No space left on device")
    assert json.loads(out[-1])["reason"] == "unwritable"


@pytest.mark.parametrize("limit", [0, 7, 5000])
def test_reading_stops_one_byte_after_the_limit_whatever_a_file_says_of_its_size(tmp_path, limit):
    (tmp_path / "big").write_bytes(b"x" * (limit + 1))
    for path in (tmp_path / "big", Path("/dev/zero")):
        with pytest.raises(inputs.TooLargeError, match=f"larger than {limit} bytes"):
            inputs.read_whole(path, limit)
        assert len(inputs.read_at_most(path, limit)) == limit
    (tmp_path / "big").write_bytes(b"x" * limit)
    assert inputs.read_whole(tmp_path / "big", limit) == b"x" * limit


def test_every_reader_has_its_limit(capsys, here, monkeypatch):
    monkeypatch.setattr("pessimal.inputs.MAX_WEIGHT_BYTES", 1000)
    monkeypatch.setattr(inputs, "MAX_TEXT_BYTES", 1000)
    code, _, err = run(capsys, "info /dev/zero")
    assert (code, err) == (2, "pessimal: zero: larger than 1000 bytes")
    monkeypatch.setattr("pessimal.inputs.MAX_WEIGHT_BYTES", 1 << 20)
    for words in ("info m.safetensors --task /dev/zero", f"{PROVE} --out b --distribution /dev/zero"):
        code, _, err = run(capsys, words)
        assert (code, err) == (2, "pessimal: zero: larger than 1000 bytes")
    code, out, _ = run(capsys, "check /dev/zero --weights m.safetensors")
    assert code == 1
    assert out[0].startswith("s REJECTED reason=malformed")
    assert not (here / "b").exists()


def test_a_byte_order_mark_is_passed_over_and_a_missing_file_is_said_to_be_missing(capsys, here):
    for name in ("task.json", "d.json"):
        (here / name).write_bytes(b"\xef\xbb\xbf" + (here / name).read_bytes())
    assert run(capsys, "info m.safetensors --task task.json")[0] == 0
    assert run(capsys, f"{PROVE} --out b --distribution d.json")[0] == 0
    (here / "sweep.toml").write_bytes(b'\xef\xbb\xbfk = "four"\n')
    assert run(capsys, "sweep sweep.toml --out run")[2] == "pessimal: sweep.toml line 1: k must be an integer"
    for words in (
        "info m.safetensors --task no.json",
        f"{PROVE} --out b --distribution no.json",
        "sweep no.json --out r",
    ):
        code, _, err = run(capsys, words)
        assert (code, err) == (2, "pessimal: no.json: No such file or directory")


def test_outputs_knows_the_files_of_a_run_folder(here, capsys):
    """The names that `require_folder` protects are those that a run writes."""
    assert run(capsys, "frontier m.safetensors --budgets 2^20 --out run")[0] == 0
    written = {path.name for path in (here / "run").iterdir() if path.is_file()}
    assert {name for name in written if not name.endswith((".cert", ".lock"))} <= set(own_files.OWN)
    for _ in range(2):
        assert run(capsys, "analyse m.safetensors --out run")[0] == 0
