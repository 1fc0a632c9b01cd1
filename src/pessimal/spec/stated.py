"""What a file and its reader state about an architecture, and what is assumed where neither says anything.

A fact is stated by hand, or in the metadata of the file: under its name in a configuration of TransformerLens, or under
its key in the record. What is stated and not understood is refused, and so are two statements that differ.

Contents:
    Overrides — values a user states by hand.
    architecture_of — the record of a file.
    ArchitectureError — one clear sentence naming the tensor or key.
    MAX_K — the largest number of positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import sqrt

from pessimal.spec.architecture import (
    BY_ROOT,
    LAYER_NORM,
    RMS,
    SITES,
    SOFTMAX,
    UNIFORM,
    Architecture,
    Assumption,
    ModelShape,
)
from pessimal.spec.facts import OFF, ON, require_understood

MAX_K = 4096
MAX_DIGITS, MAX_EXPONENT = 40, 400
SMALLEST = Fraction(1, 2**1000)
BY_FLAG = "stated by hand, not read from the file"
UNSTATED = "not stated in the file"
BY_CONVENTION = f"TransformerLens convention, {UNSTATED}"

# normalization_type: what normalises, and whether its gain has been folded into the next matrix.
NORMALIZATIONS = {
    "LN": (LAYER_NORM, False), "LNPre": (LAYER_NORM, True), "RMS": (RMS, False), "RMSPre": (RMS, True),
    "none": (None, True), "None": (None, True),
}  # fmt: skip


class ArchitectureError(ValueError):
    """The architecture is unsupported or not stated; the message names the tensor or key."""


@dataclass(frozen=True)
class Overrides:
    """Architecture values stated by the user; `None` leaves the file or the convention to decide.

    Attributes:
        k: number of positions used (default: every row of W_pos).
        attn_scale: factor on the attention scores, `1/sqrt(d_head)`, `1` or a fraction such as `1/8`.
        ln_eps: epsilon of LayerNorm or RMSNorm, an exact decimal such as `1e-5`.
        normalization_type: one of `NORMALIZATIONS`.
    """

    k: int | None = None
    attn_scale: str | None = None
    ln_eps: str | None = None
    normalization_type: str | None = None


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
    _require_types(overrides)
    ln1, ln_final = _norms(shapes, metadata, overrides, said)
    _supported("positional_embedding_type", ("standard",), metadata, said)
    n_ctx = shapes["W_pos"][0]
    shape = ModelShape(
        k=_positions(n_ctx, metadata, overrides, said),
        d_vocab=shapes["W_E"][0],
        d_vocab_out=shapes["W_U"][1],
        d_model=shapes["W_E"][1],
        d_head=shapes["W_Q"][2],
        n_heads=shapes["W_Q"][0],
        d_mlp=_neurons(shapes, metadata, said),
    )
    try:
        require_understood(metadata, shape)
    except ValueError as error:
        raise ArchitectureError(str(error)) from None
    architecture = Architecture(
        shape=shape,
        n_ctx=n_ctx,
        ln1=ln1,
        ln_final=ln_final,
        ln_eps=_epsilon(metadata, overrides, said) if ln1 or ln_final else Fraction(0),
        attn_scale=_scale(shape.d_head, metadata, overrides, said),
        biases=tuple(sorted(n for n in shapes if n.startswith("b_") or n in {"ln1_b", "ln_final_b"})),
        attention=_supported("attention", (SOFTMAX, UNIFORM), metadata, said),
    )
    values = {
        **architecture.record(),
        "normalization_type": overrides.normalization_type or ("LN" if _gains(shapes) else "none"),
        "positional_embedding_type": "standard",
    }
    return replace(
        architecture, assumed=tuple(Assumption(name, str(values[name]), said[name]) for name in sorted(said))
    )


def _require_types(overrides: Overrides) -> None:
    """Refuse values of other types than are declared."""
    for name, value in vars(overrides).items():
        if value is not None and type(value) is not (int if name == "k" else str):
            raise ArchitectureError(
                f"{name} is stated as {'an integer' if name == 'k' else 'a string'}, not {value!r:.40}"
            )


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


def _supported(name: str, known: tuple[str, ...], metadata: Mapping[str, str], said: dict[str, str]) -> str:
    """The value of the file, one of those known, or the first of these if the file does not say."""
    value = _stated(name, None, metadata, (known[0], UNSTATED), said)
    if value not in known:
        raise ArchitectureError(f"{name} {value[:40]!r} is not supported ({' or '.join(known)})")
    return value


def _norms(
    shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str], overrides: Overrides, said: dict[str, str]
) -> tuple[str | None, str | None]:
    """What normalises before attention and before the unembedding; what is stated must agree with the tensors."""
    gains = _gains(shapes)
    sites = {site: metadata[site] for site in SITES if site in metadata}
    if len(sites) == len(SITES) and overrides.normalization_type is None and "normalization_type" not in metadata:
        return _norms_by_site(shapes, sites)
    kind = _stated(
        "normalization_type", overrides.normalization_type, metadata, ("LN" if gains else "none", UNSTATED), said
    )
    if said.get("normalization_type") == UNSTATED:
        bare = [gain for gain in gains if gain.replace("_w", "_b") not in shapes]
        if bare:
            raise ArchitectureError(
                f"{bare[0]} without a bias may be LayerNorm or RMSNorm, and the file does not say: state"
                " normalization_type LN or RMS (--normalization-type)"
            )
    elif kind not in NORMALIZATIONS:
        raise ArchitectureError(f"normalization_type {kind[:40]!r} is not supported ({', '.join(NORMALIZATIONS)})")
    elif NORMALIZATIONS[kind][1] and gains:
        raise ArchitectureError(f"normalization_type is {kind}, but the file has {gains[0]}")
    elif not NORMALIZATIONS[kind][1] and len(gains) < (1 if overrides.normalization_type else len(SITES)):
        raise ArchitectureError(f"normalization_type is {kind}, but ln1_w or ln_final_w is missing")
    what, folded = NORMALIZATIONS[kind]
    if what and "W_in" in shapes and said.get("normalization_type") != UNSTATED:
        raise ArchitectureError(f"normalization_type {kind} normalises before an MLP too (ln2), which is not supported")
    first, last = (what if folded or f"{site}_w" in shapes else None for site in SITES)
    found = first, RMS if last and metadata.get("final_rms") in ON else last
    for site, norm in zip(SITES, found, strict=True):
        if overrides.normalization_type is None and sites.get(site, norm or "none") != (norm or "none"):
            raise ArchitectureError(f"{site} is {sites[site][:40]}, but normalization_type {kind}")
    return found


def _gains(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    return [f"{site}_w" for site in SITES if f"{site}_w" in shapes]


def _norms_by_site(shapes: Mapping[str, tuple[int, ...]], sites: Mapping[str, str]) -> tuple[str | None, str | None]:
    """`_norms` of a file that states them under the keys of the record."""
    for site, kind in sites.items():
        if kind not in {"none", LAYER_NORM, RMS}:
            raise ArchitectureError(f"{site} {kind[:40]!r} is not supported (none, {LAYER_NORM}, {RMS})")
        if kind == "none" and f"{site}_w" in shapes:
            raise ArchitectureError(f"{site} is none, but the file has {site}_w")
    first, last = (None if sites[site] == "none" else sites[site] for site in SITES)
    return first, last


def _neurons(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str], said: dict[str, str]) -> int:
    """d_mlp; the activation must be ReLU."""
    mlp = "W_in" in shapes or "W_out" in shapes
    if (metadata.get("attn_only") in OFF) != mlp and "attn_only" in metadata:
        raise ArchitectureError(
            f"attn_only is {metadata['attn_only'][:40]}, but the file has {'' if mlp else 'no '}tensors of an MLP"
        )
    if not mlp:
        return 0
    _supported("act_fn", ("relu",), metadata, said)
    return shapes["W_in"][1]


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
    both = {metadata[key] for key in ("ln_eps", "eps") if key in metadata}
    if overrides.ln_eps is None and len({_positive("ln_eps", one) for one in both}) > 1:
        raise ArchitectureError(f"ln_eps is {metadata['ln_eps'][:40]}, but eps {metadata['eps'][:40]}")
    known = {**({"ln_eps": metadata["eps"]} if "eps" in metadata else {}), **metadata}
    return _positive("ln_eps", _stated("ln_eps", overrides.ln_eps, known, ("1e-5", BY_CONVENTION), said))


def _positive(name: str, text: str) -> Fraction:
    """A positive decimal number or fraction of moderate length."""
    try:
        if len(text) > MAX_DIGITS:
            raise ValueError
        exponent = text.lower().partition("e")[2]
        if exponent and abs(int(exponent)) > MAX_EXPONENT:
            raise ValueError
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ArchitectureError(f"{name} {text[:40]!r} is not a decimal number") from None
    if number <= 0:
        raise ArchitectureError(f"{name} must be positive")
    return number


def _scale(d_head: int, metadata: Mapping[str, str], overrides: Overrides, said: dict[str, str]) -> str:
    """The factor on scores, as in the record.

    A plain number in a file is what TransformerLens stores there, a divisor; a fraction is the factor itself. The float
    nearest to sqrt(d_head), which TransformerLens fills in, stands for that root.
    """
    used = metadata.get("use_attn_scale", "True")
    if used not in {*ON, *OFF}:
        raise ArchitectureError(f"use_attn_scale {used[:40]!r} is not True or False")
    known = dict(metadata)
    if used in OFF:
        if "/" in known.get("attn_scale", ""):
            raise ArchitectureError(f"use_attn_scale is {used}, but attn_scale is {known['attn_scale'][:40]}")
        known["attn_scale"] = "1"
    elif "use_attn_scale" in metadata or known.get("attn_scale") in {"-1", "-1.0"}:
        known["attn_scale"] = BY_ROOT if known.get("attn_scale", "-1") in {"-1", "-1.0"} else known["attn_scale"]
    scale = _stated("attn_scale", overrides.attn_scale, known, (BY_ROOT, BY_CONVENTION), said)
    if scale in {BY_ROOT, "1"}:
        return scale
    number = _positive("attn_scale", scale)
    if not SMALLEST <= number <= 1 / SMALLEST:
        raise ArchitectureError(f"attn_scale {scale[:40]!r} is beyond 2**1000, or below its inverse")
    if "/" in scale:
        return str(number)
    if overrides.attn_scale is not None:
        raise ArchitectureError(
            f"attn_scale {scale[:40]} is a factor here and a divisor in TransformerLens: state the factor as a"
            f" fraction, such as 1/{d_head}"
        )
    return BY_ROOT if number <= d_head and float(number) == sqrt(d_head) else str(1 / number)
