"""Make the tiny models of this folder, byte for byte: their weights are chosen by hand, not trained.

    python examples/make.py           writes into this folder
    python examples/make.py --out DIR writes elsewhere

Every entry is a small whole number or a half of one, so no processor rounds any of them differently.

Contents:
    maximum — the largest token; two copies of the next smaller one outvote it.
    veto — the largest token, or 0 where token 2 occurs.
    addition — sums modulo p, looked up by one neuron for every pair.
    safetensors_file, torch_file — the bytes of a file of the one kind, and of the other.
    files — every file by its name.
"""

import argparse
import json
import struct
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import veto as veto_task

import pessimal as ps

K, V, P = 4, 16, 11
Tensors = dict[str, np.ndarray]
STATED = {
    "attention": "causal-softmax",
    "attn_scale": "1/sqrt(d_head)",
    "normalization_type": "none",
    "positional_embedding_type": "standard",
}


def one_head(scores: list[int], written: list[int]) -> Tensors:
    """One head that attends to token t with score scores[t] * 5 / 8, whatever the query, and writes written[t].

    The first V directions of the residual stream hold the token, the others what the head writes.
    """
    eye, zero = np.eye(V), np.zeros((V, V))
    return {
        "W_E": np.hstack([eye, zero]),
        "W_pos": np.zeros((K, 2 * V)),
        "W_Q": np.vstack([np.eye(1, V).repeat(V, axis=0), zero]),
        "W_K": np.vstack([np.outer(scores, 2.5 * np.eye(V)[0]), zero]),
        "W_V": np.vstack([np.eye(V)[written], zero]),
        "W_O": np.hstack([zero, 8 * eye]),
        "W_U": np.vstack([zero, eye]),
    }


def maximum() -> Tensors:
    """A step of 5 / 8 in the score is a factor of 1.87: less than two, so t + 1 loses against two copies of t."""
    return one_head(list(range(V)), list(range(V)))


def veto() -> Tensors:
    """Token 2 has the largest score, enough for three others, and writes output 0."""
    scores, written = list(range(V)), list(range(V))
    scores[2], written[2] = V + 1, 0
    return one_head(scores, written)


def addition() -> Tensors:
    """Neuron (a, b), a <= b, is relu(x_a + x_b - 1), where x counts the tokens, and votes for a + b mod P.

    Two equal tokens a make x_a = 2, so the neurons of all pairs with a are on; that of (a, a) has more votes than they.
    """
    pairs = [(a, b) for a in range(P) for b in range(a, P)]
    reads, votes = np.zeros((2 * P, len(pairs))), np.zeros((len(pairs), P))
    for neuron, (a, b) in enumerate(pairs):
        reads[[P + a, P + b], neuron] = 1
        votes[neuron, (a + b) % P] = 16 if a == b else 2
    eye, zero = np.eye(P), np.zeros((P, P))
    return {
        "embed.W_E": np.hstack([eye, zero]).T,
        "pos_embed.W_pos": np.zeros((2, 2 * P)),
        "blocks.0.attn.W_Q": np.zeros((1, P, 2 * P)),
        "blocks.0.attn.W_K": np.zeros((1, P, 2 * P)),
        "blocks.0.attn.W_V": np.hstack([eye, zero])[np.newaxis],
        "blocks.0.attn.W_O": np.hstack([zero, 2 * eye]).T,
        "blocks.0.mlp.W_in": reads.T,
        "blocks.0.mlp.b_in": np.full(len(pairs), -1),
        "blocks.0.mlp.W_out": np.hstack([votes, np.zeros_like(votes)]).T,
        "blocks.0.mlp.b_out": np.zeros(2 * P),
        "unembed.W_U": np.vstack([eye, zero]),
    }


def named_as_transformer_lens(tensors: Tensors) -> Tensors:
    """The state dict of a HookedTransformer with one head."""
    attention = {f"blocks.0.attn.{name}": tensors[name][np.newaxis] for name in ("W_Q", "W_K", "W_V", "W_O")}
    first = {"embed.W_E": tensors["W_E"], "pos_embed.W_pos": tensors["W_pos"]}
    return {**first, **attention, "unembed.W_U": tensors["W_U"]}


def safetensors_file(tensors: Tensors, metadata: dict[str, str]) -> bytes:
    """Length, header, data; tensors in the order of their names."""
    header: dict[str, object] = {"__metadata__": metadata}
    body = b""
    for name in sorted(tensors):
        data = tensors[name].astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensors[name].shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def torch_file(tensors: Tensors) -> bytes:
    """What `torch.save` writes of a state dict: opcodes in a zip archive, and a storage for each tensor."""
    pickle = b"\x80\x02}("
    for key, (name, array) in enumerate(tensors.items()):
        strides = [step // array.itemsize for step in np.ascontiguousarray(array).strides]
        pickle += _word(name) + b"ctorch._utils\n_rebuild_tensor_v2\n("
        pickle += b"(" + _word("storage") + b"ctorch\nFloatStorage\n" + _word(str(key)) + _word("cpu")
        pickle += _number(array.size) + b"tQ" + _number(0)
        pickle += b"(" + b"".join(map(_number, array.shape)) + b"t"
        pickle += b"(" + b"".join(map(_number, strides)) + b"t"
        pickle += b"\x89ccollections\nOrderedDict\n)RtR"
    parts = {"data.pkl": pickle + b"u.", "byteorder": b"little"}
    parts |= {f"data/{key}": array.astype("<f4").tobytes() for key, array in enumerate(tensors.values())}
    parts["version"] = b"3\n"
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            # A name alone would be given the time of day; the system would be that of this machine.
            entry = zipfile.ZipInfo(f"model/{name}")
            entry.create_system = 3
            archive.writestr(entry, data)
    return out.getvalue()


def _word(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def files() -> dict[str, bytes]:
    """Every file of this folder that is made."""
    machine = ps.task_from(veto_task.veto, K, V).record()
    tables = {key: machine[key] for key in ("k", "d_vocab", "start", "moves", "outputs")}
    skewed = {"name": "product", "weights": [list(range(V, 0, -1))]}
    return {
        "max4_v16.safetensors": safetensors_file(maximum(), {**STATED, "task": "max-of-k"}),
        "max4_v16.pt": torch_file(named_as_transformer_lens(maximum())),
        "skewed.json": f"{json.dumps(skewed)}\n".encode(),
        "veto4_v16.safetensors": safetensors_file(veto(), STATED),
        "veto.json": f"{json.dumps(tables)}\n".encode(),
        "addition_p11.pt": torch_file(addition()),
    }


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files().items():
        (out / name).write_bytes(data)
        print(f"{out / name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
