"""Markdown taken apart: fenced blocks with the comments before them, the commands in them, code in backticks.

Contents:
    Block — a fenced block.
    blocks_of — the blocks of a document.
    Command — a command line and the lines shown below it.
    commands_of — the commands of a block.
    prose_of — everything outside the blocks.
    mentions — command lines in backticks.
    complaints_about_form — what would keep a block from being played.
    documents — every Markdown file of the tree.
    REASONS, SHELLS, LANGUAGES — the words that are understood.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Why a block may be left out: `<!-- not run: slow -->` on the line above it.
REASONS = ("slow", "torch", "network", "coq")
SHELLS = ("sh", "console")
LANGUAGES = (*SHELLS, "python", "toml", "json", "text", "")
PROMPT = "$ "
FENCE = re.compile(r"^\s*(```+|~~~+)(.*)$")
MARK = re.compile(r"^<!-- (not run|file): (.+) -->$")
LOOKS_LIKE_MARK = re.compile(r"<!--\s*(not[ -]run|file)\b", re.IGNORECASE)
INDENTED = re.compile(r"^ {4,}(\$ |(pessimal|python3?|make|pip|git|coqc) [\w./-])")
INLINE = re.compile(r"`((?:pessimal|make|python3?) [^`]+)`")
ELSEWHERE = {
    ".venv",
    ".git",
    "build",
    "dist",
    "demo-out",
    "reproduce-out",
    "checkpoints",
    "runs",
    ".pytest_cache",
    "__pycache__",
}


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: the word after the fence.
        text: its lines, the last one ended too.
        line: number of the line of its fence.
        not_run: the reason why it is left out, or an empty word.
        file: name under which it is saved before it is played, or an empty word.
        follows: whether only empty lines stand between it and the block before.
    """

    language: str
    text: str
    line: int
    not_run: str = ""
    file: str = ""
    follows: bool = False


def _split(text: str) -> tuple[list[Block], list[tuple[int, str]]]:
    """Blocks and, with their numbers, the lines outside them."""
    blocks: list[Block] = []
    prose: list[tuple[int, str]] = []
    lines = text.splitlines()
    at, since = 0, 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        if opening is None:
            prose.append((at + 1, lines[at]))
            at += 1
            continue
        end = at + 1
        while end < len(lines) and not (
            (closing := FENCE.match(lines[end])) and closing[1].startswith(opening[1]) and not closing[2].strip()
        ):
            end += 1
        marks = dict(MARK.findall(lines[at - 1].strip())) if at else {}
        between = lines[since:at]
        content = "".join(f"{line}\n" for line in lines[at + 1 : end])
        follows = bool(blocks) and not any(line.strip() for line in between)
        reason, file = marks.get("not run", ""), marks.get("file", "")
        blocks.append(Block(opening[2].strip(), content, at + 1, reason, file, follows))
        at = since = end + 1
    return blocks, prose


def blocks_of(text: str) -> list[Block]:
    return _split(text)[0]


def prose_of(text: str) -> list[tuple[int, str]]:
    return _split(text)[1]


@dataclass(frozen=True)
class Command:
    """A command line, continued lines joined, and the lines shown below it."""

    text: str
    line: int
    shown: tuple[str, ...] = ()


def commands_of(block: Block) -> list[Command]:
    """In `sh` every line is a command; in `console` those after a prompt are, and the others are printed by it."""
    found: list[Command] = []
    joined, begun = "", 0
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        begins = not joined and (block.language == "sh" or line.startswith(PROMPT))
        if begins or joined:
            joined, begun = joined + line.removeprefix(PROMPT if begins else ""), begun or number
            if joined.endswith("\\"):
                joined = joined[:-1]
                continue
            if joined.strip() and not joined.lstrip().startswith("#"):
                found.append(Command(joined, begun))
            joined, begun = "", 0
        elif found and line.strip():
            last = found[-1]
            found[-1] = Command(last.text, last.line, (*last.shown, line))
    return found


def mentions(text: str) -> list[tuple[int, str]]:
    """Command lines in backticks, with the numbers of their lines."""
    return [(number, found) for number, line in prose_of(text) for found in INLINE.findall(line)]


def complaints_about_form(text: str) -> list[tuple[int, str]]:
    """Blocks and comments that are not understood, and commands where none is looked for."""
    found: list[tuple[int, str]] = []
    blocks, prose = _split(text)
    heads = {block.line - 1 for block in blocks}
    for block in blocks:
        if block.language not in LANGUAGES:
            found.append(
                (block.line, f"no block of {block.language!r} is played: {', '.join(filter(None, LANGUAGES))}")
            )
        if block.not_run and block.not_run not in REASONS:
            found.append((block.line, f"{block.not_run!r} is no reason to leave a block out: {', '.join(REASONS)}"))
        if block.not_run and block.language not in (*SHELLS, "python"):
            found.append((block.line, "nothing in this block would be run"))
        if block.language in {"text", ""} and re.search(r"^(pessimal |\$ )", block.text, flags=re.MULTILINE):
            found.append((block.line, "a command in a block that is not played"))
        if block.language == "console" and not block.text.startswith(PROMPT):
            found.append((block.line, f"a console begins with {PROMPT!r}"))
    for number, line in prose:
        if INDENTED.match(line):
            found.append((number, "a command in an indented block, which is not played"))
        if LOOKS_LIKE_MARK.search(re.sub(r"`[^`]*`", "", line)) and not (MARK.match(line.strip()) and number in heads):
            found.append((number, "a comment that is read for a block, and none follows on the next line"))
    return sorted(found)


def documents() -> list[Path]:
    """Every Markdown file of the tree, relative to it."""
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(path for path in paths if not ELSEWHERE & set(path.parts))
