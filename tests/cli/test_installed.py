"""A package without a clone around it: what it says names only what an installed user has, and the demo works."""

import ast
import json
import re
from pathlib import Path

import pytest

import pessimal
from pessimal.cli import demo
from pessimal.cli.main import main
from pessimal.reproductions import run

PACKAGE = Path(pessimal.__file__).resolve().parent
ONLY_IN_A_CLONE = re.compile(r"constraints\.txt|\bdocs/|\bexperiments/|README|CONTRIBUTING|\bmake [a-z]+|\bscripts/")
OWNERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def said(path):
    """The texts of a module that somebody may read on a terminal: all but docstrings, with those of commands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, OWNERS) and node.body and isinstance(node.body[0], ast.Expr)
        if not (path.parent.name == "cli" and isinstance(node, ast.ClassDef))
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_hints_name_only_what_an_installed_user_has():
    """Where a clone is needed, the sentence says so."""
    found = [
        f"{path.relative_to(PACKAGE)}: {text}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for text in said(path)
        if ONLY_IN_A_CLONE.search(text) and "clone" not in text and " " in text
    ]
    assert found == []


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder without weights, as seen by a package without weights beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "a" / "b" / "c" / "demo.py"))
    monkeypatch.setattr(demo, "covering", lambda _: ["cubic", "exponential-moment"])
    return tmp_path


def test_the_demo_of_an_installed_package_shows_a_constructed_model(capsys, elsewhere):
    for proved in (2, 0):
        assert main(["demo", "--json"]) == 0
        out, err = capsys.readouterr()
        assert "no trained models are installed" in err
        assert "pessimal train max-of-k --out weights" in err
        assert err.count("s VERIFIED") == proved
        rows = json.loads(out.splitlines()[-1])["results"]
        assert {(row["weights"], row["total"]) for row in rows} == {(demo.CONSTRUCTED, "4096")}
    assert "cubic" in (elsewhere / "demo-out" / "report.html").read_text()


def test_the_demo_takes_any_folder_of_models(capsys, elsewhere):
    assert main(["demo"]) == 0
    (elsewhere / "mine").mkdir()
    (elsewhere / "demo-out" / f"{demo.CONSTRUCTED}.safetensors").rename(elsewhere / "mine" / "mine.safetensors")
    capsys.readouterr()
    assert main(["demo", "--weights", "mine", "--out", "other"]) == 0
    assert re.search(r"^mine +exponential-moment +1\.000000", capsys.readouterr().out, re.MULTILINE)
    (elsewhere / "empty").mkdir()
    assert main(["demo", "--weights", "empty"]) == 2
    assert capsys.readouterr().err == "pessimal: empty holds no safetensors files\n"


def test_a_configuration_that_only_a_clone_has_is_said_to_be_there(capsys, elsewhere, monkeypatch):
    monkeypatch.setattr(run, "__file__", str(elsewhere / "a" / "b" / "c" / "run.py"))
    assert main(["reproduce", "main-table"]) == 2
    assert "comes with a clone of the repository" in capsys.readouterr().err
