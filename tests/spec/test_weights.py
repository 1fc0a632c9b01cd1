"""The trusted reader: three naming schemes, one digest; every malformed file is one clear WeightsError."""

import json
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from models import BIASES, NORMS, Sizes, build, random_tensors
from pessimal.spec import Overrides, WeightsError, read_weights
from sampling import examples

SIZES = Sizes(3, 11, 5, 7, 2)
UNSTATED = ["attention", "attn_scale", "normalization_type", "positional_embedding_type"]
TINY = Sizes(2, 3, 1, 1, 1)
PREFIXED = {
    "W_E": "embed.W_E", "W_pos": "pos_embed.W_pos", "W_U": "unembed.W_U", "b_U": "unembed.b_U", "ln1_w": "blocks.0.ln1.w",
    "ln1_b": "blocks.0.ln1.b", "ln_final_w": "ln_final.w", "ln_final_b": "ln_final.b",
}  # fmt: skip


def everything(seed: int = 3) -> dict[str, np.ndarray]:
    return random_tensors(SIZES, seed, biases=BIASES, norms=NORMS)


def lens(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """TransformerLens state-dict keys."""
    return {PREFIXED.get(name, f"blocks.0.attn.{name}"): array for name, array in tensors.items()}


def short(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The single-head short form, without the head axis."""
    headed = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V")
    return {name: array[0] if name in headed else array for name, array in tensors.items()}


def file(header: Any, body: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    n = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def refused(data: bytes, *words: str, overrides: Overrides | None = None) -> None:
    """WeightsError, one line, containing the words."""
    with pytest.raises(WeightsError) as caught:
        read_weights(data, overrides)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_three_naming_schemes_have_one_digest():
    """Short names, head axis and TransformerLens keys (buffers included) are the same model."""
    tensors = everything()
    buffers = {"blocks.0.attn.mask": np.ones((2, 2), dtype=bool), "blocks.0.attn.IGNORE": np.array(-np.inf, np.float32)}
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
    assert (plain.ln1, plain.ln_final, plain.biases, plain.ln_eps) == (False, False, (), Fraction(0))


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
        (("ln1_w",), {}, "normalization_type:LN"),
        (("ln1_w", "ln_final_w"), {}, "normalization_type:LN"),
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
    {"normalization_type": "RMS"}, {"normalization_type": "LNPre", "ln_eps": "0"}, {"ln_eps": "-1"}, {"ln_eps": "nan"},
    {"ln_eps": "inf"}, {"ln_eps": "abc"}, {"ln_eps": "1e999999999"}, {"ln_eps": "1e-401"}, {"ln_eps": "1/0"},
    {"ln_eps": "9" * 41}, {"ln_eps": "1e"}, {"positional_embedding_type": "rotary"}, {"attn_scale": "2"},
    {"attn_scale": "0.5"}, {"n_ctx": "0"}, {"n_ctx": "3"}, {"n_ctx": "-1"}, {"n_ctx": "1.0"}, {"n_ctx": "²"},
    {"n_ctx": "1" * 5000}, {"n_ctx": ""}, {"n_ctx": "two"}, {"n_ctx": "1234567"},
]  # fmt: skip


@pytest.mark.parametrize("metadata", BAD_METADATA)
def test_bad_metadata_is_refused(metadata):
    """Unknown normalisation, positions, scales, epsilons and lengths are errors, never a silent default."""
    refused(save(random_tensors(SIZES, 1, norms=("ln1_w",)), metadata))


@pytest.mark.parametrize(
    "overrides", [Overrides(k=0), Overrides(k=3), Overrides(k=-1), Overrides(attn_scale="x"), Overrides(ln_eps="0")]
)
def test_bad_overrides_are_refused(overrides):
    """The same for what the user states."""
    refused(save(random_tensors(SIZES, 1, norms=("ln1_w",))), overrides=overrides)


def tiny_file() -> bytes:
    return save({n: np.ascontiguousarray(a) for n, a in short(random_tensors(TINY, 1)).items()}, {"n_ctx": "1"})


def test_a_file_truncated_anywhere_is_refused():
    """Every proper prefix."""
    data = tiny_file()
    assert read_weights(data).sha256
    for n in range(len(data)):
        refused(data[:n])


@pytest.mark.parametrize("extra", [b"\0", b"\0" * 8, b"junk"])
def test_bytes_after_the_last_tensor_are_refused(extra):
    """Every byte is accounted for."""
    refused(tiny_file() + extra, "belong to no tensor")


def broken(change: Callable[[dict[str, Any]], Any], body: bytes | None = None) -> bytes:
    header, data = parts(tiny_file())
    return file(change(header) or header, data if body is None else body)


def entry(name: str, **fields: Any) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        header[name] = header[name] | fields

    return change


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        del header[name]["dtype"]

    return change


BAD_ENTRIES = [
    entry("W_E", dtype="F16"), entry("W_E", dtype="I32"), entry("W_E", dtype="I64"), entry("W_E", dtype="BOOL"),
    entry("W_E", dtype="BF16"), entry("W_E", dtype="F8"), entry("W_E", dtype=3), entry("W_E", dtype=None),
    entry("W_E", dtype=["F32"]), entry("W_E", dtype="F64"), entry("W_E", shape=[2, 2]), entry("W_E", shape=[-2, -1]),
    entry("W_E", shape=[2.0, 1.0]), entry("W_E", shape="21"), entry("W_E", shape=[True, 2]), entry("W_E", shape=None),
    entry("W_E", shape=[2**70, 0]), entry("W_E", shape=[0, 65536, 65536, 65536, 65536, 65536]), entry("W_E", shape=[1] * 9),
    entry("W_E", shape=[65537, 0]), entry("W_E", shape=[[2], 1]), entry("W_E", data_offsets=[0, 8, 8]),
    entry("W_E", data_offsets=[8, 0]), entry("W_E", data_offsets=[-8, 0]), entry("W_E", data_offsets=[0, 2**80]),
    entry("W_E", data_offsets=[True, 8]), entry("W_E", data_offsets=[0]), entry("W_E", data_offsets="08"),
    entry("W_E", data_offsets=[0.0, 8.0]), entry("W_E", extra=1), drop("W_E"), lambda h: h | {"W_E": 3},
    lambda h: h | {"W_E": None}, lambda h: h | {"W_E": []},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD_ENTRIES)
def test_a_malformed_entry_is_refused_by_name(change):
    """Wrong dtype, shape, offsets or fields; the message names the tensor."""
    refused(broken(change), "W_E")


@pytest.mark.parametrize("shape", [[0, 65536] + [65536] * 6, [0] + [65536] * 7, [65536] * 7 + [0], [0], [0, 0]])
def test_an_empty_tensor_of_astronomical_shape_is_refused(shape):
    """A zero side multiplied by sides whose product no array can have."""
    refused(file({"W_E": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}))


BAD_HEADERS = [
    b"", b"{", b"[]", b"3", b"null", b'"x"', b"\xff\xfe", b"{}x", b"[" * 5000, b'{"a":' * 3000, b"[" * 100_000,
    b'{"W_E":' + b"1" * 10_000 + b"}", b'{"W_E": NaN}', b'{"W_E": Infinity}', b'{"W_E": -Infinity}', b'{"a":1,"a":2}',
    b'{"__metadata__": {"a": "b", "a": "c"}}', b'{"__metadata__": 3}', b'{"__metadata__": {"a": 1}}',
    b'{"__metadata__": {"a": null}}', b'{"__metadata__": []}', b'{"\\ud800": 1}', b"{}", b'{"W_E": 1e999}',
    b'{"W_E": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 0]}}',
]  # fmt: skip


@pytest.mark.parametrize("raw", BAD_HEADERS, ids=range(len(BAD_HEADERS)))
def test_a_malformed_header_is_refused(raw):
    """Bad JSON, duplicates, NaN constants, deep nesting, 10,000-digit integers, lone surrogates."""
    refused(file(raw))


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**20 + 1, 10**6])
def test_a_header_length_past_the_file_is_refused(length):
    """The length is compared with the file and with a limit before anything is read."""
    refused(struct.pack("<Q", length) + b"{}", "length")
    refused(struct.pack("<Q", 2**20 + 1) + b" " * (2**20 + 1), "length")


def test_duplicate_tensors_are_refused():
    """The same tensor under a short and a TransformerLens name."""
    tensors = random_tensors(SIZES, 1)
    refused(save(tensors | {"embed.W_E": tensors["W_E"]}), "W_E", "twice")


def test_overlaps_and_holes_are_refused():
    """Every byte of the body belongs to exactly one tensor."""
    header, body = parts(tiny_file())
    names = sorted((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"])
    sizes = {n: header[n]["data_offsets"][1] - header[n]["data_offsets"][0] for n in names}
    same = [n for n in names if sizes[n] == sizes[names[-1]]]
    assert len(same) > 1
    overlapping = {n: dict(e) for n, e in header.items()}
    overlapping[same[1]]["data_offsets"] = header[same[0]]["data_offsets"]
    refused(file(overlapping, body), "overlap")
    shifted = {n: dict(e) for n, e in header.items()}
    last = names[-1]
    shifted[last]["data_offsets"] = [x + 4 for x in header[last]["data_offsets"]]
    refused(file(shifted, body + b"\0" * 4), "overlap or leave a hole")


def test_offsets_may_come_in_any_order():
    """The order of entries in the header is free."""
    header, body = parts(tiny_file())
    turned = dict(reversed(list(header.items())))
    assert read_weights(file(turned, body)).sha256 == read_weights(tiny_file()).sha256


@pytest.mark.parametrize("name", ["W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U"])
def test_a_missing_tensor_is_named(name):
    """Every required tensor."""
    tensors = random_tensors(SIZES, 1)
    del tensors[name]
    refused(save(tensors), repr(name), "missing")


@pytest.mark.parametrize(
    "name", ["W_gate", "blocks.1.attn.W_Q", "blocks.0.mlp.W_in", "W_E ", "w_e", "blocks.0.attn.masks", ""]
)
def test_an_unexpected_tensor_is_named(name):
    """Anything the semantics does not know."""
    refused(save(random_tensors(SIZES, 1) | {name: np.zeros(3, dtype=np.float32)}), repr(name))


@pytest.mark.parametrize("name", sorted(everything()))
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_entry_is_named(name, bad):
    """NaN and infinities in any tensor."""
    tensors = everything()
    tensors[name].ravel()[-1] = bad
    refused(save(tensors), name, "NaN or an infinity")


@pytest.mark.parametrize("name", sorted(everything()))
def test_an_inconsistent_shape_is_named(name):
    """Each tensor with one side too long, each axis, or one axis too many, or none at all."""
    tensors = everything()
    for axis in range(tensors[name].ndim):
        if name == "W_pos" and axis == 0:
            continue  # n_ctx may be any length
        if name == "W_E" and axis == 0:
            continue  # d_vocab is W_E's alone
        longer = np.concatenate([tensors[name]] * 2, axis=axis)
        refused(save(tensors | {name: longer}), "has")
        refused(save(tensors | {name: np.take(tensors[name], [], axis=axis)}), "empty")
    refused(save(tensors | {name: tensors[name][..., None, None]}), name, "axes")
    refused(save(tensors | {name: np.array(1, dtype=np.float32)}), name, "axes")


@pytest.mark.parametrize("site", ["ln1", "ln_final"])
def test_a_norm_bias_without_gain_is_named(site):
    """ln_b without ln_w."""
    tensors = everything()
    del tensors[f"{site}_w"]
    refused(save(tensors), f"{site}_b", f"{site}_w")


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int16, np.int32, np.int64, np.uint8, np.float16])
@pytest.mark.parametrize("name", ["W_E", "b_U"])
def test_other_dtypes_are_named(name, dtype):
    """Booleans, integers and half precision are not weights."""
    tensors = everything()
    refused(save(tensors | {name: np.ones(tensors[name].shape, dtype=dtype)}), name)


def test_a_huge_span_of_exponents_is_named():
    """Exact integers would become too long; the limit is on one tensor, zeros aside."""
    tensors = {n: a.astype(np.float64) for n, a in random_tensors(SIZES, 1).items()}
    tensors["W_E"][...] = 1
    tensors["W_E"][0, 0], tensors["W_E"][0, 1] = 2.0**640, 0.0
    assert build(tensors).sha256
    tensors["W_E"][0, 0] = 2.0**641
    refused(save(tensors), "W_E", "exponents")


@settings(max_examples=examples(400))
@given(st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 20))
def test_mutated_files_are_read_or_refused(changes, cut):
    """Byte mutations and cuts of a valid file raise WeightsError or give finite tensors and another digest."""
    data = bytearray(tiny_file())
    original = read_weights(bytes(data))
    for place, value in changes:
        # half of the changes fall into the header
        limit = len(data) if place % 2 else len(data) - len(parts(tiny_file())[1])
        data[place % limit] = value
    data = data[: len(data) - cut] if cut > 15 else data
    message, weights = "", original
    try:
        weights = read_weights(bytes(data))
    except WeightsError as error:
        message = str(error)
    if message:
        assert "\n" not in message
        return
    assert all(np.isfinite(a).all() for a in weights.tensors.values())
    same = all((weights.tensors[n].tobytes() == a.tobytes()) for n, a in original.tensors.items())
    assert (weights.sha256 == original.sha256) == (same and weights.architecture == original.architecture)


@settings(max_examples=examples(200))
@given(st.binary(max_size=60), st.booleans())
def test_arbitrary_bytes_are_refused(data, framed):
    """Noise, with and without a fitting length."""
    with pytest.raises(WeightsError):
        read_weights(file(data) if framed else data)


@pytest.mark.parametrize("norms", [(), ("ln1_w",), ("ln_final_w",), ("ln1_w", "ln_final_w")])
@pytest.mark.parametrize("kind", ["", "None", "none", "LN", "LNPre", "LNpre", "RMS"])
def test_a_stated_normalisation_must_agree_with_the_tensors(kind, norms):
    """LN needs both gains, LNPre and none need neither; an empty statement is none of these."""
    has = ("ln1_w" in norms, "ln_final_w" in norms)
    meaning = {"LN": (True, True), "LNPre": (False, False), "None": (False, False), "none": (False, False)}
    data = save(random_tensors(SIZES, 1, norms=norms), {"normalization_type": kind})
    if meaning.get(kind) != has:
        refused(data, "normalization_type")
        return
    arch = read_weights(data).architecture
    assert (arch.ln1, arch.ln_final) == ((True, True) if kind == "LNPre" else has)
    assert (arch.ln_eps > 0) == (arch.ln1 or arch.ln_final)


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
    data = save(random_tensors(SIZES, 1, norms=("ln1_w",)), {"ln_eps": text})
    if good:
        assert read_weights(data).architecture.ln_eps == Fraction(text)
    else:
        refused(data, "ln_eps")


def test_epsilon_is_also_read_as_eps():
    """The file may say `eps`; `ln_eps` wins over it, and 1e-5 stands where neither is said."""
    tensors = random_tensors(SIZES, 1, norms=("ln_final_w",))
    assert build(tensors, {"eps": "1/7"}).architecture.ln_eps == Fraction(1, 7)
    assert build(tensors, {"eps": "1/7", "ln_eps": "1/8"}).architecture.ln_eps == Fraction(1, 8)
    assert build(tensors).architecture.ln_eps == Fraction(1, 100_000)
    assert [one.name for one in build(tensors).architecture.assumed] == sorted([*UNSTATED, "ln_eps"])
