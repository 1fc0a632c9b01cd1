"""Flags shared by the commands that read weights.

Contents:
    ModelFlags — architecture values that a file may leave open.
    read_model — a model from a file, with what was assumed said on stderr.
"""

from dataclasses import dataclass
from pathlib import Path

from pessimal.api import load_weights
from pessimal.cli.terminal import say
from pessimal.spec import Overrides, Weights


@dataclass(frozen=True)
class ModelFlags:
    """Architecture values that the weights file may leave open."""

    k: int | None = None
    """number of positions to use (default: all rows of W_pos)"""
    attn_scale: str | None = None
    """factor on the attention scores: 1/sqrt(d_head) or 1"""
    ln_eps: str | None = None
    """LayerNorm epsilon as an exact decimal, such as 1e-5"""


def read_model(path: Path, flags: ModelFlags) -> Weights:
    """Read a model and say on stderr what its file does not state."""
    weights = load_weights(path, Overrides(k=flags.k, attn_scale=flags.attn_scale, ln_eps=flags.ln_eps))
    if weights.architecture.assumed:
        say(f"pessimal: assumed {'; '.join(map(str, weights.architecture.assumed))}")
    return weights
