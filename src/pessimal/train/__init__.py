"""Training: many seeds of one small transformer as a single stacked batch.

Importing this package does not import torch; the names that need it load it on first use, so that a command
line can show its options without it.

Contents:
    config.py — the recipe, with the published values as defaults.
    seeds.py — seed lists such as `0:8` or `1,2,5`.
    draw.py — what one seed draws: initial matrices, training tokens, held-out tokens.
    stacked.py — forward pass, optimiser loop and sampled accuracy.
    modular_config.py, modular.py — the same for modular addition, an MLP included; these two files alone import torch.
    trained.py — one trained model: arrays, seed, last loss.
    save.py — models to safetensors bytes and files, the same bytes for the same numbers.

References:
    Gross et al. 2024, "Compact Proofs of Model Performance via Mechanistic Interpretability", for the recipe.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pessimal.train.config import TrainConfig
from pessimal.train.modular_config import RECIPES, ModularConfig
from pessimal.train.save import file_name, model_bytes, save_models
from pessimal.train.seeds import parse_seeds
from pessimal.train.trained import TrainedModel

if TYPE_CHECKING:
    from pessimal.train.modular import train_modular
    from pessimal.train.stacked import (
        StackedModel,
        TrainingDivergedError,
        sampled_accuracy,
        stack_size,
        train_in_stacks,
        train_max_of_k,
    )

# What needs torch, and the file that defines it.
_NEEDS_TORCH = dict.fromkeys(
    (
        "StackedModel",
        "TrainingDivergedError",
        "sampled_accuracy",
        "stack_size",
        "train_in_stacks",
        "train_max_of_k",
    ),
    "pessimal.train.stacked",
) | {"train_modular": "pessimal.train.modular"}

__all__ = [
    "RECIPES",
    "ModularConfig",
    "StackedModel",
    "TrainConfig",
    "TrainedModel",
    "TrainingDivergedError",
    "file_name",
    "model_bytes",
    "parse_seeds",
    "sampled_accuracy",
    "save_models",
    "stack_size",
    "train_in_stacks",
    "train_max_of_k",
    "train_modular",
]


def __getattr__(name: str) -> object:
    """Import what needs torch when one of its names is first used."""
    if name in _NEEDS_TORCH:
        return getattr(import_module(_NEEDS_TORCH[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
