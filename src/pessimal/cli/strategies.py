"""`pessimal strategies`: what there is to prove with."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pessimal.cli.fields import Switch, Text, choice
from pessimal.cli.tables import block
from pessimal.cli.terminal import VERIFIED, print_json
from pessimal.kernel.rules import RULES
from pessimal.proving import STRATEGIES
from pessimal.proving.applicable import ATTENTIONS, applicable
from pessimal.proving.suggestions import did_you_mean
from pessimal.spec import TASKS
from pessimal.spec.claim import ACCURACY, LOSS, MEAN_PROBABILITY
from pessimal.strategies import PUBLISHED, StrategyError
from pessimal.strategies.sub_cubic import pattern

Attention = Literal["causal-softmax", "uniform", "causal-softmax-before-MLP"]
KINDS = (ACCURACY, MEAN_PROBABILITY, LOSS)


@dataclass(frozen=True)
class Strategies:
    """List the strategies: what each does, length of its proofs, options, source."""

    task: Text = None
    """only strategies that apply to this task, and models for it"""
    claim: Annotated[Literal["accuracy", "mean-probability", "loss"] | None, choice(*KINDS)] = None
    """only strategies that bound this"""
    attention: Annotated[Attention | None, choice(*ATTENTIONS)] = None
    """only strategies for models with this attention"""
    all: Switch = False
    """print each of the hundred published sub-cubic strategies too"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Print the list."""
        task = None if self.task is None else self.task.replace("_", "-")
        if task is not None and task not in TASKS:
            hint = did_you_mean(task, TASKS)
            raise StrategyError(f"unknown task {task[:40]!r}{hint}; known: {', '.join(sorted(TASKS))}")
        names = applicable(task, self.claim, self.attention)
        rows = [_row(name) for name in names]
        blocks = [_block(row) for row in rows if self.all or row["name"] not in PUBLISHED]
        published = [name for name in names if name in PUBLISHED]
        if published and not self.all:
            said = f"{len(published)} published sub-cubic strategies, one for every choice of A, B and C"
            places = pattern()[pattern().index("(") + 1 : -1].split("; ")
            words = [tuple(place.split(": ")) for place in places]
            blocks.append(block(pattern().split(" ")[0], [("", said), *((one[0], one[1]) for one in words)]))
        print("\n\n".join(blocks) or "no strategy applies")
        if self.json:
            print_json({"strategies": rows})
        return VERIFIED


def _row(name: str) -> dict[str, Any]:
    """What there is to say of a strategy."""
    kind = STRATEGIES[name]
    return {
        "name": name,
        "rule": kind.rule,
        "flops": kind.asymptotic,
        "options": kind.option_names(),
        "source": kind.source,
        "summary": kind.summary,
        "claims": list(kind.claims),
        "attention": list(RULES[kind.rule].attention),
    }


def _block(row: dict[str, Any]) -> str:
    """The same to read."""
    return block(
        row["name"],
        [
            ("", row["summary"]),
            ("flops", row["flops"]),
            ("options", ", ".join(row["options"])),
            ("bounds", ", ".join(row["claims"]) if row["claims"] != ["accuracy"] else ""),
            ("source", row["source"]),
        ],
    )
