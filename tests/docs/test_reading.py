"""The way to read one certificate is short, and what a rule needs is what it imports."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from reading import closure, files_for  # noqa: E402
from trusted_lines import APART, code_lines, trusted_files  # noqa: E402

from pessimal.kernel.rules import HOMES  # noqa: E402

PACKAGE = ROOT / "src" / "pessimal"


@cache
def lines_of(path: Path) -> int:
    return code_lines(path.read_text(encoding="utf-8"))


def lines_for(rule: str) -> int:
    return sum(lines_of(path) for path in files_for(HOMES[rule][0]))


TRUSTED = {name for name, *_ in trusted_files()}


def test_position_minima_take_at_most_2200_lines_to_read():
    assert lines_for("position-minima") <= 2200


@pytest.mark.parametrize("rule", sorted(HOMES))
def test_what_is_to_be_read_for_a_rule_is_all_trusted_and_no_other_rule(rule):
    files = {path.relative_to(PACKAGE).as_posix() for path in files_for(HOMES[rule][0])}
    assert files <= TRUSTED
    home = HOMES[rule][0].rpartition(".")[0].split(".")[0] or HOMES[rule][0]
    rules = {name for name in files if name.startswith("kernel/rules/")} - {"kernel/rules/interface.py"}
    assert all(name.startswith(f"kernel/rules/{home}") for name in rules), rules
    # Comparisons are two theorems, a search and an order of rivals, over one tree.
    assert lines_for(rule) <= (3230 if rule == "comparisons" else 2900)


def test_imports_of_imports_are_followed():
    files = {path.name for path in closure(PACKAGE / "kernel" / "counting" / "minima.py")}
    assert {"minima.py", "program.py", "machine.py", "interface.py"} <= files


READ = """
import sys
from pathlib import Path
from pessimal.kernel.check import check
from pessimal.spec.weight_file import read_weights
stem, strategy, published = sys.argv[1:]
weights = read_weights(Path("weights", f"{stem}.safetensors").read_bytes())
assert check(Path("certificates", f"{stem}.{strategy}.cert").read_bytes(), weights).verified
assert any(name.startswith("pessimal.kernel.rules.published.") for name in sys.modules) == (published == "yes")
assert "pessimal.kernel.model.rounding" not in sys.modules
"""


@pytest.mark.parametrize(("strategy", "published"), [("exponential-moment", "no"), ("cubic", "yes")])
def test_published_rules_are_read_when_a_certificate_names_one(strategy, published):
    command = [sys.executable, "-c", READ, "max5_v64_seed50", strategy, published]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)


def test_the_kernel_has_at_most_twelve_places():
    """Files and folders directly in `kernel/`; `rules/` is one of them and holds rules and their interface only."""
    kernel = [
        path for path in (PACKAGE / "kernel").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    ]
    assert len([path for path in kernel if path.name != "__init__.py"]) <= 12
    homes = {module.split(".")[0] for module, _ in HOMES.values()}
    rules = {path.stem for path in (PACKAGE / "kernel" / "rules").iterdir() if not path.name.startswith("__")}
    assert rules == homes | {"interface"}
    assert APART == "kernel/rules/published/"
