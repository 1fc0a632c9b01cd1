"""Files for the trusted reader: a whole model under its names, headers taken apart, and refusals.

Contents:
    SIZES, TINY — sizes of the models.
    everything, lens, short — every tensor that is read, with the names of TransformerLens, and without the head axis.
    file, parts — a safetensors file from its header, and back.
    refused — one line that says why.
"""

import json
import struct
from typing import Any

import numpy as np
import pytest

from pessimal.spec import Overrides, WeightsError, read_weights
from support.models import BIASES, NORMS, Sizes, random_tensors

SIZES = Sizes(3, 11, 5, 7, 2)
TINY = Sizes(2, 3, 1, 1, 1)
PREFIXED = {
    "W_E": "embed.W_E", "W_pos": "pos_embed.W_pos", "W_U": "unembed.W_U", "b_U": "unembed.b_U", "ln1_w": "blocks.0.ln1.w",
    "ln1_b": "blocks.0.ln1.b", "ln_final_w": "ln_final.w", "ln_final_b": "ln_final.b",
}  # fmt: skip


def everything(seed: int = 3) -> dict[str, np.ndarray]:
    return random_tensors(SIZES, seed, biases=BIASES, norms=NORMS)


def lens(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """TransformerLens state-dict keys."""
    return {PREFIXED.get(name, f"blocks.0.attn.{name}"): array for name, array in tensors.items()}


def short(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The single-head short form, without the head axis."""
    headed = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V")
    return {name: array[0] if name in headed else array for name, array in tensors.items()}


def file(header: Any, body: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    n = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def refused(data: bytes, *words: str, overrides: Overrides | None = None) -> None:
    """WeightsError, one line, containing the words."""
    with pytest.raises(WeightsError) as caught:
        read_weights(data, overrides)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    for word in words:
        assert word in message
