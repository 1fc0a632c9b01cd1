"""Models to safetensors: the same numbers always give the same bytes.

The safetensors library keeps metadata in a hash map, whose order changes from one call to the next. The
header is therefore written here, in sorted order; the library and `pessimal.spec.read_weights` both read
the result.

Contents:
    file_name — `max4_v64_seed123.safetensors`.
    model_bytes — one model as the bytes of a safetensors file.
    save_models — one file per model, each complete or absent.
    files_of, training_record, file_digest — what a run will write, how it was trained, and the digest of its bytes.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pessimal.train.config import TrainConfig
from pessimal.train.modular_config import ModularConfig
from pessimal.train.trained import TrainedModel

# What does not decide which model comes out, up to the last bits.
HOW_IT_RUNS = {"threads", "device", "checkpoints"}


def file_name(model: TrainedModel) -> str:
    """Name of the file of one model: its configuration, the seed, and the epoch if it is not the last."""
    epoch = "" if model.epoch in {None, model.config.steps} else f"_epoch{model.epoch}"
    return f"{model.config.stem()}_seed{model.seed}{epoch}.safetensors"


def model_bytes(model: TrainedModel) -> bytes:
    """Serialise one model.

    Layout: 8-byte little-endian header length; JSON header with sorted keys, padded with spaces to a multiple
    of 8; little-endian float32 tensors in name order. The metadata states everything about the architecture
    that the tensors do not say.

    Args:
        model: the matrices and their recipe.

    Returns:
        The whole file; a function of the matrices, `k` and the seed alone.

    Cost: one copy of the tensors.
    """
    metadata = {**model.config.metadata(), "seed": str(model.seed)}
    if model.epoch is not None:
        metadata["epoch"] = str(model.epoch)
    header: dict[str, object] = {"__metadata__": metadata}
    body = bytearray()
    for name in sorted(model.tensors):
        array = model.tensors[name]
        start = len(body)
        body += np.ascontiguousarray(array, dtype="<f4").tobytes()
        header[name] = {"data_offsets": [start, len(body)], "dtype": "F32", "shape": list(array.shape)}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(body)


def files_of(config: TrainConfig | ModularConfig, seed: int) -> dict[str, dict[str, Any]]:
    """The files that training one seed writes, by name, each with its `training_record`."""
    epochs = sorted({*config.checkpoints, config.epochs}) if isinstance(config, ModularConfig) else [None]
    models = [TrainedModel(config, seed, {}, 0.0, epoch) for epoch in epochs]
    return {file_name(model): training_record(model) for model in models}


def training_record(model: TrainedModel) -> dict[str, Any]:
    """How a model was trained: everything that decides its numbers, and nothing else."""
    values = {key: value for key, value in asdict(model.config).items() if key not in HOW_IT_RUNS}
    if model.epoch is not None:
        # A longer run passes through the same model.
        values["epochs"] = model.epoch
    return {**values, "seed": model.seed}


def file_digest(model: TrainedModel) -> tuple[str, str]:
    """Name and sha256 of the file of a model."""
    return file_name(model), hashlib.sha256(model_bytes(model)).hexdigest()


def save_models(models: Iterable[TrainedModel], out_dir: Path | str) -> list[Path]:
    """Write one safetensors file per model, replacing files of the same name.

    Each file is written beside its final place and then renamed, so an interruption leaves every file
    complete, as it was before, or absent.

    Args:
        models: trained models.
        out_dir: folder, created if absent.

    Returns:
        The paths written, in the order of `models`.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_whole(folder / file_name(model), model_bytes(model)) for model in models]


def _write_whole(path: Path, data: bytes) -> Path:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
