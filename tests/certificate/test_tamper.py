"""Every field of a certificate, every kind of damage: rejected with a reason from the closed list, or still true."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pessimal as ps
from pessimal.kernel.certificate import canonical
from pessimal.kernel.check import Limits, check
from pessimal.testing import LongMoment, tiny_weights
from support.containers import join, split

R = ps.Reason
WEIGHTS = tiny_weights(0, k=3)
TASK = ps.MaxOfK(3, 5)
PROOF = ps.prove(WEIGHTS, TASK, LongMoment(rival="centred", position="each", near=2))
PLAIN = ps.prove(WEIGHTS, TASK, ps.Cubic())
TRUTH = ps.prove(WEIGHTS, TASK, ps.BruteForce()).claim.correct


def changed(proof=PROOF, **fields):
    header, body = split(proof.data)
    return join({**header, **fields}, body)


def reason(data, weights=WEIGHTS, **kwargs):
    verdict = check(data, weights, **kwargs)
    return None if verdict else verdict.reason


def test_the_untouched_certificates_verify():
    assert ps.check(PROOF, WEIGHTS).verified
    assert ps.check(PLAIN, WEIGHTS).verified
    assert 0 < PROOF.claim.correct <= TRUTH


HEADER, BODY = split(PROOF.data)


@pytest.mark.parametrize("key", sorted(HEADER))
def test_a_missing_key_is_rejected(key):
    header = {name: value for name, value in HEADER.items() if name != key}
    expected = R.UNSUPPORTED_FORMAT if key == "format" else R.MALFORMED_HEADER
    assert reason(join(header, BODY)) is expected


@pytest.mark.parametrize("key", sorted(HEADER))
@pytest.mark.parametrize("value", [None, True, 1, 1.5, "x", [], {}, [1], {"a": 1}])
def test_a_field_of_another_type_or_value_never_verifies(key, value):
    header = {**HEADER, key: value}
    if key == "strategy" and isinstance(value, str):
        return  # display only: any word will do
    assert reason(join(header, BODY)) is not None


def test_an_unknown_key_is_rejected():
    assert reason(changed(extra=1)) is R.MALFORMED_HEADER


@pytest.mark.parametrize("key", sorted(HEADER))
def test_a_duplicate_key_is_rejected(key):
    raw = canonical(HEADER).decode()
    twice = ("{" + json.dumps(key) + ":" + canonical({"a": HEADER[key]}).decode()[5:-1] + "," + raw[1:]).encode()
    assert json.loads(twice) == HEADER
    assert reason(join(twice, BODY)) is R.MALFORMED_HEADER


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":-0}',
        b'{"a":Infinity}',
        b'{"a":' + b"9" * 10_000 + b"}",
        b"[" * 50_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"a":"\\ud800"}',
        b"\xff\xfe",
        json.dumps(HEADER, sort_keys=True).encode(),
        canonical(HEADER) + b" ",
    ],
)
def test_a_header_that_is_not_the_canonical_one_is_rejected(raw):
    assert reason(join(raw, BODY)) in {R.MALFORMED_HEADER, R.UNSUPPORTED_FORMAT}


def test_every_truncation_is_rejected():
    for n in range(len(PROOF.data)):
        assert reason(PROOF.data[:n]) in {R.MALFORMED_CONTAINER, R.MALFORMED_HEADER}


def test_bytes_after_the_end_are_rejected():
    assert reason(PROOF.data + b"\0") is R.MALFORMED_CONTAINER


def test_a_raised_claim_is_rejected():
    """Every claim above what the rule gives is rejected, in both arithmetics."""
    for proof in (PROOF, PLAIN):
        for correct in range(proof.claim.correct + 1, proof.claim.total + 2):
            claim = {"correct": str(correct), "kind": "correct-count", "total": str(proof.claim.total)}
            for arithmetic in ("float64", "arb"):
                got = reason(changed(proof, claim=claim), arithmetic=arithmetic)
                assert got in {R.BOUND_TOO_LOW, R.BAD_CLAIM}


def test_a_lowered_claim_is_still_true():
    for correct in range(PROOF.claim.correct):
        claim = {"correct": str(correct), "kind": "correct-count", "total": str(PROOF.claim.total)}
        assert reason(changed(claim=claim)) is None


@pytest.mark.parametrize(
    "count", ["-1", "+1", " 1", "1 ", "01", "1.0", "1e1", "", "NaN", "٣", "²", "9" * 4001, "9" * 10_000, "0x1"]
)
@pytest.mark.parametrize("field", ["correct", "total"])
def test_a_count_that_is_not_a_plain_integer_is_rejected(field, count):
    claim = {**HEADER["claim"], field: count}
    assert reason(changed(claim=claim)) in {R.BAD_CLAIM, R.MALFORMED_HEADER}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("claim", {**HEADER["claim"], "total": "124"}, R.BAD_CLAIM),
        ("claim", {**HEADER["claim"], "kind": "probability"}, R.BAD_CLAIM),
        ("claim", {**HEADER["claim"], "correct": 3}, R.MALFORMED_HEADER),
        ("claim", {"correct": "1"}, R.MALFORMED_HEADER),
        ("distribution", {"name": "zipf"}, R.TASK_MISMATCH),
        ("distribution", {}, R.TASK_MISMATCH),
        ("format", "pessimal-certificate/2", R.UNSUPPORTED_FORMAT),
        ("model", {**HEADER["model"], "n_heads": 2}, R.MODEL_MISMATCH),
        ("model", {}, R.MODEL_MISMATCH),
        ("model", {**HEADER["model"], "n_heads": True}, R.MODEL_MISMATCH),
        ("task", {"d_vocab": 5, "k": True, "name": "max-of-k"}, R.TASK_MISMATCH),
        ("options", {**HEADER["options"], "near": True}, R.MALFORMED_HEADER),
        ("rule", "prayer", R.UNKNOWN_RULE),
        ("rule", "cubic", R.BAD_HINT),
        ("semantics", "float16", R.BAD_CLAIM),
        ("task", {"d_vocab": 5, "k": 4, "name": "max-of-k"}, R.TASK_MISMATCH),
        ("task", {"d_vocab": 7, "k": 3, "name": "max-of-k"}, R.TASK_MISMATCH),
        ("task", {"d_vocab": 5, "k": 3, "name": "median-of-k"}, R.TASK_MISMATCH),
        ("task", {"d_vocab": 5, "k": "3", "name": "max-of-k"}, R.TASK_MISMATCH),
        ("task", {"d_vocab": 5, "k": -3, "name": "max-of-k"}, R.TASK_MISMATCH),
        ("task", {"d_vocab": 5, "k": 10**12, "name": "max-of-k"}, R.TASK_MISMATCH),
        ("weights_sha256", "0" * 64, R.WEIGHTS_MISMATCH),
        ("weights_sha256", "", R.WEIGHTS_MISMATCH),
        ("options", {}, R.BAD_HINT),
        ("options", {**HEADER["options"], "near": 0}, R.BAD_HINT),
        ("options", {**HEADER["options"], "near": 6}, R.BAD_HINT),
        ("options", {**HEADER["options"], "near": "2"}, R.BAD_HINT),
        ("options", {**HEADER["options"], "near": 2.5}, R.MALFORMED_HEADER),
        ("options", {**HEADER["options"], "rival": "none"}, R.BAD_HINT),
        ("options", {**HEADER["options"], "rival": "every"}, R.BAD_HINT),
        ("options", {**HEADER["options"], "position": 1}, R.BAD_HINT),
        ("options", {**HEADER["options"], "more": 1}, R.BAD_HINT),
    ],
)
def test_a_field_that_says_something_else_is_rejected_with_its_reason(field, value, expected):
    raw = json.dumps({**HEADER, field: value}, sort_keys=True, separators=(",", ":")).encode()
    assert reason(join(raw, BODY)) is expected


def test_swapped_weights_are_rejected():
    assert reason(PROOF.data, tiny_weights(1, k=3)) is R.WEIGHTS_MISMATCH


def with_arrays(**arrays):
    """The certificate with its hint arrays replaced, header and body consistent."""
    header, _ = split(PROOF.data)
    entries = [{"dtype": a.dtype.name, "name": name, "shape": list(a.shape)} for name, a in sorted(arrays.items())]
    body = b"".join(a.tobytes() for _, a in sorted(arrays.items()))
    return join({**header, "arrays": entries}, body)


def tilts(mantissa=None, exponent=None):
    shape = (1, 15)
    m = np.full(shape, 8, dtype=np.int64) if mantissa is None else mantissa
    e = np.zeros(shape, dtype=np.int64) if exponent is None else exponent
    return {"tilt_mantissa": m, "tilt_exponent": e}


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"tilt_mantissa": np.ones((1, 15), dtype=np.int64)},
        {**tilts(), "more": np.zeros(1, dtype=np.int64)},
        tilts(np.full((1, 15), -1, dtype=np.int64)),
        tilts(np.full((1, 15), 2**62, dtype=np.int64)),
        tilts(exponent=np.full((1, 15), 2**40, dtype=np.int64)),
        tilts(exponent=np.full((1, 15), -(2**63), dtype=np.int64)),
        tilts(np.ones((1, 14), dtype=np.int64)),
        tilts(np.ones((15,), dtype=np.int64)),
        tilts(np.ones((2, 15), dtype=np.int64)),
        tilts(np.full((1, 15), np.nan)),
        tilts(np.full((1, 15), np.inf)),
        tilts(np.ones((1, 15))),
    ],
)
def test_hints_of_the_wrong_form_are_rejected(arrays):
    assert reason(with_arrays(**arrays)) is R.BAD_HINT


@given(st.data())
def test_any_other_tilts_never_make_a_false_claim_pass(data):
    """Arbitrary tilts: the verdict is a rejection, or the claim is at most the truth."""
    m = data.draw(st.lists(st.integers(0, 2**53), min_size=15, max_size=15))
    e = data.draw(st.lists(st.integers(-1000, 1000), min_size=15, max_size=15))
    arrays = tilts(np.array([m], dtype=np.int64), np.array([e], dtype=np.int64))
    verdict = check(with_arrays(**arrays), WEIGHTS)
    assert verdict or verdict.reason is R.BOUND_TOO_LOW
    if verdict:
        assert verdict.claim.correct <= TRUTH


@given(st.integers(0, len(PROOF.data) - 1), st.integers(1, 255))
def test_a_changed_byte_is_rejected_or_the_claim_stays_true(place, flip):
    """One byte changed anywhere: a reason from the closed list, or a claim no larger than the truth."""
    data = bytearray(PROOF.data)
    data[place] ^= flip
    verdict = check(bytes(data), WEIGHTS)
    if verdict:
        assert verdict.claim.correct <= TRUTH
    else:
        assert isinstance(verdict.reason, ps.Reason)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_a_reason_and_never_an_exception(data):
    assert isinstance(reason(data), ps.Reason)
    assert isinstance(reason(struct.pack("<Q", len(data)) + data), ps.Reason)


def test_work_beyond_the_limits_is_refused_before_it_starts():
    for limits in (Limits(max_ops=100), Limits(max_bytes=100)):
        assert reason(PROOF.data, limits=limits) is R.RESOURCES


def test_a_brute_force_claim_over_too_many_sequences_is_refused():
    weights = tiny_weights(0, k=14)
    proof = ps.prove(weights, ps.MaxOfK(14, 5), ps.Cubic())
    assert reason(changed(proof, rule="brute-force"), weights) is R.RESOURCES


def test_an_array_that_claims_to_be_huge_is_rejected_without_allocating():
    entry = {"dtype": "int64", "name": "tilt_mantissa", "shape": [2**62, 2**62]}
    assert reason(changed(arrays=[entry, entry])) is R.MALFORMED_CONTAINER


@pytest.mark.parametrize("shape", [[0], [0, 2**62, 2**62], [-1], [1] * 5, [True], ["1"], 1, [2**63]])
def test_a_shape_that_is_not_a_few_positive_integers_is_rejected(shape):
    entry = {"dtype": "int64", "name": "tilt_mantissa", "shape": shape}
    assert reason(changed(arrays=[entry])) is R.MALFORMED_HEADER
