"""Circuits against the formulas written out as loops over every index, at distinct prime sizes."""

import itertools
import json
import math

import numpy as np
import pytest
from safetensors.numpy import save

from pessimal.analysis import circuit_record
from pessimal.circuits import EQKE, EQKP, EU, EVOU, PVOU
from pessimal.spec import Overrides, Weights, read_weights
from support.models import stated_norms

K, D_VOCAB, D_MODEL, D_HEAD, D_VOCAB_OUT, N_CTX, N_HEADS = 3, 7, 5, 2, 11, 13, 17
HEADS = (0, N_HEADS - 1)
BIASES = {"b_Q": (N_HEADS, D_HEAD), "b_K": (N_HEADS, D_HEAD), "b_V": (N_HEADS, D_HEAD), "b_O": (D_MODEL,)}
SHAPES = {
    "W_E": (D_VOCAB, D_MODEL),
    "W_pos": (N_CTX, D_MODEL),
    "W_Q": (N_HEADS, D_MODEL, D_HEAD),
    "W_K": (N_HEADS, D_MODEL, D_HEAD),
    "W_V": (N_HEADS, D_MODEL, D_HEAD),
    "W_O": (N_HEADS, D_HEAD, D_MODEL),
    "W_U": (D_MODEL, D_VOCAB_OUT),
}


def model(*, biases: bool, extra: dict[str, np.ndarray] | None = None, scale: float = 1.0) -> Weights:
    rng = np.random.default_rng(31)
    shapes = SHAPES | (BIASES | {"b_U": (D_VOCAB_OUT,)} if biases else {})
    tensors = {name: (scale * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}
    return read_weights(save(tensors | (extra or {}), stated_norms(extra or {})), Overrides(k=K))


def bias(weights: Weights, name: str, head: int, size: int) -> list[float]:
    vector = weights.get(name, head)
    return [0.0] * size if vector is None else [float(x) for x in vector]


def multiply(row: list[float], matrix: np.ndarray) -> list[float]:
    return [math.fsum(row[i] * float(matrix[i, j]) for i in range(matrix.shape[0])) for j in range(matrix.shape[1])]


def add(*rows: list[float]) -> list[float]:
    return [math.fsum(entries) for entries in zip(*rows, strict=True)]


def residual(weights: Weights, token: int, position: int) -> list[float]:
    return [float(e) + float(p) for e, p in zip(weights["W_E"][token], weights["W_pos"][position], strict=True)]


def score(weights: Weights, head: int, query: int, key: int, position: int) -> float:
    """Attention score before the scale of one query token on one key token at one position."""
    q = add(
        multiply(residual(weights, query, K - 1), weights.get("W_Q", head)),
        bias(weights, "b_Q", head, D_HEAD),
    )
    k = add(
        multiply(residual(weights, key, position), weights.get("W_K", head)),
        bias(weights, "b_K", head, D_HEAD),
    )
    return math.fsum(x * y for x, y in zip(q, k, strict=True))


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_scores_split_into_token_and_position_parts(biases, head):
    """score(q, t, i) = EQKE[q, t] + EQKP[q, i] for every query token, key token and position."""
    weights = model(biases=biases)
    eqke, eqkp = EQKE(weights, head), EQKP(weights, head)
    assert eqke.shape == (D_VOCAB, D_VOCAB)
    assert eqkp.shape == (D_VOCAB, K)
    for q, t, i in itertools.product(range(D_VOCAB), range(D_VOCAB), range(K)):
        assert eqke[q, t] + eqkp[q, i] == pytest.approx(score(weights, head, q, t, i), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("biases", [False, True])
def test_eqke_is_the_mean_score_over_positions(biases):
    weights = model(biases=biases)
    for q, t in itertools.product(range(D_VOCAB), range(D_VOCAB)):
        mean = math.fsum(score(weights, 1, q, t, i) for i in range(K)) / K
        assert EQKE(weights, 1)[q, t] == pytest.approx(mean, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("head", HEADS)
def test_ov_circuit_is_the_product_of_its_four_matrices(head):
    weights = model(biases=True)
    for source, circuit, rows in (("W_E", EVOU, D_VOCAB), ("W_pos", PVOU, K)):
        matrix = circuit(weights, head)
        assert matrix.shape == (rows, D_VOCAB_OUT)
        assert matrix.dtype == np.float64
        for row in range(rows):
            values = multiply([float(x) for x in weights[source][row]], weights.get("W_V", head))
            logits = multiply(multiply(values, weights.get("W_O", head)), weights["W_U"])
            assert matrix[row].tolist() == pytest.approx(logits, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("biases", [False, True])
def test_circuits_add_up_to_the_logits_of_the_forward_pass(biases):
    """logits = EU[q] + sum over heads and positions of a_i (EVOU[t_i] + PVOU[i]), biases included."""
    weights = model(biases=biases)
    direct = EU(weights)
    assert direct.shape == (D_VOCAB, D_VOCAB_OUT)
    for tokens in ([0, 6, 2], [5, 5, 1], [3, 4, 6]):
        stream = add(residual(weights, tokens[-1], K - 1), bias(weights, "b_O", 0, D_MODEL))
        from_circuits = direct[tokens[-1]].copy()
        for head in range(N_HEADS):
            scores = [score(weights, head, tokens[-1], t, i) / math.sqrt(D_HEAD) for i, t in enumerate(tokens)]
            exps = [math.exp(s - max(scores)) for s in scores]
            for i, t in enumerate(tokens):
                attention = exps[i] / math.fsum(exps)
                value = add(
                    multiply(residual(weights, t, i), weights.get("W_V", head)),
                    bias(weights, "b_V", head, D_HEAD),
                )
                stream = add(stream, [attention * x for x in multiply(value, weights.get("W_O", head))])
                from_circuits += attention * (EVOU(weights, head)[t] + PVOU(weights, head)[i])
        logits = add(multiply(stream, weights["W_U"]), bias(weights, "b_U", 0, D_VOCAB_OUT))
        assert from_circuits.tolist() == pytest.approx(logits, rel=1e-9, abs=1e-9)


def test_record_holds_rounded_matrices_spectrum_and_sizes():
    weights = model(biases=False)
    record = json.loads(json.dumps(circuit_record(weights, 1), allow_nan=False))
    expected = {"EQKE": EQKE, "EQKP": EQKP, "EVOU": EVOU, "PVOU": PVOU}
    for name, circuit in expected.items():
        assert np.array(record["matrices"][name]) == pytest.approx(circuit(weights, 1), rel=5e-4, abs=0)
    assert np.array(record["matrices"]["EU"]) == pytest.approx(EU(weights), rel=5e-4, abs=0)
    spectrum = record["singular_values"]
    assert len(spectrum) == D_HEAD
    assert math.hypot(*spectrum) == pytest.approx(np.linalg.norm(EQKE(weights, 1)), rel=1e-3)
    assert record["sigma1_over_sigma2"] == pytest.approx(spectrum[0] / spectrum[1], rel=1e-3)
    assert record["weights_sha256"] == weights.sha256
    assert (record["head"], record["layer_norm"]) == (1, False)
    assert record["sizes"] == {
        "k": K, "d_vocab": D_VOCAB, "d_vocab_out": D_VOCAB_OUT, "d_model": D_MODEL, "d_head": D_HEAD, "n_heads": N_HEADS,
    }  # fmt: skip


def test_record_says_that_layer_norms_are_left_out():
    gain = np.full(D_MODEL, 3.0, dtype=np.float32)
    weights, plain = model(biases=False, extra={"ln1_w": gain}), model(biases=False)
    assert circuit_record(weights)["layer_norm"] is True
    assert circuit_record(weights)["matrices"] == circuit_record(plain)["matrices"]


def test_record_of_zero_weights_has_no_ratio():
    assert circuit_record(model(biases=False, scale=0.0))["sigma1_over_sigma2"] is None


def test_record_of_overflowing_weights_is_still_json():
    huge = {"W_E": np.full((D_VOCAB, D_MODEL), 1e300), "W_U": np.full((D_MODEL, D_VOCAB_OUT), 1e300)}
    record = circuit_record(model(biases=False, extra=huge))
    json.dumps(record, allow_nan=False)
    assert record["matrices"]["EU"][0][0] is None
    assert record["singular_values"] == []
