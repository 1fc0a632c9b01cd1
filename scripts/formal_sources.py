"""Whether the Coq sources leave anything unproved or switch a check of the kernel off.

    formal_sources.py [FOLDER]     FOLDER: with `_CoqProject`; formal/ if absent

`Print Assumptions` and `coqchk` look at the theorems on their lists; this looks at every file, and at the options that
Coq is called with. Comments and strings are taken out first, as Coq reads them (comments nest, and strings count in
them). A `Variable` is an axiom outside a section and a premise inside one, so sections are followed.

Contents:
    blank — a source without comments and strings, as long as before.
    complaints — what is wrong with one source.
    option_complaints — what is wrong with `_CoqProject`.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

FORMAL = Path(__file__).resolve().parents[1] / "formal"
# (file name, words): uses that are meant. None at present.
ALLOWED: frozenset[tuple[str, str]] = frozenset()

UNPROVED = (
    r"Admitted", r"Admit", r"admit", r"give_up", r"Axioms?", r"Parameters?", r"Conjectures?", r"Primitive",
    r"Declare\s+(?:ML\s+Module|Module|Instance)",
)  # fmt: skip
UNCHECKED = (
    r"Unset\s+(?:Guard|Positivity|Universe)\s+Checking", r"bypass_check", r"Definitional\s+UIP", r"type_in_type",
    r"native_compute", r"native_cast_no_check", r"Obj",
)  # fmt: skip
ELSEWHERE = (r"Load", r"Add\s+(?:Rec\s+)?(?:LoadPath|ML\s+Path)", r"Drop")
# Axioms, unless a section is open.
PREMISES = (r"Variables?", r"Hypothes[ie]s", r"Context")

_WORDS = r"(?<![\w.'])(?:{})(?![\w'])"
FORBIDDEN = re.compile(_WORDS.format("|".join(UNPROVED + UNCHECKED + ELSEWHERE)))
PREMISE = re.compile(_WORDS.format("|".join(PREMISES)))
BLOCK = re.compile(_WORDS.format("Section|Module|End"))
SENTENCE = re.compile(r".*?\.(?=\s|$)", re.DOTALL)
ATTRIBUTES = re.compile(r"(?:\s|#\[[^\]]*\])*")
OPENS = re.compile(r"(Section|Module(?:\s+Type)?)\s+(?:(?:Import|Export)\s+)?([\w']+)([^.]*?)\.")
CLOSES = re.compile(r"End\s+([\w']+)\s*\.")


class UnclosedError(ValueError):
    """A comment or a string that does not end."""


def blank(text: str) -> str:
    """The text with spaces in the place of comments and of what strings hold; lines stay where they are."""
    out = []
    depth, quoted, at = 0, False, 0
    while at < len(text):
        pair = text[at : at + 2]
        width = 1
        keep = False
        if quoted:
            # "" in a string is a quotation mark: it closes and opens again.
            quoted = text[at] != '"'
        elif text[at] == '"':
            quoted = True
        elif pair == "(*":
            depth, width = depth + 1, 2
        elif depth and pair == "*)":
            depth, width = depth - 1, 2
        else:
            keep = not depth
        piece = text[at : at + width]
        out.append(piece if keep or piece == "\n" else " " * width)
        at += width
    if depth or quoted:
        raise UnclosedError("a comment or a string does not end")
    return "".join(out)


def _opens_and_closes(sentence: str, stack: list[tuple[str, str]]) -> bool:
    """Follow `Section`, `Module` and `End` in `stack`; False if the sentence uses these words in another way."""
    start = ATTRIBUTES.sub("", sentence, count=1)
    if opened := OPENS.fullmatch(start):
        if ":=" not in opened[3]:
            stack.append((opened[1].split()[0], opened[2]))
        return True
    closed = CLOSES.fullmatch(start)
    return closed is not None and bool(stack) and stack.pop()[1] == closed[1]


def _in_sentences(code: str) -> Iterator[tuple[int, str]]:
    stack: list[tuple[str, str]] = []
    for found in SENTENCE.finditer(code):
        sentence = found[0]
        for word in FORBIDDEN.finditer(sentence):
            yield found.start() + word.start(), word[0]
        for word in PREMISE.finditer(sentence):
            if not any(kind == "Section" for kind, _ in stack):
                yield found.start() + word.start(), f"{word[0]} outside a section"
        block = BLOCK.search(sentence)
        if block and not _opens_and_closes(sentence, stack):
            yield found.start() + block.start(), f"{block[0]} in a sentence of another kind"
    rest = SENTENCE.sub("", code).strip()
    if rest:
        yield len(code), "text after the last sentence"


def complaints(name: str, text: str) -> list[str]:
    """`NAME:LINE: WORD` for everything that a source must not hold."""
    try:
        code = blank(text)
    except UnclosedError as error:
        return [f"{name}: {error}"]
    found = []
    for place, what in _in_sentences(code):
        words = " ".join(what.split())
        if (name, words) not in ALLOWED:
            found.append(f"{name}:{code.count(chr(10), 0, place) + 1}: {words}")
    # Extraction takes OCaml from strings.
    found += [f"{name}: Obj.{word} in a string" for word in re.findall(r"\bObj\s*\.\s*(\w+)", text)]
    return found


def option_complaints(text: str) -> list[str]:
    """Anything in `_CoqProject` but the folder, warnings and files."""
    words = text.split()
    found = []
    at = 0
    while at < len(words):
        if words[at : at + 3] == ["-Q", "theories", "Pessimal"]:
            at += 3
        elif words[at : at + 3] == ["-arg", "-w", "-arg"] and len(words) > at + 3:
            at += 4
        elif re.fullmatch(r"theories/\w+\.v", words[at]):
            at += 1
        else:
            found.append(f"_CoqProject: {words[at]}")
            at += 1
    return found


def main(arguments: list[str]) -> int:
    """Complaints about a folder; the exit code is whether there are any."""
    folder = Path(arguments[0]) if arguments else FORMAL
    project = (folder / "_CoqProject").read_text(encoding="utf-8")
    found = option_complaints(project)
    sources = sorted(path for path in folder.rglob("*.v") if "build" not in path.relative_to(folder).parts)
    for path in sources:
        found += complaints(path.name, path.read_text(encoding="utf-8"))
        listed = str(path.relative_to(folder))
        if listed.startswith("theories/") and listed not in project.split():
            found.append(f"{listed}: not in _CoqProject")
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    if not sources:
        print(f"no Coq sources in {folder}", file=sys.stderr)
    return 1 if found or not sources else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
