"""Strategies of other people: found by a place or an entry point, refused in one sentence, and only provers."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pessimal as ps
from pessimal.cli.main import main
from pessimal.proving import plugins
from pessimal.testing import check_strategy, safetensors_bytes, tiny_weights

TASK = ps.MaxOfK(3, 5)
BASE = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from pessimal.kernel.hints import Hints
from pessimal.strategies import AbstractStrategy, Cubic

@dataclass(frozen=True)
class Mine(AbstractStrategy):
    name: ClassVar[str] = "mine"
    rule: ClassVar[str] = "exponential-moment"
    asymptotic: ClassVar[str] = "O(1)"
    source: ClassVar[str] = "a test"
    summary: ClassVar[str] = "one tilt"
    exponent: int = 3

    def hints(self, weights, question, progress):
        v = question.task.d_vocab
        shape = (1, v * (v + 1) // 2)
        tilts = {"tilt_mantissa": np.ones(shape, np.int64), "tilt_exponent": np.full(shape, self.exponent)}
        return Hints({"rival": "centred", "position": "each", "near": v}, tilts)
"""
# What a class says and does differently.
CLASSES = """
class Nothing: ...
class Abstract(AbstractStrategy): ...
class Plain(AbstractStrategy):
    name = rule = "cubic"
    def hints(self, *_): ...
@dataclass(frozen=True)
class Nameless(AbstractStrategy):
    def hints(self, *_): ...
@dataclass(frozen=True)
class Sideways(Mine):
    name = "../mine"
@dataclass(frozen=True)
class Unruly(Mine):
    rule = "wishing"
@dataclass(frozen=True)
class Picky(Mine):
    def __post_init__(self):
        raise KeyError("no\\nway")
@dataclass(frozen=True)
class Failing(Mine):
    def hints(self, *_):
        return 1 / 0
@dataclass(frozen=True)
class Leaving(Mine):
    def hints(self, *_):
        raise SystemExit(0)
@dataclass(frozen=True)
class Wordy(Mine):
    def hints(self, *_):
        return "trust me"
@dataclass(frozen=True)
class Garbage(Mine):
    def hints(self, *_):
        return Hints({"rival": "centred", "position": "each", "near": object()}, {"tilt_mantissa": None})
function = Mine
number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = tiny_weights(0)
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(dict(weights.tensors)))
    (tmp_path / "mine.py").write_text(BASE + CLASSES)
    return tmp_path


def run(capsys, line):
    code = main(line.split())
    out = capsys.readouterr()
    return code, out.out.splitlines(), out.err


def test_a_class_in_a_file_proves_and_keeps_to_the_rules_of_strategies(folder, capsys):
    strategy = ps.strategy("mine.py:Mine", exponent=4)
    assert strategy.exponent == 4
    assert type(strategy) is type(ps.strategy(str(folder / "mine.py") + ":Mine"))
    check_strategy(strategy)
    code, out, err = run(capsys, "prove m.safetensors --strategy mine.py:Mine --option exponent=4")
    assert code == 0
    assert out[0].startswith("s VERIFIED ")
    assert "a strategy of your own ran in this process; `pessimal check` runs without it" in err
    (folder / "mine.py").unlink()
    assert run(capsys, "check m.mine.cert --weights m.safetensors")[1] == out


def test_a_file_that_changed_is_read_again_and_may_import_its_neighbours(folder):
    (folder / "neighbour_of_mine.py").write_text("EXPONENT = 2")
    (folder / "mine.py").write_text(
        BASE.replace("= 3", "= EXPONENT").replace("from d", "from neighbour_of_mine import EXPONENT\nfrom d", 1)
    )
    assert ps.strategy("mine.py:Mine").exponent == 2
    (folder / "mine.py").write_text(BASE.replace("= 3", "= 77"))
    assert ps.strategy("mine.py:Mine").exponent == 77
    assert str(folder) not in sys.path


BAD = [
    ("gone.py:Mine", "gone.py: No such file or directory"),
    ("mine.py", "'mine.py' is not a place such as path/file.py:name"),
    ("mine.py:Other", "mine.py has no Other; it defines Mine, Nothing, Abstract"),
    ("mine.py:number", "mine.py:number is not a strategy: it is no class that derives AbstractStrategy"),
    ("mine.py:Nothing", "mine.py:Nothing is not a strategy: it is no class that derives AbstractStrategy"),
    ("mine.py:Abstract", "mine.py:Abstract is not a strategy: it does not define hints"),
    ("mine.py:Plain", "mine.py:Plain is not a strategy: it is no dataclass"),
    ("mine.py:Nameless", "mine.py:Nameless is not a strategy: it has no name"),
    ("mine.py:Sideways", "mine.py:Sideways: a strategy's name has letters, digits and . + _ -, not '../mine'"),
    ("mine.py:Unruly", "mine.py:Unruly appeals to the rule 'wishing'; known: band, "),
    ("raises.py:Mine", "importing raises.py failed: ValueError: two lines (raises.py line 2)"),
    ("exits.py:Mine", "importing exits.py failed: SystemExit: 0 (exits.py line 1)"),
    ("broken.py:Mine", "importing broken.py failed: SyntaxError: "),
    ("folder.py:Mine", "folder.py is not a file"),
    ("mine.py:Picky", "strategy mine.py:Picky failed: KeyError: 'no\\\\nway' (mine.py line "),
]
FAILS = [
    ("mine.py:Failing", "strategy mine failed: ZeroDivisionError: division by zero (mine.py line "),
    ("mine.py:Leaving", "strategy mine failed: SystemExit: 0 (mine.py line "),
    ("mine.py:Wordy", "strategy mine returned str, not Hints"),
]


@pytest.mark.parametrize(("place", "sentence"), [*BAD, *FAILS])
def test_what_is_no_strategy_is_one_sentence(folder, capsys, place, sentence):
    (folder / "raises.py").write_text("\nraise ValueError('two\\nlines')")
    (folder / "exits.py").write_text("raise SystemExit(0)")
    (folder / "broken.py").write_text("class")
    (folder / "folder.py").mkdir()
    modules = set(sys.modules)
    code, out, err = run(capsys, f"prove m.safetensors --strategy {place} --json")
    assert code == 2
    assert json.loads(out[-1])["verdict"] == "ERROR"
    said = [line for line in err.splitlines() if not re.match("pessimal: assumed", line)]
    assert len(said) == 1
    assert said[0].startswith(f"pessimal: {sentence}".replace("\\\\", "\\"))
    if place.startswith(("raises", "exits", "broken")):
        assert not {name for name in set(sys.modules) - modules if name.startswith("plugin_")}
    if (place, sentence) in BAD:
        with pytest.raises(ps.StrategyError):
            ps.strategy(place)


def test_garbage_for_hints_is_refused(folder, capsys):
    code, _, err = run(capsys, "prove m.safetensors --strategy mine.py:Garbage")
    assert code == 2
    assert "mine refuses: " in err or "mine failed" in err or "option" in err
    assert not list(folder.glob("*.cert"))


def test_unknown_names_and_options_are_refused(folder):
    with pytest.raises(ps.StrategyError, match="has no option 'x'; its options: exponent"):
        ps.strategy("mine.py:Mine", x=3)
    with pytest.raises(ps.StrategyError, match="unknown strategy 'magic'"):
        ps.strategy("magic")
    assert ps.strategy("band", near=3) == ps.Band(near=3)


def test_an_installed_package_offers_strategies_by_entry_points(folder, monkeypatch, capsys):
    monkeypatch.syspath_prepend(folder)
    (folder / "offered_by_me.py").write_text(BASE + CLASSES)
    info = folder / "offered-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[{plugins.GROUP}]\nmine = offered_by_me:Mine\nbad = offered_by_me:Gone\nband = offered_by_me:Mine\n"
    )
    importlib.invalidate_caches()
    assert ps.strategy("mine", exponent=1).exponent == 1
    assert run(capsys, "prove m.safetensors --strategy mine --out a.cert")[0] == 0
    with pytest.raises(ps.StrategyError, match="strategy bad of offered_by_me:Gone failed: AttributeError"):
        ps.strategy("bad")
    # Names of ours stay ours.
    assert ps.strategy("band") == ps.Band()


LYING = (
    BASE
    + """
from pessimal.kernel.rules.interface import CountBound

@dataclass(frozen=True)
class Liar(Cubic):
    name = "liar"
    def hints(self, weights, question, progress):
        # Every rule of this process now says that nothing is wrong.
        from pessimal.kernel.rules.published.cubic import CubicInstance
        CubicInstance.bound = lambda *_: CountBound.of({(0, 0): 0}, decided=True)
        return super().hints(weights, question, progress)
"""
)


def test_a_lying_strategy_verifies_nothing_false(folder):
    """It runs in the process that proves, and can make that one say anything; whoever checks does not run it."""
    (folder / "liar.py").write_text(LYING)
    weights = tiny_weights(1, planted=False)
    (folder / "m.safetensors").write_bytes(safetensors_bytes(dict(weights.tensors)))
    command = [sys.executable, "-m", "pessimal"]
    env = {"PYTHONPATH": str(Path(ps.__file__).parents[1]), "PATH": ""}
    words = ["prove", "m.safetensors", "--strategy", "liar.py:Liar", "--out", "a.cert"]
    done = subprocess.run([*command, *words], cwd=folder, env=env, check=False, capture_output=True, timeout=120)
    assert b"a strategy of your own ran in this process" in done.stderr
    words = ["check", "a.cert", "--weights", "m.safetensors"]
    done = subprocess.run([*command, *words], cwd=folder, env=env, check=False, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, b"s REJECTED reason=bound-too-low\n")


@pytest.mark.parametrize("exponent", [-900, -3, 0, 3, 900])
def test_whatever_it_advises_no_more_is_proved_than_is_true(folder, exponent):
    weights = tiny_weights(0)
    proof = ps.prove(weights, TASK, ps.strategy("mine.py:Mine", exponent=exponent))
    assert proof.claim.correct <= ps.prove(weights, TASK, ps.BruteForce()).claim.correct
