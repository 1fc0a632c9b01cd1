"""`pessimal prove` by itself: the best short proof, where it goes, what is said of others, of time and of looseness."""

import errno
import json
import os
import re
import time
from pathlib import Path

import pytest

import pessimal as ps
from pessimal import api
from pessimal.cli.main import main
from pessimal.cli.terminal import Watch
from pessimal.records import float_down
from pessimal.testing import safetensors_bytes, tiny_weights

SHIPPED = Path(__file__).parents[2] / "weights" / "max4_v64_seed104.safetensors"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(dict(tiny_weights(0, k=3).tensors)))
    return tmp_path


def run(capsys, line):
    try:
        code = main(line.split())
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr()
    return code, out.out.splitlines(), out.err


def test_without_a_budget_the_exact_count_is_the_answer_where_it_is_short(here, capsys):
    code, out, err = run(capsys, "prove m.safetensors --json")
    assert code == 0
    row = json.loads(out[-1])
    enumerated = ps.prove(here / "m.safetensors", ps.MaxOfK(3, 5), ps.BruteForce())
    assert row["correct"] == str(enumerated.claim.correct)
    assert (row["strategy"], row["budget"], row["runners_up"], row["stopped"]) == ("comparisons", 2**24, [], False)
    assert "comparisons counts exactly, within 16777216 flops" in err
    assert (here / "m.comparisons.cert").exists()


def test_the_certificate_is_named_after_model_and_strategy_and_the_others_are_listed(here, capsys):
    code, out, err = run(capsys, "prove m.safetensors --budget 4000 --json")
    assert code == 0
    row = json.loads(out[-1])
    written = here / f"m.{row['strategy']}.cert"
    assert f"pessimal: certificate written to {written.name}" in err
    assert ps.check(written, ps.load_weights(here / "m.safetensors")).line() == out[0]
    best = ps.best(ps.load_weights(here / "m.safetensors"), ps.MaxOfK(3, 5), budget=4000)
    assert len(best.runners_up) > 2
    assert row["runners_up"] == [
        {
            "strategy": one.strategy,
            "flops": one.found.cost.flops,
            "correct": str(one.found.claim.correct),
            "total": "125",
            "accuracy_lower_bound": float_down(one.found.claim.value),
        }
        for one in best.runners_up
    ]
    assert (row["budget"], row["stopped"]) == (4000, False)
    # What says nothing is not worth a line.
    shown = [one for one in best.runners_up if one.found.claim.correct]
    assert 2 < len(shown) <= len(best.runners_up)
    assert f"the best of {len(shown) + 1} within 4000 flops is {row['strategy']}" in err
    table = err.partition("  strategy")[2].splitlines()[1:]
    assert [line.split()[0] for line in table[:3]] == [
        row["strategy"],
        *(o.strategy.split()[0] for o in best.runners_up[:2]),
    ]
    bounds = [line.split()[-1] for line in table if line.startswith("  ")]
    assert bounds == sorted(bounds, reverse=True)


def test_a_certificate_of_its_own_kind_is_replaced_and_nothing_else(here, capsys):
    """Of the same model, question and strategy."""
    line = "prove m.safetensors --strategy cubic"
    assert run(capsys, line)[0] == run(capsys, line)[0] == 0
    mine = (here / "m.cubic.cert").read_bytes()
    others = {
        "another strategy": ps.prove(ps.load_weights("m.safetensors"), ps.MaxOfK(3, 5), ps.BruteForce()).data,
        "another model": ps.prove(tiny_weights(3, k=3), ps.MaxOfK(3, 5), ps.Cubic()).data,
        "notes": b"notes",
        "a torn one": mine[:-3] + b"",
        "weights": (here / "m.safetensors").read_bytes(),
    }
    for what, data in others.items():
        (here / "m.cubic.cert").write_bytes(data)
        code, _, err = run(capsys, line)
        assert code == 0, what
        assert "pessimal: certificate written to m.cubic.2.cert" in err
        assert (here / "m.cubic.cert").read_bytes() == data
        assert (here / "m.cubic.2.cert").read_bytes() == mine
    (here / "m.cubic.cert").unlink()
    (here / "m.cubic.cert").mkdir()
    assert run(capsys, line)[0] == 0
    (here / "m.cubic.cert").rmdir()
    (here / "m.cubic.cert").write_bytes(b"notes")
    assert run(capsys, f"{line} --force")[0] == 0
    assert (here / "m.cubic.cert").read_bytes() == mine


def test_another_question_about_the_same_model_is_not_replaced(here, capsys):
    (here / "d.json").write_text('{"name": "product", "weights": [[1, 2, 3, 4, 5]]}')
    assert run(capsys, "prove m.safetensors --strategy exact")[0] == 0
    kept = (here / "m.exact.cert").read_bytes()
    for number, more in enumerate(("--distribution d.json", "--semantics float32", "--task min-of-k"), 2):
        for _ in range(2):
            err = run(capsys, f"prove m.safetensors --strategy exact {more}")[2]
            assert f"certificate written to m.exact.{number}.cert" in err
    for number, claim in enumerate(("loss", "mean-probability"), 1):
        err = run(capsys, f"prove m.safetensors --strategy layer-cake --claim {claim}")[2]
        assert f"certificate written to m.layer-cake.{'2.' if number == 2 else ''}cert" in err
    assert (here / "m.exact.cert").read_bytes() == kept


def test_a_folder_that_cannot_be_written_is_refused_before_the_search(here, capsys, monkeypatch):
    monkeypatch.setattr(api, "best", lambda *_, **__: pytest.fail("the work began"))
    monkeypatch.setattr("pessimal.runs.outputs.require_folder_writable", no_space)
    code, _, err = run(capsys, "prove m.safetensors")
    assert code == 2
    assert re.search(r"the certificate m\.\S+\.cert: No space left on device$", err)


def no_space(folder):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_refusal_names_the_smallest_budget_that_works(here, capsys):
    code, out, err = run(capsys, "prove m.safetensors --budget 100 --json")
    assert code == 3
    assert json.loads(out[-1])["reason"] == "resources"
    least = re.search(r"the shortest, of \S+, has (\d+)$", err.splitlines()[-1])[1]
    assert run(capsys, f"prove m.safetensors --budget {least}")[0] == 0
    for strategy in ("band", "exponential-moment", "exact", "cubic", "grid-count"):
        code, _, err = run(capsys, f"prove m.safetensors --budget 100 --strategy {strategy} --out a.cert")
        assert code == 3
        assert re.search(r"a budget of 100 flops is too small: it needs at least \d+$", err.splitlines()[-1])


@pytest.mark.slow
def test_a_search_that_is_stopped_says_so_and_writes_what_it_has(here, capsys):
    begun = time.monotonic()
    code, out, err = run(capsys, f"prove {SHIPPED} --budget 2^20 --seconds 1.5 --json")
    assert time.monotonic() - begun < 15
    assert code == 0
    assert json.loads(out[-1])["stopped"] is True
    assert "pessimal: stopped after 1.5 s: the best proof found by then" in err
    assert "the search was stopped" in err
    assert ps.check(here / f"max4_v64_seed104.{json.loads(out[-1])['strategy']}.cert", ps.load_weights(SHIPPED))
    code, _, err = run(capsys, "prove m.safetensors --seconds 1e-9")
    assert code == 3
    assert "no proof of at most 2097152 flops was found in 1e-09 s" in err
    assert run(capsys, "prove m.safetensors --seconds -1")[0] == 2


def test_an_interrupt_leaves_nothing(here, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ps.Comparisons, "hints", interrupted)
    before = sorted(here.iterdir())
    assert run(capsys, "prove m.safetensors")[0] == 130
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("claim", ["loss", pytest.param("mean-probability", marks=pytest.mark.slow)])
def test_a_claim_about_the_softmax_is_compared_with_a_sample(here, capsys, claim):
    code, out, err = run(
        capsys, f"prove {SHIPPED} --claim {claim} --strategy layer-cake --option levels=2 --out a.cert --json"
    )
    assert code == 0
    row = json.loads(out[-1])
    assert row["sampled"]["samples"] == 20_000
    assert row["far_from_sampled"] is True
    assert "(an estimate, not proved); the bound is far from that" in err
    assert "this bound implies an accuracy of at least 0." in err
    assert "a proof of accuracy (--claim accuracy) may say more" in err
    if claim == "loss":
        assert 0.001 < row["sampled"]["loss"] < 0.003 < row["loss_upper_bound"] / 100
    else:
        assert row["mean_probability_lower_bound"] < row["sampled"]["mean_probability"] < 1


def test_the_remaining_time_is_told_and_begins_anew_with_a_longer_proof(capsys, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    watch = Watch("proving")
    clock[0] += 20
    watch(1, 5)
    clock[0] += 5
    watch.restart()
    clock[0] += 15
    watch(1, 2)
    assert capsys.readouterr().err.splitlines() == [
        "proving: 20% after 20 s, about 80 s left",
        "proving: 50% after 15 s, about 15 s left",
    ]
