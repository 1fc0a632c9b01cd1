"""Every results.json under experiments/: read to its type, written again, and drawn to the tables beside it."""

import csv
import json
from copy import deepcopy
from pathlib import Path

import pytest

from pessimal.reproductions import REPRODUCTIONS
from pessimal.reproductions.record import RecordError

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
SHIPPED = sorted(EXPERIMENTS.glob("**/results.json"))
# Their tables were written when bounds went to nearest: the last digits of numbers differ.
ROUNDED_SINCE = {
    "bound-versus-flops", "counting-frontier", "error-ladder", "faithfulness", "improvements", "main-table",
    "percentiles", "tasks", "transfer",
}  # fmt: skip
WRONG = (None, True, 3, 0.5, "x", [], {}, [None])


def named(path):
    return "-".join(path.parent.relative_to(EXPERIMENTS).parts)


shipped = pytest.mark.parametrize("path", SHIPPED, ids=named)


def loaded(path):
    record = json.loads(path.read_text())
    return REPRODUCTIONS[record["reproduction"]], record


def test_every_reproduction_has_results():
    assert {loaded(path)[0].name for path in SHIPPED} == set(REPRODUCTIONS)


@shipped
def test_results_are_written_as_they_were_read(path):
    reproduction, record = loaded(path)
    again = record | {"results": reproduction.kind.read(record["results"]).record()}
    text = path.read_text()
    pretty = text.startswith("{\n")
    written = json.dumps(again, indent=1) if pretty else json.dumps(again, separators=(",", ":"))
    assert written + "\n" == text


@shipped
def test_tables_are_those_beside_the_results(path):
    reproduction, record = loaded(path)
    tables = reproduction.tables(reproduction.kind.read(record["results"]))
    assert {f"{stem}.csv" for stem in tables} == {one.name for one in path.parent.glob("*.csv")}
    for stem, table in tables.items():
        beside = path.parent / stem
        rows = list(csv.reader(beside.with_suffix(".csv").read_text().splitlines()))
        assert tuple(rows[0]) == table.headings
        assert [row[0] for row in rows[1:]] == [row[0] for row in table.rows]
        if reproduction.name not in ROUNDED_SINCE:
            written = {".md": table.markdown(), ".csv": table.csv(), ".tex": table.latex()}
            assert {suffix: beside.with_suffix(suffix).read_text() for suffix in written} == written


SMALLEST = {loaded(path)[0].name: path for path in sorted(SHIPPED, key=lambda path: -path.stat().st_size)}


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_changed_results_are_refused_or_kept_to_the_byte(name):
    """Reading loses nothing: of results with one value changed or left out."""
    reproduction, record = loaded(SMALLEST[name])
    refused = 0
    for changed in changes(shortened(record["results"])):
        try:
            read = reproduction.kind.read(changed)
        except RecordError:
            refused += 1
        else:
            assert json.dumps(read.record()) == json.dumps(changed)
    assert refused > len(WRONG)


def shortened(value):
    """Lists and long objects without all but their first two entries."""
    if isinstance(value, dict):
        keys = list(value) if len(value) <= 16 else list(value)[:2]
        return {key: shortened(value[key]) for key in keys}
    return [shortened(one) for one in value[:2]] if isinstance(value, list) else value


def changes(results):
    """Copies with another value at one place, or without it."""
    for place in places(results):
        for value in (*WRONG, ...):
            changed = deepcopy(results)
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            if value is ...:
                del inner[place[-1]]
            else:
                inner[place[-1]] = value
            yield changed


def places(value, depth=4):
    """Keys and first indices on the way to every value, as far down as `depth`; of equal parts the first."""
    if depth and isinstance(value, dict | list):
        shapes = set()
        for key in value if isinstance(value, dict) else range(min(1, len(value))):
            inner = value[key]
            shape = str(inner.keys()) if isinstance(inner, dict) else key
            if shape not in shapes:
                shapes.add(shape)
                yield (key,)
                yield from ((key, *rest) for rest in places(inner, depth - 1))
