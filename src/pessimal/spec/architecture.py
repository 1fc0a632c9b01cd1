"""The architecture record: what the tensors do not say by themselves.

Two models with the same tensors and another attention scale are two models, so the record is part of the digest.
Where the file says nothing, the TransformerLens convention of the tensor names applies; `Architecture.assumed` lists
every value that is taken that way or stated by hand, and the verdict line prints it: nothing is chosen silently
(ADR-0003).

Contents:
    ModelShape — the sizes.
    Assumption — a value that the file does not state.
    Architecture — sizes, LayerNorms, biases, scale, and where each value came from.
"""

from dataclasses import dataclass, field
from fractions import Fraction

SOFTMAX, UNIFORM = "causal-softmax", "uniform"
SITES = ("ln1", "ln_final")
LAYER_NORM, RMS = "layer-norm", "rms"
BY_ROOT = "1/sqrt(d_head)"


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a one-layer transformer read at its last position.

    Attributes:
        k: number of positions used, K.
        d_vocab: input tokens, rows of W_E.
        d_vocab_out: output tokens, columns of W_U.
        d_model: width of the residual stream.
        d_head: width of a head.
        n_heads: number of heads.
        d_mlp: neurons, 0 without an MLP.
    """

    k: int
    d_vocab: int
    d_vocab_out: int
    d_model: int
    d_head: int
    n_heads: int = 1
    d_mlp: int = 0

    def n_parameters(self) -> int:
        """Number of matrix entries a bias-free model of this shape has."""
        heads = 4 * self.n_heads * self.d_model * self.d_head
        mlp = 2 * self.d_mlp * self.d_model
        return (self.d_vocab + self.k + self.d_vocab_out) * self.d_model + heads + mlp


@dataclass(frozen=True)
class Assumption:
    """A fact about the architecture that the file does not state.

    Attributes:
        name: key of the metadata that would state it.
        value: what it is taken to be, as in the record.
        source: who says so.
    """

    name: str
    value: str
    source: str

    def item(self) -> str:
        """The assumption as it stands on a verdict line."""
        return f"{self.name}:{self.value}"

    def __str__(self) -> str:
        """The assumption as it is said to a reader."""
        return f"{self.name}={self.value} ({self.source})"


@dataclass(frozen=True)
class Architecture:
    """Everything needed to run the tensors.

    Attributes:
        shape: the sizes.
        n_ctx: rows of W_pos; the model is read at position `shape.k - 1`.
        ln1: what normalises before attention, `layer-norm`, `rms` or None.
        ln_final: likewise before the unembedding.
        ln_eps: its epsilon, exact; zero where nothing normalises.
        attn_scale: factor on the scores, `1/sqrt(d_head)` or a rational.
        biases: names of the bias tensors present.
        attention: `causal-softmax`, or `uniform`: every position has weight 1/K and no score is computed.
        assumed: what the file does not state, in order of names; not part of the digest.
    """

    shape: ModelShape
    n_ctx: int
    ln1: str | None
    ln_final: str | None
    ln_eps: Fraction
    attn_scale: str
    biases: tuple[str, ...]
    attention: str = SOFTMAX
    assumed: tuple[Assumption, ...] = field(default=(), compare=False)

    def scale(self) -> Fraction | None:
        """The factor on the scores; None for 1/sqrt(d_head)."""
        return None if self.attn_scale == BY_ROOT else Fraction(self.attn_scale)

    def record(self) -> dict[str, int | str | list[str]]:
        """The record as it stands in the digest and in a certificate: integers and strings only.

        A model without an MLP has the record it had before there were any, and so its digest.
        """
        mlp: dict[str, int | str] = {"act_fn": "relu", "d_mlp": self.shape.d_mlp} if self.shape.d_mlp else {}
        return {
            **mlp,
            "attention": self.attention,
            "attn_scale": self.attn_scale,
            "biases": list(self.biases),
            "d_head": self.shape.d_head,
            "d_model": self.shape.d_model,
            "d_vocab": self.shape.d_vocab,
            "d_vocab_out": self.shape.d_vocab_out,
            "k": self.shape.k,
            "layers": 1,
            "ln1": self.ln1 or "none",
            "ln_eps": f"{self.ln_eps.numerator}/{self.ln_eps.denominator}",
            "ln_final": self.ln_final or "none",
            "n_ctx": self.n_ctx,
            "n_heads": self.shape.n_heads,
            "positional": "learned-absolute",
        }
