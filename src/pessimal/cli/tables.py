"""Tables that can be read at any width: nothing is cut, because what is in them is to be typed or believed.

Contents:
    columns — how wide lines may be.
    table — rows under their headings, or as blocks where that is too wide.
    block — a name and what there is to say of it.
    LEAST_COLUMNS — narrower terminals are treated as this wide.
"""

import shutil
import textwrap
from collections.abc import Sequence

# Below this, tyro wraps lines of no width for ever, and no table can be read.
LEAST_COLUMNS = 40
GAP = 2


def columns() -> int:
    """Columns of the terminal, or of `COLUMNS`; 80 of what is no terminal."""
    return max(LEAST_COLUMNS, shutil.get_terminal_size().columns)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows under their headings; where the lines would be too wide, a block of lines for every row.

    Args:
        headings: of the columns; lines of one heading stand under one another.
        rows: as many words as there are headings in each.
        right: columns of numbers, which are aligned on the right.
    """
    heads = [heading.split("\n") for heading in headings]
    depth = max(map(len, heads))
    heads = [[""] * (depth - len(head)) + head for head in heads]
    widths = [max(map(len, [*head, *(row[i] for row in rows)])) for i, head in enumerate(heads)]
    if sum(widths) + GAP * (len(widths) - 1) > columns():
        return _blocks([" ".join(heading.split()) for heading in headings], rows)
    lines = [list(line) for line in zip(*heads, strict=True)] + [list(row) for row in rows]
    found = []
    for line in lines:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        found.append((" " * GAP).join(cells).rstrip())
    return "\n".join(found)


def _blocks(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A block of lines for every row: its first word, then the others behind their headings."""
    return "\n".join(block(row[0], list(zip(headings[1:], row[1:], strict=True))) for row in rows)


def block(name: str, values: Sequence[tuple[str, str]]) -> str:
    """A name on a line of its own, and below it what there is to say, wrapped; empty values are left out."""
    said = [(heading, value) for heading, value in values if value]
    width = max((len(heading) for heading, _ in said), default=0) + GAP
    lines = [name]
    for heading, value in said:
        head = " " * GAP + (heading.ljust(width) if heading else "")
        lines += textwrap.wrap(
            value, columns(), initial_indent=head, subsequent_indent=" " * len(head),
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(lines)
