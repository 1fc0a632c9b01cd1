"""`pessimal strategies`: what there is to prove with.

Contents:
    Strategies — the command.
    option_words — what each option of a strategy does.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Literal

import tyro
from docstring_parser import parse

from pessimal.cli.fields import Switch, Text, choice
from pessimal.cli.tables import block
from pessimal.cli.terminal import VERIFIED, print_json
from pessimal.kernel.rules import RULES
from pessimal.proving import STRATEGIES
from pessimal.proving.applicable import ATTENTIONS, applicable
from pessimal.proving.suggestions import did_you_mean, unknown_strategy
from pessimal.spec import TASKS
from pessimal.spec.claim import ACCURACY, LOSS, MEAN_PROBABILITY
from pessimal.strategies import PUBLISHED, AbstractStrategy, StrategyError
from pessimal.strategies.sub_cubic import pattern

Attention = Literal["causal-softmax", "uniform", "causal-softmax-before-MLP"]
KINDS = (ACCURACY, MEAN_PROBABILITY, LOSS)


@dataclass(frozen=True)
class Strategies:
    """List the strategies: what each does, length of its proofs, options, source; of one also what its options do."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")] = None
    """only this strategy, with what each of its options does"""
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
        if self.name is not None:
            if self.task or self.claim or self.attention or self.all:
                raise StrategyError("a NAME and a choice of several (--task, --claim, --attention, --all) are too much")
            return self._one(self.name.lower().replace("_", "-"))
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

    def _one(self, name: str) -> int:
        """Print one of them, and its options."""
        if name not in STRATEGIES:
            raise unknown_strategy(name)
        row, words = _row(name), option_words(STRATEGIES[name])
        options = [block("options", list(words.items()))] if words else []
        print("\n\n".join([_block({**row, "options": []}), *options]))
        if self.json:
            print_json({"strategies": [{**row, "option_words": words}]})
        return VERIFIED


def option_words(kind: type[AbstractStrategy]) -> dict[str, str]:
    """What each option of a strategy does, and its default, from where its class describes them."""
    # Published strategies have the options of their common class, some options share a line.
    described = [one for base in reversed(kind.__mro__) for one in parse(base.__doc__ or "").params]
    words = {
        name.strip(): " ".join((one.description or "").split()) for one in described for name in one.arg_name.split(",")
    }
    found = {}
    for option in fields(kind):  # type: ignore[arg-type]
        said, stated = words.get(option.name, ""), option.default not in (None, MISSING)
        found[option.name] = f"{said} (default: {option.default})" if stated and "default:" not in said else said
    return found


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
