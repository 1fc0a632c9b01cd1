"""Documents played: every block runs in a folder of its own, and what it prints is compared with what is shown.

A document is played in its own order in one folder, in which what the repository ships is reachable. Commands of
`pessimal` run in this process, Python blocks share one namespace.

What is shown has to be what is printed:

* below a command of a `console`, every line of its stdout, in order; lines of stderr may be left out;
* in a `text` block directly below a Python block, all that the block prints;
* in a comment after an expression, what it prints, or its value; after `>>>`, what doctest compares.

A command fails only if the refusal is shown. `MASKS` are the numbers that are not compared, and a digest may be cut.

Contents:
    play — a document, to what is wrong with it and all that it printed.
    Played — both.
    same_line — whether a line is shown as it is printed.
    unprinted_numbers — long numbers of the prose that no block printed.
"""

import ast
import contextlib
import doctest
import io
import json
import os
import re
import subprocess
import sys
import tokenize
import tomllib
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pessimal.cli.main import main
from pessimal.inputs import load_distribution, read_machine
from pessimal.proving.plugins import GROUP, load_object
from pessimal.runs.config import read_config
from support.command_lines import RUNS_HERE, simple_commands
from support.documents import ELSEWHERE, ROOT, SHELLS, Block, blocks_of, commands_of, prose_of

SHIPPED = ("weights", "certificates", "examples", "reference", "docs", "experiments")
# Numbers that differ from run to run: `3.2 s`, and `"seconds": 0.31` of a JSON object.
MASKS = (re.compile(r"(?<![\w.=/,])\d+(?:\.\d+)?(?= s(?:econds)?\b)"), re.compile(r'(?<="seconds": )[\d.e-]+'))
CUT = re.compile(r"(sha256:[0-9a-f]{4,63})\\\.\\\.\\\.")
LONG_NUMBER = re.compile(r"(?<![\w.,:^/-])(?:\d{1,3}(?:,\d{3}){2,}|\d{3},\d{3}|\d+\.\d{5,}|\d{6,})(?![\w^-]|[.,]\d)")
CERTIFICATE = "pessimal-certificate/1"


@dataclass
class Played:
    """What is wrong, line by line, and everything that was printed."""

    complaints: list[str] = field(default_factory=list)
    printed: str = ""

    def complain(self, line: int, what: str) -> None:
        self.complaints.append(f"line {line}: {what}")


def play(text: str, folder: Path, root: Path = ROOT) -> Played:
    """Play a document in an empty folder, with what is shipped in `root`."""
    for name in SHIPPED:
        (folder / name).symlink_to(root / name)
    before = _shipped_files(root)
    played = Played()
    document = types.ModuleType("document")
    sys.modules["document"] = document
    output: list[str] | None = None
    try:
        with contextlib.chdir(folder):
            for block in blocks_of(text):
                if block.file:
                    Path(block.file).write_text(block.text, encoding="utf-8")
                if block.language == "text" and block.follows and output is not None:
                    _compare_all(block, output, played)
                output = None if block.not_run else _play_block(block, document, played)
    finally:
        del sys.modules["document"]
    if _shipped_files(root) != before:
        played.complain(0, "a command writes into what the repository ships")
    return played


def _shipped_files(root: Path) -> dict[str, int]:
    """Every file that is reachable, those aside that git ignores, and when it was written."""
    paths = (path for name in SHIPPED for path in (root / name).rglob("*"))
    kept = (path for path in paths if path.is_file() and not ELSEWHERE & set(path.relative_to(root).parts))
    return {str(path): path.stat().st_mtime_ns for path in kept}


def _play_block(block: Block, document: types.ModuleType, played: Played) -> list[str] | None:
    """What a block prints on stdout, if it is one that runs."""
    if block.language in SHELLS:
        return _play_commands(block, played)
    if block.language == "python":
        return _play_python(block, document.__dict__, played)
    if block.language in {"json", "toml"}:
        _load(block, played)
    return None


def _play_commands(block: Block, played: Played) -> list[str]:
    """Run the commands of a block, each line compared with what is shown below it."""
    everything: list[str] = []
    for command in commands_of(block):
        out, err, code = _run_line(command.text)
        played.printed += f"{command.text}\n{out}\n{err}\n"
        refused = any(re.match(r"s REJECTED |pessimal: ", line) for line in command.shown)
        if code and not refused:
            said = (err.strip() or out.strip()).splitlines()[-1:]
            played.complain(command.line, f"exit code {code} of {command.text}: {' '.join(said)}")
        if command.shown:
            for complaint in _differences(command.shown, _lines(out), _lines(err)):
                played.complain(command.line, complaint)
        everything += _lines(out)
    return everything


def _run_line(line: str) -> tuple[str, str, int]:
    """Run the commands of a line until one fails: stdout, stderr, exit code."""
    out, err, code = "", "", 0
    try:
        commands = simple_commands(line)
    except ValueError as error:
        return out, str(error), 127
    for words, redirected in commands:
        if words[0] not in RUNS_HERE:
            return out, f"{words[0]} is not run here; say why above the block", 127
        said, complained, code = _run_pessimal(words[1:]) if words[0] == "pessimal" else _run_other(words)
        err += complained
        if redirected:
            Path(redirected).write_text(said, encoding="utf-8")
        else:
            out += said
        if code:
            break
    return out, err, code


def _run_pessimal(words: Sequence[str]) -> tuple[str, str, int]:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(words))
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8", "replace"))
    return texts[0], texts[1], code


def _run_other(words: Sequence[str]) -> tuple[str, str, int]:
    first = sys.executable if words[0] in {"python", "python3"} else words[0]
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [first, *words[1:]], capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    return done.stdout, done.stderr, done.returncode


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def same_line(shown: str, printed: str) -> bool:
    """Whether a line is shown as it is printed: a digest may be cut after four digits, times are not compared."""
    for mask in MASKS:
        shown, printed = mask.sub("TIME", shown), mask.sub("TIME", printed)
    return re.fullmatch(CUT.sub(r"\1[0-9a-f]*", re.escape(shown.rstrip())), printed) is not None


def _differences(shown: Sequence[str], out: Sequence[str], err: Sequence[str]) -> list[str]:
    """Lines shown that are not printed, and lines of stdout that are not shown."""
    found = []
    left = list(out)
    for line in shown:
        if left and same_line(line, left[0]):
            del left[0]
        elif not any(same_line(line, one) for one in err):
            found.append(f"shows {line!r}; printed: {left or list(err)}")
    return found or [f"does not show {line!r}" for line in left]


def _compare_all(block: Block, printed: Sequence[str], played: Played) -> None:
    for complaint in _differences(_lines(block.text), printed, ()):
        played.complain(block.line, complaint)


def _play_python(block: Block, names: dict[str, object], played: Played) -> list[str]:
    """Run a block statement by statement; all that it printed."""
    if re.search(r"^>>> ", block.text, flags=re.MULTILINE):
        _play_session(block, names, played)
        return []
    said = io.StringIO()
    try:
        body, comments = ast.parse(block.text).body, _comments(block.text)
    except SyntaxError as error:
        played.complain(block.line + (error.lineno or 0), f"SyntaxError: {error.msg}")
        return []
    for node in body:
        begun = said.tell()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
                value = _run_statement(node, names)
        except Exception as error:  # noqa: BLE001 - whatever it is, the reader would meet it too
            played.complain(block.line + node.lineno, f"raises {type(error).__name__}: {error}")
            break
        comment = comments.get(node.end_lineno or 0)
        if isinstance(node, ast.Expr) and comment is not None:
            printed = said.getvalue()[begun:].strip() or repr(value)
            if not same_line(comment, printed):
                played.complain(block.line + node.lineno, f"shows {comment!r}; printed: {printed!r}")
    played.printed += said.getvalue()
    return _lines(said.getvalue())


def _run_statement(node: ast.stmt, names: dict[str, object]) -> object:
    if isinstance(node, ast.Expr):
        return eval(compile(ast.Expression(node.value), "document", "eval"), names)  # noqa: S307 - our own documents
    exec(compile(ast.Module([node], []), "document", "exec"), names)  # noqa: S102 - our own documents
    return None


def _comments(text: str) -> dict[int, str]:
    """The comment of every line that has one."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _play_session(block: Block, names: dict[str, object], played: Played) -> None:
    """Prompts and answers, compared by doctest."""
    examples = doctest.DocTestParser().get_examples(block.text)
    session = doctest.DocTest(examples, {}, "document", None, block.line, block.text)
    session.globs = names
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(session, out=said.append, clear_globs=False)
    for text in said:
        played.complain(block.line, " ".join(text.split()))


def _load(block: Block, played: Played) -> None:
    """Parse a block, and load it as the product would where it is something that the product reads."""
    path = Path(block.file or f"block.{block.language}")
    try:
        record = (json if block.language == "json" else tomllib).loads(block.text)
        if not block.file:
            path.write_text(block.text, encoding="utf-8")
        _load_record(record, path)
    except Exception as error:  # noqa: BLE001 - whatever it is, the reader would meet it too
        played.complain(block.line, f"{type(error).__name__}: {error}")


def _load_record(record: object, path: Path) -> None:
    if not isinstance(record, dict):
        return
    if record.get("format") == CERTIFICATE:
        if not any(record == _header(certificate) for certificate in Path().glob("*.cert")):
            raise ValueError("no certificate of this document has this header")
    elif "moves" in record:
        read_machine(path)
    elif "weights" in record or "transition" in record:
        load_distribution(path)
    elif "checkpoints" in record:
        read_config(path)
    for group, names in record.get("project", {}).get("entry-points", {}).items():
        if group != GROUP:
            raise ValueError(f"{group} is not {GROUP}")
        for place in names.values():
            module, _, name = place.partition(":")
            load_object(f"{module}.py:{name}", ValueError)


def _header(certificate: Path) -> object:
    data = certificate.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def unprinted_numbers(text: str, printed: str) -> Iterator[tuple[int, str]]:
    """Numbers of six digits or more, or five decimals, in the prose outside backticks that no block printed, by line."""
    known = set(re.findall(r"\d+(?:\.\d+)?", printed.replace(",", "")))
    generated = False
    for number, line in prose_of(text):
        generated = (generated or ":begin -->" in line) and ":end -->" not in line
        if generated:
            continue
        for found in LONG_NUMBER.findall(re.sub(r"`[^`]*`|\]\([^)]*\)", " ", line)):
            if found.replace(",", "") not in known:
                yield number, found
