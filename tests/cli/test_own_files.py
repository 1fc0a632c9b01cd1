"""Files that commands write under names of their own: what stands there is no input, no other file and no way out."""

import json
import sqlite3
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import pessimal as ps
from pessimal import run_folders, sweeps
from pessimal.cli import demo
from pessimal.cli.main import main
from pessimal.runs.outputs import OutputError
from pessimal.testing import safetensors_bytes, tiny_weights
from support.ledgers import row

SWEEP = """k = 3
d_vocab = 5
checkpoints = "."
stem = "tiny"
seeds = "0"
strategies = ["cubic"]
certificates = true
"""
FRONTIER = "frontier m.safetensors --budgets 2^20 --json --out"
NAME = f"m.{2**20}.cert"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model under two names and the configuration of a sweep, as the working directory."""
    monkeypatch.chdir(tmp_path)
    tensors = {name: np.array(array) for name, array in tiny_weights(0).tensors.items()}
    for name in ("m.safetensors", "tiny_seed0.safetensors"):
        (tmp_path / name).write_bytes(safetensors_bytes(tensors))
    (tmp_path / "sweep.toml").write_text(SWEEP)
    return tmp_path


@pytest.fixture
def run(here):
    """A run folder with a certificate, its weights and a ledger."""
    weights = ps.load_weights("m.safetensors")
    ps.save_certificate(ps.prove(weights, ps.MaxOfK(k=3, d_vocab=5), ps.Cubic()), "run/c.cert")
    (here / "run" / "m.safetensors").write_bytes((here / "m.safetensors").read_bytes())
    ps.collect("run")
    return here / "run"


def command(capsys, text):
    """Exit code, the last line of stdout as an object if it is one, and stderr."""
    code = main(text.split())
    out = capsys.readouterr()
    last = (out.out.splitlines() or [""])[-1]
    return code, json.loads(last) if last.startswith("{") else {}, out.err


def held(folder):
    """Every file below a folder with its bytes; links as such."""
    return {
        str(path): path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def put(place, content):
    """A file of that content below the working directory; of a path, a link to it."""
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        path.symlink_to(content.resolve())
    else:
        path.write_bytes(content)


MINE = b'{"mine": 1}'


@pytest.mark.parametrize(
    ("words", "place", "content", "said"),
    [
        (f"{FRONTIER} o", f"o/{NAME}", Path("m.safetensors"), "would write over the weights file"),
        (f"{FRONTIER} o", f"o/{NAME}", Path("sweep.toml"), "is a link that leads out of the folder"),
        (f"{FRONTIER} o", f"o/{NAME}", Path("nowhere"), "is a link that leads out of the folder"),
        (f"{FRONTIER} o", f"o/{NAME}", MINE, "exists and is not a certificate"),
        (f"{FRONTIER} o", f"o/{NAME}/x", MINE, "is a folder"),
        (f"{FRONTIER} o", "o/run.lock", MINE, "exists and is not the lock of a run"),
        (f"{FRONTIER} o", "o/results.jsonl", Path("m.safetensors"), "would write over the weights file"),
        (f"{FRONTIER} o", "o/circuits/m.json", MINE, "exists and is not a circuit file"),
        (f"{FRONTIER} o", "o/notes.txt", MINE, "is no run folder: it holds notes.txt"),
        (f"{FRONTIER} .", "x", b"", "is no run folder: it holds sweep.toml"),
        ("analyse m.safetensors --json --out o", "o/circuits/m.json", MINE, "exists and is not a circuit file"),
        ("analyse m.safetensors --json --out o", "o/circuits/m.json", Path("m.safetensors"), "over the weights file"),
        ("analyse m.safetensors --json --out o", "o/notes.txt", MINE, "is no run folder"),
        ("sweep sweep.toml --json --out o", "o/index.sqlite", MINE, "exists and is not the index of a ledger"),
        ("sweep sweep.toml --json --out o", "o/models/tiny_seed0.json", MINE, "is not the record of a model"),
        ("sweep sweep.toml --json --out o", "o/models/tiny_seed0.json", Path("sweep.toml"), "over the configuration"),
        ("sweep sweep.toml --json --out o", "o/certificates/tiny_seed0.cubic.cert", MINE, "is not a certificate"),
        (
            "sweep sweep.toml --json --out o",
            "o/certificates/tiny_seed0.cubic.cert",
            Path("tiny_seed0.safetensors"),
            "would write over the weights tiny_seed0",
        ),
        ("sweep sweep.toml --json --out o", "o/notes.txt", MINE, "is no run folder: it holds notes.txt"),
        ("reproduce tasks --smoke --json --out o", "o/notes.txt", MINE, "is no run folder: it holds notes.txt"),
        ("demo --json --out o", "o/notes.txt", MINE, "is no run folder: it holds notes.txt"),
        ("demo --json --out o", "o/max4_v64_seed50.cubic.cert", MINE, "exists and is not a certificate"),
    ],
)
def test_what_would_be_lost_in_a_folder_is_refused_before_the_work(
    capsys, here, monkeypatch, words, place, content, said
):
    for module, name in ((run_folders, "Frontier"), (run_folders, "circuits_of"), (sweeps, "run_units")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("the work began"))
    monkeypatch.setattr(demo, "_prove_missing", lambda *_: pytest.fail("the work began"))
    put(place, content)
    before = held(here)
    code, row, err = command(capsys, words)
    assert (code, row["reason"]) == (2, "unwritable")
    assert said in err
    assert held(here) == before


def test_a_foreign_database_with_other_tables_is_no_index(capsys, here):
    (here / "o").mkdir()
    base = sqlite3.connect("o/index.sqlite")
    base.execute("CREATE TABLE mine (a)")
    base.commit()
    base.close()
    assert "is not the index of a ledger" in command(capsys, "sweep sweep.toml --out o")[2]


def test_the_demo_marks_what_was_not_checked_again():
    console = Console(file=StringIO(), width=200)
    console.print(demo._table([row("m"), row("n")], [True, False]))
    assert [line.count("(recorded)") for line in console.file.getvalue().splitlines()] == [0, 0, 1]


def test_the_library_refuses_it_too(here):
    weights = ps.load_weights("m.safetensors")
    put(f"f/{NAME}", Path("m.safetensors"))
    put("f/circuits/m.json", Path("m.safetensors"))
    with pytest.raises(OutputError, match="is a link that leads out of the folder"):
        ps.frontier(weights, ps.MaxOfK(k=3, d_vocab=5), "f", "m", [2**20])
    with pytest.raises(OutputError, match="is a link that leads out of the folder"):
        ps.analyse(weights, "f", "m")
    put("o/models/tiny_seed0.json", MINE)
    with pytest.raises(OutputError, match="is not the record of a model"):
        ps.sweep("sweep.toml", "o")


def test_a_folder_with_weights_and_certificates_or_of_a_run_before_is_taken(capsys, here, run):
    (run / "results.jsonl").unlink()
    (run / "provenance.json").unlink()
    assert command(capsys, "check run/c.cert --weights m.safetensors --strata run/c.csv")[0] == 0
    assert command(capsys, f"{FRONTIER} run")[0] == 0
    (run / "notes.txt").write_text("mine")
    for _ in range(2):
        assert command(capsys, f"{FRONTIER} run")[0] == 0
        assert command(capsys, "analyse m.safetensors --out run")[0] == 0
        assert command(capsys, "sweep sweep.toml --workers 1 --out swept")[0] == 0
    assert (run / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("more", ["", " --force"])
@pytest.mark.parametrize(
    "place",
    [
        "results.jsonl", "provenance.json", "sweep.json", "index.sqlite", "run.lock", "c.cert", "m.safetensors",
        "new.cert", "circuits/m.json", "circuits/new.json", "certificates/x.cert", "models/m.json", "hard", "soft",
    ],
)  # fmt: skip
def test_a_page_never_replaces_a_file_of_the_run_folder_there_or_to_come(capsys, here, run, place, more):
    (here / "hard").hardlink_to(run / "results.jsonl")
    (here / "soft").symlink_to(run / "circuits" / "m.json")
    target = place if place in {"hard", "soft"} else f"run/../run/{place}"
    before = held(here)
    code, row, err = command(capsys, f"report run --json --out {target}{more}")
    assert (code, row["reason"]) == (2, "unwritable")
    assert "of the run folder" in err
    assert held(here) == before


def test_a_page_inside_the_run_folder_is_written_and_rewritten(capsys, here, run):
    for _ in range(2):
        assert command(capsys, "report run --out run/report.html")[0] == 0
    (run / "mine.txt").write_text("mine")
    assert command(capsys, "report run --out run/mine.txt")[0] == 2


def test_collecting_never_replaces_a_foreign_provenance(capsys, here, run):
    (run / "results.jsonl").unlink()
    (run / "provenance.json").write_bytes(MINE)
    assert "provenance.json exists and is not the provenance" in command(capsys, "report run --out page")[2]
    assert (run / "provenance.json").read_bytes() == MINE


@pytest.mark.parametrize(
    "words", ["--out n/x --strata n", "--out x.cert --strata x.cert/y.csv", "--out a --strata a/b/c"]
)
def test_an_output_within_another_is_found_before_the_work(capsys, here, words):
    before = held(here)
    code, row, err = command(capsys, f"prove m.safetensors --strategy cubic --json {words}")
    assert (code, row["reason"]) == (2, "unwritable")
    assert "which is to be a file" in err
    assert held(here) == before


def test_swapped_files_are_called_what_they_are(capsys, here, run):
    code, _, err = command(capsys, "check m.safetensors --weights m.safetensors")
    assert code == 1
    assert "pessimal: m.safetensors is a safetensors file, not a certificate" in err
    for words in ("info run/c.cert", "check run/c.cert --weights run/c.cert", "prove run/c.cert --out x"):
        code, _, err = command(capsys, words)
        assert (code, err) == (2, "pessimal: c.cert is a certificate, not weights\n")
    code, _, err = command(capsys, "check m.safetensors --weights run/c.cert")
    assert (code, err.count("\n")) == (2, 1)
    assert "the two are swapped; pessimal check run/c.cert --weights m.safetensors" in err


def test_the_object_says_what_is_wrong_with_a_command_line(capsys, here):
    code, row, err = command(capsys, "check run/c.cert --weights m.safetensors --max-ops x --json")
    assert (code, row["reason"]) == (2, "usage")
    assert row["detail"] == (
        "check: --max-ops: number 'x' is not a whole number such as 1048576, 2^20, 2**20, 2^20.5 or 1e6;"
        " see `pessimal check --help`"
    )
    assert "--max-ops" in err
    code, row, _ = command(capsys, "prove m.safetensors --strategy cubic --out - --json")
    assert (code, row["reason"]) == (2, "usage")


def test_a_report_of_what_is_no_folder_says_so(capsys, here):
    for name, said in (("nosuch", "nosuch does not exist"), ("sweep.toml", "sweep.toml is no folder")):
        code, row, err = command(capsys, f"report {name} --json")
        assert (code, row["reason"], err) == (2, "unreadable", f"pessimal: {said}\n")
    assert not (here / "report.html").exists()
