"""Tables as Markdown, CSV and LaTeX, from the same cells.

Contents:
    Table — headings and rows of text.
    write_table — the three files.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from pessimal.runs import write_atomic

ESCAPES = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", "<": "$<$", "≥": r"$\ge$"}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: one line.
        headings: one per column.
        rows: cells, the first column to the left, the others to the right.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Pipes and dashes."""
        lines = ["| " + " | ".join(self.headings) + " |", "|---|" + "---:|" * (len(self.headings) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return f"**{self.title}**\n\n" + "\n".join(lines) + "\n"

    def csv(self) -> str:
        """Comma-separated values with a heading line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.headings)
        writer.writerows(self.rows)
        return out.getvalue()

    def latex(self) -> str:
        """A tabular environment."""
        lines = [r"\begin{tabular}{l" + "r" * (len(self.headings) - 1) + "}", r"\hline"]
        lines.append(" & ".join(map(_tex, self.headings)) + r" \\ \hline")
        lines += [" & ".join(map(_tex, row)) + r" \\" for row in self.rows]
        return "% " + self.title + "\n" + "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def _tex(text: str) -> str:
    return "".join(ESCAPES.get(c, c) for c in text)


def write_table(table: Table, folder: Path, stem: str) -> list[Path]:
    """Write `<stem>.md`, `<stem>.csv` and `<stem>.tex`."""
    paths = []
    for suffix, text in ((".md", table.markdown()), (".csv", table.csv()), (".tex", table.latex())):
        path = folder / f"{stem}{suffix}"
        write_atomic(path, text.encode())
        paths.append(path)
    return paths
