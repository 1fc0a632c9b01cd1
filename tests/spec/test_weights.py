"""The trusted reader: three naming schemes, one digest; what is stated, and what is assumed."""

from fractions import Fraction

import numpy as np
import pytest
from safetensors.numpy import save

from pessimal.spec import Overrides, WeightsError, read_weights
from support.models import BIASES, Sizes, build, random_tensors
from support.weight_files import SIZES, TINY, everything, lens, refused, short

UNSTATED = ["attention", "attn_scale", "normalization_type", "positional_embedding_type"]


def test_three_naming_schemes_have_one_digest():
    """Short names, head axis and TransformerLens keys (buffers included) are the same model."""
    tensors = everything()
    buffers = {
        "blocks.0.attn.mask": np.tril(np.ones((2, 2), dtype=bool)),
        "blocks.0.attn.IGNORE": np.array(-np.inf, np.float32),
    }
    found = [
        build(tensors), build(short(tensors)), build(lens(tensors)), build(lens(short(tensors))),
        build(lens(tensors) | buffers), build(dict(reversed(list(tensors.items())))),
    ]  # fmt: skip
    assert len({w.sha256 for w in found}) == 1
    for weights in found:
        assert weights.architecture == found[0].architecture
        assert set(weights.tensors) == set(tensors)
        for name, array in tensors.items():
            assert weights.tensors[name].shape == array.shape
            assert (weights.tensors[name] == array).all()


def test_several_heads_have_one_digest_under_both_names():
    """The head axis stands in both schemes."""
    tensors = random_tensors(Sizes(3, 11, 5, 7, 2, 3), 1)
    weights = build(tensors)
    assert weights.sha256 == build(lens(tensors)).sha256
    assert weights.architecture.shape.n_heads == 3
    assert (weights.get("W_Q", 2) == tensors["W_Q"][2]).all()
    assert (weights["W_Q"] == tensors["W_Q"][0]).all()
    assert weights.get("b_U") is None
    with pytest.raises(KeyError):
        weights["b_U"]


def test_the_record_says_what_the_file_holds():
    """Sizes, biases, LayerNorms, scale and epsilon."""
    weights = build(everything(), {"ln_eps": "1e-3"})
    arch = weights.architecture
    shape = arch.shape
    assert (shape.d_vocab, shape.d_vocab_out, shape.d_model, shape.d_head, shape.k, shape.n_heads) == (
        3,
        11,
        5,
        7,
        2,
        1,
    )
    assert arch.record() == {
        "attention": "causal-softmax", "attn_scale": "1/sqrt(d_head)", "biases": sorted((*BIASES, "ln1_b", "ln_final_b")),
        "d_head": 7, "d_model": 5, "d_vocab": 3, "d_vocab_out": 11, "k": 2, "layers": 1, "ln1": "layer-norm",
        "ln_eps": "1/1000", "ln_final": "layer-norm", "n_ctx": 2, "n_heads": 1, "positional": "learned-absolute",
    }  # fmt: skip
    assert shape.n_parameters() == sum(a.size for a in random_tensors(SIZES, 0).values())
    assert [one.name for one in arch.assumed] == UNSTATED
    plain = build(random_tensors(SIZES, 1)).architecture
    assert (plain.ln1, plain.ln_final, plain.biases, plain.ln_eps) == (None, None, (), Fraction(0))


@pytest.mark.parametrize("name", sorted(everything()))
def test_any_bit_of_any_tensor_changes_the_digest(name):
    """Lowest and highest bit of the first and last entry, and the sign of zero."""
    tensors = everything()
    digests = {build(tensors).sha256}
    for place in (0, -1):
        for bit in (0, 31):
            changed = {n: a.copy() for n, a in tensors.items()}
            changed[name].view(np.uint32).ravel()[place : place + 1 or None] ^= np.uint32(1 << bit)
            digests.add(build(changed).sha256)
    zero = {n: a.copy() for n, a in tensors.items()}
    for sign in (0.0, -0.0):
        zero[name].ravel()[0] = sign
        digests.add(build(zero).sha256)
    assert len(digests) == 7


def test_the_record_enters_the_digest():
    """k, scale, epsilon, dtype, LayerNorm and the presence of a bias each change the digest."""
    tensors = random_tensors(SIZES, 5)
    norm = random_tensors(SIZES, 5, norms=("ln1_w",))
    found = [
        build(tensors).sha256,
        build(tensors, overrides=Overrides(k=1)).sha256,
        build(tensors, overrides=Overrides(attn_scale="1")).sha256,
        build(tensors, {"normalization_type": "LNPre"}).sha256,
        build(norm).sha256,
        build(norm, overrides=Overrides(ln_eps="1e-6")).sha256,
        build(norm, {"ln_eps": "1e-7"}).sha256,
        build({n: a.astype(np.float64) for n, a in tensors.items()}).sha256,
        build(tensors | {"b_U": np.zeros(SIZES.o, dtype=np.float32)}).sha256,
        build(tensors | {"b_O": np.zeros(SIZES.m, dtype=np.float32)}).sha256,
        build({**tensors, "W_E": tensors["W_E"][::-1]}).sha256,
        build({**tensors, "W_Q": tensors["W_K"], "W_K": tensors["W_Q"]}).sha256,
    ]
    assert len(set(found)) == len(found)


def test_metadata_that_says_nothing_new_keeps_the_digest():
    """The digest covers the record, not how it was stated."""
    tensors = random_tensors(SIZES, 5)
    plain = build(tensors).sha256
    assert plain == build(tensors, {"attn_scale": "1/sqrt(d_head)", "n_ctx": "2", "author": "x"}).sha256
    assert plain == build(tensors, overrides=Overrides(k=2, attn_scale="1/sqrt(d_head)")).sha256
    assert [one.name for one in build(tensors).architecture.assumed] == UNSTATED
    stated = {"attn_scale": "1", "attention": "uniform", "normalization_type": "None"}
    assert [str(one) for one in build(tensors, stated).architecture.assumed] == [
        "positional_embedding_type=standard (not stated in the file)"
    ]
    assert not build(tensors, {**stated, "positional_embedding_type": "standard"}).architecture.assumed


def test_values_stated_by_hand_are_assumptions_too():
    """Also where they repeat what the file says; they stand as in the record, in the order of names."""
    stated = {"attention": "causal-softmax", "normalization_type": "LN", "positional_embedding_type": "standard"}
    overrides = Overrides(k=1, attn_scale="1", ln_eps="1e-3")
    arch = build(everything(), {**stated, "attn_scale": "1", "ln_eps": "0.001"}, overrides).architecture
    assert [one.item() for one in arch.assumed] == ["attn_scale:1", "k:1", "ln_eps:1/1000"]


@pytest.mark.parametrize(
    ("norms", "metadata", "item"),
    [
        ((), {}, "normalization_type:none"),
        (("ln1_w", "ln1_b"), {}, "normalization_type:LN"),
        (("ln1_w", "ln1_b", "ln_final_w", "ln_final_b"), {}, "normalization_type:LN"),
        (("ln1_w", "ln_final_w"), {"normalization_type": "LN"}, None),
        ((), {"normalization_type": "LNPre"}, None),
    ],
)
def test_a_layer_norm_that_no_one_states_is_an_assumption(norms, metadata, item):
    """A folded model saved without metadata looks like one that never had a LayerNorm."""
    found = [one.item() for one in build(random_tensors(SIZES, 3, norms=norms), metadata).architecture.assumed]
    assert [one for one in found if one.startswith("normalization")] == [item] * (item is not None)


def test_empty_metadata_states_nothing_and_is_refused():
    """Never read as the convention."""
    tensors = random_tensors(SIZES, 3, norms=("ln1_w", "ln_final_w"))
    for key in ("attn_scale", "attention", "normalization_type", "positional_embedding_type", "ln_eps", "eps"):
        with pytest.raises(WeightsError):
            build(tensors, {key: ""})


def test_overrides_win_over_metadata():
    """k, scale and epsilon stated by the user replace the file's."""
    tensors = random_tensors(SIZES, 5, norms=("ln_final_w",))
    meta = {"n_ctx": "2", "attn_scale": "1", "ln_eps": "1e-2"}
    arch = build(tensors, meta, Overrides(k=1, attn_scale="1/sqrt(d_head)", ln_eps="1/8")).architecture
    assert (arch.shape.k, arch.attn_scale, arch.ln_eps, arch.n_ctx) == (1, "1/sqrt(d_head)", Fraction(1, 8), 2)
    arch = build(tensors, meta).architecture
    assert (arch.shape.k, arch.attn_scale, arch.ln_eps) == (2, "1", Fraction(1, 100))


def test_the_arrays_cannot_be_changed_after_hashing():
    """What was hashed is what is used."""
    weights = build(everything())
    for array in weights.tensors.values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(TypeError):
        weights.tensors["W_E"] = None


BAD_METADATA = [
    {"normalization_type": "LN"}, {"normalization_type": "LNPre"}, {"ln_eps": "0"}, {"ln_eps": "-1"}, {"ln_eps": "nan"},
    {"ln_eps": "inf"}, {"ln_eps": "abc"}, {"ln_eps": "1e999999999"}, {"ln_eps": "1e-401"}, {"ln_eps": "1/0"},
    {"ln_eps": "9" * 41}, {"ln_eps": "1e"}, {"positional_embedding_type": "rotary"}, {"attn_scale": "-2"},
    {"attn_scale": "0"}, {"attn_scale": "2/sqrt(d_head)"}, {"n_ctx": "0"}, {"n_ctx": "3"}, {"n_ctx": "-1"}, {"n_ctx": "1.0"}, {"n_ctx": "²"},
    {"n_ctx": "1" * 5000}, {"n_ctx": ""}, {"n_ctx": "two"}, {"n_ctx": "1234567"},
]  # fmt: skip


@pytest.mark.parametrize("metadata", BAD_METADATA)
def test_bad_metadata_is_refused(metadata):
    """Unknown normalisation, positions, scales, epsilons and lengths are errors, never a silent default."""
    refused(save(random_tensors(SIZES, 1, norms=("ln1_w", "ln1_b")), metadata))


@pytest.mark.parametrize(
    "overrides", [Overrides(k=0), Overrides(k=3), Overrides(k=-1), Overrides(attn_scale="x"), Overrides(ln_eps="0")]
)
def test_bad_overrides_are_refused(overrides):
    """The same for what the user states."""
    refused(save(random_tensors(SIZES, 1, norms=("ln1_w", "ln1_b"))), overrides=overrides)


@pytest.mark.parametrize("norms", [(), ("ln1_w",), ("ln_final_w",), ("ln1_w", "ln_final_w")])
@pytest.mark.parametrize("kind", ["", "None", "none", "LN", "LNPre", "LNpre", "RMS", "RMSPre", "rms"])
def test_a_stated_normalisation_must_agree_with_the_tensors(kind, norms):
    """LN and RMS need both gains, LNPre, RMSPre and none need neither; an empty statement is none of these."""
    has = ("ln1_w" in norms, "ln_final_w" in norms)
    both, neither = (True, True), (False, False)
    meaning = {"LN": both, "RMS": both, "LNPre": neither, "RMSPre": neither, "None": neither, "none": neither}
    data = save(random_tensors(SIZES, 1, norms=norms), {"normalization_type": kind})
    if meaning.get(kind) != has:
        refused(data, "normalization_type")
        return
    arch = read_weights(data).architecture
    what = {"LN": "layer-norm", "RMS": "rms"}.get(kind.removesuffix("Pre"))
    assert (arch.ln1, arch.ln_final) == (what, what)
    assert (arch.ln_eps > 0) == (what is not None)


def test_the_number_of_positions_is_limited():
    """4,096 positions are read, 4,097 are not, however many rows W_pos has."""
    tensors = random_tensors(TINY, 1) | {"W_pos": np.zeros((4097, 1), dtype=np.float32)}
    assert build(tensors, overrides=Overrides(k=4096)).architecture.shape.k == 4096
    refused(save(tensors), "4097 positions")
    refused(save(tensors), "4097 positions", overrides=Overrides(k=4097))


def test_the_longest_side_is_65536():
    """W_pos may have 65,536 rows, not one more."""
    rows = np.zeros((65_536, 1), dtype=np.float32)
    tensors = random_tensors(TINY, 1)
    assert build(tensors | {"W_pos": rows}, overrides=Overrides(k=1)).architecture.n_ctx == 65_536
    refused(save(tensors | {"W_pos": np.zeros((65_537, 1), dtype=np.float32)}), "longer", overrides=Overrides(k=1))


@pytest.mark.parametrize(("text", "good"), [("000002", True), ("0000002", False), ("1", True)])
def test_a_stated_length_has_at_most_six_digits(text, good):
    """Leading zeros count; the number is read as it stands."""
    data = save(random_tensors(SIZES, 1), {"n_ctx": text})
    if good:
        assert read_weights(data).architecture.shape.k == int(text)
    else:
        refused(data, "n_ctx")


@pytest.mark.parametrize(
    ("text", "good"),
    [("1e400", True), ("1e401", False), ("1e+401", False), ("1E-400", True), ("1E-401", False), ("1." + "0" * 38, True),
     ("1." + "0" * 39, False), ("1/3", True)],
)  # fmt: skip
def test_the_limits_of_epsilon_are_exact(text, good):
    """Forty characters and exponents to 400, in either case."""
    data = save(random_tensors(SIZES, 1, norms=("ln1_w", "ln1_b")), {"ln_eps": text})
    if good:
        assert read_weights(data).architecture.ln_eps == Fraction(text)
    else:
        refused(data, "ln_eps")


def test_epsilon_is_also_read_as_eps():
    """The file may say `eps`, and the same as `ln_eps` if both; 1e-5 stands where neither is said."""
    tensors = random_tensors(SIZES, 1, norms=("ln_final_w", "ln_final_b"))
    assert build(tensors, {"eps": "1/7"}).architecture.ln_eps == Fraction(1, 7)
    assert build(tensors, {"eps": "0.125", "ln_eps": "1/8"}).architecture.ln_eps == Fraction(1, 8)
    with pytest.raises(WeightsError, match="ln_eps is 1/8, but eps 1/7"):
        build(tensors, {"eps": "1/7", "ln_eps": "1/8"})
    assert build(tensors).architecture.ln_eps == Fraction(1, 100_000)
    assert [one.name for one in build(tensors).architecture.assumed] == sorted([*UNSTATED, "ln_eps"])
