"""Rules of the house that no linter knows: lengths, names, proofs, no assert in trusted code, bounds rounded down.

A number is rounded for print in one module alone, `report/numbers.py`, whose functions say what the number is: `down`
and `up` for bounds, `nearest` for what is none. The last is refused anything that is called a bound.

A rule, and what evaluates its terms, has one marked proof: a paragraph that begins with `*Proof.*`, up to a `∎` at the
end of one, or a line that says of which section of a page of `docs/` it is.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_BYTES = 500, 60, 200_000
FORBIDDEN_STEMS = {"utils", "misc", "helpers"}
PRINTING = ("src/pessimal/cli/", "src/pessimal/report/", "src/pessimal/reproductions/", "docs/", "scripts/")
NUMBERS = "src/pessimal/report/numbers.py"
ROUNDING = re.compile(r"\.\d+[eEfFgGn%]?$")
TEMPLATE = re.compile(r"\.\d+[eEfFgGn%](}|$)")
PERCENT = re.compile(r"%[-+ #0-9]*\.\d+[eEfFgG]")
SCRIPT = re.compile(r"\.(toFixed|toPrecision)\(")
BOUND = re.compile(r"bound|certified|proved|accuracy_lower|at_least|correct\b|moment_20|moment_100|box_", re.IGNORECASE)
TRUSTED = ("src/pessimal/spec/", "src/pessimal/kernel/", "reference/")
RULES, EVALUATORS = "src/pessimal/kernel/rules/", "src/pessimal/kernel/counting/"
# Of the evaluators' room, what only reads numbers of a certificate, or hands tables to those that evaluate them.
READERS = {"__init__.py", "live.py", "tilts.py"}
MARK, END = "*Proof.*", "∎"
PROVED = re.compile(r"(?:\A|\n\n)\*Proof\.\* (?!of `?docs/).*?∎(?=\n\n|\s*\Z)", re.DOTALL)
CITED = re.compile(r"(?:\A|\n\n)\*Proof\.\* of `docs/[\w./-]+\.md#[\w-]+`(?=\n\n|\s*\Z)")
THEOREM = re.compile(r"(?:\A|\n\n)Theorem\b")
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


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


def proof_complaints(path: str, text: str) -> list[str]:
    """Where a file of the package has a theorem without a proof, a proof that is not marked as one, or two of them."""
    tree = ast.parse(text)
    nodes = [node for node in ast.walk(tree) if isinstance(node, DOCUMENTED)]
    docstrings = [(getattr(node, "lineno", 1), ast.get_docstring(node) or "") for node in nodes]
    found = []
    for line, docstring in docstrings:
        marks, marked = docstring.count(MARK), len(PROVED.findall(docstring) + CITED.findall(docstring))
        if marks != marked or docstring.count(END) > marked:
            found.append(f"{path}:{line}: a proof is a paragraph from {MARK} to {END}, or `{MARK} of` a page of docs/")
        elif marks > 1 or (THEOREM.search(docstring) and not marks):
            found.append(f"{path}:{line}: {marks} proofs; a theorem has one")
    marks = sum(docstring.count(MARK) for _, docstring in docstrings)
    if _needs_a_proof(path, tree) and (marks != 1 or MARK not in (ast.get_docstring(tree) or "")):
        found.append(f"{path}: a rule, and an evaluator, has one marked proof, in the header; here are {marks}")
    return found


def _needs_a_proof(path: str, tree: ast.Module) -> bool:
    """Whether a file holds a rule or an evaluator."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    rules = [node for node in classes if "AbstractRule" in map(ast.unparse, node.bases)]
    evaluates = path.startswith(EVALUATORS) and Path(path).name not in READERS
    return bool(rules and path.startswith(RULES)) or evaluates


def roundings(path: str, text: str) -> list[str]:
    """Where a file that prints numbers rounds one itself, or rounds a bound to nearest."""
    if not path.startswith(PRINTING) or path == NUMBERS:
        return []
    if path.endswith(".js"):
        lines = enumerate(text.splitlines(), 1)
        return [f"{path}:{n}: rounds, and does not say `no bound`" for n, line in lines
                if SCRIPT.search(line) and "no bound" not in line]  # fmt: skip
    found = []
    for node in ast.walk(ast.parse(text)):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            spec = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "0"
                for part in getattr(node.format_spec, "values", [])
            )
            if ROUNDING.search(spec):
                found.append(f"{where}: {spec} rounds to nearest; say what the number is with report.numbers")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
            if PERCENT.search(str(node.left.value)):
                found.append(f"{where}: % rounds to nearest; say what the number is with report.numbers")
        elif isinstance(node, ast.Call):
            found += [f"{where}: {words}" for words in _call_complaints(node)]
    return found


def _call_complaints(call: ast.Call) -> list[str]:
    """What is wrong with one call."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    arguments = " ".join(ast.unparse(argument) for argument in call.args[:1])
    if name == "nearest" and BOUND.search(arguments):
        return [f"nearest({arguments}) looks like a bound: down or up"]
    if name == "round" and BOUND.search(arguments):
        return [f"round({arguments}) rounds a bound to nearest"]
    formats = [*call.args[1:2], call.func.value if isinstance(call.func, ast.Attribute) else None]
    if name == "format" and any(TEMPLATE.search(str(getattr(one, "value", ""))) for one in formats):
        return ["format rounds to nearest; say what the number is with report.numbers"]
    return []


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
        tests = name.startswith("tests/") and path.suffix == ".py"
        if (proofs or tests) and path.read_text().count("\n") > MAX_FILE_LINES:
            found.append(f"{name}: more than {MAX_FILE_LINES} lines")
        if name.startswith(("src/", "reference/")) and path.suffix == ".py":
            found += complaints_about(name, path.read_text())
        if name.startswith("src/") and path.suffix == ".py":
            found += proof_complaints(name, path.read_text())
        if path.suffix in {".py", ".js"}:
            found += roundings(name, path.read_text())
    print("\n".join(found) or f"house rules hold for {len(listed)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
