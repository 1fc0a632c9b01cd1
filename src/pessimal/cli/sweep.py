"""`pessimal sweep`: every strategy on every model of a configuration."""

import os
from dataclasses import dataclass
from pathlib import Path

import tyro

from pessimal.cli.terminal import VERIFIED, Watch, print_json
from pessimal.runs.own_files import require_folder


@dataclass(frozen=True)
class Sweep:
    """Prove and check every strategy of a configuration on every model; run again to resume."""

    config: tyro.conf.Positional[Path]
    """TOML file; see docs/sweeps.md"""
    out: Path
    """results folder: results.jsonl, index.sqlite, models/"""
    engine: str = "local"
    """local or dask"""
    workers: int = os.cpu_count() or 1
    """worker processes"""
    scheduler: str | None = None
    """address of a running Dask scheduler"""
    json: bool = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Run what is missing."""
        from pessimal.runs.config import read_config
        from pessimal.sweeps import rows_of, strategy_names, sweep
        from pessimal.train.seeds import parse_seeds

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
