"""The Python in the documents runs, and gives the numbers that stand beside it."""

import re
from pathlib import Path

import pytest

import pessimal as ps

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "weights" / "max4_v64_seed104.safetensors"


def blocks(name):
    """Python code of a document."""
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)


def run(code, capsys, monkeypatch):
    """Names and output of a block, run where the weights are found."""
    monkeypatch.chdir(ROOT)
    names = {"__name__": "document"}
    exec(compile(code, "document", "exec"), names)  # noqa: S102 - our own documents
    return names, capsys.readouterr().out


def test_the_first_example_of_the_readme_prints_what_stands_below_it(capsys, monkeypatch):
    """All of it but the digests, which are cut."""
    (code,) = blocks("README.md")
    _, out = run(code, capsys, monkeypatch)
    after = (ROOT / "README.md").read_text(encoding="utf-8").partition(code)[2]
    printed = re.findall(r"^    (.+)$", after, flags=re.MULTILINE)[:2]
    for line, shown in zip(out.splitlines(), printed, strict=True):
        assert re.fullmatch(re.escape(shown).replace(r"\.\.\.", "[0-9a-f]+"), line)


def test_python_of_the_tutorial_proves_and_checks(capsys, monkeypatch):
    """The interface in five lines."""
    _, out = run(blocks("docs/tutorial.md")[0], capsys, monkeypatch)
    assert out.splitlines()[1].startswith("s VERIFIED ")


@pytest.mark.filterwarnings("ignore")
def test_the_strategy_of_the_tutorial_gives_the_number_beside_it(capsys, monkeypatch):
    """A class that anyone may paste."""
    names, _ = run(blocks("docs/tutorial.md")[1], capsys, monkeypatch)
    weights = ps.load_weights(MODEL)
    proof = ps.prove(weights, ps.MaxOfK(k=4, d_vocab=64), names["OneTilt"]())
    assert f"it certifies {proof.claim.correct:,} sequences" in (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    assert ps.check(proof, weights)
