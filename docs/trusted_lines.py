"""Refresh the generated blocks of the documentation: lines to trust, tamper matrix, mutation score.

    python docs/trusted_lines.py           rewrite the blocks
    python docs/trusted_lines.py --check   exit 1 if a block is stale

A block stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`. A line counts as code if it holds a token that is
neither a comment nor part of a docstring; blank lines do not count.
"""

import ast
import io
import json
import re
import sys
import tokenize
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from reading import files_for
from tamper_matrix import tamper_block

from pessimal.kernel.rules import HOMES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "pessimal"
TRUSTED = ("spec", "kernel")
# Read when a certificate names one of its rules, so that whoever checks others need not trust it.
APART = "kernel/rules/published/"
REFERENCE, FORMAL = ROOT / "reference", ROOT / "formal"
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
# What the four layers of trust rest on, beside the lines of this tree.
RESTS = (
    """Coq's kernel, its virtual machine and 63-bit integers, the axioms of `formal/assumptions.txt`; \
that the statement is the question, and the integers of the instance are the weights""",
    """the theorems; Coq's extraction, its replacements by Zarith, OCaml, SHA-256 of `libsha`; the readers""",
    """the theorems as the rules' docstrings prove them; CPython""",
    """the same theorems; CPython, NumPy, FLINT, IEEE 754""",
)
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


def uncommented_lines(paths: list[Path]) -> int:
    """Lines of Coq or OCaml that hold more than comments, which may be nested."""
    found = 0
    for path in paths:
        depth, text = 0, ""
        for part in re.split(r"(\(\*|\*\))", path.read_text(encoding="utf-8")):
            depth += {"(*": 1, "*)": -1}.get(part, 0)
            text += part if not depth and part not in {"(*", "*)"} else "\n" * part.count("\n")
        found += sum(bool(line.strip()) for line in text.splitlines())
    return found


def layers_block() -> str:
    """Who says so, what the verdict rests on, and how many lines of this tree that is."""
    theories = FORMAL / "theories"
    statement = uncommented_lines([theories / "Statement.v"])
    proofs = uncommented_lines(sorted(theories.glob("*.v"))) - statement
    extraction = uncommented_lines([*FORMAL.glob("extraction/*.v"), *FORMAL.glob("extraction/*.ml")])
    readers = uncommented_lines(sorted(FORMAL.glob("ocaml/*.ml")))
    reference, kernel = (sum(code for _, code, _ in rows) for rows in (reference_files(), trusted_files()))
    statement_words = f"{statement} of `Statement.v`, and `dyadic`, `entry`, `real_model` of `Tables.v`"
    extracted_words = f"{extraction} of `formal/extraction/`, {readers} of `formal/ocaml/`"
    rows = [
        ("theorem in Coq's kernel", "`make formal`", RESTS[0], statement_words,
         f"{proofs:,} lines of proofs and evaluators need no reading"),
        ("extracted checker", "`formal/build/pessimal-verified`", RESTS[1], extracted_words, "both files to a verdict"),
        ("second checker", "`python3 reference/check.py`", RESTS[2], f"{reference:,} of `reference/`", "integers only"),
        ("kernel", "`pessimal check`", RESTS[3], f"{kernel:,} of `spec/` and `kernel/`", "all rules and questions"),
    ]  # fmt: skip
    head = ["| who says so | command | rests on | lines of this tree to read | remark |", "|---|---|---|---|---|"]
    return "\n".join([*head, *("| " + " | ".join(row) + " |" for row in rows)])


def trusted_for_most() -> list[tuple[str, int, int]]:
    """Without the published proofs."""
    return [row for row in trusted_files() if not row[0].startswith(APART)]


def lines_block() -> str:
    """The table of `docs/trusted-base.md`."""
    return lines_table(trusted_for_most())


def published_block() -> str:
    """The table of the published proofs there."""
    return lines_table([row for row in trusted_files() if row[0].startswith(APART)])


def reference_block() -> str:
    """The table of the reference checker there."""
    return lines_table(reference_files())


def lines_table(rows: list[tuple[str, int, int]]) -> str:
    """Files with their lines, and the sums."""
    total = [f"| **total** | **{sum(r[1] for r in rows):,}** | **{sum(r[2] for r in rows):,}** |"]
    body = [f"| `{name}` | {code} | {lines} |" for name, code, lines in rows]
    return "\n".join(["| file | lines of code | all lines |", "|---|---:|---:|", *body, *total])


def reading_range_block() -> str:
    """The sentence of `README.md` on what one certificate needs."""
    sums = {name: sum(code_lines(path.read_text(encoding="utf-8")) for path in files_for(module))
            for name, (module, _) in HOMES.items()}  # fmt: skip
    least, most = min(sums, key=sums.__getitem__), max(sums, key=sums.__getitem__)
    return (
        f"{sums[least]:,} (`{least}`) to {sums[most]:,} (`{most}`) lines of code: what is claimed, about which"
        " function, one theorem with what it imports, and the check"
        " ([the way through](docs/trusted-base.md#lines-to-read))."
    )


def reading_block() -> str:
    """By rule: how many files and lines of code there are to read for one certificate, and the rule's own."""
    head = ["| rule | files | lines of code | of them in `kernel/rules/` |", "|---|---:|---:|---:|"]
    body = []
    for name, (module, _) in sorted(HOMES.items()):
        lines = {path: code_lines(path.read_text(encoding="utf-8")) for path in files_for(module)}
        own = sum(code for path, code in lines.items() if "rules" in path.parts)
        body.append(f"| `{name}` | {len(lines)} | {sum(lines.values()):,} | {own} |")
    return "\n".join([*head, *body])


def sentence_block() -> str:
    """The sentence of `README.md`."""
    rows = trusted_for_most()
    spec, kernel = (sum(code for name, code, _ in rows if name.startswith(layer)) for layer in TRUSTED)
    apart = sum(code for _, code, _ in trusted_files()) - spec - kernel
    return (
        f"{spec + kernel:,} lines of code in {len(rows)} files: {spec:,} in `spec/`, {kernel:,} in `kernel/`"
        f" ({sum(lines for *_, lines in rows):,} lines with the theorems and their proofs);"
        f" {apart} more if the certificate is one of the published proofs, whose files are not read otherwise."
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
    ("README.md", "reading-range", reading_range_block),
    ("docs/trusted-base.md", "layers", layers_block),
    ("docs/trusted-base.md", "trusted-lines", lines_block),
    ("docs/trusted-base.md", "published-lines", published_block),
    ("docs/trusted-base.md", "reading", reading_block),
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
