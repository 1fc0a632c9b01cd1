"""A model handed over in Python: a state dict, or an object that has one. Torch is not imported.

Contents:
    read_object — an object to a tree of tensors, and what its configuration says.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pessimal.conversion.configuration import CONFIGURATIONS, as_mapping, facts_of, merged
from pessimal.conversion.interface import ConversionError, Tensor, said
from pessimal.conversion.numpy_archive import WORDS

BFLOAT16 = "bfloat16"
MAX_MODULES = 1_000
PLAIN = (str, bytes, int, float, list, tuple)
MAX_DEPTH = 4


def read_object(model: Any) -> tuple[dict[Any, Any], dict[str, Any]]:
    """The tree of a model, and plain values of its configuration.

    Args:
        model: a mapping of names to torch tensors or arrays, perhaps inside other mappings; or an object with a method
            `state_dict`, such as a HookedTransformer, whose attribute `cfg` is then its configuration.

    Raises:
        ConversionError: neither.
    """
    if isinstance(model, Mapping):
        return _tree(model, 0), {}
    method = getattr(model, "state_dict", None)
    if not callable(method) or isinstance(model, type):
        raise ConversionError(
            f"{type(model).__name__} is no path, no bytes, no state dict and no model with a method state_dict()"
        )
    state = method()
    if not isinstance(state, Mapping):
        raise ConversionError(f"state_dict() of {type(model).__name__} gives no mapping")
    return _tree(state, 0), _configurations(model)


def _configurations(model: Any) -> dict[str, Any]:
    """What the configurations of a model and of the modules inside it say."""
    inside = getattr(model, "modules", None)
    modules = list(inside()) if callable(inside) else []
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for part in [model, *modules[:MAX_MODULES]]:
        for name in CONFIGURATIONS:
            configuration = getattr(part, name, None)
            if configuration is not None and id(configuration) not in seen:
                seen.add(id(configuration))
                found = merged(found, facts_of(as_mapping(configuration) or configuration))
    return found


def _tree(values: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
    """Mappings stay, what holds numbers becomes tensors, objects with attributes become mappings of these."""
    found: dict[Any, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found[key] = _tree(value, depth + 1) if depth < MAX_DEPTH else {}
        elif isinstance(value, np.generic):
            found[key] = value.item()
        elif hasattr(value, "shape") and hasattr(value, "dtype"):
            found[key] = _tensor(str(key), value)
        elif not (value is None or callable(value) or isinstance(value, PLAIN)):
            found[key] = facts_of(value)
        else:
            found[key] = value
    return found


def _tensor(key: str, value: Any) -> Tensor:
    """A tensor of torch or an array; moved to the processor when it is read."""
    kind = str(value.dtype).removeprefix("torch.")
    word = "BF16" if kind == BFLOAT16 else None
    if word is None:
        try:
            word = WORDS.get(np.dtype(kind).str[1:], kind)
        except TypeError:
            word = kind
    return Tensor(word, tuple(int(side) for side in value.shape), lambda: _numbers(key, value, kind))


def _numbers(key: str, value: Any, kind: str) -> np.ndarray:
    try:
        if hasattr(value, "detach"):
            value = value.detach()
            # NumPy has no bfloat16: torch's own widening is exact.
            value = value.float() if kind == BFLOAT16 else value
            return np.array(value.cpu().numpy())
        array = np.asarray(value)
        return array.astype(np.float32) if kind == BFLOAT16 else array
    except (TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise ConversionError(f"tensor {said(key)} cannot be read: {str(error).splitlines()[0][:200]}") from None
