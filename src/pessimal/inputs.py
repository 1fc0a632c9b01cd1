"""Reading what people write: models, distributions, tasks and machines, refused in one sentence that names the file.

Contents:
    MAX_WEIGHT_BYTES — the largest weights file that is read.
    load_weights — a file, a state dict or a model to `Weights`.
    ConvertedWeights — weights that were not read from a safetensors file as it is.
    convert — the same things to the bytes of a safetensors file.
    conversion_of — the same, with what was done.
    load_distribution — how often every input occurs, from a JSON or TOML file.
    task_of — the task a file says it was trained for.
    is_file_name — whether the word for a task is that of a file.
    read_machine — a task of one's own.
"""

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pessimal.conversion import Conversion, ConversionError, Stated, convert_bytes, convert_object
from pessimal.proving.suggestions import did_you_mean
from pessimal.runs.inputs import STDIN, TooLargeError, kind_of, read_text, read_whole, shown
from pessimal.runs.notices import notice
from pessimal.spec import (
    TASKS,
    AbstractDistribution,
    AbstractTask,
    DistributionError,
    MaxOfK,
    Overrides,
    TaskError,
    Uniform,
    Weights,
    WeightsError,
    read_weights,
)
from pessimal.spec.distribution import PREFIX, distribution_from
from pessimal.spec.tasks import CustomTask, task_from_record

MAX_WEIGHT_BYTES = 1 << 30


@dataclass(frozen=True)
class ConvertedWeights(Weights):
    """A model that was converted before the trusted reader read it; `converted` is pt, npz, state-dict, or safetensors.

    Attributes:
        source_sha256: SHA-256 of the file as given; empty for an object.
        notes: what was done.
    """

    source_sha256: str = ""
    notes: tuple[str, ...] = ()


def load_weights(
    source: Any,
    overrides: Overrides | None = None,
    stated: Stated | None = None,
    *,
    tell: Callable[[str], None] = notice,
) -> Weights:
    """Read a model.

    Args:
        source: a path (`-` is standard input), the bytes of a file, a state dict, or a model such as a
            HookedTransformer. Safetensors files with short or TransformerLens names are read as they are; anything else
            (docs/formats.md) is converted first, and one line on stderr says what was done.
        overrides: architecture values that the file does not state, or that win over it.
        stated: what a file does not say and its conversion needs.
        tell: takes the line on what was converted.

    Raises:
        WeightsError: one sentence naming the file and the tensor.
    """
    with _naming(source, WeightsError):
        if overrides is not None and overrides.k is not None and stated is not None and stated.summed:
            raise ConversionError("summed attention multiplies values by the number of positions: state it as a fact,"
                                  f" n_ctx={overrides.k}, and not as k")  # fmt: skip
    found = conversion_of(source, stated)
    with _naming(source, WeightsError):
        weights = read_weights(found.data, overrides)
    if not found.kind:
        return weights
    tell(found.line(_called(source)))
    own = {field.name: getattr(weights, field.name) for field in fields(Weights)} | {"converted": found.kind}
    return ConvertedWeights(**own, source_sha256=found.source_sha256, notes=found.notes)


def convert(source: Any, stated: Stated | None = None) -> bytes:
    """What `load_weights` reads, as a safetensors file with the names of TransformerLens.

    Args:
        source: as there.
        stated: as there.

    Raises:
        WeightsError: one sentence.
    """
    return conversion_of(source, stated).data


def conversion_of(source: Any, stated: Stated | None = None) -> Conversion:
    """`convert`, with what was done."""
    with _naming(source, WeightsError):
        if isinstance(source, bytes):
            return convert_bytes(source, stated)
        if isinstance(source, Path | str):
            return convert_bytes(read_whole(Path(source), MAX_WEIGHT_BYTES), stated)
        return convert_object(source, stated)


def _called(source: Any) -> str:
    """What a model is called in messages: its file, or what kind of object it is."""
    name = shown(Path(source)) if isinstance(source, Path | str) else type(source).__name__
    return name if name.isprintable() else repr(name)


@contextmanager
def _naming(source: Any, kind: type[ValueError]) -> Iterator[None]:
    """Errors of reading a file, or of this kind, as one sentence of this kind that names the file."""
    try:
        yield
    except OSError as error:
        raise kind(f"{_called(source)}: {error.strerror or 'cannot be read'}") from None
    except (TooLargeError, kind) as error:
        raise kind(f"{_called(source)}: {error}") from None


def load_distribution(path: Path | str) -> AbstractDistribution:
    """Read a distribution: the word `uniform`, or a file, in JSON, or in TOML if the name ends so; whole numbers only.

    `{"name": "product", "weights": [[..], ..]}`, `{"name": "markov", "initial": [..], "transition": [[..], ..]}` or
    `{"name": "uniform"}`.

    Raises:
        DistributionError: one sentence naming the file.
    """
    if str(path) == Uniform.name:
        return Uniform()
    path = Path(path)
    try:
        with _naming(path, DistributionError):
            text = read_text(path)
        record = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except DistributionError:
        raise
    except (ValueError, RecursionError):
        raise DistributionError(f"{shown(path)} is {kind_of(path)}not a JSON or TOML file") from None
    fields = dict(record) if isinstance(record, dict) else {}
    name = fields.pop("name", None)
    arrays = {f"{PREFIX}{key}": value for key, value in fields.items()}
    with _naming(path, DistributionError):
        return distribution_from({"name": name}, arrays)


def task_of(weights: Weights, name: str | None = None) -> tuple[AbstractTask, list[str]]:
    """The task to prove, and what had to be assumed to name it.

    Args:
        weights: the model; its metadata may name the task.
        name: the task's name, its own parameters after it as in `contains-token:token=3` (in the metadata they are
            `task_token` and the like), or the path of a JSON file that describes a machine; wins over the metadata.

    Raises:
        TaskError: unknown task, a parameter that nobody states, or a task that does not fit.
    """
    if name is not None and is_file_name(name):
        return read_machine(Path(name), weights), []
    stated = name or weights.metadata.get("task")
    assumed = [] if stated else [f"task={MaxOfK.name} (not stated in the file)"]
    known, _, words = (stated or MaxOfK.name).partition(":")
    known = known.replace("_", "-")
    if known not in TASKS:
        where = "" if name else " in the metadata of the file"
        hint = did_you_mean(known, TASKS)
        if known.endswith(".py"):
            hint = f"; a Python function becomes a task by: pessimal task {str(stated)[:80]} --out TASK.json"
        raise TaskError(f"unknown task {known[:40]!r}{where}{hint}; known: {', '.join(sorted(TASKS))}")
    shape = weights.architecture.shape
    task = TASKS[known](k=shape.k, d_vocab=shape.d_vocab, **_own_parameters(known, words, weights))
    task.require_fits(weights.architecture)
    return task, assumed


def is_file_name(task: str) -> bool:
    """Whether the word for a task is that of a file: it ends in `.json`, has a slash, or is `-`."""
    return task.endswith(".json") or "/" in task or task == STDIN


def _own_parameters(known: str, words: str, weights: Weights) -> dict[str, int]:
    """Parameters of a task beside its sizes: NAME=VALUE,.. after its name, or `task_NAME` of the metadata."""
    names = [field.name for field in fields(TASKS[known]) if field.name not in {"k", "d_vocab"}]
    given = dict(word.partition("=")[::2] for word in words.split(",") if word)
    unknown = sorted(given.keys() - set(names))
    if unknown:
        hint = did_you_mean(unknown[0], names)
        raise TaskError(f"task {known} has no parameter {unknown[0][:40]!r}{hint}; it has {', '.join(names) or 'none'}")
    own = {}
    for name in names:
        text = given.get(name, weights.metadata.get(f"task_{name}"))
        if text is None:
            raise TaskError(f"task {known} needs {name}; state it as {known}:{name}=0")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise TaskError(f"task {known}: {name}={text[:20]!r} is not a number")
        own[name] = int(text)
    return own


def read_machine(path: Path, weights: Weights | None = None) -> CustomTask:
    """A task from a JSON file with the keys `k`, `d_vocab`, `start`, `moves`, `outputs` (docs/custom-task.md).

    Raises:
        TaskError: not such a file, or a machine that does not fit the model.
    """
    with _naming(path, TaskError):
        try:
            record = json.loads(read_text(path))
        except TooLargeError:
            raise
        except (ValueError, RecursionError):
            raise TaskError(f"{kind_of(path)}not a JSON file") from None
        task = task_from_record({"name": CustomTask.name, **record} if isinstance(record, dict) else record)
        if not isinstance(task, CustomTask):
            raise TaskError(f"the name of a machine is {CustomTask.name!r}")
        if weights is not None:
            task.require_fits(weights.architecture)
        return task
