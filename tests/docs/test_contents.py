"""Headers tell the truth: every public name of a module is listed under `Contents:`, and names in backticks exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "pessimal"
MODULES = sorted(PACKAGE.rglob("*.py"))
DEFINED = ast.FunctionDef | ast.ClassDef


def public(tree: ast.Module) -> tuple[list[str], list[str]]:
    """Functions and classes; constants."""
    defined = [node.name for node in tree.body if isinstance(node, DEFINED)]
    constants = []
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            constants += [name.id for name in names if isinstance(name, ast.Name)]
    return [[name for name in some if not name.startswith("_")] for some in (defined, constants)]


def exported(tree: ast.Module) -> set[str]:
    """Names of `__all__`, which may come from elsewhere."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def listed(docstring: str) -> list[str]:
    """The names before the dashes of the lines under `Contents:`."""
    found = []
    for line in docstring.partition("Contents:\n")[2].splitlines():
        if re.match(r"    \S.*—", line):
            found += [name.strip() for name in re.split(r",| and ", line.partition("—")[0]) if name.strip()]
    return found


def complaints(path: Path, text: str) -> list[str]:
    """What the header of one module leaves out, or makes up."""
    tree = ast.parse(text)
    docstring = ast.get_docstring(tree) or ""
    defined, constants = public(tree)
    names = listed(docstring)
    if path.name == "__init__.py":
        if "Contents:" not in docstring:
            return []
        files = {other.name for other in path.parent.glob("*.py")} - {"__init__.py"}
        files |= {f"{other.name}/" for other in path.parent.iterdir() if (other / "__init__.py").is_file()}
        known = files | {"templates/"} | set(defined) | set(constants)
        return [f"missing {name}" for name in sorted(files - set(names))] + [
            f"no such file {name}" for name in names if re.search(r"[./]", name) and name not in known
        ]
    if "Contents:" not in docstring:
        return ["no Contents"] if len(defined) > 1 else []
    here = set(defined) | set(constants) | exported(tree)
    return [f"missing {name}" for name in defined if name not in names] + [
        f"no such name {name}" for name in names if re.fullmatch(r"\w+", name) and name not in here
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_header_lists_every_public_name_and_no_other(path):
    assert complaints(path, path.read_text(encoding="utf-8")) == []


def test_a_header_that_leaves_out_or_makes_up_a_name_is_complained_about():
    text = '"""Things.\n\nContents:\n    one — a thing.\n    three — none.\n"""\ndef one(): ...\ndef two(): ...\n'
    assert complaints(PACKAGE / "things.py", text) == ["missing two", "no such name three"]
    assert complaints(PACKAGE / "things.py", '"""Things."""\ndef one(): ...\ndef two(): ...\n') == ["no Contents"]


FILES = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts}
# Files of other projects, of the user, or made by commands; and forms of names.
ELSEWHERE = re.compile(
    r"[*{}<>$]|NAME|FILE|^(config|results|score|ledger|index|evidence|notice|rows)\b|^(model|machine)\."
)


def backticked(text: str) -> list[str]:
    """Names of files in backticks, docstrings and comments alike."""
    return [name for name in re.findall(r"`([\w./\-]+\.(?:py|md|v|toml|ml))`", text) if not ELSEWHERE.search(name)]


def missing_files(text: str) -> list[str]:
    """Backticked files that are nowhere in the tree."""
    return [name for name in backticked(text) if not any(f"/{known}".endswith(f"/{name}") for known in FILES)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_named_in_a_module_exist(path):
    assert missing_files(path.read_text(encoding="utf-8")) == []


DOTTED = re.compile(r"`((?:kernel|spec|strategies|search|proving|circuits|analysis|runs|train|report)(?:\.\w+)+)`")


def unresolved(text: str) -> list[str]:
    """Dotted names in backticks, below the package, that no module or definition has."""
    found = []
    for name in DOTTED.findall(text):
        parts = name.split(".")
        for n in range(len(parts), 0, -1):
            home = PACKAGE.joinpath(*parts[:n])
            source = home / "__init__.py" if home.is_dir() else home.with_suffix(".py")
            if source.is_file():
                words = set(re.findall(r"\w+", source.read_text(encoding="utf-8")))
                if not set(parts[n:]) <= words:
                    found.append(name)
                break
        else:
            found.append(name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_dotted_names_in_a_module_resolve(path):
    assert unresolved(path.read_text(encoding="utf-8")) == []


def test_names_that_do_not_resolve_are_found():
    assert missing_files("see `counting-proofs-of-old.md` and `model.py`") == ["counting-proofs-of-old.md"]
    assert unresolved("`kernel.cost.exponential_moment_cost`, `kernel.cost.Cost`, `kernel.no_such_room`") == [
        "kernel.cost.exponential_moment_cost",
        "kernel.no_such_room",
    ]
