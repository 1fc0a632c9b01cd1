"""The decoder and the checker at their limits: depth, numbers, arrays, digits, sizes, one reason on either side."""

import json
import struct
from typing import Any

import pytest

from pessimal.kernel.certificate import canonical, decode
from pessimal.kernel.check import Limits, check
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.proving import prove
from pessimal.strategies import BruteForce, Cubic, ExponentialMoment, PositionMinima
from support.models import Sizes, build, planted_tensors
from support.oracle import true_count

SIZES = Sizes(3, 5, 7, 2, 4)
WEIGHTS = build(planted_tensors(SIZES, sharpness=40.0, gain=8.0))
MOMENT = prove(WEIGHTS, SIZES.task(), ExponentialMoment("centred", "each", 2)).data
CUBIC = prove(WEIGHTS, SIZES.task(), Cubic())


def altered(data: bytes, body: bytes | None = None, **changes: Any) -> bytes:
    (n,) = struct.unpack("<Q", data[:8])
    raw = canonical(json.loads(data[8 : 8 + n]) | changes)
    return struct.pack("<Q", len(raw)) + raw + (data[8 + n :] if body is None else body)


def reason(data: bytes, **options: Any) -> Reason | None:
    verdict = check(data, WEIGHTS, **options)
    return None if verdict else verdict.reason


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"a": {"b": {}}}, Reason.MODEL_MISMATCH),
        ({"a": [[]]}, Reason.MODEL_MISMATCH),
        ({"a": {"b": {"c": {}}}}, Reason.MALFORMED_HEADER),
        ({"a": [[[]]]}, Reason.MALFORMED_HEADER),
        ({"a": [[], {"b": []}, 1]}, Reason.MALFORMED_HEADER),
        ({"a": 1, "b": [[{}]], "c": ""}, Reason.MALFORMED_HEADER),
    ],
)
def test_a_header_is_at_most_four_deep(model, expected):
    """Objects and lists count alike; four levels are looked at, five are malformed."""
    assert reason(altered(MOMENT, model=model)) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (2**63 - 1, Reason.BAD_HINT),
        (-(2**63), Reason.BAD_HINT),
        (2**63, Reason.MALFORMED_HEADER),
        (-(2**63) - 1, Reason.MALFORMED_HEADER),
        (10**20, Reason.MALFORMED_HEADER),
        (-(10**20), Reason.MALFORMED_HEADER),
    ],
)
def test_numbers_of_a_header_have_64_bits(number, expected):
    """Every int64 is a number, nothing beyond."""
    options = {"rival": "centred", "position": "each", "near": number}
    assert reason(altered(MOMENT, options=options)) is expected


@pytest.mark.parametrize(("n", "expected"), [(64, Reason.BAD_HINT), (65, Reason.MALFORMED_HEADER)])
def test_a_certificate_has_at_most_64_arrays(n, expected):
    """64 arrays are decoded, and then refused by the rule."""
    arrays = [{"dtype": "int64", "name": f"a{i}", "shape": [1]} for i in range(n)]
    assert reason(altered(MOMENT, bytes(8 * n), arrays=arrays)) is expected


@pytest.mark.parametrize(
    ("shape", "expected"), [([1, 1, 1, 12], Reason.BAD_HINT), ([1, 1, 1, 1, 12], Reason.MALFORMED_HEADER)]
)
def test_an_array_has_at_most_four_sides(shape, expected):
    """Four sides are decoded."""
    assert reason(altered(MOMENT, bytes(96), arrays=[{"dtype": "int64", "name": "a", "shape": shape}])) is expected


def test_an_array_of_floats_is_decoded_as_floats():
    """float64 is a dtype of the container, though no rule reads it."""
    data = altered(MOMENT, struct.pack("<2d", 0.5, -3), arrays=[{"dtype": "float64", "name": "a", "shape": [2]}])
    array = decode(data).hints.arrays["a"]
    assert (str(array.dtype), array.tolist()) == ("float64", [0.5, -3])


def test_counts_have_at_most_4000_digits():
    """4,000 digits are decoded, 4,001 are a bad claim before anything is compared."""
    for digits in (1, 4000):
        claim = {"correct": "9" * digits, "kind": "correct-count", "total": "9" * digits}
        assert decode(altered(MOMENT, claim=claim)).total == 10**digits - 1
    claim = {"correct": "1", "kind": "correct-count", "total": "9" * 4001}
    with pytest.raises(Rejected) as caught:
        decode(altered(MOMENT, claim=claim))
    assert caught.value.reason is Reason.BAD_CLAIM


@pytest.mark.parametrize("strategy", [BruteForce(), Cubic(), PositionMinima()])
def test_a_claim_of_all_sequences_can_be_verified(strategy):
    """correct = total is a claim like any other."""
    proof = prove(WEIGHTS, SIZES.task(), strategy)
    assert proof.claim.correct == proof.claim.total == 81
    assert check(proof.data, WEIGHTS).verified


def test_a_certificate_may_be_as_long_as_max_bytes():
    """Exactly max_bytes are decoded (and this one refused for its array); one more is not looked at."""
    data = altered(CUBIC.data, bytes(8000), arrays=[{"dtype": "int64", "name": "a", "shape": [1000]}])
    assert reason(data, limits=Limits(max_bytes=len(data))) is Reason.BAD_HINT
    assert reason(data, limits=Limits(max_bytes=len(data) - 1)) is Reason.RESOURCES


def test_a_header_has_at_most_65536_bytes():
    """One more is malformed."""
    spare = 2**16 - (len(altered(CUBIC.data, strategy="")) - 8)
    assert reason(altered(CUBIC.data, strategy="s" * spare)) is None
    assert reason(altered(CUBIC.data, strategy="s" * (spare + 1))) is Reason.MALFORMED_CONTAINER


@pytest.mark.parametrize("n", range(9))
def test_fewer_bytes_than_a_length_are_no_container(n):
    """0 to 7 bytes have no length; 8 zero bytes have an empty header."""
    assert reason(bytes(n)) is (Reason.MALFORMED_HEADER if n == 8 else Reason.MALFORMED_CONTAINER)


@pytest.mark.parametrize("more", [1, 7, 8, 9, 2**15])
def test_a_length_beyond_the_file_is_no_container(more):
    """Also where the header alone would be read rightly."""
    raw = CUBIC.data[8:]
    assert reason(struct.pack("<Q", len(raw)) + raw) is None
    assert reason(struct.pack("<Q", len(raw) + more) + raw) is Reason.MALFORMED_CONTAINER


@pytest.mark.parametrize("field", ["dtype", "name", "shape"])
@pytest.mark.parametrize("value", [["int64"], {}, [["int64"]], None])
def test_an_array_entry_of_unhashable_parts_is_malformed(field, value):
    """Lists and objects where words are expected are a reason, not an exception."""
    entry = {"dtype": "int64", "name": "a", "shape": [12]} | {field: value}
    assert reason(altered(MOMENT, arrays=[entry])) is Reason.MALFORMED_HEADER


def test_the_verdict_brackets_the_accuracy():
    """The rule's number of certainly wrong sequences, taken from the total; rules that give none leave it open."""
    spoilt = build(planted_tensors(SIZES, sharpness=2.0, gain=1.0, noise=0.2, seed=1))
    proof = prove(spoilt, SIZES.task(), BruteForce())
    assert 0 < true_count(spoilt) < 81
    assert check(proof.data, spoilt).correct_at_most == true_count(spoilt)
    assert check(CUBIC.data, WEIGHTS).correct_at_most is None


@pytest.mark.parametrize(("near", "expected"), [(0, Reason.BAD_HINT), (1, None), (3, None), (4, Reason.BAD_HINT)])
def test_a_band_is_between_one_token_and_all(near, expected):
    """Both ends are allowed, whatever they are worth."""
    claim = {"correct": "0", "kind": "correct-count", "total": "81"}
    options = {"rival": "centred", "position": "each", "near": near}
    assert reason(altered(MOMENT, options=options, claim=claim)) is expected


def test_hints_say_what_is_wrong_with_them():
    """An absent array or word is a bad hint; the names that a rule reads are in the sentence."""
    hints = Hints({"a": 1}, {})
    for call in (lambda: hints.integers("x", (1,)), lambda: hints.word("a", ("b",)), lambda: hints.number("x", 0, 1)):
        with pytest.raises(Rejected) as caught:
            call()
        assert caught.value.reason is Reason.BAD_HINT
    for options, arrays, words in ((set(), set(), "none"), ({"q"}, {"p"}, "p, q")):
        with pytest.raises(Rejected, match=f"hints: {words}$"):
            hints.only(options, arrays)


def test_a_rejection_says_its_reason_and_its_detail():
    """For callers who let it pass through as an exception."""
    assert str(Rejected(Reason.BAD_HINT, "no")) == "bad-hint: no"
