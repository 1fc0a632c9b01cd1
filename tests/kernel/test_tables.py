"""The tables against the naive formulas: fractions for the linear part, Arb for the weights."""

from fractions import Fraction
from functools import partial

import flint
import numpy as np
import pytest

from pessimal.kernel.arithmetic import ARITHMETICS
from pessimal.kernel.model.requirements import require_single_additive_head
from pessimal.kernel.model.tables import additive_tables, path_tables
from pessimal.kernel.model.tensors import has_final_bias
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.spec import Overrides, Weights
from support.models import ATTN_SCALES, BIASES, NORMS, Sizes, build, random_tensors
from support.oracle import fractions

BOTH = sorted(ARITHMETICS)
SIZES = Sizes(3, 11, 5, 7, 4)
BIAS_SETS = [(), ("b_Q",), ("b_K",), ("b_V", "b_O"), ("b_U",), BIASES]


class Naive:
    """The formulas of the module docstring, entry by entry, in fractions."""

    def __init__(self, weights: Weights) -> None:
        arch = weights.architecture
        self.s, self.arch = arch.shape, arch
        self.w = {n: fractions(a) for n, a in weights.tensors.items()}
        m = self.s.d_model
        self.unembed = self.w["W_U"]
        if arch.ln_final:
            gain = self.w.get("ln_final_w", np.array([Fraction(1)] * m, dtype=object))
            mean = arch.ln_final == "layer-norm"
            centring = np.array([[Fraction(m * (i == j) - mean) for j in range(m)] for i in range(m)], dtype=object)
            self.centring = centring
            self.unembed = centring @ (gain[:, None] * self.w["W_U"])

    def x(self, i: int, t: int) -> np.ndarray:
        return self.w["W_E"][t] + self.w["W_pos"][i]

    def score(self, head: int, q: int, i: int, t: int) -> Fraction:
        """Without b_K, whose term is constant over keys, and without the scale."""
        query = self.x(self.s.k - 1, q) @ self.w["W_Q"][head]
        if "b_Q" in self.w:
            query = query + self.w["b_Q"][head]
        return query @ (self.x(i, t) @ self.w["W_K"][head])

    def value(self, head: int, i: int, t: int) -> np.ndarray:
        return self.x(i, t) @ self.w["W_V"][head] @ self.w["W_O"][head] @ self.unembed

    def residual(self, q: int) -> np.ndarray:
        r = self.x(self.s.k - 1, q)
        if "b_O" in self.w:
            r = r + self.w["b_O"]
        if "b_V" in self.w:
            for h in range(self.s.n_heads):
                r = r + self.w["b_V"][h] @ self.w["W_O"][h]
        return r

    def direct(self, q: int) -> np.ndarray:
        d = self.residual(q) @ self.unembed
        return d + self.w["b_U"] if "b_U" in self.w and not self.arch.ln_final else d

    def scale(self) -> flint.arb:
        factor = self.arch.scale()
        return (
            1 / flint.arb(self.s.d_head).sqrt() if factor is None else flint.arb(flint.fmpq(*factor.as_integer_ratio()))
        )


def within(enclosure, exact: np.ndarray) -> None:
    """Each exact fraction lies between its bounds, which are tight to 2**-45."""
    lo, hi = enclosure.bounds()
    assert lo.shape == np.shape(exact)
    for a, b, x in zip(lo.ravel().tolist(), hi.ravel().tolist(), np.ravel(exact), strict=True):
        assert Fraction(a) <= x <= Fraction(b)
        assert b - a <= 2.0**-45 * max(abs(a), 1e-30)


def ratios(enclosure, logs: np.ndarray, scale: flint.arb) -> None:
    """Along each row the numbers are proportional to exp(scale * logs)."""
    lo, hi = (part.reshape(logs.shape[0], -1) for part in enclosure.bounds())
    logs = logs.reshape(logs.shape[0], -1)
    for a, b, row in zip(lo.tolist(), hi.tolist(), logs, strict=True):
        best = max(row)
        for x, y, value in zip(a, b, row, strict=True):
            gap = value - best
            true = (flint.arb(flint.fmpq(gap.numerator, gap.denominator)) * scale).exp()
            assert not true < x
            assert not true > y
            assert y - x <= 2.0**-40


@pytest.mark.parametrize("arithmetic", BOTH)
@pytest.mark.parametrize(
    ("biases", "final"), [(b, f) for b in BIAS_SETS for f in (None, "gain", "ones") if not (f and "b_U" in b)]
)
@pytest.mark.parametrize("scale", ATTN_SCALES)
def test_additive_tables_enclose_the_formulas(arithmetic, biases, scale, final):
    """a, pi, EVOU, PVOU and D of every bias set, scale and final LayerNorm without biases."""
    tensors = random_tensors(SIZES, 31, biases=biases, norms=("ln_final_w",) if final == "gain" else ())
    metadata = {"attn_scale": scale}
    weights = build(tensors, metadata)
    if final == "ones":
        tensors["ln_final_w"] = np.ones(SIZES.m, dtype=np.float32)
        weights = build(tensors, metadata)
    require_single_additive_head(weights)
    naive, s, arith = Naive(weights), SIZES, ARITHMETICS[arithmetic]()
    with arith.running():
        tables = additive_tables(weights, arith)
        within(tables.token_value, np.array([
            naive.w["W_E"][t] @ naive.w["W_V"][0] @ naive.w["W_O"][0] @ naive.unembed for t in range(s.v)]))  # fmt: skip
        within(tables.position_value, np.array([
            naive.w["W_pos"][i] @ naive.w["W_V"][0] @ naive.w["W_O"][0] @ naive.unembed for i in range(s.k)]))  # fmt: skip
        within(tables.direct, np.array([naive.direct(q) for q in range(s.v)]))
        token = np.array([[naive.score(0, q, 0, t) for t in range(s.v)] for q in range(s.v)])
        position = np.array([[naive.score(0, q, i, 0) for i in range(s.k)] for q in range(s.v)])
        with flint.ctx.workprec(300):
            ratios(tables.token_weight, token, naive.scale())
            ratios(tables.position_weight, position, naive.scale())


@pytest.mark.parametrize("arithmetic", BOTH)
@pytest.mark.parametrize("biases", BIAS_SETS)
@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("final", [False, True])
def test_path_tables_enclose_the_formulas(arithmetic, biases, heads, final):
    """w, V, D, C and epsilon of every bias set and head count, without LayerNorm before attention."""
    sizes = Sizes(3, 11, 5, 7, 2, heads)
    weights = build(random_tensors(sizes, 37, biases=biases, norms=NORMS[2:] if final else ()))
    naive, arith = Naive(weights), ARITHMETICS[arithmetic]()
    with arith.running():
        tables = path_tables(weights, arith, final_bias=has_final_bias(weights))
        o = sizes.o
        direct = np.array([naive.direct(q) for q in range(sizes.v)])
        within(tables.direct[:, :o], direct)
        for h in range(heads):
            value = np.array([[naive.value(h, i, t) for t in range(sizes.v)] for i in range(sizes.k)])
            within(tables.value[h][..., :o], value)
            scores = np.array(
                [[[naive.score(h, q, i, t) for t in range(sizes.v)] for i in range(sizes.k)] for q in range(sizes.v)]
            )
            with flint.ctx.workprec(300):
                ratios(tables.weight[h], scores, naive.scale())
        if final:
            assert tables.final_bias is not None
            constant = naive.w["ln_final_b"] @ naive.w["W_U"]
            within(tables.final_bias, constant + naive.w["b_U"] if "b_U" in biases else constant)
            within(tables.epsilon.reshape(1), np.array([sizes.m**2 * weights.architecture.ln_eps]))
            centred = np.array([naive.residual(q) @ naive.centring for q in range(sizes.v)])
            within(tables.direct[:, o:], centred)
        else:
            assert tables.final_bias is None
            assert tables.direct.shape == (sizes.v, o)


@pytest.mark.parametrize("arithmetic", BOTH)
def test_only_the_last_of_k_rows_is_the_query_position(arithmetic):
    """k below n_ctx: the query sits at row k - 1 of W_pos."""
    tensors = random_tensors(SIZES, 41)
    arith = ARITHMETICS[arithmetic]()
    weights = build(tensors, overrides=Overrides(k=2))
    cut = build(tensors | {"W_pos": tensors["W_pos"][:2]})
    with arith.running():
        for make in (additive_tables, partial(path_tables, final_bias=False)):
            one, two = make(weights, arith), make(cut, arith)
            for a, b in zip(one.direct.bounds(), two.direct.bounds(), strict=True):
                assert (a == b).all()
        assert additive_tables(weights, arith).position_weight.shape == (SIZES.v, 2)


@pytest.mark.parametrize(
    ("tensors", "metadata", "word"),
    [
        (random_tensors(Sizes(3, 5, 7, 2, 4, 3), 1), {}, "one head"),
        (random_tensors(SIZES, 1, norms=("ln1_w",)), {}, "before attention"),
        (random_tensors(SIZES, 1, norms=("ln_final_w", "ln_final_b")), {}, "final biases"),
        (random_tensors(SIZES, 1, biases=("b_U",), norms=("ln_final_w",)), {}, "final biases"),
        (random_tensors(SIZES, 1, biases=("b_U",)), {"normalization_type": "LNPre"}, "before attention"),
        (random_tensors(Sizes(1, 1, 5, 3, 2), 1), {}, "single output"),
    ],
)
def test_models_outside_the_theorem_are_refused(tensors, metadata, word):
    """Several heads, LayerNorm before attention, final biases under LayerNorm, a single output."""
    with pytest.raises(Rejected) as caught:
        require_single_additive_head(build(tensors, metadata))
    assert caught.value.reason == Reason.UNSUPPORTED_MODEL
    assert word in caught.value.detail


def test_a_constant_final_bias_is_accepted():
    """The same C for all outputs moves no comparison."""
    tensors = random_tensors(SIZES, 1, biases=("b_U",), norms=("ln_final_w",))
    tensors["b_U"][...] = 0.5
    weights = build(tensors)
    require_single_additive_head(weights)
    arith = ARITHMETICS["float64"]()
    with arith.running():
        assert path_tables(weights, arith, final_bias=has_final_bias(weights)).final_bias is None


@pytest.mark.parametrize(("sizes", "word"), [
    (Sizes(2, 2, 5, 3, 2), None), (Sizes(2, 2, 5, 3, 1), "single position"), (Sizes(1, 1, 5, 3, 2), "single output"),
])  # fmt: skip
def test_two_outputs_and_two_positions_are_enough(sizes, word):
    """The smallest model with a rival and something to attend to."""
    weights = build(random_tensors(sizes, 1))
    if word is None:
        require_single_additive_head(weights)
        return
    with pytest.raises(Rejected, match=word):
        require_single_additive_head(weights)


@pytest.mark.parametrize("arithmetic", BOTH)
@pytest.mark.parametrize("norms", [(), NORMS])
def test_the_largest_weight_of_a_query_is_one(arithmetic, norms):
    """Scores are shifted by their maximum, so that large ones do not overflow, with and without LayerNorm."""
    tensors = random_tensors(SIZES, 43, norms=norms)
    tensors["W_Q"] *= 200
    arith = ARITHMETICS[arithmetic]()
    with arith.running():
        lo, hi = path_tables(build(tensors), arith, final_bias=False).weight[0].bounds()
    assert lo.shape == (SIZES.v, SIZES.k, SIZES.v)
    assert (hi.max((1, 2)) <= 1 + 1e-6).all()
    assert (hi.max((1, 2)) >= 1).all()
    assert (lo.max((1, 2)) >= 1 - 1e-6).all()
