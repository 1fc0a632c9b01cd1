"""`pessimal check` with the question that whoever checks has in mind."""

import json

import pytest
from safetensors.numpy import save_file

from pessimal.cli.main import main
from support.models import Sizes, random_tensors

STATED = {"attn_scale": "1", "attention": "causal-softmax", "normalization_type": "none", "n_ctx": "2"}
OTHER = "s REJECTED reason=other-question"


def run(capsys, *words):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


@pytest.fixture
def pair(tmp_path, capsys):
    """A model, and its certificate about whether token 1 occurs."""
    model, certificate = tmp_path / "m.safetensors", tmp_path / "m.cert"
    save_file(random_tensors(Sizes(3, 5, 7, 2, 2), 4), model, {**STATED, "task": "contains-token", "task_token": "1"})
    assert run(capsys, "prove", model, "--out", certificate, "--strategy", "brute-force")[0] == 0
    return model, certificate


def test_the_question_asked_is_the_one_answered(capsys, pair, tmp_path):
    """All four parts; the line, the JSON object and the sentence say the same."""
    model, certificate = pair
    code, out, err = run(capsys, "check", certificate, "--weights", model, "--json")
    record = json.loads(out[-1])
    assert code == 0
    assert f" question=sha256:{record['question_sha256']} " in out[0]
    assert out[0].endswith(" assumed=positional_embedding_type:standard")
    assert record["assumptions"] == ["positional_embedding_type=standard (not stated in the file)"]
    assert record["task_record"] == {"name": "contains-token", "k": 2, "d_vocab": 3, "token": 1}
    assert "contains-token (k=2, d_vocab=3, token=1)" in err
    claimed = f"{record['correct']}/{record['total']}"
    uniform = tmp_path / "u.json"
    uniform.write_text('{"name": "uniform"}')
    for words in (
        ("--task", "contains-token"),
        ("--task", "contains_token:token=1"),
        ("--distribution", "uniform"),
        ("--distribution", uniform),
        ("--semantics", "real"),
        ("--at-least", claimed),
        ("--at-least", "0/9"),
        ("--task", "contains-token", "--distribution", "uniform", "--semantics", "real", "--at-least", claimed),
    ):
        assert run(capsys, "check", certificate, "--weights", model, *words)[1][0] == out[0]


def test_another_question_is_exit_one_and_says_which(capsys, pair, tmp_path):
    """One parameter changed at a time; stderr has one sentence with both."""
    model, certificate = pair
    product = tmp_path / "p.json"
    product.write_text('{"name": "product", "weights": [[1, 1, 1]]}')
    for words, said in (
        (("--task", "contains-token:token=2"), "token=2"),
        (("--task", "max-of-k"), "max-of-k"),
        (("--distribution", product), "product"),
        (("--semantics", "float32"), "float32"),
        (("--at-least", "9/9"), "9 of 9"),
        (("--at-least", "0/8"), "0 of 8"),
    ):
        code, out, err = run(capsys, "check", certificate, "--weights", model, *words, "--json")
        assert (code, out[0]) == (1, OTHER)
        assert json.loads(out[-1])["reason"] == "other-question"
        assert said in err


def test_a_question_that_is_none_is_a_usage_error(capsys, pair):
    """Nothing is guessed: unknown tasks and parameters, missing numbers, what is no fraction."""
    model, certificate = pair
    for words in (
        ("--task", "max-of-n"),
        ("--task", "contains-token:letter=2"),
        ("--task", "contains-token:token=x"),
        ("--task", "constant"),
        ("--task", "nowhere.json"),
        ("--distribution", "nowhere.json"),
        ("--at-least", "0.9"),
        ("--at-least", "-1/9"),
        ("--at-least", "1/9/9"),
        ("--at-least", "9" * 5000 + "/9"),
    ):
        code, out, err = run(capsys, "check", certificate, "--weights", model, *words)
        assert (code, out) == (2, [])
        assert err.splitlines()[-1].startswith("pessimal: ")


def test_flags_about_the_model_stand_on_the_line(capsys, pair, tmp_path):
    """A value stated by hand is an assumption of the verdict."""
    model, _ = pair
    other = tmp_path / "o.cert"
    code, out, _ = run(
        capsys, "prove", model, "--attn-scale", "1", "--k", "2", "--strategy", "brute-force", "--out", other
    )
    assert code == 0
    assert out[0].endswith(" assumed=attn_scale:1,k:2,positional_embedding_type:standard")
