"""Stacked training: the forward pass, the gradients, and what is reproducible."""

from dataclasses import replace

import numpy as np
import pytest

from pessimal.train import TrainConfig, TrainedModel, model_bytes
from pessimal.train.draw import held_out_tokens, initial_matrices

torch = pytest.importorskip("torch")

from pessimal.train import (  # noqa: E402
    StackedModel,
    TrainingDivergedError,
    sampled_accuracy,
    stack_size,
    train_in_stacks,
    train_max_of_k,
)
from pessimal.train.stacked import _losses  # noqa: E402

TINY = TrainConfig(k=3, d_vocab=7, d_model=5, d_head=2, batch_size=11, steps=50, device="cpu")


def norm(x, gain, bias=0.0):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gain + bias


def reference_logits(matrices, sequence):
    """One sequence, position by position, head by head, in float64."""
    W = {name: matrix.astype(np.float64) for name, matrix in matrices.items()}
    residual = np.stack([W["W_E"][token] + W["W_pos"][i] for i, token in enumerate(sequence)])
    read = norm(residual, W["ln1_w"], W["ln1_b"]) if "ln1_w" in W else residual
    out = residual[-1]
    for w_q, w_k, w_v, w_o in zip(*(W[name] for name in ("W_Q", "W_K", "W_V", "W_O")), strict=True):
        scores = np.array([read[-1] @ w_q @ (x @ w_k) for x in read]) / np.sqrt(w_q.shape[1])
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        out = out + sum(weight * (x @ w_v) for weight, x in zip(weights, read, strict=True)) @ w_o
    return (norm(out, W["ln_final_w"]) if "ln_final_w" in W else out) @ W["W_U"]


def stack_of(drawn, dtype=torch.float32):
    return StackedModel(
        **{name: torch.from_numpy(np.stack([one[name] for one in drawn])).to(dtype) for name in drawn[0]}
    )


def bytes_by_seed(config, seeds):
    return {model.seed: model_bytes(model) for model in train_max_of_k(config, seeds)}


ARCHITECTURES = [
    {},
    {"n_heads": 3},
    {"ln1": True},
    {"ln_final": True},
    {"n_heads": 2, "ln1": True, "ln_final": True},
    {"task": "contains-token"},
]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
@pytest.mark.parametrize("more", ARCHITECTURES, ids=str)
def test_stacked_logits_equal_a_sequence_by_sequence_forward(dtype, tolerance, more):
    config = replace(TINY, **more)
    drawn = [{name: 3 * m for name, m in initial_matrices(config, seed).items()} for seed in (0, 1)]
    for one in drawn:
        for name in set(one) & {"ln1_b"}:
            one[name] = np.linspace(-1, 1, 5, dtype=np.float32)
    tokens = np.stack([held_out_tokens(config, seed, 13) for seed in (0, 1)])
    logits = stack_of(drawn, dtype).logits(torch.from_numpy(tokens)).numpy()
    for seed in range(2):
        for row in range(13):
            expected = reference_logits(drawn[seed], tokens[seed, row])
            np.testing.assert_allclose(logits[seed, row], expected, rtol=tolerance, atol=tolerance * 10)


def test_gradients_equal_finite_differences():
    drawn = [initial_matrices(TINY, seed) for seed in (0, 1)]
    tokens = torch.from_numpy(np.stack([held_out_tokens(TINY, seed, 13) for seed in (0, 1)]))
    model = stack_of(drawn, torch.float64)
    for matrix in model.matrices().values():
        matrix.requires_grad_()
    _losses(model, tokens, tokens.amax(-1)).sum().backward()
    step = 1e-6
    for name, matrix in model.matrices().items():
        with torch.no_grad():
            entry = matrix[1].reshape(-1)[4:5]
            entry += step
            above = _losses(model, tokens, tokens.amax(-1))[1]
            entry -= 2 * step
            below = _losses(model, tokens, tokens.amax(-1))[1]
            entry += step
        assert float(matrix.grad[1].reshape(-1)[4]) == pytest.approx(float(above - below) / (2 * step), abs=1e-7), name


def test_one_step_is_adamw_of_the_reference_optimiser():
    """The padded rows change nothing: torch's plain AdamW on separate matrices ends at the same numbers."""
    config = TrainConfig(k=3, d_vocab=7, d_model=5, d_head=2, batch_size=11, steps=3, device="cpu")
    from pessimal.train.draw import TrainingTokens  # noqa: PLC0415

    model = stack_of([initial_matrices(config, 4)])
    matrices = [matrix.requires_grad_() for matrix in model.matrices().values()]
    optimiser = torch.optim.AdamW(matrices, lr=1e-3, weight_decay=0.01, foreach=False, fused=False)
    for tokens in TrainingTokens(config, 4).block()[:3]:
        optimiser.zero_grad()
        batch = torch.from_numpy(tokens)[None]
        _losses(model, batch, batch.amax(-1)).sum().backward()
        optimiser.step()
    (trained,) = train_max_of_k(config, [4])
    for name, matrix in model.matrices().items():
        expected = matrix[0].detach().numpy()
        np.testing.assert_allclose(trained.tensors[name].reshape(expected.shape), expected, atol=1e-6)


def test_loss_falls_in_fifty_small_steps():
    config = TrainConfig(k=3, d_vocab=7, d_model=5, d_head=2, learning_rate=1e-2, steps=50, device="cpu")
    seen = []
    train_max_of_k(config, [0, 1, 2], on_step=lambda step, steps, loss: seen.append((step, steps, loss)))
    assert [step for step, _, _ in seen] == list(range(1, 51))
    assert {steps for _, steps, _ in seen} == {50}
    assert seen[0][2] > 1.5
    assert seen[-1][2] < 0.8 * seen[0][2]


def test_the_same_seeds_give_the_same_bytes():
    assert bytes_by_seed(TINY, [3, 8, 1]) == bytes_by_seed(TINY, [3, 8, 1])


@pytest.mark.parametrize("k", [4, 10])
def test_seeds_beside_a_seed_do_not_change_its_bytes_at_the_published_widths(k):
    config = TrainConfig(k=k, steps=40, device="cpu")
    together = bytes_by_seed(config, [50, 104, 123, 519, 742])
    assert bytes_by_seed(config, [123]) == {123: together[123]}
    assert bytes_by_seed(config, [104, 50]) == {50: together[50], 104: together[104]}


def test_seeds_beside_a_seed_change_at_most_rounding_at_odd_widths():
    together = {model.seed: model for model in train_max_of_k(TINY, [3, 8, 1])}
    (alone,) = train_max_of_k(TINY, [8])
    for name, matrix in alone.tensors.items():
        np.testing.assert_allclose(matrix, together[8].tensors[name], atol=1e-5)


def test_stacks_cover_all_seeds_in_order_and_count_steps_over_all_of_them():
    config = TrainConfig(k=3, d_vocab=7, d_model=5, d_head=2, batch_size=3, steps=2, device="cpu")
    size = stack_size(config, "cpu")
    seeds = list(range(2 * size + 1, 0, -1))
    counted = []
    stacks = list(train_in_stacks(config, seeds, lambda step, steps, _: counted.append((step, steps))))
    assert [len(stack) for stack in stacks] == [size, size, 1]
    assert [model.seed for stack in stacks for model in stack] == seeds
    assert counted == [(step, 6) for step in range(1, 7)]


def test_a_large_model_is_trained_in_smaller_stacks():
    assert stack_size(TrainConfig(), "cpu") == 16
    assert stack_size(TrainConfig(d_vocab=4096, d_model=4096, d_head=4096), "cpu") == 1


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [2**32]])
def test_a_bad_seed_list_is_refused(seeds):
    with pytest.raises(ValueError, match="seed"):
        train_max_of_k(TINY, seeds)


def test_divergence_is_an_error_that_names_the_seed():
    config = TrainConfig(k=3, d_vocab=7, d_model=5, d_head=2, learning_rate=1e30, steps=20, device="cpu")
    with pytest.raises(TrainingDivergedError, match=r"\[6\]"):
        train_max_of_k(config, [6])


def test_an_exception_in_the_callback_restores_the_threads():
    before = torch.get_num_threads()

    def interrupt(step, steps, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_max_of_k(TINY, [0], interrupt)
    assert torch.get_num_threads() == before


def test_ties_count_as_wrong():
    zeros = {name: np.zeros(shape, dtype=np.float32) for name, shape in TINY.matrix_shapes().items()}
    assert sampled_accuracy(TrainedModel(TINY, 0, zeros, 0.0), n_sequences=100) == 0


def test_sampled_accuracy_equals_a_count_with_the_reference_forward():
    model = TrainedModel(TINY, 9, initial_matrices(TINY, 9), 0.0)
    tokens = held_out_tokens(TINY, 9, 300)
    right = sum(int(np.argmax(reference_logits(initial_matrices(TINY, 9), row)) == row.max()) for row in tokens)
    assert 0 < right < 300
    assert sampled_accuracy(model, n_sequences=300) == right / 300
