"""From the tree of a file to one state dict: which dictionary it is, what its names begin with, what is left out.

Contents:
    StateDict — tensors by the names that files of the field use, and what was done to find them.
    state_dict_of — a tree to its state dict.
    is_weight — whether a name is one of a weight.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pessimal.conversion.configuration import HEADS, facts_beside, facts_of, merged
from pessimal.conversion.interface import ConversionError, Stated, Tensor, said
from pessimal.conversion.names import BUFFERS, HOOKED, LINEAR, WRAPPERS, is_beside, last_component, without_wrappers

MASKS = {"mask", "causal_mask"}
INTEGERS = {"I64", "I32", "I16", "I8", "U8"}
MAX_DEPTH = 3
MAX_TENSORS = 1_000
USUAL = ("model_state_dict", "state_dict", "model", "module")
ENDINGS = frozenset(last_component(key) for key in (*HOOKED, *LINEAR)) - {"weight", "bias", "w", "b"}
LINEAR_ENDINGS = frozenset(".".join(key.split(".")[-2:]) for key in LINEAR)


@dataclass
class StateDict:
    """Tensors of one model.

    Attributes:
        tensors: by key.
        facts: what configurations beside them say.
        notes: what was done, in words.
        prefix: what all keys began with.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    prefix: str = ""

    def bare(self, key: str) -> str:
        """A key of the file as it stands here."""
        return without_wrappers(key).removeprefix(self.prefix)


def state_dict_of(tree: Any, stated: Stated) -> StateDict:
    """The state dict in a tree.

    Args:
        tree: a state dict, or dictionaries with one inside, as training code saves them.
        stated: may name the one to take.

    Raises:
        ConversionError: none, or several.
    """
    if not isinstance(tree, Mapping):
        raise ConversionError("it holds no state dict (a dictionary of tensors by name); save model.state_dict()")
    found = dict(_candidates(tree, (), 0))
    path = _choice(tree, found, stated)
    inner = found[path]
    beside = {key: _scalar(key, value) for key, value in inner.items()}
    _require_tensors(beside)
    facts = merged(facts_of(_plain(beside)), facts_beside(beside))
    for holder in _along(tree, path):
        facts = merged(facts, facts_beside(holder))
    notes = [f"took the state dict {said('/'.join(path))}"] if path else []
    tensors = {key: value for key, value in inner.items() if isinstance(key, str) and isinstance(value, Tensor)}
    tensors = {key: tensor for key, tensor in tensors.items() if isinstance(beside[key], Tensor)}
    if len(tensors) > MAX_TENSORS:
        raise ConversionError(f"it has {len(tensors)} tensors, and a one-layer transformer has about 20")
    result = StateDict(tensors, facts, notes)
    _strip(result)
    return result


def _plain(entries: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in entries.items() if not isinstance(value, Tensor | Mapping)}


def _require_tensors(entries: Mapping[Any, Any]) -> None:
    """Raise `ConversionError` where a part of the model is something else than a tensor."""
    for key, value in entries.items():
        named = isinstance(key, str) and is_weight(key) and value is not None and not isinstance(value, bool)
        if (named and not isinstance(value, Tensor)) or (isinstance(value, Mapping) and any(_candidates(value, (), 0))):
            raise ConversionError(f"its entry {said(str(key))} lies among tensors and is none")


def _scalar(key: Any, value: Any) -> Any:
    """A number of heads that was saved as an array among the others, as a number."""
    if key in HEADS and isinstance(value, Tensor) and value.shape == () and value.dtype in INTEGERS:
        return int(value.read())
    return value


def _candidates(tree: Mapping[Any, Any], path: tuple[str, ...], depth: int) -> Any:
    """All dictionaries with tensors that are named as weights are, by their place."""
    if any(isinstance(value, Tensor) and isinstance(key, str) and is_weight(key) for key, value in tree.items()):
        yield path, tree
        return
    if depth < MAX_DEPTH:
        for key, value in list(tree.items())[:MAX_TENSORS]:
            if isinstance(value, Mapping) and isinstance(key, str):
                yield from _candidates(value, (*path, key), depth + 1)


def is_weight(key: str) -> bool:
    """Whether a name is one of a weight, under any of the names of the field."""
    return last_component(key) in ENDINGS or ".".join(without_wrappers(key).split(".")[-2:]) in LINEAR_ENDINGS


def _choice(tree: Mapping[Any, Any], found: Mapping[tuple[str, ...], Any], stated: Stated) -> tuple[str, ...]:
    """The place of the one to take."""
    names = ", ".join(said("/".join(path)) for path in list(found)[:MAX_DEPTH])
    if stated.state_dict is not None:
        path = tuple(stated.state_dict.split("/"))
        if path not in found:
            others = "the file is one itself" if list(found) == [()] else f"there are: {names or 'none'}"
            raise ConversionError(f"it has no state dict {said(stated.state_dict)}; {others}")
        return path
    if not found:
        raise ConversionError(
            "it holds no state dict with names of a one-layer transformer (embed.W_E, blocks.0.attn.W_Q, ... of"
            f" TransformerLens, or W_E, W_Q, ...){_names_in(tree)}"
        )
    usual = [path for path in found if path and path[-1] in USUAL]
    choices = list(found) if len(found) == 1 else usual
    if len(choices) != 1:
        raise ConversionError(f"it holds several state dicts: {names}; name one with --state-dict")
    return choices[0]


def _names_in(tree: Any, depth: int = 0) -> str:
    """The first names of tensors in a file that has none of ours."""
    names = [key for key, value in tree.items() if isinstance(key, str) and isinstance(value, Tensor)]
    if names:
        return f"; it has tensors {', '.join(said(name) for name in names[:MAX_DEPTH])}"
    inner = [value for value in tree.values() if isinstance(value, Mapping)] if depth < MAX_DEPTH else []
    return next((found for found in (_names_in(one, depth + 1) for one in inner) if found), "")


def _along(tree: Mapping[Any, Any], path: tuple[str, ...]) -> list[Mapping[Any, Any]]:
    """The dictionaries that are passed on the way to a place."""
    holders = [tree] if path else []
    for key in path[:-1]:
        holders.append(holders[-1][key])
    return holders


def _strip(found: StateDict) -> None:
    """Take away wrappers, the beginning that all names share, and tensors that are no weights by their name."""
    wrapped = sorted({part for key in found.tensors for part in key.split(".")} & WRAPPERS)
    tensors: dict[str, Tensor] = {}
    for key, tensor in found.tensors.items():
        bare = without_wrappers(key)
        if bare in tensors and not _same(tensors[bare], tensor):
            raise ConversionError(f"two tensors have the name {said(bare)} and different numbers")
        tensors[bare] = tensor
    if wrapped:
        found.notes.append(f"stripped {', '.join(repr(part + '.') for part in wrapped)} from the names")
    found.prefix = _shared([key for key in tensors if not is_beside(key)])
    if found.prefix:
        found.notes.append(f"stripped the prefix {said(found.prefix)}")
    tensors = {key.removeprefix(found.prefix): tensor for key, tensor in tensors.items()}
    beside = [key for key in tensors if is_beside(key)]
    if beside:
        words = ", ".join(said(key) for key in beside[:MAX_DEPTH])
        verb = "tensor {} is no weight" if len(beside) == 1 else "tensors {} are no weights"
        found.notes.append(f"left out: {verb.format(words)} of a one-layer transformer")
    for key, tensor in tensors.items():
        if last_component(key) in MASKS and not _is_causal(tensor):
            raise ConversionError(f"tensor {said(key)} hides other positions than those that come later")
    left = {key for key in tensors if last_component(key) in BUFFERS or is_beside(key)}
    found.tensors = {key: tensor for key, tensor in tensors.items() if key not in left}


def _is_causal(mask: Tensor) -> bool:
    """Whether a mask shows every position itself and what comes before it, and nothing else."""
    shown = mask.read() != 0
    while shown.ndim > 2 and shown.shape[0] == 1:
        shown = shown[0]
    return shown.ndim == 2 and bool((shown == np.tril(np.ones(shown.shape, dtype=bool))).all())


def _shared(keys: list[str]) -> str:
    """The components that all keys begin with."""
    if not keys:
        return ""
    split = [key.split(".")[:-1] for key in keys]
    shared = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "".join(f"{part}." for part in shared)


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same numbers."""
    return one.dtype == other.dtype and one.shape == other.shape and one.read().tobytes() == other.read().tobytes()
