"""What is wrong with a command line of a document, without running it.

Contents:
    simple_commands — the commands of a line, joined by `&&`, each with where its stdout goes.
    complaints_about_line — options, values, targets and scripts that are not there.
    complaints_about_mention — the same for a command line in backticks, which may be cut short.
    missing_inputs — files that nobody ships and no earlier command writes.
    outputs_of — what a line writes.
    placeholders — words that stand for something else.
    complaints_about_text — all of these, and of the form of a document, line by line.
"""

import re
import shlex
import tomllib
from dataclasses import MISSING
from itertools import pairwise
from pathlib import Path

from pessimal.cli import parsing
from pessimal.cli.help import COMMANDS
from pessimal.cli.parsing import UsageError, flags_of, parse
from pessimal.cli.train_modular import TrainModular
from pessimal.inputs import is_file_name
from pessimal.proving.words import make_strategy, read_budget
from pessimal.reproductions import REPRODUCTIONS
from pessimal.runs.config import ConfigError, read_config
from pessimal.spec import TASKS
from pessimal.train.seeds import parse_seeds
from support.documents import ROOT, SHELLS, blocks_of, commands_of, complaints_about_form, mentions

CUT_DIGEST = re.compile(r"sha256:[0-9a-f]{4,}\.\.\.")
STANDS_FOR = re.compile(
    r"\.\.\.|…|<[a-z][\w -]*>|\b(?:foo|bar|baz|xxx+|my[_-]\w+|your[_-]\w+)\b|path/to|example\.com", re.IGNORECASE
)
CAPITALS = re.compile(r"(?<![^\s/=])[A-Z][A-Z_]+(?:\.\w+)?(?![^\s/])")
FILE = re.compile(r"[\w./-]*\.(safetensors|pt|pth|npz|cert|json|jsonl|toml|py|sh|v|txt)$")
ANYTHING = "x.py:f"
PLACES = {"action": "export", "task": "max-of-k", "name": next(iter(REPRODUCTIONS))}
WRITTEN = ("--out", "--strata")
RUNS_HERE = ("pessimal", "python", "python3", "mkdir", "cp", "cat", "ls")
ELSEWHERE = ("make", "pip", "coqc", "git")


def placeholders(text: str) -> list[str]:
    """Words of a block that stand for something else; a digest may be cut."""
    return STANDS_FOR.findall(CUT_DIGEST.sub("", text))


def simple_commands(line: str) -> list[tuple[list[str], str]]:
    """The words of every command of a line, and the file its stdout goes to, if any.

    Raises:
        ValueError: quotes that do not end, or anything of a shell beside `&&`, `>` and comments.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.wordchars += ":=^,[]{}+%@!$"
    found: list[tuple[list[str], str]] = [([], "")]
    words = iter(lexer)
    for word in words:
        if word == "&&":
            found.append(([], ""))
        elif word == ">":
            found[-1] = (found[-1][0], next(words, ""))
        elif word and not set(word) - set("();<>|&"):
            raise ValueError(f"{word} is not played")
        else:
            found[-1][0].append(word)
    return [one for one in found if one[0]]


def complaints_about_line(line: str) -> list[str]:
    """What is wrong with every command of a line."""
    try:
        commands = simple_commands(line)
    except ValueError as error:
        return [f"{error}: {line}"]
    found = [
        f"{word} stands for something else: {line}"
        for word in CAPITALS.findall(_unquoted(line))
        if not (ROOT / word).exists()
    ]
    for words, _ in commands:
        found += [f"{complaint}: {line}" for complaint in _complaints(words)]
    return found


def _unquoted(line: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"]*\"|(^|\s)#.*$", " ", line)


def _complaints(words: list[str]) -> list[str]:
    """What is wrong with one command."""
    first = words[0]
    if first == "pessimal":
        return _about_pessimal(words[1:])
    if first == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
        return [f"no target {word}" for word in words[1:] if word not in targets]
    if first == "pip":
        return _about_pip(words)
    if "/" in first:
        return [] if _is_built(first) or (ROOT / first).is_file() else [f"no script {first}"]
    if first not in (*RUNS_HERE, *ELSEWHERE):
        return [f"{first} is not known here"]
    scripts = [word for word in words[1:] if word.endswith((".py", ".sh")) and first.startswith("python")]
    return [f"no script {word}" for word in scripts[:1] if not (ROOT / word).is_file()]


def _is_built(path: str) -> bool:
    """Whether it is what `make formal` builds."""
    recipe = (ROOT / "formal" / "ocaml" / "build.sh").read_text(encoding="utf-8")
    return (
        path.startswith("formal/build/")
        and re.search(rf"-o \.\./{re.escape(Path(path).name)}$", recipe, re.MULTILINE) is not None
    )


def _about_pip(words: list[str]) -> list[str]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    asked = [extra for word in words for part in re.findall(r"^\.\[(.*)\]$", word) for extra in part.split(",")]
    return [f"no extra {extra}" for extra in asked if extra not in extras]


def _about_pessimal(words: list[str]) -> list[str]:
    """What the parser says, and what the command would say of names before it begins."""
    try:
        command = parse(words).command
        if command is None:
            return []
        if isinstance(command, COMMANDS["reproduce"]) and command.name not in REPRODUCTIONS:
            return [f"no reproduction {command.name}"]
        if isinstance(command, COMMANDS["train"] | TrainModular):
            parse_seeds(command.seeds)
        if isinstance(command, COMMANDS["sweep"]) and (ROOT / command.config).is_file():
            read_config(ROOT / command.config)
        if getattr(command, "budget", None) is not None:
            read_budget(command.budget)
        strategy = getattr(command, "strategy", None)
        if strategy is not None and ".py:" not in strategy:
            make_strategy(strategy, command.option)
    except (UsageError, ConfigError, ValueError) as error:
        return [str(error)]
    task = getattr(command, "task", None)
    if task is None or is_file_name(task) or task.partition(":")[0] in TASKS:
        return []
    return [f"no task {task}"]


def complaints_about_mention(line: str) -> list[str]:
    """What is wrong with a command line in backticks; what is missing is filled in, capitals stand for anything."""
    if not line.startswith("pessimal "):
        return [f"{complaint}: {line}" for complaint in _complaints(line.split())]
    words = line.split()[1:]
    if not words or words[0] not in COMMANDS:
        return [f"{complaint}: {line}" for complaint in _about_pessimal(words)]
    head = 2 if words[:2] == ["train", "modular-addition"] else 1
    kind = TrainModular if head == 2 else COMMANDS[words[0]]
    flags = flags_of(kind)
    rest = [_stand_in(before, word, flags) for before, word in zip(words[head - 1 :], words[head:], strict=False)]
    if rest and rest[-1] in flags and flags[rest[-1]].takes:
        rest.append("1")
    places = [one.name for one in parsing._places(kind) if one.default is MISSING]
    loose = parsing.positionals(rest, flags)
    fillings = [PLACES.get(name, ANYTHING) for name in places[len(loose) :]]
    for name, flag in flags.items():
        by_place = name == "--weights" and len(loose) > len(places)
        if flag.required and not by_place and not any(word.partition("=")[0] == name for word in rest):
            rest += [name, "1"]
    for word in loose:
        rest.remove(word)
    return [f"{complaint}: {line}" for complaint in _about_pessimal([*words[:head], *loose, *fillings, *rest])]


def _stand_in(before: str, word: str, flags: dict[str, parsing.Flag]) -> str:
    """Something of the right kind for a word in capitals."""
    if not CAPITALS.fullmatch(word):
        return word
    flag = flags.get(before)
    return "1" if flag is not None and flag.number is not None else "band" if before == "--strategy" else ANYTHING


def outputs_of(line: str) -> set[str]:
    """What a line writes."""
    found = set()
    for words, redirected in simple_commands(line):
        found |= {redirected} if redirected else set()
        found |= {after for word, after in pairwise(words) if word in WRITTEN}
        if words[0] in {"mkdir", "cp"}:
            found.add(words[-1])
    return {path.rstrip("/") for path in found}


def missing_inputs(line: str, written: set[str]) -> list[str]:
    """Files named by a line that are not in the tree, not in `written` and not below something in it."""
    mine = outputs_of(line)
    names = [word.partition(":")[0] for words, _ in simple_commands(line) for word in words if "=" not in word]
    return [
        name
        for name in names
        if FILE.fullmatch(name)
        and name not in mine
        and not (ROOT / name).exists()
        and not any(name == path or name.startswith(f"{path}/") for path in written)
    ]


def complaints_about_text(text: str) -> list[str]:
    """What is wrong with a document that can be seen without playing it."""
    found = complaints_about_form(text)
    written: set[str] = set()
    for block in blocks_of(text):
        written |= {block.file} if block.file else set()
        if block.language not in {"text", ""}:
            for number, line in enumerate(block.text.splitlines(), block.line + 1):
                found += [(number, f"{word} stands for something else: {line}") for word in placeholders(line)]
        for command in commands_of(block) if block.language in SHELLS else ():
            complaints = complaints_about_line(command.text)
            found += [(command.line, complaint) for complaint in complaints]
            if not complaints:
                missing = missing_inputs(command.text, written) if block.not_run else []
                found += [(command.line, f"{name} is not here, and nothing writes it") for name in missing]
                written |= outputs_of(command.text)
    for number, line in mentions(text):
        found += [(number, complaint) for complaint in complaints_about_mention(line)]
    return [f"line {number}: {what}" for number, what in sorted(found)]
