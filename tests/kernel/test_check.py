"""The checker: valid certificates verify, every altered one is rejected with a reason, nothing raises."""

import json
import struct
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pessimal.kernel.arithmetic import ARITHMETICS, Float64Arithmetic
from pessimal.kernel.certificate import canonical, decode
from pessimal.kernel.check import Limits, Verdict, check, require_sound_floats
from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules import RULES
from pessimal.proving import prove
from pessimal.spec import Overrides, Weights
from pessimal.spec.question import Question
from pessimal.strategies import BruteForce, Cubic, PositionMinima
from pessimal.testing import LongMoment
from support.bounds import bound_in
from support.models import Sizes, build, planted_tensors, random_tensors
from support.oracle import true_count
from support.sampling import examples

SIZES = Sizes(3, 5, 7, 2, 4)
WEIGHTS = build(planted_tensors(SIZES, sharpness=10.0, gain=4.0, noise=0.05, seed=1))
TASK = SIZES.task()
STRATEGIES = (BruteForce(), Cubic(), PositionMinima(), LongMoment("centred", "each", 2))
PROOFS = {s.name: prove(WEIGHTS, TASK, s) for s in STRATEGIES}
MOMENT = PROOFS["exponential-moment"].data


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    n = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def container(header: dict[str, Any] | bytes, body: bytes) -> bytes:
    raw = header if isinstance(header, bytes) else canonical(header)
    return struct.pack("<Q", len(raw)) + raw + body


def altered(data: bytes, **changes: Any) -> bytes:
    header, body = parts(data)
    return container(header | changes, body)


def rejected(data: bytes, reason: Reason, weights: Weights = WEIGHTS, **options: Any) -> Verdict:
    verdict = check(data, weights, **options)
    assert not verdict.verified
    assert verdict.reason == reason, verdict.detail
    assert verdict.line() == f"s REJECTED reason={reason}"
    assert verdict.detail
    assert "\n" not in verdict.detail
    return verdict


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("name", PROOFS)
def test_proofs_verify_in_both_arithmetics(name, arithmetic):
    """What the prover writes, both checkers accept; the claim is true and on the line."""
    proof = PROOFS[name]
    verdict = check(proof.data, WEIGHTS, arithmetic=arithmetic)
    assert verdict.verified
    assert verdict.claim == proof.claim
    assert 0 < proof.claim.correct <= true_count(WEIGHTS) < TASK.total()
    assert verdict.line().startswith(
        f"s VERIFIED correct>={proof.claim.correct}/81 accuracy>=0.{10**6 * proof.claim.correct // 81:06d} "
        f"task=max-of-k dist=uniform semantics=real weights=sha256:{WEIGHTS.sha256} rule={proof.rule} flops="
    )
    assert f" bytes={len(proof.data)} question=sha256:{verdict.question.sha256} assumed=" in verdict.line()
    assert f" flops={proof.cost.flops} ops={proof.cost.checker_ops} " in verdict.line()
    assert verdict.n_bytes == len(proof.data)
    assert verdict.certificate.weights_sha256 == WEIGHTS.sha256


def test_brute_force_brackets_the_accuracy():
    """correct_at_most equals the claim when there are no ties, and a tie opens the bracket."""
    assert PROOFS["brute-force"].correct_at_most == true_count(WEIGHTS) == PROOFS["brute-force"].claim.correct
    tensors = planted_tensors(SIZES)
    tensors["W_U"][:, 2] = tensors["W_U"][:, 1]
    proof = prove(build(tensors), TASK, BruteForce())
    verdict = check(proof.data, build(tensors))
    assert verdict.correct_at_most is not None
    assert verdict
    assert verdict.claim.correct == true_count(build(tensors)) <= verdict.correct_at_most


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("name", PROOFS)
def test_one_more_than_the_rule_gives_is_rejected(name, arithmetic):
    """The claim total - floor(wrong_at_most) verifies; one more does not."""
    header, body = parts(PROOFS[name].data)
    rule = RULES[header["rule"]]
    arith = ARITHMETICS[arithmetic]()
    hints = decode(PROOFS[name].data).hints
    with arith.running():
        most = TASK.total() - floor(bound_in(rule, WEIGHTS, Question(TASK), hints, arith).wrong_at_most)
    for correct, good in ((most, True), (most + 1, False), (0, True)):
        claim = header["claim"] | {"correct": str(correct)}
        verdict = check(container(header | {"claim": claim}, body), WEIGHTS, arithmetic=arithmetic)
        assert verdict.verified == good
        if not good:
            assert verdict.reason == Reason.BOUND_TOO_LOW


def test_other_weights_are_rejected():
    """Another file, another k, another scale, and a record that lies."""
    other = build(planted_tensors(SIZES, sharpness=10.0, gain=4.0, noise=0.05, seed=2))
    rejected(MOMENT, Reason.WEIGHTS_MISMATCH, other)
    same = planted_tensors(SIZES, sharpness=10.0, gain=4.0, noise=0.05, seed=1)
    rejected(MOMENT, Reason.WEIGHTS_MISMATCH, build(same, overrides=Overrides(k=3)))
    rejected(MOMENT, Reason.WEIGHTS_MISMATCH, build(same, overrides=Overrides(attn_scale="1")))
    header, _ = parts(MOMENT)
    rejected(altered(MOMENT, model=header["model"] | {"k": 3}), Reason.MODEL_MISMATCH)
    rejected(altered(MOMENT, model={}), Reason.MODEL_MISMATCH)
    rejected(altered(MOMENT, weights_sha256=header["weights_sha256"].upper()), Reason.WEIGHTS_MISMATCH)
    rejected(altered(MOMENT, weights_sha256=""), Reason.WEIGHTS_MISMATCH)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rule": "magic"}, Reason.UNKNOWN_RULE),
        ({"rule": ""}, Reason.UNKNOWN_RULE),
        ({"rule": "cubic"}, Reason.BAD_HINT),
        ({"task": {"name": "max-of-k", "k": 4, "d_vocab": 2}}, Reason.TASK_MISMATCH),
        ({"task": {"name": "max-of-k", "k": 3, "d_vocab": 3}}, Reason.TASK_MISMATCH),
        ({"task": {"name": "median-of-k", "k": 4, "d_vocab": 3}}, Reason.TASK_MISMATCH),
        ({"task": {}}, Reason.TASK_MISMATCH),
        ({"distribution": {"name": "zipf"}}, Reason.TASK_MISMATCH),
        ({"distribution": {"name": "uniform", "x": 1}}, Reason.TASK_MISMATCH),
        ({"distribution": {}}, Reason.TASK_MISMATCH),
        ({"semantics": "float16"}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "1", "kind": "loss", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "82", "kind": "correct-count", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "1", "kind": "correct-count", "total": "80"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "1", "kind": "correct-count", "total": "82"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "01", "kind": "correct-count", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "-1", "kind": "correct-count", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "", "kind": "correct-count", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "1e1", "kind": "correct-count", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "+1", "kind": "correct-count", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": " 1", "kind": "correct-count", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "\u00b2", "kind": "correct-count", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "\u0661", "kind": "correct-count", "total": "81"}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "9" * 4000, "kind": "correct-count", "total": "9" * 4000}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "9" * 4001, "kind": "correct-count", "total": "9" * 4001}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": "9" * 9000, "kind": "correct-count", "total": "9" * 9000}}, Reason.BAD_CLAIM),
        ({"claim": {"correct": 1, "kind": "correct-count", "total": "81"}}, Reason.MALFORMED_HEADER),
        ({"claim": {"correct": "1", "total": "81"}}, Reason.MALFORMED_HEADER),
        ({"claim": {"correct": "1", "kind": "correct-count", "total": "81", "x": "1"}}, Reason.MALFORMED_HEADER),
        ({"claim": []}, Reason.MALFORMED_HEADER),
        ({"claim": "81"}, Reason.MALFORMED_HEADER),
        ({"options": []}, Reason.MALFORMED_HEADER),
        ({"options": {"near": True}}, Reason.MALFORMED_HEADER),
        ({"options": {"near": None}}, Reason.MALFORMED_HEADER),
        ({"options": {"near": [1]}}, Reason.MALFORMED_HEADER),
        ({"options": {}}, Reason.BAD_HINT),
        ({"format": "pessimal-certificate/2"}, Reason.UNSUPPORTED_FORMAT),
        ({"format": 1}, Reason.UNSUPPORTED_FORMAT),
        ({"extra": 1}, Reason.MALFORMED_HEADER),
        ({"rule": 3}, Reason.MALFORMED_HEADER),
        ({"strategy": None}, Reason.MALFORMED_HEADER),
        ({"semantics": {}}, Reason.MALFORMED_HEADER),
        ({"weights_sha256": 3}, Reason.MALFORMED_HEADER),
        ({"model": []}, Reason.MALFORMED_HEADER),
        ({"task": "x"}, Reason.MALFORMED_HEADER),
        ({"distribution": "uniform"}, Reason.MALFORMED_HEADER),
        ({"arrays": {}}, Reason.MALFORMED_HEADER),
    ],
)
def test_every_altered_field_is_rejected(changes, reason):
    """One field at a time, with the reason that fits."""
    rejected(altered(MOMENT, **changes), reason)


@pytest.mark.parametrize("key", sorted(parts(MOMENT)[0]))
def test_a_missing_field_is_rejected(key):
    """No field has a default."""
    header, body = parts(MOMENT)
    del header[key]
    reason = Reason.UNSUPPORTED_FORMAT if key == "format" else Reason.MALFORMED_HEADER
    rejected(container(header, body), reason)


def arrays_of(data: bytes) -> list[dict[str, Any]]:
    return parts(data)[0]["arrays"]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([{"dtype": "int64", "name": "tilt_mantissa", "shape": [1, 6]}], Reason.MALFORMED_CONTAINER),
        ([{"dtype": "int64", "name": "a", "shape": [2**62]}], Reason.MALFORMED_CONTAINER),
        ([{"dtype": "int32", "name": "a", "shape": [12]}], Reason.MALFORMED_HEADER),
        ([{"dtype": "float32", "name": "a", "shape": [12]}], Reason.MALFORMED_HEADER),
        ([{"dtype": 3, "name": "a", "shape": [12]}], Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": 3, "shape": [12]}], Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": "a", "shape": [-12]}], Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": "a", "shape": [-1, -12]}], Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": "a", "shape": 12}], Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": "a", "shape": [True]}], Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": "a", "shape": [1, 1, 1, 1, 12]}], Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": "a"}], Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": "a", "shape": [12], "x": 1}], Reason.MALFORMED_HEADER),
        (["a"], Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": "a", "shape": [6]}] * 2, Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": f"a{i}", "shape": [0]} for i in range(65)], Reason.MALFORMED_HEADER),
        ([{"dtype": "int64", "name": "a", "shape": [12]}], Reason.BAD_HINT),
        ([{"dtype": "int64", "name": n, "shape": [6, 1]} for n in ("tilt_exponent", "tilt_mantissa")], Reason.BAD_HINT),
        (
            [{"dtype": "float64", "name": n, "shape": [1, 6]} for n in ("tilt_exponent", "tilt_mantissa")],
            Reason.BAD_HINT,
        ),
    ],
)
def test_altered_array_entries_are_rejected(entries, reason):
    """Names, dtypes and shapes of the arrays, with a body of 12 numbers."""
    assert len(parts(MOMENT)[1]) == 96
    rejected(altered(MOMENT, arrays=entries), reason)


@pytest.mark.parametrize("shape", [[0, 2**62], [2**62, 0], [0, 2**62, 2**62, 4], [0, 0, 0, 0]])
def test_empty_arrays_of_astronomical_shape_are_rejected(shape):
    """A zero side with sides whose product no array can have."""
    entries = [*arrays_of(MOMENT), {"dtype": "int64", "name": "zzz", "shape": shape}]
    verdict = check(altered(MOMENT, arrays=entries), WEIGHTS)
    assert verdict.reason in (Reason.MALFORMED_HEADER, Reason.MALFORMED_CONTAINER, Reason.BAD_HINT)


def test_headers_in_another_form_are_rejected():
    """White space, key order, duplicates, escapes, floats, NaN, big integers, deep nesting, non-ASCII, no object."""
    header, body = parts(MOMENT)
    good = canonical(header)
    bad = [
        json.dumps(header).encode(), json.dumps(header, sort_keys=True, indent=1).encode(), good + b" ", b" " + good,
        good.replace(b'"rule":', b'"rule":"cubic","rule":'), good.replace(b"real", b"re\\u0061l"),
        good.replace(b'"near":2', b'"near":2.0'), good.replace(b'"near":2', b'"near":NaN'),
        good.replace(b'"near":2', b'"near":-0'), good.replace(b'"near":2', b'"near":' + b"1" * 5000),
        good.replace(b'"near":2', b'"near":9223372036854775808'), good.replace(b'"near":2', b'"near":1e2'),
        good.replace(b'"near":2', b'"near":Infinity'), good.replace(b"real", b"r\xe9al"), b"[]", b"3", b"", b"null",
        json.dumps(dict(reversed(list(header.items()))), separators=(",", ":")).encode(),
        good.replace(b'"near":2', b'"near":' + b"[" * 900 + b"]" * 900),
        good.replace(b'"near":2', b'"near":' + b"[" * 20000 + b"]" * 20000),
        good.replace(b'"near":2', b'"near":' + b'{"a":' * 300 + b"1" + b"}" * 300), good[:-1],
    ]  # fmt: skip
    for raw in bad:
        assert raw != good
        rejected(container(raw, body), Reason.MALFORMED_HEADER)


def test_every_truncation_is_rejected():
    """No proper prefix verifies; nothing after the end is allowed."""
    for name in ("cubic", "exponential-moment"):
        data = PROOFS[name].data
        for n in range(len(data)):
            verdict = check(data[:n], WEIGHTS)
            assert verdict.reason in (Reason.MALFORMED_CONTAINER, Reason.MALFORMED_HEADER)
        rejected(data + b"\0", Reason.MALFORMED_CONTAINER)
        rejected(data + b"\0" * 8, Reason.MALFORMED_CONTAINER)
    rejected(struct.pack("<Q", 2**64 - 1) + b"{}", Reason.MALFORMED_CONTAINER)
    rejected(struct.pack("<Q", 2**16 + 1) + b" " * (2**16 + 1), Reason.MALFORMED_CONTAINER)


TRUTH = true_count(WEIGHTS)


def test_no_byte_flip_makes_a_false_claim_pass():
    """Every byte of a certificate, three ways: the verdict is true or the certificate is rejected."""
    for place in range(len(MOMENT)):
        for mask in (1, 0x80, 0xFF):
            data = bytearray(MOMENT)
            data[place] ^= mask
            verdict = check(bytes(data), WEIGHTS)
            if verdict:
                assert verdict.claim.correct <= TRUTH
                assert verdict.claim.total == TASK.total()


@settings(max_examples=examples(200))
@given(st.binary(max_size=80), st.booleans())
def test_arbitrary_bytes_are_rejected(data, framed):
    """Noise, with and without a fitting length."""
    verdict = check(container(data, b"") if framed else data, WEIGHTS)
    assert verdict.reason in (Reason.MALFORMED_CONTAINER, Reason.MALFORMED_HEADER, Reason.UNSUPPORTED_FORMAT)


ENTRIES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 2**53),
    st.sampled_from([-1, 0, 2**53, 2**53 + 1, 1000, 1001, -1000, -1001]),
)


@settings(max_examples=examples(150))
@given(st.lists(ENTRIES, min_size=12, max_size=12))
def test_any_tilts_give_a_true_verdict_or_a_rejection(numbers):
    """Exponents first, then mantissas: in range and claimed as computed, or bad-hint."""
    header, _ = parts(MOMENT)
    data = container(header | {"claim": header["claim"] | {"correct": "0"}}, struct.pack("<12q", *numbers))
    exponents, mantissas = numbers[:6], numbers[6:]
    allowed = all(abs(e) <= 1000 for e in exponents) and all(0 <= m <= 2**53 for m in mantissas)
    verdict = check(data, WEIGHTS)
    assert verdict.verified == allowed
    assert allowed or verdict.reason == Reason.BAD_HINT


@pytest.mark.parametrize(
    ("mantissa", "exponent", "good"),
    [
        (0, 0, True),
        (2**53, 1000, True),
        (1, -1000, True),
        (2**53 + 1, 0, False),
        (1, 1001, False),
        (1, -1001, False),
        (-1, 0, False),
        (-(2**63), 0, False),
    ],
)
def test_the_range_of_tilts_is_exact(mantissa, exponent, good):
    """0 <= m <= 2**53 and |e| <= 1000, every stratum; a single one outside is enough."""
    header, _ = parts(MOMENT)
    header["claim"]["correct"] = "0"
    for place in range(6):
        exponents, mantissas = [0] * 6, [1] * 6
        exponents[place], mantissas[place] = exponent, mantissa
        verdict = check(container(header, struct.pack("<12q", *exponents, *mantissas)), WEIGHTS)
        assert verdict.verified == good
        assert good or verdict.reason == Reason.BAD_HINT


@pytest.mark.parametrize("near", [0, -1, 4, 2**62])
def test_a_band_outside_the_vocabulary_is_rejected(near):
    """1 <= near <= d_vocab."""
    header, _ = parts(MOMENT)
    rejected(altered(MOMENT, options=header["options"] | {"near": near}), Reason.BAD_HINT)


@pytest.mark.parametrize("options", [{"rival": "none"}, {"rival": 1}, {"position": "all"}, {"near": "2"}, {"more": 1}])
def test_unknown_options_are_rejected(options):
    """Words outside the list, wrong types, names the rule does not read."""
    header, _ = parts(MOMENT)
    rejected(altered(MOMENT, options=header["options"] | options), Reason.BAD_HINT)


def test_hints_of_the_wrong_number_of_rivals_are_rejected():
    """rival=every reads one row of tilts per rival."""
    header, _ = parts(MOMENT)
    rejected(altered(MOMENT, options=header["options"] | {"rival": "every"}), Reason.BAD_HINT)


def test_models_outside_the_rule_are_rejected():
    """A certificate that names a rule which does not cover the model."""
    sizes = Sizes(3, 5, 7, 2, 2, 3)
    weights = build(random_tensors(sizes, 1))
    data = prove(weights, sizes.task(), BruteForce()).data
    rejected(altered(data, rule="cubic"), Reason.UNSUPPORTED_MODEL, weights)


def test_resources_are_bounded_before_use():
    """max_ops and max_bytes refuse; exactly the predicted cost is allowed."""
    cost = PROOFS["cubic"].cost
    data = PROOFS["cubic"].data
    rejected(data, Reason.RESOURCES, limits=Limits(max_ops=cost.checker_ops - 1))
    rejected(data, Reason.RESOURCES, limits=Limits(max_bytes=cost.bytes_needed - 1))
    rejected(data, Reason.RESOURCES, limits=Limits(max_bytes=len(data) - 1))
    assert check(
        data, WEIGHTS, limits=Limits(max_ops=cost.checker_ops, max_bytes=max(cost.bytes_needed, len(data)))
    ).verified


def test_the_float_environment_is_tested(monkeypatch):
    """The real environment passes; one that flushes subnormals or rounds upwards is refused before any bound."""
    require_sound_floats()

    def flushed() -> None:
        raise Rejected(Reason.ARITHMETIC_ENVIRONMENT, "flushed")

    monkeypatch.setattr("pessimal.kernel.check.require_sound_floats", flushed)
    rejected(PROOFS["cubic"].data, Reason.ARITHMETIC_ENVIRONMENT)


def test_hints_are_refused_by_rules_without_hints():
    """brute-force, cubic and position-minima read none."""
    for name in ("brute-force", "cubic", "position-minima"):
        header, _ = parts(PROOFS[name].data)
        rejected(container(header | {"options": {"near": 1}}, b""), Reason.BAD_HINT)
        more = header | {"arrays": [{"dtype": "int64", "name": "a", "shape": [1]}]}
        rejected(container(more, b"\0" * 8), Reason.BAD_HINT)


def test_huge_tilts_are_answered_in_arb_too():
    """Hints alone cannot make the second arithmetic hang: tilts of 2**1053 are answered."""
    header, _ = parts(MOMENT)
    header["claim"]["correct"] = "0"
    data = container(header, struct.pack("<12q", *[1000] * 6, *[2**53] * 6))
    assert check(data, WEIGHTS, arithmetic="arb").verified


@pytest.mark.parametrize("eps", ["1e309", "1e400", "1e-400", "1"])
@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
def test_any_epsilon_the_reader_accepts_can_be_checked(eps, arithmetic):
    """ln_eps outside the float range: a verdict, no exception."""
    sizes = Sizes(3, 5, 7, 2, 2)
    tensors = random_tensors(sizes, 1, norms=("ln1_w", "ln_final_w", "ln_final_b"))
    weights = build(tensors, {"ln_eps": eps})
    header, body = parts(prove(build(tensors, {"ln_eps": "1"}), sizes.task(), BruteForce()).data)
    header |= {"weights_sha256": weights.sha256, "model": weights.architecture.record()}
    header["claim"]["correct"] = str(true_count(weights))
    assert check(container(header, body), weights, arithmetic=arithmetic).verified


def test_integer_bounds_are_floored_not_rounded():
    """The wrong count is an integer: 2.9 wrong at most means 2, never 3; and exactly 3 means 3."""
    arith = Float64Arithmetic()
    hints = decode(MOMENT).hints
    with arith.running():
        wrong = bound_in("exponential-moment", WEIGHTS, Question(TASK), hints, arith).wrong_at_most
    assert wrong.denominator > 1
    header, body = parts(MOMENT)
    claim = header["claim"] | {"correct": str(TASK.total() - floor(wrong))}
    assert check(container(header | {"claim": claim}, body), WEIGHTS).verified


def test_decoded_arrays_hold_the_bytes():
    """int64, little-endian, in the order of the header."""
    header, _ = parts(MOMENT)
    hints = decode(container(header, struct.pack("<12q", *range(12)))).hints
    assert [e["name"] for e in header["arrays"]] == ["tilt_exponent", "tilt_mantissa"]
    assert hints.arrays["tilt_exponent"].tolist() == [[0, 1, 2, 3, 4, 5]]
    assert hints.arrays["tilt_mantissa"].tolist() == [[6, 7, 8, 9, 10, 11]]
    assert hints.arrays["tilt_mantissa"].dtype == np.int64
    assert Hints().options == {}


def test_the_limits_a_check_has_without_being_told():
    """2**42 operations and 2**30 bytes."""
    assert (Limits().max_ops, Limits().max_bytes) == (2**42, 2**30)
