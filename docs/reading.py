"""What has to be read for one rule: the files that its own file imports when it is loaded, claim, model and check.

Imports inside functions are not followed: the radii of float32 executions and the counting of operations are read
where they are asked for. Lines are counted as `trusted_lines.py` counts them.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
ALWAYS = ("spec/claim.py", "spec/model.py", "kernel/check.py")


def file_of(module: str) -> Path | None:
    """The file of a module of the package, or None for other names."""
    path = SOURCE.joinpath(*module.split("."))
    for found in (path / "__init__.py", path.with_suffix(".py")):
        if found.is_file():
            return found
    return None


@cache
def imported(path: Path) -> tuple[Path, ...]:
    """Files of the package that a file imports when it is loaded."""
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[Path]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("pessimal."):
            continue
        for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
            found = file_of(str(name))
            if found is not None:
                yield found


def closure(start: Path) -> set[Path]:
    """A file and everything it imports, directly or not."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported(path)
    return found


def files_for(module: str) -> list[Path]:
    """The files to read for the rule in a module below `kernel/rules`."""
    package = SOURCE / "pessimal"
    rule = package / "kernel" / "rules" / Path(*module.split(".")).with_suffix(".py")
    return sorted(closure(rule) | {package / name for name in ALWAYS})
