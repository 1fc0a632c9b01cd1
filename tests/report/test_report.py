"""The page holds every row, claims no more than the rows do, and loads nothing."""

import json
import re
import subprocess
import sys
from fractions import Fraction
from html.parser import HTMLParser

import pytest

from pessimal.report import ReportError, render
from pessimal.report.maps import MAX_SIDE, maps_of
from pessimal.report.results import models_of, natural, percent_down, percent_up, result_of
from pessimal.runs import RunFolder

EVIL = "<img src=x onerror=alert(1)>&'\""
VERIFIED = {
    "verdict": "VERIFIED", "reason": None, "correct": "16694213", "total": "16777216",
    "accuracy_lower_bound": 0.995052, "accuracy_upper_bound": None, "semantics": "real", "assumptions": [],
    "task": "max-of-k(k=4, d_vocab=64)", "distribution": "uniform", "strategy": "exponential-moment",
    "rule": "moment-tail", "flops": 9437184, "checker_ops": 23456789, "certificate_bytes": 34567,
    "unexplained_dims": 8258, "seconds": 0.25, "weights_sha256": "ab" * 32, "certificate": "m.cert", "weights": "m",
}  # fmt: skip
REJECTED = VERIFIED | {
    "verdict": "REJECTED", "reason": "claim-not-reached", "correct": None, "total": None,
    "accuracy_lower_bound": None, "strategy": "grid-count", "flops": None, "checker_ops": None, "seconds": None,
}  # fmt: skip
CIRCUITS = {
    "format": "pessimal-circuits/1", "weights_sha256": "ab" * 32, "head": 0, "layer_norm": False,
    "attn_scale": "1/sqrt(d_head)",
    "sizes": {"k": 2, "d_vocab": 3, "d_vocab_out": 5, "d_model": 7, "d_head": 2, "n_heads": 1},
    "matrices": {
        "EQKE": [[1.0, 2.0, -3.0]] * 3, "EQKP": [[0.5, -0.5]] * 3, "EVOU": [[1.0, None, 2.0, 3.0, 4.0]] * 3,
        "PVOU": [[0.0] * 5] * 2, "EU": [[-1.25] * 5] * 3,
    },
    "singular_values": [6.48, 0.1], "sigma1_over_sigma2": 64.8,
}  # fmt: skip


MODULAR = {
    "format": "pessimal-modular/1", "weights_sha256": "ab" * 32, "p": 5, "attention": "uniform", "k": 2,
    "sizes": {"d_model": 7, "d_head": 2, "n_heads": 1, "d_mlp": 3}, "inputs": 25, "correct": 24,
    "correct_without_skip": 23, "key_frequencies": [1, 2], "clustered": 2, "gradient_symmetricity": 0.9876,
    "circularity": 0.8765,
    "neurons": {
        "neurons": 3, "live": 3, "frequency_agreement": 1.0, "fve_input": 0.9123, "fve_output": 0.9, "phase_left_right": 0.01,
        "amplitude_ratio": 1.05, "offset_over_amplitude": 0.2, "phase_doubling": 0.0234, "second_is_double": 0.95,
        "second_amplitude": 0.1, "second_of_rest": None,
    },
    "frequencies": [
        {
            "k": 1, "output_share": 0.75, "cluster": 2, "clock_coefficient": 12.5, "pizza_coefficient": 14.5,
            "q_clock": 0.7654, "q_pizza": 0.9543,
            "quadrature": {
                "neurons": 2, "sup_error_phi": 0.05, "sup_error": 0.0432, "box_abs": 0.3, "box_identity": 0.4,
                "angle": 0.06, "moment_20": 0.1357, "moment_100": 0.11,
            },
        },
        {
            "k": 2, "output_share": 0.25, "cluster": 0, "clock_coefficient": 1.5, "pizza_coefficient": 1.25,
            "q_clock": None, "q_pizza": None, "quadrature": None,
        },
    ],
    "logits": {
        "fve_clock": 0.9345, "fve_pizza": 0.8456, "ideal_margin": 18.0, "residual": 12.0, "true_margin": 15.0,
        "distance_irrelevance": None,
    },
    "drawn": {
        "embedding_spectrum": [0.5, None], "output_spectrum": [0.75, 0.25],
        "circles": [{"k": 1, "x": [1.0] * 5, "y": [0.5] * 5}],
        "quadratures": [
            {"k": 1, "nodes": [0.5, 1.5], "edges": [0.0, 1.5, 3.1], "heights": [0.9, -0.2], "curve_x": [0.0], "curve_y": [1.0]}
        ],
        "logits": {name: [1.0] * 5 for name in ("mean", "low", "high", "fitted")},
    },
}  # fmt: skip


class Page(HTMLParser):
    """Tags, visible text (scripts apart) and the embedded data of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text, self.data, self.scripts, self.styles = "", None, [], ""
        self._inside = ""
        self.feed(text)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in {"script", "style"} else ""
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside == "style":
            self.styles += data
        else:
            self.text += data


def page_of(tmp_path, *rows, circuits=None) -> Page:
    run = RunFolder(tmp_path / "run")
    for row in rows:
        run.append(row)
    for stem, record in (circuits or {}).items():
        run.write_circuits(stem, record)
    run.write_provenance()
    render(run.path, tmp_path / "out" / "report.html")
    return Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))


def test_page_holds_the_numbers_of_every_row(tmp_path):
    page = page_of(tmp_path, VERIFIED, REJECTED, circuits={"m": CIRCUITS})
    for said in (
        "exponential-moment", "moment-tail", "99.5052", "16,694,213 / 16,777,216", "9,437,184", "23.17", "23,456,789",
        "34,567", "8,258", "0.25", "verified", "max-of-k(k=4, d_vocab=64)", "What is not claimed", "abababababab",
    ):  # fmt: skip
        assert said in page.text


def test_rejected_row_is_shown_with_its_reason_and_without_a_bound(tmp_path):
    lying = REJECTED | {"accuracy_lower_bound": 0.776, "correct": "777", "total": "1000"}
    page = page_of(tmp_path, lying)
    assert "grid-count" in page.text
    assert "claim-not-reached" in page.text
    assert "none verified" in page.text
    assert "77." not in page.text
    assert json.loads(page.scripts[0])["chart"]["points"]["x"] == []


def test_names_are_text_and_never_markup(tmp_path):
    row = VERIFIED | dict.fromkeys(("strategy", "rule", "task", "distribution", "semantics"), EVIL)
    row["weights"] = EVIL.replace("/", "")
    refused = row | {"verdict": "REJECTED", "reason": EVIL}
    page = page_of(tmp_path, row, refused, row | {"strategy": "b", "assumptions": ["</script>" + EVIL]})
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert EVIL in page.text
    assert len(page.scripts) == 3
    chart = json.loads(page.scripts[0])["chart"]
    assert "<img" not in json.dumps(chart)


def test_page_loads_nothing(tmp_path):
    page = page_of(tmp_path, VERIFIED, circuits={"m": CIRCUITS})
    assert {tag for tag, _ in page.tags} & {"link", "iframe", "img", "object", "embed", "base"} == set()
    for _, attributes in page.tags:
        assert not set(attributes) & {"src", "href", "srcset", "data", "action"}
    policies = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert policies
    assert policies[0].startswith("default-src 'none';")
    assert "http" not in policies[0]
    assert not re.search(r"url\(|@import", page.styles)
    # The plotting library names many addresses in code that this page never runs; everything else names none.
    _, plotly, script = page.scripts
    assert plotly.count("plotly.js v") == 1
    assert not re.search(r"https?:", page.text + page.styles + page.scripts[0] + script)


def test_page_is_the_same_for_the_same_files(tmp_path):
    page_of(tmp_path, VERIFIED, circuits={"m": CIRCUITS})
    first = (tmp_path / "out" / "report.html").read_bytes()
    render(tmp_path / "run", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == first
    assert str(tmp_path).encode() not in first
    assert len(first) < 6_000_000


def test_folder_without_results_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(ReportError, match=r"no results in results\.jsonl"):
            render(folder, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_model_without_circuits_gets_one_sentence(tmp_path):
    page = page_of(tmp_path, VERIFIED, VERIFIED | {"weights": "n"}, circuits={"m": CIRCUITS})
    assert "No circuit file matches the weights of n;" in page.text
    assert [item["label"] for item in json.loads(page.scripts[0])["maps"]] == ["m"]


def test_circuits_of_other_weights_are_not_drawn(tmp_path):
    page = page_of(tmp_path, VERIFIED, circuits={"m": CIRCUITS | {"weights_sha256": "cd" * 32}})
    assert "No circuit file matches the weights of m;" in page.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flops": -1}, "flops is not a natural number"),
        ({"correct": "9" * 5000}, "correct is not a natural number"),
        ({"correct": "16777217"}, "is not a count"),
        ({"correct": None, "accuracy_lower_bound": None}, "needs correct and total"),
        ({"correct": None, "accuracy_lower_bound": "1e-999999999"}, "is not a number between 0 and 1"),
        ({"correct": None, "accuracy_lower_bound": 1.5}, "is not a number between 0 and 1"),
        ({"accuracy_upper_bound": True}, "is not a number between 0 and 1"),
        ({"assumptions": [1]}, "assumptions is not a list of strings"),
    ],
)
def test_malformed_row_is_an_error_naming_it(change, message):
    """Rows of a ledger have been checked when they are read; whoever hands over others is told too."""
    with pytest.raises(ReportError, match=f"line 2: .*{message}"):
        result_of(VERIFIED | change, "results.jsonl line 2")


def test_evidence_of_modular_addition_is_drawn_with_and_without_proofs(tmp_path):
    for name, rows in (("with", (VERIFIED,)), ("without", ())):
        page = page_of(tmp_path / name, *rows, circuits={"m": MODULAR})
        for said in ("24 of 25 inputs right", "23 by the MLP alone", "0.9123", "0.0234", "0.7654", "0.0432", "0.1357",
                     "0.9345", "0.8456", "0.9876", "1 key frequencies with less output energy are left out"):  # fmt: skip
            assert said in page.text
        assert "No circuit file" not in page.text
        data = json.loads(page.scripts[0])
        assert data["maps"] == []
        assert [one["label"] for one in data["modular"]] == ["m"]
        assert data["modular"][0]["circles"] == MODULAR["drawn"]["circles"]
        assert len(page.scripts) == 3
        assert ("Proven accuracy" in page.text) == bool(rows)


def test_evidence_of_other_weights_is_not_drawn(tmp_path):
    page = page_of(tmp_path, VERIFIED, circuits={"m": MODULAR | {"weights_sha256": "cd" * 32}})
    assert "No circuit file matches the weights of m;" in page.text
    assert json.loads(page.scripts[0])["modular"] == []


def test_evidence_without_neurons_has_no_quadrature(tmp_path):
    record = MODULAR | {"neurons": None, "drawn": MODULAR["drawn"] | {"quadratures": []}}
    record["frequencies"] = [row | {"quadrature": None} for row in MODULAR["frequencies"]]
    page = page_of(tmp_path, circuits={"m": record})
    assert "M = 20" not in page.text
    assert "0.0234" not in page.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": "59"}, "p is not a natural number"),
        ({"drawn": None}, "drawn is missing or malformed"),
        ({"frequencies": {}}, "frequencies is missing or malformed"),
        ({"frequencies": [MODULAR["frequencies"][0] | {"quadrature": 3}]}, "quadrature is missing or malformed"),
        ({"frequencies": [MODULAR["frequencies"][0] | {"q_pizza": "<b>"}]}, "q_pizza is not a number"),
        ({"circularity": EVIL}, "circularity is not a number"),
        ({"drawn": MODULAR["drawn"] | {"circles": [{"k": 1, "x": ["a"], "y": [1]}]}}, "circles is not a number"),
        ({"drawn": MODULAR["drawn"] | {"circles": [3]}}, "circles is not a list of plots"),
        ({"drawn": MODULAR["drawn"] | {"output_spectrum": 3}}, "output_spectrum is not a list of numbers"),
    ],
)
def test_malformed_evidence_is_an_error_naming_the_file(tmp_path, change, message):
    with pytest.raises(ReportError, match=re.escape("circuits/m.json") + f": .*{message}"):
        page_of(tmp_path, circuits={"m": MODULAR | change})


@pytest.mark.parametrize("change", [{"matrices": None}, {"matrices": {"EQKE": [[1], [1, 2]]}}, {"sizes": {"k": "x"}}])
def test_malformed_circuit_file_is_an_error_naming_it(tmp_path, change):
    with pytest.raises(ReportError, match=re.escape("circuits/m.json")):
        page_of(tmp_path, VERIFIED, circuits={"m": CIRCUITS | change})


def test_malformed_ledger_is_an_error_naming_the_line(tmp_path):
    (tmp_path / "results.jsonl").write_text("{\n{}\n")
    with pytest.raises(ReportError, match=r"results\.jsonl line 1"):
        render(tmp_path, tmp_path / "report.html")


@pytest.mark.parametrize("correct", [0, 1, 12345, 16777215, 16777216])
def test_percentages_never_exceed_the_fraction(correct):
    """Display rounds down: shown percentage <= exact fraction, and 100 only for all of them."""
    fraction = Fraction(correct, 16777216)
    shown = Fraction(percent_down(fraction).removesuffix("\u2009%")) / 100
    assert shown <= fraction
    assert (shown == 1) == (fraction == 1)
    assert Fraction(percent_up(fraction).removesuffix("\u2009%")) / 100 >= fraction


def test_percentages_near_one_keep_their_distance():
    assert percent_down(1 - Fraction(1, 10**7)) == "99.999990\u2009%"
    assert percent_down(1 - Fraction(1, 4 * 10**7)) == "99.999997\u2009%"
    assert percent_down(1 - Fraction(1, 10**40)) == "99.999999999999\u2009%"


def test_a_row_that_nobody_checked_again_is_marked_in_its_row_above_the_table_and_on_its_point(tmp_path):
    page = page_of(tmp_path, VERIFIED, VERIFIED | {"strategy": "cubic"})
    assert "0 re-checked for this page, 2 recorded, not re-checked" in page.text
    assert page.text.count("verified recorded, not re-checked") == 2
    assert all("not re-checked" in text for text in json.loads(page.scripts[0])["chart"]["points"]["hover"])
    render(tmp_path / "run", tmp_path / "again.html", {1: VERIFIED})
    page = Page((tmp_path / "again.html").read_text(encoding="utf-8"))
    assert "1 re-checked for this page, 1 recorded, not re-checked" in page.text
    assert page.text.count("verified recorded, not re-checked") == page.text.count("verified re-checked") == 1
    assert sum("not re-checked" in text for text in json.loads(page.scripts[0])["chart"]["points"]["hover"]) == 1


def test_what_was_checked_is_shown_and_what_the_ledger_says_otherwise_is_marked(tmp_path):
    """A forged count, and a forged verdict: neither number is on the page."""
    page_of(tmp_path, VERIFIED | {"correct": "16777216"}, VERIFIED | {"strategy": "cubic", "correct": "16777215"})
    checked = {1: VERIFIED, 2: REJECTED | {"strategy": "cubic", "flops": 9437184}}
    render(tmp_path / "run", tmp_path / "again.html", checked)
    page = Page((tmp_path / "again.html").read_text(encoding="utf-8"))
    assert "16,694,213 / 16,777,216" in page.text
    assert "16,777,216 / 16,777,216" not in page.text
    assert "16,777,215" not in page.text
    assert "the ledger says something else about 2 of them" in page.text
    assert "the ledger differs: correct" in page.text
    assert "claim-not-reached" in page.text


def test_what_a_ledger_says_is_neither_best_nor_on_the_frontier_beside_what_was_checked():
    forged = VERIFIED | {"strategy": "forged", "correct": "16777216", "flops": 1}
    checked, recorded = result_of(VERIFIED, "row", VERIFIED), result_of(forged, "row")
    (model,) = models_of([checked, recorded])
    assert model.best == checked
    assert [(r.strategy, on) for r, on in zip(model.results, model.frontier, strict=True)] == [
        ("exponential-moment", True),
        ("forged", False),
    ]
    (model,) = models_of([recorded])
    assert (model.best, model.frontier) == (recorded, (True,))


def test_bound_is_read_from_a_decimal_where_there_is_no_count():
    for stated in ("0.995052", 0.995052):
        row = VERIFIED | {"correct": None, "total": None, "accuracy_lower_bound": stated}
        assert result_of(row, "row").bound == Fraction("0.995052")


def test_frontier_keeps_what_no_other_proof_beats():
    rows = [
        VERIFIED | {"strategy": name, "correct": str(correct), "total": "100", "flops": flops}
        for name, correct, flops in (
            ("long", 99, 900),
            ("wasteful", 90, 800),
            ("short", 90, 100),
            ("worse", 80, 100),
        )
    ]
    (model,) = models_of([result_of(row, "row") for row in [*rows, REJECTED]])
    kept = {r.strategy for r, on in zip(model.results, model.frontier, strict=True) if on}
    assert kept == {"long", "short"}
    assert model.best is not None
    assert model.best.strategy == "long"


def test_repeated_check_is_shown_once_and_other_weights_of_the_same_name_apart():
    rows = [VERIFIED, VERIFIED | {"seconds": 9.0}, VERIFIED | {"weights_sha256": "cd" * 32}]
    models = models_of([result_of(row, "row") for row in rows])
    assert [(model.label, len(model.results)) for model in models] == [
        ("m (abababab)", 1),
        ("m (cdcdcdcd)", 1),
    ]


def test_only_answers_to_one_question_are_compared_whatever_its_task_is_called():
    """The digest decides: tasks of one name with other parameters, and rows that do not say which, stand apart."""

    def asking(name, digest, token, **changes):
        record = {"name": "contains-token", "k": 4, "d_vocab": 64, "token": token}
        changes = {"task": "contains-token", "task_record": record, "question_sha256": digest, **changes}
        return result_of(VERIFIED | {"strategy": name} | changes, "row")

    rows = [
        asking("three", "12" * 32, 3, correct="100", flops=10),
        asking("five", "34" * 32, 5, correct="16777216", flops=9),
        asking("float", "56" * 32, 3, semantics="float32", correct="99", flops=8),
        result_of(VERIFIED | {"strategy": "old", "task": "contains-token", "correct": "16777215", "flops": 7}, "row"),
        result_of(VERIFIED | {"strategy": "older", "task": "contains-token", "claim": "correct-count"}, "row"),
    ]
    models = models_of(rows)
    assert [{result.strategy for result in model.results} for model in models] == [
        {"old", "older"},
        {"three"},
        {"float"},
        {"five"},
    ]
    assert all(model.best == model.results[0] or len(model.results) == 2 for model in models)
    assert {model.name for model in models} == {"m"}
    labels = [model.label for model in models]
    assert len(set(labels)) == 4
    assert "contains-token (token=3)" in labels[1]
    assert labels[1].endswith("question 12121212")


def test_a_rejected_row_that_states_no_question_stands_where_only_one_fits():
    lost = result_of(REJECTED | {"task": None}, "row")
    (model,) = models_of([result_of(VERIFIED | {"question_sha256": "12" * 32}, "row"), lost])
    assert len(model.results) == 2
    two = [result_of(VERIFIED | {"question_sha256": digit * 64}, "row") for digit in "12"]
    assert [len(model.results) for model in models_of([*two, lost])] == [1, 1, 1]


def test_the_page_tells_two_questions_about_one_model_apart(tmp_path):
    record = {"name": "contains-token", "k": 4, "d_vocab": 64}
    rows = [
        VERIFIED | {"task": "contains-token", "task_record": record | {"token": n}, "question_sha256": f"{n}{n}" * 32}
        for n in (3, 5)
    ]
    page = page_of(tmp_path, *rows, circuits={"m": CIRCUITS})
    for said in ("contains-token (token=3) ·", "contains-token (token=5) ·", "question 33333333…", "1 model, 2 proofs"):
        assert said in page.text
    data = json.loads(page.scripts[0])
    assert len(data["chart"]["models"]) == 2
    assert [item["label"] for item in data["maps"]] == ["m"]
    assert data["chart"]["points"]["frontier"] == [True, True]


def test_names_sort_by_their_numbers():
    assert sorted(["k20", "k4", "a", "k5"], key=natural) == ["a", "k4", "k5", "k20"]


def test_long_axes_are_averaged_over_blocks():
    side = 2 * MAX_SIDE + 1
    matrix = [[float(column) for column in range(side)]] * 3
    record = CIRCUITS | {"matrices": CIRCUITS["matrices"] | {"EVOU": matrix}}
    drawn = maps_of(record, "file")["maps"]["EVOU"]
    assert drawn["step"] == [1, 3]
    assert drawn["z"][0][:2] == [1.0, 4.0]
    assert len(drawn["z"][0]) <= MAX_SIDE


def test_importing_the_report_imports_no_torch():
    script = "import sys, pessimal.report; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
