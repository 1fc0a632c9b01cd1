"""Flags shared by the commands that read weights.

Contents:
    ConversionFlags — what files of other formats may leave open.
    ModelFlags — architecture values that a file may leave open.
    read_model — a model from a file, with what was assumed said on stderr.
    read_task, read_distribution — likewise; a file that cannot be read is `UnreadableError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pessimal.cli.fields import Number, Switch, Text, choice
from pessimal.cli.files import what_it_is
from pessimal.cli.terminal import say, unreadable
from pessimal.conversion import Stated
from pessimal.inputs import is_file_name, load_distribution, load_weights, task_of
from pessimal.spec import AbstractDistribution, AbstractTask, Overrides, Weights, WeightsError

Norm = Literal["none", "LN", "LNPre", "RMS", "RMSPre"]


@dataclass(frozen=True)
class ConversionFlags:
    """What files of other formats may leave open."""

    n_heads: Number = None
    """number of heads, where the shapes do not have it (TransformerBridge)"""
    orientation: Annotated[Literal["transformer-lens", "early"] | None, choice("transformer-lens", "early")] = None
    """how square matrices are laid out: as in TransformerLens, or as in the early grokking code"""
    state_dict: Text = None
    """name of the state dict to take from a checkpoint with several"""
    tied: Switch = False
    """the unembedding is the embedding, transposed"""
    sum_attention: Switch = False
    """every position has attention 1, as in the clock-and-pizza code with attn_coeff = 0: read as uniform attention and
    values times k"""

    def stated(self, metadata: Mapping[str, str] = MappingProxyType({})) -> Stated:
        """What the reader of other formats is told.

        Args:
            metadata: further facts under the names of TransformerLens.
        """
        return Stated(
            n_heads=self.n_heads,
            orientation=self.orientation,
            state_dict=self.state_dict,
            tied=self.tied,
            summed=self.sum_attention,
            metadata=metadata,
        )


@dataclass(frozen=True)
class ModelFlags(ConversionFlags):
    """Architecture values that the weights file may leave open."""

    k: Number = None
    """number of positions to use (default: all rows of W_pos)"""
    attn_scale: Text = None
    """factor on the attention scores: 1/sqrt(d_head), 1, or a fraction such as 1/8"""
    ln_eps: Text = None
    """epsilon of LayerNorm or RMSNorm as an exact decimal, such as 1e-5"""
    normalization_type: Annotated[Norm | None, choice("none", "LN", "LNPre", "RMS", "RMSPre")] = None
    """what normalises, as TransformerLens calls it: LNPre and RMSPre are the same with the gain folded away"""


def read_model(path: Path, flags: ModelFlags) -> Weights:
    """Read a model and say on stderr what its file does not state."""
    try:
        overrides = Overrides(flags.k, flags.attn_scale, flags.ln_eps, flags.normalization_type)
        weights = load_weights(path, overrides, flags.stated(), tell=lambda text: say(f"pessimal: {text}"))
    except WeightsError:
        kind = what_it_is(path)
        if kind is None or not kind.endswith("not weights"):
            raise
        raise WeightsError(kind) from None
    if weights.architecture.assumed:
        say(f"pessimal: assumed {'; '.join(map(str, weights.architecture.assumed))}")
    return weights


def read_task(weights: Weights, name: str | None) -> tuple[AbstractTask, list[str]]:
    """`inputs.task_of`."""
    if name is None or not is_file_name(name):
        return task_of(weights, name)
    with unreadable():
        return task_of(weights, name)


def read_distribution(path: Path) -> AbstractDistribution:
    """`inputs.load_distribution`."""
    with unreadable():
        return load_distribution(path)
