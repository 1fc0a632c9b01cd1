"""What files made to cost much are put together from: tensors of any sizes, records of tasks, certificates.

Contents:
    STATED — metadata that leaves nothing to be assumed.
    tensors, model — tensors of any sizes, and a file of small integers or of powers of two.
    task, certificate — a task's record, and a certificate about whatever the weights are.
"""

import numpy as np

from pessimal.kernel.certificate import FORMAT
from pessimal.spec import WeightsError, read_weights
from pessimal.spec.distribution import DistributionError, distribution_from
from pessimal.spec.task import TaskError
from pessimal.spec.tasks import task_from_record
from pessimal.testing import safetensors_bytes
from support.containers import join
from support.models import stated_norms

NAMES = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")
STATED = {"attention": "causal-softmax", "attn_scale": "1/sqrt(d_head)", "positional_embedding_type": "standard"}


def tensors(
    rng: np.random.Generator,
    v: int,
    k: int,
    m: int,
    d: int = 1,
    o: int | None = None,
    h: int = 1,
    *,
    f: int = 0,
    more=(),
):
    """Normal float32 weights."""
    o = v if o is None else o
    shapes = {"W_E": (v, m), "W_pos": (k, m), "W_U": (m, o), **dict.fromkeys(("W_Q", "W_K", "W_V"), (h, m, d))}
    shapes["W_O"] = (h, d, m)
    shapes |= {"W_in": (m, f), "W_out": (f, m)} if f else {}
    sizes = {"b_U": (o,), "b_Q": (h, d), "b_V": (h, d)}
    shapes |= {name: sizes.get(name, (m,)) for name in more}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def certificate(weights: bytes, task: dict, rule: str, *, options=None, arrays=None, claim="0", **changes) -> bytes:
    """A certificate that speaks about the weights, as far as they can be read; a distribution is in `changes`."""
    try:
        read = read_weights(weights)
        sha, record = read.sha256, read.architecture.record()
    except WeightsError:
        sha, record = "0" * 64, {}
    kind = changes.pop("kind", "correct-count")
    distribution = changes.pop("distribution", {"name": "uniform"})
    named = {name: np.ascontiguousarray(array) for name, array in sorted((arrays or {}).items())}
    weighing = {name: array for name, array in named.items() if name.startswith("distribution_")}
    try:
        total = distribution_from(distribution, weighing).total(task_from_record(task))
    except (TaskError, DistributionError):
        total = 1
    total <<= 20 if kind in {"loss", "mean-probability"} else 0
    header = {
        "arrays": [{"dtype": a.dtype.name, "name": name, "shape": list(a.shape)} for name, a in named.items()],
        "claim": {"correct": claim, "kind": kind, "total": str(total)},
        "distribution": distribution, "format": FORMAT, "model": record, "options": options or {}, "rule": rule,
        "semantics": "real", "strategy": "hostile", "task": task, "weights_sha256": sha,
    }  # fmt: skip
    return join({**header, **changes}, b"".join(a.astype(a.dtype.newbyteorder("<")).tobytes() for a in named.values()))


def task(name: str, k: int, v: int, **more) -> dict:
    """The record of a task."""
    return {"name": name, "k": k, "d_vocab": v, **more}


def model(v, m, d, k, o, *, dtype=np.float32, scale=None, metadata=None, norms=()):
    """Weights of these sizes: small integers, or 2 to any of these powers."""
    rng = np.random.default_rng(v * m + d * k)
    shapes = ((v, m), (k, m), (m, d), (m, d), (m, d), (d, m), (m, o))
    found = {}
    for name, shape in zip((*NAMES, *norms), (*shapes, *((m,) for _ in norms)), strict=True):
        found[name] = rng.integers(-2, 3, shape).astype(dtype)
        if scale is not None:
            found[name] = np.ldexp(1.0 + rng.random(shape), rng.integers(*scale, shape)).astype(dtype)
    return safetensors_bytes(found, stated_norms(found) | (metadata or {}))
