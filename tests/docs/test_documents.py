"""Documents are played: every block that can run runs, and the numbers beside it are those that it prints.

How blocks are run and compared is said in `support/playing.py`, what is looked at without running in
`support/command_lines.py`; `test_playing.py` has a bad document for every complaint.
"""

import functools
import json
import re

import pytest

from pessimal.cli.main import main
from support.command_lines import complaints_about_line, complaints_about_text
from support.documents import ROOT, SHELLS, blocks_of, documents
from support.playing import play, unprinted_numbers

# Documents with a block that runs; those that take more than a few seconds are slow.
FAST = (
    "README.md",
    "docs/certificate-format.md",
    "docs/custom-task.md",
    "docs/formats.md",
    "docs/sweeps.md",
    "examples/README.md",
    "formal/README.md",
    "tests/README.md",
)
SLOW = ("docs/float32.md", "docs/tutorial.md")
PLAYED = (
    pytest.param(FAST[0], marks=pytest.mark.survey),
    *FAST[1:],
    *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
)
# Documents that explain by example: a long number in their prose is one that a block has printed.
EXPLAINING = {"README.md", "docs/custom-task.md", "docs/tutorial.md", "examples/README.md"}


@functools.cache
def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PLAYED)
def test_a_document_prints_what_it_shows(name, tmp_path):
    played = play(text_of(name), tmp_path)
    assert played.complaints == []
    if name in EXPLAINING:
        assert list(unprinted_numbers(text_of(name), played.printed)) == []


@pytest.mark.parametrize("path", documents(), ids=str)
def test_commands_of_a_document_exist_and_nothing_in_them_stands_for_something_else(path):
    assert complaints_about_text(text_of(path)) == []


@pytest.mark.parametrize("flags", re.findall(r"\| `((?:[\w-]+ )?--[^`]+|first-of-k)` \|", text_of("weights/README.md")))
def test_shipped_models_are_trained_by_flags_that_there_are(flags):
    task = "modular-addition " if "--recipe" in flags else ""
    assert complaints_about_line(f"pessimal train {task}{flags} --out models") == []


def test_every_document_with_a_block_that_runs_is_played():
    running = {
        path.as_posix()
        for path in documents()
        if any(
            block.language in (*SHELLS, "python", "json", "toml") and not block.not_run
            for block in blocks_of(text_of(path))
        )
    }
    assert running == {*FAST, *SLOW}


def test_the_bytes_of_the_worked_example_are_those_of_its_certificate(tmp_path):
    """The dump in `docs/certificate-format.md`, line by line."""
    text = text_of("docs/certificate-format.md")
    assert play(text, tmp_path).complaints == []
    data = (tmp_path / "tiny.cert").read_bytes()
    dumped = [line for block in blocks_of(text) for line in block.text.splitlines() if line.endswith("|")]
    assert len(dumped) == 10
    for line in dumped:
        at, shown = int(line[:8], 16), bytes.fromhex(line[8:60])
        assert data[at : at + 16] == shown
        assert line.rpartition("  |")[2] == "".join(chr(byte) if 32 <= byte < 127 else "." for byte in shown) + "|"
    assert at + len(shown) == len(data)
    rows = {
        name: row.split(" | ")
        for name, row in re.findall(r"^\| `?(tilt_\w+|λ)`? \| (.*) \|$", text, flags=re.MULTILINE)
    }
    entries = [int.from_bytes(data[i : i + 8], "little", signed=True) for i in range(len(data) - 96, len(data), 8)]
    assert [*map(int, rows["tilt_exponent"]), *map(int, rows["tilt_mantissa"])] == entries
    assert [float(number) for number in rows["λ"]] == [
        m * 2.0**e for e, m in zip(entries[:6], entries[6:], strict=True)
    ]


def test_the_float32_table_agrees_with_the_table_of_results():
    """Real arithmetic, `exponential-moment` with its default options."""
    ours = re.findall(r"^\| `(\w+)` \| exponential-moment \| ([\d.]+) ", text_of("docs/float32.md"), flags=re.MULTILINE)
    table = dict(
        re.findall(r"^\| `(max\w+)` \|(?:[^|]*\|){3} ([\d.]+) \|", text_of("docs/results.md"), flags=re.MULTILINE)
    )
    assert len(ours) == 12
    assert [number for _, number in ours] == [table[model] for model, _ in ours]


def test_the_keys_of_a_verdict_in_json_are_those_of_the_tutorial(tmp_path, capsys):
    model = str(ROOT / "examples" / "max4_v16.pt")
    main(["prove", model, "--task", "max-of-k", "--strategy", "cubic", "--out", str(tmp_path / "a.cert"), "--json"])
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    (line,) = re.findall(r"^With `--json` the last line .*$", text_of("docs/tutorial.md"), flags=re.MULTILINE)
    assert set(printed) == set(re.findall(r"`(\w+)`", line))


def test_the_table_of_results_is_that_of_the_shipped_certificates():
    """`exponential-moment` aside, whose shipped certificates were made with other options."""
    table = text_of("docs/results.md").partition("## Within")[0]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    strategies = rows[0][1:]
    compared = 0
    for model, *cells in rows[2:]:
        for strategy, cell in zip(strategies, cells, strict=True):
            path = ROOT / "certificates" / f"{model}.{strategy}.cert"
            if strategy == "exponential-moment" or not path.is_file():
                continue
            data = path.read_bytes()
            claim = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["claim"]
            millionths = 10**6 * int(claim["correct"]) // int(claim["total"])
            assert cell == f"0.{millionths:06d}", path.name
            compared += 1
    assert compared > 30
