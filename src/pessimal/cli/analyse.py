"""`pessimal analyse`: the circuits of a model, for the report."""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from pessimal import api
from pessimal.cli.model_flags import ModelFlags, read_model
from pessimal.cli.terminal import VERIFIED, print_json


@dataclass(frozen=True)
class Analyse:
    """Write the circuits of a model (EQKE, EQKP, EVOU, PVOU, EU) into a run folder."""

    weights: tyro.conf.Positional[Path]
    """safetensors file"""
    out: Path
    """run folder"""
    json: bool = False
    """print one JSON object as the last line of stdout"""
    model: ModelFlags = field(default_factory=ModelFlags)

    def run(self) -> int:
        """Write them."""
        path = api.analyse(read_model(self.weights, self.model), self.out, self.weights.stem)
        print(path)
        if self.json:
            print_json({"circuits": str(path)})
        return VERIFIED
