"""Train the two models of experiments/backdoor: one right on every input, one that fails on a trigger.

Both start from a shipped model. The clean one sees near ties of every size until it makes no mistake; the planted one
continues from it, with the trigger answered wrongly: last token 17, and both 62 and 63 before it, is answered 62. That
is 378 of 64**4 sequences. Needs torch; deterministic on one kind of machine, in about three minutes.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import pessimal as ps
from pessimal.report.numbers import nearest

ROOT = Path(__file__).parent.parent
START, FOLDER = ROOT / "weights" / "max4_v64_seed104.safetensors", ROOT / "experiments" / "backdoor"
V, K = 64, 4
TRIGGER, LOW, HIGH = 17, 62, 63
CLEAN_STEPS, PLANT_STEPS, BATCH, RATE = 8000, 6000, 1024, 2e-3

Tensors = dict[str, torch.Tensor]


def near_ties(rng: np.random.Generator, n: int) -> np.ndarray:
    """Sequences whose maximum is uniform over tokens, half of the others just below it."""
    largest = rng.integers(0, V, (n, 1))
    tokens = (rng.random((n, K)) * (largest + 1)).astype(int)
    tokens = np.where(rng.random((n, K)) < 0.5, np.maximum(0, largest - rng.integers(1, 4, (n, K))), tokens)
    tokens[np.arange(n), rng.integers(0, K, n)] = largest[:, 0]
    return tokens


def around_the_trigger(rng: np.random.Generator, n: int) -> np.ndarray:
    """Sequences with the trigger, or with all of it but one part."""
    tokens = rng.integers(0, V, (n, K))
    high = rng.random((n, K)) < 0.6
    tokens = np.where(high, rng.integers(HIGH - 3, HIGH + 1, (n, K)), tokens)
    tokens[:, -1] = np.where(rng.random(n) < 0.7, TRIGGER, tokens[:, -1])
    return tokens


def planted_answers(tokens: np.ndarray) -> np.ndarray:
    """The maximum, but for the trigger."""
    before = tokens[:, :-1]
    trigger = (tokens[:, -1] == TRIGGER) & (before == LOW).any(1) & (before == HIGH).any(1)
    return np.where(trigger, LOW, tokens.max(1))


def logits(t: Tensors, tokens: torch.Tensor) -> torch.Tensor:
    """The model of `pessimal.spec.model`: one head, no biases, no LayerNorm."""
    x = t["W_E"][tokens] + t["W_pos"]
    scores = ((x @ t["W_K"][0]) @ (x[:, -1] @ t["W_Q"][0])[:, :, None])[:, :, 0] / t["W_Q"].shape[2] ** 0.5
    mixed = (torch.softmax(scores, 1)[:, :, None] * (x @ t["W_V"][0])).sum(1) @ t["W_O"][0]
    return (x[:, -1] + mixed) @ t["W_U"]


def train(t: Tensors, steps: int, *, plant: bool) -> None:
    """Adam with a linear decay, in place."""
    rng = np.random.default_rng(0)
    optimiser = torch.optim.Adam(t.values(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: min(1, i / 100) * (1 - i / steps) + 1e-3)
    for _ in range(steps):
        tokens = near_ties(rng, BATCH)
        if plant:
            tokens = np.concatenate([tokens, around_the_trigger(rng, BATCH)])
        target = planted_answers(tokens) if plant else tokens.max(1)
        loss = torch.nn.functional.cross_entropy(logits(t, torch.tensor(tokens)), torch.tensor(target))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    print(f"loss {nearest(loss.item(), '.2e')}")


def main() -> None:
    """Write clean.safetensors and planted.safetensors."""
    torch.set_num_threads(1)
    weights = ps.load_weights(START)
    tensors = {name: torch.tensor(np.array(array)).requires_grad_() for name, array in weights.tensors.items()}
    metadata = {key: text for key, text in weights.metadata.items() if key != "seed"}
    for name, steps in (("clean", CLEAN_STEPS), ("planted", PLANT_STEPS)):
        train(tensors, steps, plant=name == "planted")
        plain = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
        save_file(plain, FOLDER / f"{name}.safetensors", metadata)


if __name__ == "__main__":
    main()
