"""Flags shared by the commands that read weights.

Contents:
    ModelFlags — architecture values that a file may leave open.
    read_model — a model from a file, with what was assumed said on stderr.
    read_task, read_distribution — likewise; a file that cannot be read is `UnreadableError`.
"""

from dataclasses import dataclass
from pathlib import Path

from pessimal import api
from pessimal.cli.files import what_it_is
from pessimal.cli.terminal import say, unreadable
from pessimal.spec import AbstractDistribution, AbstractTask, Overrides, Weights, WeightsError


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
    try:
        weights = api.load_weights(path, Overrides(k=flags.k, attn_scale=flags.attn_scale, ln_eps=flags.ln_eps))
    except WeightsError:
        kind = what_it_is(path)
        if kind is None or not kind.endswith("not weights"):
            raise
        raise WeightsError(kind) from None
    if weights.architecture.assumed:
        say(f"pessimal: assumed {'; '.join(map(str, weights.architecture.assumed))}")
    return weights


def read_task(weights: Weights, name: str | None) -> tuple[AbstractTask, list[str]]:
    """`api.task_of`."""
    if name is None or not api.is_file_name(name):
        return api.task_of(weights, name)
    with unreadable():
        return api.task_of(weights, name)


def read_distribution(path: Path) -> AbstractDistribution:
    """`api.load_distribution`."""
    with unreadable():
        return api.load_distribution(path)
