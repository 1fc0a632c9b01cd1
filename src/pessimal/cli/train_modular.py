"""`pessimal train modular-addition`: ReLU transformers that add modulo p."""

from dataclasses import dataclass, replace
from pathlib import Path

from pessimal.cli.fields import Listed, Number, Real, Switch, Word
from pessimal.cli.train import train_and_save
from pessimal.proving.suggestions import did_you_mean


@dataclass(frozen=True)
class TrainModular:
    """Train one-layer ReLU transformers on addition modulo p, one per seed (needs the extra `train`).

    A recipe is a published configuration: `pizza` (p = 59, uniform attention), `clock` (p = 59, softmax attention),
    `grokking` (p = 113, three tokens, softmax attention). Options that are given replace its values.
    """

    out: Path
    """folder for the safetensors files"""
    recipe: Word = "pizza"
    """pizza, clock or grokking"""
    seeds: Word = "0:1"
    """seeds, as 0:8 or 1,2,5"""
    p: Number = None
    """the modulus, a prime"""
    epochs: Number = None
    """optimiser steps, each on the whole training set"""
    ratio: Real = None
    """share of the pairs that are trained on"""
    d_model: Number = None
    """width of the residual stream"""
    d_mlp: Number = None
    """neurons"""
    n_heads: Number = None
    """attention heads"""
    d_head: Number = None
    """width of a head"""
    learning_rate: Real = None
    """AdamW learning rate"""
    weight_decay: Real = None
    """AdamW weight decay"""
    checkpoints: Listed = ""
    """epochs after which a model is kept too, as 500,1000,3000"""
    threads: int = 1
    """torch threads"""
    device: Word = "auto"
    """cpu, cuda, or auto"""
    json: Switch = False
    """print one JSON object as the last line of stdout"""

    def run(self) -> int:
        """Train and save."""
        from pessimal.train import RECIPES, parse_seeds

        if self.recipe not in RECIPES:
            hint = did_you_mean(self.recipe, RECIPES)
            raise ValueError(f"recipe {self.recipe[:40]!r}{hint} is not one of {', '.join(RECIPES)}")
        kept = [part.strip() for part in self.checkpoints.split(",") if part.strip()]
        if not all(part.isascii() and part.isdigit() for part in kept):
            raise ValueError(f"checkpoints {self.checkpoints!r} is not a list of epochs such as 500,1000")
        names = ("p", "epochs", "ratio", "d_model", "d_mlp", "n_heads", "d_head", "learning_rate", "weight_decay")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        config = replace(
            RECIPES[self.recipe],
            **given,
            checkpoints=tuple(int(part) for part in kept),
            threads=self.threads,
            device=self.device,
        )
        return train_and_save(config, parse_seeds(self.seeds), self.out, as_json=self.json)
