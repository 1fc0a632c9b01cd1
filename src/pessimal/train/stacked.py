r"""Many seeds of one small transformer, trained as one stacked batch.

Every matrix carries a leading seed axis, so one step of all seeds is a handful of batched matrix products.
Keys and values are computed once per token of the vocabulary and once per position, instead of once per
token of the batch, because they enter linearly: with $x_i = E_{t_i} + P_i$, $x_i W_K = E_{t_i} W_K + P_i
W_K$. A batch of 128 sequences repeats each of 64 tokens many times. Measured on one core with eight seeds,
this form takes 0.57 of the time of the sequence-by-sequence form at d_vocab=64, K=4 and 0.18 at K=20; at
d_vocab=512 it takes 1.8 times as long at K=4 and 0.65 at K=20.

Contents:
    StackedModel — matrices of many seeds, and their logits.
    train_max_of_k — train seeds, return the models.
    train_in_stacks — the same, handing models over as each stack finishes.
    stack_size — seeds trained together.
    stack_one — one model as a stack.
    chosen_device, intra_op_threads — where and with how many threads torch works.
    sampled_accuracy — fraction of held-out sequences that one model gets right.
    TrainingDivergedError — a parameter became NaN or infinite.

References:
    Gross et al. 2024, Max-of-K: architecture and recipe.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int

from pessimal.train.config import LN_EPS, TrainConfig
from pessimal.train.draw import BLOCK_STEPS, TrainingTokens, held_out_tokens, initial_matrices
from pessimal.train.seeds import require_seeds
from pessimal.train.trained import TrainedModel

OnStep = Callable[[int, int, float], None]

BETAS = (0.9, 0.999)
EPS = 1e-8
# Sixteen seeds reach the fastest time per seed on one core; more only fill its cache.
MOST_SEEDS = {"cpu": 16, "cuda": 1024}
STACK_BYTES = {"cpu": 1 << 30, "cuda": 8 << 30}
EVALUATION_BATCH = 4096
# Floats in the widest vector register of today's CPUs.
ROW_FLOATS = 16


class TrainingDivergedError(RuntimeError):
    """A parameter became NaN or infinite; the message names the seeds."""


@dataclass(frozen=True)
class StackedModel:
    """Tensors of several seeds, seed axis first; the names are those of one model."""

    W_E: Float[torch.Tensor, "seeds d_vocab d_model"]
    W_pos: Float[torch.Tensor, "seeds k d_model"]
    W_Q: Float[torch.Tensor, "seeds heads d_model d_head"]
    W_K: Float[torch.Tensor, "seeds heads d_model d_head"]
    W_V: Float[torch.Tensor, "seeds heads d_model d_head"]
    W_O: Float[torch.Tensor, "seeds heads d_head d_model"]
    W_U: Float[torch.Tensor, "seeds d_model n_outputs"]
    ln1_w: Float[torch.Tensor, "seeds d_model"] | None = None
    ln1_b: Float[torch.Tensor, "seeds d_model"] | None = None
    ln_final_w: Float[torch.Tensor, "seeds d_model"] | None = None

    def matrices(self) -> dict[str, Float[torch.Tensor, "seeds ..."]]:
        """Name to stacked tensor."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def logits(self, tokens: Int[torch.Tensor, "seeds batch k"]) -> Float[torch.Tensor, "seeds batch n_outputs"]:
        r"""Logits at the last position, seed by seed.

        $$x_i = E_{t_i} + P_i,\quad n_i = \mathrm{LN}_1(x_i),\quad
        a = \mathrm{softmax}_i\big((n_{K-1} W_Q)(n_i W_K)^T / \sqrt{d_{head}}\big),\quad
        \text{logits} = \mathrm{LN}\big(x_{K-1} + \textstyle\sum_h \sum_i a_i n_i W_V W_O\big) W_U$$

        Args:
            tokens: 0 .. d_vocab - 1; sequences of seed s at index s.

        Returns:
            Logits, in the dtype of the matrices; no causal mask is needed at the last position.

        Cost: `2 * seeds * batch * (d_vocab + k) * d_head` multiplications per head for scores and mixing, and terms
            that do not multiply `batch` by `k`; with LayerNorm before attention d_vocab * k in place of d_vocab + k.
        Source: Gross et al. 2024, Max-of-K architecture.
        """
        d_model = self.W_E.shape[2]
        query_tokens = tokens[:, :, -1:].expand(-1, -1, d_model)
        residual = torch.gather(self.W_E, 1, query_tokens) + self.W_pos[:, -1:]
        if self.ln1_w is None or self.ln1_b is None:
            # Keys and values of every token, then of every position: W_K and W_V act on both at once.
            rows, place, queries = torch.cat([self.W_E, self.W_pos], dim=1), tokens, residual
        else:
            rows = self._normed_rows(self.ln1_w, self.ln1_b)
            d_vocab, k = self.W_E.shape[1], tokens.shape[2]
            place = tokens + d_vocab * torch.arange(k, device=tokens.device)
            queries = torch.gather(rows, 1, place[:, :, -1:].expand(-1, -1, d_model))
        out = residual
        for h in range(self.W_Q.shape[1]):
            out = out + self._head(h, rows, place, queries)
        if self.ln_final_w is not None:
            out = _normed(out) * self.ln_final_w[:, None]
        return torch.bmm(out, self.W_U)

    def _normed_rows(
        self, gain: Float[torch.Tensor, "seeds d_model"], bias: Float[torch.Tensor, "seeds d_model"]
    ) -> Float[torch.Tensor, "seeds rows d_model"]:
        """LN_1 of every token at every position, position by position."""
        x = self.W_pos[:, :, None] + self.W_E[:, None]
        normed = _normed(x) * gain[:, None, None] + bias[:, None, None]
        return normed.reshape(x.shape[0], -1, x.shape[3])

    def _head(
        self,
        h: int,
        rows: Float[torch.Tensor, "seeds rows d_model"],
        place: Int[torch.Tensor, "seeds batch k"],
        queries: Float[torch.Tensor, "seeds batch d_model"],
    ) -> Float[torch.Tensor, "seeds batch d_model"]:
        """Output of one head; `rows` are tokens then positions, or (with LayerNorm) tokens at every position."""
        d_vocab = self.W_E.shape[1]
        keys, values = torch.bmm(rows, self.W_K[:, h]), torch.bmm(rows, self.W_V[:, h])
        scaled = torch.bmm(queries, self.W_Q[:, h]) / math.sqrt(self.W_Q.shape[3])
        scores = torch.bmm(scaled, keys.transpose(1, 2))
        if self.ln1_w is None:
            attention = torch.softmax(torch.gather(scores, 2, place) + scores[:, :, d_vocab:], dim=-1)
            # Attention summed over the positions that hold a token, then attention by position.
            by_row = torch.zeros_like(scores[:, :, :d_vocab]).scatter_add(2, place, attention)
            by_row = torch.cat([by_row, attention], dim=2)
        else:
            attention = torch.softmax(torch.gather(scores, 2, place), dim=-1)
            by_row = torch.zeros_like(scores).scatter_add(2, place, attention)
        return torch.bmm(torch.bmm(by_row, values), self.W_O[:, h])


def _normed(x: Float[torch.Tensor, "... d_model"]) -> Float[torch.Tensor, "... d_model"]:
    """LayerNorm without gain and bias."""
    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=float(LN_EPS))


def stack_size(config: TrainConfig, device: str) -> int:
    """Seeds trained together: the fastest number for the device, fewer if they would not fit.

    Args:
        config: the sizes.
        device: `cpu` or `cuda`.

    Returns:
        At least 1, at most 16 on a CPU (within about 1 GiB) and 1,024 on a GPU (within about 8 GiB).
    """
    parameters = sum(math.prod(shape) for shape in config.matrix_shapes().values())
    wide = config.d_vocab * config.k if config.ln1 else config.d_vocab + config.k
    per_head = 8 * wide + 12 * config.d_model
    activations = config.batch_size * (config.n_heads * per_head + 4 * config.d_vocab)
    tokens = 2 * BLOCK_STEPS * config.batch_size * config.k
    seed_bytes = 4 * (6 * parameters + activations) + 8 * tokens
    return max(1, min(MOST_SEEDS[device], STACK_BYTES[device] // seed_bytes))


def train_max_of_k(config: TrainConfig, seeds: Sequence[int], on_step: OnStep | None = None) -> list[TrainedModel]:
    """Train one model per seed with AdamW on fresh uniform sequences.

    What a seed draws depends on the seed alone. On a CPU, the same configuration, seeds, torch version and
    kind of machine give the same bytes. There the seeds trained beside it did not change a single bit of a
    model either, at the published widths (tested); torch does not promise that, and at widths that are not
    multiples of four floats the last bits may differ. On a GPU, sums in the gradients have no fixed order,
    and two runs differ in the last bits.

    Args:
        config: the recipe.
        seeds: distinct integers in 0 .. 2^32 - 1.
        on_step: called after every step with the number of steps done, the number of steps of all stacks
            together, and the mean loss of the seeds in the stack, in nats.

    Returns:
        Models in the order of `seeds`.

    Raises:
        ValueError: a bad seed list, or CUDA asked for and absent.
        TrainingDivergedError: a parameter became NaN or infinite.

    Cost: about 0.9 seconds per seed at the defaults with eight seeds, on one core.
    Source: Gross et al. 2024, training details of Max-of-K. The published runs take a log-softmax that is
        accurate near zero loss; this one is torch's float32 `cross_entropy`.
    """
    return [model for models in train_in_stacks(config, seeds, on_step) for model in models]


def train_in_stacks(
    config: TrainConfig, seeds: Sequence[int], on_step: OnStep | None = None
) -> Iterator[list[TrainedModel]]:
    """As `train_max_of_k`, yielding each stack's models when they are done, so that they can be saved."""
    require_seeds(seeds)
    device = chosen_device(config.device)
    size = stack_size(config, device)
    stacks = [list(seeds[start : start + size]) for start in range(0, len(seeds), size)]
    total = config.steps * len(stacks)
    for index, stack in enumerate(stacks):
        done = index * config.steps

        def report(step: int, mean_loss: float, done: int = done) -> None:
            if on_step is not None:
                on_step(done + step, total, mean_loss)

        yield _train_stack(config, stack, device, None if on_step is None else report)


def _train_stack(
    config: TrainConfig, seeds: list[int], device: str, report: Callable[[int, float], None] | None
) -> list[TrainedModel]:
    """Train one stack and bring it back as arrays."""
    with intra_op_threads(config.threads), torch.enable_grad():
        values, views = _padded_rows(config, len(seeds), device)
        values.grad, gradient_views = _padded_rows(config, len(seeds), device)
        for name, drawn in _initial_matrices(config, seeds).items():
            views[name].copy_(drawn)
        model = StackedModel(**{name: view.requires_grad_() for name, view in views.items()})
        matrices, rows = list(views.values()), list(gradient_views.values())
        optimiser = torch.optim.AdamW(
            [values],
            lr=config.learning_rate,
            betas=BETAS,
            eps=EPS,
            weight_decay=config.weight_decay,
            fused=True,
        )
        losses = torch.zeros(len(seeds), device=device)
        for step, (tokens, targets) in enumerate(_batches(config, seeds, device), start=1):
            losses = _losses(model, tokens, targets)
            # A sum, so that the gradient of a seed does not depend on how many are trained beside it.
            for row, gradient in zip(rows, torch.autograd.grad(losses.sum(), matrices), strict=True):
                row.copy_(gradient)
            optimiser.step()
            if report is not None:
                report(step, float(losses.detach().mean()))
        arrays = {name: matrix.detach().cpu().numpy() for name, matrix in model.matrices().items()}
        if config.n_heads == 1:
            arrays = {name: a[:, 0] if a.ndim == 4 else a for name, a in arrays.items()}
        last = losses.detach().cpu().tolist()
    diverged = [
        seed
        for index, seed in enumerate(seeds)
        if not all(np.isfinite(stack[index]).all() for stack in arrays.values())
    ]
    if diverged:
        raise TrainingDivergedError(f"training diverged for seeds {diverged}: try a smaller learning_rate")
    return [
        TrainedModel(config, seed, {name: stack[index].copy() for name, stack in arrays.items()}, last[index])
        for index, seed in enumerate(seeds)
    ]


def _losses(
    model: StackedModel, tokens: Int[torch.Tensor, "seeds batch k"], targets: Int[torch.Tensor, "seeds batch"]
) -> Float[torch.Tensor, " seeds"]:
    """Mean cross-entropy of each seed's batch, in nats."""
    logits = model.logits(tokens)
    n_seeds, batch, n_outputs = logits.shape
    flat = logits.reshape(n_seeds * batch, n_outputs)
    each = torch.nn.functional.cross_entropy(flat, targets.reshape(n_seeds * batch), reduction="none")
    return each.reshape(n_seeds, batch).mean(dim=1)


def _padded_rows(
    config: TrainConfig, n_seeds: int, device: str
) -> tuple[Float[torch.Tensor, "seeds parameters"], dict[str, Float[torch.Tensor, "seeds ..."]]]:
    """One row of zeros per seed, and views of the rows in the shapes of the matrices.

    The optimiser works on the rows. Every matrix starts at a multiple of `ROW_FLOATS`, so that a vector
    register never holds numbers of two seeds and no tail is left to scalar code, which rounds differently.
    """
    shapes = {**config.matrix_shapes(), **config.norm_shapes()}
    widths = {name: -(-math.prod(shape) // ROW_FLOATS) * ROW_FLOATS for name, shape in shapes.items()}
    values = torch.zeros(n_seeds, sum(widths.values()), device=device)
    parts = torch.split(values, list(widths.values()), dim=1)
    return values, {
        name: part[:, : math.prod(shape)].view(n_seeds, *shape)
        for part, (name, shape) in zip(parts, shapes.items(), strict=True)
    }


def _initial_matrices(config: TrainConfig, seeds: list[int]) -> dict[str, Float[torch.Tensor, "seeds ..."]]:
    drawn = [initial_matrices(config, seed) for seed in seeds]
    return {name: torch.from_numpy(np.stack([one[name] for one in drawn])) for name in drawn[0]}


def _batches(
    config: TrainConfig, seeds: list[int], device: str
) -> Iterator[tuple[Int[torch.Tensor, "seeds batch k"], Int[torch.Tensor, "seeds batch"]]]:
    """The batches of `config.steps` steps and their right outputs, all seeds side by side."""
    streams, task = [TrainingTokens(config, seed) for seed in seeds], config.spec_task
    for start in range(0, config.steps, BLOCK_STEPS):
        # Steps first, so that the batch of one step is contiguous.
        block = np.stack([stream.block() for stream in streams], axis=1)
        targets = torch.from_numpy(np.ascontiguousarray(task.target(block), dtype=np.int64)).to(device)
        tokens = torch.from_numpy(block).to(device)
        yield from zip(tokens[: config.steps - start], targets[: config.steps - start], strict=True)


def sampled_accuracy(model: TrainedModel, n_sequences: int = 65_536) -> float:
    """Fraction of held-out sequences whose right logit is strictly above all others; ties count as wrong.

    An estimate in float32, no bound: its standard error is `sqrt(p * (1 - p) / n_sequences)`.

    Args:
        model: one trained model.
        n_sequences: sequences drawn from the held-out stream of the model's seed, which training never reads.

    Raises:
        ValueError: no sequence asked for.

    Cost: about a tenth of a second per 100,000 sequences at the defaults.
    """
    if n_sequences < 1:
        raise ValueError("a sampled accuracy needs at least one sequence")
    tokens = held_out_tokens(model.config, model.seed, n_sequences)
    stacked = stack_one(model)
    correct = 0
    with intra_op_threads(model.config.threads), torch.no_grad():
        for start in range(0, n_sequences, EVALUATION_BATCH):
            part = tokens[start : start + EVALUATION_BATCH]
            logits = stacked.logits(torch.from_numpy(part)[None])[0]
            targets = torch.from_numpy(np.asarray(model.config.spec_task.target(part), dtype=np.int64))[:, None]
            right = torch.gather(logits, 1, targets)
            correct += int(((logits >= right).sum(dim=1) == 1).sum())
    return correct / n_sequences


def stack_one(model: TrainedModel) -> StackedModel:
    """One model as a stack of one seed."""
    heads = {"W_Q", "W_K", "W_V", "W_O"}
    tensors = {name: torch.tensor(a)[None] for name, a in model.tensors.items()}
    return StackedModel(**{n: t[:, None] if n in heads and t.ndim == 3 else t for n, t in tensors.items()})


def chosen_device(asked: str) -> str:
    """`cpu` or `cuda`."""
    present = torch.cuda.is_available()
    if asked == "cuda" and not present:
        raise ValueError("device cuda was asked for, but torch finds no CUDA device")
    return "cuda" if present and asked != "cpu" else "cpu"


@contextmanager
def intra_op_threads(count: int) -> Iterator[None]:
    """Set torch's intra-op threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
