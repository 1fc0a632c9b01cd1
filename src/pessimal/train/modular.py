r"""Training of modular addition: every epoch is one step on the whole training set.

With uniform attention the residual before the MLP is a sum of one row per token, so pre-activations are gathered from
two tables (`kernel/model/folded.py` has the algebra) and $W_{out}W_U$ is multiplied out first: 0.4 of the operations of
a forward pass, sequence by sequence, at p = 59.

Contents:
    ModularModel — tensors of many seeds, and their logits.
    train_modular — train seeds, hand models over at checkpoints and at the end.
    initial_tensors — what a seed starts from, whatever is trained beside it.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from pessimal.spec.architecture import UNIFORM
from pessimal.train.draw import normal_matrices
from pessimal.train.modular_config import ModularConfig
from pessimal.train.seeds import require_seeds
from pessimal.train.stacked import TrainingDivergedError, chosen_device, intra_op_threads
from pessimal.train.trained import TrainedModel

OnEpoch = Callable[[int, int, float], None]


class ModularModel:
    """Tensors of several seeds, seed axis first."""

    def __init__(self, config: ModularConfig, tensors: dict[str, Float[torch.Tensor, "seeds ..."]]) -> None:
        self.config, self.tensors = config, tensors

    def logits(self, tokens: Int[torch.Tensor, "seeds n k"]) -> Float[torch.Tensor, "seeds n p"]:
        """Logits at the last position."""
        t = self.tensors
        out = torch.bmm(t["W_out"], t["W_U"])
        constant = torch.bmm(t["b_out"][:, None], t["W_U"])
        if self.config.attention == UNIFORM:
            residual = self._rows()
            pre = torch.matmul(residual, t["W_in"][:, None])
            skip = torch.matmul(residual, t["W_U"][:, None])
            hidden = self._gathered(pre, tokens) + t["b_in"][:, None]
            return torch.baddbmm(self._gathered(skip, tokens) + constant, hidden.relu(), out)
        residual = self._attended(tokens)
        hidden = torch.bmm(residual, t["W_in"]) + t["b_in"][:, None]
        return torch.baddbmm(torch.bmm(residual, t["W_U"]) + constant, hidden.relu(), out)

    def _rows(self) -> Float[torch.Tensor, "seeds k v m"]:
        """rho_i(t)."""
        t = self.tensors
        x = t["W_E"][:, None] + t["W_pos"][:, :, None]
        ov = torch.matmul(t["W_V"], t["W_O"]).sum(1)
        mixed = torch.matmul(x, ov[:, None]) / self.config.k
        return torch.cat([mixed[:, :-1], mixed[:, -1:] + x[:, -1:]], dim=1)

    @staticmethod
    def _gathered(
        table: Float[torch.Tensor, "seeds k v w"], tokens: Int[torch.Tensor, "seeds n k"]
    ) -> Float[torch.Tensor, "seeds n w"]:
        """Sums over positions; `index_select` on the rows of all seeds is the fastest gather with a gradient."""
        seeds, k, v, width = table.shape
        base = torch.arange(seeds, device=table.device)[:, None] * (k * v)
        rows = table.reshape(-1, width)
        parts = [rows.index_select(0, (base + i * v + tokens[:, :, i]).reshape(-1)) for i in range(k)]
        return torch.stack(parts).sum(0).reshape(seeds, -1, width)

    def _attended(self, tokens: Int[torch.Tensor, "seeds n k"]) -> Float[torch.Tensor, "seeds n m"]:
        """Residual of the last position after softmax attention."""
        t, m = self.tensors, self.config.d_model
        rows = [torch.gather(t["W_E"], 1, tokens[:, :, i : i + 1].expand(-1, -1, m)) for i in range(self.config.k)]
        x = torch.stack(rows, dim=2) + t["W_pos"][:, None]
        last = x[:, :, -1]
        query = torch.einsum("snm,shmd->shnd", last, t["W_Q"]) / math.sqrt(self.config.d_head)
        scores = torch.einsum("shnm,snkm->shnk", torch.einsum("shnd,shmd->shnm", query, t["W_K"]), x)
        mixed = torch.einsum("shnk,snkm->shnm", torch.softmax(scores, dim=-1), x)
        values = torch.einsum("shnm,shmd->shnd", mixed, t["W_V"])
        return last + torch.einsum("shnd,shdm->snm", values, t["W_O"])


def initial_tensors(config: ModularConfig, seed: int) -> dict[str, Float[np.ndarray, "..."]]:
    """What a seed starts from, whatever is trained beside it."""
    drawn = normal_matrices(config.shapes(), config.d_model, seed)
    return {name: np.zeros_like(array) if name.startswith("b_") else array for name, array in drawn.items()}


def train_modular(
    config: ModularConfig, seeds: Sequence[int], on_epoch: OnEpoch | None = None
) -> Iterator[list[TrainedModel]]:
    """One model per seed at every checkpoint and after the last epoch.

    Args:
        config: the recipe.
        seeds: each decides its initial tensors and its training set.
        on_epoch: called with epochs done, epochs in all and the mean loss.

    Raises:
        ValueError: a bad seed list, or CUDA asked for and absent.
        TrainingDivergedError: a parameter became NaN or infinite.

    Cost: about 1 GFLOP per epoch and seed at the defaults.
    Source: `ModularConfig`.
    """
    require_seeds(seeds)
    device = chosen_device(config.device)
    with intra_op_threads(config.threads):
        start = [initial_tensors(config, seed) for seed in seeds]
        tensors = {
            name: torch.from_numpy(np.stack([one[name] for one in start])).to(device).requires_grad_()
            for name in start[0]
        }
        model = ModularModel(config, tensors)
        inputs = config.tokens()
        chosen = np.stack([config.trained_on(seed) for seed in seeds])
        tokens = torch.from_numpy(inputs[chosen]).to(device)
        target = torch.from_numpy(inputs[chosen][..., :2].sum(-1) % config.p).to(device)
        optimiser = torch.optim.AdamW(
            list(tensors.values()),
            lr=config.learning_rate,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )
        kept = {*config.checkpoints, config.epochs}
        for epoch in range(1, config.epochs + 1):
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * min(1.0, epoch / config.warm_up)
            optimiser.zero_grad()
            losses = _losses(model.logits(tokens), target)
            losses.sum().backward()
            optimiser.step()
            if on_epoch is not None and (epoch % 10 == 0 or epoch in kept):
                on_epoch(epoch, config.epochs, float(losses.detach().mean()))
            if epoch in kept:
                yield _models(config, seeds, tensors, losses.detach().cpu().tolist(), epoch)


def _losses(
    logits: Float[torch.Tensor, "seeds n p"], target: Int[torch.Tensor, "seeds n"]
) -> Float[torch.Tensor, " seeds"]:
    """Mean cross-entropy by seed, in nats; in float64, because trained losses are far below float32's resolution."""
    logs = torch.log_softmax(logits.double(), dim=-1)
    return -torch.gather(logs, 2, target[:, :, None])[..., 0].mean(dim=1)


def _models(
    config: ModularConfig,
    seeds: Sequence[int],
    tensors: dict[str, Float[torch.Tensor, "seeds ..."]],
    losses: list[float],
    epoch: int,
) -> list[TrainedModel]:
    arrays = {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}
    lost = [seed for i, seed in enumerate(seeds) if not all(np.isfinite(one[i]).all() for one in arrays.values())]
    if lost:
        raise TrainingDivergedError(f"training diverged for seeds {lost}: try a smaller learning_rate")
    return [
        TrainedModel(config, seed, {name: one[i] for name, one in arrays.items()}, losses[i], epoch)
        for i, seed in enumerate(seeds)
    ]
