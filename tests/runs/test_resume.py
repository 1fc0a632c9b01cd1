"""A sweep that was ended anywhere is resumed to the same folder; what does not belong there is told in one sentence.

Nothing is proved here: rows are made up, and units run in this process.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pessimal import sweeps
from pessimal.cli.main import main
from pessimal.runs import FolderInUseError, RunFolder, RunFolderError, one_writer
from pessimal.runs.ledger import MODEL_RECORD
from pessimal.sweeps import rows_of, sweep
from pessimal.testing import safetensors_bytes, tiny_weights
from support.ledgers import row

STRATEGIES = (
    "cubic",
    "eupu-max-diff-exact--attn-mean-query+diff--attn-err-svd",
    "brute-force",
)
CONFIG = f"""k = 3
d_vocab = 5
checkpoints = "models"
stem = "tiny"
seeds = "0:2"
strategies = {json.dumps(STRATEGIES)}
"""


def inline(work, units, **_):
    """The engine of these tests."""
    for unit in units:
        for result in work(unit):
            yield unit, result


def made_up(unit, weights, asked):
    """A row without a proof."""
    own: dict[str, Any] = {"options": {}, "prove_seconds": 0.5}
    if asked not in {"cubic", "brute-force"}:
        own |= {"direct": "a", "attention": "b", "attention_error": "c"}
    return row(unit.path.stem, strategy=asked, weights_sha256=weights.sha256, **own)


def write_models(folder: Path, first: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    for seed in range(2):
        tensors = {name: np.asarray(array) for name, array in tiny_weights(first + seed).tensors.items()}
        (folder / f"tiny_seed{seed}.safetensors").write_bytes(safetensors_bytes(tensors))


@pytest.fixture
def config(tmp_path, monkeypatch):
    write_models(tmp_path / "models")
    path = tmp_path / "sweep.toml"
    path.write_text(CONFIG)
    monkeypatch.setattr(sweeps, "run_units", inline)
    monkeypatch.setattr(sweeps, "_row", made_up)
    monkeypatch.setattr(RunFolder, "write_provenance", lambda self: self.write_whole_file(self.PROVENANCE, {}))
    return path


def held(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_ledger_cut_anywhere_is_resumed_to_the_same_folder(config, tmp_path):
    """At every line boundary, a byte before and after it, and in the middle of lines."""
    whole = held(sweep(config, tmp_path / "whole").path)
    data = whole["results.jsonl"]
    ends = [0, *(place + 1 for place, byte in enumerate(data) if byte == 10)]
    assert len(ends) == 7
    cuts = {end + step for end in ends for step in (-1, 0, 1, 2, 200) if 0 <= end + step <= len(data)}
    out = tmp_path / "out"
    for number, cut in enumerate(sorted(cuts)):
        if out.exists():
            for name in whole:
                (out / name).unlink()
        for name in ("sweep.json", *(["models/tiny_seed0.json", "models/tiny_seed1.json"] if number % 2 else [])):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(whole[name])
        (out / "results.jsonl").write_bytes(data[:cut])
        sweep(config, out)
        assert held(out) == whole, cut


class KilledError(BaseException):
    """The end of the process at some place."""


@pytest.mark.parametrize("late", [False, True])
def test_a_sweep_killed_before_or_after_any_of_its_writes_is_resumed_to_the_same_folder(
    config, tmp_path, monkeypatch, late
):
    whole = held(sweep(config, tmp_path / "whole").path)
    writes = 0
    left = -1

    def counted(function):
        def write(*args, **kwargs):
            nonlocal writes
            writes += 1
            if writes == left and not late:
                raise KilledError
            result = function(*args, **kwargs)
            if writes == left:
                raise KilledError
            return result

        return write

    monkeypatch.setattr(sweeps, "build_index", counted(sweeps.build_index))
    for name in ("append", "write_whole_file"):
        monkeypatch.setattr(RunFolder, name, counted(getattr(RunFolder, name)))
    sweep(config, tmp_path / "counted")
    total = writes
    # The configuration, six rows, two models, provenance, index.
    assert total == 11
    for place in range(1, total + 1):
        out = tmp_path / f"out{place}"
        writes, left = 0, place
        with pytest.raises(KilledError):
            sweep(config, out)
        left = -1
        sweep(config, out)
        assert held(out) == whole, place


def test_the_record_of_a_model_stands_in_its_first_row_and_says_all_whichever_rows_were_left(config, tmp_path):
    """Of a ledger of before, cut after the published strategy, the record lists its singular values all the same."""
    run = sweep(config, tmp_path / "out")
    lines = [json.loads(line) for line in (run.path / "results.jsonl").read_text().splitlines()]
    assert [MODEL_RECORD in line for line in lines] == [True, False, False] * 2
    assert len(lines[0][MODEL_RECORD]["eqke_singular_values"]) > 1
    whole = held(run.path)
    old = [json.dumps({key: value for key, value in line.items() if key != MODEL_RECORD}) for line in lines]
    (run.path / "results.jsonl").write_text("\n".join(old[:5]) + "\n")
    (run.path / "models" / "tiny_seed0.json").unlink()
    (run.path / "models" / "tiny_seed1.json").write_text(
        json.dumps({**lines[3][MODEL_RECORD], "eqke_singular_values": []})
    )
    sweep(config, run.path)
    again = held(run.path)
    for name in ("models/tiny_seed0.json", "models/tiny_seed1.json"):
        assert again[name] == whole[name]
    assert len(run.results()) == 6


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weights": "tiny_seed0"}'])
def test_a_broken_copy_of_a_record_is_written_again(config, tmp_path, text):
    run = sweep(config, tmp_path / "out")
    whole = held(run.path)
    (run.path / "models" / "tiny_seed0.json").write_text(text)
    sweep(config, run.path)
    assert held(run.path) == whole


def test_another_file_under_the_name_of_a_model_stops_the_sweep_before_anything_is_proved(config, tmp_path):
    run = sweep(config, tmp_path / "out")
    before = held(run.path)
    old = run.results()[0]["weights_sha256"]
    write_models(tmp_path / "models", first=7)
    with pytest.raises(RunFolderError) as caught:
        sweep(config, run.path)
    said = str(caught.value)
    assert said.startswith("tiny_seed0.safetensors has the digest ")
    assert f"results.jsonl line 1 is about {old[:12]}" in said
    assert "\n" not in said
    assert held(run.path) == before


@pytest.mark.parametrize("change", [{"task": "min-of-k"}, {"task_record": {"name": "max-of-k", "k": 3, "d_vocab": 6}}])
def test_a_ledger_about_another_task_is_not_continued(config, tmp_path, change):
    run = sweep(config, tmp_path / "out")
    ledger = run.path / "results.jsonl"
    lines = ledger.read_text().splitlines()
    lines[4] = json.dumps(json.loads(lines[4]) | change)
    ledger.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(RunFolderError, match=r"tiny_seed1\.safetensors is now about another task .* line 5"):
        sweep(config, run.path)


def test_a_model_replaced_while_the_sweep_runs_is_not_proved_under_the_old_name(config, tmp_path, monkeypatch):
    def replacing(work, units, **_):
        write_models(tmp_path / "models", first=7)
        yield from inline(work, units)

    monkeypatch.setattr(sweeps, "run_units", replacing)
    with pytest.raises(RunFolderError, match=r"tiny_seed0\.safetensors was replaced during the sweep"):
        sweep(config, tmp_path / "out")
    assert RunFolder(tmp_path / "out").results() == []


def test_rows_that_two_sweeps_of_an_earlier_version_doubled_are_counted_once(config, tmp_path, capsys):
    run = sweep(config, tmp_path / "out")
    ledger = run.path / "results.jsonl"
    ledger.write_bytes(ledger.read_bytes() * 2)
    assert main(["sweep", str(config), "--out", str(run.path), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("6 of 6 proofs recorded as verified")
    assert json.loads(out.splitlines()[-1])["proofs"] == 6


def test_what_the_configuration_does_not_ask_for_is_not_counted(config, tmp_path, capsys):
    run = sweep(config, tmp_path / "out")
    run.append(row("tiny_seed9", strategy="cubic", options={}, prove_seconds=0.5))
    run.append(row("tiny_seed0", strategy="exact", weights_sha256=run.results()[0]["weights_sha256"]))
    assert main(["sweep", str(config), "--out", str(run.path)]) == 0
    assert capsys.readouterr().out.startswith("6 of 6 proofs recorded as verified")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct": "1", "accuracy_lower_bound": 0.25}, r"lines 2 and 7 contradict each other \(eupu"),
        ({"strategy": "brute-force", "options": None}, "line 7 lacks options, which a sweep writes"),
    ],
)
def test_rows_that_no_sweep_writes_are_an_error_naming_the_line(config, tmp_path, change, message):
    run = sweep(config, tmp_path / "out")
    if "options" in change:
        lines = (run.path / "results.jsonl").read_bytes().splitlines(keepends=True)
        (run.path / "results.jsonl").write_bytes(b"".join(lines[:2] + lines[3:]))
        message = message.replace("7", "6")
    run.append(run.results()[1] | change)
    with pytest.raises(RunFolderError, match=message):
        rows_of(sweeps.read_config(config), run.ledger())
    assert main(["sweep", str(config), "--out", str(run.path)]) == 2


@pytest.mark.parametrize("text", ["{}", "[]", "notes", '{"weights": 3}'])
def test_a_foreign_line_stops_the_sweep_in_one_sentence_with_its_number(config, tmp_path, capsys, text):
    run = sweep(config, tmp_path / "out")
    with (run.path / "results.jsonl").open("a") as file:
        file.write(f"{text}\n")
    assert main(["sweep", str(config), "--out", str(run.path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("pessimal: results.jsonl line 7")
    assert err.count("\n") == 1


def test_a_second_sweep_on_the_folder_is_refused(config, tmp_path):
    out = tmp_path / "out"
    with (
        one_writer(out, "pessimal sweep", wait=False),
        pytest.raises(FolderInUseError, match=r"out is in use by pessimal sweep"),
    ):
        sweep(config, out)
    assert list(out.iterdir()) == []
