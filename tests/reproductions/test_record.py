"""Results as dataclasses: what is read is what was written, to the byte; anything else is refused in a sentence."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pessimal.reproductions.record import INLINE, RecordError, Rows, named, read_as


@dataclass(frozen=True)
class Inner(Rows):
    low: float
    high: float | None


@dataclass(frozen=True)
class Other(Rows):
    refused: str


@dataclass(frozen=True)
class Outer(Rows):
    name: str
    both: Inner | Other
    beside: Inner = field(metadata=INLINE)
    pair: tuple[int, bool] = field(metadata=named("a pair"))
    by_number: Mapping[int, tuple[Inner, ...]]
    by_size: dict[float, None]
    rest: Any
    other: Other | None = field(metadata=INLINE)


OUTER = Outer(
    name="n",
    both=Other("why"),
    beside=Inner(0.1, None),
    pair=(1, True),
    by_number={10: (Inner(1.0, 2.0),), 9: ()},
    by_size={19.0: None, 0.5: None},
    rest={"x": [1, None]},
    other=None,
)
RECORD = {
    "name": "n",
    "both": {"refused": "why"},
    "low": 0.1,
    "high": None,
    "a pair": [1, True],
    "by_number": {"10": [{"low": 1.0, "high": 2.0}], "9": []},
    "by_size": {"19.0": None, "0.5": None},
    "rest": {"x": [1, None]},
}


def test_keys_stand_in_the_order_of_the_fields():
    assert json.dumps(OUTER.record()) == json.dumps(RECORD)


def test_what_was_written_is_read():
    assert Outer.read(json.loads(json.dumps(RECORD))) == OUTER
    assert Outer.read(RECORD | {"refused": "too"}).other == Other("too")
    assert Outer.read(RECORD | {"both": {"low": 1.0, "high": None}}).both == Inner(1.0, None)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"name": 3}, "results.name is not a string"),
        ({"more": 3}, "results has an unknown key 'more'"),
        ({"low": 1}, "results.low is not a finite float"),
        ({"low": float("nan")}, "results.low is not a finite float"),
        ({"high": float("inf")}, "results.high is not a finite float"),
        ({"a pair": [True, True]}, r"results.a pair\[0\] is not an integer"),
        ({"a pair": [1.0, True]}, r"results.a pair\[0\] is not an integer"),
        ({"a pair": [1, 1]}, r"results.a pair\[1\] is not true or false"),
        ({"a pair": [1]}, "results.a pair has 1 entries instead of 2"),
        ({"a pair": "1"}, "results.a pair is not a list"),
        ({"both": {"refused": "why", "low": 1.0}}, "results.both has the keys of none of Inner, Other"),
        ({"both": None}, "results.both is not an object"),
        ({"by_number": {"010": []}}, "results.by_number has a key '010' that is not an integer"),
        ({"by_number": {"x": []}}, "results.by_number has a key 'x' that is not an integer"),
        ({"by_number": {"1": [{"low": 1.0}]}}, r"results.by_number.1\[0\] lacks high"),
        ({"by_number": {"None": []}}, "results.by_number has a key 'None' that is not an integer"),
        ({"by_size": {"19": None}}, "results.by_size has a key '19' that is not a finite float"),
        ({"by_size": {"1.0": 0}}, "results.by_size.1.0 is not null"),
    ],
)
def test_anything_else_is_refused_with_its_place(changed, complaint):
    with pytest.raises(RecordError, match=f"^{complaint}$"):
        Outer.read({**RECORD, **changed})


@pytest.mark.parametrize("key", RECORD)
def test_no_key_may_be_left_out(key):
    record = {name: value for name, value in RECORD.items() if name != key}
    with pytest.raises(RecordError, match=f"^results lacks {key}$"):
        Outer.read(record)


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_what_is_no_object_is_no_record(value):
    with pytest.raises(RecordError, match=r"^here is not an object$"):
        Outer.read(value, "here")


def test_a_key_that_is_no_number_of_its_kind_is_refused():
    for text in ("nan", "inf", "1e400"):
        with pytest.raises(RecordError, match="not a finite float"):
            read_as(Mapping[float, int], {text: 1}, "by size")
