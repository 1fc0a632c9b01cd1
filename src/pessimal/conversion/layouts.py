"""How the matrices of a file are laid out, and how they become those of TransformerLens.

| layout | W_E | W_Q, W_K, W_V | W_O | W_in, W_out | W_U |
|---|---|---|---|---|---|
| TransformerLens 1 to 3 | v m | h m d | h d m | m f, f m | m o |
| early grokking code | m v | h d m | m (h d) | f m, m f | m o |
| TransformerBridge, torch.nn.Linear | v m | (h d) m | m (h d) | f m, m f | o m |

(v tokens, m width of the stream, h heads, d width of a head, f neurons, o outputs; W_pos is n_ctx m in all.) The third
is told by its names. The first two have the same names, so the shapes of all tensors together tell them apart; where
they fit both, nothing in the file decides, and the user is asked.

Contents:
    arranged — arrays in the layout of TransformerLens.
"""

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from pessimal.conversion.interface import CURRENT, EARLY, ORIENTATIONS, ConversionError, Stated, said
from pessimal.spec.weights import AXES

EARLY_AXES = {
    **AXES, "W_E": "m v", "W_Q": "h d m", "W_K": "h d m", "W_V": "h d m", "W_O": "m hd", "W_in": "f m", "W_out": "m f",
}  # fmt: skip
BOTH = "hd"
ASKED = "state the orientation (--orientation transformer-lens or early)"


def arranged(
    hooked: dict[str, np.ndarray], linear: dict[str, np.ndarray], n_heads: int | None, stated: Stated, notes: list[str]
) -> dict[str, np.ndarray]:
    """All arrays by canonical name, in the layout of TransformerLens.

    Args:
        hooked: arrays under names of HookedTransformer.
        linear: arrays under names of TransformerBridge.
        n_heads: the number of heads, if it is stated.
        stated: may state the orientation.
        notes: gets what was done.

    Raises:
        ConversionError: no layout fits, two fit, or the number of heads is needed and not stated.
    """
    if linear:
        if stated.orientation == EARLY:
            raise ConversionError("names of TransformerBridge have one orientation, that of torch.nn.Linear")
        turned = {name: _from_linear(name, array, n_heads) for name, array in linear.items()}
        notes.append(f"renamed and laid out from TransformerBridge ({n_heads} heads, as stated)")
        return {**hooked, **turned}
    fits = [kind for kind, axes in ((CURRENT, AXES), (EARLY, EARLY_AXES)) if _fits(hooked, axes)]
    kind = _orientation(hooked, fits, stated)
    if kind == CURRENT:
        return dict(hooked)
    notes.append("transposed as in the early grokking code (W_E [d_model, d_vocab], W_O [d_model, n_heads * d_head])")
    heads = hooked["W_Q"].shape[0] if "W_Q" in hooked and hooked["W_Q"].ndim == 3 else 1
    return {name: _from_early(name, array, heads) for name, array in hooked.items()}


def _orientation(arrays: Mapping[str, np.ndarray], fits: list[str], stated: Stated) -> str:
    """The layout to take."""
    if stated.orientation is not None:
        if stated.orientation not in ORIENTATIONS:
            raise ConversionError(f"orientation {said(stated.orientation)} is not one of {', '.join(ORIENTATIONS)}")
        if stated.orientation not in fits:
            raise ConversionError(f"the shapes of its tensors do not fit the orientation {stated.orientation}")
        return stated.orientation
    # Without a head axis anywhere it is pessimal's own short form, which has one orientation.
    has_heads = "W_Q" in arrays and arrays["W_Q"].ndim == 3
    if len(fits) == len(ORIENTATIONS) and has_heads and "W_O" in arrays:
        raise ConversionError(f"its tensors are square and fit two orientations; {ASKED}")
    return EARLY if fits == [EARLY] else CURRENT


def _fits(arrays: Mapping[str, np.ndarray], table: Mapping[str, str]) -> bool:
    """Whether every axis gets one size."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        axes = table[name].split()
        shape = array.shape
        if axes[0] == "h" and len(shape) == len(axes) - 1:
            shape = (1, *shape)
        if len(shape) != len(axes):
            return False
        if any(sizes.setdefault(axis, side) != side for axis, side in zip(axes, shape, strict=True)):
            return False
    return BOTH not in sizes or sizes[BOTH] == prod(sizes.get(axis, 0) for axis in BOTH)


def _from_early(name: str, array: np.ndarray, heads: int) -> np.ndarray:
    if name == "W_O":
        return array.T.reshape(heads, -1, array.shape[0])
    if name in {"W_E", "W_in", "W_out"}:
        return array.T
    return np.swapaxes(array, -1, -2) if name in {"W_Q", "W_K", "W_V"} else array


def _from_linear(name: str, array: np.ndarray, n_heads: int | None) -> np.ndarray:
    """One tensor of torch.nn.Linear, torch.nn.Embedding or torch.nn.LayerNorm."""
    expected = {"W": 2, "b": 1, "l": 1}[name[0]]
    if array.ndim != expected:
        raise ConversionError(f"tensor {said(name)} has {array.ndim} axes where TransformerBridge has {expected}")
    if name not in BY_HEAD:
        return array.T if name in {"W_U", "W_in", "W_out"} else array
    if n_heads is None:
        raise ConversionError(
            f"the number of heads is not in the shapes of its matrices ({name} is {' x '.join(map(str, array.shape))});"
            " state it (--n-heads)"
        )
    side = array.shape[1] if name == "W_O" else array.shape[0]
    if side % n_heads:
        raise ConversionError(f"{n_heads} heads do not divide the {side} rows of its heads together ({name})")
    return BY_HEAD[name](array, n_heads)


def _split_rows(array: np.ndarray, n_heads: int) -> np.ndarray:
    return array.reshape(n_heads, -1, array.shape[1]).swapaxes(1, 2)


BY_HEAD: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    **dict.fromkeys(("W_Q", "W_K", "W_V"), _split_rows),
    **dict.fromkeys(("b_Q", "b_K", "b_V"), lambda array, n_heads: array.reshape(n_heads, -1)),
    "W_O": lambda array, n_heads: array.T.reshape(n_heads, -1, array.shape[0]),
}
