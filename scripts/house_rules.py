"""Rules of the house that no linter knows: file and function lengths, names, no assert in trusted code, no litter."""

import ast
import subprocess
import sys
from pathlib import Path

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_BYTES = 500, 60, 200_000
FORBIDDEN_STEMS = {"utils", "misc", "helpers"}
TRUSTED = ("src/pessimal/spec/", "src/pessimal/kernel/", "reference/")


def complaints_about(path: str, text: str) -> list[str]:
    """What one Python file of the package does wrong."""
    found = []
    if text.count("\n") > MAX_FILE_LINES:
        found.append(f"{path}: more than {MAX_FILE_LINES} lines")
    if Path(path).stem in FORBIDDEN_STEMS:
        found.append(f"{path}: a module needs a name that says what it holds")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(f"{path}:{node.lineno}: {node.name} has {length} lines")
        if isinstance(node, ast.Assert) and path.startswith(TRUSTED):
            found.append(f"{path}:{node.lineno}: assert in trusted code, which python -O removes")
    return found


def main() -> int:
    """Print every complaint; the exit code is whether there was one."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=False).stdout.split()
    found = []
    for name in listed:
        path = Path(name)
        if not path.is_file():
            continue
        if path.stat().st_size > MAX_BYTES and not name.startswith(("weights/", "certificates/")):
            found.append(f"{name}: larger than {MAX_BYTES} bytes")
        proofs = name.startswith("formal/") and path.suffix in {".v", ".ml"}
        if proofs and path.read_text().count("\n") > MAX_FILE_LINES:
            found.append(f"{name}: more than {MAX_FILE_LINES} lines")
        if name.startswith(("src/", "reference/")) and path.suffix == ".py":
            found += complaints_about(name, path.read_text())
    print("\n".join(found) or f"house rules hold for {len(listed)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
