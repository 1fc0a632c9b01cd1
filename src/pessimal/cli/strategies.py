"""`pessimal strategies`: the table of strategies."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from pessimal.cli.terminal import VERIFIED, print_json
from pessimal.spec import TASKS
from pessimal.strategies import PUBLISHED, STRATEGIES, StrategyError
from pessimal.strategies.sub_cubic import pattern

MIN_WIDTH = 180


@dataclass(frozen=True)
class Strategies:
    """List the strategies: rule, length of the proofs, options, source."""

    task: str | None = None
    """only strategies that apply to this task"""
    all: bool = False
    """print a line for each of the hundred published sub-cubic strategies too"""
    json: bool = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Print the table."""
        if self.task is not None and self.task not in TASKS:
            raise StrategyError(f"unknown task {self.task!r}; known: {', '.join(sorted(TASKS))}")
        rows = [
            {
                "name": kind.name,
                "rule": kind.rule,
                "flops": kind.asymptotic,
                "options": kind.option_names(),
                "source": kind.source,
                "summary": kind.summary,
            }
            for kind in STRATEGIES.values()
        ]
        table = Table(box=None, pad_edge=False)
        for heading in ("name", "rule", "flops", "options", "source", "what it does"):
            table.add_column(heading, no_wrap=heading != "what it does")
        for row in rows:
            if row["name"] in PUBLISHED and not self.all:
                continue
            table.add_row(*(", ".join(value) if isinstance(value, list) else value for value in row.values()))
        console = Console()
        console.width = max(console.width, MIN_WIDTH)
        console.print(table)
        if not self.all:
            print(f"and {len(PUBLISHED)} published sub-cubic strategies (--all lists them): {pattern()}")
        if self.json:
            print_json({"strategies": rows})
        return VERIFIED
