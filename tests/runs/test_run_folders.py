"""Frontiers, collected certificates and reports: one row per certificate, and no number that the checker does not give."""

import json
import threading

import numpy as np
import pytest

import pessimal as ps
from pessimal.cli.main import main
from pessimal.run_folders import collect, frontier, recheck
from pessimal.runs import RunFolder, RunFolderError
from pessimal.testing import safetensors_bytes, tiny_weights
from support.ledgers import row

BUDGETS = [2**9, 2**12, 2**16]


@pytest.fixture
def model(tmp_path):
    """A file of a tiny model."""
    tensors = {name: np.asarray(array) for name, array in tiny_weights(0).tensors.items()}
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_bytes(tensors))
    return path


@pytest.fixture
def folder(model, tmp_path):
    """Two certificates beside their weights, and a ledger of their checks."""
    weights = ps.load_weights(model)
    task, _ = ps.task_of(weights)
    out = tmp_path / "run"
    for strategy in (ps.BruteForce(), ps.Cubic()):
        ps.save_certificate(ps.prove(weights, task, strategy), out / f"{strategy.name}.cert")
    (out / "m.safetensors").write_bytes(model.read_bytes())
    assert collect(out) == 2
    return out


def forge(folder, line, **values):
    """Change one line of a ledger."""
    path = folder / "results.jsonl"
    lines = path.read_text().splitlines()
    lines[line - 1] = json.dumps(json.loads(lines[line - 1]) | values)
    path.write_text("".join(f"{one}\n" for one in lines))


def test_two_frontiers_on_one_folder_give_one_row_per_certificate(model, tmp_path):
    weights = ps.load_weights(model)
    task, _ = ps.task_of(weights)
    found: list[list] = []
    threads = [
        threading.Thread(target=lambda: found.append(frontier(weights, task, tmp_path / "run", "m", BUDGETS)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    lines = (tmp_path / "run" / "results.jsonl").read_text().splitlines()
    names = [json.loads(line)["certificate"] for line in lines]
    assert len(names) == len(set(names)) == len(list((tmp_path / "run").glob("*.cert"))) > 0
    assert found[0] == found[1]


def test_two_collectors_on_one_folder_give_one_row_per_certificate(folder):
    (folder / "results.jsonl").unlink()
    threads = [threading.Thread(target=collect, args=(folder,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len((folder / "results.jsonl").read_text().splitlines()) == 2


def test_a_frontier_killed_between_certificate_and_row_or_circuits_is_completed(model, tmp_path, monkeypatch):
    """Whatever lists a certificate as done comes last."""

    class KilledError(BaseException):
        pass

    weights = ps.load_weights(model)
    task, _ = ps.task_of(weights)
    frontier(weights, task, tmp_path / "whole", "m", BUDGETS[1:2])
    steps = ("write_circuits", "write_provenance", "append")
    for step in steps:
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, step, lambda *_: (_ for _ in ()).throw(KilledError))
            with pytest.raises(KilledError):
                frontier(weights, task, tmp_path / step, "m", BUDGETS[1:2])
        frontier(weights, task, tmp_path / step, "m", BUDGETS[1:2])
        names = {path.relative_to(tmp_path / step) for path in (tmp_path / step).rglob("*")}
        assert names == {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*")}
        assert len(RunFolder(tmp_path / step).results()) == len(RunFolder(tmp_path / "whole").results())


def test_a_frontier_of_other_weights_or_another_task_under_the_name_is_refused(model, tmp_path):
    weights = ps.load_weights(model)
    task, _ = ps.task_of(weights)
    frontier(weights, task, tmp_path / "run", "m", BUDGETS)
    before = (tmp_path / "run" / "results.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match=r"results\.jsonl line 1 is about weights [0-9a-f]{12} named m, and these"):
        frontier(tiny_weights(1), task, tmp_path / "run", "m", BUDGETS)
    with pytest.raises(RunFolderError, match=r"line 1 is about m and another task than this min-of-k"):
        frontier(weights, ps.task_of(weights, "min-of-k")[0], tmp_path / "run", "m", BUDGETS)
    assert (tmp_path / "run" / "results.jsonl").read_bytes() == before
    forge(tmp_path / "run", 1, task_record={**task.record(), "token": 1})
    with pytest.raises(RunFolderError, match=r"line 1 is about m and another task than this max-of-k"):
        frontier(weights, task, tmp_path / "run", "m", BUDGETS)
    forge(tmp_path / "run", 1, task_record=task.record())
    frontier(weights, task, tmp_path / "run", "m", BUDGETS[:1])


def test_what_lies_beside_the_ledger_is_checked_again(folder):
    again = recheck(folder)
    assert sorted(again.rows) == [1, 2]
    assert (again.differing, again.recorded) == ((), 0)
    rows = RunFolder(folder).results()
    assert [again.rows[line] for line in (1, 2)] == rows


FORGERIES = {
    "correct": "124",
    "total": "126",
    "flops": 7,
    "checker_ops": 7,
    "certificate_bytes": 7,
    "unexplained_dims": 7,
    "accuracy_lower_bound": 0.001,
    "accuracy_upper_bound": 0.999,
    "strategy": "exact",
    "rule": "exact",
    "task": "min-of-k",
    "semantics": "float32",
    "distribution": "product",
    "weights_sha256": "cd" * 32,
    "assumptions": ["none"],
}


@pytest.mark.parametrize("key", FORGERIES)
def test_a_forged_number_or_word_is_told_and_not_shown(folder, key):
    true = RunFolder(folder).results()[0]
    forge(folder, 1, **{key: FORGERIES[key]})
    if key == "total":
        forge(folder, 1, accuracy_lower_bound=0.001)
    again = recheck(folder)
    assert again.rows[1] == true
    (sentence,) = again.differing
    assert sentence.startswith(f"results.jsonl line 1 is not what {true['certificate']} gives: ")
    assert key in sentence
    assert "\n" not in sentence


def test_a_report_on_a_forged_ledger_shows_what_was_checked(folder, tmp_path, capsys):
    true = RunFolder(folder).results()[1]
    forge(folder, 2, correct=true["total"], verdict="VERIFIED")
    page = tmp_path / "page.html"
    assert main(["report", str(folder), "--out", str(page), "--json"]) == 0
    out, err = capsys.readouterr()
    assert f"line 2 is not what {true['certificate']} gives: correct is {true['total']} there" in err
    assert "2 proofs re-checked, 0 recorded, not re-checked" in out
    assert json.loads(out.splitlines()[-1]) == {
        "report": str(page),
        "rechecked": 2,
        "rejected": 0,
        "recorded": 0,
        "differing": 1,
    }
    assert "the ledger differs: correct" in page.read_text()


def test_a_verdict_forged_over_a_certificate_that_does_not_verify_is_shown_as_rejected(folder, tmp_path):
    path = folder / "cubic.cert"
    path.write_bytes(path.read_bytes()[:-1])
    again = recheck(folder)
    line = next(one for one, found in again.rows.items() if found["certificate"] == "cubic.cert")
    assert again.rows[line]["verdict"] == "REJECTED"
    assert again.rows[line]["correct"] is None
    assert "verdict is VERIFIED there and REJECTED here" in again.differing[0]


def test_rows_without_certificate_or_weights_beside_them_are_only_recorded(folder, tmp_path, capsys):
    run = RunFolder(folder)
    rows = run.results()
    run.append(row("forged", certificate="absent.cert"))
    run.append(row("forged", certificate=None, strategy="exact"))
    assert recheck(folder).recorded == 2
    (folder / "m.safetensors").unlink()
    assert recheck(folder).recorded == 4
    assert recheck(folder, [tmp_path / "m.safetensors"]).recorded == 2
    assert recheck(folder, max_ops=0, fresh={rows[0]["certificate"]}).recorded == 3
    page = tmp_path / "page.html"
    assert main(["report", str(folder), "--weights", str(tmp_path / "m.safetensors"), "--out", str(page)]) == 0
    assert "2 proofs re-checked, 2 recorded, not re-checked" in capsys.readouterr().out
    assert page.read_text().count("recorded, not re-checked</span>") == 3


def test_checking_again_stops_at_the_operations_it_may_spend(folder):
    costs = [one["checker_ops"] for one in RunFolder(folder).results()]
    (folder / "m.safetensors").touch()
    assert sorted(recheck(folder, max_ops=costs[0]).rows) == [1]
    assert sorted(recheck(folder, max_ops=sum(costs)).rows) == [1, 2]
    assert recheck(folder, max_ops=0).rows == {}


@pytest.mark.parametrize(
    "name", ["../run/cubic.cert", "/etc/passwd", "a/cubic.cert", "certificates/../cubic.cert", ".."]
)
def test_a_certificate_named_in_a_ledger_never_leads_elsewhere(folder, name):
    forge(folder, 1, certificate=name)
    assert 1 not in recheck(folder).rows


def test_a_broken_weights_file_beside_a_ledger_is_told_and_not_used(folder, caplog):
    (folder / "broken.safetensors").write_bytes(b"junk")
    assert recheck(folder).recorded == 0
    assert ["broken.safetensors" in record.getMessage() for record in caplog.records] == [True]


def test_certificates_of_a_sweep_are_checked_again_where_it_kept_them(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    tensors = {name: np.asarray(array) for name, array in tiny_weights(0).tensors.items()}
    (models / "tiny_seed0.safetensors").write_bytes(safetensors_bytes(tensors))
    config = tmp_path / "sweep.toml"
    config.write_text(
        'k = 3\nd_vocab = 5\ncheckpoints = "models"\nstem = "tiny"\nseeds = "0"\nstrategies = ["cubic"]\n'
        "certificates = true\n"
    )
    ps.sweep(config, tmp_path / "out", workers=1)
    again = recheck(tmp_path / "out", [models / "tiny_seed0.safetensors"])
    assert (again.recorded, again.differing) == (0, ())


def test_what_nobody_can_check_is_not_among_what_was_checked(folder):
    """Keys that a certificate does not give are left out, and the name of the weights is that of their file."""
    true = RunFolder(folder).results()[0]
    forge(folder, 1, weights="better", options={"a": 1}, asked="x", correct_as_published="125", direct="y")
    again = recheck(folder)
    assert again.rows[1] == true
    (sentence,) = again.differing
    assert "weights is better there and m here" in sentence
    (folder / "better.safetensors").write_bytes((folder / "m.safetensors").read_bytes())
    again = recheck(folder)
    assert (again.rows[1]["weights"], again.differing) == ("better", ())


@pytest.mark.parametrize("changes", [{"flops": 1}, {"flops": 1, "correct": "125"}, {"strategy": "exact"}])
def test_a_frontier_prints_what_the_checker_gives_and_not_what_a_ledger_says(model, tmp_path, capsys, caplog, changes):
    out = tmp_path / "run"
    words = ["frontier", str(model), "--out", str(out), "--json", "--budgets", *map(str, BUDGETS[1:])]
    assert main(words) == 0
    true = json.loads(capsys.readouterr().out.splitlines()[-1])
    forge(out, 1, **changes)
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == true
    (record,) = caplog.records
    assert "results.jsonl line 1 is not what m." in record.getMessage()
    assert "the table shows what was checked" in record.getMessage()


def test_a_row_without_its_certificate_is_left_out_of_a_frontier_and_proved_again(model, tmp_path, caplog):
    weights = ps.load_weights(model)
    task, _ = ps.task_of(weights)
    first = frontier(weights, task, tmp_path / "run", "m", BUDGETS[1:2])
    forged = {**first[0], "certificate": "absent.cert", "flops": 1, "correct": first[0]["total"]}
    RunFolder(tmp_path / "run").append(forged)
    assert frontier(weights, task, tmp_path / "run", "m", BUDGETS[1:2]) == first
    assert any("left out: results.jsonl line 2" in record.getMessage() for record in caplog.records)
    (tmp_path / "run" / f"m.{BUDGETS[1]}.cert").unlink()
    (again,) = frontier(weights, task, tmp_path / "run", "m", BUDGETS[1:2])
    assert again == {**first[0], "seconds": again["seconds"]}


def test_another_question_of_the_same_name_is_no_part_of_a_frontier(folder, model):
    """Semantics, distribution and the parameters of the task are in the digest that decides."""
    weights = ps.load_weights(model)
    task, _ = ps.task_of(weights)
    proof = ps.prove(weights, task, ps.BruteForce(), semantics="float32")
    ps.save_certificate(proof, folder / "float.cert")
    collect(folder)
    assert {row["semantics"] for row in frontier(weights, task, folder, "m", BUDGETS[1:2])} == {"real"}


def test_rows_on_two_questions_are_two_results(tmp_path):
    run = RunFolder(tmp_path)
    for token in (3, 5):
        run.append(row("m", task="contains-token", question_sha256=f"{token}{token}" * 32))
        run.append(row("m", task="contains-token", task_record={"name": "contains-token", "token": token}))
    assert len(run.results()) == 4


def test_budgets_without_a_proof_are_told_and_counted(model, tmp_path, caplog):
    weights = ps.load_weights(model)
    task, _ = ps.task_of(weights)
    seen = []
    words = ["frontier", str(model), "--out", str(tmp_path / "run"), "--budgets"]
    assert main([*words, "2^16"]) == 0
    assert not caplog.records
    assert main([*words, "8", "9"]) == 0
    assert "no proof within 8, 9 flops: " in caplog.records[-1].getMessage()
    frontier(weights, task, tmp_path / "run", "m", [8, 2**16], progress=lambda *step: seen.append(step))
    assert seen == [(1, 2), (2, 2)]
    assert main(["frontier", str(model), "--out", str(tmp_path / "new"), "--budgets", "8"]) != 0


def test_rejected_certificates_are_counted_apart_and_missing_weights_named(folder, tmp_path, capsys):
    (folder / "bad.cert").write_bytes((folder / "cubic.cert").read_bytes()[:-1])
    page = tmp_path / "page.html"
    for _ in range(2):
        assert main(["report", str(folder), "--out", str(page), "--json"]) == 0
        out = capsys.readouterr().out
        assert "2 proofs re-checked, 1 certificates rejected, 0 recorded, not re-checked" in out
        counts = json.loads(out.splitlines()[-1])
        assert (counts["rechecked"], counts["rejected"], counts["recorded"]) == (2, 1, 0)
    assert "2 re-checked for this page" in page.read_text()
    assert "1 re-checked and rejected" in page.read_text()
    (folder / "m.safetensors").unlink()
    assert main(["report", str(folder), "--out", str(page)]) == 0
    assert "for want of weights: the proofs about m; --weights names" in capsys.readouterr().err
