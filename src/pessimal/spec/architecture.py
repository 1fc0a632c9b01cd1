"""The architecture record: what the tensors do not say by themselves.

Two models with the same tensors and another attention scale are two models, so the record is part of the digest.
Where the file says nothing, the TransformerLens convention of the tensor names applies; `Architecture.assumed` lists
every value that is taken that way or stated by hand, and the verdict line prints it: nothing is chosen silently
(ADR-0003).

Contents:
    ModelShape — the sizes.
    Overrides — values a user states by hand.
    Assumption — a value that the file does not state.
    Architecture — sizes, LayerNorms, biases, scale, and where each value came from.
    architecture_of — the record of a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

SCALES = ("1/sqrt(d_head)", "1")
SOFTMAX, UNIFORM = "causal-softmax", "uniform"
MAX_K = 4096


class ArchitectureError(ValueError):
    """The architecture is unsupported or not stated; the message names the tensor or key."""


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
class Overrides:
    """Architecture values stated by the user; `None` leaves the file or the convention to decide.

    Attributes:
        k: number of positions used (default: every row of W_pos).
        attn_scale: factor on the attention scores, one of `SCALES`.
        ln_eps: LayerNorm epsilon, an exact decimal such as `1e-5`.
    """

    k: int | None = None
    attn_scale: str | None = None
    ln_eps: str | None = None


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
        """As it stands on a verdict line."""
        return f"{self.name}:{self.value}"

    def __str__(self) -> str:
        """As it is said to a reader."""
        return f"{self.name}={self.value} ({self.source})"


BY_FLAG = "stated by hand, not read from the file"
UNSTATED = "not stated in the file"
BY_CONVENTION = f"TransformerLens convention, {UNSTATED}"


@dataclass(frozen=True)
class Architecture:
    """Everything needed to run the tensors.

    Attributes:
        shape: the sizes.
        n_ctx: rows of W_pos; the model is read at position `shape.k - 1`.
        ln1: LayerNorm before attention.
        ln_final: LayerNorm before the unembedding.
        ln_eps: its epsilon, exact; zero when there is no LayerNorm.
        attn_scale: factor on the scores.
        biases: names of the bias tensors present.
        attention: `causal-softmax`, or `uniform`: every position has weight 1/K and no score is computed.
        assumed: what the file does not state, in order of names; not part of the digest.
    """

    shape: ModelShape
    n_ctx: int
    ln1: bool
    ln_final: bool
    ln_eps: Fraction
    attn_scale: str
    biases: tuple[str, ...]
    attention: str = SOFTMAX
    assumed: tuple[Assumption, ...] = field(default=(), compare=False)

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
            "ln1": "layer-norm" if self.ln1 else "none",
            "ln_eps": f"{self.ln_eps.numerator}/{self.ln_eps.denominator}",
            "ln_final": "layer-norm" if self.ln_final else "none",
            "n_ctx": self.n_ctx,
            "n_heads": self.shape.n_heads,
            "positional": "learned-absolute",
        }


def architecture_of(
    shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str], overrides: Overrides
) -> Architecture:
    """Build the record from canonical tensor shapes, the file's metadata and the user's overrides.

    Args:
        shapes: canonical tensor name to shape, head axis first.
        metadata: the string map of the file, possibly empty.
        overrides: values that win over the metadata.

    Raises:
        ArchitectureError: unsupported or contradictory values.
    """
    said: dict[str, str] = {}
    ln1, ln_final = _layer_norms(shapes, metadata, said)
    positional = _stated("positional_embedding_type", None, metadata, ("standard", UNSTATED), said)
    if positional != "standard":
        raise ArchitectureError(f"positional_embedding_type {positional[:40]!r} is not supported (standard)")
    n_ctx = shapes["W_pos"][0]
    found = Architecture(
        shape=ModelShape(
            k=_positions(n_ctx, metadata, overrides, said),
            d_vocab=shapes["W_E"][0],
            d_vocab_out=shapes["W_U"][1],
            d_model=shapes["W_E"][1],
            d_head=shapes["W_Q"][2],
            n_heads=shapes["W_Q"][0],
            d_mlp=_neurons(shapes, metadata, said),
        ),
        n_ctx=n_ctx,
        ln1=ln1,
        ln_final=ln_final,
        ln_eps=_epsilon(metadata, overrides, said) if ln1 or ln_final else Fraction(0),
        attn_scale=_scale(metadata, overrides, said),
        biases=tuple(sorted(n for n in shapes if n.startswith("b_") or n in {"ln1_b", "ln_final_b"})),
        attention=_attention(metadata, said),
    )
    norms = {"normalization_type": "LN" if ln1 or ln_final else "none", "positional_embedding_type": "standard"}
    values = {**found.record(), **norms}
    return replace(found, assumed=tuple(Assumption(name, str(values[name]), said[name]) for name in sorted(said)))


def _stated(
    name: str, by_hand: str | None, metadata: Mapping[str, str], otherwise: tuple[str, str], said: dict[str, str]
) -> str:
    """What is stated by hand or in the file, or `otherwise` (value, why); `said` gets who, unless it is the file."""
    if by_hand is not None:
        said[name] = BY_FLAG
        return by_hand
    if name in metadata:
        return metadata[name]
    value, said[name] = otherwise
    return value


def _layer_norms(
    shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str], said: dict[str, str]
) -> tuple[bool, bool]:
    """Whether there is a LayerNorm before attention and before the unembedding; what is stated must agree."""
    kind = _stated("normalization_type", None, metadata, ("", UNSTATED), said)
    has = tuple(f"{site}_w" in shapes for site in ("ln1", "ln_final"))
    if kind not in {"None", "none", "LN", "LNPre"} and "normalization_type" not in said:
        raise ArchitectureError(f"normalization_type {kind[:40]!r} is not supported (LN, LNPre or none)")
    if kind == "LN" and not all(has):
        raise ArchitectureError("normalization_type is LN, but ln1_w or ln_final_w is missing")
    if kind in {"None", "none", "LNPre"} and any(has):
        raise ArchitectureError(f"normalization_type is {kind}, but the file has ln1_w or ln_final_w")
    return (True, True) if kind == "LNPre" else (has[0], has[1])


def _neurons(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str], said: dict[str, str]) -> int:
    """d_mlp; the activation must be ReLU."""
    if "W_in" not in shapes and "W_out" not in shapes:
        return 0
    kind = _stated("act_fn", None, metadata, ("relu", UNSTATED), said)
    if kind != "relu":
        raise ArchitectureError(f"act_fn {kind[:40]!r} is not supported (relu)")
    return shapes["W_in"][1]


def _attention(metadata: Mapping[str, str], said: dict[str, str]) -> str:
    attention = _stated("attention", None, metadata, (SOFTMAX, UNSTATED), said)
    if attention not in {SOFTMAX, UNIFORM}:
        raise ArchitectureError(f"attention {attention[:40]!r} is not supported ({SOFTMAX} or {UNIFORM})")
    return attention


def _positions(n_ctx: int, metadata: Mapping[str, str], overrides: Overrides, said: dict[str, str]) -> int:
    k = n_ctx
    if overrides.k is not None:
        k = overrides.k
        said["k"] = BY_FLAG
    elif "n_ctx" in metadata:
        text = metadata["n_ctx"]
        if not text.isascii() or not text.isdigit() or len(text) > 6:
            raise ArchitectureError(f"metadata n_ctx={text[:20]!r} is not a number of positions")
        k = int(text)
    if not 1 <= k <= min(n_ctx, MAX_K):
        raise ArchitectureError(f"k={k} positions asked of W_pos with {n_ctx} rows (1 to {min(n_ctx, MAX_K)})")
    return k


def _epsilon(metadata: Mapping[str, str], overrides: Overrides, said: dict[str, str]) -> Fraction:
    # TransformerLens calls it eps.
    known = {**({"ln_eps": metadata["eps"]} if "eps" in metadata else {}), **metadata}
    text = _stated("ln_eps", overrides.ln_eps, known, ("1e-5", BY_CONVENTION), said)
    try:
        if len(text) > 40:
            raise ValueError
        exponent = text.lower().partition("e")[2]
        if exponent and abs(int(exponent)) > 400:
            raise ValueError
        eps = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ArchitectureError(f"ln_eps {text[:40]!r} is not a decimal number") from None
    if eps <= 0:
        raise ArchitectureError("ln_eps must be positive")
    return eps


def _scale(metadata: Mapping[str, str], overrides: Overrides, said: dict[str, str]) -> str:
    scale = _stated("attn_scale", overrides.attn_scale, metadata, (SCALES[0], BY_CONVENTION), said)
    if scale not in SCALES:
        raise ArchitectureError(f"attn_scale {scale[:40]!r} is not one of {', '.join(SCALES)}")
    return scale
