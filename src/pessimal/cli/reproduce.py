"""`pessimal reproduce`: a published table or figure, in one command."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from pessimal.cli.fields import File, Folder, Switch, Text
from pessimal.cli.terminal import VERIFIED, Watch, print_json
from pessimal.proving.suggestions import did_you_mean
from pessimal.report.numbers import nearest
from pessimal.runs.own_files import require_folder


@dataclass(frozen=True)
class Reproduce:
    """Reproduce a published table or figure; run again to resume."""

    name: tyro.conf.Positional[str]
    """main-table, bound-versus-flops, unexplained-dimensions, singular-ratio, gap-histograms, error-ladder,
    resampled-residuals, faithfulness, circuit-ablations, improvements, transfer, matrices, percentiles, tasks,
    backdoor, counting-frontier, training-length, modular-addition"""
    smoke: Switch = False
    """four shipped models instead of the published seeds; tasks, training-length, modular-addition: tiny models"""
    config: File = None
    """configuration (default: the one of the reproduction, as it lies in a clone of the repository)"""
    out: Folder = None
    """folder for results.json, tables, figures (default: reproduce-out/NAME)"""
    engine: Literal["local", "dask"] = "local"
    """who runs the work"""
    workers: int = os.cpu_count() or 1
    """worker processes"""
    scheduler: Text = None
    """address of a running Dask scheduler"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Sweep, then tables and figures."""
        from pessimal.reproductions import REPRODUCTIONS, ReproductionError, reproduce
        from pessimal.reproductions.run import find_config

        if self.name not in REPRODUCTIONS:
            hint = did_you_mean(self.name, REPRODUCTIONS)
            raise ReproductionError(f"unknown reproduction {self.name[:40]!r}{hint}; known: {', '.join(REPRODUCTIONS)}")
        reproduction = REPRODUCTIONS[self.name]
        stem = reproduction.smoke_sweep if self.smoke else reproduction.sweep
        config = self.config or find_config(stem, reproduction.configs)
        out = self.out or Path("reproduce-out") / self.name
        require_folder("--out", out, {"the configuration": config})
        started = time.monotonic()
        with Watch("proving") as watch:
            paths = reproduce(
                reproduction,
                config,
                out,
                engine=self.engine,
                workers=self.workers,
                scheduler=self.scheduler,
                progress=watch,
            )
        for path in paths:
            if path.suffix == ".md":
                print(path.read_text(encoding="utf-8"))
        print(f"{len(paths)} files in {out}, {nearest(time.monotonic() - started, '.0f')} s")
        if self.json:
            print_json({"reproduction": self.name, "files": [str(path) for path in paths]})
        return VERIFIED
