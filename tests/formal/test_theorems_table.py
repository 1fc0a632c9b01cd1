"""Everything that docs/theorems.md names exists: theorems in Coq, files of the package, tests."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
THEORIES = ROOT / "formal" / "theories"
HEADINGS = ["claim", "in English", "Coq", "file", "test", "source"]
COQ = re.compile(r"(\w+\.v): (\w[\w']*)")


def table():
    """Rows of the table, as lists of cells."""
    lines = (ROOT / "docs" / "theorems.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("|")]
    assert cells[0] == HEADINGS
    return cells[2:]


ROWS = table()
each_row = pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def proves(source, name):
    return re.search(rf"^\s*(?:Theorem|Lemma) {re.escape(name)}\b.*?\bQed\.", source, re.MULTILINE | re.DOTALL)


def test_every_theorem_has_one_row_without_an_empty_cell():
    assert len(ROWS) >= 40
    assert all(len(row) == len(HEADINGS) and all(row) for row in ROWS)
    assert len({row[0] for row in ROWS}) == len(ROWS)


@each_row
def test_every_named_coq_theorem_is_proved_in_its_file(row):
    named = quoted(row[2])
    assert named or row[2].startswith("none")
    for words in named:
        file, name = COQ.fullmatch(words).groups()
        assert proves((THEORIES / file).read_text(encoding="utf-8"), name), words


@each_row
def test_every_named_file_of_the_package_is_there(row):
    folder = None
    names = [name for name in quoted(row[3]) if name.endswith(".py")]
    assert names
    for name in names:
        # A bare name lies beside the file before it.
        beside = ROOT / "src" / "pessimal" / name if "/" in name else folder / name
        assert beside.is_file(), name
        folder = beside.parent


def test_every_named_test_is_defined_in_its_file():
    before = None
    for row in ROWS:
        cell = row[4]
        names = quoted(cell)
        if cell.startswith("the same"):
            assert before is not None, row[0]
        else:
            before = None
        assert names or before, row[0]
        for name in names:
            file, _, test = name.partition("::")
            path = ROOT / file if file else before
            assert path.is_file(), name
            if test:
                assert re.search(rf"^def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE), name
            before = path


def test_a_theorem_that_is_not_there_is_noticed():
    source = (THEORIES / "MeanDiff.v").read_text(encoding="utf-8")
    assert proves(source, "chord")
    assert not proves(source, "chor")
    assert not proves(source, "published")  # a definition
