"""Why a certificate is not about a model, in words that say what to do; the verdict itself is the kernel's.

The digest of weights covers their architecture record, so a flag that was given to `prove` and not to `check` makes
other weights of the same tensors. A certificate holds the record it was proved with; the two are compared here.

Contents:
    FLAGS — by key of a record, the flag that states it.
    FACTS — by key of a record, the fact that a file may state of it.
    why_other_weights — the sentence.
    with_reason — a verdict with that sentence.
"""

import struct
from dataclasses import replace
from typing import Any

import numpy as np

from pessimal.inputs import ConvertedWeights
from pessimal.kernel.certificate import Certificate
from pessimal.kernel.rejection import Reason
from pessimal.kernel.verdict import NotVerified, Verdict
from pessimal.spec import Weights
from pessimal.spec.architecture import LAYER_NORM, RMS, SITES
from pessimal.spec.digest import canonical, digest
from pessimal.spec.weight_file import DIGEST_DOMAIN

FLAGS = {
    "attn_scale": "--attn-scale",
    "k": "--k",
    "ln_eps": "--ln-eps",
}
FACTS = {
    "act_fn": "act_fn",
    "attention": "attention",
    "positional": "positional_embedding_type",
}
KINDS = {LAYER_NORM: "LN", RMS: "RMS"}
# Flags that change the tensors which come out of a file of another format.
OF_CONVERSION = ("--n-heads", "--orientation", "--state-dict", "--tied", "--sum-attention")
SHOWN = 40


def with_reason(verdict: Verdict, weights: Weights) -> Verdict:
    """The verdict; its sentence says which statement about the model is missing, if that is why it was rejected."""
    if isinstance(verdict, NotVerified) and verdict.reason is Reason.WEIGHTS_MISMATCH and verdict.certificate:
        return replace(verdict, detail=why_other_weights(verdict.certificate, weights))
    return verdict


def why_other_weights(certificate: Certificate, weights: Weights) -> str:
    """What the certificate is about, where it is not these weights."""
    mine, theirs = weights.architecture.record(), certificate.model
    different = sorted(key for key in mine | theirs if mine.get(key) != theirs.get(key))
    if _digest_with(theirs, weights) == certificate.weights_sha256 and different:
        return f"the same tensors, but proved with {_listed(theirs, different)}: {_remedy(theirs, different, weights)}"
    wanted = f"it is about sha256:{certificate.weights_sha256}, these are sha256:{weights.sha256}"
    sentence = f"the certificate is about other weights: {wanted}"
    if different:
        sentence += f"; its model has {_listed(theirs, different)}, this one {_listed(mine, different)}"
    if isinstance(weights, ConvertedWeights):
        sentence += f"; flags that were given to prove have to be repeated ({', '.join(OF_CONVERSION)})"
    return sentence


def _remedy(theirs: dict[str, Any], different: list[str], weights: Weights) -> str:
    """How to state what is missing."""
    flags = [f"{FLAGS[key]} {_word(theirs, key)}" for key in different if key in FLAGS and theirs[key] != "0/1"]
    norms = {_word(theirs, site) for site in SITES} - {"none"}
    if set(SITES) & set(different) and len(norms) <= 1:
        folded = not any(f"{site}_w" in weights.tensors for site in SITES)
        flags.append(f"--normalization-type {KINDS.get(''.join(norms), 'none')}{'Pre' * (folded and bool(norms))}")
        different = [key for key in different if key not in SITES]
    facts = sorted({FACTS.get(key, key) for key in different if key not in FLAGS})
    said = [f"check it with {' '.join(flags)}"] if flags else []
    said += [f"the file has to state {' and '.join(facts)} (pessimal convert --fact NAME=VALUE)"] if facts else []
    return "; ".join(said)


def _listed(record: dict[str, Any], keys: list[str]) -> str:
    return ", ".join(f"{key}={_word(record, key)}" for key in keys)


def _word(record: dict[str, Any], key: str) -> str:
    """A value of a record, which anybody may have written, cut to a word."""
    value = record.get(key, "none")
    text = " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
    return text[:SHOWN]


def _digest_with(record: dict[str, Any], weights: Weights) -> str:
    """The digest that these tensors have under another record."""
    parts = [DIGEST_DOMAIN, canonical(record)]
    for name, array in sorted(weights.tensors.items()):
        shape = struct.pack(f"<{array.ndim}Q", *array.shape)
        parts += [name.encode("ascii"), array.dtype.str.encode("ascii"), shape, np.ascontiguousarray(array).tobytes()]
    return digest(parts)
