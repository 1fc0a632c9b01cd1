"""Every printed bound is rounded on its safe side, and the house rule that keeps it so finds what it should."""

import importlib.util
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pessimal.cli.main import main
from pessimal.report.numbers import down, up, up_significant
from pessimal.reproductions.max_of_k.groups import certified_share
from pessimal.reproductions.max_of_k.main_table import GroupRow, MainRows, MainTable, Truth
from pessimal.reproductions.statistics import Spread, mean_down, summary
from pessimal.reproductions.swept import ProvedRow
from pessimal.testing import safetensors_bytes, tiny_weights

RULES = Path(__file__).resolve().parents[2] / "scripts" / "house_rules.py"


@pytest.fixture(scope="module")
def house_rules():
    spec = importlib.util.spec_from_file_location("house_rules", RULES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@given(st.fractions(-2, 2) | st.floats(-2, 2), st.integers(1, 9))
def test_down_is_below_and_up_is_above_by_less_than_a_unit(value, digits):
    exact, unit = Fraction(value), Fraction(1, 10**digits)
    assert Fraction(down(value, digits)) <= exact < Fraction(down(value, digits)) + unit
    assert Fraction(up(value, digits)) - unit < exact <= Fraction(up(value, digits))


@given(st.floats(0, 1e300), st.integers(1, 9))
def test_significant_digits_are_rounded_up(value, digits):
    exact = Fraction(value)
    assert exact <= Fraction(up_significant(value, digits)) <= exact * (1 + Fraction(10, 10**digits))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_a_mean_of_lower_bounds_is_one(values):
    exact = sum(map(Fraction, values)) / len(values)
    assert Fraction(mean_down(values)) <= exact
    assert exact - Fraction(mean_down(values)) <= Fraction(1, 2**52)


def test_a_share_is_not_above_the_count():
    for correct in range(1, 50):
        row = ProvedRow(
            weights="m", strategy="s", correct=correct, total=49, flops=1, checker_ops=1, certificate_bytes=1,
            unexplained_dims=0, prove_seconds=0.0, seconds=0.0,
        )  # fmt: skip
        assert Fraction(certified_share(row, {})) <= Fraction(correct, 49)


def test_frontier_prints_bounds_rounded_down(capsys, tmp_path, monkeypatch):
    """0.9019585 to nearest is 0.901959, which nobody proved."""
    model = tmp_path / "m.safetensors"
    model.write_bytes(safetensors_bytes({name: np.array(one) for name, one in tiny_weights(0).tensors.items()}))
    row = {"accuracy_lower_bound": 0.9019585, "correct": "9019585", "total": "10000000", "flops": 1, "strategy": "s"}
    row |= {"certificate_bytes": 1, "certificate": "c"}
    monkeypatch.setattr("pessimal.cli.frontier.frontier", lambda *_, **__: [row])
    assert main(["frontier", str(model), "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert " 0.901958 " in out
    assert "0.901959" not in out


def test_the_main_table_prints_bounds_rounded_down_and_what_is_no_bound_to_nearest():
    bound = summary([0.90199])
    nothing = {field.name: None for field in fields(GroupRow)}
    group = GroupRow(
        **nothing | {"group": "g", "asymptotic": "", "bound": bound, "relative": bound}
        | {"as_published_not_a_proof": bound, "published": Spread(0.90199, 0.0)}
    )  # fmt: skip
    results = MainRows((group,), models=1, truth=Truth("t", None))
    cells = MainTable().tables(results)["main-table"].rows[0]
    assert [cell[:6] for cell in cells[1:5]] == ["0.9019", "0.9019", "0.9020", "0.9020"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("src/pessimal/cli/x.py", 'print(f"{row:.6f}")'),
        ("src/pessimal/cli/x.py", 'print(f"{row[0]:>9.3g} and")'),
        ("src/pessimal/report/x.py", 'a = "%.4f" % bound'),
        ("src/pessimal/reproductions/x.py", 'a = format(x, ".1%")'),
        ("src/pessimal/reproductions/x.py", 'a = "{:.3f}".format(x)'),
        ("src/pessimal/reproductions/x.py", 'a = round(bounds["mean"], 4)'),
        ("src/pessimal/reproductions/x.py", 'a = np.round(row["certified"], 4)'),
        ("src/pessimal/reproductions/x.py", 'a = nearest(row["bound"], ".4f")'),
        ("docs/x.py", 'a = f"{correct / total:.3%}"'),
        ("scripts/x.py", 'a = f"{correct / total:.{digits}f}"'),
        ("src/pessimal/report/templates/x.js", "a = b.toFixed(3);"),
    ],
)
def test_the_house_rule_finds_a_bound_that_is_rounded_to_nearest(house_rules, path, text):
    assert house_rules.roundings(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("src/pessimal/cli/x.py", "print(f\"{seconds:>9} {n:,} {part:0{digits}d} {nearest(seconds, '.1f')}\")"),
        ("src/pessimal/cli/x.py", 'a = {"seconds": round(seconds, 3)}'),
        ("src/pessimal/report/numbers.py", 'a = f"{x:.3f}"'),
        ("src/pessimal/kernel/x.py", 'a = f"{x:.3f}"'),
        ("src/pessimal/report/templates/x.js", "a = ratio.toFixed(3); // no bound"),
    ],
)
def test_the_house_rule_lets_the_rest_pass(house_rules, path, text):
    assert house_rules.roundings(path, text) == []
