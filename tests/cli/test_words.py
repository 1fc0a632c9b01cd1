"""Words of a command line: what is not understood is answered in one sentence that says what would be."""

import json
import re
import shlex
from dataclasses import fields

import numpy as np
import pytest

import pessimal as ps
from pessimal.cli.help import COMMANDS, EXAMPLES, GROUPS, version_record
from pessimal.cli.main import main
from pessimal.cli.parsing import flags_of, parse
from pessimal.mismatch import FLAGS, OF_CONVERSION
from pessimal.proving.applicable import ATTENTIONS, applicable
from pessimal.proving.suggestions import PATTERN, closest, did_you_mean
from pessimal.proving.words import MAX_COUNT, make_strategy, read_budget, read_count
from pessimal.spec import TASKS
from pessimal.strategies import StrategyError
from pessimal.testing import safetensors_bytes, tiny_weights

ASSUMED = "pessimal: assumed"
HELPS = [*COMMANDS, "train modular-addition"]


def tensors(seed=0, **sizes):
    return {name: np.array(array) for name, array in tiny_weights(seed, **sizes).tensors.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, another one, a certificate of the first, text files as editors write them."""
    path = tmp_path_factory.mktemp("words")
    (path / "m.safetensors").write_bytes(safetensors_bytes(tensors()))
    (path / "other.safetensors").write_bytes(safetensors_bytes(tensors(1)))
    weights = ps.load_weights(path / "m.safetensors")
    ps.save_certificate(ps.prove(weights, ps.MaxOfK(k=3, d_vocab=5), ps.Cubic()), path / "a.cert")
    return path


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def run(capsys, line):
    """Exit code, stdout, and the lines of stderr but those that say what is assumed."""
    code = main(shlex.split(line))
    out, err = capsys.readouterr()
    return code, out, [one for one in err.splitlines() if not one.startswith(ASSUMED)]


# Every row of the list of typical mistakes that had a poor, wrong or misleading answer, and others of the same kinds:
# the words, the exit code, what the one sentence says.
MISTAKES = [
    ("", 2, "no command is given; the commands are info, prove, check"),
    ("prov x", 2, "there is no command 'prov' (did you mean prove?)"),
    ("chekc a b", 2, "did you mean check?"),
    ("--vers", 2, "there is no option --vers (did you mean --version?) before a command"),
    ("prove", 2, "prove: WEIGHTS"),
    ("check a.cert", 2, "check: --weights is missing; for example: pessimal check model.cert --weights"),
    ("check a.cert m.safetensors more", 2, "'more' is one too many"),
    ("check a.cert --weigths m.safetensors", 2, "check has no option --weigths (did you mean --weights?)"),
    ("info m.safetensors --budget 3", 2, "info has no option --budget; prove has it"),
    ("check a.cert m.safetensors --arithmetic abr", 2, "'abr' is not one of float64, arb (did you mean arb?)"),
    ("check a.cert m.safetensors --max-ops many", 2, "number 'many' is not a whole number such as"),
    ("prove m.safetensors --out", 2, "prove: --out needs a value"),
    ("prove m.safetensors --out x --semantics flaot32", 2, "did you mean float32?"),
    ("prove m.safetensors --out x --strategy bnad", 2, "unknown strategy 'bnad' (did you mean band?); known: band, "),
    ("prove m.safetensors --out x --strategy exponential", 2, "did you mean exponential-moment?"),
    (f"prove m.safetensors --out x --strategy {PATTERN}", 2, "put a word in the place of A, of B and of C"),
    ("prove m.safetensors --out x --strategy eupu-A--attn-B--attn-err-svd", 2, "A of eupu-A--attn-B--attn-err-C is"),
    ("prove m.safetensors --out x --option near", 2, "option near needs a value, as near=VALUE"),
    ("prove m.safetensors --out x --strategy band --option cels=3", 2, "no option 'cels' (did you mean cells?)"),
    ("prove m.safetensors --out x --strategy band --option cells=3.5", 2, "option cells: '3.5' is not a whole number"),
    ("strategies bnad", 2, "unknown strategy 'bnad' (did you mean band?)"),
    ("strategies band --all", 2, "a NAME and a choice of several"),
    ("prove m.safetensors --out x --budget 100", 3, "no strategy has a proof of at most 100 flops for this model; the"),
    ("prove m.safetensors --out x --budget 0", 2, "no proof has no flops"),
    ("prove m.safetensors --out x --task maxofk", 2, "unknown task 'maxofk' (did you mean max-of-k?); known: constant"),
    ("prove m.safetensors --out x --task contains-token:tokn=1", 2, "no parameter 'tokn' (did you mean token?)"),
    ("info m.safetensors --k three", 2, "info: --k 'three' is not a whole number"),
    ("train modular-addition --ratio half --out x", 2, "--ratio 'half' is not a number"),
    ("info m.safetensors --json=yes", 2, "--json takes no value, and 'yes' is given"),
    ("formal exprot a.cert m.safetensors --out x", 2, "ACTION 'exprot' is not one of export (did you mean export?)"),
    ("prove m.safetensors m.cert", 2, "'m.cert' is one too many; for example: pessimal prove"),
    ("info .", 2, ".: Is a directory"),
    ("strategies --task maxofk", 2, "did you mean max-of-k?"),
    ("strategies --claim los", 2, "did you mean loss?"),
    ("train maxofk --out x", 2, "did you mean max-of-k?"),
    ("train modular-addition --recipe piza --out x", 2, "did you mean pizza?"),
    ("reproduce maintable", 2, "did you mean main-table?"),
    ("sweep s.toml --out x --engine dusk", 2, "did you mean dask?"),
    ("sweep - --out x", 2, "it cannot be standard input"),
    ("frontier m.safetensors --out -", 2, "cannot be standard output"),
    ("info m.safetensors --samples 0", 2, "--samples must be at least 1"),
    ("info m.safetensors --task no.json", 2, "no.json: No such file or directory"),
    ("info m.safetensors --task ./m.safetensors", 2, "a safetensors file, not a JSON file"),
    ("prove m.safetensors --out x --distribution no.toml", 2, "no.toml: No such file or directory"),
    ("prove m.safetensors --out x --distribution a.cert", 2, "a.cert is a certificate, not a JSON or TOML file"),
    ("sweep no.toml --out x", 2, "no.toml: No such file or directory"),
    ("sweep a.cert --out x", 2, "a.cert: a certificate, not a TOML file"),
    ("reproduce main-table --config no.toml", 2, "no.toml: No such file or directory"),
    ("report no-folder", 2, "no-folder does not exist"),
    ("demo --weights no-folder", 2, "no-folder does not exist"),
    ("check m.safetensors a.cert", 2, "the two are swapped; pessimal check a.cert --weights m.safetensors"),
    ("check m.safetensors m.safetensors", 1, "m.safetensors is a safetensors file, not a certificate"),
    ("check a.cert other.safetensors", 1, "about other weights: it is about sha256:"),
    ("prove m.safetensors --strategy cubic --out a.cert/x.cert", 2, "--out a.cert/x.cert: Not a directory"),
]


@pytest.mark.parametrize(("line", "code", "said"), MISTAKES, ids=[line or "nothing" for line, _, _ in MISTAKES])
def test_a_mistake_is_answered_by_one_sentence_with_the_remedy(capsys, here, line, code, said):
    before = sorted(path.name for path in here.iterdir())
    got, _, err = run(capsys, line)
    assert (got, len(err)) == (code, 1)
    assert said in err[0]
    assert len(err[0]) < 1200
    assert sorted(path.name for path in here.iterdir()) == before


@pytest.mark.parametrize("line", ["prov x --json", "--json", "--json chekc"])
def test_a_command_line_that_is_not_understood_has_an_object_too(capsys, line):
    code, out, err = run(capsys, line)
    assert (code, json.loads(out)["reason"]) == (2, "usage")
    assert err == [f"pessimal: {json.loads(out)['detail']}"]


def test_a_flag_that_was_given_to_prove_alone_is_named(capsys, here):
    for flag, said in (("--attn-scale 1", "attn_scale=1"), ("--k 2", "k=2")):
        assert run(capsys, f"prove m.safetensors {flag} --strategy brute-force --out f.cert")[0] == 0
        code, out, err = run(capsys, "check f.cert --weights m.safetensors")
        assert (code, out) == (1, "s REJECTED reason=weights-mismatch\n")
        assert err == [f"pessimal: the same tensors, but proved with {said}: check it with {flag}"]
        assert run(capsys, f"check f.cert --weights m.safetensors {flag}")[0] == 0
    code, _, err = run(capsys, "check f.cert --weights other.safetensors")
    assert code == 1
    assert "about other weights" in err[0]
    assert "its model has k=2, this one k=3" in err[0]


def test_every_flag_that_a_mismatch_names_is_one_of_check():
    assert {*FLAGS.values(), *OF_CONVERSION} <= flags_of(COMMANDS["check"]).keys()
    record = tiny_weights(0).architecture.record()
    assert FLAGS.keys() <= record.keys()


def test_the_second_word_of_check_is_the_weights_file(capsys, here):
    named = run(capsys, "check a.cert --weights m.safetensors")
    for line in ("check a.cert m.safetensors", "check --arithmetic float64 a.cert --max-ops 1e12 m.safetensors"):
        assert run(capsys, line) == named
    assert named[0] == 0


def test_a_machine_with_a_byte_order_mark_is_read(capsys, here):
    record = {"k": 3, "d_vocab": 5, "start": 0, "moves": [[0] * 5], "outputs": [0]}
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (here / "machine.json").write_bytes(json.dumps(record).encode(encoding))
        code, out, _ = run(capsys, "info m.safetensors --task machine.json --samples 9")
        assert code == 0
        assert "task        machine, 125 sequences" in out
        (here / "d.toml").write_bytes('name = "product"\r\nweights = [[1, 2, 3, 4, 5]]\r\n'.encode(encoding))
        line = "prove m.safetensors --strategy exact --distribution d.toml --out d.cert"
        assert run(capsys, line)[0] == 0
        (here / "s.toml").write_bytes("k = 3\nd_vocab = 'five'\n".encode(encoding))
        assert run(capsys, "sweep s.toml --out x")[2] == ["pessimal: s.toml line 2: d_vocab must be an integer"]


@pytest.mark.parametrize("words", ["--version", "-V", "version", "--version --json", "--json -V"])
def test_the_version_names_what_a_verdict_was_computed_with(capsys, words):
    code, out, err = run(capsys, words)
    assert (code, err) == (0, [])
    record = version_record()
    assert set(record) == {"pessimal", "numpy", "python-flint", "python"}
    assert record["numpy"] == np.__version__
    assert record["pessimal"] == ps.__version__
    for name, version in record.items():
        assert f"{name} {version}" in out
    assert ("json" in words) == (out.splitlines()[-1] == json.dumps(record))


def test_root_help_lists_every_command_once_in_its_group(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for words in ("--help", "-h", "help"):
        code, out, _ = run(capsys, words)
        assert code == 0
        assert [line for line in out.splitlines() if line in GROUPS] == list(GROUPS)
        for name in COMMANDS:
            assert len(re.findall(rf"^  {name}  ", out, re.MULTILINE)) == 1
        assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", HELPS)
def test_help_has_examples_and_no_default_that_is_none_or_said_twice(capsys, monkeypatch, command):
    for columns in (40, 80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        code, out, err = run(capsys, f"{command} --help")
        assert (code, err) == (0, [])
        text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", out).split())
        for litter in ("default: None", "{None", "(default: )", "default: False", "--no-", " STR ", "__"):
            assert litter not in text
        assert not re.search(r"\(default[^)]*\) \(default", text)
        for example in EXAMPLES[command]:
            assert f"  {example}\n" in out
        framed = [line for line in out.splitlines() if not line.startswith("  pessimal ")]
        assert max(map(len, framed)) <= columns
    assert run(capsys, f"help {command}")[1] == out


@pytest.mark.parametrize("command", HELPS)
def test_every_example_is_understood(command):
    assert EXAMPLES[command]
    for line in EXAMPLES[command]:
        for part in line.split(" && "):
            words = shlex.split(part.partition(" > ")[0])
            assert words[0] == "pessimal"
            assert parse(words[1:]).command is not None


def test_shell_completion_is_written(capsys):
    code, out, _ = run(capsys, "--tyro-print-completion bash")
    assert code == 0
    assert "strategies" in out


@pytest.mark.parametrize("columns", ["40", "80", "120", None])
def test_no_name_of_a_strategy_is_cut_at_any_width(capsys, monkeypatch, columns):
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    width = int(columns or 80)
    for words in ("strategies", "strategies --all"):
        code, out, _ = run(capsys, words)
        assert code == 0
        assert "…" not in out
        names = [line for line in out.splitlines() if line and not line.startswith(" ")]
        wanted = [name for name in ps.STRATEGIES if name not in ps.PUBLISHED or "--all" in words]
        assert names == wanted + ([] if "--all" in words else [PATTERN])
        others = [line for line in out.splitlines() if line not in names]
        # What has no space is not broken either: it may have to be typed.
        assert all(len(line) <= width or len(line.split()) <= 2 for line in others)


@pytest.mark.parametrize(
    "name", [name for name in ps.STRATEGIES if name not in ps.PUBLISHED] + [next(iter(ps.PUBLISHED))]
)
def test_every_option_of_a_strategy_is_described(capsys, name):
    code, out, _ = run(capsys, f"strategies {name} --json")
    row = json.loads(out.splitlines()[-1])["strategies"][0]
    assert code == 0
    assert list(row["option_words"]) == row["options"] == ps.STRATEGIES[name].option_names()
    assert all(row["option_words"].values())


def test_whole_numbers_of_options_are_read_as_budgets_are():
    made = make_strategy("comparisons", ["tries=2^20", "cells=1e3", "certain=0"])
    assert (made.tries, made.cells, made.certain) == (2**20, 1000, 0)


@pytest.mark.parametrize(
    ("words", "has", "lacks"),
    [
        ("--task max-of-k", {"band", "cubic", "exact", "layer-cake"}, {"sparse-output", "key-frequency"}),
        ("--task min-of-k", {"exact", "brute-force"}, {"band", "cubic", *ps.PUBLISHED, "key-frequency"}),
        ("--task modular-addition", {"sparse-output", "key-frequency", "brute-force"}, {"band", "cubic"}),
        ("--task modular_addition --attention uniform", {"key-frequency"}, {"exact", "exponential-moment"}),
        ("--claim loss", {"layer-cake"}, {"band", "brute-force"}),
        ("--attention causal-softmax-before-MLP", {"brute-force"}, {"exact", "sparse-output"}),
        ("", set(ps.STRATEGIES), set()),
    ],
)
def test_strategies_are_filtered_by_task_claim_and_attention(capsys, words, has, lacks):
    code, out, _ = run(capsys, f"strategies {words} --json")
    names = {row["name"] for row in json.loads(out.splitlines()[-1])["strategies"]}
    assert code == 0
    assert has <= names
    assert not lacks & names
    shown = {line for line in out.splitlines() if line in ps.STRATEGIES}
    assert shown == {name for name in names if name not in ps.PUBLISHED}


def test_what_applies_to_a_task_proves_something_about_a_model_for_it():
    """The list is asked of the rules, so a strategy on it takes a tiny model, and one that is not refuses it."""
    weights = tiny_weights(0, k=2, d_vocab=4)
    for name in ("max-of-k", "min-of-k", "second-largest"):
        task, _ = ps.task_of(weights, name)
        listed = applicable(name, "accuracy", ATTENTIONS[0])
        for strategy in ("brute-force", "cubic", "exact", "key-frequency", next(iter(ps.PUBLISHED))):
            if strategy in listed:
                assert ps.prove(weights, task, strategy).strategy == strategy
            else:
                with pytest.raises(ps.Rejected, match="cover"):
                    ps.prove(weights, task, strategy)
    assert all(applicable(name) for name in TASKS)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1048576", 2**20), ("2^20", 2**20), ("2**20", 2**20), ("1e6", 10**6), ("1E+6", 10**6), ("1.5e3", 1500),
     ("1_000_000", 10**6), ("2^20.5", 1482910), (" 7 ", 7)],
)  # fmt: skip
def test_a_number_is_read_as_people_write_it(text, number):
    assert read_budget(text) == read_count(text) == number


@pytest.mark.parametrize(
    "text", ["", "many", "-3", "1e-3", "1.5", "1.5e0", "9^99", "1e99", "2^", "0x10", "²", "e6", "1e"]
)
def test_what_is_no_number_is_refused_in_one_sentence(text):
    with pytest.raises(StrategyError, match=r"is not a whole number such as 1048576, 2\^20|is above 10\^30"):
        read_count(text)
    assert read_count("1e30") == MAX_COUNT


def test_a_power_and_an_exponent_are_taken_by_every_flag_of_numbers(capsys, here):
    prove = "prove m.safetensors --strategy brute-force --out p.cert"
    assert run(capsys, f"{prove} --budget 1e6 --max-ops 2^40 --max-bytes 1e9")[0] == 0
    assert run(capsys, f"{prove} --budget 2**20")[0] == 0
    assert run(capsys, "check p.cert m.safetensors --max-ops 1e12")[0] == 0
    assert run(capsys, "check p.cert m.safetensors --max-ops 1e1")[0] == 3
    assert "on 100 random" in run(capsys, "info m.safetensors --samples 1e2")[1]


def test_a_suggestion_is_a_known_word_that_is_like_the_one_given():
    known = ["prove", "check", "max-of-k", "exponential-moment", "min-of-k"]
    assert closest("MAX_OF_K", known) == ["max-of-k"]
    assert closest("expmoment", known) == ["exponential-moment"]
    assert closest("moment", known) == ["exponential-moment"]
    assert did_you_mean("zzz", known) == ""
    assert did_you_mean("z" * 10**5, known) == ""
    assert did_you_mean("maxofk", known) == " (did you mean max-of-k?)"


def test_options_are_read_by_name():
    assert make_strategy("band", ["near=7", "budget=1e6"]) == ps.Band(near=7, budget=10**6)
    assert {field.name for field in fields(ps.Band)} >= {"near", "budget"}
