"""`pessimal sweep`: every strategy on every model of a configuration."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from pessimal.cli.fields import Switch, Text
from pessimal.cli.terminal import VERIFIED, UnreadableError, Watch, print_json
from pessimal.runs.inputs import STDIN
from pessimal.runs.own_files import require_folder


@dataclass(frozen=True)
class Sweep:
    """Prove and check every strategy of a configuration on every model; run again to resume."""

    config: tyro.conf.Positional[Path]
    """TOML file with the keys k, d_vocab, checkpoints, stem, seeds, strategies"""
    out: Path
    """results folder: results.jsonl, index.sqlite, models/"""
    engine: Literal["local", "dask"] = "local"
    """who runs the work"""
    workers: int = os.cpu_count() or 1
    """worker processes"""
    scheduler: Text = None
    """address of a running Dask scheduler"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Run what is missing."""
        from pessimal.runs.config import read_config
        from pessimal.sweeps import rows_of, strategy_names, sweep
        from pessimal.train.seeds import parse_seeds

        if str(self.config) == STDIN:
            raise UnreadableError(
                "a configuration names folders beside it, so it cannot be standard input: give a file"
            )
        require_folder("--out", self.out, {"the configuration": self.config})
        with Watch("proving") as watch:
            run = sweep(
                self.config,
                self.out,
                engine=self.engine,
                workers=self.workers,
                scheduler=self.scheduler,
                progress=watch,
            )
        config = read_config(self.config)
        rows = rows_of(config, run.ledger()).values()
        verified = sum(row["verdict"] == "VERIFIED" for row in rows)
        asked = len(parse_seeds(config.seeds)) * len(strategy_names(config))
        # Those of earlier runs were checked then: whoever wants them checked again has `pessimal report`.
        print(f"{verified} of {asked} proofs recorded as verified; results: {self.out}")
        if self.json:
            print_json({"proofs": asked, "verified": verified, "results": str(self.out)})
        return VERIFIED
