"""Links between documents resolve, anchors included, and pages that docstrings name are there."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {".venv", "build", "demo-out", "node_modules"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not OUTSIDE & set(path.relative_to(ROOT).parts) and ".pytest_cache" not in path.parts
)
# Whatever may hold a comment or a docstring.
SOURCES = sorted(
    path
    for folder in ("src", "reference", "formal", "docs", "scripts", "benchmarks", "experiments")
    for suffix in ("py", "v", "ml", "toml")
    for path in (ROOT / folder).rglob(f"*.{suffix}")
)
LINK = re.compile(r"(?<!\!)\[[^\]\n]*\]\(([^()\s]+)\)|!\[[^\]\n]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
NAMED = re.compile(r"(?<![\w./-])((?:docs/)?(?:adr/)?[\w-]+\.md)#([\w-]+)|(?<![\w./-])(docs/[\w./-]+\.\w+)")

ADR = re.compile(r"\bADR[- ](\d{4})")
SECTION = re.compile(
    r"(?P<before>docs/[\w./-]+\.md)`?,\s+section\s+(?P<n>\d+)|section\s+(?P<m>\d+)\s+of\s+`?(?P<after>docs/[\w./-]+\.md)"
)


def without_blocks(text):
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)


def slug(heading):
    """The anchor that GitHub gives a heading."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@cache
def anchors(path):
    found = {}
    for heading in HEADING.findall(without_blocks(path.read_text(encoding="utf-8"))):
        name = slug(heading)
        found[name] = found.get(name, -1) + 1
    return {name if n == 0 else f"{name}-{n}" for name, most in found.items() for n in range(most + 1)}


def broken(path, text):
    """Relative links of a page that lead nowhere."""
    found = []
    prose = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "``", without_blocks(text))
    for target in (first or second for first, second in LINK.findall(prose)):
        if re.match(r"[a-z][a-z+.-]*:", target):
            continue
        file, _, anchor = target.partition("#")
        to = (path.parent / file).resolve() if file else path
        if not to.exists() or (anchor and (to.suffix != ".md" or anchor not in anchors(to))):
            found.append(target)
    return found


def missing(text):
    """Pages of `docs/` that a text names, or their sections, and that are not there."""
    found = []
    for page, anchor, file in NAMED.findall(text):
        to = ROOT / (file.rstrip(".") or (page if page.startswith("docs/") else f"docs/{page}"))
        if not to.exists() or (anchor and anchor not in anchors(to)):
            found.append(f"{page}#{anchor}" if anchor else file)
    for named in SECTION.finditer(re.sub(r"\n\W*", " ", text)):
        page, number = named["before"] or named["after"], named["n"] or named["m"]
        if (ROOT / page).is_file() and not any(anchor.startswith(f"{number}-") for anchor in anchors(ROOT / page)):
            found.append(f"{page}, section {number}")
    return found + [
        f"ADR {number}" for number in ADR.findall(text) if not list((ROOT / "docs/adr").glob(f"{number}-*"))
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_and_anchor_of_a_page_resolves(path):
    assert broken(path, path.read_text(encoding="utf-8")) == []


def test_every_page_and_section_that_a_source_names_is_there():
    named = {path: missing(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {path.relative_to(ROOT).as_posix(): names for path, names in named.items() if names} == {}


def test_links_that_lead_nowhere_are_found():
    page = ROOT / "docs" / "theorems.md"
    text = "[a](rounding.md) [b](rounding.md#arb) [c](#theorems) [d](https://x.y/#z) `[e](code.md)`"
    assert broken(page, text) == []
    text = "[a](no-page.md) [b](rounding.md#no-section) [c](#no-section) ![d](no-picture.svg) [e](frontier.svg#x)"
    assert broken(page, text) == [
        "no-page.md", "rounding.md#no-section", "#no-section", "no-picture.svg", "frontier.svg#x"
    ]  # fmt: skip


def test_pages_that_are_named_and_not_there_are_found():
    text = "see docs/rounding.md, `docs/rounding.md#arb`, docs/no-page.md and `docs/rounding.md#no-section`."
    assert missing(text) == ["docs/no-page.md", "docs/rounding.md#no-section"]
    text = "section 3 of `docs/float32.md`, (docs/float32.md,\n# section 3), docs/float32.md, section 33; ADR 0001, ADR-9999"
    assert missing(text) == ["docs/float32.md, section 33", "ADR 9999"]


def test_anchors_are_those_of_headings():
    assert slug("3. Derivation") == "3-derivation"
    assert slug("The paper's names and its `code`'s") == "the-papers-names-and-its-codes"
