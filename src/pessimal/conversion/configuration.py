"""What a file's own configuration says of its model, as the strings that the trusted reader reads from metadata.

Values keep the names that TransformerLens gives them, and their texts; only an activation in capitals is put into ours.

Contents:
    is_about_architecture — whether a name states something of a forward pass.
    CONFIGURATIONS — names of dictionaries that describe the model.
    facts_of — a configuration object or dictionary to its plain values.
    facts_beside — those beside a state dict.
    as_mapping — a dictionary, or JSON text of one.
    metadata_of — plain values to strings.
    heads_of — the number of heads that a configuration states.
    merged — two configurations that must not contradict each other.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pessimal.conversion.interface import ConversionError, Tensor, said
from pessimal.spec.facts import FREE, NEUTRAL, SIZES, looks_like_fact

MAX_KEYS, MAX_KEY, MAX_VALUE, MAX_JSON, MAX_DEPTH = 256, 100, 500, 100_000, 3
CONFIGURATIONS = (
    "cfg", "config", "configuration", "model_config", "model_cfg", "model_args", "hparams", "hyper_parameters",
    "hyperparameters", "args",
)  # fmt: skip
# Of a file that holds the configuration; it states nothing itself.
NAME = re.compile(r"[\w./\\-]*", re.ASCII)
HEADS = ("n_heads", "num_heads", "n_head", "num_attention_heads", "heads")
# Of training, not of the forward pass, whatever else the name says.
TRAINING = re.compile(
    r"(?:^|[_.\-])(?:adam|betas?|clip|data|dataset|decay|dropout|grad|init|initializer|learning|log|logging|loss|lr"
    r"|momentum|optim|optimi[sz]er|sampler|scaler|sched|scheduler|seed|train|trainer|training|wandb|warmup|weight_decay)"
    r"(?:$|[_.\-\d])",
    re.ASCII | re.IGNORECASE,
)
# Beside one of these, eps is that of an optimiser.
OPTIMISES = re.compile(r"lr|learning_rate|weight_decay|betas?|beta[12]|momentum", re.ASCII | re.IGNORECASE)
KNOWN = frozenset({*NEUTRAL, *FREE, *SIZES, *HEADS, "eps", "n_ctx"})
# What a configuration of TransformerLens has beside facts about the forward pass.
ASIDE = frozenset(
    {"checkpoint_index", "checkpoint_label_type", "checkpoint_value", "default_prepend_bos", "device", "dtype",
     "from_checkpoint", "init_mode", "init_weights", "initializer_range", "model_name", "n_devices",
     "n_params", "original_architecture", "seed", "tokenizer_name", "tokenizer_prepends_bos"}
)  # fmt: skip


def is_about_architecture(key: str) -> bool:
    """Whether a name is one that the trusted reader reads or refuses; words of training are none."""
    return key in KNOWN or (looks_like_fact(key) and not TRAINING.search(key))


def _of_training(key: str) -> bool:
    """Whether a name has a word of architectures, and is about training all the same."""
    return looks_like_fact(key) and not is_about_architecture(key)


def facts_of(configuration: Any, depth: int = 0) -> dict[str, Any]:
    """The values of a configuration that are numbers, strings, truth values, None, or lists of those.

    A configuration inside it counts as its part, and so does what its other sections say of an architecture. A fact
    that is no plain value keeps its name, so that the trusted reader refuses it by that.

    Raises:
        ConversionError: too many, or two that disagree.
    """
    found: dict[str, Any] = {}
    values = _values(configuration)
    optimises = any(OPTIMISES.fullmatch(key) for key in values if isinstance(key, str))
    for key, value in values.items():
        if not isinstance(key, str) or key.startswith("_") or len(key) > MAX_KEY or (optimises and key == "eps"):
            continue
        if isinstance(value, np.generic):
            value = value.item()  # noqa: PLW2901 - the same value
        inner = as_mapping(value) if depth < MAX_DEPTH else None
        if inner is not None and (key in CONFIGURATIONS or not is_about_architecture(key)):
            part = facts_of(inner, depth + 1)
            found = merged(found, part if key in CONFIGURATIONS else _architectural(key, part))
        elif _is_plain(value) and not (key in CONFIGURATIONS and NAME.fullmatch(_text(value))):
            found = merged(found, {key: value})
        elif not _is_plain(value) and is_about_architecture(key) and key not in ASIDE:
            found = merged(found, {key: f"({type(value).__name__})"})
        if len(found) > MAX_KEYS:
            raise ConversionError(f"a configuration in it has over {MAX_KEYS} entries, and one of a model about 60")
    return found


def _values(configuration: Any) -> Mapping[Any, Any]:
    """Entries by name; of an object its attributes, however they are made."""
    if isinstance(configuration, Mapping):
        return configuration
    if configuration is None or isinstance(configuration, str | int | float | type) or callable(configuration):
        return {}
    names = [name for name in dir(configuration) if not name.startswith("_")][: 16 * MAX_KEYS]
    pairs = {name: getattr(configuration, name, None) for name in names}
    return {name: value for name, value in pairs.items() if not callable(value) or is_about_architecture(name)}


def _architectural(key: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """What a section of a configuration says of the model; nothing, if it is one of training."""
    return {} if TRAINING.search(key) else {name: value for name, value in part.items() if is_about_architecture(name)}


def facts_beside(holder: Mapping[Any, Any]) -> dict[str, Any]:
    """What lies beside a state dict: configurations, and values under names of architectures."""
    beside = {key: value for key, value in holder.items() if isinstance(key, str) and not _holds_tensors(value)}
    found = facts_of({key: value for key, value in beside.items() if key in CONFIGURATIONS})
    return merged(found, {k: v for k, v in facts_of(beside).items() if is_about_architecture(k)})


def _holds_tensors(value: Any, depth: int = 0) -> bool:
    """Whether a value is a tensor or has one: another state dict, the state of an optimiser."""
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        return any(_holds_tensors(one, depth + 1) for one in value.values())
    return isinstance(value, Tensor)


def as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """A configuration that is a dictionary, or JSON text of one without a key twice; None if it is neither."""
    if isinstance(value, str) and value.lstrip().startswith("{") and len(value) <= MAX_JSON:
        try:
            value = json.loads(value, object_pairs_hook=_once)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, Mapping) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose keys are all different."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= MAX_KEYS and all(isinstance(one, str | int | float) for one in value)
    return value is None or isinstance(value, str | int | float)


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both.

    Raises:
        ConversionError: they disagree.
    """
    for key in one.keys() & other.keys():
        if _text(one[key]) != _text(other[key]):
            raise ConversionError(
                f"its configurations disagree on {said(key)}: {one[key]!r:.40} and {other[key]!r:.40}"
            )
    return {**one, **other}


def heads_of(facts: Mapping[str, Any]) -> int | None:
    """The number of heads that is stated, under any usual name."""
    for key in HEADS:
        text = _text(facts.get(key, ""))
        if text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0:
            return int(text)
    return None


def metadata_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """Plain values, from `facts_of`, as strings."""
    texts = {key: _text(facts[key]) for key in sorted(facts) if key not in ASIDE and not _of_training(key)}
    metadata = {key: text for key, text in texts.items() if len(text) <= MAX_VALUE or is_about_architecture(key)}
    if isinstance(facts.get("act_fn"), str) and metadata["act_fn"].lower() == "relu":
        metadata["act_fn"] = "relu"
    return metadata


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return json.dumps(list(value))
    return value if isinstance(value, str) else str(value)
