"""`pessimal info`: what a weights file holds."""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from pessimal import api
from pessimal.cli.fields import Count, Switch, Text
from pessimal.cli.files import require_one_stdin
from pessimal.cli.model_flags import ModelFlags, read_model, read_task
from pessimal.cli.terminal import VERIFIED, print_json, say
from pessimal.report.numbers import nearest


@dataclass(frozen=True)
class Info:
    """Show what a weights file holds: tensors, architecture, digest, accuracy on random inputs."""

    weights: tyro.conf.Positional[Path]
    """weights file: safetensors, or what `pessimal convert` takes"""
    task: Text = None
    """task name, or a JSON file with a machine (default: what the weights file states, else max-of-k)"""
    samples: Count = 20_000
    """random sequences for the accuracy estimate"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""
    model: ModelFlags = field(default_factory=ModelFlags)

    def run(self) -> int:
        """Print it."""
        require_one_stdin(self)
        if self.samples < 1:
            raise ValueError("--samples must be at least 1: the accuracy is estimated on them")
        weights = read_model(self.weights, self.model)
        task, assumed = read_task(weights, self.task)
        for line in assumed:
            say(f"pessimal: assumed {line}")
        record = api.info(weights, task=task, samples=self.samples)
        record["assumptions"] += assumed
        print(f"weights     sha256:{record['weights_sha256']}")
        if "converted" in record:
            print(f"converted   {record['converted']}")
        for key, value in record["architecture"].items():
            print(f"{key:<11} {', '.join(value) or 'none' if isinstance(value, list) else value}")
        print(f"parameters  {record['parameters']}")
        for name, (*shape, dtype) in record["tensors"].items():
            print(f"  {name:<11} {dtype:<8} {' x '.join(map(str, shape))}")
        print(f"task        {record['task']}, {record['total']} sequences")
        print(
            f"accuracy    about {nearest(record['sampled_accuracy'], '.4f')} on {record['samples']} random sequences"
            " (an estimate, not a proof)"
        )
        if self.json:
            print_json(record)
        return VERIFIED
