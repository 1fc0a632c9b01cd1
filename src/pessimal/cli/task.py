"""`pessimal task`: a Python function to the machine that is the task."""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from pessimal.cli.fields import Switch
from pessimal.cli.files import require_outputs
from pessimal.cli.terminal import VERIFIED, print_json, say, show
from pessimal.learning import learned_from
from pessimal.proving.plugins import load_object
from pessimal.runs.outputs import Kind, Output
from pessimal.spec import TaskError

MACHINE = Kind("a machine", lambda head: b'"moves"' in head and b'"outputs"' in head)


@dataclass(frozen=True)
class Task:
    """Write the machine of a Python function: the task that `--task FILE.json` asks of a model. Runs FILE.py."""

    function: tyro.conf.Positional[str]
    """FILE.py:FUNCTION; the function takes a tuple of k tokens and returns the right output"""
    k: int
    """sequence length"""
    d_vocab: int
    """vocabulary size"""
    out: Path
    """JSON file to write; `-` is stdout"""
    force: Switch = False
    """write over a file that holds something else"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Find the machine, write it, say how far it was compared."""
        output = Output("--out", self.out, MACHINE)
        aside = require_outputs(self, [output])
        found = learned_from(load_object(self.function, TaskError), self.k, self.d_vocab)
        record = {key: value for key, value in found.task.record().items() if key != "name"}
        output.write((json.dumps(record) + "\n").encode())
        say(f"pessimal: {found.sentence()}")
        show(f"task        {found.task}", aside=aside)
        if self.json:
            print_json(
                {
                    "task_record": found.task.record(),
                    "compared": found.compared,
                    "enumerated": found.enumerated,
                }
            )
        return VERIFIED
