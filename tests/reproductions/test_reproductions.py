"""Reproductions: results, tables and figures from a small sweep; figures from the results file alone."""

import csv
import io
import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from pessimal.analysis.constructed import veto_model
from pessimal.reproductions import REPRODUCTIONS, ReproductionError, reproduce
from pessimal.reproductions.max_of_k.groups import GROUPS, best_per_model, share
from pessimal.reproductions.max_of_k.lengths import Point, frontier
from pessimal.reproductions.run import draw, find_config
from pessimal.reproductions.swept import Composition, Swept, SweptRow, swept_row
from pessimal.reproductions.tables import Table
from pessimal.runs.config import read_config
from pessimal.spec import read_weights
from pessimal.strategies import PUBLISHED
from support.oracle import true_count

ROOT = Path(__file__).resolve().parents[2]
STRATEGIES = [
    "cubic",
    "eupu-max-diff-exact--attn-mean-query+diff--attn-err-exact-eqke+max-diff-exact",
    "eupu-max-diff--attn-drop-average-query-per-output-logit-reasoning--attn-err-svd",
    "eupu-mean-query+max-diff--attn-mean-query+diff--attn-err-mean+max-diff-subproduct-recursive",
]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps")
    path = folder / "small.toml"
    path.write_text(
        f'k = 4\nd_vocab = 64\ncheckpoints = "{ROOT / "weights"}"\nstem = "max4_v64"\nseeds = "50,104,123"\n'
        f"strategies = {json.dumps(STRATEGIES)}\nas_published = true\n"
    )
    return path


LONG = {"improvements", "faithfulness"}
SWEPT = [
    pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
    for name, one in REPRODUCTIONS.items()
    if one.needs_sweep
]


@pytest.mark.parametrize("name", SWEPT)
def test_a_reproduction_writes_its_results_tables_and_figures(name, config, tmp_path):
    if name in LONG:
        text = config.read_text().replace("50,104,123", "104")
        config = tmp_path / "one.toml"
        config.write_text(text)
    paths = reproduce(REPRODUCTIONS[name], config, tmp_path, workers=1)
    assert paths[0].name == "results.json"
    record = json.loads(paths[0].read_text())
    assert record["reproduction"] == name
    assert {"config", "provenance", "results", "question"} <= set(record)
    assert {".md", ".csv", ".tex"} <= {path.suffix for path in paths}
    before = {path: path.read_bytes() for path in paths}
    for path in paths[1:]:
        path.unlink()
    assert set(draw(REPRODUCTIONS[name], tmp_path)) == set(paths[1:])
    assert {path: path.read_bytes() for path in paths} == before


def test_the_main_table_keeps_the_published_number_apart_from_proofs(config, tmp_path):
    reproduce(REPRODUCTIONS["main-table"], config, tmp_path, workers=1)
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    groups = {one["group"]: one for one in results["groups"]}
    best = groups["sub-cubic"]
    assert "estimate" in results["truth"]  # no brute force in this sweep
    assert 0.998 < results["true_accuracy"]["min"] < 1
    assert best["bound"]["mean"] < best["relative"]["mean"] < best["bound"]["mean"] / 0.998
    assert best["as_published_not_a_proof"]["mean"] < best["relative"]["mean"]
    assert groups["brute force"]["bound"] is None
    assert best["flops"]["max"] < best["flops_published_convention"]["min"]
    headings = next(csv.reader(io.StringIO((tmp_path / "main-table.csv").read_text())))
    assert "as published, not a proof" in headings


@pytest.mark.slow
def test_templates_carry_over_to_trained_models_and_not_to_another_circuit(tmp_path):
    """The veto circuit is right everywhere; proofs that explain by attention to the maximum certify next to nothing."""
    config = tmp_path / "experiments" / "sweeps" / "smoke.toml"
    for path in (config, tmp_path / "weights" / "some"):
        path.parent.mkdir(parents=True)
    shutil.copy(find_config("smoke"), config)
    for stem in ("max4_v64_seed50", "max5_v64_seed123", "max10_v64_seed123", "max20_v64_seed50"):
        shutil.copy(ROOT / "weights" / f"{stem}.safetensors", tmp_path / "weights")
    reproduce(REPRODUCTIONS["transfer"], config, tmp_path)
    models = json.loads((tmp_path / "results.json").read_text())["results"]["models"]
    veto = models.pop("veto circuit (constructed)")
    assert len(models) == 4
    for name, one in veto.items():
        if name.startswith("eupu"):
            assert one["bound"] < 2e-3
    assert veto["position-minima"]["bound"] == 1.0
    for bounds in models.values():
        assert bounds["cubic"]["bound"] > 0.85


def test_the_veto_circuit_is_right_everywhere():
    assert true_count(read_weights(veto_model(3, 4))) == 64


PUBLISHED_ROWS = [
    SweptRow(
        weights="m", strategy=kind.name, composition=Composition(kind.direct, kind.attention, kind.attention_error)
    )
    for kind in PUBLISHED.values()
]


def test_every_published_strategy_is_in_one_plain_group():
    for row in PUBLISHED_ROWS:
        assert sum(group.member(row) for group in GROUPS if "," not in group.name) == 1


def test_the_groups_have_their_published_sizes():
    sizes = {group.name: sum(map(group.member, PUBLISHED_ROWS)) for group in GROUPS}
    assert [sizes[name] for name in ("sub-cubic", "low-rank QK", "low-rank EU", "low-rank QK & EU")] == [8, 20, 12, 30]
    assert [sizes[name] for name in ("quadratic QK", "quadratic QK & EU")] == [12, 18]


def test_best_per_model_takes_the_largest_number_and_leaves_out_rows_without_one():
    claims = [("a", 99), ("a", 100), ("a", 100), ("b", None), ("c", 0)]
    rows = [SweptRow(weights=weights, strategy=str(i), as_published=n) for i, (weights, n) in enumerate(claims)]
    assert best_per_model(rows, lambda row: row.as_published) == {"a": rows[1], "c": rows[4]}


def test_a_ledger_row_without_a_count_proves_nothing():
    words = {"direct": "d", "attention": "a", "attention_error": "e"}
    row = {"weights": "m", "strategy": "s", "options": {"points": 2}, "correct": None, **words}
    read = swept_row(row | {"correct_as_published": "12345678901234567890"})
    assert read == SweptRow(
        weights="m", strategy="s", asked="s", options={"points": 2}, composition=Composition("d", "a", "e"),
        as_published=12345678901234567890,
    )  # fmt: skip
    with pytest.raises(ReproductionError, match="s on m: no proof"):
        share(1, read, {})
    assert share(1, read, {"m": 3}) < Fraction(1, 3)
    swept = Swept((read,), {}, {"k": 4, "d_vocab": 64}, [])
    assert swept.proved == []
    assert swept.truth() == {}


def test_a_ledger_row_with_a_count_keeps_all_its_digits():
    numbers = {"flops": 1, "checker_ops": 2, "certificate_bytes": 3, "unexplained_dims": 4}
    row = {"weights": "m", "strategy": "brute-force", "asked": "brute-force x=1", "options": {}, **numbers,
           "correct": str(10**30 + 1), "total": str(10**30 + 2), "prove_seconds": 1, "seconds": 0.5,
           "accuracy_lower_bound": 0.5, "accuracy_upper_bound": None}  # fmt: skip
    read = swept_row(row)
    assert (read.correct, read.total, read.asked) == (10**30 + 1, 10**30 + 2, "brute-force x=1")
    assert (read.prove_seconds, read.accuracy_lower_bound, read.width) == (1.0, 0.5, None)
    assert Swept((read,), {}, {}, []).truth() == {"m": 10**30 + 1}
    assert swept_row({**row, "accuracy_upper_bound": 0.75}).width == 0.25


def test_the_frontier_keeps_what_no_other_beats():
    found = [("short", 1, 0.1), ("beaten", 3, 0.1), ("tight", 3, 0.9)]
    assert frontier(Point(name, "g", bound, None, flops, None, 0) for name, flops, bound in found) == ("short", "tight")


def test_tables_escape_what_latex_reads():
    text = Table("t", ("a_b", "c"), (("5% & more", "x"),)).latex()
    assert r"a\_b" in text
    assert r"5\% \& more" in text


def test_results_of_another_reproduction_are_not_drawn(tmp_path):
    with pytest.raises(ReproductionError, match=r"no results\.json"):
        draw(REPRODUCTIONS["main-table"], tmp_path)
    (tmp_path / "results.json").write_text('{"reproduction": "percentiles"}')
    with pytest.raises(ReproductionError, match="percentiles"):
        draw(REPRODUCTIONS["main-table"], tmp_path)
    with pytest.raises(ReproductionError, match=r"results\.json: results is not an object"):
        draw(REPRODUCTIONS["percentiles"], tmp_path)


SHIPPED = [path for folder in ("sweeps", "tasks") for path in sorted((ROOT / "experiments" / folder).glob("*.toml"))]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_configurations_are_readable(path):
    assert find_config(path.stem, path.parent.relative_to(ROOT)) == path
    if path.parent.name == "sweeps":
        read_config(path)


def test_an_unknown_reproduction_lists_the_known():
    done = subprocess.run(
        [sys.executable, "-m", "pessimal", "reproduce", "table-9"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert all(name in done.stderr for name in REPRODUCTIONS)
    assert "Traceback" not in done.stderr
