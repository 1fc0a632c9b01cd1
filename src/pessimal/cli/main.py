"""Entry point: parse, run, turn every expected error into one line and an exit code."""

import os
import sys
from typing import Annotated

import tyro

from pessimal.cli.analyse import Analyse
from pessimal.cli.check import Check
from pessimal.cli.demo import Demo
from pessimal.cli.formal import Formal
from pessimal.cli.frontier import Frontier
from pessimal.cli.info import Info
from pessimal.cli.prove import Prove
from pessimal.cli.report import Report
from pessimal.cli.reproduce import Reproduce
from pessimal.cli.strategies import Strategies
from pessimal.cli.sweep import Sweep
from pessimal.cli.terminal import INTERRUPTED, USAGE, say
from pessimal.cli.train import Train
from pessimal.cli.train_modular import TrainModular
from pessimal.spec.tasks import ModularAddition

Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Prove, tyro.conf.subcommand("prove")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Strategies, tyro.conf.subcommand("strategies")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Frontier, tyro.conf.subcommand("frontier")]
    | Annotated[Analyse, tyro.conf.subcommand("analyse")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Formal, tyro.conf.subcommand("formal")]
)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0 verified or done, 1 rejected, 2 usage or unreadable input, 3 resources, 130 interrupted.
    """
    args = sys.argv[1:] if argv is None else argv
    # This task is trained by other recipes than the tasks that read one sequence at a time.
    modular = args[:2] == ["train", ModularAddition.name]
    command = tyro.cli(
        TrainModular if modular else Command,  # type: ignore[arg-type]
        prog=f"pessimal train {ModularAddition.name}" if modular else "pessimal",
        description=None if modular else "Compact, checkable proofs of model performance.",
        args=args[2:] if modular else args,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.CascadeSubcommandArgs),
    )
    try:
        return int(command.run())
    except KeyboardInterrupt:
        say("pessimal: interrupted; nothing half-written was left behind")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        say("pessimal: out of memory; try a smaller --max-bytes or another strategy")
        return 3
    except (ValueError, OSError) as error:
        # Every expected error of the library is a ValueError whose text is one sentence for the user.
        say(f"pessimal: {error}")
        return USAGE
