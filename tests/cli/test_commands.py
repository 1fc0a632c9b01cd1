"""The command line: exit codes, the verdict line, `--json`, and one clear sentence for every bad input."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import pessimal as ps
from pessimal.cli.main import main
from pessimal.proving import covering
from pessimal.testing import safetensors_bytes, tiny_weights
from support.modular import ATTENDED, UNIFORM, ModularSizes, attended_adder, modular_weights, random_modular
from support.waves import wave_modular

KEYS = {
    "verdict", "reason", "correct", "total", "accuracy_lower_bound", "accuracy_upper_bound", "semantics",
    "assumptions", "task", "distribution", "strategy", "rule", "flops", "checker_ops", "certificate_bytes",
    "unexplained_dims", "seconds", "weights_sha256",
    "question_sha256", "task_record", "distribution_sha256", "worst_stratum", "claim", "mean_probability_lower_bound", "loss_upper_bound",
    "converted",
}  # fmt: skip
LINE = re.compile(
    r"s VERIFIED correct>=(\d+)/(\d+) accuracy>=(\d\.\d{6}) task=max-of-k dist=uniform semantics=real "
    r"weights=sha256:[0-9a-f]{64} rule=[a-z-]+ flops=\d+ ops=\d+ bytes=\d+ "
    r"question=sha256:[0-9a-f]{64} assumed=\S+"
)


def tensors(weights):
    return {name: np.array(array) for name, array in weights.tensors.items()}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(safetensors_bytes(tensors(tiny_weights(0))))
    return path


def run(capsys, *words):
    """Exit code, stdout lines and stderr of a command."""
    try:
        code = main([str(word) for word in words])
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr()
    return code, out.out.splitlines(), out.err


ACCURATE = sorted(covering())


@pytest.mark.parametrize("strategy", [*ACCURATE, next(iter(ps.PUBLISHED))])
def test_prove_then_check_prints_the_verdict_line_and_the_same_claim(capsys, model, tmp_path, strategy):
    cert = tmp_path / "a.cert"
    code, out, _ = run(capsys, "prove", model, "--strategy", strategy, "--out", cert, "--json")
    assert code == 0
    proved = json.loads(out[-1])
    for words in (["check", cert, "--weights", model, "--json"], ["check", "--json", "--weights", model, cert]):
        code, out, _ = run(capsys, *words)
        assert code == 0
        match = LINE.fullmatch(out[0])
        assert match
        checked = json.loads(out[-1])
        assert set(checked) == KEYS == set(proved)
        assert (match[1], match[2]) == (checked["correct"], checked["total"]) == (proved["correct"], proved["total"])
        assert checked["accuracy_lower_bound"] <= int(checked["correct"]) / int(checked["total"])
    code, out, _ = run(capsys, "check", cert, "--weights", model, "--arithmetic", "arb")
    assert code == 0
    assert LINE.fullmatch(out[0])


@pytest.mark.parametrize(
    ("claim", "key"), [("loss", "loss_upper_bound"), ("mean-probability", "mean_probability_lower_bound")]
)
def test_claims_about_the_softmax_are_proved_and_checked(capsys, model, tmp_path, claim, key):
    cert = tmp_path / "a.cert"
    code, out, _ = run(capsys, "prove", model, "--claim", claim, "--option", "levels=3", "--out", cert, "--json")
    assert code == 0
    code, out, err = run(capsys, "check", cert, "--weights", model, "--json")
    row = json.loads(out[-1])
    assert code == 0
    assert out[0].startswith(
        f"s VERIFIED {claim}{'<=' if claim == 'loss' else '>='}{row['correct']}/{row['total']} value"
    )
    assert row["claim"] == claim
    assert row["accuracy_lower_bound"] is None
    ratio = int(row["correct"]) / int(row["total"])
    assert abs(row[key] - ratio) < 1e-9
    assert ("cross-entropy" if claim == "loss" else "softmax probability") in err
    assert run(capsys, "check", cert, "--weights", model, "--strata", tmp_path / "s.csv")[0] == 2
    code, _, err = run(capsys, "prove", model, "--claim", claim, "--strategy", "exact", "--out", cert)
    assert code == 2
    assert f"exact bounds accuracy, not {claim}" in err


@pytest.mark.parametrize("suffix", [".json", ".toml"])
def test_a_distribution_file_is_proved_and_checked_from_the_certificate_alone(capsys, model, tmp_path, suffix):
    cert, path = tmp_path / "a.cert", tmp_path / f"d{suffix}"
    text = {
        ".json": '{"name": "product", "weights": [[1, 2, 3, 4, 5]]}',
        ".toml": 'name="markov"\ninitial=[1,2,3,4,5]\n',
    }
    path.write_text(text[suffix] + (f"transition={[[1, 1, 2, 1, 9]] * 5}" if suffix == ".toml" else ""))
    kind = {".json": "product", ".toml": "markov"}[suffix]
    assert run(capsys, "prove", model, "--strategy", "exact", "--distribution", path, "--out", cert)[0] == 0
    table = tmp_path / "strata.csv"
    code, out, err = run(capsys, "check", cert, "--weights", model, "--json", "--strata", table)
    row = json.loads(out[-1])
    assert code == 0
    assert out[0].startswith(f"s VERIFIED probability>={row['correct']}/{row['total']} accuracy>=")
    assert f" dist={kind} distribution=sha256:{row['distribution_sha256']} " in out[0]
    assert f"under the distribution {kind} (sha256:{row['distribution_sha256']})" in err
    assert "Lowest bound: last token" in err
    lines = table.read_text().splitlines()
    assert lines[0] == "q,y,total,wrong_at_most"
    assert sum(int(line.split(",")[2]) for line in lines[1:]) == int(row["total"])
    assert sum(int(line.split(",")[3]) for line in lines[1:]) == int(row["total"]) - int(row["correct"])
    found = tmp_path / "strata.json"
    assert run(capsys, "check", cert, "--weights", model, "--strata", found)[0] == 0
    assert [",".join(map(str, one.values())) for one in json.loads(found.read_text())] == lines[1:]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", '{"weights": [[1]]}', '{"name": "zipf"}', '{"name": "product", "weights": [[1, 2]]}',
     '{"name": "product", "weights": [[1, 2, 3, 4, 0.5]]}', '{"name": "product", "weights": 3}',
     '{"name": "product", "weights": [[1, 2, 3, 4, 5]], "x": 1}', '{"name": "markov", "initial": [1, 2, 3, 4, 5]}'],
)  # fmt: skip
def test_a_bad_distribution_file_is_one_sentence(capsys, model, tmp_path, text):
    path = tmp_path / "d.json"
    path.write_text(text)
    code, out, err = run(capsys, "prove", model, "--distribution", path, "--out", tmp_path / "a.cert")
    assert (code, out) == (2, [])
    assert "distribution" in err or "d.json" in err
    assert not (tmp_path / "a.cert").exists()


def test_a_rule_without_weights_says_so(capsys, model, tmp_path):
    path = tmp_path / "d.json"
    path.write_text('{"name": "product", "weights": [[1, 2, 3, 4, 5]]}')
    code, _, err = run(
        capsys, "prove", model, "--strategy", "cubic", "--distribution", path, "--out", tmp_path / "a.cert"
    )
    assert code == 2
    assert "cubic covers the distributions uniform, not product" in err


def test_a_rejection_is_one_line_and_exit_one(capsys, model, tmp_path):
    cert = tmp_path / "a.cert"
    cert.write_bytes(b"junk")
    code, out, err = run(capsys, "check", cert, "--weights", model)
    assert (code, out) == (1, ["s REJECTED reason=malformed-container"])
    assert len(err.splitlines()) <= 2


def test_too_much_work_is_exit_three_before_it_starts(capsys, model, tmp_path):
    cert = tmp_path / "a.cert"
    run(capsys, "prove", model, "--out", cert)
    code, out, _ = run(capsys, "check", cert, "--weights", model, "--max-ops", "5")
    assert (code, out) == (3, ["s REJECTED reason=resources"])
    code, _, err = run(capsys, "prove", model, "--out", tmp_path / "b.cert", "--max-ops", "5")
    assert code == 3
    assert "operations" in err
    assert not (tmp_path / "b.cert").exists()


def test_a_budget_that_cannot_be_met_is_refused(capsys, model, tmp_path):
    out = tmp_path / "b.cert"
    assert run(capsys, "prove", model, "--strategy", "cubic", "--budget", "9", "--out", out)[0] == 3
    code, _, err = run(capsys, "prove", model, "--budget", "9", "--out", out)
    assert code == 3
    assert "no strategy has a proof of at most 9 flops" in err
    assert not out.exists()


def damaged(name, change):
    """Tensors of a tiny model with one of them changed."""
    all_of_them = tensors(tiny_weights(0))
    all_of_them[name] = change(all_of_them[name])
    return {key: value for key, value in all_of_them.items() if value is not None}


def with_value(value):
    def change(array):
        array.flat[0] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("W_Q", with_value(np.nan)),
        ("W_E", with_value(np.inf)),
        ("W_U", lambda a: None),
        ("W_O", lambda a: a.transpose(0, 2, 1)),
        ("W_V", lambda a: np.concatenate([a, a])),
        ("W_K", lambda a: a[:, :, :0]),
        ("W_pos", lambda a: a[0]),
    ],
)
def test_bad_tensors_are_one_line_naming_the_tensor_and_exit_two(capsys, tmp_path, name, change):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(safetensors_bytes(damaged(name, change)))
    for words in (["prove", path, "--out", tmp_path / "a.cert"], ["info", path]):
        code, _, err = run(capsys, *words)
        assert code == 2
        assert len(err.splitlines()) == 1
        assert name in err
    assert not (tmp_path / "a.cert").exists()


@pytest.mark.parametrize("name", ["blocks.0.mlp.W_in", "blocks.1.attn.W_Q", "W_gate"])
def test_an_unsupported_tensor_is_named(capsys, tmp_path, name):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(safetensors_bytes({**tensors(tiny_weights(0)), name: np.zeros(3, dtype=np.float32)}))
    code, _, err = run(capsys, "info", path)
    assert code == 2
    assert name in err


@pytest.mark.parametrize(
    "words",
    [
        ["prove", "MODEL", "--strategy", "magic", "--out", "OUT"],
        ["prove", "MODEL", "--option", "rivals=joint", "--out", "OUT"],
        ["prove", "MODEL", "--option", "rival=nobody", "--out", "OUT"],
        ["prove", "MODEL", "--option", "near=many", "--out", "OUT"],
        ["prove", "MODEL", "--task", "median-of-k", "--out", "OUT"],
        ["prove", "MODEL", "--semantics", "float16", "--out", "OUT"],
        ["prove", "MODEL", "--k", "9", "--out", "OUT"],
        ["prove", "MODEL", "--attn-scale", "2", "--out", "OUT"],
        ["prove", "absent.safetensors", "--out", "OUT"],
        ["check", "absent.cert", "--weights", "MODEL"],
        ["check", "MODEL", "--weights", "absent.safetensors"],
        ["report", "absent-folder", "--out", "OUT"],
        ["strategies", "--task", "prayer"],
        ["train", "prayer", "--out", "OUT"],
        ["train", "max-of-k", "--seeds", "many", "--out", "OUT"],
    ],
)
def test_usage_errors_are_one_sentence_and_exit_two(capsys, model, tmp_path, words):
    real = {"MODEL": model, "OUT": tmp_path / "out"}
    code, _, err = run(capsys, *[real.get(word, word) for word in words])
    assert code == 2
    assert len([line for line in err.splitlines() if "assumed" not in line]) == 1
    assert not (tmp_path / "out").exists()


def test_float32_is_said_everywhere(capsys, model, tmp_path):
    """Verdict line, JSON semantics and assumptions, the English sentence; a rule that does not cover it refuses."""
    cert = tmp_path / "a.cert"
    code, out, err = run(
        capsys, "prove", model, "--strategy", "exact", "--semantics", "float32", "--out", cert, "--json"
    )
    assert code == 0
    assert " semantics=float32 " in out[0]
    assert "every float32 execution" in err
    for words in ([], ["--arithmetic", "arb"]):
        code, out, _ = run(capsys, "check", cert, "--weights", model, "--json", *words)
        assert code == 0
        row = json.loads(out[-1])
        assert row["semantics"] == "float32"
        assert sum(line.startswith("float32: ") for line in row["assumptions"]) == 6
    code, _, err = run(capsys, "prove", model, "--strategy", "cubic", "--semantics", "float32", "--out", tmp_path / "b")
    assert code == 2
    assert "real arithmetic" in err
    assert not (tmp_path / "b").exists()


def test_budget_distribution_and_semantics_go_together(capsys, model, tmp_path):
    """The best of all under a distribution, for every execution; a softmax claim takes layer-count, and refuses."""
    path, cert = tmp_path / "d.json", tmp_path / "a.cert"
    path.write_text('{"name": "product", "weights": [[1, 2, 3, 4, 5]]}')
    words = ["prove", model, "--distribution", path, "--semantics", "float32", "--strata", tmp_path / "s.csv"]
    code, out, err = run(capsys, *words, "--budget", "2^24", "--out", cert, "--json")
    assert code == 0
    row = json.loads(out[-1])
    assert (row["claim"], row["semantics"], row["distribution"]) == ("probability", "float32", "product")
    assert row["rule"] not in ("cubic", "band")
    assert "every float32 execution" in err
    assert (tmp_path / "s.csv").exists()
    assert run(capsys, "check", cert, "--weights", model)[1] == out[:1]
    for more in ([], ["--budget", "2^24"]):
        code, _, err = run(capsys, "prove", model, "--claim", "loss", "--semantics", "float32", "--out", "b", *more)
        assert code == 2
        assert "layer-count refuses" in err
        assert "margin in nats" in err
    code, _, err = run(capsys, "prove", model, "--claim", "loss", "--budget", "9", "--out", tmp_path / "b")
    assert code == 3
    assert "at most 9 flops for this model; the shortest, of layer-count, has " in err
    assert not (tmp_path / "b").exists()


def test_unknown_names_list_the_valid_ones(capsys, model, tmp_path):
    _, _, err = run(capsys, "prove", model, "--strategy", "magic", "--out", tmp_path / "a")
    assert all(name in err for name in set(ps.STRATEGIES) - set(ps.PUBLISHED))
    assert "eupu-A--attn-B--attn-err-C" in err
    _, _, err = run(capsys, "prove", model, "--strategy", "eupu-A--attn-B--attn-err-C", "--out", tmp_path / "a")
    assert "put a word in the place of A" in err
    assert len(err.splitlines()) == 2
    assert all(
        word in err for name in ps.PUBLISHED for word in name[5:].replace("--attn-err-", "--attn-").split("--attn-")
    )
    _, _, err = run(capsys, "prove", model, "--option", "x=1", "--out", tmp_path / "a")
    assert "rival" in err


def test_a_directory_in_place_of_a_file_is_one_sentence(capsys, model, tmp_path):
    for words in (["info", tmp_path], ["check", tmp_path, "--weights", model]):
        code, _, err = run(capsys, *words)
        assert code == 2
        assert "Traceback" not in err


def test_what_the_file_does_not_say_is_announced(capsys, model):
    _, out, err = run(capsys, "info", model, "--json")
    assert "attn_scale" in err
    assert any("attn_scale" in line for line in json.loads(out[-1])["assumptions"])


def test_another_scale_is_another_model(capsys, model, tmp_path):
    cert = tmp_path / "a.cert"
    run(capsys, "prove", model, "--attn-scale", "1", "--out", cert)
    assert run(capsys, "check", cert, "--weights", model)[1] == ["s REJECTED reason=weights-mismatch"]
    assert run(capsys, "check", cert, "--weights", model, "--attn-scale", "1")[0] == 0


def test_final_biases_are_refused_with_the_reason_and_brute_force_counts_them(capsys, tmp_path):
    rng = np.random.default_rng(5)
    norms = {name: rng.normal(size=7).astype(np.float32) for name in ("ln_final_w", "ln_final_b")}
    path = tmp_path / "ln.safetensors"
    path.write_bytes(safetensors_bytes({**tensors(tiny_weights(0)), **norms}))
    for strategy in ("cubic", "position-minima", "exponential-moment"):
        words = ["prove", path, "--strategy", strategy, "--out", tmp_path / "a.cert", "--json"]
        code, out, err = run(capsys, *words)
        assert code == 2
        assert "final biases" in err
        assert json.loads(out[-1])["reason"] == "unsupported-model"
    assert run(capsys, "prove", path, "--strategy", "brute-force", "--out", tmp_path / "a.cert")[0] == 0


def test_strategies_json_lists_every_name(capsys):
    code, out, _ = run(capsys, "strategies", "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out[-1])["strategies"]] == list(ps.STRATEGIES)


def test_a_folder_of_certificates_becomes_a_report(capsys, model, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    run(capsys, "prove", model, "--strategy", "cubic", "--out", folder / "good.cert")
    (folder / "bad.cert").write_bytes(b"junk")
    page = tmp_path / "report.html"
    code, _, _ = run(capsys, "report", folder, "--weights", model, "--out", page)
    assert code == 0
    text = page.read_text()
    assert "cubic" in text
    assert "malformed-container" in text
    rows = (folder / "results.jsonl").read_text().splitlines()
    run(capsys, "report", folder, "--weights", model, "--out", page)
    assert (folder / "results.jsonl").read_text().splitlines() == rows


ADDITION = UNIFORM | {"task": "modular-addition", "attn_scale": "1"}


def saved(path, array_by_name, metadata):
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in array_by_name.items()}, metadata))
    return path


def test_analyse_prints_and_writes_the_evidence_of_modular_addition(capsys, tmp_path):
    waves = wave_modular(11, {k: 0.1 + 2 * np.pi / n * np.arange(n) for k, n in ((2, 23), (5, 31))})
    path = saved(tmp_path / "waves.safetensors", waves, ADDITION)
    code, out, _ = run(capsys, "analyse", path, "--out", tmp_path / "run", "--json")
    assert code == 0
    text = "\n".join(out)
    for said in ("121 / 121  inputs right", "54  live neurons", "|psi - 2 phi|, radians", "distance irrelevance", "Q"):
        assert said in text
    row = json.loads(out[-1])
    record = json.loads(Path(row["circuits"]).read_text())
    assert record["format"] == "pessimal-modular/1"
    assert row["evidence"] == {name: value for name, value in record.items() if name != "drawn"}
    assert (
        ps.analyse(ps.load_weights(path), tmp_path / "again", "waves").read_text()
        == json.dumps(record, separators=(",", ":")) + "\n"
    )
    page = tmp_path / "page.html"
    assert run(capsys, "report", tmp_path / "run", "--out", page)[0] == 0
    assert "How the weights add modulo p" in page.read_text()


def test_analyse_of_other_models_writes_circuits(capsys, model, tmp_path):
    code, out, _ = run(capsys, "analyse", model, "--out", tmp_path, "--json")
    assert code == 0
    assert set(json.loads(out[-1])) == {"circuits"}
    assert json.loads(Path(out[0]).read_text())["format"] == "pessimal-circuits/1"


def test_analyse_refuses_what_is_no_modular_addition_in_one_sentence(capsys, tmp_path):
    for sizes, said in ((ModularSizes(5, 7, 2, 0), "no MLP"), (ModularSizes(9, 7, 2, 3), "not an odd prime")):
        path = saved(tmp_path / "m.safetensors", random_modular(sizes, 0), ADDITION)
        code, _, err = run(capsys, "analyse", path, "--out", tmp_path / "run")
        assert code == 2
        assert said in err
        assert err.count("\n") == 2  # and what is assumed
    assert not (tmp_path / "run").exists()


def test_a_checked_model_of_modular_addition_gets_no_attention_circuits(tmp_path):
    weights = modular_weights(random_modular(ModularSizes(5, 7, 2, 3), 0), ADDITION)
    task, _ = ps.task_of(weights)
    cert = tmp_path / "a.cert"
    ps.save_certificate(ps.prove(weights, task, ps.BruteForce()), cert)
    saved(tmp_path / "a.safetensors", tensors(weights), ADDITION)
    assert ps.collect(tmp_path) == 1
    assert not (tmp_path / "circuits").exists()


@pytest.mark.parametrize("command", ["", "train", "info", "prove", "check", "strategies", "analyse", "report", "demo"])
def test_every_command_has_help(capsys, command):
    code, out, _ = run(capsys, *([command] if command else []), "--help")
    assert code == 0
    assert len(out) > 5


def start(*words, **env):
    return subprocess.Popen(
        [sys.executable, "-m", "pessimal", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
        # A shell without job control starts background jobs with interrupts ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )


def at_work(process, seconds=2.5):
    """Wait until a process has used this much processor time: it has started, however busy the machine is."""
    ticks = os.sysconf("SC_CLK_TCK")
    while process.poll() is None:
        fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        if (int(fields[11]) + int(fields[12])) / ticks >= seconds:
            return
        time.sleep(0.05)


def test_control_c_leaves_no_certificate(tmp_path):
    """An interrupt while proving: exit 130, one line, nothing written."""
    model, cert = tmp_path / "m.safetensors", tmp_path / "out" / "a.cert"
    model.write_bytes(safetensors_bytes(tensors(tiny_weights(0, k=7, d_vocab=13))))
    process = start("prove", model, "--strategy", "brute-force", "--out", cert)
    at_work(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not cert.parent.exists() or not list(cert.parent.iterdir())


def test_a_model_with_equals_is_proved_checked_and_described(capsys, tmp_path):
    """The claim is about the pairs with "=" behind them; other strategies refuse in one sentence."""
    path, cert = tmp_path / "adder.safetensors", tmp_path / "adder.cert"
    path.write_bytes(safetensors_bytes(attended_adder(3), ATTENDED | {"task": "modular-addition"}))
    asked = ("--task", "modular-addition-equals")
    code, out, _ = run(capsys, "prove", path, *asked, "--strategy", "brute-force", "--out", cert)
    assert code == 0
    assert out[0].startswith("s VERIFIED probability>=9/9 accuracy>=1.000000 task=modular-addition-equals dist=product")
    code, out, _ = run(capsys, "check", cert, "--weights", path)
    assert code == 0
    code, out, _ = run(capsys, "info", path, *asked)
    assert code == 0
    assert "task        modular-addition-equals, 9 sequences" in out
    code, out, _ = run(capsys, "prove", path, *asked, "--out", cert)
    assert code == 0
    assert "rule=brute-force" in out[0]
    code, out, err = run(capsys, "prove", path, *asked, "--strategy", "position-minima", "--out", cert)
    assert code == 2
    assert "covers causal-softmax attention, not causal-softmax-before-MLP" in err
    code, out, err = run(capsys, "info", path)
    assert code == 2
    assert "needs 4 outputs" in err
