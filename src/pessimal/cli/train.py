"""`pessimal train`: models from seeds, all seeds as one batch.

Contents:
    Train — train one-layer attention-only transformers, one per seed, as one stacked batch (needs the extra `train`).
    train_and_save — train, print each file as it is written.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from pessimal import api
from pessimal.cli.fields import Switch, Word
from pessimal.cli.terminal import VERIFIED, Watch, print_json, say
from pessimal.proving.suggestions import did_you_mean
from pessimal.report.numbers import nearest
from pessimal.runs.own_files import require_folder
from pessimal.spec import TASKS

if TYPE_CHECKING:
    from pessimal.train import ModularConfig, TrainConfig


@dataclass(frozen=True)
class Train:
    """Train one-layer attention-only transformers, one per seed, as one stacked batch (needs the extra `train`)."""

    task: tyro.conf.Positional[str]
    """task name: max-of-k, min-of-k, first-of-k, last-of-k, second-largest,
    contains-token, flagged-element, constant; modular-addition has options of its own:
    pessimal train modular-addition --help"""
    out: Path
    """folder for the safetensors files"""
    k: int = 4
    """sequence length"""
    d_vocab: int = 64
    """vocabulary size"""
    d_model: int = 32
    """width of the residual stream"""
    d_head: int = 32
    """width of a head"""
    n_heads: int = 1
    """attention heads"""
    ln1: Switch = False
    """LayerNorm before attention"""
    ln_final: Switch = False
    """LayerNorm without bias before the unembedding"""
    parameter: int = 0
    """the task's own number: the token of contains-token, the output of constant"""
    seeds: Word = "0:1"
    """seeds, as 0:8 or 1,2,5, or the word published (151 seeds)"""
    steps: int = 3000
    """optimiser steps"""
    batch_size: int = 128
    """sequences per step and seed"""
    learning_rate: float = 1e-3
    """AdamW learning rate"""
    weight_decay: float = 0.01
    """AdamW weight decay"""
    close: float = 0.0
    """share of training sequences whose tokens lie close together"""
    threads: int = 1
    """torch threads"""
    device: Word = "auto"
    """cpu, cuda, or auto"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Train and save."""
        from pessimal.train import TrainConfig, parse_seeds

        _require_task(self.task)
        sizes = {name: getattr(self, name) for name in TrainConfig.__dataclass_fields__}
        config, seeds = TrainConfig(**sizes), parse_seeds(self.seeds)
        return train_and_save(config, seeds, self.out, as_json=self.json)


def _require_task(name: str) -> None:
    """Refuse a task that nobody knows."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name[:40]!r}{did_you_mean(name, TASKS)}; known: {', '.join(sorted(TASKS))}")


def train_and_save(config: "TrainConfig | ModularConfig", seeds: list[int], out: Path, *, as_json: bool) -> int:
    """Train, print each file as it is written; 2 without torch."""
    require_folder("--out", out, of_runs=False)
    started = time.monotonic()
    paths: list[str] = []
    try:
        with Watch(f"training {len(seeds)} models") as watch:
            for path in api.train(config, seeds, out, lambda step, steps, _loss: watch(step, steps)):
                paths.append(str(path))
                print(path, flush=True)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ValueError("training needs torch: pip install 'pessimal[train]'") from None
    say(f"{len(paths)} models in {nearest(time.monotonic() - started, '.1f')} s")
    if as_json:
        print_json({"weights": paths, "seconds": round(time.monotonic() - started, 3)})
    return VERIFIED
