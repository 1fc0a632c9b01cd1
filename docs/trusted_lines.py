"""Refresh the generated blocks of the documentation: lines to trust, tamper matrix, mutation score.

    python docs/trusted_lines.py           rewrite the blocks
    python docs/trusted_lines.py --check   exit 1 if a block is stale

A block stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`. A line counts as code if it holds a token that is
neither a comment nor part of a docstring; blank lines do not count.
"""

import ast
import io
import json
import sys
import tokenize
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from tamper_matrix import tamper_block

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "pessimal"
TRUSTED = ("spec", "kernel")
REFERENCE = ROOT / "reference"
SCORE = ROOT / "tests" / "mutation" / "score.json"
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(text: str) -> int:
    """Lines of Python that are neither blank, comment nor docstring."""
    docstring: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            docstring |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - docstring)


def trusted_files() -> list[tuple[str, int, int]]:
    """Path below `src/pessimal`, lines of code and all lines of every trusted file."""
    rows = []
    for layer in TRUSTED:
        for path in sorted((PACKAGE / layer).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            rows.append((path.relative_to(PACKAGE).as_posix(), code_lines(text), text.count("\n")))
    return rows


def reference_files() -> list[tuple[str, int, int]]:
    """The same of the reference checker."""
    paths = sorted(REFERENCE.glob("*.py"))
    texts = [(path.name, path.read_text(encoding="utf-8")) for path in paths]
    return [(f"reference/{name}", code_lines(text), text.count("\n")) for name, text in texts]


def lines_block() -> str:
    """The table of `docs/trusted-base.md`."""
    return lines_table(trusted_files())


def reference_block() -> str:
    """The table of the reference checker there."""
    return lines_table(reference_files())


def lines_table(rows: list[tuple[str, int, int]]) -> str:
    """Files with their lines, and the sums."""
    total = [f"| **total** | **{sum(r[1] for r in rows):,}** | **{sum(r[2] for r in rows):,}** |"]
    body = [f"| `{name}` | {code} | {lines} |" for name, code, lines in rows]
    return "\n".join(["| file | lines of code | all lines |", "|---|---:|---:|", *body, *total])


def sentence_block() -> str:
    """The sentence of `README.md`."""
    rows = trusted_files()
    spec, kernel = (sum(code for name, code, _ in rows if name.startswith(layer)) for layer in TRUSTED)
    return (
        f"{spec + kernel:,} lines of code in {len(rows)} files: {spec} in `spec/`, {kernel:,} in `kernel/`"
        f" ({sum(lines for *_, lines in rows):,} lines with the theorems and their proofs)."
    )


def mutation_block() -> str:
    """Score of the mutation run, from `tests/mutation/score.json`.

    Keys read: `total`, `killed`, and `survivors`, a list of objects with `file`, `line`, `mutation`, `reason`.
    """
    if not SCORE.is_file():
        return "No score is recorded in this tree; `make mutation` writes `tests/mutation/score.json`."
    score = json.loads(SCORE.read_text(encoding="utf-8"))
    total, killed, survivors = score["total"], score["killed"], score.get("survivors", [])
    waiting = score.get("not_run", 0)
    later = f" {waiting} more, in files changed since, have not been judged yet." if waiting else ""
    lines = [f"{killed} of {total} mutants of `spec/` and `kernel/` were caught; {total - killed} survived.{later}", ""]
    if survivors:
        lines += ["| survivor | mutation | why it survives |", "|---|---|---|"]
    for row in survivors:
        words = (str(row.get(key, "")).replace("|", "\\|") for key in ("mutation", "reason"))
        lines.append(f"| `{row.get('file', '?')}:{row.get('line', '?')}` | " + " | ".join(words) + " |")
    return "\n".join(lines).rstrip()


BLOCKS = (
    ("README.md", "trusted-lines", sentence_block),
    ("docs/trusted-base.md", "trusted-lines", lines_block),
    ("docs/trusted-base.md", "reference-lines", reference_block),
    ("docs/trusted-base.md", "tamper", tamper_block),
    ("docs/trusted-base.md", "mutation", mutation_block),
)


def with_block(text: str, name: str, block: str) -> str:
    """The text with one block replaced; both markers must be there, once."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"the markers {begin} and {end} must each stand there once")
    head, rest = text.split(begin)
    return f"{head}{begin}\n{block}\n{end}{rest.split(end)[1]}"


def main() -> int:
    """Rewrite the blocks, or with `--check` only say which are stale."""
    stale = []
    for file, name, make in BLOCKS:
        path = ROOT / file
        old = path.read_text(encoding="utf-8")
        new = with_block(old, name, make())
        if new != old:
            stale.append(f"{file}: block {name}")
            if "--check" not in sys.argv[1:]:
                path.write_text(new, encoding="utf-8")
    print("\n".join(stale) or "the generated blocks are up to date")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
